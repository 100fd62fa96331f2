/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and bundles, as they come from strangers; what is taken, is written again in the one canonical form. */
#include "fuzz.h"
#include "keystore/enrolment.h"

#include <stdlib.h>

static void try_request(struct kt_slice text)
{
    KT_CLEANUP_BYTES struct kt_bytes written = {.data = NULL};
    struct kt_node_request request;

    if (!kt_node_request_parse(text, &request, NULL))
        return;
    if (!kt_node_request_format(&request, &written, NULL) || !kt_slice_equal(text, kt_bytes_view(&written)))
        abort();
}

static void try_bundle(struct kt_slice file)
{
    struct kt_slice header;
    struct kt_slice keyring;
    struct kt_bundle bundle;
    static const uint8_t nobody[KT_P256_PUBLIC];

    if (!kt_bundle_split(file, &header, &keyring, NULL) || !kt_bundle_parse(header, &bundle, NULL))
        return;
    if (kt_bundle_verify(header, keyring, nobody, NULL))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct kt_slice) = {try_request, try_bundle};

    if (size > 0)
        targets[data[0] % KT_ARRAY_LEN(targets)](KT_SLICE(data + 1, size - 1));
    return 0;
}
