/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/cipher.h"
#include "support.h"

#include <stdlib.h>

#define CIPHER KT_CLEANUP(kt_cipher_free_p) struct kt_cipher *

static const char id_a[] = "000102030405060708090a0b0c0d0e0f";
static const char id_b[] = "000102030405060708090a0b0c0d0e0e";
static const char key_text[] = "f964a28a80ac00bf9187efa4d0cd8b0ff74b1b885b901d6ad9429b527aaaa7f7";
static const uint8_t keyring_a[KT_KEYRING_ID_LEN] = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
                                                     0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
static const uint8_t seed[32] = "a DEK seed of thirty-two bytes !";

static struct kt_cipher *make(const uint8_t *keyring_id, const char *id, const char *key_hex)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = secret_hex(key_hex);
    struct kt_cipher *cipher = kt_cipher_new(keyring_id, id, key, &err);
    assert_ok(cipher);
    return cipher;
}

/* Refused with that code, nothing written; afterwards the cipher still works. */
static void refuse(struct kt_cipher *cipher, const uint8_t *ciphertext, size_t len, enum kt_code code)
{
    uint8_t out[KT_KMS_CIPHERTEXT_MAX];
    uint8_t untouched[KT_KMS_CIPHERTEXT_MAX];
    size_t out_len = 4711;
    struct kt_error err = KT_ERROR_INIT;
    memset(out, 0xaa, sizeof(out));
    memset(untouched, 0xaa, sizeof(untouched));
    assert_refused(kt_cipher_open(cipher, ciphertext, len, out, &out_len, &err), code);
    assert_memory_equal(out, untouched, sizeof(out));
    assert_int_equal(out_len, 4711);
}

static void every_length_comes_back(void **state)
{
    uint8_t plaintext[KT_KMS_PLAINTEXT_MAX + 1];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    assert_int_equal(KT_KMS_PLAINTEXT_MAX, 995);
    assert_ok(kt_random(plaintext, sizeof(plaintext), &err));
    CIPHER cipher = make(keyring_a, id_a, key_text);
    for (size_t len = 0; len <= KT_KMS_PLAINTEXT_MAX; len++) {
        uint8_t sealed[KT_KMS_CIPHERTEXT_MAX + 1];
        uint8_t opened[KT_KMS_PLAINTEXT_MAX + 1];
        size_t opened_len = 4711;
        sealed[len + KT_CIPHER_OVERHEAD] = 0xaa;
        opened[len] = 0xaa;
        assert_ok(kt_cipher_seal(cipher, plaintext, len, sealed, &err));
        assert_int_equal(sealed[0], 0x01);
        assert_int_equal(sealed[len + KT_CIPHER_OVERHEAD], 0xaa);
        assert_ok(kt_cipher_open(cipher, sealed, len + KT_CIPHER_OVERHEAD, opened, &opened_len, &err));
        assert_int_equal(opened_len, len);
        assert_memory_equal(opened, plaintext, len);
        assert_int_equal(opened[len], 0xaa);
    }
}

static void too_large_is_refused_both_ways(void **state)
{
    static const uint8_t large[KT_KMS_CIPHERTEXT_MAX + 1] = {0x01};
    uint8_t out[2048] = {0};
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    CIPHER cipher = make(keyring_a, id_a, key_text);
    assert_refused(kt_cipher_seal(cipher, large, KT_KMS_PLAINTEXT_MAX + 1, out, &err), KT_E_KMS_TOO_LARGE);
    assert_refused(kt_cipher_seal(cipher, large, SIZE_MAX, out, &err), KT_E_KMS_TOO_LARGE);
    assert_int_equal(out[0], 0);
    refuse(cipher, large, KT_KMS_CIPHERTEXT_MAX, KT_E_KMS_CIPHERTEXT);
    refuse(cipher, large, KT_KMS_CIPHERTEXT_MAX + 1, KT_E_KMS_TOO_LARGE);
    refuse(cipher, large, SIZE_MAX, KT_E_KMS_TOO_LARGE);
}

/* Made by Go's crypto/cipher from docs/keyring-format.md §9. */
static void opens_what_another_implementation_sealed(void **state)
{
    const struct hex sealed =
        hex("016e6f6e63652d31326279746536b47967333faa9326d3ad81063382fb3e546267512893e1f4b1894c699fa6"
            "af7fa325f3a4a2e4875ca247fd608fe5a7");
    uint8_t opened[sizeof(seed)];
    size_t len = 0;
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    CIPHER cipher = make(keyring_a, id_a, key_text);
    assert_ok(kt_cipher_open(cipher, sealed.data, sealed.len, opened, &len, &err));
    assert_int_equal(len, sizeof(seed));
    assert_memory_equal(opened, seed, sizeof(seed));
}

