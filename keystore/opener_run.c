/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/ipc.h"
#include "base/wait.h"
#include "keystore/opener_wire.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct child {
    pid_t pid;
    int pidfd;
};

static bool start(const struct kt_opener_run *how, int theirs, struct child *ret, struct kt_error *err)
{
    char name[] = "keyturn-opener";
    char option[] = "--config";
    KT_CLEANUP(kt_free_p) char *config = strdup(how->config);
    char *argv[] = {name, option, config, NULL};
    const struct kt_spawn what = {
        .path = how->program, .argv = argv, .account = how->account, .fds = &theirs, .n_fds = 1};

    if (!config)
        return kt_fail(err, KT_E_NOMEM, "no memory to start the opener");
    if (!kt_spawn(&what, &ret->pid, err))
        return false;
    ret->pidfd = pidfd_open(ret->pid, 0);
    return true;
}

/* Gives it until the deadline to end by itself, then not a moment. Returns its wait status. */
static int reap(struct child *child, uint64_t deadline_ns)
{
    int status = 0;
    pid_t reaped = 0;

    if (child->pidfd < 0 || !kt_wait_fd(child->pidfd, POLLIN, deadline_ns, NULL))
        (void)kill(child->pid, SIGKILL);
    do
        reaped = waitpid(child->pid, &status, 0);
    while (reaped < 0 && errno == EINTR);
    kt_fd_close(KT_TAKE_FD(child->pidfd));
    return status;
}

static bool ask(struct kt_opener_call *call, uint64_t deadline_ns, struct kt_opener_answer *ret, struct kt_error *err)
{
    enum kt_opener_progress progress = KT_OPENER_WAITING;

    while (progress == KT_OPENER_WAITING) {
        if (!kt_wait_fd(kt_opener_call_fd(call), kt_opener_call_events(call), deadline_ns, err))
            return false;
        if (!kt_opener_call_step(call, ret, &progress, err))
            return false;
    }
    return true;
}

static bool fail_timeout(const struct kt_opener_run *how, struct kt_error *err)
{
    (void)kt_fail(err, KT_E_TIMEOUT, "the opener did not answer within %d ms and was stopped", how->timeout_ms);
    return kt_error_hint(err, "a hung TPM does this; if it is only slow, raise opener.timeout in keyturn.yaml");
}

/* It ended, and not at our hands: how it ended says more than that it did. */
static bool fail_ended(const struct kt_opener_run *how, int status, struct kt_error *err)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return kt_fail(err, KT_E_INTERNAL, "%s: stopped by its system-call filter (SIGSYS)", how->program);
    if (WIFSIGNALED(status))
        return kt_fail(err, KT_E_INTERNAL, "%s: ended without an answer by signal %d", how->program, WTERMSIG(status));
    if (WEXITSTATUS(status) == 127)
        return kt_fail(err, KT_E_INTERNAL, "%s: could not be started, see standard error", how->program);
    return kt_fail(err, KT_E_INTERNAL, "%s: ended without an answer, exit status %d", how->program,
                   WEXITSTATUS(status));
}

bool kt_opener_run(const struct kt_opener_run *how, const struct kt_opener_request *request,
                   struct kt_opener_answer *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_opener_call_free_p) struct kt_opener_call *call = NULL;
    KT_CLEANUP(kt_fd_close_p) int theirs = -1;
    struct kt_error local = KT_ERROR_INIT;
    struct child child = {.pid = -1, .pidfd = -1};
    uint64_t deadline_ns = kt_wait_deadline(how->timeout_ms);
    int pair[2] = {-1, -1};
    int status = 0;
    bool done = false;
    bool answered = false;

    if (!kt_ipc_pair(SOCK_STREAM, pair, err))
        return false;
    theirs = pair[1];
    call = kt_opener_call_new(pair[0], request, err);
    if (!call || !start(how, theirs, &child, err))
        return false;
    kt_fd_close(KT_TAKE_FD(theirs));
    done = ask(call, deadline_ns, ret, &local);
    answered = kt_opener_call_answered(call);
    kt_opener_call_free(KT_TAKE_PTR(call));
    status = reap(&child, deadline_ns);
    if (done)
        return true;
    if (local.code == KT_E_TIMEOUT && !answered)
        return kt_clock_monotonic_ns() >= deadline_ns ? fail_timeout(how, err) : fail_ended(how, status, err);
    if (err)
        *err = local;
    return false;
}
