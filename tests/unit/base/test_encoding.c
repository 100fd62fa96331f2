/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "unit.h"

#include <string.h>

/* RFC 4648 §10. */
static const struct {
    const char *plain;
    const char *base64;
    const char *hex;
} VECTORS[] = {
    {"", "", ""},
    {"f", "Zg==", "66"},
    {"fo", "Zm8=", "666f"},
    {"foo", "Zm9v", "666f6f"},
    {"foob", "Zm9vYg==", "666f6f62"},
    {"fooba", "Zm9vYmE=", "666f6f6261"},
    {"foobar", "Zm9vYmFy", "666f6f626172"},
};

static void encodes_the_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(VECTORS); i++) {
        struct kt_slice plain = kt_slice_str(VECTORS[i].plain);
        char text[32];
        assert_int_equal(kt_base64_len(plain.len), strlen(VECTORS[i].base64));
        kt_base64_encode(plain, text);
        assert_string_equal(text, VECTORS[i].base64);
        kt_hex_encode(plain, text);
        assert_string_equal(text, VECTORS[i].hex);
    }
}

static void decodes_the_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(VECTORS); i++) {
        uint8_t bytes[32];
        size_t want = strlen(VECTORS[i].plain);
        size_t len = 99;
        assert_true(kt_base64_decode(kt_slice_str(VECTORS[i].base64), bytes, want, &len));
        assert_int_equal(len, want);
        assert_memory_equal(bytes, VECTORS[i].plain, want);
        assert_true(kt_hex_decode(kt_slice_str(VECTORS[i].hex), bytes, want));
        assert_memory_equal(bytes, VECTORS[i].plain, want);
    }
}

static void all_lengths_and_bytes_come_back(void **state)
{
    (void)state;
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 151 + 7);
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        char text[601];
        uint8_t back[300];
        size_t len = 0;
        kt_base64_encode(KT_SLICE(bytes, n), text);
        assert_int_equal(strlen(text), kt_base64_len(n));
        assert_true(kt_base64_decode(kt_slice_str(text), back, n, &len));
        assert_int_equal(len, n);
        assert_memory_equal(back, bytes, n);
        if (n > 0)
            assert_false(kt_base64_decode(kt_slice_str(text), back, n - 1, &len));
        kt_hex_encode(KT_SLICE(bytes, n), text);
        assert_true(kt_hex_decode(kt_slice_str(text), back, n));
        assert_memory_equal(back, bytes, n);
    }
}

/* Every character there is, in each place of a group. */
static void each_digit_has_its_value(void **state)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        const char *at = c ? strchr(alphabet, (int)c) : NULL;
        for (unsigned place = 0; place < 4; place++) {
            uint8_t text[4] = {'A', 'A', 'A', 'A'};
            uint8_t bytes[3] = {0};
            char back[5] = "";
            size_t len = 0;
            text[place] = (uint8_t)c;
            bool padding = c == '=' && place == 3; /* "AAA=" is two bytes */
            assert_int_equal(kt_base64_decode(KT_SLICE(text, 4), bytes, 3, &len), at != NULL || padding);
            if (!at)
                continue;
            uint32_t group = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
            assert_int_equal(group, (uint32_t)(at - alphabet) << (18 - 6 * place));
            kt_base64_encode(KT_SLICE(bytes, 3), back);
            assert_memory_equal(back, text, 4);
        }
    }
}

static void base64_refuses(void **state)
{
    (void)state;
    static const struct kt_slice HOSTILE[] = {
        {(const uint8_t *)"Z", 1},          {(const uint8_t *)"Zg", 2},
        {(const uint8_t *)"Zg=", 3},        {(const uint8_t *)"=", 1},
        {(const uint8_t *)"====", 4},       {(const uint8_t *)"Z===", 4},
        {(const uint8_t *)"Zh==", 4},       {(const uint8_t *)"Zm9=", 4},
        {(const uint8_t *)"Zg==Zg==", 8},   {(const uint8_t *)"Zg==\n", 5},
        {(const uint8_t *)"Zm9v\n", 5},     {(const uint8_t *)" Zm9", 4},
        {(const uint8_t *)"Zm-v", 4},       {(const uint8_t *)"Zm_v", 4},
        {(const uint8_t *)"Zm\0v", 4},      {(const uint8_t *)"Zm9v\0\0\0\0", 8},
        {(const uint8_t *)"Z\xc3\xa9v", 4}, {(const uint8_t *)"Z=9v", 4},
        {(const uint8_t *)"=m9v", 4},       {(const uint8_t *)"Zm=v", 4},
        {(const uint8_t *)"Zm9v====", 8},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(HOSTILE); i++) {
        uint8_t bytes[16];
        memset(bytes, 0xaa, sizeof(bytes));
        size_t len = 99;
        assert_false(kt_base64_decode(HOSTILE[i], bytes, sizeof(bytes), &len));
        assert_int_equal(len, 99);
        for (size_t j = 0; j < sizeof(bytes); j++)
            assert_int_equal(bytes[j], 0xaa);
    }
}

static void base64_has_one_spelling(void **state)
{
    (void)state;
    static const char LETTERS[] = "Ag/+9=\n";
    char text[5] = {0};
    for (unsigned i = 0; i < 7 * 7 * 7 * 7; i++) {
        unsigned v = i;
        for (size_t j = 0; j < 4; j++, v /= 7)
            text[j] = LETTERS[v % 7];
        uint8_t bytes[3];
        size_t len = 0;
        if (!kt_base64_decode(KT_SLICE(text, 4), bytes, sizeof(bytes), &len))
            continue;
        char again[5];
        kt_base64_encode(KT_SLICE(bytes, len), again);
        assert_string_equal(again, text);
    }
}

static void hex_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } HOSTILE[] = {{"66", 0}, {"66", 2},  {"666", 1}, {"", 1},   {"6G", 1}, {"6A", 1}, {" 6", 1},
                   {"0x", 1}, {"6\n", 1}, {"`0", 1},  {"0:", 1}, {"0/", 1}, {"0g", 1}};
    for (size_t i = 0; i < KT_ARRAY_LEN(HOSTILE); i++) {
        uint8_t bytes[4] = {0xaa, 0xaa, 0xaa, 0xaa};
        assert_false(kt_hex_decode(kt_slice_str(HOSTILE[i].text), bytes, HOSTILE[i].n));
        assert_memory_equal(bytes, "\xaa\xaa\xaa\xaa", 4);
    }
    uint8_t byte = 0;
    assert_false(kt_hex_decode(KT_SLICE("6\0", 2), &byte, 1));
    assert_false(kt_hex_decode(KT_SLICE("66", 2), &byte, SIZE_MAX / 2 + 2));
}

static void lengths_do_not_overflow(void **state)
{
    (void)state;
    assert_int_equal(kt_base64_len(0), 0);
    assert_int_equal(kt_base64_len(32), 44);
    assert_true(kt_base64_len(SIZE_MAX / 4 * 3 - 3) > SIZE_MAX - 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_the_vectors),
        cmocka_unit_test(decodes_the_vectors),
        cmocka_unit_test(all_lengths_and_bytes_come_back),
        cmocka_unit_test(each_digit_has_its_value),
        cmocka_unit_test(base64_refuses),
        cmocka_unit_test(base64_has_one_spelling),
        cmocka_unit_test(hex_refuses),
        cmocka_unit_test(lengths_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
