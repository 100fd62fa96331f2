/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/clock.h"
#include "kmsplugin/keeper.h"

#include <errno.h>
#include <string.h>

#define ARENA_SIZE     ((size_t)4 * 1024 * 1024)
#define HOLD_NS        (2 * KT_NS_PER_S) /* below kube-apiserver's three seconds for a call */
#define DRAIN_SLACK_NS (KT_NS_PER_S / 5)

static const char *const allowed[] = {
#define KT_ALLOW(name) #name,
#define KT_DENY(name)
#include "kmsplugin/keeper_syscalls.def"
#undef KT_ALLOW
#undef KT_DENY
    NULL,
};
static const char *const denied[] = {
#define KT_ALLOW(name)
#define KT_DENY(name) #name,
#include "kmsplugin/keeper_syscalls.def"
#undef KT_ALLOW
#undef KT_DENY
    NULL,
};

/* Stands in until the shared page comes, so that there always is one. */
static struct kt_keeper_page own_page;

static bool map_pages(struct kt_keeper *k, struct kt_lifeline_message *message, struct kt_error *err)
{
    if (message->n_fds != KT_PAGE_COUNT)
        return kt_fail(err, KT_E_INTERNAL, "expected %d pages, found %zu", KT_PAGE_COUNT, message->n_fds);
    k->supervisor_page = kt_counters_map(message->fds[KT_PAGE_SUPERVISOR], KT_PAGE_SUPERVISOR, false, err);
    struct kt_keeper_page *page = kt_counters_map(message->fds[KT_PAGE_KEEPER], KT_PAGE_KEEPER, true, err);
    if (page)
        k->page = page;
    return k->supervisor_page && page;
}

static bool on_config(struct kt_keeper *k, struct kt_lifeline_message *message, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_child_config *config = calloc(1, sizeof(*config));
    struct kt_reader r;
    if (!config)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    kt_reader_init(&r, message->body);
    if (!kt_child_config_decode(&r, config))
        return kt_fail(err, KT_E_INTERNAL, "a malformed configuration from the supervisor");
    k->config = *config;
    kt_log_set((enum kt_log_format)config->log_format, (enum kt_log_level)config->log_level);
    k->want_start = k->want_start || !k->configured;
    k->want_reload = k->configured;
    if (k->configured)
        k->start_ns = 0;
    k->configured = true;
    return true;
}

static bool on_listen(struct kt_keeper *k, struct kt_lifeline_message *message, struct kt_error *err)
{
    (void)err;
    kt_fd_close(k->control);
    k->control = kt_lifeline_take_fd(message);
    return true;
}

static bool on_peer(struct kt_keeper *k, struct kt_lifeline_message *message, struct kt_error *err)
{
    (void)err;
    kt_keeper_peer_set(k, kt_lifeline_take_fd(message));
    return true;
}

static bool on_opener(struct kt_keeper *k, struct kt_lifeline_message *message, struct kt_error *err)
{
    (void)err;
    kt_keeper_opener(k, kt_lifeline_take_fd(message));
    return true;
}

static bool on_drain(struct kt_keeper *k, struct kt_lifeline_message *message, struct kt_error *err)
{
    struct kt_reader r;
    kt_reader_init(&r, message->body);
    uint64_t ns = kt_reader_u32(&r) * UINT64_C(1000000);
    k->draining = true;
    k->drain_ns = kt_clock_monotonic_ns() + (ns > DRAIN_SLACK_NS ? ns - DRAIN_SLACK_NS : 0);
    return kt_reader_end(&r) || kt_fail(err, KT_E_INTERNAL, "a malformed drain message");
}

static const struct {
    enum kt_lifeline_type type;
    bool (*handle)(struct kt_keeper *k, struct kt_lifeline_message *message, struct kt_error *err);
} lifeline_handlers[] = {
    {KT_LIFE_CONFIG, on_config},   {KT_LIFE_LISTEN, on_listen}, {KT_LIFE_PEER, on_peer},
    {KT_LIFE_COUNTERS, map_pages}, {KT_LIFE_OPENER, on_opener}, {KT_LIFE_DRAIN, on_drain},
};

static bool handle(struct kt_keeper *k, struct kt_lifeline_message *message, struct kt_error *err)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(lifeline_handlers); i++) {
        if (lifeline_handlers[i].type == message->type)
            return lifeline_handlers[i].handle(k, message, err);
    }
    return kt_fail(err, KT_E_INTERNAL, "unknown message %d from the supervisor", (int)message->type);
}

/* *ret_open: false when the supervisor is gone. */
static bool on_lifeline(struct kt_keeper *k, bool *ret_open, struct kt_error *err)
{
    uint8_t buffer[KT_LIFELINE_MAX];
    struct kt_lifeline_message message = {0};
    enum kt_ipc_got got = KT_IPC_NOTHING;
    if (!kt_lifeline_recv(KT_LIFELINE_FD, buffer, &message, &got, err))
        return false;
    *ret_open = got != KT_IPC_CLOSED;
    if (got != KT_IPC_MESSAGE)
        return true;
    bool good = handle(k, &message, err);
    for (size_t i = 0; i < message.n_fds; i++)
        kt_fd_close(message.fds[i]);
    return good;
}

