/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/front_methods.h"
#include "proto/kmsv2.pb-c.h"
#include "tests/unit/base/unit.h"

#include <string.h>

#define LIMIT  65536u
#define KEY_ID "0123456789abcdef0123456789abcdef"

struct fixture {
    struct kt_scratch scratch;
    struct kt_keeper_request request;
    struct kt_front_reply reply;
    struct kt_front_known known;
    uint8_t message[LIMIT];
    size_t len;
};

static int make(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof(fixture));
    *state = &fixture;
    return kt_scratch_init(&fixture.scratch, kt_front_scratch_size(LIMIT), NULL) ? 0 : -1;
}

static int drop(void **state)
{
    struct fixture *f = *state;
    kt_scratch_done(&f->scratch);
    return 0;
}

/* ---- messages, written by hand so that they can be wrong ---- */

static void put_varint(struct fixture *f, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        f->message[f->len++] = (uint8_t)(value | 0x80);
    f->message[f->len++] = (uint8_t)value;
}

static void put_field(struct fixture *f, uint32_t field, const void *bytes, size_t len)
{
    put_varint(f, (uint64_t)field << 3 | 2);
    put_varint(f, len);
    assert_true(f->len + len <= sizeof(f->message));
    if (len > 0)
        memcpy(f->message + f->len, bytes, len);
    f->len += len;
}

static void put_decrypt(struct fixture *f, const char *key_id, size_t key_id_len, size_t ciphertext_len)
{
    static const uint8_t zeros[2048];
    f->len = 0;
    put_field(f, 1, zeros, ciphertext_len);
    put_field(f, 2, "some-uid", 8);
    put_field(f, 3, key_id, key_id_len);
}

static bool decode(struct fixture *f, enum kt_method method)
{
    bool good = kt_front_decode(method, KT_SLICE(f->message, f->len), &f->scratch, &f->request, &f->reply);
    assert_int_equal(f->scratch.used, 0);
    for (size_t i = 0; i < f->scratch.cap; i++)
        assert_int_equal(f->scratch.bytes[i], 0);
    return good;
}

static void check_refused(struct fixture *f, enum kt_method method, grpc_status_code status, const char *part)
{
    assert_false(decode(f, method));
    assert_int_equal(f->reply.status, status);
    if (!strstr(f->reply.text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, f->reply.text);
}

/* ---- requests ---- */

static void test_status(void **state)
{
    struct fixture *f = *state;
    assert_true(decode(f, KT_METHOD_STATUS));
    assert_int_equal(f->request.op, KT_KEEPER_STATUS);
    assert_true(kt_keeper_request_valid(&f->request, kt_keeper_request_size(f->request.len)));
}

static void test_encrypt_sizes(void **state)
{
    struct fixture *f = *state;
    static const uint8_t plaintext[8192] = {1, 2, 3};
    static const struct {
        size_t len;
        bool good;
    } rows[] = {{0, true},
                {1, true},
                {32, true},
                {KT_KMS_PLAINTEXT_MAX, true},
                {KT_KMS_PLAINTEXT_MAX + 1, false},
                {1024, false},
                {1025, false},
                {sizeof(plaintext), false}};
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        f->len = 0;
        put_field(f, 1, plaintext, rows[i].len);
        if (!rows[i].good) {
            check_refused(f, KT_METHOD_ENCRYPT, GRPC_STATUS_INVALID_ARGUMENT, "995");
            continue;
        }
        assert_true(decode(f, KT_METHOD_ENCRYPT));
        assert_int_equal(f->request.op, KT_KEEPER_WRAP);
        assert_int_equal(f->request.len, rows[i].len);
        assert_memory_equal(f->request.data, plaintext, rows[i].len);
        assert_true(kt_keeper_request_valid(&f->request, kt_keeper_request_size(f->request.len)));
    }
}

/* The largest message that the library lets in must still get the right answer. */
static void test_largest_message(void **state)
{
    struct fixture *f = *state;
    static const uint8_t plaintext[LIMIT - 16];
    put_field(f, 1, plaintext, sizeof(plaintext));
    check_refused(f, KT_METHOD_ENCRYPT, GRPC_STATUS_INVALID_ARGUMENT, "the plaintext has 65520 bytes");
}

