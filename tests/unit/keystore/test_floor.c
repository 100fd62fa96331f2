/* SPDX-License-Identifier: Apache-2.0 */
#include "keyring_fixture.h"
#include "keystore/floor.h"

static const struct kt_floor FLOOR = {
    .membership = 2, .generation = 7, .hash = {0xab, 0xcd}, .keyring_id = {1, 2}, .founder = {3}, .owner = {4}};
#define ZEROS60 "000000000000000000000000000000000000000000000000000000000000"
#define HASH    "hash sha256:abcd" ZEROS60
#define ID         \
    "keyring 0102" \
    "0000000000000000000000000000\n"
#define FOUNDER "founder sha256:0300" ZEROS60 "\n"
#define OWNER   "owner sha256:0400" ZEROS60 "\n"

static void test_both_ways(void **state)
{
    (void)state;
    char text[KT_FLOOR_TEXT_MAX] = "";
    struct kt_floor found = {0};
    const struct kt_floor highest = {.membership = KT_NUMBER_MAX, .generation = KT_NUMBER_MAX};
    kt_floor_format(&FLOOR, text);
    assert_string_equal(text, "keyturn-floor 1\nmembership 2\ngeneration 7\n" HASH "\n" ID FOUNDER OWNER);
    assert_true(kt_floor_parse(kt_slice_str(text), &found, NULL));
    assert_memory_equal(&found, &FLOOR, sizeof found);
    kt_floor_format(&highest, text);
    assert_true(kt_floor_parse(kt_slice_str(text), &found, NULL));
    assert_memory_equal(&found, &highest, sizeof found);
}

static void test_refused_text(void **state)
{
    static const struct {
        const char *text;
        enum kt_code code;
        const char *says;
    } cases[] = {
        {"", KT_E_KEYRING_FORMAT, "empty"},
        {"keyturn-floor 2\n", KT_E_KEYRING_VERSION, "version 1"},
        {"floor 1\n", KT_E_KEYRING_FORMAT, "line 1"},
        {"keyturn-floor 1\n", KT_E_KEYRING_FORMAT, "line 2"},
        {"keyturn-floor 1\nmembership 0\n", KT_E_KEYRING_FORMAT, "line 2"},
        {"keyturn-floor 1\nmembership -1\n", KT_E_KEYRING_FORMAT, "line 2"},
        {"keyturn-floor 1\nmembership 9007199254740993\n", KT_E_KEYRING_FORMAT, "line 2"},
        {"keyturn-floor 1\nmembership 99999999999999999999999\n", KT_E_KEYRING_FORMAT, "line 2"},
        {"keyturn-floor 1\nmembership 1\ngeneration 01\n", KT_E_KEYRING_FORMAT, "line 3"},
        {"keyturn-floor 1\nmembership 1\ngeneration 1\n" HASH, KT_E_KEYRING_FORMAT, "line 4"},
        {"keyturn-floor 1\nmembership 1\ngeneration 1\nhash sha256:ab\n", KT_E_KEYRING_FORMAT, "line 4"},
        {"keyturn-floor 1\nmembership 1\ngeneration 1\n" HASH "0\n", KT_E_KEYRING_FORMAT, "line 4"},
        {"keyturn-floor 1\nmembership 1\ngeneration 1\n" HASH "\n\n", KT_E_KEYRING_FORMAT, "line 5"},
        {"keyturn-floor 1\nmembership 1\ngeneration 1\n" HASH "\nkeyring 00\n", KT_E_KEYRING_FORMAT, "line 5"},
        {"keyturn-floor 1\nmembership 1\ngeneration 1\n" HASH "\n" ID "founder x\n", KT_E_KEYRING_FORMAT, "line 6"},
        {"keyturn-floor 1\nmembership 1\ngeneration 1\n" HASH "\n" ID FOUNDER, KT_E_KEYRING_FORMAT, "line 7"},
        {"keyturn-floor 1\nmembership 1\ngeneration 1\n" HASH "\n" ID FOUNDER OWNER "\n", KT_E_KEYRING_FORMAT,
         "the end"},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_floor found = {0};
        assert_false(kt_floor_parse(kt_slice_str(cases[i].text), &found, &err));
        if (err.code != cases[i].code || !strstr(err.message, cases[i].says))
            fail_msg("case %zu: %s: %s", i, kt_code_name(err.code), err.message);
        assert_true(err.hint[0]);
        assert_int_equal(found.membership, 0);
    }
}

