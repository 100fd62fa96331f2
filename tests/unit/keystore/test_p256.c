/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/p256.h"
#include "support.h"

#define KEY    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *
#define SECRET KT_CLEANUP(kt_secret_free_p) struct kt_secret *

#define ORDER      "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
#define ORDER_LESS "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550"
#define ORDER_MORE "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552"
#define ONES       "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define ZERO       "0000000000000000000000000000000000000000000000000000000000000000"
#define ONE        "0000000000000000000000000000000000000000000000000000000000000001"
#define BASE_X     "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
#define BASE_Y     "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
#define BASE_MINUS "b01cbd1c01e58065711814b583f061e9d431cca994cea1313449bf97c840ae0a"
#define PRIME      "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
#define ROOT_B     "66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4" /* y at x = 0 */

static struct kt_p256 *from_scalar(const char *text)
{
    struct kt_error err = KT_ERROR_INIT;
    SECRET scalar = secret_hex(text);
    struct kt_p256 *key = kt_p256_from_scalar(scalar, &err);
    assert_ok(key);
    return key;
}

static struct kt_p256 *from_public(const char *text)
{
    const struct hex point = hex(text);
    struct kt_error err = KT_ERROR_INIT;
    assert_int_equal(point.len, KT_P256_PUBLIC);
    struct kt_p256 *key = kt_p256_from_public(point.data, &err);
    assert_ok(key);
    return key;
}

static void assert_public(const struct kt_p256 *key, const char *text)
{
    uint8_t point[KT_P256_PUBLIC];
    kt_p256_public(key, point);
    assert_memory_equal(point, hex(text).data, KT_P256_PUBLIC);
}

static void scalars_and_their_points(void **state)
{
    static const struct {
        const char *scalar, *point;
    } table[] = {
        {ONE, "04" BASE_X BASE_Y},
        {ORDER_LESS, "04" BASE_X BASE_MINUS},
        {"317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2",
         "04abc7e49a4c6b3566d77d0304addc6ed0e98512ffccf505e6a8e3eb25c685136f853148544876de76c0f2ef99cdc3a05ccf5ded7860c"
         "7"
         "c021238f9e2073d2356c"},
    };
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        KEY key = from_scalar(table[i].scalar);
        assert_public(key, table[i].point);
        SECRET scalar = kt_p256_scalar(key, &err);
        assert_ok(scalar);
        assert_secret_hex(scalar, table[i].scalar);
    }
}

static void scalars_out_of_range_are_refused(void **state)
{
    static const char *const bad[] = {ZERO, ORDER, ORDER_MORE, ONES, "01", (ONE "00"), ("00" ONE)};
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        SECRET scalar = secret_hex(bad[i]);
        assert_refused(kt_p256_from_scalar(scalar, &err), KT_E_CRYPTO);
    }
}

static void public_points_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {
        "04" BASE_X "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f4", /* off the curve */
        "04" BASE_Y BASE_X,
        "04" ZERO ZERO,
        "00" ZERO ZERO,   /* the identity, padded */
        "02" BASE_X ZERO, /* compressed, padded */
        "03" BASE_X BASE_Y,
        "06" BASE_X BASE_Y, /* hybrid forms */
        "07" BASE_X BASE_Y,
        "05" BASE_X BASE_Y,
        "ff" BASE_X BASE_Y,
        "04" PRIME ROOT_B, /* x = 0, not reduced */
        "04" ONES ONES,
    };
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        const struct hex point = hex(bad[i]);
        assert_int_equal(point.len, KT_P256_PUBLIC);
        assert_refused(kt_p256_from_public(point.data, &err), KT_E_CRYPTO);
    }
    KEY reduced = from_public("04" ZERO ROOT_B);
    assert_public(reduced, "04" ZERO ROOT_B);
}

