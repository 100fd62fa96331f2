/* SPDX-License-Identifier: Apache-2.0 */
/* Names of files, for the modules of this room that open them: how they look in messages, and how they are refused. */
#pragma once

#include "base/error.h"

#include <limits.h>
#include <sys/types.h>

/* As much as a struct kt_error can show. */
struct kt_path_text {
    char text[512];
};

/* "path", or "directory/path" if path is relative to a descriptor, so that a message can be acted upon. Cut if long. */
const char *kt_path_show(int dirfd, const char *path, struct kt_path_text *text);

/* "a regular file", "a symbolic link", ... by the S_IFMT bits of mode. */
const char *kt_path_kind(mode_t mode);

/* KT_E_PERMISSION: is ..., expected ... Both by kt_path_kind. Returns false. */
bool kt_path_fail_kind(int dirfd, const char *path, mode_t found, mode_t expected, struct kt_error *err) KT_COLD;

/* After a failed open (errno): one that failed because the file is of another kind says so (kt_path_fail_kind); else
 * KT_E_PERMISSION for EACCES and EPERM, KT_E_IO for the rest. Returns false. */
bool kt_path_fail_open(int dirfd, const char *path, mode_t expected, struct kt_error *err) KT_COLD;

/* The directory that holds the last component, opened, and that component. */
struct kt_path_target {
    int dir;
    char name[NAME_MAX + 1];
};
/* Refuses a path that ends in "/", "." or "..", and a last component longer than max_name. The caller closes ret->dir.
 */
bool kt_path_target(int dirfd, const char *path, size_t max_name, struct kt_path_target *ret,
                    struct kt_error *err) KT_MUST_CHECK;
