/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change of the EncryptionConfiguration on this machine. The generation of the keyring whose audit line has both
 * hashes comes first (kt_member_edit), then what the file was is kept (admin/config_kept.h), then the new file is
 * renamed over it, with the owner, mode and extended attributes that it had (base/file.h). Killed in between, the file
 * is as it was, and what it was before that is kept still.
 */
#pragma once

#include "admin/config_kept.h"
#include "admin/wanted.h"

/* What a file becomes. */
struct kt_config_change {
    char path[PATH_MAX];      /* of the file itself, links followed, as kube-apiserver follows them */
    struct kt_secret *before; /* its bytes */
    struct kt_secret *after;
    uint8_t hash_before[KT_HASH_LEN]; /* SHA-256, as kube-apiserver's metrics have it */
    uint8_t hash_after[KT_HASH_LEN];
    bool differs;
    size_t n_lists;              /* managed lists */
    bool is_back;                /* after is the copy of this name: */
    uint8_t became[KT_HASH_LEN]; /* (struct kt_config_kept) */
};
/* As the keyring wants it. KT_E_REFUSED where that cannot be written, KT_E_CONFIG where the file is not valid. */
bool kt_config_change_make(const struct kt_wanted *wanted, const char *file, struct kt_config_change *ret,
                           struct kt_error *err) KT_MUST_CHECK;
/* Back to what was kept; !differs: the file is that one already. KT_E_REFUSED: nothing is kept; or something in a list
 * of the file as it is does not stand in the same list of the kept one, so that objects might not be read any more. A
 * key that is prepared and comes nowhere first is let off: nothing was encrypted with it. KT_E_CONFIG: the kept one is
 * not valid. */
bool kt_config_change_back(const struct kt_wanted *wanted, const char *state_dir, const char *file,
                           struct kt_config_change *ret, struct kt_error *err) KT_MUST_CHECK;
void kt_config_change_done(struct kt_config_change *change);
#define KT_CLEANUP_CONFIG_CHANGE KT_CLEANUP(kt_config_change_done)

/* The difference in lines, keys masked. */
bool kt_config_change_show(const struct kt_config_change *change, struct kt_text *ret,
                           struct kt_error *err) KT_MUST_CHECK;
/* Whether the newest line of the audit log is the one of this very change: it was killed before the file was written.
 */
bool kt_config_change_is_noted(const struct kt_config_change *change, const struct kt_audit_tail *tail);
/* Keeps what is there and renames the new one over it. KT_E_BUSY where it is not what it was when the change was made.
 * Going back twice is the same as going back once: what it replaces is kept, but not as what there is to go back to. */
bool kt_config_change_install(const struct kt_config_change *change, const char *state_dir,
                              struct kt_error *err) KT_MUST_CHECK;

/* Whether kube-apiserver would take the file, and each list of it that has a key of the keyring has each of them.
 * *ret_plain_first: in each such list identity comes first; ret_hash: of the file. */
bool kt_config_covers(const struct kt_wanted *wanted, const char *file, bool *ret_plain_first,
                      uint8_t ret_hash[KT_HASH_LEN], struct kt_error *err) KT_MUST_CHECK;