static void test_cut_or_flipped_text(void **state)
{
    (void)state;
    char text[KT_FLOOR_TEXT_MAX] = "";
    kt_floor_format(&FLOOR, text);
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        struct kt_floor found = {0};
        assert_false(kt_floor_parse(KT_SLICE(text, i), &found, NULL));
        text[i] = (char)(text[i] ^ 0x80);
        assert_false(kt_floor_parse(KT_SLICE(text, len), &found, NULL));
        text[i] = (char)(text[i] ^ 0x80);
    }
}

static void test_compare(void **state)
{
    static const struct {
        uint64_t membership;
        uint64_t generation;
        uint8_t first;
        enum kt_floor_verdict verdict;
    } cases[] = {
        {2, 7, 0xab, KT_FLOOR_SAME},  {2, 7, 0xac, KT_FLOOR_FORK},  {2, 8, 0xac, KT_FLOOR_NEWER},
        {2, 6, 0xac, KT_FLOOR_OLDER}, {3, 1, 0xac, KT_FLOOR_NEWER}, {1, 9, 0xab, KT_FLOOR_OLDER},
    };
    struct kt_keyring_info *info = calloc(1, sizeof *info);
    const struct kt_floor none = {0};
    (void)state;
    assert_non_null(info);
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_floor back = {0};
        info->membership = cases[i].membership;
        info->generation = cases[i].generation;
        memcpy(info->hash, FLOOR.hash, KT_HASH_LEN);
        info->hash[0] = cases[i].first;
        assert_int_equal(kt_floor_compare(&FLOOR, info), cases[i].verdict);
        assert_int_equal(kt_floor_compare(&none, info), KT_FLOOR_NEWER);
        kt_floor_of(info, &back);
        assert_int_equal(kt_floor_compare(&back, info), KT_FLOOR_SAME);
    }
    free(info);
}

static void test_leap(void **state)
{
    static const struct {
        uint64_t membership;
        uint64_t generation;
        uint64_t made_over;
        bool leap;
    } cases[] = {
        {2, 8, 6, false},
        {2, 7 + KT_GENERATION_LEAP_MAX, 6, false},
        {2, 8 + KT_GENERATION_LEAP_MAX, 6, true},
        {2, KT_NUMBER_MAX, 6, true},
        {2, KT_NUMBER_MAX, KT_NUMBER_MAX - 1, true}, /* under the membership that is known, what it says is not news */
        {3, 4, 3, false},
        {3, 9 + KT_GENERATION_LEAP_MAX, 9, false},
        {3, 10 + KT_GENERATION_LEAP_MAX, 9, true},
        {3, KT_NUMBER_MAX, 9, true},
        {3, KT_NUMBER_MAX, KT_NUMBER_MAX - 1, false},
    };
    struct kt_keyring_info *info = calloc(1, sizeof *info);
    (void)state;
    assert_non_null(info);
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        info->membership = cases[i].membership;
        info->generation = cases[i].generation;
        assert_int_equal(kt_floor_is_leap(&FLOOR, info, cases[i].made_over), cases[i].leap);
    }
    free(info);
}

static struct kt_floor_side side_of(const struct fixture *f)
{
    return (struct kt_floor_side){.info = kt_keyring_info(f->keyring), .keys = f->keys};
}

