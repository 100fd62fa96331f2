/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/keeper_wire.h"

#include <stddef.h>

#define REQUEST_HEAD offsetof(struct kt_keeper_request, data)
#define ANSWER_HEAD  offsetof(struct kt_keeper_answer, data)

#define ALIGN(len) (((size_t)(len) + 7) & ~(size_t)7)
_Static_assert(REQUEST_HEAD % 8 == 0 && ANSWER_HEAD % 8 == 0 && KT_KMS_CIPHERTEXT_MAX % 8 == 0, "padding stays inside");

size_t kt_keeper_request_size(uint32_t len)
{
    return REQUEST_HEAD + ALIGN(len);
}

size_t kt_keeper_answer_size(uint32_t len)
{
    return ANSWER_HEAD + ALIGN(len);
}

static bool op_known(uint32_t op)
{
    return op >= KT_KEEPER_STATUS && op <= KT_KEEPER_STATE;
}

/* The length is looked at only when the message is long enough to have one. */
size_t kt_keeper_request_first(const struct kt_keeper_request *request, size_t left)
{
    if (left < REQUEST_HEAD || request->len > sizeof(request->data) || left < kt_keeper_request_size(request->len))
        return 0;
    bool has_data = request->op == KT_KEEPER_WRAP || request->op == KT_KEEPER_UNWRAP;
    if (!op_known(request->op) || (!has_data && request->len > 0))
        return 0;
    return kt_keeper_request_size(request->len);
}

size_t kt_keeper_answer_first(const struct kt_keeper_answer *answer, size_t left)
{
    if (left < ANSWER_HEAD || answer->len > sizeof(answer->data) || left < kt_keeper_answer_size(answer->len))
        return 0;
    return op_known(answer->op) && answer->code < KT_CODE_COUNT ? kt_keeper_answer_size(answer->len) : 0;
}

bool kt_keeper_request_valid(const struct kt_keeper_request *request, size_t size)
{
    return size > 0 && kt_keeper_request_first(request, size) == size;
}

bool kt_keeper_answer_valid(const struct kt_keeper_answer *answer, size_t size)
{
    return size > 0 && kt_keeper_answer_first(answer, size) == size;
}
