/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names under which base/file_write.c makes files and directories before they have their place:
 * ".NAME.0123456789abcdef.tmp", a dot file, since the kubelet and others take every other file in their directories.
 * Whoever makes one has an flock(2) on it until its descriptor closes, so one that nobody has is a stray. Private to
 * this room.
 */
#pragma once

#include "base/path.h"

#define KT_TEMP_NAME_LONGEST                                                                \
    ((size_t)(NAME_MAX - 22)) /* what NAME may have; the rest is the dots, 16 digits, "tmp" \
                               */

struct kt_temp {
    char name[NAME_MAX + 1]; /* beside its target; empty: there is none to remove */
    int fd;                  /* open for writing, or of the directory; -1: none */
};
#define KT_TEMP_INIT \
    {                \
        .fd = -1     \
    }

/* One for target, empty, of mode 0600 (S_IFREG) or 0700 (S_IFDIR); strays of that target are removed. On failure errno
 * says why (EALREADY: other processes removed each that was made), and *ret_doing what could not be done. */
bool kt_temp_make(const struct kt_path_target *target, mode_t kind, struct kt_temp *ret,
                  const char **ret_doing) KT_MUST_CHECK;
/* Removes it, if there is one, and closes it. */
void kt_temp_done(const struct kt_path_target *target, struct kt_temp *temp);
/* Best effort: what cannot be removed now does no harm but take space. */
void kt_temp_remove_strays(const struct kt_path_target *target);
