/* SPDX-License-Identifier: Apache-2.0 */
/* ECDSA: OpenSSL speaks the DER of RFC 3279 §2.2.3, keyrings r || s. */
#include "keystore/p256_internal.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <string.h>

#define HALF    (KT_SIGNATURE_LEN / 2)
#define DER_MAX 80u /* 72 at most on P-256 */

KT_DEFINE_CLEANUP(BIGNUM *, BN_free);
KT_DEFINE_CLEANUP(ECDSA_SIG *, ECDSA_SIG_free);
KT_DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);

static bool der_to_raw(const uint8_t *der, size_t len, uint8_t ret[KT_SIGNATURE_LEN])
{
    KT_CLEANUP(ECDSA_SIG_free_p) ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    return pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), ret, HALF) == (int)HALF &&
           BN_bn2binpad(ECDSA_SIG_get0_s(pair), ret + HALF, HALF) == (int)HALF;
}

/* Number of bytes, 0 on failure. */
static size_t raw_to_der(const uint8_t signature[KT_SIGNATURE_LEN], uint8_t ret[DER_MAX])
{
    KT_CLEANUP(BN_free_p) BIGNUM *r = BN_bin2bn(signature, HALF, NULL);
    KT_CLEANUP(BN_free_p) BIGNUM *s = BN_bin2bn(signature + HALF, HALF, NULL);
    KT_CLEANUP(ECDSA_SIG_free_p) ECDSA_SIG *pair = ECDSA_SIG_new();
    if (!r || !s || !pair || ECDSA_SIG_set0(pair, r, s) != 1)
        return 0;
    r = NULL;
    s = NULL; /* the pair's now */
    if (i2d_ECDSA_SIG(pair, NULL) > (int)DER_MAX)
        return 0;
    const int len = i2d_ECDSA_SIG(pair, &ret);
    return len > 0 ? (size_t)len : 0;
}

bool kt_p256_sign(const struct kt_p256 *key, const char *context, struct kt_slice message,
                  uint8_t ret[KT_SIGNATURE_LEN], struct kt_error *err)
{
    if (!kt_p256_need_private(key, err))
        return false;
    uint8_t der[DER_MAX] = {0};
    uint8_t raw[KT_SIGNATURE_LEN] = {0};
    size_t len = sizeof(der);
    KT_CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) != 1 ||
        EVP_DigestSignUpdate(ctx, context, strlen(context) + 1) != 1 ||
        EVP_DigestSignUpdate(ctx, message.data, message.len) != 1 || EVP_DigestSignFinal(ctx, der, &len) != 1 ||
        !der_to_raw(der, len, raw))
        return kt_fail_openssl(err, KT_E_CRYPTO, "ECDSA on P-256");
    memcpy(ret, raw, sizeof(raw));
    return true;
}

bool kt_p256_verify(const struct kt_p256 *key, const char *context, struct kt_slice message,
                    const uint8_t signature[KT_SIGNATURE_LEN], struct kt_error *err)
{
    uint8_t der[DER_MAX] = {0};
    const size_t len = raw_to_der(signature, der);
    KT_CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (len == 0 || !ctx || EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) != 1 ||
        EVP_DigestVerifyUpdate(ctx, context, strlen(context) + 1) != 1 ||
        EVP_DigestVerifyUpdate(ctx, message.data, message.len) != 1)
        return kt_fail_openssl(err, KT_E_CRYPTO, "ECDSA on P-256");
    /* 0 for a wrong signature, negative for one that cannot be right (r or s out of range). */
    if (EVP_DigestVerifyFinal(ctx, der, len) != 1) {
        ERR_clear_error();
        return kt_fail(err, KT_E_CRYPTO, "the signature does not verify");
    }
    return true;
}