static void a_public_key_has_no_private_half(void **state)
{
    uint8_t signature[KT_SIGNATURE_LEN];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KEY key = from_public("04" BASE_X BASE_Y);
    assert_refused(kt_p256_scalar(key, &err), KT_E_INTERNAL);
    assert_refused(kt_p256_dh(key, key, &err), KT_E_INTERNAL);
    assert_refused(kt_p256_sign(key, "context", kt_slice_str("m"), signature, &err), KT_E_INTERNAL);
    kt_p256_free(NULL);
}

static void generated_keys_differ_and_come_back(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    uint8_t points[20][KT_P256_PUBLIC];
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(points); i++) {
        KEY key = kt_p256_generate(&err);
        assert_ok(key);
        kt_p256_public(key, points[i]);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(points[i], points[j], KT_P256_PUBLIC);
        SECRET scalar = kt_p256_scalar(key, &err);
        assert_ok(scalar);
        KEY again = kt_p256_from_scalar(scalar, &err);
        assert_ok(again);
        uint8_t point[KT_P256_PUBLIC];
        kt_p256_public(again, point);
        assert_memory_equal(point, points[i], KT_P256_PUBLIC);
    }
}

static void derived_keys_are_those_of_the_rfc(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    SECRET ikm = secret_hex("a0ce15d49e28bd47a18a97e147582d814b08cbe00109fed5ec27d1b4e9f6f5e3");
    KEY key = kt_p256_derive(ikm, &err);
    assert_ok(key);
    SECRET scalar = kt_p256_scalar(key, &err);
    assert_ok(scalar);
    assert_secret_hex(scalar, "317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2");
    SECRET few = kt_secret_new_random(31, &err);
    assert_ok(few);
    assert_refused(kt_p256_derive(few, &err), KT_E_INTERNAL);
}

/* RFC 5903 §8.1. */
static void dh_vector_from_both_sides(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KEY i = from_scalar("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433");
    KEY r = from_scalar("c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53");
    SECRET from_i = kt_p256_dh(i, r, &err);
    assert_ok(from_i);
    SECRET from_r = kt_p256_dh(r, i, &err);
    assert_ok(from_r);
    assert_secret_hex(from_i, "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de");
    assert_true(kt_secret_equal(from_i, from_r));
}

/* Made by Go's crypto/ecdsa from docs/keyring-format.md §2. */
static const char go_public[] = "04572c40026bea5b6f258ac7c5c1adaedee7c4e2ca451a576df6e3e1501cf396217e8614e31c0d3e52aed5"
                                "393c412a29aa6796c91799e77959b9"
                                "bfa5091172abd7";
static const char go_signature[] = "487c373e317842917e44b5d409928a1f459fcd4c873cf9bc6d19a2cfceb5eefdce8753b269dd6fd3ab0"
                                   "a034053b03f92b4258258065fdc9f30f8"
                                   "76ff4ccfeb90";
#define GO_CONTEXT "keyturn.dev/v1 key-list"
#define GO_MESSAGE kt_slice_str("a message\n")

static void verifies_what_another_implementation_signed(void **state)
{
    const struct hex signature = hex(go_signature);
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KEY key = from_public(go_public);
    assert_ok(kt_p256_verify(key, GO_CONTEXT, GO_MESSAGE, signature.data, &err));
}

static void signatures_verify_whatever_their_leading_zeros(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    unsigned short_halves = 0;
    (void)state;
    KEY key = kt_p256_generate(&err);
    assert_ok(key);
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t signature[KT_SIGNATURE_LEN];
        const struct kt_slice message = KT_SLICE(&i, i == 0 ? 0 : sizeof(i));
        assert_ok(kt_p256_sign(key, "context", message, signature, &err));
        assert_ok(kt_p256_verify(key, "context", message, signature, &err));
        if (signature[0] == 0 || signature[32] == 0)
            short_halves++;
    }
    assert_true(short_halves > 0);
}

