/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/keeper_keys.h"
#include "tests/unit/base/unit.h"
#include "tests/unit/kmsplugin/keyset_fixture.h"

static struct kt_keyset *make(uint64_t generation, const struct key_plan *keys, size_t n)
{
    static struct kt_opener_answer answer;
    plan_answer(&answer, generation, keys, n);
    struct kt_keyset *set = kt_keyset_new(&answer, NULL);
    kt_opener_answer_done(&answer);
    assert_non_null(set);
    return set;
}

static const struct {
    struct key_plan keys[3];
    size_t n;
    size_t encrypts;
} choices[] = {
    {{{'a', KT_KEY_KMS, KT_KEY_ACTIVE, false}, {'b', KT_KEY_KMS, KT_KEY_READY, false}}, 2, 0},
    {{{'a', KT_KEY_AESCBC, KT_KEY_ACTIVE, false}, {'b', KT_KEY_KMS, KT_KEY_READY, false}}, 2, 1},
    /* Behind an inline one, whatever decrypts has to wrap too, or kube-apiserver reads nothing after its next start. */
    {{{'a', KT_KEY_AESCBC, KT_KEY_ACTIVE, false}, {'b', KT_KEY_KMS, KT_KEY_RETIRING, false}}, 2, 1},
    {{{'a', KT_KEY_AESCBC, KT_KEY_ACTIVE, false}, {'b', KT_KEY_KMS, KT_KEY_COMPROMISED, false}}, 2, 1},
    {{{'a', KT_KEY_AESCBC, KT_KEY_ACTIVE, false}, {'b', KT_KEY_KMS, KT_KEY_ACTIVE, true}}, 2, 1},
    {{{'a', KT_KEY_SECRETBOX, KT_KEY_ACTIVE, false},
      {'c', KT_KEY_KMS, KT_KEY_RETIRING, false},
      {'b', KT_KEY_KMS, KT_KEY_ACTIVE, true}},
     3,
     1},
    {{{'a', KT_KEY_AESCBC, KT_KEY_ACTIVE, false}, {'b', KT_KEY_SECRETBOX, KT_KEY_READY, false}}, 2, KT_NO_KEY},
    {{{'a', KT_KEY_AESCBC, KT_KEY_ACTIVE, false},
      {'b', KT_KEY_KMS, KT_KEY_RETIRING, false},
      {'c', KT_KEY_KMS, KT_KEY_READY, false}},
     3,
     2},
};

static void chooses_the_first_that_may_encrypt(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(choices); i++) {
        struct kt_keyset *set = make(1, choices[i].keys, choices[i].n);
        if (set->encrypts != choices[i].encrypts || kt_keyset_idle(set) != (choices[i].encrypts == KT_NO_KEY))
            fail_msg("choice %zu: %zu", i, set->encrypts);
        kt_keyset_free(set);
    }
}

static void finds_by_id_what_can_decrypt(void **state)
{
    (void)state;
    const struct key_plan keys[] = {{'a', KT_KEY_KMS, KT_KEY_ACTIVE, false},
                                    {'b', KT_KEY_AESCBC, KT_KEY_READY, false},
                                    {'c', KT_KEY_KMS, KT_KEY_COMPROMISED, false},
                                    {'d', KT_KEY_KMS, KT_KEY_RETIRING, true}};
    const struct {
        char digit;
        size_t index;
    } wanted[] = {{'a', 0}, {'b', KT_NO_KEY}, {'c', 2}, {'d', 3}, {'e', KT_NO_KEY}};
    struct kt_keyset *set = make(1, keys, KT_ARRAY_LEN(keys));
    for (size_t i = 0; i < KT_ARRAY_LEN(wanted); i++) {
        char id[KT_KEY_ID_LEN + 1];
        plan_id(wanted[i].digit, id);
        assert_int_equal(kt_keyset_find(set, id), wanted[i].index);
    }
    assert_int_equal(kt_keyset_find(set, "A0000000000000000000000000000000"), KT_NO_KEY);
    kt_keyset_free(set);
}

static void below_the_floor_nothing_encrypts(void **state)
{
    (void)state;
    const struct key_plan key = {'a', KT_KEY_KMS, KT_KEY_ACTIVE, false};
    static struct kt_opener_answer answer;
    plan_answer(&answer, 1, &key, 1);
    answer.below_floor = true;
    struct kt_keyset *set = kt_keyset_new(&answer, NULL);
    assert_non_null(set);
    assert_null(answer.info);
    assert_int_equal(set->encrypts, KT_NO_KEY);
    assert_false(kt_keyset_idle(set)); /* there is something to serve, and it is not served */
    kt_keyset_free(set);
    kt_opener_answer_done(&answer);
}

static void incomplete_answers_are_refused(void **state)
{
    (void)state;
    const struct key_plan key = {'a', KT_KEY_KMS, KT_KEY_ACTIVE, false};
    static struct kt_opener_answer answer;
    struct kt_error err = KT_ERROR_INIT;
    assert_null(kt_keyset_new(&answer, &err));
    assert_int_equal(err.code, KT_E_INTERNAL);
    plan_answer(&answer, 1, &key, 1);
    kt_secret_free(answer.keys[0]);
    answer.keys[0] = NULL;
    assert_null(kt_keyset_new(&answer, &err));
    assert_non_null(answer.info); /* still the caller's */
    answer.info->n_keys = KT_LOADED_KEYS_MAX + 1;
    assert_null(kt_keyset_new(&answer, &err));
    answer.info->n_keys = 0;
    kt_opener_answer_done(&answer);
}

