/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/p256.h"

#include "keystore/hpke_label.h"
#include "keystore/p256_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <string.h>

#define UNCOMPRESSED   0x04
#define CANDIDATES_MAX 256u

KT_DEFINE_CLEANUP(BIGNUM *, BN_clear_free);
KT_DEFINE_CLEANUP(BN_CTX *, BN_CTX_free);
KT_DEFINE_CLEANUP(EC_GROUP *, EC_GROUP_free);
KT_DEFINE_CLEANUP(EC_POINT *, EC_POINT_clear_free);
KT_DEFINE_CLEANUP(EVP_PKEY_CTX *, EVP_PKEY_CTX_free);
KT_DEFINE_CLEANUP(OSSL_PARAM_BLD *, OSSL_PARAM_BLD_free);
KT_DEFINE_CLEANUP(OSSL_PARAM *, OSSL_PARAM_free);

/* 0 < scalar < n, without a branch on its bytes. */
static bool scalar_in_range(const uint8_t scalar[KT_P256_SCALAR])
{
    static const uint8_t order[KT_P256_SCALAR] = {
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    };
    unsigned borrow = 0;
    unsigned any = 0;
    for (size_t i = KT_P256_SCALAR; i-- > 0;) {
        any |= scalar[i];
        borrow = ((unsigned)scalar[i] - order[i] - borrow) >> 31;
    }
    return any != 0 && borrow == 1;
}

/* scalar * G, as an uncompressed point. */
static bool multiply_base(const BIGNUM *scalar, uint8_t ret[KT_P256_PUBLIC], struct kt_error *err)
{
    KT_CLEANUP(EC_GROUP_free_p) EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    KT_CLEANUP(EC_POINT_clear_free_p) EC_POINT *point = group ? EC_POINT_new(group) : NULL;
    KT_CLEANUP(BN_CTX_free_p) BN_CTX *ctx = BN_CTX_secure_new();
    if (!point || !ctx || EC_POINT_mul(group, point, scalar, NULL, NULL, ctx) != 1 ||
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, ret, KT_P256_PUBLIC, ctx) != KT_P256_PUBLIC)
        return kt_fail_openssl(err, KT_E_CRYPTO, "P-256 public key");
    return true;
}

/* scalar: NULL for a public key only. */
static OSSL_PARAM *key_params(const BIGNUM *scalar, const uint8_t public_key[KT_P256_PUBLIC])
{
    KT_CLEANUP(OSSL_PARAM_BLD_free_p) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (!build || OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1, 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, public_key, KT_P256_PUBLIC) != 1)
        return NULL;
    if (scalar && OSSL_PARAM_BLD_push_BN_pad(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar, KT_P256_SCALAR) != 1)
        return NULL;
    return OSSL_PARAM_BLD_to_param(build);
}

static struct kt_p256 *import_key(const BIGNUM *scalar, const uint8_t public_key[KT_P256_PUBLIC], struct kt_error *err)
{
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *key = calloc(1, sizeof(*key));
    if (!key) {
        kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    key->has_private = scalar != NULL;
    memcpy(key->public_key, public_key, KT_P256_PUBLIC);
    KT_CLEANUP(OSSL_PARAM_free_p) OSSL_PARAM *params = key_params(scalar, public_key);
    KT_CLEANUP(EVP_PKEY_CTX_free_p) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    const int selection = scalar ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key->pkey, selection, params) != 1) {
        kt_fail_openssl(err, KT_E_CRYPTO, scalar ? "P-256 key pair" : "not a public key on P-256");
        return NULL;
    }
    return KT_TAKE_PTR(key);
}

/* The bytes are in range. */
static struct kt_p256 *import_scalar(const uint8_t scalar[KT_P256_SCALAR], struct kt_error *err)
{
    uint8_t public_key[KT_P256_PUBLIC] = {0};
    KT_CLEANUP(BN_clear_free_p) BIGNUM *number = BN_secure_new();
    if (!number || !BN_bin2bn(scalar, KT_P256_SCALAR, number)) {
        kt_fail_openssl(err, KT_E_CRYPTO, "P-256 private key");
        return NULL;
    }
    BN_set_flags(number, BN_FLG_CONSTTIME);
    if (!multiply_base(number, public_key, err))
        return NULL;
    return import_key(number, public_key, err);
}

/* SP 800-56A §5.6.1.2.2, testing candidates; from getrandom(2) and not from OpenSSL's generator, whose state a cloned
 * VM would share. */
struct kt_p256 *kt_p256_generate(struct kt_error *err)
{
    for (unsigned i = 0; i < CANDIDATES_MAX; i++) {
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *candidate = kt_secret_new_random(KT_P256_SCALAR, err);
        if (!candidate)
            return NULL;
        if (scalar_in_range(kt_secret_view(candidate)))
            return import_scalar(kt_secret_view(candidate), err);
    }
    kt_fail(err, KT_E_CRYPTO, "getrandom(2) gave no private key in %u attempts", CANDIDATES_MAX);
    return NULL;
}

