/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HPKE, RFC 9180, base mode, DHKEM(P-256, HKDF-SHA256) 0x0010, HKDF-SHA256 0x0001, AES-256-GCM 0x0002; single shot
 * (§6.1), which is all that a keyring needs. The key schedule is exposed for the RFC's test vectors.
 */
#pragma once

#include "keystore/kdf.h"
#include "keystore/p256.h"

#define KT_HPKE_ENC      KT_P256_PUBLIC
#define KT_HPKE_OVERHEAD (KT_HPKE_ENC + KT_GCM_TAG)

/* enc || ciphertext || tag: plaintext length + KT_HPKE_OVERHEAD bytes. info: up to 60 KiB. */
bool kt_hpke_seal(const struct kt_p256 *recipient, struct kt_slice info, struct kt_slice aad,
                  const struct kt_secret *plaintext, uint8_t *ret, struct kt_error *err) KT_MUST_CHECK;
/* NULL and KT_E_CRYPTO if it was not sealed to this key with this info. */
struct kt_secret *kt_hpke_open(const struct kt_p256 *own, struct kt_slice info, struct kt_slice aad,
                               struct kt_slice sealed, struct kt_error *err) KT_MUST_CHECK;

/* For the vectors: both sides' context from the same inputs. */
struct kt_hpke_context {
    struct kt_secret *key;        /* 32 */
    struct kt_secret *base_nonce; /* 12 */
    struct kt_secret *exporter;   /* 32 */
};
void kt_hpke_context_done(struct kt_hpke_context *context);
bool kt_hpke_setup_sender(const struct kt_p256 *recipient, const struct kt_p256 *ephemeral, struct kt_slice info,
                          struct kt_hpke_context *ret, struct kt_error *err) KT_MUST_CHECK;
bool kt_hpke_setup_receiver(const struct kt_p256 *own, const uint8_t enc[KT_HPKE_ENC], struct kt_slice info,
                            struct kt_hpke_context *ret, struct kt_error *err) KT_MUST_CHECK;
/* Nonce of message number seq: base_nonce xor seq (§5.2). */
void kt_hpke_nonce(const struct kt_hpke_context *context, uint64_t seq, uint8_t ret[KT_GCM_NONCE]);
