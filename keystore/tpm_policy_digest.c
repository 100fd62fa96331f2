/* SPDX-License-Identifier: Apache-2.0 */
/* What a TPM computes, computed without one: TPM 2.0 Library Part 3 §23 (policy digests), Part 1 §16 (names), Part 2
 * §12.2 (TPMT_PUBLIC). */
#include "keystore/kdf.h"
#include "keystore/tpm_policy.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#define CC_POLICY_AUTHORIZE 0x0000016au
#define CC_POLICY_PCR       0x0000017fu
#define ALG_RSA             0x0001u
#define ALG_ECC             0x0023u
#define ALG_NULL            0x0010u
#define ECC_NIST_P256       0x0003u
/* userWithAuth, decrypt, sign: as systemd's tools describe such a key, so that its name is the same for both. */
#define KEY_ATTRIBUTES 0x00060040u
#define RSA_BITS_MIN   2048
#define RSA_BITS_MAX   4096
#define POINT_LEN      32

KT_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);
KT_DEFINE_CLEANUP(BIO *, BIO_free_all);
KT_DEFINE_CLEANUP(BIGNUM *, BN_free);

static bool is_p256(const EVP_PKEY *key)
{
    char group[32] = "";
    size_t len = 0;

    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), &len) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

static bool is_rsa(const EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);

    return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX && bits % 8 == 0;
}

static EVP_PKEY *read_pem(struct kt_slice pem)
{
    KT_CLEANUP(BIO_free_all_p) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    char passphrase[] = ""; /* so that nobody is asked for one */
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, passphrase) : NULL;

    if (!key && bio && BIO_reset(bio) == 1)
        key = PEM_read_bio_PrivateKey(bio, NULL, NULL, passphrase);
    ERR_clear_error();
    return key;
}

static bool fail_key(const char *what, struct kt_error *err)
{
    (void)kt_fail(err, KT_E_USAGE, "%s: expected a key in PEM: RSA of %d to %d bits, or P-256", what, RSA_BITS_MIN,
                  RSA_BITS_MAX);
    return kt_error_hint(err, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY.pem makes one");
}

bool kt_tpm_key_from_pem(struct kt_slice pem, const char *what, struct kt_tpm_policy *ret, struct kt_error *err)
{
    KT_CLEANUP(EVP_PKEY_free_p) EVP_PKEY *key = pem.len <= KT_SECRET_MAX ? read_pem(pem) : NULL;
    uint8_t *out = ret->key;
    int len = 0;

    if (!key || (!is_rsa(key) && !is_p256(key)))
        return fail_key(what, err);
    len = i2d_PUBKEY(key, NULL);
    if (len <= 0 || (size_t)len > sizeof(ret->key))
        return fail_key(what, err);
    ret->key_len = (size_t)i2d_PUBKEY(key, &out);
    return true;
}

static EVP_PKEY *parse_key(const struct kt_tpm_policy *policy, struct kt_error *err)
{
    const uint8_t *in = policy->key;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &in, (long)policy->key_len);

    ERR_clear_error();
    if (key && in == policy->key + policy->key_len && (is_rsa(key) || is_p256(key)))
        return key;
    EVP_PKEY_free(key);
    (void)fail_key("the policy's public key", err);
    return NULL;
}

bool kt_tpm_key_fingerprint(const struct kt_tpm_policy *policy, uint8_t ret[32], struct kt_error *err)
{
    const struct kt_slice der = KT_SLICE(policy->key, policy->key_len);

    return kt_sha256(&der, 1, ret, err);
}

static void put_param(struct kt_writer *w, const EVP_PKEY *key, const char *name, int len)
{
    KT_CLEANUP(BN_free_p) BIGNUM *number = NULL;
    uint8_t bytes[RSA_BITS_MAX / 8] = {0};

    if (EVP_PKEY_get_bn_param(key, name, &number) != 1 || BN_bn2binpad(number, bytes, len) != len) {
        w->bad = true;
        return;
    }
    kt_writer_u16(w, (uint16_t)len);
    kt_writer_bytes(w, bytes, (size_t)len);
}

static void put_rsa(struct kt_writer *w, const EVP_PKEY *key)
{
    KT_CLEANUP(BN_free_p) BIGNUM *exponent = NULL;
    uint64_t e = 0;

    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1)
        e = BN_get_word(exponent);
    if (e == 0 || e > UINT32_MAX)
        w->bad = true;
    kt_writer_u16(w, ALG_NULL); /* symmetric, scheme */
    kt_writer_u16(w, ALG_NULL);
    kt_writer_u16(w, (uint16_t)EVP_PKEY_get_bits(key));
    kt_writer_u32(w, e == 65537 ? 0 : (uint32_t)e); /* 0: 65537 */
    put_param(w, key, OSSL_PKEY_PARAM_RSA_N, EVP_PKEY_get_bits(key) / 8);
}

