/* SPDX-License-Identifier: Apache-2.0 */
/* node.tpm: what is taken is encoded again to the same bytes, and its policies have a text and, with PCRs, a digest. */
#include "fuzz.h"
#include "keystore/tpm_blob.h"

#include <stdlib.h>
#include <string.h>

static void use(const struct kt_tpm_policy *policy)
{
    char text[KT_TPM_POLICY_TEXT];
    uint8_t digest[32];

    kt_tpm_policy_format(policy, text);
    if (!kt_tpm_policy_digest(policy, digest, NULL) && policy->kind == KT_TPM_POLICY_PCR)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    KT_CLEANUP(kt_free_p) struct kt_tpm_blob *blob = calloc(1, sizeof(*blob));
    KT_CLEANUP_BYTES struct kt_bytes again = {.data = NULL};

    if (!blob)
        abort();
    if (size > KT_TPM_BLOB_MAX || !kt_tpm_blob_decode(KT_SLICE(data, size), blob, NULL))
        return 0;
    use(&blob->policy);
    use(&blob->resume);
    if (!kt_tpm_blob_encode(blob, &again, NULL) || !kt_slice_equal(kt_bytes_view(&again), KT_SLICE(data, size)))
        abort();
    return 0;
}
