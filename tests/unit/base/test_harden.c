/* SPDX-License-Identifier: Apache-2.0 */
/* Each test hardens a child and looks at it from within: nothing here can be undone. */
#include "base/cleanup.h"
#include "base/harden.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define MIB ((size_t)1024 * 1024)

#ifdef KT_SANITIZED
#define SANITIZED true
#else
#define SANITIZED false
#endif

static int check_process(void *arg)
{
    struct rlimit core = {.rlim_cur = 1, .rlim_max = 1};
    struct sigaction pipe_action;

    (void)arg;
    (void)umask(0);
    if (!kt_harden_process(NULL))
        return 1;
    if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_cur != 0 || core.rlim_max != 0)
        return 2;
    if (!SANITIZED && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 3;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 4;
    if (umask(0) != 077)
        return 5;
    if (sigaction(SIGPIPE, NULL, &pipe_action) < 0 || pipe_action.sa_handler != SIG_IGN)
        return 6;
    return kt_harden_process(NULL) ? 0 : 7; /* again does no harm */
}

static void test_process(void **state)
{
    (void)state;
    assert_int_equal(in_child(0, check_process, NULL), 0);
    assert_int_equal(as_plain_user(check_process, NULL), 0);
}

/* Whoever started us may ignore SIGCHLD, and limit how long a file may be. */
static int check_signals(void *arg)
{
    const struct rlimit limit = {.rlim_cur = 1, .rlim_max = 1};
    KT_CLEANUP(fclose_p) FILE *file = tmpfile();
    int status = 0;

    (void)arg;
    (void)signal(SIGCHLD, SIG_IGN);
    if (!file || setrlimit(RLIMIT_FSIZE, &limit) < 0 || !kt_harden_process(NULL))
        return 1;
    if (write(fileno(file), "ab", 2) != 1 || write(fileno(file), "b", 1) != -1 || errno != EFBIG)
        return 2;
    pid_t child = fork();
    if (child == 0)
        _exit(3);
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3 ? 0 : 4;
}

static void test_signals(void **state)
{
    (void)state;
    assert_int_equal(in_child(0, check_signals, NULL), 0);
}

/* Any of 0-2 may have been closed by whoever started us. */
static int check_standard_fds(void *arg)
{
    const unsigned *closed = arg;
    char byte = 0;

    for (int fd = 0; fd <= 2; fd++) {
        if (*closed & 1u << fd)
            (void)close(fd);
    }
    if (!kt_harden_process(NULL))
        return 1;
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            return 2;
        if (*closed & 1u << fd && fcntl(fd, F_GETFD) != 0)
            return 3;
    }
    if (*closed & 1u && read(0, &byte, 1) != 0)
        return 4;
    if (*closed & 4u && write(2, "x", 1) != 1)
        return 5;
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return next > 2 ? 0 : 6;
}

static void test_standard_fds(void **state)
{
    (void)state;
    for (unsigned closed = 0; closed < 8; closed++)
        assert_int_equal(in_child(0, check_standard_fds, &closed), 0);
}

/* VmLck of /proc/self/status in KiB. */
static long locked_kib(void)
{
    KT_CLEANUP(fclose_p) FILE *f = fopen("/proc/self/status", "re");
    char line[256];

    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "VmLck:", 6) == 0)
            return strtol(line + 6, NULL, 10);
    }
    return -1;
}

static bool map_works(size_t len)
{
    void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (map == MAP_FAILED)
        return false;
    memset(map, 1, len);
    return munmap(map, len) == 0;
}

static bool stacks_are_small(void)
{
    pthread_attr_t attr;
    size_t size = 0;

    return pthread_getattr_default_np(&attr) == 0 && pthread_attr_getstacksize(&attr, &size) == 0 &&
           pthread_attr_destroy(&attr) == 0 && size == MIB / 4;
}

struct memory_case {
    rlim_t limit;
    bool plain; /* without CAP_IPC_LOCK */
    enum kt_memory_lock expected;
    long least_kib; /* that must be locked */
    long most_kib;
};

static int check_memory(void *arg)
{
    const struct memory_case *c = arg;
    enum kt_memory_lock got = KT_MEMORY_ALL;

    if (!kt_harden_memory(&got, NULL))
        return 1;
    if (SANITIZED)
        return got == KT_MEMORY_SECRETS ? 0 : 2;
    if (got != c->expected)
        return 3;
    if (locked_kib() < c->least_kib || locked_kib() > c->most_kib)
        return 4;
    /* whatever the limit, memory can be had later on */
    return map_works(64 * MIB) && stacks_are_small() ? 0 : 5;
}