static int poll_timeout(const struct kt_keeper *k, uint64_t now)
{
    const uint64_t times[] = {kt_keeper_install_next(k),           kt_keeper_selftest_next(k),
                              kt_keeper_control_next(k),           kt_keeper_peer_next(k, now),
                              k->dirty ? k->publish_ns : KT_NEVER, k->draining ? k->drain_ns : KT_NEVER};
    uint64_t next = KT_NEVER;
    for (size_t i = 0; i < KT_ARRAY_LEN(times); i++)
        next = times[i] < next ? times[i] : next;
    if (next == KT_NEVER)
        return -1;
    uint64_t ms = next <= now ? 0 : (next - now) / 1000000 + 1;
    return ms < 3600000 ? (int)ms : 3600000;
}

static void tick(struct kt_keeper *k)
{
    uint64_t now = kt_clock_monotonic_ns();
    kt_keeper_install_tick(k, now);
    kt_keeper_selftest_tick(k, now);
    kt_keeper_control_tick(k, now);
    kt_keeper_peer_tick(k, now);
    kt_usage_ahead(&k->usage); /* what was asked in this turn is answered */
    if (k->dirty && now >= k->publish_ns)
        kt_keeper_publish(k);
    if (k->attempted && !k->announced)
        k->announced = kt_lifeline_send(KT_LIFELINE_FD, KT_LIFE_READY, (struct kt_slice){.data = NULL}, NULL, 0, NULL);
}

static bool finished(const struct kt_keeper *k)
{
    if (!k->draining)
        return false;
    bool idle = kt_keeper_peer_idle(k) && k->job.kind == KT_JOB_NONE && k->next.kind == KT_JOB_NONE &&
                !kt_keeper_control_replies(k);
    return idle || kt_clock_monotonic_ns() >= k->drain_ns;
}

/* Fills events: lifeline, front, opener, then the control socket and its clients. */
static size_t collect(const struct kt_keeper *k, uint64_t now, struct pollfd events[KT_POLL_MAX])
{
    bool calls = k->job.call != NULL;
    events[0] = (struct pollfd){.fd = KT_LIFELINE_FD, .events = POLLIN};
    events[1] = (struct pollfd){.fd = k->peer, .events = kt_keeper_peer_events(k, now)};
    events[2] = (struct pollfd){.fd = calls ? kt_opener_call_fd(k->job.call) : -1,
                                .events = calls ? kt_opener_call_events(k->job.call) : 0};
    return 3 + kt_keeper_control_poll(k, &events[3]);
}

/* The lifeline last, for it may replace the others' descriptors. */
static bool turn(struct kt_keeper *k, bool *ret_open, struct kt_error *err)
{
    struct pollfd events[KT_POLL_MAX];
    uint64_t now = kt_clock_monotonic_ns();
    size_t n = collect(k, now, events);
    if (poll(events, n, poll_timeout(k, now)) > 0) {
        if (events[1].revents)
            kt_keeper_peer_event(k);
        if (events[2].revents)
            kt_keeper_call_event(k);
        for (size_t i = 3; i < n; i++) {
            if (events[i].revents)
                kt_keeper_control_event(k, &events[i]);
        }
        if (events[0].revents && !on_lifeline(k, ret_open, err))
            return false;
    }
    tick(k);
    return true;
}

static bool prepare(struct kt_keeper *k, struct kt_error *err)
{
    bool filtered = false;
    if (!kt_arena_install(ARENA_SIZE, err) || !kt_harden_memory(&k->memory, err))
        return false;
    if (k->memory == KT_MEMORY_SECRETS)
        kt_log(KT_LOG_WARNING, "memory-not-locked-whole",
               KT_TEXT("hint", "LimitMEMLOCK=infinity in keyturnd.service; keys are locked in any case"));
    k->batch = kt_batch_new(err);
    return k->batch && kt_harden_filter(allowed, denied, &filtered, err);
}

static void finish(struct kt_keeper *k)
{
    kt_keeper_control_close(k);
    if (k->dir)
        kt_usage_close(&k->usage);
    kt_keyset_free(k->keys);
    kt_state_dir_free(k->dir);
}

static bool run(struct kt_keeper *k, struct kt_error *err)
{
    bool open = true;
    if (!prepare(k, err))
        return false;
    k->hold_ns = kt_clock_monotonic_ns() + HOLD_NS;
    kt_keeper_publish(k);
    while (open && !finished(k)) {
        if (!turn(k, &open, err))
            return false;
    }
    finish(k);
    return true;
}

int main(void)
{
    static struct kt_keeper keeper = {
        .peer = -1, .want_peer_ns = KT_NEVER, .control = -1, .page = &own_page, .usage = {.dirfd = -1}};
    struct kt_error error = KT_ERROR_INIT;
    kt_log_init(kt_role_text(KT_ROLE_KEEPER), KT_LOG_TEXT, KT_LOG_INFO);
    if (kt_harden_process(&error) && run(&keeper, &error))
        return 0;
    kt_log_error(KT_LOG_ERROR, "ended", &error);
    return kt_code_exit(error.code);
}
