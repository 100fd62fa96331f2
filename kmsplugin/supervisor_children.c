/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/spawn.h"
#include "kmsplugin/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define BACKOFF_FIRST_NS (100 * KT_NS_PER_MS)
#define BACKOFF_MOST_NS  (10 * KT_NS_PER_S)
#define SETTLED_NS       (60 * KT_NS_PER_S)
#define EXEC_FAILED      127 /* base/spawn.h */

static const struct {
    enum kt_role role;
    const char *program;
    size_t account; /* offset in struct kt_config */
    int listener;
    int page;
} kinds[] = {
    {KT_ROLE_FRONT, "libexec/keyturn/keyturn-front", offsetof(struct kt_config, account_front), KT_LISTENER_KMS,
     KT_PAGE_FRONT},
    {KT_ROLE_KEEPER, "libexec/keyturn/keyturn-keeper", offsetof(struct kt_config, account_keeper), KT_LISTENER_CONTROL,
     KT_PAGE_KEEPER},
    {KT_ROLE_EXPORTER, "libexec/keyturn/keyturn-exporter", offsetof(struct kt_config, account_exporter),
     KT_LISTENER_METRICS, -1},
};

static bool find_program(const char *relative, char *ret, size_t cap, struct kt_error *err)
{
    struct kt_error error = KT_ERROR_INIT;
    bool found = kt_program_path(relative, ret, cap, &error);
    if (found && access(ret, X_OK) == 0)
        return true;
    if (found)
        (void)kt_fail_errno(err, KT_E_IO, "%s: cannot be executed", ret);
    else
        (void)kt_fail(err, KT_E_IO, "%s", error.message);
    return kt_error_hint(err, "install keyturn as a whole: keyturnd needs the programs in libexec/keyturn");
}

/* Only root can give a process another identity. */
static bool find_account(struct kt_supervisor *s, const char *name, struct kt_account *ret, struct kt_error *err)
{
    *ret = (struct kt_account){.uid = KT_SAME_UID};
    if (geteuid() != 0 || !name[0])
        return true;
    if (!kt_account_find(name, ret, err))
        return kt_error_prefix(err, "accounts");
    s->single_uid = s->single_uid && ret->uid == geteuid();
    return true;
}

static bool init_child(struct kt_supervisor *s, size_t kind, struct kt_error *err)
{
    struct kt_child *child = &s->children[kinds[kind].role];
    *child = (struct kt_child){.role = kinds[kind].role,
                               .wanted = true,
                               .pidfd = -1,
                               .lifeline = -1,
                               .restart_ns = KT_NEVER,
                               .kill_ns = KT_NEVER};
    return find_program(kinds[kind].program, child->program, sizeof(child->program), err) &&
           find_account(s, (const char *)s->config + kinds[kind].account, &child->account, err);
}

bool kt_children_init(struct kt_supervisor *s, struct kt_error *err)
{
    s->single_uid = true;
    s->introduce_ns = KT_NEVER;
    for (size_t i = 0; i < KT_ARRAY_LEN(kinds); i++) {
        if (!init_child(s, i, err))
            return false;
    }
    s->children[KT_ROLE_EXPORTER].wanted =
        s->listeners[KT_LISTENER_METRICS].fd >= 0 || s->config->metrics_textfile[0] != 0;
    return find_program("libexec/keyturn/keyturn-opener", s->opener_program, sizeof(s->opener_program), err) &&
           find_account(s, s->config->account_opener, &s->opener_account, err);
}

/* A child that does not read its lifeline any more is stuck; one that is just ending (EPIPE) will be reaped. */
bool kt_child_tell(struct kt_child *child, enum kt_lifeline_type type, struct kt_slice body, const int *fds,
                   size_t n_fds)
{
    struct kt_error error = KT_ERROR_INIT;
    if (child->lifeline < 0)
        return false;
    if (kt_lifeline_send(child->lifeline, type, body, fds, n_fds, &error))
        return true;
    kt_log(KT_LOG_WARNING, "child-does-not-listen", KT_TEXT("process", kt_role_text(child->role)),
           KT_INT("pid", child->pid), KT_TEXT("message", error.message));
    (void)pidfd_send_signal(child->pidfd, SIGKILL, NULL, 0);
    return false;
}

