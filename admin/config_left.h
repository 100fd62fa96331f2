/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inline keys that were archived and that a config file still lists: retire was killed before it wrote the file, or the
 * file is that of another host. The keyring does not have their bytes any more, and a name alone is no proof. The line
 * of the audit log of the generation that archived them has the hash of the file, whose keys had been held against the
 * keyring's by their bytes: a file with that hash has those keys under those names.
 */
#pragma once

#include "encconfig/edit.h"
#include "keystore/audit.h"

#define KT_CONFIG_LEFT_MAX 64u

struct kt_config_left {
    size_t n;
    struct kt_encconfig_item items[KT_CONFIG_LEFT_MAX]; /* without bytes */
    char names[KT_CONFIG_LEFT_MAX][KT_KEY_NAME_MAX + 1];
};
/* The keys that such lines tell of a file with that SHA-256; more than there is room for are left out. tail, state_dir:
 * as for kt_audit_walk (admin/audit_since.h). Large: heap only. */
bool kt_config_left_find(const struct kt_audit_tail *tail, const char *state_dir, const uint8_t hash[KT_HASH_LEN],
                         struct kt_config_left *ret, struct kt_error *err) KT_MUST_CHECK;

/* Whether one of these keys is archived, and none of that type and name is listed. */
bool kt_config_has_archived(const struct kt_encconfig *file, const struct kt_keyring_info *info) KT_MUST_CHECK;
