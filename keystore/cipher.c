/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/cipher.h"

#include "keystore/gcm.h"

#include <string.h>

#define VERSION    0x01
#define HEADER_LEN (1u + KT_GCM_NONCE)

static const char purpose[] = "keyturn.dev/v1 kms"; /* bound with its NUL */

struct kt_cipher {
    struct kt_gcm *seals;
    struct kt_gcm *opens;
    uint8_t aad[sizeof(purpose) + 1 + KT_KEYRING_ID_LEN + 2 + KT_KEY_ID_LEN];
};

_Static_assert(KT_CIPHER_OVERHEAD == HEADER_LEN + KT_GCM_TAG, "version, nonce, tag");

static void bind_aad(struct kt_cipher *cipher, const uint8_t keyring_id[KT_KEYRING_ID_LEN], const char *id)
{
    struct kt_writer w = {.data = NULL};
    kt_writer_init(&w, cipher->aad, sizeof(cipher->aad));
    kt_writer_bytes(&w, purpose, sizeof(purpose));
    kt_writer_u8(&w, VERSION);
    kt_writer_bytes(&w, keyring_id, KT_KEYRING_ID_LEN);
    kt_writer_u16(&w, KT_KEY_ID_LEN);
    kt_writer_bytes(&w, id, KT_KEY_ID_LEN);
}

struct kt_cipher *kt_cipher_new(const uint8_t keyring_id[KT_KEYRING_ID_LEN], const char *id,
                                const struct kt_secret *key, struct kt_error *err)
{
    if (strlen(id) != KT_KEY_ID_LEN) {
        kt_fail(err, KT_E_INTERNAL, "a key id has %u digits, not %zu", KT_KEY_ID_LEN, strlen(id));
        return NULL;
    }
    KT_CLEANUP(kt_cipher_free_p) struct kt_cipher *cipher = calloc(1, sizeof(*cipher));
    if (!cipher) {
        kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    bind_aad(cipher, keyring_id, id);
    cipher->seals = kt_gcm_new(key, KT_GCM_SEALS, err);
    if (!cipher->seals)
        return NULL;
    cipher->opens = kt_gcm_new(key, KT_GCM_OPENS, err);
    if (!cipher->opens)
        return NULL;
    return KT_TAKE_PTR(cipher);
}

void kt_cipher_free(struct kt_cipher *cipher)
{
    if (!cipher)
        return;
    kt_gcm_free(cipher->seals);
    kt_gcm_free(cipher->opens);
    free(cipher);
}

bool kt_cipher_seal(struct kt_cipher *cipher, const uint8_t *plaintext, size_t len, uint8_t *ret, struct kt_error *err)
{
    if (len > KT_KMS_PLAINTEXT_MAX)
        return kt_fail(err, KT_E_KMS_TOO_LARGE, "a plaintext has at most %u bytes, not %zu", KT_KMS_PLAINTEXT_MAX, len);
    uint8_t sealed[KT_KMS_CIPHERTEXT_MAX] = {VERSION};
    const struct kt_gcm_message message = {
        .nonce = sealed + 1,
        .aad = KT_SLICE(cipher->aad, sizeof(cipher->aad)),
        .text = KT_SLICE(plaintext, len),
    };
    if (!kt_random(sealed + 1, KT_GCM_NONCE, err) || !kt_gcm_encrypt(cipher->seals, &message, sealed + HEADER_LEN, err))
        return false;
    memcpy(ret, sealed, len + KT_CIPHER_OVERHEAD);
    return true;
}

/* Everything that can be said of a ciphertext without a key. */
static bool check_form(const uint8_t *ciphertext, size_t len, struct kt_error *err)
{
    if (len > KT_KMS_CIPHERTEXT_MAX)
        return kt_fail(err, KT_E_KMS_TOO_LARGE, "a ciphertext has at most %u bytes, not %zu", KT_KMS_CIPHERTEXT_MAX,
                       len);
    if (len < KT_CIPHER_OVERHEAD)
        return kt_fail(err, KT_E_KMS_CIPHERTEXT, "a ciphertext has at least %u bytes, not %zu", KT_CIPHER_OVERHEAD,
                       len);
    if (ciphertext[0] != VERSION)
        return kt_fail(err, KT_E_KMS_CIPHERTEXT, "the ciphertext has a format that this release does not know");
    return true;
}

bool kt_cipher_open(struct kt_cipher *cipher, const uint8_t *ciphertext, size_t len, uint8_t *ret, size_t *ret_len,
                    struct kt_error *err)
{
    if (!check_form(ciphertext, len, err))
        return false;
    uint8_t plaintext[KT_KMS_PLAINTEXT_MAX] = {0};
    const size_t text_len = len - KT_CIPHER_OVERHEAD;
    const struct kt_gcm_message message = {
        .nonce = ciphertext + 1,
        .aad = KT_SLICE(cipher->aad, sizeof(cipher->aad)),
        .text = KT_SLICE(ciphertext + HEADER_LEN, text_len),
    };
    const enum kt_gcm_verdict verdict =
        kt_gcm_decrypt(cipher->opens, &message, ciphertext + len - KT_GCM_TAG, plaintext, err);
    if (verdict == KT_GCM_OPENED) {
        memcpy(ret, plaintext, text_len);
        *ret_len = text_len;
    }
    kt_wipe(plaintext, text_len);
    if (verdict == KT_GCM_FORGED)
        return kt_fail(err, KT_E_KMS_CIPHERTEXT, "the ciphertext does not authenticate under the key that it names");
    return verdict == KT_GCM_OPENED;
}
