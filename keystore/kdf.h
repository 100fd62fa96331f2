/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 and HKDF-SHA256 (RFC 5869) as the keyring uses them, by EVP; and AES-256-GCM with them (gcm.h). */
#pragma once

#include "base/buf.h"
#include "base/secret.h"
#include "keystore/gcm.h"

/* Of the parts one after another. */
bool kt_sha256(const struct kt_slice *parts, size_t n_parts, uint8_t ret[32], struct kt_error *err) KT_MUST_CHECK;

/* prk: 32 bytes. salt may be empty, ikm not. */
struct kt_secret *kt_hkdf_extract(struct kt_slice salt, struct kt_slice ikm, struct kt_error *err) KT_MUST_CHECK;
/* info at most 1024 bytes (OpenSSL 3.0's limit), len 1..8160. */
struct kt_secret *kt_hkdf_expand(const struct kt_secret *prk, struct kt_slice info, size_t len,
                                 struct kt_error *err) KT_MUST_CHECK;
