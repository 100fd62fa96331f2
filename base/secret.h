/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only type that key bytes live in. Each secret has a mapping of its own between two inaccessible guard pages:
 * locked (mlock), left out of core dumps (MADV_DONTDUMP), zeroed in a forked child (MADV_WIPEONFORK), wiped when freed.
 * There is no resize, no copy-out to plain memory, no printer; comparison is constant-time only. Failing to lock is an
 * error. See docs/architecture.md for what else holds secrets for a moment (OpenSSL's heap: base/arena.h).
 */
#pragma once

#include "base/cleanup.h"
#include "base/error.h"

#include <stdint.h>

#define KT_SECRET_MAX 131072u

struct kt_secret;

/* len 1..KT_SECRET_MAX, zero-filled. NULL on failure. */
struct kt_secret *kt_secret_new(size_t len, struct kt_error *err) KT_MUST_CHECK;
/* len random bytes from getrandom(2). */
struct kt_secret *kt_secret_new_random(size_t len, struct kt_error *err) KT_MUST_CHECK;
struct kt_secret *kt_secret_new_copy(const void *bytes, size_t len, struct kt_error *err) KT_MUST_CHECK;
void kt_secret_free(struct kt_secret *secret);
KT_DEFINE_CLEANUP(struct kt_secret *, kt_secret_free);

/* The bytes, valid until the secret is freed. */
uint8_t *kt_secret_bytes(struct kt_secret *secret);
const uint8_t *kt_secret_view(const struct kt_secret *secret);
size_t kt_secret_len(const struct kt_secret *secret);
/* Constant time in the bytes; lengths may differ (then false). */
bool kt_secret_equal(const struct kt_secret *a, const struct kt_secret *b);

/* explicit_bzero with the argument order of a cleanup: for short-lived copies on the stack. */
void kt_wipe(void *bytes, size_t len);
/* Fills from getrandom(2), whole. */
bool kt_random(void *bytes, size_t len, struct kt_error *err) KT_MUST_CHECK;
