/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in a file that somebody else wrote, which objects may be stored under: the own one of k3s and RKE2 that encrypt
 * by themselves, or an EncryptionConfiguration that was made by hand. */
#pragma once

#include "admin/member.h"
#include "admin/wanted.h"
#include "cluster/distro.h"

#define KT_OWN_KEYS_MAX 15u /* and a stage make the edits of a generation */

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
/* The same of a file that is named. */
bool kt_own_keys_find_in(const char *file, const struct kt_wanted *wanted, struct kt_own_keys *ret, bool *ret_first,
                         struct kt_error *err) KT_MUST_CHECK;
/* The distribution's own file, where it encrypts by itself; "": it has none, or does not use it. */
void kt_own_keys_file(const struct kt_host *host, char ret[PATH_MAX]);
/* The listed key (its index) that the list for secrets begins with; n_keys: none does, or the list has the active key
 * or our plugin already. */
bool kt_own_keys_front(const char *file, const struct kt_wanted *wanted, size_t *ret,
                       struct kt_error *err) KT_MUST_CHECK;
/* Each list that has inline keys begins with one, and with the same: KT_E_REFUSED. For else one that became first in a
 * list would not have been listed there before. */
bool kt_own_keys_agree(const char *file, struct kt_error *err) KT_MUST_CHECK;
/* Every key of that file must be in the keyring, by name and bytes, whatever was rotated there meanwhile: KT_E_REFUSED
 * names the first that is not. */
bool kt_own_keys_check(const struct kt_host *host, const struct kt_wanted *wanted, bool *ret_first,
                       struct kt_error *err) KT_MUST_CHECK;
/* A generation with them, last and ready, in force; `stage`, unless 0, is its stage. Fails as kt_member_install does.
 */
bool kt_own_keys_import(const struct kt_member_job *job, const struct kt_own_keys *keys, enum kt_stage stage,
                        struct kt_error *err) KT_MUST_CHECK;

/* What that file encrypts with, and what it can decrypt. */
struct kt_own_first {
    enum kt_key_type type; /* of the first key; 0: it is none, so nothing is encrypted */
    char name[KT_KEY_NAME_MAX + 1];
    size_t listed;     /* which key of the keyring that is; n_keys: none */
    uint64_t decrypts; /* bit i: it has key i of the keyring, in the list for secrets */
};
bool kt_own_keys_first(const char *file, const struct kt_wanted *wanted, struct kt_own_first *ret,
                       struct kt_error *err) KT_MUST_CHECK;
