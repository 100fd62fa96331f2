/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An LD_PRELOAD library that makes one call fail, or kills the process there: the proof that a write which is cut
 * anywhere leaves the old file or the new one. It counts the calls that change what is on a disk: open with O_CREAT,
 * write and pwrite to regular files, fsync, fdatasync, rename, link, unlink, mkdir, ftruncate, fchmod, fchown,
 * fsetxattr, and their *at forms; but for writes to rotation.lock.
 *
 *   KEYTURN_FAULT_PROGRAM     names of executables (basename of /proc/self/exe), split by commas; others are let alone
 *   KEYTURN_FAULT_AT          which call, from 1
 *   KEYTURN_FAULT_DO          kill        SIGKILL instead of the call
 *                             kill-after  SIGKILL after the call
 *                             stop        SIGSTOP before the call, which is made once it goes on
 *                             enospc, erofs, eio   the call fails so, later ones work
 *                             count       nothing fails; at exit the number of calls is appended to ...
 *   KEYTURN_FAULT_COUNT_FILE  ... this file, a line for each process
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum action { NOTHING, KILL, KILL_AFTER, STOP, FAIL, COUNT };

static enum action action;
static int fail_errno;
static long fail_at;
static const char *count_file;
static atomic_long counted;

static bool is_listed(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0'))
            return true;
    }
    return false;
}

static bool is_meant(void)
{
    const char *list = getenv("KEYTURN_FAULT_PROGRAM");
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (!list || len <= 0)
        return false;
    path[len] = '\0';
    const char *slash = strrchr(path, '/');
    return is_listed(list, slash ? slash + 1 : path);
}

__attribute__((constructor)) static void start(void)
{
    static const struct {
        const char *name;
        enum action action;
        int number;
    } known[] = {{"kill", KILL, 0},        {"kill-after", KILL_AFTER, 0}, {"stop", STOP, 0},
                 {"enospc", FAIL, ENOSPC}, {"erofs", FAIL, EROFS},        {"eio", FAIL, EIO},
                 {"count", COUNT, 0}};
    const char *wanted = getenv("KEYTURN_FAULT_DO");
    const char *at = getenv("KEYTURN_FAULT_AT");

    if (!wanted || !is_meant())
        return;
    fail_at = at ? strtol(at, NULL, 10) : 0;
    count_file = getenv("KEYTURN_FAULT_COUNT_FILE");
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(wanted, known[i].name) == 0) {
            action = known[i].action;
            fail_errno = known[i].number;
        }
    }
}

/* Bare system calls, since the functions are ours. */
static void put_count(void)
{
    char line[32];

    if (action != COUNT || !count_file)
        return;
    int len = snprintf(line, sizeof(line), "%ld\n", atomic_load(&counted));
    int fd = (int)syscall(SYS_openat, AT_FDCWD, count_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return;
    (void)syscall(SYS_write, fd, line, (size_t)len);
    (void)close(fd);
    action = NOTHING;
}

__attribute__((destructor)) static void stop(void)
{
    put_count();
}

static void die(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* Before a counted call: true if it must fail. *ret_after: die after it. */
static bool faulted(bool *ret_after)
{
    *ret_after = false;
    if (action == NOTHING)
        return false;
    long n = atomic_fetch_add(&counted, 1) + 1;
    if (action == COUNT || n != fail_at)
        return false;
    if (action == KILL)
        die();
    if (action == STOP)
        (void)kill(getpid(), SIGSTOP);
    *ret_after = action == KILL_AFTER;
    if (action == FAIL)
        errno = fail_errno;
    return action == FAIL;
}

/* What a command says of itself into the lock that it holds (admin/under_way.h): how often is a matter of time, and
 * nothing depends on it. */
static bool is_lock(int fd)
{
    static const char name[] = "/rotation.lock";
    char link[64];
    char path[PATH_MAX];

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path));
    ssize_t n = (ssize_t)sizeof(name) - 1;
    return len >= n && memcmp(path + len - n, name, (size_t)n) == 0;
}