static const struct {
    uint64_t old;
    uint64_t next;
    struct key_plan keys[2];
    size_t n;
    char archived; /* 0: none */
    enum kt_code code;
    bool inline_too; /* the old one lists 'c', which is not served from here */
} successors[] = {
    {1, 2, {{'a', KT_KEY_KMS, KT_KEY_ACTIVE, false}}, 1, 0, KT_OK, false},
    {2, 2, {{'a', KT_KEY_KMS, KT_KEY_ACTIVE, false}}, 1, 0, KT_OK, false},
    {1, 2, {{'b', KT_KEY_KMS, KT_KEY_ACTIVE, false}}, 1, 0, KT_E_KEYRING_LOSES_KEY, false},
    {1, 2, {{'b', KT_KEY_KMS, KT_KEY_ACTIVE, false}}, 1, 'a', KT_OK, false},
    {1, 2, {{'b', KT_KEY_KMS, KT_KEY_ACTIVE, false}, {'a', KT_KEY_KMS, KT_KEY_ACTIVE, true}}, 2, 0, KT_OK, false},
    {1,
     2,
     {{'b', KT_KEY_KMS, KT_KEY_ACTIVE, false}, {'a', KT_KEY_AESCBC, KT_KEY_READY, false}},
     2,
     0,
     KT_E_KEYRING_LOSES_KEY,
     false},
    {3, 2, {{'a', KT_KEY_KMS, KT_KEY_ACTIVE, false}}, 1, 0, KT_E_KEYRING_OLDER, false},
    {.old = 1,
     .next = 2,
     .keys = {{'b', KT_KEY_KMS, KT_KEY_ACTIVE, false}},
     .n = 1,
     .archived = 'a',
     .inline_too = true,
     .code = KT_E_KEYRING_LOSES_KEY},
};

static void successor_loses_nothing(void **state)
{
    (void)state;
    const struct key_plan keys[] = {{'a', KT_KEY_KMS, KT_KEY_ACTIVE, false}, {'c', KT_KEY_AESCBC, KT_KEY_READY, false}};
    for (size_t i = 0; i < KT_ARRAY_LEN(successors); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_keyset *old = make(successors[i].old, keys, successors[i].inline_too ? 2 : 1);
        struct kt_keyset *set = make(successors[i].next, successors[i].keys, successors[i].n);
        if (successors[i].archived) {
            plan_id(successors[i].archived, set->info->archive[0].id);
            set->info->n_archive = 1;
        }
        bool good = kt_keyset_follows(set, old, &err);
        if (good != (successors[i].code == KT_OK) || err.code != successors[i].code)
            fail_msg("successor %zu: %s", i, kt_code_name(err.code));
        kt_keyset_free(old);
        kt_keyset_free(set);
    }
}

/* By its name kube-apiserver finds what is stored under an inline key; the keeper has not its bytes, but knows that. */
static void inline_key_keeps_its_name(void **state)
{
    (void)state;
    const struct key_plan keys[] = {{'a', KT_KEY_KMS, KT_KEY_ACTIVE, false}, {'c', KT_KEY_AESCBC, KT_KEY_READY, false}};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_keyset *old = make(1, keys, 2);
    struct kt_keyset *set = make(2, keys, 2);
    (void)snprintf(set->info->keys[0].name, KT_KEY_NAME_MAX + 1, "renamed");
    assert_true(kt_keyset_follows(set, old, &err));
    (void)snprintf(set->info->keys[1].name, KT_KEY_NAME_MAX + 1, "renamed");
    assert_false(kt_keyset_follows(set, old, &err));
    assert_int_equal(err.code, KT_E_KEYRING_LOSES_KEY);
    kt_keyset_free(old);
    kt_keyset_free(set);
}

static void fork_is_refused(void **state)
{
    (void)state;
    const struct key_plan key = {'a', KT_KEY_KMS, KT_KEY_ACTIVE, false};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_keyset *old = make(2, &key, 1);
    struct kt_keyset *set = make(2, &key, 1);
    assert_true(kt_keyset_same(set, old));
    set->info->hash[31] ^= 1;
    assert_false(kt_keyset_same(set, old));
    assert_false(kt_keyset_follows(set, old, &err));
    assert_int_equal(err.code, KT_E_KEYRING_FORK);
    kt_keyset_free(old);
    kt_keyset_free(set);
    kt_keyset_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses_the_first_that_may_encrypt),
        cmocka_unit_test(finds_by_id_what_can_decrypt),
        cmocka_unit_test(below_the_floor_nothing_encrypts),
        cmocka_unit_test(incomplete_answers_are_refused),
        cmocka_unit_test(successor_loses_nothing),
        cmocka_unit_test(inline_key_keeps_its_name),
        cmocka_unit_test(fork_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
