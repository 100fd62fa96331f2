/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership by scope: a variable marked KT_CLEANUP(f) is destroyed when its scope ends, so that error paths are plain
 * returns. KT_TAKE hands the value on and leaves nothing behind to destroy.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KT_CLEANUP(f) __attribute__((cleanup(f)))

/* Declares f_p(T **), the form that the cleanup attribute wants, for a destructor f(T *) that accepts NULL. */
#define KT_DEFINE_CLEANUP(type, f)    \
    static inline void f##_p(type *p) \
    {                                 \
        if (*p)                       \
            f(*p);                    \
    }                                 \
    struct kt_semicolon

#define KT_TAKE_PTR(p)              \
    ({                              \
        __typeof__(p) taken_ = (p); \
        (p) = NULL;                 \
        taken_;                     \
    })

#define KT_TAKE_FD(fd)     \
    ({                     \
        int taken_ = (fd); \
        (fd) = -1;         \
        taken_;            \
    })

static inline void kt_free_p(void *p)
{
    free(*(void **)p);
}

/* Keeps errno. */
void kt_fd_close(int fd);
static inline void kt_fd_close_p(const int *fd)
{
    kt_fd_close(*fd);
}

KT_DEFINE_CLEANUP(FILE *, fclose);
KT_DEFINE_CLEANUP(DIR *, closedir);
