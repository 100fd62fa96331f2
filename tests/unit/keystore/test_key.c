/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/key.h"
#include "support.h"

struct spelling {
    int number;
    const char *text;
};

/* One enum with its two functions, made alike for the table. */
struct names {
    const char *(*text)(int);
    int (*parse)(const char *);
    struct spelling all[8];
};

#define ADAPT(name, type, to_text, to_number)  \
    static const char *name##_text(int number) \
    {                                          \
        return to_text((type)number);          \
    }                                          \
    static int name##_parse(const char *text)  \
    {                                          \
        return (int)to_number(text);           \
    }
ADAPT(type, enum kt_key_type, kt_key_type_text, kt_key_type_parse)
ADAPT(state, enum kt_key_state, kt_key_state_text, kt_key_state_parse)
ADAPT(stage, enum kt_stage, kt_stage_text, kt_stage_parse)
ADAPT(recipient, enum kt_recipient_kind, kt_recipient_kind_text, kt_recipient_kind_parse)

static const struct names all_names[] = {
    {type_text,
     type_parse,
     {{KT_KEY_KMS, "kms"}, {KT_KEY_AESCBC, "aescbc"}, {KT_KEY_AESGCM, "aesgcm"}, {KT_KEY_SECRETBOX, "secretbox"}}},
    {state_text,
     state_parse,
     {{KT_KEY_ACTIVE, "active"},
      {KT_KEY_READY, "ready"},
      {KT_KEY_RETIRING, "retiring"},
      {KT_KEY_COMPROMISED, "compromised"}}},
    {stage_text,
     stage_parse,
     {{KT_STAGE_START, "start"},
      {KT_STAGE_PREPARE, "prepare"},
      {KT_STAGE_ROTATE, "rotate"},
      {KT_STAGE_REENCRYPT_REQUEST, "reencrypt_request"},
      {KT_STAGE_REENCRYPT_ACTIVE, "reencrypt_active"},
      {KT_STAGE_REENCRYPT_FINISHED, "reencrypt_finished"}}},
    {recipient_text,
     recipient_parse,
     {{KT_RECIPIENT_FILE, "file"}, {KT_RECIPIENT_TPM2, "tpm2"}, {KT_RECIPIENT_RECOVERY, "recovery"}}},
};

static void spelled_as_in_the_file_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(all_names); i++) {
        for (const struct spelling *s = all_names[i].all; s->text; s++) {
            assert_string_equal(all_names[i].text(s->number), s->text);
            assert_int_equal(all_names[i].parse(s->text), s->number);
        }
    }
}

static void unknown_texts_and_numbers(void **state)
{
    static const char *const bad[] = {"",     "KMS",     "kms ",     " kms",  "km",
                                      "kmss", "unknown", "active\n", "Start", "file\t"};
    static const int numbers[] = {0, -1, 7, 99, INT32_MAX, INT32_MIN};
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(all_names); i++) {
        for (size_t j = 0; j < KT_ARRAY_LEN(bad); j++)
            assert_int_equal(all_names[i].parse(bad[j]), 0);
        for (size_t j = 0; j < KT_ARRAY_LEN(numbers); j++)
            assert_string_equal(all_names[i].text(numbers[j]), "unknown");
    }
}

static void algorithm_and_display_of_each_type(void **state)
{
    static const struct {
        enum kt_key_type type;
        const char *algorithm;
        const char *display;
    } table[] = {
        {KT_KEY_KMS, "AES-256-GCM", "KMS-v2"},       {KT_KEY_AESCBC, "AES-256-CBC", "AES-CBC"},
        {KT_KEY_AESGCM, "AES-256-GCM", "AES-GCM"},   {KT_KEY_SECRETBOX, "XSalsa20-Poly1305", "XSalsa20-POLY1305"},
        {(enum kt_key_type)0, "unknown", "unknown"}, {(enum kt_key_type)5, "unknown", "unknown"},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        assert_string_equal(kt_key_type_algorithm(table[i].type), table[i].algorithm);
        assert_string_equal(kt_key_type_display(table[i].type), table[i].display);
    }
}

#define ZEROS62 "00000000000000000000000000000000000000000000000000000000000000"

static void hash_text_both_ways(void **state)
{
    static const char text[] = "sha256:" ZEROS62 "9f";
    uint8_t hash[KT_HASH_LEN];
    char again[KT_HASH_TEXT_LEN];
    (void)state;
    assert_int_equal(sizeof(text), KT_HASH_TEXT_LEN);
    assert_true(kt_hash_parse(text, hash));
    assert_int_equal(hash[31], 0x9f);
    kt_hash_format(hash, again);
    assert_string_equal(again, text);
}

static void hash_text_that_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        "sha256:",
        ZEROS62 "00",
        "sha256:" ZEROS62,
        "sha256:" ZEROS62 "0",
        "sha256:" ZEROS62 "000",
        "sha256:" ZEROS62 "0000",
        "sha256:" ZEROS62 "0g",
        "sha256:" ZEROS62 "9F",
        "SHA256:" ZEROS62 "00",
        "sha512:" ZEROS62 "00",
        "sha256 " ZEROS62 "00",
        " sha256:" ZEROS62 "0",
        "sha256:" ZEROS62 "0\n",
        "sha256: " ZEROS62 "0",
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        uint8_t hash[KT_HASH_LEN];
        if (kt_hash_parse(bad[i], hash))
            fail_msg("taken: \"%s\"", bad[i]);
    }
}

static void newer_is_the_higher_pair(void **state)
{
    static const struct {
        uint64_t a[2];
        uint64_t b[2];
        int order;
    } table[] = {
        {{1, 1}, {1, 1}, 0},          {{1, 1}, {1, 2}, -1},
        {{1, 9}, {2, 1}, -1},         {{2, 1}, {1, KT_NUMBER_MAX}, 1},
        {{0, 0}, {1, 1}, -1},         {{UINT64_MAX, 0}, {0, UINT64_MAX}, 1},
        {{1, UINT64_MAX}, {1, 0}, 1},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        const int order = kt_keyring_compare(table[i].a[0], table[i].a[1], table[i].b[0], table[i].b[1]);
        const int reverse = kt_keyring_compare(table[i].b[0], table[i].b[1], table[i].a[0], table[i].a[1]);
        assert_int_equal((order > 0) - (order < 0), table[i].order);
        assert_int_equal((reverse > 0) - (reverse < 0), -table[i].order);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spelled_as_in_the_file_both_ways),
        cmocka_unit_test(unknown_texts_and_numbers),
        cmocka_unit_test(algorithm_and_display_of_each_type),
        cmocka_unit_test(hash_text_both_ways),
        cmocka_unit_test(hash_text_that_is_none),
        cmocka_unit_test(newer_is_the_higher_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