static void test_decrypt(void **state)
{
    struct fixture *f = *state;
    put_decrypt(f, KEY_ID, KT_KEY_ID_LEN, 61);
    assert_true(decode(f, KT_METHOD_DECRYPT));
    assert_int_equal(f->request.op, KT_KEEPER_UNWRAP);
    assert_int_equal(f->request.len, 61);
    assert_memory_equal(f->request.key_id, KEY_ID, KT_KEY_ID_LEN);
    put_decrypt(f, KEY_ID, KT_KEY_ID_LEN, KT_KMS_CIPHERTEXT_MAX);
    assert_true(decode(f, KT_METHOD_DECRYPT));
    put_decrypt(f, KEY_ID, KT_KEY_ID_LEN, KT_KMS_CIPHERTEXT_MAX + 1);
    check_refused(f, KT_METHOD_DECRYPT, GRPC_STATUS_INVALID_ARGUMENT, "1025 bytes, possible are at most 1024");
}

static void test_key_ids(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *id;
        size_t len;
    } rows[] = {
        {"", 0},
        {KEY_ID, KT_KEY_ID_LEN - 1},
        {KEY_ID "0", KT_KEY_ID_LEN + 1},
        {KEY_ID "\0", KT_KEY_ID_LEN + 1},
        {KEY_ID "\0another", KT_KEY_ID_LEN + 8},
        {"0123456789abcdef\0"
         "123456789abcdef",
         KT_KEY_ID_LEN},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        put_decrypt(f, rows[i].id, rows[i].len, 61);
        check_refused(f, KT_METHOD_DECRYPT, GRPC_STATUS_NOT_FOUND, "key_id");
    }
    put_decrypt(f, KEY_ID, KT_KEY_ID_LEN, 61);
    put_field(f, 3, KEY_ID "\0x", KT_KEY_ID_LEN + 2);
    check_refused(f, KT_METHOD_DECRYPT, GRPC_STATUS_NOT_FOUND, "key_id");
    f->len = 0;
    put_field(f, 1, KEY_ID, 29);
    check_refused(f, KT_METHOD_DECRYPT, GRPC_STATUS_NOT_FOUND, "key_id");
}

static void test_annotations(void **state)
{
    struct fixture *f = *state;
    put_decrypt(f, KEY_ID, KT_KEY_ID_LEN, 61);
    put_field(f, 4, NULL, 0);
    check_refused(f, KT_METHOD_DECRYPT, GRPC_STATUS_INVALID_ARGUMENT, "1 annotations");
    put_decrypt(f, KEY_ID, KT_KEY_ID_LEN, 61);
    put_field(f, 4, "\x0a\x01k\x12\x05value", 10);
    put_field(f, 4, "\x0a\x01k\x12\x05value", 10);
    check_refused(f, KT_METHOD_DECRYPT, GRPC_STATUS_INVALID_ARGUMENT, "2 annotations");
}

/* Each takes an allocation in protobuf-c: they must run out of memory of ours, not of the machine's. */
static void test_amplification(void **state)
{
    struct fixture *f = *state;
    put_decrypt(f, KEY_ID, KT_KEY_ID_LEN, 61);
    while (f->len < LIMIT - 8)
        put_field(f, 4, NULL, 0);
    check_refused(f, KT_METHOD_DECRYPT, GRPC_STATUS_INVALID_ARGUMENT, "too many fields");
    f->len = 0;
    while (f->len < LIMIT - 8)
        put_field(f, 15, NULL, 0);
    check_refused(f, KT_METHOD_ENCRYPT, GRPC_STATUS_INVALID_ARGUMENT, "too many fields");
    check_refused(f, KT_METHOD_STATUS, GRPC_STATUS_INVALID_ARGUMENT, "too many fields");
}

static void test_unknown_fields_are_passed_over(void **state)
{
    struct fixture *f = *state;
    put_decrypt(f, KEY_ID, KT_KEY_ID_LEN, 61);
    put_field(f, 15, "from a later release", 20);
    put_varint(f, 16 << 3 | 0);
    put_varint(f, UINT64_MAX);
    assert_true(decode(f, KT_METHOD_DECRYPT));
}