static bool tell_config(struct kt_supervisor *s, struct kt_child *child)
{
    KT_CLEANUP(kt_free_p) struct kt_child_config *config = calloc(1, sizeof(*config));
    uint8_t body[KT_LIFELINE_MAX - 1];
    struct kt_writer w;
    if (!config)
        return false;
    kt_child_config_of(s->config, s->single_uid, config);
    kt_writer_init(&w, body, sizeof(body));
    bool fits = kt_child_config_encode(config, &w);
    assert(fits);
    (void)fits;
    return kt_child_tell(child, KT_LIFE_CONFIG, KT_SLICE(body, w.len), NULL, 0);
}

void kt_children_configure(struct kt_supervisor *s)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(kinds); i++) {
        if (s->children[kinds[i].role].pid)
            (void)tell_config(s, &s->children[kinds[i].role]);
    }
}

static void tell_all(struct kt_supervisor *s, size_t kind)
{
    struct kt_child *child = &s->children[kinds[kind].role];
    int pages[KT_PAGE_COUNT];
    memcpy(pages, s->pages_ro, sizeof(pages));
    if (kinds[kind].page >= 0)
        pages[kinds[kind].page] = s->pages_rw[kinds[kind].page];
    const struct kt_slice none = {.data = NULL};
    const int *listener = &s->listeners[kinds[kind].listener].fd;
    if (tell_config(s, child) && kt_child_tell(child, KT_LIFE_COUNTERS, none, pages, KT_PAGE_COUNT) && *listener >= 0)
        (void)kt_child_tell(child, KT_LIFE_LISTEN, none, listener, 1);
}

/* Whenever one of the two is new, or has lost its end, both get an end of a new pair. */
static void introduce(struct kt_supervisor *s, uint64_t now)
{
    struct kt_child *front = &s->children[KT_ROLE_FRONT];
    struct kt_child *keeper = &s->children[KT_ROLE_KEEPER];
    struct kt_error error = KT_ERROR_INIT;
    int pair[2] = {-1, -1};
    s->introduce_ns = KT_NEVER;
    if (!front->pid || !keeper->pid)
        return;
    if (!kt_ipc_pair(SOCK_SEQPACKET, pair, &error)) {
        kt_log_error(KT_LOG_ERROR, "pair-failed", &error);
        s->introduce_ns = now + KT_PEER_PATIENCE_NS;
        return;
    }
    s->introduced_ns = now;
    const struct kt_slice none = {.data = NULL};
    (void)kt_child_tell(keeper, KT_LIFE_PEER, none, &pair[1], 1);
    (void)kt_child_tell(front, KT_LIFE_PEER, none, &pair[0], 1);
    kt_fd_close(pair[0]);
    kt_fd_close(pair[1]);
}

static bool spawn(struct kt_supervisor *s, struct kt_child *child, struct kt_error *err)
{
    int pair[2] = {-1, -1};
    if (!kt_ipc_pair(SOCK_SEQPACKET, pair, err))
        return false;
    char name[32];
    (void)snprintf(name, sizeof(name), "keyturn-%s", kt_role_text(child->role));
    char *argv[] = {name, NULL};
    const struct kt_spawn what = {
        .path = child->program, .argv = argv, .account = child->account, .fds = &pair[1], .n_fds = 1};
    pid_t pid = 0;
    bool good = kt_spawn(&what, &pid, err);
    kt_fd_close(pair[1]);
    child->pidfd = good ? pidfd_open(pid, 0) : -1;
    if (child->pidfd < 0) {
        kt_fd_close(pair[0]); /* the child, if there is one, ends with its lifeline */
        return good ? kt_fail_errno(err, KT_E_IO, "cannot watch process %d", pid) : false;
    }
    child->pid = pid;
    child->lifeline = pair[0];
    atomic_store(&s->page->processes[child->role].pid, (uint64_t)pid);
    atomic_store(&s->page->processes[child->role].uid,
                 child->account.uid == KT_SAME_UID ? geteuid() : child->account.uid);
    return true;
}

static void schedule(struct kt_child *child, uint64_t now)
{
    if (now - child->started_ns >= SETTLED_NS)
        child->failures = 0;
    uint64_t delay = 0;
    if (child->failures > 0) {
        unsigned doublings = child->failures - 1 < 10 ? child->failures - 1 : 10;
        delay = BACKOFF_FIRST_NS << doublings;
    }
    child->failures++;
    child->restart_ns = now + (delay < BACKOFF_MOST_NS ? delay : BACKOFF_MOST_NS);
}

