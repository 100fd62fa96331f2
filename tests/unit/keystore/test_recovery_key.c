/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/recovery_key.h"
#include "support.h"

#define KEY    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *
#define SECRET KT_CLEANUP(kt_secret_free_p) struct kt_secret *

/* From another implementation of docs/keyring-format.md §7. */
static const struct {
    const char *key, *text, *recipient, *owner;
} vectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000",
     "0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-9CEE",
     "0476001d9a1ae6708cbc5c3822f0426491bf1c9e7ee3b2b9d15b3666f57500bd008c28299f696bb1de24c55d8c888adff1b894e375805c959"
     "5f0"
     "107a5c61f3d71e",
     "0497f34d2c011a67e9caa14aac9b3b89c4e4c6b703a9240f725b6ce5aa7099cfcab8e260635bf8f5ace64ea6454909725da6f2bda8d80ea55"
     "fb9"
     "92d094fc9b5bf0"},
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "000G-40R4-0M30-E209-185G-R38E-1W81-24GK-2GAH-C5RR-34D1-P70X-3RFG-YQVJ",
     "044f59cda5bb00e36ac7be41a56021dc78b4ac0ad55bd695339859140ccadd8d7c509f5e444d0f2b257b41717401bf43bcfa13efca3b5c08b"
     "0f7"
     "f4ff4f8ade1b2b",
     "046a49507bf4e24c9689dd16b20eeef64de979a4efa4d3404ada2ace26145fbb1d11d6f9329a1cfe87b485dad200d5bb3413f2ea8334772b6"
     "1f9"
     "86c05a8d4095f6"},
    {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
     "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZG-8RHJ",
     "045ccca37e655aef4639d29382bb204702a6cb4266e2bcc6adb292b6aae7e80ef16e809a5042f66a077cfac1118afab0db23dee48884ced2a"
     "516"
     "e2b960179586fd",
     "0428c440ba3fe175b3788db41328c3d8a412bfdf18615f89f799fc511bd8e592b3e7677505a973a3eea0e5ee73e4647d91558710b38c69d5e"
     "d8e"
     "8cdfae48bfd215"},
};
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static struct kt_secret *parse(const char *text, struct kt_error *err)
{
    SECRET secret = secret_copy(text, strlen(text));
    return kt_recovery_key_parse(secret, err);
}

static void assert_parses(const char *text, const char *key)
{
    struct kt_error err = KT_ERROR_INIT;
    SECRET parsed = parse(text, &err);
    assert_ok(parsed);
    assert_secret_hex(parsed, key);
}

/* Refused with words that have `words` in them and no four characters of the text in a row. */
static void assert_not_parsed(const char *text, const char *words)
{
    struct kt_error err = KT_ERROR_INIT;
    assert_refused(parse(text, &err), KT_E_RECOVERY_KEY);
    if (!strstr(err.message, words))
        fail_msg("\"%s\" does not say \"%s\"", err.message, words);
    for (size_t i = 0; i + 4 <= strlen(text); i++) {
        char group[5] = {0};
        memcpy(group, text + i, 4);
        assert_null(strstr(err.message, group));
        assert_null(strstr(err.hint, group));
    }
}

static void text_both_ways(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(vectors); i++) {
        SECRET key = secret_hex(vectors[i].key);
        SECRET text = kt_recovery_key_format(key, &err);
        assert_ok(text);
        assert_int_equal(kt_secret_len(text), KT_RECOVERY_TEXT_LEN);
        assert_memory_equal(kt_secret_view(text), vectors[i].text, KT_RECOVERY_TEXT_LEN);
        SECRET again = kt_recovery_key_parse(text, &err);
        assert_ok(again);
        assert_true(kt_secret_equal(again, key));
        assert_parses(vectors[i].text, vectors[i].key);
    }
}

static void random_keys_come_back(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        SECRET key = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, &err);
        assert_ok(key);
        SECRET text = kt_recovery_key_format(key, &err);
        assert_ok(text);
        SECRET again = kt_recovery_key_parse(text, &err);
        assert_ok(again);
        assert_true(kt_secret_equal(again, key));
    }
}

static void as_people_write_it(void **state)
{
    static const char *const zeros[] = {
        "oooo-OOOO-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-9cee",
        "00000000000000000000000000000000000000000000000000009CEE",
        "  0000 0000 0000 0000 0000 0000 0000\r\n0000 0000 0000 0000 0000 0000 9CEE\n",
        "0000-0000-0000-0000-0000-0000-0000-\n0000-0000-0000-0000-0000-0000-9CEE--",
    };
    static const char *const counting[] = {
        "000g-40r4-0m30-e209-185g-r38e-1w81-24gk-2gah-c5rr-34d1-p70x-3rfg-yqvj",
        "OOOG-4OR4-OM3O-E2O9-I85G-R38E-lW8L-24GK-2GAH-C5RR-34Di-P7OX-3RFG-YQVJ",
    };
    (void)state;
    assert_int_equal(strlen(zeros[1]), 56);
    for (size_t i = 0; i < KT_ARRAY_LEN(zeros); i++)
        assert_parses(zeros[i], vectors[0].key);
    for (size_t i = 0; i < KT_ARRAY_LEN(counting); i++)
        assert_parses(counting[i], vectors[1].key);
}

