/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags, by EVP: single messages for the keyring, and
 * contexts that expand a key once for cipher.c.
 */
#pragma once

#include "base/buf.h"
#include "base/secret.h"

#define KT_GCM_KEY   32u
#define KT_GCM_NONCE 12u
#define KT_GCM_TAG   16u

/* ret: len + KT_GCM_TAG bytes: ciphertext || tag; zeros if the library fails. */
bool kt_gcm_seal(const struct kt_secret *key, const uint8_t nonce[KT_GCM_NONCE], struct kt_slice aad,
                 struct kt_slice plaintext, uint8_t *ret, struct kt_error *err) KT_MUST_CHECK;
/* Into locked memory; NULL and KT_E_CRYPTO when the tag is wrong. ciphertext includes the tag; more than the tag. */
struct kt_secret *kt_gcm_open(const struct kt_secret *key, const uint8_t nonce[KT_GCM_NONCE], struct kt_slice aad,
                              struct kt_slice ciphertext, struct kt_error *err) KT_MUST_CHECK;

/* An expanded key for one direction, in OpenSSL's heap; only nonce and associated data change per message. */
struct kt_gcm;
enum kt_gcm_direction { KT_GCM_SEALS, KT_GCM_OPENS };
struct kt_gcm *kt_gcm_new(const struct kt_secret *key, enum kt_gcm_direction direction,
                          struct kt_error *err) KT_MUST_CHECK;
void kt_gcm_free(struct kt_gcm *gcm);
KT_DEFINE_CLEANUP(struct kt_gcm *, kt_gcm_free);

/* text: the plaintext to encrypt, or the ciphertext without its tag. */
struct kt_gcm_message {
    const uint8_t *nonce; /* KT_GCM_NONCE */
    struct kt_slice aad;
    struct kt_slice text;
};
/* ret: text.len bytes of ciphertext, then KT_GCM_TAG bytes; undefined if the library fails. Must not overlap text. */
bool kt_gcm_encrypt(struct kt_gcm *gcm, const struct kt_gcm_message *message, uint8_t *ret,
                    struct kt_error *err) KT_MUST_CHECK;
/* ret: text.len bytes, for the caller to throw away and wipe unless the verdict is KT_GCM_OPENED. *err is filled only
 * for KT_GCM_FAILED. */
enum kt_gcm_verdict { KT_GCM_OPENED, KT_GCM_FORGED, KT_GCM_FAILED };
enum kt_gcm_verdict kt_gcm_decrypt(struct kt_gcm *gcm, const struct kt_gcm_message *message,
                                   const uint8_t tag[KT_GCM_TAG], uint8_t *ret, struct kt_error *err) KT_MUST_CHECK;