static void start_child(struct kt_supervisor *s, size_t kind, uint64_t now)
{
    struct kt_child *child = &s->children[kinds[kind].role];
    struct kt_error error = KT_ERROR_INIT;
    child->restart_ns = KT_NEVER;
    child->started_ns = now;
    child->ready = false;
    if (!spawn(s, child, &error)) {
        kt_log_error(KT_LOG_ERROR, "start-failed", &error);
        schedule(child, now);
        return;
    }
    kt_log(KT_LOG_INFO, "started", KT_TEXT("process", kt_role_text(child->role)), KT_INT("pid", child->pid));
    tell_all(s, kind);
    if (child->role != KT_ROLE_EXPORTER)
        introduce(s, now);
}

void kt_children_start(struct kt_supervisor *s)
{
    uint64_t now = kt_clock_monotonic_ns();
    for (size_t i = 0; i < KT_ARRAY_LEN(kinds); i++) {
        if (s->children[kinds[i].role].wanted)
            start_child(s, i, now);
    }
}

void kt_children_tick(struct kt_supervisor *s, uint64_t now)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(kinds); i++) {
        struct kt_child *child = &s->children[kinds[i].role];
        if (s->phase == KT_PHASE_RUN && !child->pid && child->restart_ns <= now) {
            kt_count(&s->page->processes[child->role].restarts);
            start_child(s, i, now);
        }
        if (child->pid && child->kill_ns <= now) {
            kt_log(KT_LOG_WARNING, "killed-after-drain", KT_TEXT("process", kt_role_text(child->role)),
                   KT_INT("pid", child->pid));
            (void)pidfd_send_signal(child->pidfd, SIGKILL, NULL, 0);
            child->kill_ns = KT_NEVER;
        }
    }
    if (s->introduce_ns <= now)
        introduce(s, now);
}

uint64_t kt_children_next(const struct kt_supervisor *s)
{
    uint64_t next = s->introduce_ns;
    for (size_t i = 0; i < KT_ARRAY_LEN(kinds); i++) {
        const struct kt_child *child = &s->children[kinds[i].role];
        if (child->pid && child->kill_ns < next)
            next = child->kill_ns;
        if (!child->pid && s->phase == KT_PHASE_RUN && child->restart_ns < next)
            next = child->restart_ns;
    }
    return next;
}

size_t kt_children_poll(const struct kt_supervisor *s, struct pollfd *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < KT_ARRAY_LEN(kinds); i++) {
        const struct kt_child *child = &s->children[kinds[i].role];
        if (!child->pid)
            continue;
        ret[n++] = (struct pollfd){.fd = child->pidfd, .events = POLLIN};
        if (child->lifeline >= 0)
            ret[n++] = (struct pollfd){.fd = child->lifeline, .events = POLLIN};
    }
    return n;
}

static void close_lifeline(struct kt_child *child)
{
    kt_fd_close(child->lifeline);
    child->lifeline = -1;
}

static void log_end(const struct kt_supervisor *s, const struct kt_child *child, const siginfo_t *info)
{
    bool expected = s->phase != KT_PHASE_RUN && info->si_code == CLD_EXITED && info->si_status == 0;
    kt_log(expected ? KT_LOG_INFO : KT_LOG_WARNING, "ended", KT_TEXT("process", kt_role_text(child->role)),
           KT_INT("pid", child->pid),
           info->si_code == CLD_EXITED ? KT_INT("status", info->si_status) : KT_INT("signal", info->si_status));
}

static void reap(struct kt_supervisor *s, struct kt_child *child)
{
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
        return;
    log_end(s, child, &info);
    kt_fd_close(child->pidfd);
    close_lifeline(child);
    child->pidfd = -1;
    child->pid = 0;
    child->kill_ns = KT_NEVER;
    atomic_store(&s->page->processes[child->role].pid, 0);
    if (s->phase != KT_PHASE_RUN)
        return;
    if (!s->announced && !child->ready && info.si_code == CLD_EXITED && info.si_status == EXEC_FAILED) {
        kt_log(KT_LOG_ERROR, "not-executable", KT_TEXT("program", child->program));
        s->failed = true;
        return;
    }
    schedule(child, kt_clock_monotonic_ns());
}

