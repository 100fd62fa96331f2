/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Safe files. Reading checks what is opened (a regular file, no link in its last component, owner, mode, size) on the
 * descriptor, not on the name. Writing is: temporary dot file in the same directory, write, owner, mode and extended
 * attributes as the old file had (kt_file_attrs says for whom not), fsync, rename, fsync of the directory. After a
 * failure or a kill at any point the old file is whole, or the new one is; never neither. A temporary file is held by
 * an flock(2) while it is written; those that nobody holds are removed by the next write or removal of that name. Of
 * writers at the same time, the last counts. (Where the file system knows no flock, one of them may fail: KT_E_BUSY.)
 */
#pragma once

#include "base/buf.h"

#include <sys/types.h>

#define KT_ANY_UID ((uid_t)-1)

/* What a file must be to be read. */
struct kt_file_rules {
    size_t max;            /* bytes; a larger file is refused */
    uid_t owner;           /* who must own it, or root; KT_ANY_UID: anybody */
    mode_t forbidden_mode; /* mode bits that must be clear, e.g. 0077 for a private key */
};

enum kt_file_state { KT_FILE_READ, KT_FILE_ABSENT };

/* dirfd: AT_FDCWD or a directory; path: relative to it, or absolute. An absent file is not an error for the first form:
 * *ret_state says so. Errors name the path, what was expected and what was found (KT_E_PERMISSION for owner, mode,
 * link, kind; KT_E_IO). */
bool kt_file_read_if(int dirfd, const char *path, const struct kt_file_rules *rules, struct kt_bytes *ret,
                     enum kt_file_state *ret_state, struct kt_error *err) KT_MUST_CHECK;
bool kt_file_read(int dirfd, const char *path, const struct kt_file_rules *rules, struct kt_bytes *ret,
                  struct kt_error *err) KT_MUST_CHECK;
/* Reads straight into locked memory, KT_SECRET_MAX bytes at most; an empty file is an error. NULL on failure. */
struct kt_secret;
struct kt_secret *kt_file_read_secret(int dirfd, const char *path, const struct kt_file_rules *rules,
                                      struct kt_error *err) KT_MUST_CHECK;

/* For a file that does not exist yet; one that does keeps its own owner, mode and extended attributes. */
struct kt_file_attrs {
    mode_t mode;
    uid_t uid;         /* KT_ANY_UID: whoever we are */
    gid_t gid;         /* (gid_t)-1: likewise */
    bool impose_owner; /* also on a file that exists: whoever put it there may be one that we cannot give it to */
};
/* On failure the message says which content is in place: the old one, except when only the fsync of the directory
 * failed. A target that is a link, or no regular file, is refused (KT_E_PERMISSION). Names have at most 233 bytes. */
bool kt_file_replace(int dirfd, const char *path, struct kt_slice bytes, const struct kt_file_attrs *attrs,
                     struct kt_error *err) KT_MUST_CHECK;
/* The same, but fails with KT_E_EXISTS if the name is taken (link(2) instead of rename(2)). */
bool kt_file_create(int dirfd, const char *path, struct kt_slice bytes, const struct kt_file_attrs *attrs,
                    struct kt_error *err) KT_MUST_CHECK;
/* fsync of a regular file or a directory that somebody else may have written, and of the directory that it stands in.
 */
bool kt_file_sync(int dirfd, const char *path, struct kt_error *err) KT_MUST_CHECK;
/* unlink and fsync of the directory; an absent file is fine. */
bool kt_file_remove(int dirfd, const char *path, struct kt_error *err) KT_MUST_CHECK;
/* mkdir -p for the last component only, with that mode and owner whatever the umask, from its first moment on. An
 * existing directory is left as it is; anything else of that name (a link to one, too) is refused: KT_E_PERMISSION. */
bool kt_dir_make(int dirfd, const char *path, const struct kt_file_attrs *attrs, struct kt_error *err) KT_MUST_CHECK;
/* Opens a directory (O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC). -1 on failure. */
int kt_dir_open(int dirfd, const char *path, struct kt_error *err) KT_MUST_CHECK;

/* Whether that name (a link: itself) still leads to what fd has open. */
bool kt_fd_is_at(int fd, int dirfd, const char *path) KT_MUST_CHECK;

/* An exclusive flock(2) on a file that is created when missing (mode 0600); whoever removes it holds it then, and it is
 * the one of that name when this returns. Held until the descriptor closes. KT_E_BUSY if another process has it (the
 * message names its pid where the kernel tells); KT_E_IO with ENOENT: its directory is gone. */
int kt_lock_take(int dirfd, const char *path, struct kt_error *err) KT_MUST_CHECK;
/* The pid that has the lock of the file that fd has open, without locking it; 0: nobody, or the kernel does not tell.
 */
long kt_lock_holder(int fd);
