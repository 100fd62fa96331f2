/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an EncryptionConfiguration was before keyturn changed it: STATE/config-previous, mode 0700, where no kubelet
 * reads. One copy for a change, mode 0600, with the very bytes, which may hold keys. Its name is the path of the file
 * ("%2Fetc%2F..."), a dot, and the SHA-256 of what the file became. So a copy that was made for a change that never
 * took place hides none that did; the next change that does removes it. What a rollback replaced is kept as
 * PATH.undone.
 */
#pragma once

#include "base/secret.h"
#include "keystore/key.h"

#include <limits.h>

/* Of a path with its slashes as three characters. */
#define KT_CONFIG_KEPT_NAME_MAX 168u

struct kt_config_kept {
    struct kt_secret *bytes;
    uint8_t became[KT_HASH_LEN];
};
void kt_config_kept_done(struct kt_config_kept *kept);
#define KT_CLEANUP_CONFIG_KEPT KT_CLEANUP(kt_config_kept_done)

/* Durable when it returns. */
bool kt_config_keep(const char *state_dir, const char *path, const uint8_t became[KT_HASH_LEN],
                    const struct kt_secret *bytes, struct kt_error *err) KT_MUST_CHECK;
bool kt_config_keep_undone(const char *state_dir, const char *path, const struct kt_secret *bytes,
                           struct kt_error *err) KT_MUST_CHECK;
/* The copy from before the change that made the file what it is now; else the one whose bytes the file has again; else
 * the newest. KT_E_REFUSED: there is none. */
bool kt_config_kept_find(const char *state_dir, const char *path, const struct kt_secret *now,
                         struct kt_config_kept *ret, struct kt_error *err) KT_MUST_CHECK;
/* Every copy of that file that lists an archived key, also what a rollback replaced. */
bool kt_config_kept_forget(const char *state_dir, const char *path, const struct kt_keyring_info *info,
                           struct kt_error *err) KT_MUST_CHECK;
/* Every copy of that file but this one. */
bool kt_config_kept_prune(const char *state_dir, const char *path, const uint8_t became[KT_HASH_LEN],
                          struct kt_error *err) KT_MUST_CHECK;