static void on_want_opener(struct kt_supervisor *s, struct kt_child *child)
{
    (void)child;
    kt_openers_start(s);
}

/* Asked a second after the loss at the earliest: a pair that is younger is the answer to it already. */
static void on_want_peer(struct kt_supervisor *s, struct kt_child *child)
{
    uint64_t now = kt_clock_monotonic_ns();
    bool both = s->children[KT_ROLE_FRONT].pid && s->children[KT_ROLE_KEEPER].pid;
    if (s->phase != KT_PHASE_RUN || !both || now - s->introduced_ns < KT_PEER_PATIENCE_NS)
        return;
    kt_log(KT_LOG_WARNING, "pair-lost", KT_TEXT("process", kt_role_text(child->role)), KT_INT("pid", child->pid));
    introduce(s, now);
}

static void on_ready(struct kt_supervisor *s, struct kt_child *child)
{
    child->ready = true;
    kt_log(KT_LOG_INFO, "ready", KT_TEXT("process", kt_role_text(child->role)), KT_INT("pid", child->pid));
    if (child->role == KT_ROLE_FRONT && !s->announced && s->phase == KT_PHASE_RUN)
        kt_notify_ready(s);
    s->next_ping_ns = 0;
}

#define ROLE(name) (1u << KT_ROLE_##name)
static const struct {
    enum kt_lifeline_type type;
    unsigned roles;
    void (*take)(struct kt_supervisor *s, struct kt_child *child);
} lifeline_handlers[] = {
    {KT_LIFE_READY, ROLE(FRONT) | ROLE(KEEPER) | ROLE(EXPORTER), on_ready},
    {KT_LIFE_WANT_OPENER, ROLE(KEEPER), on_want_opener},
    {KT_LIFE_WANT_PEER, ROLE(FRONT) | ROLE(KEEPER), on_want_peer},
};

static void heard(struct kt_supervisor *s, struct kt_child *child, const struct kt_lifeline_message *message)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(lifeline_handlers); i++) {
        if (lifeline_handlers[i].type == message->type && (lifeline_handlers[i].roles & 1u << child->role)) {
            lifeline_handlers[i].take(s, child);
            return;
        }
    }
    kt_log(KT_LOG_WARNING, "unknown-message", KT_TEXT("process", kt_role_text(child->role)));
}

/* Nothing can be told to it any more. Most times it is just ending, and that does not change how; but one that closed
 * its lifeline and stays would never be replaced. */
static void lose_lifeline(struct kt_child *child)
{
    close_lifeline(child);
    (void)pidfd_send_signal(child->pidfd, SIGKILL, NULL, 0);
}

static void listen_to(struct kt_supervisor *s, struct kt_child *child)
{
    uint8_t buffer[KT_LIFELINE_MAX];
    struct kt_lifeline_message message = {0};
    struct kt_error error = KT_ERROR_INIT;
    enum kt_ipc_got got = KT_IPC_NOTHING;
    if (!kt_lifeline_recv(child->lifeline, buffer, &message, &got, &error)) {
        kt_log_error(KT_LOG_WARNING, "lifeline-failed", &error);
        lose_lifeline(child);
        return;
    }
    if (got == KT_IPC_CLOSED)
        lose_lifeline(child);
    if (got != KT_IPC_MESSAGE)
        return;
    kt_fd_close(kt_lifeline_take_fd(&message));
    heard(s, child, &message);
}

void kt_children_event(struct kt_supervisor *s, const struct pollfd *event)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(kinds); i++) {
        struct kt_child *child = &s->children[kinds[i].role];
        if (!child->pid)
            continue;
        if (event->fd == child->lifeline)
            listen_to(s, child);
        else if (event->fd == child->pidfd)
            reap(s, child);
    }
}

void kt_child_drain(struct kt_supervisor *s, enum kt_role role, unsigned ms)
{
    struct kt_child *child = &s->children[role];
    uint8_t body[4];
    struct kt_writer w;
    child->restart_ns = KT_NEVER;
    if (!child->pid)
        return;
    kt_writer_init(&w, body, sizeof(body));
    kt_writer_u32(&w, ms);
    (void)kt_child_tell(child, KT_LIFE_DRAIN, KT_SLICE(body, w.len), NULL, 0);
    child->kill_ns = kt_clock_monotonic_ns() + ms * KT_NS_PER_MS;
}
