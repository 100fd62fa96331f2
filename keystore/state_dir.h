/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state directory: who holds `lock` owns it (keyturnd's keeper for life; keyturn only while no daemon runs).
 *
 *   keyring.yaml                             in force
 *   floor                                    docs/keyring-format.md §8
 *   audit.log                                docs/audit-format.md
 *   superseded/MEMBERSHIP-GENERATION.yaml    older keyrings with keys that the present one neither lists nor archives
 *   usage                                    how many encryptions each key has behind it (keeper)
 *   opener/                                  the opener's own folder (node.key)
 *   lock
 *   rotation.lock                            whoever rotates holds it, so that there is one at a time (keyturn)
 *
 * An install is: the present keyring into superseded/ where it is still needed, keyring.yaml, the lines of the audit
 * log that it brings, floor, then the removal of superseded files that are not needed any more. Killed at any point,
 * the next start serves the old or the new one.
 */
#pragma once

#include "keystore/audit_log.h"
#include "keystore/opener.h"

struct kt_state_dir;

/* Takes the lock (KT_E_BUSY). */
struct kt_state_dir *kt_state_dir_open(const char *path, struct kt_error *err) KT_MUST_CHECK;
/* Without the lock, to look only. */
struct kt_state_dir *kt_state_dir_view(const char *path, struct kt_error *err) KT_MUST_CHECK;
void kt_state_dir_free(struct kt_state_dir *dir);
KT_DEFINE_CLEANUP(struct kt_state_dir *, kt_state_dir_free);
int kt_state_dir_fd(const struct kt_state_dir *dir);

/* What a start or an offer needs, read whole. current.data == NULL: no keyring.yaml. */
struct kt_state {
    struct kt_bytes current;
    struct kt_floor floor; /* membership 0: no floor file */
    struct kt_bytes superseded[KT_SUPERSEDED_MAX];
    char superseded_names[KT_SUPERSEDED_MAX][KT_SOURCE_MAX];
    size_t n_superseded;
    /* Entries of superseded/ that could not be read, or that are too many: their keys are not served, no file is
     * removed or replaced, and nothing new is installed until they can be read; why, of the first. */
    size_t n_left_out;
    struct kt_error left_out;
};
bool kt_state_dir_read(const struct kt_state_dir *dir, struct kt_state *ret, struct kt_error *err) KT_MUST_CHECK;
void kt_state_done(struct kt_state *state);
/* An OPEN request over that state: offered, or the present keyring itself when offered is empty. */
void kt_state_request(const struct kt_state *state, struct kt_slice offered, struct kt_opener_request *ret);

/* Whether kt_state_dir_install would refuse it, without a lock and without a change: for a dry run. */
bool kt_state_dir_check_install(const struct kt_state *state, const struct kt_opener_answer *answer,
                                struct kt_error *err) KT_MUST_CHECK;

/* Makes `offered` the keyring in force, by the opener's answer to kt_state_request. Durable when it returns true. Where
 * the answer is `same`, only the floor and superseded/ are brought up; where it is below_floor as well, nothing is.
 * KT_E_INCOMPLETE: the keyring is in its place, but what comes after that is not. */
bool kt_state_dir_install(struct kt_state_dir *dir, const struct kt_state *state, struct kt_slice offered,
                          const struct kt_opener_answer *answer, struct kt_error *err) KT_MUST_CHECK;
/* What the last install did to the audit log. Trouble with it stands in the way of no keyring: it is for the caller to
 * tell, and the next install tries again. */
const struct kt_audit_appended *kt_state_dir_audit(const struct kt_state_dir *dir);
/* What a file of this directory must be: whose, and not for others to write. */
struct kt_file_rules kt_state_dir_rules(const struct kt_state_dir *dir, size_t max);

/* A document that is in force, but that is not keyring.yaml any more, since somebody replaced that: it goes into
 * superseded/, so that its keys are not lost with this process. *ret_written: it was not there yet; state is old then.
 */
bool kt_state_dir_keep(struct kt_state_dir *dir, const struct kt_state *state, struct kt_slice document,
                       const struct kt_floor *which, bool *ret_written, struct kt_error *err) KT_MUST_CHECK;
