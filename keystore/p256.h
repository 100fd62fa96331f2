/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys on P-256 by OpenSSL's EVP: the one place that turns scalars and SEC 1 points into EVP_PKEYs.
 * DeriveKeyPair is RFC 9180 §7.1.3 for DHKEM(P-256, HKDF-SHA256). New keys come from getrandom(2).
 */
#pragma once

#include "base/buf.h"
#include "base/secret.h"

#define KT_P256_PUBLIC 65u
#define KT_P256_SCALAR 32u

struct kt_p256; /* a key pair, or a public key only */

struct kt_p256 *kt_p256_generate(struct kt_error *err) KT_MUST_CHECK;
/* ikm: at least 32 bytes. */
struct kt_p256 *kt_p256_derive(const struct kt_secret *ikm, struct kt_error *err) KT_MUST_CHECK;
/* A scalar in 1..n-1, as 32 big-endian bytes; anything else is KT_E_CRYPTO. */
struct kt_p256 *kt_p256_from_scalar(const struct kt_secret *scalar, struct kt_error *err) KT_MUST_CHECK;
/* Refuses points off the curve, compressed forms and the identity (KT_E_CRYPTO). */
struct kt_p256 *kt_p256_from_public(const uint8_t public_key[KT_P256_PUBLIC], struct kt_error *err) KT_MUST_CHECK;
void kt_p256_free(struct kt_p256 *key);
KT_DEFINE_CLEANUP(struct kt_p256 *, kt_p256_free);

void kt_p256_public(const struct kt_p256 *key, uint8_t ret[KT_P256_PUBLIC]);
/* The private scalar; fails on a public key (KT_E_INTERNAL), as dh and sign do. */
struct kt_secret *kt_p256_scalar(const struct kt_p256 *key, struct kt_error *err) KT_MUST_CHECK;
/* ECDH, x coordinate, 32 bytes. */
struct kt_secret *kt_p256_dh(const struct kt_p256 *own, const struct kt_p256 *peer, struct kt_error *err) KT_MUST_CHECK;

/* ECDSA with SHA-256 over context || 0x00 || message; r || s. context is static text. */
#define KT_SIGNATURE_LEN 64u
bool kt_p256_sign(const struct kt_p256 *key, const char *context, struct kt_slice message,
                  uint8_t ret[KT_SIGNATURE_LEN], struct kt_error *err) KT_MUST_CHECK;
/* A signature that does not verify is false with *err = KT_E_CRYPTO; callers put their own code and words. */
bool kt_p256_verify(const struct kt_p256 *key, const char *context, struct kt_slice message,
                    const uint8_t signature[KT_SIGNATURE_LEN], struct kt_error *err) KT_MUST_CHECK;