static void test_keeps_what_is_not_carried_on(void **state)
{
    struct fixture older = {0};
    struct fixture newer = {0};
    const struct kt_edit add = {.kind = KT_EDIT_ADD, .name = "second", .type = KT_KEY_KMS};
    bool keep = true;
    (void)state;
    fixture_init(&older);
    fixture_init(&newer);
    struct kt_floor_side one = side_of(&older);
    struct kt_floor_side other = side_of(&newer);
    assert_true(kt_floor_check_keys(&one, &one, &keep, NULL));
    assert_false(keep);
    assert_true(kt_floor_check_keys(&one, &other, &keep, NULL));
    assert_true(keep);
    fixture_write(&newer, &add, 1);
    other = side_of(&newer);
    /* The same keys and more, in the newer one. */
    memcpy(older.keyring->info.keys[0].id, newer.keyring->info.keys[0].id, KT_KEY_ID_LEN);
    memcpy(kt_secret_bytes(older.keys->bytes[0]), kt_secret_view(newer.keys->bytes[0]), KT_KEY_BYTES);
    assert_true(kt_floor_check_keys(&one, &other, &keep, NULL));
    assert_false(keep);
    assert_true(kt_floor_check_keys(&other, &one, &keep, NULL));
    assert_true(keep);
    fixture_done(&older);
    fixture_done(&newer);
}

static void test_refuses_to_lose_a_key(void **state)
{
    struct fixture before = {0};
    struct fixture after = {0};
    struct kt_error err = KT_ERROR_INIT;
    bool keep = false;
    (void)state;
    fixture_init(&before);
    fixture_init(&after);
    const struct kt_floor_side one = side_of(&before);
    const struct kt_floor_side other = side_of(&after);
    memcpy(after.keyring->info.keys[0].id, before.keyring->info.keys[0].id, KT_KEY_ID_LEN);
    assert_false(kt_floor_check_keys(&one, &other, &keep, &err));
    assert_int_equal(err.code, KT_E_KEYRING_LOSES_KEY);
    assert_non_null(strstr(err.message, before.keyring->info.keys[0].id));
    assert_non_null(strstr(err.message, "another key"));
    memcpy(kt_secret_bytes(after.keys->bytes[0]), kt_secret_view(before.keys->bytes[0]), KT_KEY_BYTES);
    assert_true(kt_floor_check_keys(&one, &other, &keep, &err));
    after.keyring->info.keys[0].type = KT_KEY_AESGCM;
    assert_false(kt_floor_check_keys(&one, &other, &keep, &err));
    assert_non_null(strstr(err.message, "another type"));
    /* The name of a kms key is nowhere in what is stored; that of an inline one is in all of it. */
    after.keyring->info.keys[0].type = KT_KEY_KMS;
    snprintf(after.keyring->info.keys[0].name, KT_KEY_NAME_MAX + 1, "renamed");
    assert_true(kt_floor_check_keys(&one, &other, &keep, &err));
    after.keyring->info.keys[0].type = before.keyring->info.keys[0].type = KT_KEY_AESCBC;
    assert_false(kt_floor_check_keys(&one, &other, &keep, &err));
    assert_int_equal(err.code, KT_E_KEYRING_LOSES_KEY);
    assert_non_null(strstr(err.message, "another name"));
    fixture_done(&before);
    fixture_done(&after);
}

static void test_archived_keys(void **state)
{
    struct fixture f = {0};
    bool keep = true;
    (void)state;
    fixture_init(&f);
    struct kt_keyring *archived = kt_keyring_new(NULL);
    assert_non_null(archived);
    *archived = *f.keyring;
    archived->info.n_keys = 0;
    archived->info.n_archive = 1;
    memcpy(archived->info.archive[0].id, f.keyring->info.keys[0].id, KT_KEY_ID_LEN + 1);
    archived->info.archive[0].type = KT_KEY_KMS;
    const struct kt_floor_side listed = side_of(&f);
    const struct kt_floor_side retired = {.info = &archived->info, .keys = f.keys};
    assert_true(kt_floor_check_keys(&listed, &retired, &keep, NULL));
    assert_false(keep);
    archived->info.archive[0].type = KT_KEY_SECRETBOX;
    assert_false(kt_floor_check_keys(&listed, &retired, &keep, NULL));
    /* A sealed copy that nothing newer has is kept too. */
    archived->info.archive[0].id[0] ^= 1;
    assert_true(kt_floor_check_keys(&retired, &listed, &keep, NULL));
    assert_true(keep);
    free(archived);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_refused_text),
        cmocka_unit_test(test_cut_or_flipped_text),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_leap),
        cmocka_unit_test(test_keeps_what_is_not_carried_on),
        cmocka_unit_test(test_refuses_to_lose_a_key),
        cmocka_unit_test(test_archived_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
