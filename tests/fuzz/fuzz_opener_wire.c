/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of the opener, either way; the first byte says which. */
#include "fuzz.h"
#include "keystore/opener_wire.h"

#include <stdlib.h>

static void request(struct kt_slice body)
{
    struct kt_opener_storage storage;
    struct kt_opener_request decoded = {.op = 0};
    KT_CLEANUP_BYTES struct kt_bytes again = {.data = NULL};

    /* A request that is taken is within its bounds, so it can be written too. */
    if (kt_opener_request_decode(body, &storage, &decoded, NULL) && !kt_opener_request_encode(&decoded, &again, NULL))
        abort();
}

static void answer(struct kt_slice body)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer decoded = {.info = NULL};
    KT_CLEANUP_BYTES struct kt_bytes again = {.data = NULL};

    if (kt_opener_answer_decode(body, &decoded, NULL) && !kt_opener_answer_encode(&decoded, NULL, &again, NULL))
        abort();
}

static void keys(struct kt_slice body)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answers = {.info = calloc(1, sizeof(*answers.info))};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *secret = NULL;
    KT_CLEANUP(kt_opener_secrets_done) struct kt_opener_secrets secrets = {.recovery_key = NULL};

    if (!answers.info || body.len < 2 || body.len > KT_OPENER_SECRET_MAX)
        return;
    answers.info->n_keys = body.data[0] % (2 * KT_KEYS_MAX + 1);
    secret = kt_secret_new_copy(body.data + 1, body.len - 1, NULL);
    if (!secret)
        return;
    if (!kt_opener_keys_decode(secret, &answers, NULL) && !kt_opener_secrets_decode(secret, &secrets, NULL))
        return;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct kt_slice) = {request, answer, keys};

    if (size > 0)
        targets[data[0] % KT_ARRAY_LEN(targets)](KT_SLICE(data + 1, size - 1));
    return 0;
}