static void changed_or_cut_is_refused(void **state)
{
    uint8_t sealed[sizeof(seed) + KT_CIPHER_OVERHEAD + 1] = {0};
    const size_t sealed_len = sizeof(sealed) - 1;
    uint8_t opened[sizeof(seed)];
    size_t len = 0;
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    CIPHER cipher = make(keyring_a, id_a, key_text);
    assert_ok(kt_cipher_seal(cipher, seed, sizeof(seed), sealed, &err));
    for (size_t i = 0; i < sealed_len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            sealed[i] ^= (uint8_t)(1u << bit);
            refuse(cipher, sealed, sealed_len, KT_E_KMS_CIPHERTEXT);
            sealed[i] ^= (uint8_t)(1u << bit);
        }
    }
    for (size_t cut = 0; cut < sealed_len; cut++)
        refuse(cipher, sealed, cut, KT_E_KMS_CIPHERTEXT);
    refuse(cipher, sealed, sealed_len + 1, KT_E_KMS_CIPHERTEXT);
    assert_ok(kt_cipher_open(cipher, sealed, sealed_len, opened, &len, &err));
    assert_memory_equal(opened, seed, sizeof(seed));
}

static void every_other_version_is_refused(void **state)
{
    uint8_t sealed[sizeof(seed) + KT_CIPHER_OVERHEAD];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    CIPHER cipher = make(keyring_a, id_a, key_text);
    assert_ok(kt_cipher_seal(cipher, seed, sizeof(seed), sealed, &err));
    for (unsigned version = 0; version <= UINT8_MAX; version++) {
        sealed[0] = (uint8_t)version;
        if (version != 0x01)
            refuse(cipher, sealed, sizeof(sealed), KT_E_KMS_CIPHERTEXT);
    }
}

static void bound_to_key_id_keyring_and_key(void **state)
{
    static const uint8_t keyring_b[KT_KEYRING_ID_LEN] = {0xa0};
    static const char other_key[] = "f964a28a80ac00bf9187efa4d0cd8b0ff74b1b885b901d6ad9429b527aaaa7f6";
    uint8_t sealed[sizeof(seed) + KT_CIPHER_OVERHEAD];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    CIPHER cipher = make(keyring_a, id_a, key_text);
    assert_ok(kt_cipher_seal(cipher, seed, sizeof(seed), sealed, &err));
    CIPHER same = make(keyring_a, id_a, key_text);
    CIPHER id = make(keyring_a, id_b, key_text);
    CIPHER keyring = make(keyring_b, id_a, key_text);
    CIPHER key = make(keyring_a, id_a, other_key);
    refuse(id, sealed, sizeof(sealed), KT_E_KMS_CIPHERTEXT);
    refuse(keyring, sealed, sizeof(sealed), KT_E_KMS_CIPHERTEXT);
    refuse(key, sealed, sizeof(sealed), KT_E_KMS_CIPHERTEXT);
    uint8_t opened[sizeof(seed)];
    size_t len = 0;
    assert_ok(kt_cipher_open(same, sealed, sizeof(sealed), opened, &len, &err));
}

static int order(const void *a, const void *b)
{
    return memcmp(a, b, 12);
}

static void nonces_do_not_repeat(void **state)
{
    enum { N = 10000 };
    static uint8_t nonces[N][12];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    CIPHER cipher = make(keyring_a, id_a, key_text);
    for (size_t i = 0; i < N; i++) {
        uint8_t sealed[sizeof(seed) + KT_CIPHER_OVERHEAD];
        assert_ok(kt_cipher_seal(cipher, seed, sizeof(seed), sealed, &err));
        memcpy(nonces[i], sealed + 1, sizeof(nonces[i]));
    }
    qsort(nonces, N, sizeof(nonces[0]), order);
    for (size_t i = 1; i < N; i++)
        assert_memory_not_equal(nonces[i - 1], nonces[i], sizeof(nonces[i]));
}

static void keys_and_ids_of_another_size_are_refused(void **state)
{
    static const size_t key_lengths[] = {16, 24, 31, 33};
    static const char *const ids[] = {"", "00", "000102030405060708090a0b0c0d0e0", "000102030405060708090a0b0c0d0e0f0"};
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(key_lengths); i++) {
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = kt_secret_new(key_lengths[i], &err);
        assert_ok(key);
        assert_refused(kt_cipher_new(keyring_a, id_a, key, &err), KT_E_INTERNAL);
    }
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = secret_hex(key_text);
    for (size_t i = 0; i < KT_ARRAY_LEN(ids); i++)
        assert_refused(kt_cipher_new(keyring_a, ids[i], key, &err), KT_E_INTERNAL);
    kt_cipher_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_comes_back),
        cmocka_unit_test(too_large_is_refused_both_ways),
        cmocka_unit_test(opens_what_another_implementation_sealed),
        cmocka_unit_test(changed_or_cut_is_refused),
        cmocka_unit_test(every_other_version_is_refused),
        cmocka_unit_test(bound_to_key_id_keyring_and_key),
        cmocka_unit_test(nonces_do_not_repeat),
        cmocka_unit_test(keys_and_ids_of_another_size_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
