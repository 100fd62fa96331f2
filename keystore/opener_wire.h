/* SPDX-License-Identifier: Apache-2.0 */
/* The frames between opener and client, in fixed layout; both sides of each in one place. Private to keystore/. */
#pragma once

#include "keystore/opener.h"
#include "keystore/recovery_key.h"

#define KT_OPENER_REQUEST_MAX ((size_t)20 * KT_KEYRING_MAX)
#define KT_OPENER_PUBLIC_MAX  ((size_t)2 * KT_KEYRING_MAX)
#define KT_OPENER_SECRET_MAX  ((size_t)2 * KT_KEYS_MAX * (KT_KEY_BYTES + 1u) + 4u)

/* A request is two frames: the public part without any secret (below), then one that is received into locked memory:
 * one byte, 1 if the recovery key follows, plus 2 if a new one does; their bytes; one byte, how many keys to import
 * follow; for each a length byte and its bytes. */
#define KT_OPENER_SECRETS_MAX (2u + 2u * KT_RECOVERY_KEY_BYTES + KT_EDITS_MAX * (1u + KT_KEY_BYTES))
bool kt_opener_request_encode(const struct kt_opener_request *request, struct kt_bytes *ret,
                              struct kt_error *err) KT_MUST_CHECK;
/* Slices of *ret point into body; recovery_key is set by the caller. *storage holds what needs a home (edits, names).
 */
struct kt_opener_storage {
    struct kt_edit edits[KT_EDITS_MAX];
    char node[KT_NAME_MAX + 1];
    char key_name[KT_KEY_NAME_MAX + 1];
    char superseded_names[KT_SUPERSEDED_MAX][KT_SOURCE_MAX];
    struct kt_tpm_policy tpm_policy;
    char member_name[KT_NAME_MAX + 1];
    char provider[KT_NAME_MAX + 1];
};
bool kt_opener_request_decode(struct kt_slice body, struct kt_opener_storage *storage, struct kt_opener_request *ret,
                              struct kt_error *err) KT_MUST_CHECK;
/* The second frame, both ways; either recovery key may be NULL, and what was not sent is NULL. */
struct kt_opener_secrets {
    struct kt_secret *recovery_key;
    struct kt_secret *new_recovery_key;
    struct kt_secret *imports[KT_EDITS_MAX];
    size_t n_imports;
};
void kt_opener_secrets_done(struct kt_opener_secrets *secrets);
struct kt_secret *kt_opener_secrets_encode(const struct kt_opener_request *request, struct kt_error *err) KT_MUST_CHECK;
bool kt_opener_secrets_decode(const struct kt_secret *body, struct kt_opener_secrets *ret,
                              struct kt_error *err) KT_MUST_CHECK;
/* Into the request, which must not outlive them. */
void kt_opener_secrets_put(const struct kt_opener_secrets *secrets, struct kt_opener_request *request);

/* failure: NULL for success. A failure has no second frame. */
bool kt_opener_answer_encode(const struct kt_opener_answer *answer, const struct kt_error *failure,
                             struct kt_bytes *ret, struct kt_error *err) KT_MUST_CHECK;
/* Fills everything but the keys. A failure that the opener reported becomes *err. */
bool kt_opener_answer_decode(struct kt_slice body, struct kt_opener_answer *ret, struct kt_error *err) KT_MUST_CHECK;
/* The keys' frame: for each of info->keys one length byte (0: none) and the bytes. At least one byte in all. */
struct kt_secret *kt_opener_keys_encode(const struct kt_opener_answer *answer, struct kt_error *err) KT_MUST_CHECK;
bool kt_opener_keys_decode(const struct kt_secret *body, struct kt_opener_answer *answer,
                           struct kt_error *err) KT_MUST_CHECK;

/* For kt_opener_run: whether the opener's verdict, good or bad, has come. */
bool kt_opener_call_answered(const struct kt_opener_call *call);
