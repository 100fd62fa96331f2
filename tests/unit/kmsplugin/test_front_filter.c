/* SPDX-License-Identifier: Apache-2.0 */
/* What libraries ask of the kernel in passing, as the front's filter answers it: not with death. Which calls they take
 * for that changes with each release of theirs. */
#include "base/cleanup.h"
#include "base/harden.h"
#include "tests/unit/base/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

static const char *const allowed[] = {
#define KT_ALLOW(name) #name,
#define KT_DENY(name)
#include "kmsplugin/front_syscalls.def"
#undef KT_ALLOW
#undef KT_DENY
    NULL};
static const char *const denied[] = {
#define KT_ALLOW(name)
#define KT_DENY(name) #name,
#include "kmsplugin/front_syscalls.def"
#undef KT_ALLOW
#undef KT_DENY
    NULL};

#define FILE_OF_ROOT "/etc/passwd"
static char buffer[4096]; /* more than any of them writes */

static const struct {
    const char *name;
    long number;
    long arguments[5];
    int error; /* 0: it works */
} calls[] = {
    {"fstat", SYS_fstat, {0, (long)buffer}, 0},
    {"sysinfo", SYS_sysinfo, {(long)buffer}, 0},
    {"openat", SYS_openat, {AT_FDCWD, (long)FILE_OF_ROOT, O_RDONLY}, ENOENT},
    {"newfstatat", SYS_newfstatat, {AT_FDCWD, (long)FILE_OF_ROOT, (long)buffer}, ENOENT},
    {"statx", SYS_statx, {AT_FDCWD, (long)FILE_OF_ROOT, 0, STATX_ALL, (long)buffer}, ENOENT},
    {"readlinkat", SYS_readlinkat, {AT_FDCWD, (long)"/proc/self/exe", (long)buffer, sizeof(buffer)}, ENOENT},
    {"faccessat", SYS_faccessat, {AT_FDCWD, (long)FILE_OF_ROOT, R_OK}, ENOENT},
    {"faccessat2", SYS_faccessat2, {AT_FDCWD, (long)FILE_OF_ROOT, R_OK}, ENOENT},
#ifdef SYS_open
    {"open", SYS_open, {(long)FILE_OF_ROOT, O_RDONLY}, ENOENT},
    {"stat", SYS_stat, {(long)FILE_OF_ROOT, (long)buffer}, ENOENT},
    {"lstat", SYS_lstat, {(long)FILE_OF_ROOT, (long)buffer}, ENOENT},
    {"readlink", SYS_readlink, {(long)"/proc/self/exe", (long)buffer, sizeof(buffer)}, ENOENT},
    {"access", SYS_access, {(long)FILE_OF_ROOT, R_OK}, ENOENT},
#endif
};

/* Exits with the error. */
static void call_confined(size_t i)
{
    bool active = false;
    const long *a = calls[i].arguments;
    if (!kt_harden_process(NULL) || !kt_harden_filter(allowed, denied, &active, NULL))
        _exit(255);
    long rc = syscall(calls[i].number, a[0], a[1], a[2], a[3], a[4]);
    _exit(rc < 0 ? errno : 0);
}

static void nothing_kills(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(calls); i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0)
            call_confined(i);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != calls[i].error)
            fail_msg("%s: expected error %d, got wait status %#x", calls[i].name, calls[i].error, (unsigned)status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_kills),
    };
#ifdef KT_SANITIZED
    (void)tests; /* there the filter does nothing */
    return 0;
#else
    return cmocka_run_group_tests_name("front_filter", tests, NULL, NULL);
#endif
}
