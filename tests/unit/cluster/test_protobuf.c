/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/protobuf.h"
#include "proto/encrypted_object.pb-c.h"
#include "tests/unit/base/unit.h"

#include <string.h>

struct seen {
    unsigned n;
    struct kt_pb_field last;
    bool bad;
};

static struct seen walk(const char *bytes, size_t len)
{
    struct kt_reader r;
    struct seen seen = {.n = 0};
    kt_reader_init(&r, KT_SLICE(bytes, len));
    while (kt_pb_next(&r, &seen.last))
        seen.n++;
    seen.bad = r.bad;
    return seen;
}

static const struct {
    const char *bytes;
    size_t len;
    unsigned fields;
    bool bad;
    uint64_t value; /* of the last field */
} MESSAGES[] = {
#define M(text, ...)                        \
    {                                       \
        text, sizeof(text) - 1, __VA_ARGS__ \
    }
    M("", 0, false, 0),
    M("\x08\x00", 1, false, 0),
    M("\x08\x96\x01", 1, false, 150),
    M("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1, false, UINT64_MAX),
    M("\x09\x01\x02\x03\x04\x05\x06\x07\x08", 1, false, UINT64_C(0x0807060504030201)),
    M("\x0d\x01\x02\x03\x04", 1, false, 0x04030201),
    M("\x0a\x00", 1, false, 0),
    M("\x0a\x03"
      "abc\x10\x07",
      2, false, 7),
    M("\xf8\xff\xff\xff\x0f\x01", 1, false, 1), /* the highest number */
    /* malformed */
    M("\x08", 0, true, 0),
    M("\x08\x80", 0, true, 0),
    M("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 0, true, 0), /* 65 bits */
    M("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 0, true, 0),
    M("\x0a\x04"
      "abc",
      0, true, 0),
    M("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, true, 0), /* a length of 2^64-1 */
    M("\x09\x01\x02\x03\x04\x05\x06\x07", 0, true, 0),
    M("\x0d\x01\x02\x03", 0, true, 0),
    M("\x00\x01", 0, true, 0),                 /* field 0 */
    M("\x80\x80\x80\x80\x10\x01", 0, true, 0), /* field 2^29 */
    M("\x0b\x0c", 0, true, 0),                 /* a group */
    M("\x0e\x01", 0, true, 0),
    M("\x0f\x01", 0, true, 0),
    M("\x08\x01\x0a\x02z", 1, true, 1),
#undef M
};

static void test_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(MESSAGES); i++) {
        struct seen seen = walk(MESSAGES[i].bytes, MESSAGES[i].len);
        if (seen.n != MESSAGES[i].fields || seen.bad != MESSAGES[i].bad ||
            (seen.n > 0 && seen.last.value != MESSAGES[i].value))
            fail_msg("message %zu: %u fields, %s, last %llu", i, seen.n, seen.bad ? "bad" : "good",
                     (unsigned long long)seen.last.value);
    }
}

static void test_bytes_in_place(void **state)
{
    (void)state;
    static const char message[] = "\x12\x03"
                                  "a\0b";
    struct kt_reader r;
    struct kt_pb_field field;
    kt_reader_init(&r, KT_SLICE(message, sizeof(message) - 1));
    assert_true(kt_pb_next(&r, &field));
    assert_int_equal(field.number, 2);
    assert_int_equal(field.type, KT_PB_BYTES);
    assert_ptr_equal(field.bytes.data, message + 2);
    assert_int_equal(field.bytes.len, 3);
    assert_false(kt_pb_next(&r, &field));
    assert_true(kt_reader_end(&r));
}

/* After the end, or a bad field, nothing comes any more. */
static void test_stays_ended(void **state)
{
    (void)state;
    struct kt_reader r;
    struct kt_pb_field field = {.number = 99};
    kt_reader_init(&r, KT_SLICE("\x0b\x08\x01", 3));
    assert_false(kt_pb_next(&r, &field));
    assert_false(kt_pb_next(&r, &field));
    assert_true(r.bad);
    assert_int_equal(field.number, 99); /* written only on success */
}

/* What the generated code packs is read back as it was. */
static void test_generated(void **state)
{
    (void)state;
    Encrypted__EncryptedObject object;
    encrypted__encrypted_object__init(&object);
    uint8_t data[300] = {7};
    uint8_t packed[512];
    object.encrypted_data = (ProtobufCBinaryData){.data = data, .len = sizeof(data)};
    object.key_id = (char[]){"key-1"};
    object.encrypted_dek_source_type = 1;
    size_t len = encrypted__encrypted_object__pack(&object, packed);
    struct kt_reader r;
    struct kt_pb_field field;
    kt_reader_init(&r, KT_SLICE(packed, len));
    assert_true(kt_pb_next(&r, &field));
    assert_int_equal(field.number, 1);
    assert_true(kt_slice_equal(field.bytes, KT_SLICE(data, sizeof(data))));
    assert_true(kt_pb_next(&r, &field));
    assert_int_equal(field.number, 2);
    assert_true(kt_slice_equal(field.bytes, kt_slice_str("key-1")));
    assert_true(kt_pb_next(&r, &field));
    assert_int_equal(field.number, 5);
    assert_int_equal(field.value, 1);
    assert_false(kt_pb_next(&r, &field));
    assert_true(kt_reader_end(&r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_bytes_in_place),
        cmocka_unit_test(test_stays_ended),
        cmocka_unit_test(test_generated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
