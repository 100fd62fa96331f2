/* SPDX-License-Identifier: Apache-2.0 */
#include "base/harden.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define THREAD_STACK ((size_t)256 * 1024)

#ifdef KT_SANITIZED
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

/* A later open would otherwise become standard error, and our log would go into that file. */
static bool open_standard_fds(struct kt_error *err)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        if (open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
            return kt_fail_errno(err, KT_E_IO, "cannot open /dev/null as descriptor %d", fd);
    }
    return true;
}

/* A broken pipe and a file that grew too long (RLIMIT_FSIZE) are errors of write(2), after which we tidy up. Where
 * whoever started us ignores SIGCHLD, so would we, and never learn how a child ended. */
static bool set_signals(struct kt_error *err)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN}, by_default = {.sa_handler = SIG_DFL};

    if (sigaction(SIGPIPE, &ignore, NULL) < 0 || sigaction(SIGXFSZ, &ignore, NULL) < 0 ||
        sigaction(SIGCHLD, &by_default, NULL) < 0)
        return kt_fail_errno(err, KT_E_INTERNAL, "cannot say what becomes of signals");
    return true;
}

bool kt_harden_process(struct kt_error *err)
{
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};

    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return kt_fail_errno(err, KT_E_INTERNAL, "cannot forbid core dumps");
    if (!sanitized && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return kt_fail_errno(err, KT_E_INTERNAL, "cannot make the process undumpable");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return kt_fail_errno(err, KT_E_INTERNAL, "cannot set no_new_privs");
    (void)umask(077);
    return set_signals(err) && open_standard_fds(err);
}

static bool use_little_memory(struct kt_error *err)
{
    pthread_attr_t attr;

    if (mallopt(M_ARENA_MAX, 1) != 1)
        return kt_fail(err, KT_E_INTERNAL, "cannot limit the number of malloc arenas");
    errno = pthread_attr_init(&attr);
    if (errno == 0) {
        errno = pthread_attr_setstacksize(&attr, THREAD_STACK);
        if (errno == 0)
            errno = pthread_setattr_default_np(&attr);
        (void)pthread_attr_destroy(&attr);
    }
    return errno == 0 || kt_fail_errno(err, KT_E_INTERNAL, "cannot set the size of thread stacks");
}

/* The kernel exempts CAP_IPC_LOCK, but only in the first user namespace; so ask by locking more than the limit. */
static bool is_exempt(rlim_t limit)
{
    size_t len = (size_t)limit + (size_t)sysconf(_SC_PAGESIZE);
    void *map = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (map == MAP_FAILED)
        return false;
    bool exempt = mlock2(map, len, MLOCK_ONFAULT) == 0;
    (void)munmap(map, len);
    return exempt;
}

static bool may_lock_all(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
        return false;
    return limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= KT_MEMORY_LOCK_ENOUGH || is_exempt(limit.rlim_cur);
}

/* The pages that later calls of the main thread use. They must exist to be locked, hence the writes. Best effort: where
 * not even this is allowed, the first secret will say so. */
static __attribute__((noinline)) void lock_stack(void)
{
    volatile uint8_t frame[THREAD_STACK];
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    for (size_t at = sizeof(frame); at > 0; at -= at < page ? at : page)
        frame[at - 1] = 0;
    uintptr_t start = (uintptr_t)frame & ~(page - 1);
    (void)mlock((const void *)start, sizeof(frame));
}

bool kt_harden_memory(enum kt_memory_lock *ret, struct kt_error *err)
{
    if (!sanitized && !use_little_memory(err))
        return false;
    *ret = KT_MEMORY_SECRETS;
    if (sanitized)
        return true;
    if (may_lock_all() && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0) {
        *ret = KT_MEMORY_ALL;
        return true;
    }
    lock_stack(); /* no munlockall before it: that would unlock secrets and the arena, which may be there already */
    return true;
}

static bool is_listed(const char *name, const char *const *list)
{
    for (; *list; list++) {
        if (strcmp(name, *list) == 0)
            return true;
    }
    return false;
}

static bool fail_seccomp(int rc, const char *what, struct kt_error *err)
{
    errno = -rc;
    return kt_fail_errno(err, KT_E_INTERNAL, "system-call filter: %s", what);
}

static bool add_rules(scmp_filter_ctx filter, uint32_t action, const char *const *names, struct kt_error *err)
{
    for (; *names; names++) {
        int number = seccomp_syscall_resolve_name(*names);
        if (number < 0)
            continue;
        int rc = seccomp_rule_add(filter, action, number, 0);
        if (rc < 0)
            return fail_seccomp(rc, *names, err);
    }
    return true;
}

static bool set_attributes(scmp_filter_ctx filter, struct kt_error *err)
{
    static const struct {
        enum scmp_filter_attr attr;
        uint32_t value;
    } attributes[] = {
        {SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS},
        {SCMP_FLTATR_CTL_TSYNC, 1},
        {SCMP_FLTATR_CTL_OPTIMIZE, 2}, /* a tree: the lists are long */
        {SCMP_FLTATR_API_SYSRAWRC, 1},
    };

    for (size_t i = 0; i < KT_ARRAY_LEN(attributes); i++) {
        int rc = seccomp_attr_set(filter, attributes[i].attr, attributes[i].value);
        if (rc < 0)
            return fail_seccomp(rc, "attributes", err);
    }
    return true;
}

static void release_filter(void **filter)
{
    if (*filter)
        seccomp_release(*filter);
}

static bool check_disjoint(const char *const *allowed, const char *const *denied, struct kt_error *err)
{
    for (; *denied; denied++) {
        if (is_listed(*denied, allowed))
            return kt_fail(err, KT_E_INTERNAL, "system-call filter: %s is both allowed and denied", *denied);
    }
    return true;
}

bool kt_harden_filter(const char *const *allowed, const char *const *denied, bool *ret_active, struct kt_error *err)
{
    KT_CLEANUP(release_filter) scmp_filter_ctx filter = NULL;

    if (!check_disjoint(allowed, denied, err))
        return false;
    if (sanitized) {
        *ret_active = false;
        return true;
    }
    filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return kt_fail(err, KT_E_NOMEM, "system-call filter: out of memory");
    if (!set_attributes(filter, err) || !add_rules(filter, SCMP_ACT_ALLOW, allowed, err) ||
        !add_rules(filter, SCMP_ACT_ERRNO(ENOENT), denied, err))
        return false;
    int rc = seccomp_load(filter);
    if (rc < 0)
        return fail_seccomp(rc, "the kernel refused it", err);
    *ret_active = true;
    return true;
}
