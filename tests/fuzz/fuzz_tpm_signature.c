/* SPDX-License-Identifier: Apache-2.0 */
/* Signature files: no signature is found in one that the key of the policy did not sign, and looking changes nothing.
 */
#include "fuzz.h"
#include "keystore/tpm_signature.h"

#include <stdlib.h>
#include <string.h>

/* The entry of corpus/tpm_signature/signed is by this key, over PCR 16 of zeros. */
static const char pem[] =
#include "seed_signature_key.h"
    ;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kt_tpm_policy policy = {.kind = KT_TPM_POLICY_SIGNED};
    const struct kt_tpm_pcrs pcrs = {.bank = KT_TPM_SHA256, .mask = 1u << 16};
    enum kt_tpm_signature_found found = KT_TPM_SIGNATURE_NONE;
    struct kt_tpm_signature signature = {.len = 0};

    if (policy.key_len == 0 && !kt_tpm_key_from_pem(KT_SLICE(pem, sizeof(pem) - 1), "key", &policy, NULL))
        abort();
    if (!kt_tpm_signature_find(KT_SLICE(data, size), "file", &policy, &pcrs, &signature, &found, NULL))
        return 0;
    if ((found == KT_TPM_SIGNATURE_THERE) != (signature.len > 0))
        abort();
    return 0;
}
