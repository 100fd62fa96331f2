/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/kdf.h"
#include "support.h"

#define SECRET KT_CLEANUP(kt_secret_free_p) struct kt_secret *

static void sha256_of_parts(void **state)
{
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const struct kt_slice whole[] = {kt_slice_str("abc")};
    const struct kt_slice split[] = {kt_slice_str("a"), KT_SLICE(NULL, 0), kt_slice_str("bc")};
    struct kt_error err = KT_ERROR_INIT;
    uint8_t hash[32];
    (void)state;
    assert_ok(kt_sha256(whole, 1, hash, &err));
    assert_memory_equal(hash, hex(abc).data, 32);
    assert_ok(kt_sha256(split, 3, hash, &err));
    assert_memory_equal(hash, hex(abc).data, 32);
    assert_ok(kt_sha256(NULL, 0, hash, &err));
    assert_memory_equal(hash, hex(empty).data, 32);
}

/* RFC 5869, appendix A.1 to A.3. */
static void hkdf_vectors(void **state)
{
    static const struct {
        const char *ikm, *salt, *info, *prk, *okm;
    } vectors[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
         "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353"
         "637"
         "38393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
         "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f9091929394959"
         "697"
         "98999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
         "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e"
         "6e7"
         "e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
         "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
         "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f0"
         "9b8"
         "367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
         "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
         "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
    };
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(vectors); i++) {
        const struct hex ikm = hex(vectors[i].ikm);
        const struct hex salt = hex(vectors[i].salt);
        const struct hex info = hex(vectors[i].info);
        SECRET prk = kt_hkdf_extract(HEX_SLICE(salt), HEX_SLICE(ikm), &err);
        assert_ok(prk);
        assert_secret_hex(prk, vectors[i].prk);
        SECRET okm = kt_hkdf_expand(prk, HEX_SLICE(info), strlen(vectors[i].okm) / 2, &err);
        assert_ok(okm);
        assert_secret_hex(okm, vectors[i].okm);
    }
}

static void hkdf_with_an_empty_salt_is_the_same_as_zeros(void **state)
{
    static const uint8_t zeros[32];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    SECRET none = kt_hkdf_extract(KT_SLICE(NULL, 0), kt_slice_str("ikm"), &err);
    assert_ok(none);
    SECRET zero = kt_hkdf_extract(KT_SLICE(zeros, sizeof(zeros)), kt_slice_str("ikm"), &err);
    assert_ok(zero);
    assert_true(kt_secret_equal(none, zero));
}

static void hkdf_lengths_that_cannot_be(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    SECRET prk = kt_secret_new_random(32, &err);
    assert_ok(prk);
    assert_refused(kt_hkdf_expand(prk, kt_slice_str("info"), 0, &err), KT_E_INTERNAL);
    assert_refused(kt_hkdf_expand(prk, kt_slice_str("info"), 8160 + 1, &err), KT_E_CRYPTO);
    SECRET longest = kt_hkdf_expand(prk, kt_slice_str("info"), 8160, &err);
    assert_ok(longest);
    SECRET half = kt_hkdf_expand(prk, kt_slice_str("info"), 16, &err);
    assert_ok(half);
    assert_memory_equal(kt_secret_view(half), kt_secret_view(longest), 16);
}

struct gcm_vector {
    const char *key, *nonce, *aad, *plaintext, *sealed;
};
/* McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 to 16. */
static const struct gcm_vector gcm_vectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "",
     "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
     "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657b"
     "a"
     "637b391aafd255",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0ab"
     "c"
     "c9f662898015adb094dac5d93471bdec1a502270e3cc6c"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657b"
     "a"
     "637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0ab"
     "c"
     "c9f66276fc6ece0f4e1768cddf8853bb2d551b"},
};

static void gcm_known_answers(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(gcm_vectors); i++) {
        const struct gcm_vector *v = &gcm_vectors[i];
        const struct hex nonce = hex(v->nonce);
        const struct hex aad = hex(v->aad);
        const struct hex plaintext = hex(v->plaintext);
        const struct hex sealed = hex(v->sealed);
        uint8_t out[HEX_MAX];
        SECRET key = secret_hex(v->key);
        assert_ok(kt_gcm_seal(key, nonce.data, HEX_SLICE(aad), HEX_SLICE(plaintext), out, &err));
        assert_memory_equal(out, sealed.data, sealed.len);
        if (plaintext.len == 0)
            continue;
        SECRET opened = kt_gcm_open(key, nonce.data, HEX_SLICE(aad), HEX_SLICE(sealed), &err);
        assert_ok(opened);
        assert_secret_hex(opened, v->plaintext);
    }
}

static void gcm_refuses_what_was_changed(void **state)
{
    const struct gcm_vector *v = &gcm_vectors[3];
    const struct hex aad = hex(v->aad);
    struct hex nonce = hex(v->nonce);
    struct hex sealed = hex(v->sealed);
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    SECRET key = secret_hex(v->key);
    SECRET other = secret_hex(gcm_vectors[0].key);
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.data[i] ^= 0x01;
        assert_refused(kt_gcm_open(key, nonce.data, HEX_SLICE(aad), HEX_SLICE(sealed), &err), KT_E_CRYPTO);
        sealed.data[i] ^= 0x01;
    }
    for (size_t len = 0; len < sealed.len; len++)
        assert_refused(kt_gcm_open(key, nonce.data, HEX_SLICE(aad), KT_SLICE(sealed.data, len), &err), KT_E_CRYPTO);
    assert_refused(kt_gcm_open(key, nonce.data, KT_SLICE(NULL, 0), HEX_SLICE(sealed), &err), KT_E_CRYPTO);
    assert_refused(kt_gcm_open(other, nonce.data, HEX_SLICE(aad), HEX_SLICE(sealed), &err), KT_E_CRYPTO);
    nonce.data[11] ^= 0x80;
    assert_refused(kt_gcm_open(key, nonce.data, HEX_SLICE(aad), HEX_SLICE(sealed), &err), KT_E_CRYPTO);
}

static void gcm_wants_a_key_of_256_bits(void **state)
{
    static const size_t lengths[] = {1, 16, 24, 31, 33, 64};
    static const uint8_t nonce[KT_GCM_NONCE];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(lengths); i++) {
        uint8_t out[1 + KT_GCM_TAG];
        SECRET key = kt_secret_new(lengths[i], &err);
        assert_ok(key);
        assert_refused(kt_gcm_seal(key, nonce, KT_SLICE(NULL, 0), kt_slice_str("x"), out, &err), KT_E_INTERNAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_of_parts),
        cmocka_unit_test(hkdf_vectors),
        cmocka_unit_test(hkdf_with_an_empty_salt_is_the_same_as_zeros),
        cmocka_unit_test(hkdf_lengths_that_cannot_be),
        cmocka_unit_test(gcm_known_answers),
        cmocka_unit_test(gcm_refuses_what_was_changed),
        cmocka_unit_test(gcm_wants_a_key_of_256_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
