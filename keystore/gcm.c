/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/gcm.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

struct kt_gcm {
    EVP_CIPHER_CTX *ctx;
};

struct kt_gcm *kt_gcm_new(const struct kt_secret *key, enum kt_gcm_direction direction, struct kt_error *err)
{
    if (kt_secret_len(key) != KT_GCM_KEY) {
        kt_fail(err, KT_E_INTERNAL, "an AES-256 key has %u bytes, not %zu", KT_GCM_KEY, kt_secret_len(key));
        return NULL;
    }
    KT_CLEANUP(kt_gcm_free_p) struct kt_gcm *gcm = calloc(1, sizeof(*gcm));
    if (!gcm) {
        kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    gcm->ctx = EVP_CIPHER_CTX_new();
    if (!gcm->ctx || EVP_CipherInit_ex2(gcm->ctx, EVP_aes_256_gcm(), kt_secret_view(key), NULL,
                                        direction == KT_GCM_SEALS, NULL) != 1) {
        kt_fail_openssl(err, KT_E_CRYPTO, "AES-256-GCM");
        return NULL;
    }
    return KT_TAKE_PTR(gcm);
}

void kt_gcm_free(struct kt_gcm *gcm)
{
    if (!gcm)
        return;
    EVP_CIPHER_CTX_free(gcm->ctx);
    free(gcm);
}

/* Nonce, associated data and text; what is left is the tag. */
static bool update(EVP_CIPHER_CTX *ctx, const struct kt_gcm_message *message, uint8_t *ret, struct kt_error *err)
{
    if (message->aad.len > INT_MAX || message->text.len > INT_MAX)
        return kt_fail(err, KT_E_INTERNAL, "too long for AES-256-GCM in one piece");
    int n = 0;
    if (EVP_CipherInit_ex2(ctx, NULL, NULL, message->nonce, -1, NULL) != 1)
        return kt_fail_openssl(err, KT_E_CRYPTO, "AES-256-GCM nonce");
    if (message->aad.len > 0 && EVP_CipherUpdate(ctx, NULL, &n, message->aad.data, (int)message->aad.len) != 1)
        return kt_fail_openssl(err, KT_E_CRYPTO, "AES-256-GCM associated data");
    if (message->text.len > 0 && EVP_CipherUpdate(ctx, ret, &n, message->text.data, (int)message->text.len) != 1)
        return kt_fail_openssl(err, KT_E_CRYPTO, "AES-256-GCM");
    return true;
}

bool kt_gcm_encrypt(struct kt_gcm *gcm, const struct kt_gcm_message *message, uint8_t *ret, struct kt_error *err)
{
    uint8_t *tag = ret + message->text.len;
    int n = 0;
    if (!update(gcm->ctx, message, ret, err))
        return false;
    /* GCM's final writes nothing; it wants a place all the same. */
    if (EVP_CipherFinal_ex(gcm->ctx, tag, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(gcm->ctx, EVP_CTRL_AEAD_GET_TAG, KT_GCM_TAG, tag) != 1)
        return kt_fail_openssl(err, KT_E_CRYPTO, "AES-256-GCM tag");
    return true;
}

enum kt_gcm_verdict kt_gcm_decrypt(struct kt_gcm *gcm, const struct kt_gcm_message *message,
                                   const uint8_t tag[KT_GCM_TAG], uint8_t *ret, struct kt_error *err)
{
    uint8_t expected[KT_GCM_TAG] = {0};
    uint8_t nothing[KT_GCM_TAG] = {0};
    int n = 0;
    if (!update(gcm->ctx, message, ret, err))
        return KT_GCM_FAILED;
    memcpy(expected, tag, sizeof(expected)); /* the control takes no pointer to const */
    if (EVP_CIPHER_CTX_ctrl(gcm->ctx, EVP_CTRL_AEAD_SET_TAG, KT_GCM_TAG, expected) != 1) {
        kt_fail_openssl(err, KT_E_CRYPTO, "AES-256-GCM tag");
        return KT_GCM_FAILED;
    }
    if (EVP_CipherFinal_ex(gcm->ctx, nothing, &n) != 1) {
        ERR_clear_error();
        return KT_GCM_FORGED;
    }
    return KT_GCM_OPENED;
}

bool kt_gcm_seal(const struct kt_secret *key, const uint8_t nonce[KT_GCM_NONCE], struct kt_slice aad,
                 struct kt_slice plaintext, uint8_t *ret, struct kt_error *err)
{
    const struct kt_gcm_message message = {.nonce = nonce, .aad = aad, .text = plaintext};
    KT_CLEANUP(kt_gcm_free_p) struct kt_gcm *gcm = kt_gcm_new(key, KT_GCM_SEALS, err);
    if (!gcm)
        return false;
    if (!kt_gcm_encrypt(gcm, &message, ret, err)) {
        memset(ret, 0, plaintext.len + KT_GCM_TAG);
        return false;
    }
    return true;
}

struct kt_secret *kt_gcm_open(const struct kt_secret *key, const uint8_t nonce[KT_GCM_NONCE], struct kt_slice aad,
                              struct kt_slice ciphertext, struct kt_error *err)
{
    if (ciphertext.len <= KT_GCM_TAG) {
        kt_fail(err, KT_E_CRYPTO, "%zu bytes are too few for something sealed", ciphertext.len);
        return NULL;
    }
    const size_t len = ciphertext.len - KT_GCM_TAG;
    const struct kt_gcm_message message = {.nonce = nonce, .aad = aad, .text = KT_SLICE(ciphertext.data, len)};
    KT_CLEANUP(kt_gcm_free_p) struct kt_gcm *gcm = kt_gcm_new(key, KT_GCM_OPENS, err);
    if (!gcm)
        return NULL;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *plaintext = kt_secret_new(len, err);
    if (!plaintext)
        return NULL;
    switch (kt_gcm_decrypt(gcm, &message, ciphertext.data + len, kt_secret_bytes(plaintext), err)) {
    case KT_GCM_OPENED:
        return KT_TAKE_PTR(plaintext);
    case KT_GCM_FORGED:
        kt_fail(err, KT_E_CRYPTO, "it does not authenticate: another key or context, or it was changed");
        return NULL;
    case KT_GCM_FAILED:
        break;
    }
    return NULL;
}
