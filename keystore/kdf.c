/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/kdf.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#define SHA256_LEN 32u

KT_DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);
KT_DEFINE_CLEANUP(EVP_KDF *, EVP_KDF_free);
KT_DEFINE_CLEANUP(EVP_KDF_CTX *, EVP_KDF_CTX_free);

bool kt_sha256(const struct kt_slice *parts, size_t n_parts, uint8_t ret[32], struct kt_error *err)
{
    KT_CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex2(ctx, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; ok && i < n_parts; i++)
        ok = EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) == 1;
    uint8_t digest[SHA256_LEN] = {0};
    if (!ok || EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
        return kt_fail_openssl(err, KT_E_CRYPTO, "SHA-256");
    memcpy(ret, digest, sizeof(digest));
    kt_wipe(digest, sizeof(digest));
    return true;
}

/* OSSL_PARAM has one pointer type for both ways; these parameters are only read. OpenSSL refuses NULL, empty or not. */
static OSSL_PARAM octets(const char *name, struct kt_slice bytes)
{
    static const uint8_t none[1];
    const uint8_t *data = bytes.data ? bytes.data : none;
    return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)data, bytes.len);
}

/* params: mode, and what belongs to the mode. */
static struct kt_secret *hkdf(const OSSL_PARAM *params, size_t len, struct kt_error *err)
{
    KT_CLEANUP(EVP_KDF_free_p) EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL);
    KT_CLEANUP(EVP_KDF_CTX_free_p) EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    if (!ctx) {
        kt_fail_openssl(err, KT_E_CRYPTO, "HKDF");
        return NULL;
    }
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *out = kt_secret_new(len, err);
    if (!out)
        return NULL;
    if (EVP_KDF_derive(ctx, kt_secret_bytes(out), len, params) != 1) {
        kt_fail_openssl(err, KT_E_CRYPTO, "HKDF");
        return NULL;
    }
    return KT_TAKE_PTR(out);
}

struct kt_secret *kt_hkdf_extract(struct kt_slice salt, struct kt_slice ikm, struct kt_error *err)
{
    int mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        octets(OSSL_KDF_PARAM_SALT, salt),
        octets(OSSL_KDF_PARAM_KEY, ikm),
        OSSL_PARAM_construct_end(),
    };
    return hkdf(params, SHA256_LEN, err);
}

struct kt_secret *kt_hkdf_expand(const struct kt_secret *prk, struct kt_slice info, size_t len, struct kt_error *err)
{
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        octets(OSSL_KDF_PARAM_KEY, KT_SLICE(kt_secret_view(prk), kt_secret_len(prk))),
        octets(OSSL_KDF_PARAM_INFO, info),
        OSSL_PARAM_construct_end(),
    };
    return hkdf(params, len, err);
}
