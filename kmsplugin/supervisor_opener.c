/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/spawn.h"
#include "keystore/opener.h"
#include "kmsplugin/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct kt_opener_child *find_free(struct kt_supervisor *s, struct kt_error *err)
{
    for (size_t i = 0; i < KT_SUPERVISOR_OPENERS; i++) {
        if (!s->openers[i].pid)
            return &s->openers[i];
    }
    (void)kt_fail(err, KT_E_BUSY, "%u openers run already", KT_SUPERVISOR_OPENERS);
    return NULL;
}

static bool spawn(struct kt_supervisor *s, struct kt_opener_child *opener, int fd, struct kt_error *err)
{
    char name[] = "keyturn-opener";
    char option[] = "--config";
    char open_only[] = KT_OPENER_OPEN_ONLY;
    char *argv[] = {name, option, s->config->path, open_only, NULL};
    const struct kt_spawn what = {
        .path = s->opener_program, .argv = argv, .account = s->opener_account, .fds = &fd, .n_fds = 1};
    pid_t pid = 0;
    if (!kt_spawn(&what, &pid, err))
        return false;
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        (void)kt_fail_errno(err, KT_E_IO, "cannot watch process %d", pid);
        (void)kill(pid, SIGKILL); /* ours, and not reaped: the number is still its own */
        (void)waitpid(pid, NULL, 0);
        return false;
    }
    *opener = (struct kt_opener_child){
        .pid = pid, .pidfd = pidfd, .deadline_ns = kt_clock_monotonic_ns() + s->config->opener_timeout_s * KT_NS_PER_S};
    kt_count(&s->page->opener_starts);
    atomic_store(&s->page->processes[KT_ROLE_OPENER].pid, (uint64_t)pid);
    atomic_store(&s->page->processes[KT_ROLE_OPENER].uid,
                 s->opener_account.uid == KT_SAME_UID ? geteuid() : s->opener_account.uid);
    return true;
}

static bool start(struct kt_supervisor *s, int *ret_fd, struct kt_error *err)
{
    int pair[2] = {-1, -1};
    struct kt_opener_child *opener = find_free(s, err);
    if (!opener || !kt_ipc_pair(SOCK_STREAM, pair, err))
        return false;
    bool good = spawn(s, opener, pair[1], err);
    kt_fd_close(pair[1]);
    if (good)
        *ret_fd = pair[0];
    else
        kt_fd_close(pair[0]);
    return good;
}

/* The keeper always gets its answer, with a descriptor or without. */
void kt_openers_start(struct kt_supervisor *s)
{
    KT_CLEANUP(kt_fd_close_p) int fd = -1;
    struct kt_error error = KT_ERROR_INIT;
    if (s->phase != KT_PHASE_RUN)
        (void)kt_fail(&error, KT_E_REFUSED, "stopping");
    else if (start(s, &fd, &error))
        (void)0;
    else
        kt_log_error(KT_LOG_ERROR, "opener-not-started", &error);
    (void)kt_child_tell(&s->children[KT_ROLE_KEEPER], KT_LIFE_OPENER, (struct kt_slice){.data = NULL}, &fd,
                        fd >= 0 ? 1 : 0);
}

void kt_openers_tick(struct kt_supervisor *s, uint64_t now)
{
    for (size_t i = 0; i < KT_SUPERVISOR_OPENERS; i++) {
        struct kt_opener_child *opener = &s->openers[i];
        if (!opener->pid || opener->killed || opener->deadline_ns > now)
            continue;
        kt_log(KT_LOG_WARNING, "opener-timeout", KT_INT("pid", opener->pid),
               KT_NUM("seconds", s->config->opener_timeout_s));
        kt_count(&s->page->opener_timeouts);
        opener->killed = true;
        (void)pidfd_send_signal(opener->pidfd, SIGKILL, NULL, 0);
    }
}

uint64_t kt_openers_next(const struct kt_supervisor *s)
{
    uint64_t next = KT_NEVER;
    for (size_t i = 0; i < KT_SUPERVISOR_OPENERS; i++) {
        const struct kt_opener_child *opener = &s->openers[i];
        if (opener->pid && !opener->killed && opener->deadline_ns < next)
            next = opener->deadline_ns;
    }
    return next;
}

size_t kt_openers_poll(const struct kt_supervisor *s, struct pollfd *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < KT_SUPERVISOR_OPENERS; i++) {
        if (s->openers[i].pid)
            ret[n++] = (struct pollfd){.fd = s->openers[i].pidfd, .events = POLLIN};
    }
    return n;
}

static void reap(struct kt_supervisor *s, struct kt_opener_child *opener)
{
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)opener->pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
        return;
    if (!opener->killed && info.si_code != CLD_EXITED)
        kt_log(KT_LOG_WARNING, "ended", KT_TEXT("process", kt_role_text(KT_ROLE_OPENER)), KT_INT("pid", opener->pid),
               KT_INT("signal", info.si_status));
    uint64_t shown = (uint64_t)opener->pid;
    (void)atomic_compare_exchange_strong(&s->page->processes[KT_ROLE_OPENER].pid, &shown, 0);
    kt_fd_close(opener->pidfd);
    *opener = (struct kt_opener_child){.pidfd = -1};
}

void kt_openers_event(struct kt_supervisor *s, const struct pollfd *event)
{
    for (size_t i = 0; i < KT_SUPERVISOR_OPENERS; i++) {
        if (s->openers[i].pid && event->fd == s->openers[i].pidfd)
            reap(s, &s->openers[i]);
    }
}

void kt_openers_kill(struct kt_supervisor *s)
{
    for (size_t i = 0; i < KT_SUPERVISOR_OPENERS; i++) {
        if (!s->openers[i].pid)
            continue;
        (void)pidfd_send_signal(s->openers[i].pidfd, SIGKILL, NULL, 0);
        (void)waitpid(s->openers[i].pid, NULL, 0);
    }
}
