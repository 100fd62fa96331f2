/* SPDX-License-Identifier: Apache-2.0 */
/* Starting our own executables: fork, identity, descriptors, exec. */
#pragma once

#include "base/error.h"

#include <sys/types.h>

/* An account that a process runs under. uid == KT_SAME_UID: ours. */
#define KT_SAME_UID ((uid_t)-1)
struct kt_account {
    uid_t uid;
    gid_t gid;
    gid_t groups[8];
    size_t n_groups;
};
/* "name" (its uid, primary gid and supplementary groups, getgrouplist(3)) or "uid:gid" in numbers. KT_E_CONFIG if there
 * is no such account. */
bool kt_account_find(const char *name, struct kt_account *ret, struct kt_error *err) KT_MUST_CHECK;

#define KT_SPAWN_FDS_MAX 16u
struct kt_spawn {
    const char *path; /* absolute */
    char *const *argv;
    struct kt_account account;
    const int *fds; /* become 3, 4, ... in the child; all others are closed */
    size_t n_fds;
};
/* Signals are unblocked in the child, TERM, INT, HUP, USR1 and USR2 are ignored, the others at their defaults; 0-2 and
 * the environment are ours. If it cannot become what it should (descriptors, account, exec), the child exits with 127
 * after one line on standard error. */
bool kt_spawn(const struct kt_spawn *what, pid_t *ret, struct kt_error *err) KT_MUST_CHECK;

/* Where another program of ours lies, by its name relative to the prefix, which is found from the running executable
 * (PREFIX/bin, PREFIX/sbin or PREFIX/libexec/keyturn): for P/sbin/keyturnd and "libexec/keyturn/keyturn-front" it is
 * P/libexec/keyturn/keyturn-front. Works in the build tree and installed. KT_E_CONFIG if there is no such program. */
bool kt_program_path(const char *relative, char *ret, size_t cap, struct kt_error *err) KT_MUST_CHECK;