static void other_context_message_or_key_is_refused(void **state)
{
    static const char *const contexts[] = {"", "keyturn.dev/v1 membership", "keyturn.dev/v1 key-lis",
                                           "keyturn.dev/v1 key-lista", "Keyturn.dev/v1 key-list"};
    static const char *const messages[] = {"", "a message", "a message\n\n", "b message\n", "A message\n"};
    const struct hex signature = hex(go_signature);
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KEY key = from_public(go_public);
    KEY other = from_public("04" BASE_X BASE_Y);
    for (size_t i = 0; i < KT_ARRAY_LEN(contexts); i++)
        assert_refused(kt_p256_verify(key, contexts[i], GO_MESSAGE, signature.data, &err), KT_E_CRYPTO);
    for (size_t i = 0; i < KT_ARRAY_LEN(messages); i++)
        assert_refused(kt_p256_verify(key, GO_CONTEXT, kt_slice_str(messages[i]), signature.data, &err), KT_E_CRYPTO);
    assert_refused(kt_p256_verify(other, GO_CONTEXT, GO_MESSAGE, signature.data, &err), KT_E_CRYPTO);
}

static void context_and_message_do_not_run_together(void **state)
{
    uint8_t signature[KT_SIGNATURE_LEN];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KEY key = kt_p256_generate(&err);
    assert_ok(key);
    assert_ok(kt_p256_sign(key, "ab", kt_slice_str("cd"), signature, &err));
    assert_refused(kt_p256_verify(key, "abc", kt_slice_str("d"), signature, &err), KT_E_CRYPTO);
    assert_refused(kt_p256_verify(key, "a", kt_slice_str("bcd"), signature, &err), KT_E_CRYPTO);
}

static void every_flipped_bit_of_a_signature_is_found(void **state)
{
    struct hex signature = hex(go_signature);
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KEY key = from_public(go_public);
    for (size_t bit = 0; bit / 8 < KT_SIGNATURE_LEN; bit++) {
        signature.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_refused(kt_p256_verify(key, GO_CONTEXT, GO_MESSAGE, signature.data, &err), KT_E_CRYPTO);
        signature.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void r_and_s_out_of_range_are_refused(void **state)
{
    static const char *const halves[] = {ZERO, ORDER, ORDER_MORE, ONES};
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KEY key = from_public(go_public);
    for (size_t i = 0; i < KT_ARRAY_LEN(halves); i++) {
        const struct hex half = hex(halves[i]);
        struct hex signature = hex(go_signature);
        memcpy(signature.data, half.data, 32);
        assert_refused(kt_p256_verify(key, GO_CONTEXT, GO_MESSAGE, signature.data, &err), KT_E_CRYPTO);
        memcpy(signature.data + 32, half.data, 32);
        assert_refused(kt_p256_verify(key, GO_CONTEXT, GO_MESSAGE, signature.data, &err), KT_E_CRYPTO);
        memcpy(signature.data, hex(go_signature).data, 32);
        assert_refused(kt_p256_verify(key, GO_CONTEXT, GO_MESSAGE, signature.data, &err), KT_E_CRYPTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_and_their_points),
        cmocka_unit_test(scalars_out_of_range_are_refused),
        cmocka_unit_test(public_points_that_are_none_are_refused),
        cmocka_unit_test(a_public_key_has_no_private_half),
        cmocka_unit_test(generated_keys_differ_and_come_back),
        cmocka_unit_test(derived_keys_are_those_of_the_rfc),
        cmocka_unit_test(dh_vector_from_both_sides),
        cmocka_unit_test(verifies_what_another_implementation_signed),
        cmocka_unit_test(signatures_verify_whatever_their_leading_zeros),
        cmocka_unit_test(other_context_message_or_key_is_refused),
        cmocka_unit_test(context_and_message_do_not_run_together),
        cmocka_unit_test(every_flipped_bit_of_a_signature_is_found),
        cmocka_unit_test(r_and_s_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
