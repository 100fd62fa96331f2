/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/keeper_wire.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static const struct {
    uint32_t op;
    uint32_t len;
    size_t size; /* 0: the right one for len */
    bool valid;
} requests[] = {
    {KT_KEEPER_STATUS, 0, 0, true},
    {KT_KEEPER_STATE, 0, 0, true},
    {KT_KEEPER_WRAP, 0, 0, true},
    {KT_KEEPER_WRAP, 32, 0, true},
    {KT_KEEPER_UNWRAP, KT_KMS_CIPHERTEXT_MAX, 0, true},
    {KT_KEEPER_STATUS, 1, 0, false},
    {0, 0, 0, false},
    {5, 0, 0, false},
    {KT_KEEPER_WRAP, 32, 1, false},
    {KT_KEEPER_WRAP, 32, sizeof(struct kt_keeper_request), false},
    {KT_KEEPER_WRAP, 32, sizeof(struct kt_keeper_request) + 1, false},
    {KT_KEEPER_WRAP, 32, SIZE_MAX, false},
    {KT_KEEPER_WRAP, KT_KMS_CIPHERTEXT_MAX + 1, 0, false},
    {KT_KEEPER_WRAP, UINT32_MAX, sizeof(struct kt_keeper_request), false},
};

static void requests_are_held_to_their_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(requests); i++) {
        const struct kt_keeper_request request = {.op = requests[i].op, .len = requests[i].len};
        size_t size = requests[i].size ? requests[i].size : kt_keeper_request_size(requests[i].len);
        if (kt_keeper_request_valid(&request, size) != requests[i].valid)
            fail_msg("request %zu", i);
    }
    for (size_t size = 0; size < kt_keeper_request_size(0); size++) {
        const struct kt_keeper_request request = {.op = KT_KEEPER_STATUS};
        assert_false(kt_keeper_request_valid(&request, size));
    }
}

static void answers_are_held_to_their_size(void **state)
{
    (void)state;
    struct kt_keeper_answer answer = {.op = KT_KEEPER_STATUS, .len = 2};
    assert_true(kt_keeper_answer_valid(&answer, kt_keeper_answer_size(2)));
    assert_false(kt_keeper_answer_valid(&answer, kt_keeper_answer_size(9)));
    assert_false(kt_keeper_answer_valid(&answer, 4));
    answer.code = KT_CODE_COUNT;
    assert_false(kt_keeper_answer_valid(&answer, kt_keeper_answer_size(2)));
    answer.code = KT_OK;
    answer.len = UINT32_MAX;
    assert_false(kt_keeper_answer_valid(&answer, sizeof(answer)));
    answer.len = 0;
    answer.op = 0;
    assert_false(kt_keeper_answer_valid(&answer, kt_keeper_answer_size(0)));
}

/* Lengths of data, one request behind the other. */
static const uint32_t packed[] = {0, 1, 8, 32, KT_KMS_CIPHERTEXT_MAX, 7};

static size_t pack(uint8_t *buffer)
{
    size_t at = 0;
    for (size_t i = 0; i < KT_ARRAY_LEN(packed); i++) {
        const struct kt_keeper_request request = {.op = KT_KEEPER_WRAP, .len = packed[i], .tag = i};
        memcpy(buffer + at, &request, kt_keeper_request_size(packed[i]));
        at += kt_keeper_request_size(packed[i]);
    }
    return at;
}

/* How many there are in the first len bytes; what is left behind them is malformed. */
static size_t walk(const uint8_t *buffer, size_t len)
{
    size_t n = 0;
    size_t size = 0;
    for (size_t at = 0; at < len; at += size, n++) {
        const struct kt_keeper_request *request = (const void *)(buffer + at);
        size = kt_keeper_request_first(request, len - at);
        if (size == 0)
            return n;
        assert_int_equal(request->tag, n);
        assert_int_equal(request->len, packed[n]);
    }
    return n;
}

static void several_stand_in_one_message(void **state)
{
    (void)state;
    _Alignas(struct kt_keeper_request) static uint8_t buffer[KT_ARRAY_LEN(packed) * sizeof(struct kt_keeper_request)];
    const size_t len = pack(buffer);
    assert_int_equal(walk(buffer, len), KT_ARRAY_LEN(packed));
    for (size_t cut = 1; cut <= len; cut++)
        assert_in_range(walk(buffer, len - cut), 0, KT_ARRAY_LEN(packed) - 1);
    memset(buffer, 0xff, sizeof(struct kt_keeper_request));
    assert_int_equal(walk(buffer, len), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_held_to_their_size),
        cmocka_unit_test(answers_are_held_to_their_size),
        cmocka_unit_test(several_stand_in_one_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