static void test_truncated_and_flipped(void **state)
{
    struct fixture *f = *state;
    put_decrypt(f, KEY_ID, KT_KEY_ID_LEN, 61);
    size_t whole = f->len;
    for (f->len = 0; f->len < whole; f->len++)
        assert_false(decode(f, KT_METHOD_DECRYPT));
    for (size_t i = 0; i < whole * 8; i++) {
        f->message[i / 8] ^= (uint8_t)(1u << (i % 8));
        if (decode(f, KT_METHOD_DECRYPT))
            assert_true(kt_keeper_request_valid(&f->request, kt_keeper_request_size(f->request.len)));
        f->message[i / 8] ^= (uint8_t)(1u << (i % 8));
    }
}

static void test_wire_scan(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool good;
        size_t found;
    } rows[] = {
        {"", 0, true, 0},
        {"\x1a\x02xy", 4, true, 2},
        {"\x1a\x02xy\x1a\x00", 6, true, 0},
        {"\x08\x01\x11"
         "12345678\x1d"
         "1234\x1a\x01x",
         19, true, 1},
        {"\x1a", 1, false, 0},
        {"\x1a\x03xy", 4, false, 0},
        {"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, false, 0},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, false, 0},
        {"\x1b", 1, false, 0},
        {"\x1c", 1, false, 0},
        {"\x1f", 1, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        size_t found = 0;
        assert_int_equal(kt_wire_field_len(KT_SLICE(rows[i].bytes, rows[i].len), 3, &found), rows[i].good);
        assert_int_equal(found, rows[i].found);
    }
}

/* ---- answers ---- */

static struct kt_keeper_answer answer_of(uint32_t op, const char *key_id, const void *data, size_t len)
{
    struct kt_keeper_answer answer = {.op = op, .code = KT_OK, .len = (uint32_t)len};
    memcpy(answer.key_id, key_id, strlen(key_id));
    memcpy(answer.data, data, len);
    return answer;
}

static void check_status_is(struct fixture *f, const char *healthz, const char *key_id)
{
    assert_int_equal(f->reply.status, GRPC_STATUS_OK);
    V2__StatusResponse *response = v2__status_response__unpack(NULL, f->reply.len, f->reply.body);
    assert_non_null(response);
    assert_string_equal(response->version, "v2");
    assert_string_equal(response->healthz, healthz);
    assert_string_equal(response->key_id, key_id);
    v2__status_response__free_unpacked(response, NULL);
}

static void test_status_answers(void **state)
{
    struct fixture *f = *state;
    struct kt_keeper_answer none = answer_of(KT_KEEPER_STATUS, "", "the keyring does not open", 25);
    struct kt_keeper_answer good = answer_of(KT_KEEPER_STATUS, KEY_ID, "ok", 2);
    kt_front_encode_away(KT_METHOD_STATUS, "away", &f->known, &f->reply);
    assert_int_equal(f->reply.status, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(f->reply.text, "away");
    kt_front_encode(KT_METHOD_STATUS, &none, &f->known, &f->reply);
    assert_int_equal(f->reply.status, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(f->reply.text, "the keyring does not open");
    kt_front_encode(KT_METHOD_STATUS, &good, &f->known, &f->reply);
    check_status_is(f, "ok", KEY_ID);
    kt_front_encode(KT_METHOD_STATUS, &none, &f->known, &f->reply);
    check_status_is(f, "the keyring does not open", KEY_ID);
    kt_front_encode_away(KT_METHOD_STATUS, "away", &f->known, &f->reply);
    check_status_is(f, "away", KEY_ID);
}

/* Never "ok" without a key of its own, whatever the keeper says. */
static void test_status_is_not_ok_without_key(void **state)
{
    struct fixture *f = *state;
    struct kt_keeper_answer odd = answer_of(KT_KEEPER_STATUS, "", "ok", 2);
    struct kt_keeper_answer silent = answer_of(KT_KEEPER_STATUS, KEY_ID, "", 0);
    kt_front_encode(KT_METHOD_STATUS, &odd, &f->known, &f->reply);
    assert_int_equal(f->reply.status, GRPC_STATUS_UNAVAILABLE);
    assert_string_not_equal(f->reply.text, "ok");
    kt_front_encode(KT_METHOD_STATUS, &silent, &f->known, &f->reply);
    assert_int_equal(f->reply.status, GRPC_STATUS_OK);
    assert_null(memmem(f->reply.body, f->reply.len, "\x12\x02ok", 4));
}

static void test_encrypt_answers(void **state)
{
    struct fixture *f = *state;
    static const uint8_t ciphertext[KT_KMS_CIPHERTEXT_MAX] = {9};
    struct kt_keeper_answer good = answer_of(KT_KEEPER_WRAP, KEY_ID, ciphertext, sizeof(ciphertext));
    struct kt_keeper_answer nameless = answer_of(KT_KEEPER_WRAP, "", ciphertext, 61);
    kt_front_encode(KT_METHOD_ENCRYPT, &nameless, &f->known, &f->reply);
    assert_int_equal(f->reply.status, GRPC_STATUS_INTERNAL);
    kt_front_encode(KT_METHOD_ENCRYPT, &good, &f->known, &f->reply);
    assert_int_equal(f->reply.status, GRPC_STATUS_OK);
    V2__EncryptResponse *response = v2__encrypt_response__unpack(NULL, f->reply.len, f->reply.body);
    assert_non_null(response);
    assert_string_equal(response->key_id, KEY_ID);
    assert_int_equal(response->ciphertext.len, sizeof(ciphertext));
    assert_memory_equal(response->ciphertext.data, ciphertext, sizeof(ciphertext));
    assert_int_equal(response->n_annotations, 0);
    v2__encrypt_response__free_unpacked(response, NULL);
    assert_string_equal(f->known.key_id, KEY_ID);
}

static void test_decrypt_answers(void **state)
{
    struct fixture *f = *state;
    struct kt_keeper_answer empty = answer_of(KT_KEEPER_UNWRAP, "", "", 0);
    struct kt_keeper_answer good = answer_of(KT_KEEPER_UNWRAP, "", "seed", 4);
    kt_front_encode(KT_METHOD_DECRYPT, &empty, &f->known, &f->reply);
    assert_int_equal(f->reply.status, GRPC_STATUS_OK);
    assert_int_equal(f->reply.len, 0);
    kt_front_encode(KT_METHOD_DECRYPT, &good, &f->known, &f->reply);
    assert_int_equal(f->reply.len, 6);
    assert_memory_equal(f->reply.body, "\x0a\x04seed", 6);
    assert_string_equal(f->known.key_id, "");
}

static void test_codes(void **state)
{
    struct fixture *f = *state;
    for (unsigned code = 1; code < KT_CODE_COUNT + 3u; code++) {
        struct kt_keeper_answer answer = answer_of(KT_KEEPER_UNWRAP, KEY_ID, "seed", 4);
        answer.code = code;
        kt_front_encode(KT_METHOD_DECRYPT, &answer, &f->known, &f->reply);
        assert_int_equal(f->reply.status, kt_code_grpc(kt_code_from_number(code)));
        assert_int_not_equal(f->reply.status, GRPC_STATUS_OK);
        assert_true(strlen(f->reply.text) > 5);
        assert_int_equal(f->reply.len, 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_status),
        TEST(test_encrypt_sizes),
        TEST(test_largest_message),
        TEST(test_decrypt),
        TEST(test_key_ids),
        TEST(test_annotations),
        TEST(test_amplification),
        TEST(test_unknown_fields_are_passed_over),
        TEST(test_truncated_and_flipped),
        TEST(test_wire_scan),
        TEST(test_status_answers),
        TEST(test_status_is_not_ok_without_key),
        TEST(test_encrypt_answers),
        TEST(test_decrypt_answers),
        TEST(test_codes),
    };
    return cmocka_run_group_tests_name("front_methods", tests, NULL, NULL);
}