struct kt_p256 *kt_p256_derive(const struct kt_secret *ikm, struct kt_error *err)
{
    if (kt_secret_len(ikm) < KT_P256_SCALAR) {
        kt_fail(err, KT_E_INTERNAL, "a key pair is derived from at least %u bytes", KT_P256_SCALAR);
        return NULL;
    }
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *prk = kt_labeled_extract(KT_KEM_LABEL("dkp_prk"), KT_SLICE(NULL, 0),
                                               KT_SLICE(kt_secret_view(ikm), kt_secret_len(ikm)), err);
    if (!prk)
        return NULL;
    for (unsigned i = 0; i < CANDIDATES_MAX; i++) {
        const uint8_t counter = (uint8_t)i;
        KT_CLEANUP(kt_secret_free_p)
        struct kt_secret *candidate =
            kt_labeled_expand(KT_KEM_LABEL("candidate"), prk, KT_SLICE(&counter, 1), KT_P256_SCALAR, err);
        if (!candidate)
            return NULL;
        /* The RFC's bitmask for P-256 is 0xff: nothing to clear. */
        if (scalar_in_range(kt_secret_view(candidate)))
            return import_scalar(kt_secret_view(candidate), err);
    }
    kt_fail(err, KT_E_CRYPTO, "no key pair comes from these bytes (RFC 9180 DeriveKeyPairError)");
    return NULL;
}

struct kt_p256 *kt_p256_from_scalar(const struct kt_secret *scalar, struct kt_error *err)
{
    if (kt_secret_len(scalar) != KT_P256_SCALAR) {
        kt_fail(err, KT_E_CRYPTO, "a P-256 private key has %u bytes, not %zu", KT_P256_SCALAR, kt_secret_len(scalar));
        return NULL;
    }
    if (!scalar_in_range(kt_secret_view(scalar))) {
        kt_fail(err, KT_E_CRYPTO, "not a P-256 private key: zero, or not below the order of the curve");
        return NULL;
    }
    return import_scalar(kt_secret_view(scalar), err);
}

struct kt_p256 *kt_p256_from_public(const uint8_t public_key[KT_P256_PUBLIC], struct kt_error *err)
{
    if (public_key[0] != UNCOMPRESSED) {
        kt_fail(err, KT_E_CRYPTO, "not a public key on P-256: an uncompressed point starts with 04");
        return NULL;
    }
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *key = import_key(NULL, public_key, err);
    if (!key)
        return NULL;
    KT_CLEANUP(EVP_PKEY_CTX_free_p) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (!ctx || EVP_PKEY_public_check(ctx) != 1) {
        kt_fail_openssl(err, KT_E_CRYPTO, "not a public key on P-256");
        return NULL;
    }
    return KT_TAKE_PTR(key);
}

void kt_p256_free(struct kt_p256 *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

void kt_p256_public(const struct kt_p256 *key, uint8_t ret[KT_P256_PUBLIC])
{
    memcpy(ret, key->public_key, KT_P256_PUBLIC);
}

bool kt_p256_need_private(const struct kt_p256 *key, struct kt_error *err)
{
    return key->has_private || kt_fail(err, KT_E_INTERNAL, "only the public half of this P-256 key is here");
}

struct kt_secret *kt_p256_scalar(const struct kt_p256 *key, struct kt_error *err)
{
    if (!kt_p256_need_private(key, err))
        return NULL;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *scalar = kt_secret_new(KT_P256_SCALAR, err);
    if (!scalar)
        return NULL;
    KT_CLEANUP(BN_clear_free_p) BIGNUM *number = NULL;
    if (EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &number) != 1 ||
        BN_bn2binpad(number, kt_secret_bytes(scalar), KT_P256_SCALAR) != (int)KT_P256_SCALAR) {
        kt_fail_openssl(err, KT_E_CRYPTO, "P-256 private key");
        return NULL;
    }
    return KT_TAKE_PTR(scalar);
}

struct kt_secret *kt_p256_dh(const struct kt_p256 *own, const struct kt_p256 *peer, struct kt_error *err)
{
    if (!kt_p256_need_private(own, err))
        return NULL;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *shared = kt_secret_new(KT_P256_SCALAR, err);
    if (!shared)
        return NULL;
    size_t len = KT_P256_SCALAR;
    KT_CLEANUP(EVP_PKEY_CTX_free_p) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own->pkey, NULL);
    /* 0: every struct kt_p256 was validated when it was made. */
    if (!ctx || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer_ex(ctx, peer->pkey, 0) != 1 ||
        EVP_PKEY_derive(ctx, kt_secret_bytes(shared), &len) != 1 || len != KT_P256_SCALAR) {
        kt_fail_openssl(err, KT_E_CRYPTO, "ECDH on P-256");
        return NULL;
    }
    return KT_TAKE_PTR(shared);
}