static int run_memory_case(void *arg)
{
    const struct memory_case *c = arg;
    const struct rlimit limit = {.rlim_cur = c->limit, .rlim_max = c->limit};

    if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0)
        return 77;
    return c->plain ? as_plain_user(check_memory, arg) : in_child(0, check_memory, arg);
}

static void test_memory(void **state)
{
    static struct memory_case table[] = {
        {0, true, KT_MEMORY_SECRETS, 0, 0},
        {4096, true, KT_MEMORY_SECRETS, 0, 4},
        {8 * MIB, true, KT_MEMORY_SECRETS, 256, 8192},
        {64 * MIB, true, KT_MEMORY_SECRETS, 256, 65536},
        {0, false, KT_MEMORY_ALL, 1024, LONG_MAX},
        {8 * MIB, false, KT_MEMORY_ALL, 1024, LONG_MAX},
        {1024 * MIB, true, KT_MEMORY_ALL, 1024, LONG_MAX},
        {RLIM_INFINITY, true, KT_MEMORY_ALL, 1024, LONG_MAX},
    };
    struct rlimit limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        int status = in_child(0, run_memory_case, &table[i]);
        if (table[i].limit > limit.rlim_max && status == 77)
            continue; /* the limit cannot be raised to that: the kernel said so */
        if (am_root() || table[i].plain)
            assert_int_equal(status, 0);
        else /* a plain user has no right to more, and is told so */
            assert_int_equal(status, SANITIZED ? 0 : 3);
    }
}

/* What a child needs in order to report and end; under a filter every other call is its end. */
#define END_CALLS "exit_group", "exit", "write", "futex", "rt_sigreturn", "madvise", "munmap", "rt_sigprocmask"

static bool filter(const char *const *denied)
{
    static const char *const allowed[] = {END_CALLS, "getpid", "no_such_call_anywhere", NULL};
    struct kt_error err = KT_ERROR_INIT;
    bool active = false;

    if (!kt_harden_filter(allowed, denied, &active, &err)) {
        (void)fprintf(stderr, "%s\n", err.message);
        return false;
    }
    return active == !SANITIZED;
}

static int call_allowed(void *arg)
{
    (void)arg;
    if (!filter((const char *const[]){NULL}))
        return 1;
    return syscall(SYS_getpid) > 0 ? 0 : 2;
}

static int call_denied(void *arg)
{
    (void)arg;
    if (!filter((const char *const[]){"openat", "chdir", "nor_this_one", NULL}))
        return 1;
    if (SANITIZED)
        return 0;
    return syscall(SYS_chdir, "/") == -1 && errno == ENOENT ? 0 : 2;
}

static int call_other(void *arg)
{
    (void)arg;
    if (!filter((const char *const[]){"openat", NULL}))
        return 1;
    (void)syscall(SYS_getppid);
    return 0;
}

static void *call_in_thread(void *arg)
{
    const int *fd = arg;
    char byte = 0;

    while (read(*fd, &byte, 1) < 0)
        ;
    (void)syscall(SYS_getppid);
    return NULL;
}

/* A thread that ran before the filter came is under it too. */
static int call_other_in_thread(void *arg)
{
    pthread_t thread;
    int fds[2];

    (void)arg;
    if (pipe2(fds, O_CLOEXEC) < 0 || pthread_create(&thread, NULL, call_in_thread, &fds[0]) != 0)
        return 1;
    if (!filter((const char *const[]){NULL}))
        return 2;
    if (write(fds[1], "x", 1) != 1)
        return 3;
    (void)pthread_join(thread, NULL);
    return 0;
}

static void test_filter(void **state)
{
    int killed = SANITIZED ? 0 : 1000 + SIGSYS;

    (void)state;
    assert_int_equal(in_child(0, call_allowed, NULL), 0);
    assert_int_equal(in_child(0, call_denied, NULL), 0);
    assert_int_equal(in_child(0, call_other, NULL), killed);
    assert_int_equal(in_child(0, call_other_in_thread, NULL), killed);
    assert_int_equal(as_plain_user(call_allowed, NULL), 0); /* needs no right */
    assert_int_equal(as_plain_user(call_other, NULL), killed);
}

static void test_filter_contradiction(void **state)
{
    static const char *const allowed[] = {"read", "write", NULL};
    static const char *const denied[] = {"openat", "write", NULL};
    struct kt_error err = KT_ERROR_INIT;
    bool active = false;

    (void)state;
    assert_false(kt_harden_filter(allowed, denied, &active, &err));
    expect_error(&err, KT_E_INTERNAL, "write is both allowed and denied");
    assert_int_equal(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_process), SCRATCH_TEST(test_signals), SCRATCH_TEST(test_standard_fds),
        SCRATCH_TEST(test_memory),  SCRATCH_TEST(test_filter),  SCRATCH_TEST(test_filter_contradiction),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
