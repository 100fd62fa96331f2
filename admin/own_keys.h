/* SPDX-License-Identifier: Apache-2.0 */
/* k3s and RKE2 that encrypt by themselves: the keys in their own file, which objects may be stored under. */
#pragma once

#include "admin/member.h"
#include "admin/wanted.h"
#include "cluster/distro.h"

#define KT_OWN_KEYS_MAX 16u

/* Keys of that file that the keyring lacks. */
struct kt_own_keys {
    size_t n;
    enum kt_key_type types[KT_OWN_KEYS_MAX];
    char names[KT_OWN_KEYS_MAX][KT_NAME_MAX + 1];
    struct kt_secret *bytes[KT_OWN_KEYS_MAX];
};
void kt_own_keys_done(struct kt_own_keys *keys);
#define KT_CLEANUP_OWN_KEYS KT_CLEANUP(kt_own_keys_done)

/* KT_E_REFUSED: the keyring has one of that type and name with other bytes, or it cannot have one of that name.
 * *ret_first, which may be NULL: whether the first key of the file is the first of the keyring. Nothing is looked at
 * where the distribution has no such file, or does not use it. */
bool kt_own_keys_find(const struct kt_host *host, const struct kt_wanted *wanted, struct kt_own_keys *ret,
                      bool *ret_first, struct kt_error *err) KT_MUST_CHECK;
/* Every key of that file must be in the keyring, by name and bytes, whatever was rotated there meanwhile: KT_E_REFUSED
 * names the first that is not. */
bool kt_own_keys_check(const struct kt_host *host, const struct kt_wanted *wanted, bool *ret_first,
                       struct kt_error *err) KT_MUST_CHECK;
/* A generation with them, last and ready, in force. Fails as kt_member_install does. */
bool kt_own_keys_import(const struct kt_member_job *job, const struct kt_own_keys *keys,
                        struct kt_error *err) KT_MUST_CHECK;