static bool is_file(int fd)
{
    int saved = errno;
    struct stat st;
    bool yes = action != NOTHING && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !is_lock(fd);

    errno = saved;
    return yes;
}

/* dlsym gives an object pointer where a function is meant (POSIX allows the copy). */
static void *next_of(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

#define EXPORT __attribute__((visibility("default")))

/* A function of the same name and parameters that passes its call on. `when` says whether the call is counted. */
#define FORWARD(type, name, when, params, args) \
    EXPORT type name params;                    \
    EXPORT type name params                     \
    {                                           \
        static type(*next) params;              \
        bool after = false;                     \
        if (!next)                              \
            *(void **)&next = next_of(#name);   \
        if ((when) && faulted(&after))          \
            return (type)-1;                    \
        type rc = next args;                    \
        if (after)                              \
            die();                              \
        return rc;                              \
    }

/* The same for open and its like, whose mode stands there only with O_CREAT or O_TMPFILE. */
#define FORWARD_OPEN(name, params, args)                           \
    EXPORT int name params;                                        \
    EXPORT int name params                                         \
    {                                                              \
        static int(*next) params;                                  \
        bool after = false;                                        \
        mode_t mode = 0;                                           \
        if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) { \
            va_list va;                                            \
            va_start(va, flags);                                   \
            mode = va_arg(va, mode_t);                             \
            va_end(va);                                            \
        }                                                          \
        if (!next)                                                 \
            *(void **)&next = next_of(#name);                      \
        if ((flags & O_CREAT) && faulted(&after))                  \
            return -1;                                             \
        int fd = next args;                                        \
        if (after)                                                 \
            die();                                                 \
        return fd;                                                 \
    }

/* clang-format off: a table */
FORWARD_OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
FORWARD_OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
FORWARD_OPEN(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
FORWARD_OPEN(openat64, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
FORWARD(int, creat, true, (const char *path, mode_t mode), (path, mode))
FORWARD(ssize_t, write, is_file(fd), (int fd, const void *data, size_t len), (fd, data, len))
FORWARD(ssize_t, pwrite, is_file(fd), (int fd, const void *data, size_t len, off_t at), (fd, data, len, at))
FORWARD(ssize_t, pwrite64, is_file(fd), (int fd, const void *data, size_t len, off64_t at), (fd, data, len, at))
FORWARD(int, fsync, true, (int fd), (fd))
FORWARD(int, fdatasync, true, (int fd), (fd))
FORWARD(int, rename, true, (const char *from, const char *to), (from, to))
FORWARD(int, renameat, true, (int a, const char *from, int b, const char *to), (a, from, b, to))
FORWARD(int, renameat2, true, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
FORWARD(int, link, true, (const char *from, const char *to), (from, to))
FORWARD(int, linkat, true, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
FORWARD(int, unlink, true, (const char *path), (path))
FORWARD(int, unlinkat, true, (int dir, const char *path, int flags), (dir, path, flags))
FORWARD(int, mkdir, true, (const char *path, mode_t mode), (path, mode))
FORWARD(int, mkdirat, true, (int dir, const char *path, mode_t mode), (dir, path, mode))
FORWARD(int, ftruncate, true, (int fd, off_t len), (fd, len))
FORWARD(int, ftruncate64, true, (int fd, off64_t len), (fd, len))
FORWARD(int, fchmod, true, (int fd, mode_t mode), (fd, mode))
FORWARD(int, fchown, true, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
FORWARD(int, fsetxattr, true, (int fd, const char *name, const void *value, size_t len, int flags),
        (fd, name, value, len, flags))
/* clang-format on */

/* Without this a process that leaves by _exit would not be counted. */
EXPORT void _exit(int status)
{
    put_count();
    for (;;)
        (void)syscall(SYS_exit_group, status);
}