static void put_ecc(struct kt_writer *w, const EVP_PKEY *key)
{
    kt_writer_u16(w, ALG_NULL); /* symmetric, scheme */
    kt_writer_u16(w, ALG_NULL);
    kt_writer_u16(w, ECC_NIST_P256);
    kt_writer_u16(w, ALG_NULL); /* kdf */
    put_param(w, key, OSSL_PKEY_PARAM_EC_PUB_X, POINT_LEN);
    put_param(w, key, OSSL_PKEY_PARAM_EC_PUB_Y, POINT_LEN);
}

bool kt_tpm_key_public(const struct kt_tpm_policy *policy, uint8_t ret[KT_TPM_PUBLIC_MAX], size_t *ret_len,
                       struct kt_error *err)
{
    KT_CLEANUP(EVP_PKEY_free_p) EVP_PKEY *key = parse_key(policy, err);
    struct kt_writer w = {.data = NULL};

    if (!key)
        return false;
    kt_writer_init(&w, ret, KT_TPM_PUBLIC_MAX);
    kt_writer_u16(&w, is_p256(key) ? ALG_ECC : ALG_RSA);
    kt_writer_u16(&w, KT_TPM_SHA256);
    kt_writer_u32(&w, KEY_ATTRIBUTES);
    kt_writer_u16(&w, 0); /* authPolicy */
    if (is_p256(key))
        put_ecc(&w, key);
    else
        put_rsa(&w, key);
    if (w.bad)
        return kt_fail_openssl(err, KT_E_CRYPTO, "the policy's public key");
    *ret_len = w.len;
    return true;
}

static bool extend(uint8_t digest[32], uint32_t command, struct kt_slice more, struct kt_error *err)
{
    uint8_t code[4] = {0};
    struct kt_writer w = {.data = NULL};

    kt_writer_init(&w, code, sizeof(code));
    kt_writer_u32(&w, command);
    const struct kt_slice parts[] = {KT_SLICE(digest, 32), KT_SLICE(code, sizeof(code)), more};
    return kt_sha256(parts, KT_ARRAY_LEN(parts), digest, err);
}

bool kt_tpm_pcr_digest(const struct kt_tpm_pcrs *pcrs, uint8_t ret[32], struct kt_error *err)
{
    struct kt_slice values[KT_TPM_PCRS];
    uint8_t arguments[10 + 32] = {0};
    uint8_t digest[32] = {0};
    size_t n = 0;
    struct kt_writer w = {.data = NULL};

    for (unsigned i = 0; i < KT_TPM_PCRS; i++)
        if (pcrs->mask >> i & 1)
            values[n++] = KT_SLICE(pcrs->digests[i], kt_tpm_bank_len(pcrs->bank));
    kt_writer_init(&w, arguments, sizeof(arguments));
    kt_writer_u32(&w, 1); /* TPML_PCR_SELECTION: count, hash, sizeofSelect, pcrSelect */
    kt_writer_u16(&w, pcrs->bank);
    kt_writer_u8(&w, 3);
    for (unsigned i = 0; i < 3; i++)
        kt_writer_u8(&w, (uint8_t)(pcrs->mask >> 8 * i));
    if (!kt_sha256(values, n, arguments + w.len, err) ||
        !extend(digest, CC_POLICY_PCR, KT_SLICE(arguments, sizeof(arguments)), err))
        return false;
    memcpy(ret, digest, sizeof(digest));
    return true;
}

/* Twice: the key's name, then an empty policyRef. */
static bool authorize_digest(const struct kt_tpm_policy *policy, uint8_t ret[32], struct kt_error *err)
{
    uint8_t public_area[KT_TPM_PUBLIC_MAX] = {0};
    uint8_t name[2 + 32] = {KT_TPM_SHA256 >> 8, KT_TPM_SHA256 & 0xff};
    uint8_t digest[32] = {0};
    size_t len = 0;

    if (!kt_tpm_key_public(policy, public_area, &len, err))
        return false;
    const struct kt_slice area = KT_SLICE(public_area, len);
    const struct kt_slice first = KT_SLICE(digest, sizeof(digest));
    if (!kt_sha256(&area, 1, name + 2, err) || !extend(digest, CC_POLICY_AUTHORIZE, KT_SLICE(name, sizeof(name)), err))
        return false;
    return kt_sha256(&first, 1, ret, err);
}

bool kt_tpm_policy_digest(const struct kt_tpm_policy *policy, uint8_t ret[32], struct kt_error *err)
{
    if (policy->kind == KT_TPM_POLICY_PCR)
        return kt_tpm_pcr_digest(&policy->pcrs, ret, err);
    if (policy->kind == KT_TPM_POLICY_SIGNED)
        return authorize_digest(policy, ret, err);
    return kt_fail(err, KT_E_INTERNAL, "policy none has no digest");
}
