/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kms key does (docs/keyring-format.md §9): AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce from
 * getrandom(2); format version, keyring id and key id are associated data. One context per key holds the expanded key
 * (in OpenSSL's heap: base/arena.h). Not thread-safe: the keeper has one thread.
 */
#pragma once

#include "base/secret.h"
#include "keystore/key.h"

#define KT_CIPHER_OVERHEAD    29u /* version, nonce, tag */
#define KT_KMS_CIPHERTEXT_MAX 1024u
#define KT_KMS_PLAINTEXT_MAX  (KT_KMS_CIPHERTEXT_MAX - KT_CIPHER_OVERHEAD)

struct kt_cipher;

/* key: KT_KEY_BYTES; id: KT_KEY_ID_LEN hex digits. */
struct kt_cipher *kt_cipher_new(const uint8_t keyring_id[KT_KEYRING_ID_LEN], const char *id,
                                const struct kt_secret *key, struct kt_error *err) KT_MUST_CHECK;
void kt_cipher_free(struct kt_cipher *cipher);
KT_DEFINE_CLEANUP(struct kt_cipher *, kt_cipher_free);

/* len 0..KT_KMS_PLAINTEXT_MAX (KT_E_KMS_TOO_LARGE); ret: len + KT_CIPHER_OVERHEAD bytes. */
bool kt_cipher_seal(struct kt_cipher *cipher, const uint8_t *plaintext, size_t len, uint8_t *ret,
                    struct kt_error *err) KT_MUST_CHECK;
/* len as stored; ret: len - KT_CIPHER_OVERHEAD bytes, written only when the tag is right. KT_E_KMS_CIPHERTEXT if it is
 * too short, of another version, or does not authenticate; KT_E_KMS_TOO_LARGE above KT_KMS_CIPHERTEXT_MAX. */
bool kt_cipher_open(struct kt_cipher *cipher, const uint8_t *ciphertext, size_t len, uint8_t *ret, size_t *ret_len,
                    struct kt_error *err) KT_MUST_CHECK;
