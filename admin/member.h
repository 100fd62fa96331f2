/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands that make memberships share: what this node knows, the opener's request over it, the install. */
#pragma once

#include "admin/offer.h"
#include "keystore/state_dir.h"

struct kt_member_job {
    const struct kt_options *options;
    struct kt_config *config;
    struct kt_state *state; /* as it was read when the opener was asked */
};
/* The configuration and the state directory as they are now; KT_E_KEYRING_MISSING if there is no keyring. */
bool kt_member_start(const struct kt_options *options, struct kt_member_job *ret, struct kt_error *err) KT_MUST_CHECK;
bool kt_member_refresh(struct kt_member_job *job, struct kt_error *err) KT_MUST_CHECK;
void kt_member_done(struct kt_member_job *job);

/* Everything of the state that the opener judges by; writer and time. */
void kt_member_request(const struct kt_member_job *job, enum kt_opener_op op, struct kt_opener_request *ret);
/* A membership that was made over job's state becomes the one in force. KT_E_KEYRING_STALE if another keyring came in
 * between. */
bool kt_member_install(const struct kt_member_job *job, struct kt_slice document, struct kt_outcome *ret,
                       struct kt_error *err) KT_MUST_CHECK;

/* A generation with these edits over job's state, installed; n may be 0. config_before and config_after: the hashes of
 * the EncryptionConfiguration that is changed along with it; NULL: none is. Fails as kt_member_install does. */
struct kt_member_edits {
    const struct kt_edit *list;
    size_t n;
    const uint8_t *config_before;
    const uint8_t *config_after;
};
bool kt_member_edit(const struct kt_member_job *job, const struct kt_member_edits *edits, struct kt_outcome *ret,
                    struct kt_error *err) KT_MUST_CHECK;

/* A file for another machine, without secrets: written over an older one of its kind ("NodeRequest"), and over nothing
 * else (KT_E_EXISTS). */
bool kt_member_file_check(const char *path, const char *kind, struct kt_error *err) KT_MUST_CHECK;
bool kt_member_file_write(const char *path, const char *kind, struct kt_slice bytes,
                          struct kt_error *err) KT_MUST_CHECK;
