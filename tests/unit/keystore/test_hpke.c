/* SPDX-License-Identifier: Apache-2.0 */
/* Single shot, as the keyring uses it; the RFC's vectors are in test_hpke_vectors.c. */
#include "keystore/hpke.h"
#include "support.h"

#define KEY    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *
#define SECRET KT_CLEANUP(kt_secret_free_p) struct kt_secret *

#define INFO       kt_slice_str("keyturn.dev/v1 wrap test")
#define AAD        kt_slice_str("aad")
#define NOTHING    KT_SLICE(NULL, 0)
#define LEN        32u
#define SEALED_LEN (LEN + KT_HPKE_OVERHEAD)

static struct kt_p256 *generate(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_p256 *key = kt_p256_generate(&err);
    assert_ok(key);
    return key;
}

static void round_trips(void **state)
{
    static const size_t lengths[] = {1, 15, 16, 17, 32, 1000, 1024};
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KEY own = generate();
    for (size_t i = 0; i < KT_ARRAY_LEN(lengths); i++) {
        uint8_t sealed[1024 + KT_HPKE_OVERHEAD + 1];
        SECRET plaintext = kt_secret_new_random(lengths[i], &err);
        assert_ok(plaintext);
        sealed[lengths[i] + KT_HPKE_OVERHEAD] = 0xaa;
        assert_ok(kt_hpke_seal(own, INFO, AAD, plaintext, sealed, &err));
        assert_int_equal(sealed[lengths[i] + KT_HPKE_OVERHEAD], 0xaa);
        SECRET opened = kt_hpke_open(own, INFO, AAD, KT_SLICE(sealed, lengths[i] + KT_HPKE_OVERHEAD), &err);
        assert_ok(opened);
        assert_true(kt_secret_equal(opened, plaintext));
    }
}

static void seals_to_a_public_key(void **state)
{
    uint8_t point[KT_P256_PUBLIC];
    uint8_t first[SEALED_LEN];
    uint8_t second[SEALED_LEN];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KEY own = generate();
    kt_p256_public(own, point);
    KEY recipient = kt_p256_from_public(point, &err);
    assert_ok(recipient);
    SECRET plaintext = kt_secret_new_random(LEN, &err);
    assert_ok(plaintext);
    assert_ok(kt_hpke_seal(recipient, INFO, NOTHING, plaintext, first, &err));
    assert_ok(kt_hpke_seal(recipient, INFO, NOTHING, plaintext, second, &err));
    assert_memory_not_equal(first, second, KT_HPKE_ENC);
    assert_memory_not_equal(first + KT_HPKE_ENC, second + KT_HPKE_ENC, LEN);
    SECRET opened = kt_hpke_open(own, INFO, NOTHING, KT_SLICE(second, sizeof(second)), &err);
    assert_ok(opened);
    assert_true(kt_secret_equal(opened, plaintext));
    assert_refused(kt_hpke_open(recipient, INFO, NOTHING, KT_SLICE(first, sizeof(first)), &err), KT_E_INTERNAL);
}

static void refuses_what_was_changed_or_cut(void **state)
{
    uint8_t sealed[SEALED_LEN];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KEY own = generate();
    SECRET plaintext = kt_secret_new_random(LEN, &err);
    assert_ok(plaintext);
    assert_ok(kt_hpke_seal(own, INFO, AAD, plaintext, sealed, &err));
    for (size_t i = 0; i < sizeof(sealed); i++) {
        sealed[i] ^= 0x01;
        assert_refused(kt_hpke_open(own, INFO, AAD, KT_SLICE(sealed, sizeof(sealed)), &err), KT_E_CRYPTO);
        sealed[i] ^= 0x81;
        assert_refused(kt_hpke_open(own, INFO, AAD, KT_SLICE(sealed, sizeof(sealed)), &err), KT_E_CRYPTO);
        sealed[i] ^= 0x80;
    }
    for (size_t len = 0; len < sizeof(sealed); len++)
        assert_refused(kt_hpke_open(own, INFO, AAD, KT_SLICE(sealed, len), &err), KT_E_CRYPTO);
    SECRET opened = kt_hpke_open(own, INFO, AAD, KT_SLICE(sealed, sizeof(sealed)), &err);
    assert_ok(opened);
}

static void refuses_other_info_aad_and_key(void **state)
{
    uint8_t sealed[SEALED_LEN];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KEY own = generate();
    KEY other = generate();
    SECRET plaintext = kt_secret_new_random(LEN, &err);
    assert_ok(plaintext);
    assert_ok(kt_hpke_seal(own, INFO, AAD, plaintext, sealed, &err));
    const struct kt_slice bytes = KT_SLICE(sealed, sizeof(sealed));
    assert_refused(kt_hpke_open(own, kt_slice_str("keyturn.dev/v1 wrap tesT"), AAD, bytes, &err), KT_E_CRYPTO);
    assert_refused(kt_hpke_open(own, NOTHING, AAD, bytes, &err), KT_E_CRYPTO);
    assert_refused(kt_hpke_open(own, INFO, kt_slice_str("aae"), bytes, &err), KT_E_CRYPTO);
    assert_refused(kt_hpke_open(own, INFO, NOTHING, bytes, &err), KT_E_CRYPTO);
    assert_refused(kt_hpke_open(own, AAD, INFO, bytes, &err), KT_E_CRYPTO);
    assert_refused(kt_hpke_open(other, INFO, AAD, bytes, &err), KT_E_CRYPTO);
}

/* Another sender's ciphertext under this sender's enc. */
static void refuses_a_mix_of_two(void **state)
{
    uint8_t first[SEALED_LEN];
    uint8_t second[SEALED_LEN];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KEY own = generate();
    SECRET plaintext = kt_secret_new_random(LEN, &err);
    assert_ok(plaintext);
    assert_ok(kt_hpke_seal(own, INFO, AAD, plaintext, first, &err));
    assert_ok(kt_hpke_seal(own, INFO, AAD, plaintext, second, &err));
    memcpy(first, second, KT_HPKE_ENC);
    assert_refused(kt_hpke_open(own, INFO, AAD, KT_SLICE(first, sizeof(first)), &err), KT_E_CRYPTO);
}

/* Sealed by Go's crypto/hpke. */
static void opens_what_go_sealed(void **state)
{
    const struct hex sealed = hex(
        "0477503594c3153849208cbb54e0c6d6f212974bfce7a2f0c85dab94a459cbce7e3bff97116ec638a3f955f07a4ba026fab314f541c703"
        "89fc0ba9b5560e9c6e450d45c461e6d5b88ead3f0bd16aaa4956d008be42414f8acd95077af44c4e1fe7102bb6fbe73299339ad2eebd67"
        "629377");
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    SECRET scalar = secret_hex("edfd382dde91436c8c441183735cd8c1d8b699eef3c47d68d6c768890c5ac554");
    KEY own = kt_p256_from_scalar(scalar, &err);
    assert_ok(own);
    SECRET opened = kt_hpke_open(own, kt_slice_str("keyturn test info"), NOTHING, HEX_SLICE(sealed), &err);
    assert_ok(opened);
    assert_secret_hex(opened, "96d62e2abd3e42de5f50330fb8efc4c5599835278077b21e9aa0b33c1df07a1c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(seals_to_a_public_key),
        cmocka_unit_test(refuses_what_was_changed_or_cut),
        cmocka_unit_test(refuses_other_info_aad_and_key),
        cmocka_unit_test(refuses_a_mix_of_two),
        cmocka_unit_test(opens_what_go_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