static void too_short_and_too_long(void **state)
{
    char text[KT_RECOVERY_TEXT_LEN + 1] = {0};
    (void)state;
    for (size_t len = 1; len < KT_RECOVERY_TEXT_LEN - 1; len++) {
        memcpy(text, vectors[1].text, len);
        text[len] = '\0';
        assert_not_parsed(text, "too short");
    }
    memcpy(text, vectors[1].text, KT_RECOVERY_TEXT_LEN - 1);
    text[KT_RECOVERY_TEXT_LEN - 1] = 'J';
    assert_not_parsed(text, "too long");
    assert_not_parsed("-", "too short");
    assert_not_parsed("\n", "too short");
}

/* A key among spaces, and more text than any recovery key has. */
static void up_to_256_bytes(void **state)
{
    char text[300];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    memset(text, ' ', sizeof(text));
    memcpy(text + 100, vectors[1].text, KT_RECOVERY_TEXT_LEN - 1);
    SECRET fits = secret_copy(text, 256);
    SECRET key = kt_recovery_key_parse(fits, &err);
    assert_ok(key);
    SECRET over = secret_copy(text, 257);
    assert_refused(kt_recovery_key_parse(over, &err), KT_E_RECOVERY_KEY);
    assert_non_null(strstr(err.message, "too long"));
    text[256] = '\0';
    SECRET with_nul = secret_copy(text, 257);
    SECRET same = kt_recovery_key_parse(with_nul, &err);
    assert_ok(same);
    SECRET nul = secret_copy("", 1);
    assert_refused(kt_recovery_key_parse(nul, &err), KT_E_RECOVERY_KEY);
}

static void foreign_characters_by_position(void **state)
{
    static const char foreign[] = "Uu!_.,\t\"'/=+*\x7f\x80\xc3\xff\x01";
    (void)state;
    for (const char *c = foreign; *c; c++) {
        char text[KT_RECOVERY_TEXT_LEN];
        memcpy(text, vectors[1].text, sizeof(text));
        text[0] = *c;
        assert_not_parsed(text, "position 1 of the recovery key (in group 1)");
        text[0] = vectors[1].text[0];
        text[37] = *c;
        assert_not_parsed(text, "position 38 of the recovery key (in group 8)");
        text[37] = vectors[1].text[37];
        text[68] = *c;
        assert_not_parsed(text, "position 69 of the recovery key (in group 14)");
    }
}

static void a_nul_in_the_middle_is_foreign(void **state)
{
    char text[KT_RECOVERY_TEXT_LEN];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    memcpy(text, vectors[1].text, sizeof(text));
    text[10] = '\0';
    SECRET secret = secret_copy(text, sizeof(text));
    assert_refused(kt_recovery_key_parse(secret, &err), KT_E_RECOVERY_KEY);
    assert_non_null(strstr(err.message, "position 11"));
}

static void every_wrong_digit_is_found(void **state)
{
    char text[KT_RECOVERY_TEXT_LEN];
    (void)state;
    memcpy(text, vectors[1].text, sizeof(text));
    for (size_t i = 0; i < KT_RECOVERY_TEXT_LEN - 1; i++) {
        const char right = text[i];
        for (size_t j = 0; right != '-' && j < 32; j++) {
            text[i] = alphabet[j];
            if (text[i] != right)
                assert_not_parsed(text, "check group does not fit");
        }
        text[i] = right;
    }
}

static void every_swapped_pair_is_found(void **state)
{
    char text[KT_RECOVERY_TEXT_LEN];
    (void)state;
    for (size_t i = 0; i < KT_RECOVERY_TEXT_LEN - 2; i++) {
        memcpy(text, vectors[1].text, sizeof(text));
        const size_t next = text[i + 1] == '-' ? i + 2 : i + 1;
        const char swapped = text[i];
        if (swapped == '-' || swapped == text[next])
            continue;
        text[i] = text[next];
        text[next] = swapped;
        assert_not_parsed(text, "check group does not fit");
    }
}

static void key_pairs_of_the_recovery_key(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    uint8_t point[KT_P256_PUBLIC];
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(vectors); i++) {
        SECRET key = secret_hex(vectors[i].key);
        KEY recipient = kt_recovery_key_recipient(key, &err);
        assert_ok(recipient);
        kt_p256_public(recipient, point);
        assert_memory_equal(point, hex(vectors[i].recipient).data, sizeof(point));
        KEY owner = kt_recovery_key_owner(key, &err);
        assert_ok(owner);
        kt_p256_public(owner, point);
        assert_memory_equal(point, hex(vectors[i].owner).data, sizeof(point));
    }
}

static void keys_of_another_size_are_refused(void **state)
{
    static const size_t lengths[] = {1, 16, 31, 33};
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(lengths); i++) {
        SECRET key = kt_secret_new(lengths[i], &err);
        assert_ok(key);
        assert_refused(kt_recovery_key_format(key, &err), KT_E_INTERNAL);
        assert_refused(kt_recovery_key_recipient(key, &err), KT_E_INTERNAL);
        assert_refused(kt_recovery_key_owner(key, &err), KT_E_INTERNAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_both_ways),
        cmocka_unit_test(random_keys_come_back),
        cmocka_unit_test(as_people_write_it),
        cmocka_unit_test(too_short_and_too_long),
        cmocka_unit_test(up_to_256_bytes),
        cmocka_unit_test(foreign_characters_by_position),
        cmocka_unit_test(a_nul_in_the_middle_is_foreign),
        cmocka_unit_test(every_wrong_digit_is_found),
        cmocka_unit_test(every_swapped_pair_is_found),
        cmocka_unit_test(key_pairs_of_the_recovery_key),
        cmocka_unit_test(keys_of_another_size_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
