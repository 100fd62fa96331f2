/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyturn-front: the KMS socket (DESIGN.md §4). Started by the supervisor, told everything over its lifeline; opens no
 * files, holds no keys. Two threads of ours: this one has the lifeline and the listening socket, the other the calls.
 */
#include "base/clock.h"
#include "base/harden.h"
#include "base/log.h"
#include "kmsplugin/front_accept.h"
#include "kmsplugin/front_lifeline.h"
#include "kmsplugin/front_service.h"

#include <dlfcn.h>
#include <errno.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define MS               UINT64_C(1000000)
#define DRAIN_MAX        (2000 * MS)
#define TRIM_DELAY       (1000 * MS)
#define DESCRIPTORS      256u /* beside the connections */
#define ABSEIL_NAMESPACE 20   /* Debian's inline namespaces so far are far below */

struct front {
    bool configured;
    struct kt_child_config config;
    enum kt_memory_lock memory;
    struct kt_front_page *page;
    const struct kt_supervisor_page *supervisor;
    const struct kt_keeper_page *keeper;
    int listen_fd; /* until there is a door */
    int keeper_fd; /* until there is a service */
    struct kt_door *door;
    struct kt_service *service;
    bool draining;
    int exit_status;    /* when the lifeline ends it */
    uint64_t cancel_ns; /* UINT64_MAX: no */
    uint64_t end_ns;
    uint64_t offered_ns;  /* when the last end of the pair with the keeper came */
    uint64_t asked_ns;    /* when one was asked for */
    uint64_t connections; /* when last looked at */
    uint64_t trim_ns;     /* when to give memory back; UINT64_MAX: nothing to give */
};

/* ---- orders of the supervisor ---- */

static void on_config(void *context, const struct kt_child_config *config)
{
    struct front *front = context;
    struct kt_error err = KT_ERROR_INIT;
    bool later = front->configured && (config->kms_streams != front->config.kms_streams ||
                                       config->kms_request_bytes != front->config.kms_request_bytes);
    front->config = *config;
    front->configured = true;
    kt_log_set((enum kt_log_format)config->log_format, (enum kt_log_level)config->log_level);
    if (front->door && !kt_door_configure(front->door, config, &err))
        kt_log_error(KT_LOG_ERROR, "config-not-taken", &err);
    if (later)
        kt_log(KT_LOG_NOTICE, "config-later",
               KT_TEXT("hint", "kms.maxStreams and kms.maxRequestBytes are taken in when keyturnd starts"));
}

static void on_listen(void *context, int fd)
{
    struct front *front = context;
    if (front->draining) {
        kt_fd_close(fd);
    } else if (front->door) {
        kt_door_listen(front->door, fd);
    } else {
        kt_fd_close(front->listen_fd);
        front->listen_fd = fd;
    }
}

static void on_keeper(void *context, int fd)
{
    struct front *front = context;
    front->offered_ns = kt_clock_monotonic_ns();
    if (front->service) {
        kt_service_keeper(front->service, fd);
    } else {
        kt_fd_close(front->keeper_fd);
        front->keeper_fd = fd;
    }
}

static void on_counters(void *context, const int fds[KT_PAGE_COUNT])
{
    struct front *front = context;
    struct kt_error err = KT_ERROR_INIT;
    if (!front->page) {
        front->supervisor = kt_counters_map(fds[KT_PAGE_SUPERVISOR], KT_PAGE_SUPERVISOR, false, &err);
        front->keeper = front->supervisor ? kt_counters_map(fds[KT_PAGE_KEEPER], KT_PAGE_KEEPER, false, &err) : NULL;
        front->page = front->keeper ? kt_counters_map(fds[KT_PAGE_FRONT], KT_PAGE_FRONT, true, &err) : NULL;
        if (!front->page)
            kt_log_error(KT_LOG_ERROR, "counters", &err);
    }
    for (size_t i = 0; i < KT_PAGE_COUNT; i++)
        kt_fd_close(fds[i]);
}

/* Calls end in moments; what is left after DRAIN_MAX waits for a keeper that is away, or is a peer that does not
 * answer. A third of the time is kept for breaking these off. */
static void on_drain(void *context, uint32_t milliseconds)
{
    struct front *front = context;
    uint64_t now = kt_clock_monotonic_ns();
    if (front->draining)
        return;
    front->draining = true;
    front->cancel_ns = now + (milliseconds * MS * 2 / 3 < DRAIN_MAX ? milliseconds * MS * 2 / 3 : DRAIN_MAX);
    front->end_ns = now + milliseconds * MS * 9 / 10;
    kt_log(KT_LOG_INFO, "drain", KT_NUM("milliseconds", milliseconds));
    if (!front->service)
        exit(0);
    kt_door_listen(front->door, -1);
    kt_service_drain(front->service);
}

/* ---- set-up ---- */

/* Its messages may quote what a peer sent, so only the place is logged, and not at the pace of a peer that provokes it.
 */
static void on_library_log(gpr_log_func_args *args)
{
    static _Atomic uint64_t last;
    uint64_t now = kt_clock_monotonic_ns();
    uint64_t before = atomic_load(&last);
    if (args->severity != GPR_LOG_SEVERITY_ERROR || (before != 0 && now - before < 1000 * MS) ||
        !atomic_compare_exchange_strong(&last, &before, now))
        return;
    const char *file = strrchr(args->file, '/');
    kt_log(KT_LOG_INFO, "grpc", KT_TEXT("file", file ? file + 1 : args->file), KT_INT("line", args->line));
}

/* Debian builds abseil with its deadlock detector on: a global lock around every lock, 6 to 8 % of all that we use.
 * Its switch has a C++ name with the distribution's namespace in it; where there is none, nothing is lost. */
static void calm_abseil(void)
{
    for (int i = 1; i < ABSEIL_NAMESPACE; i++) {
        char name[96];
        void (*set_mode)(int) = NULL;
        (void)snprintf(name, sizeof(name), "_ZN4absl%ddebian%d29SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE",
                       i < 10 ? 7 : 8, i);
        void *found = dlsym(RTLD_DEFAULT, name);
        if (!found)
            continue;
        memcpy(&set_mode, &found, sizeof(set_mode));
        set_mode(0);
        return;
    }
}

static void raise_descriptor_limit(uint32_t connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < wanted)
        kt_log(KT_LOG_WARNING, "descriptor-limit", KT_NUM("limit", limit.rlim_cur), KT_NUM("wanted", wanted));
}

static const struct kt_front_orders orders_of_supervisor = {
    .config = on_config, .listen = on_listen, .keeper = on_keeper, .counters = on_counters, .drain = on_drain};

/* False: the front's end, with front->exit_status. */
static bool read_lifeline(struct front *front)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_front_orders orders = orders_of_supervisor;
    bool closed = false;
    orders.context = front;
    if (!kt_front_lifeline_read(KT_LIFELINE_FD, &orders, &closed, &err)) {
        kt_log_error(KT_LOG_ERROR, "lifeline", &err);
        front->exit_status = 1;
        return false;
    }
    return !closed;
}

static bool wait_for_orders(struct front *front)
{
    while (!front->configured || front->listen_fd < 0 || !front->page) {
        struct pollfd waits = {.fd = KT_LIFELINE_FD, .events = POLLIN};
        if (poll(&waits, 1, -1) < 0 && errno != EINTR)
            return false;
        if (!read_lifeline(front))
            return false;
    }
    return true;
}

static void admit(void *context, int fd)
{
    const struct front *front = context;
    kt_service_admit(front->service, fd);
}

static bool set_up(struct front *front, struct kt_error *err)
{
    const struct kt_door_sink sink = {.context = front, .admit = admit};
    const struct kt_service_options options = {
        .streams = front->config.kms_streams,
        .request_bytes = front->config.kms_request_bytes,
        .page = front->page,
        .supervisor = front->supervisor,
        .keeper = front->keeper,
    };
    atomic_store(&front->page->memory_locked, (uint64_t)front->memory + 1);
    atomic_store(&front->page->connections, 0);
    raise_descriptor_limit(front->config.kms_connections);
    gpr_set_log_function(on_library_log);
    calm_abseil();
    grpc_init();
    front->door = kt_door_new(&sink, front->page, err);
    if (!front->door || !kt_door_configure(front->door, &front->config, err))
        return false;
    front->service = kt_service_new(&options, err);
    if (!front->service)
        return false;
    kt_door_listen(front->door, KT_TAKE_FD(front->listen_fd));
    if (front->keeper_fd >= 0)
        kt_service_keeper(front->service, KT_TAKE_FD(front->keeper_fd));
    return true;
}

static bool confine(struct kt_error *err)
{
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
    bool active = false;
    if (!kt_harden_filter(allowed, denied, &active, err))
        return false;
    if (!active)
        kt_log(KT_LOG_NOTICE, "no-system-call-filter", KT_TEXT("why", "built with sanitizers"));
    return true;
}

/* ---- the loop ---- */

static int until(uint64_t at_ns, uint64_t now_ns)
{
    if (at_ns == UINT64_MAX)
        return -1;
    return at_ns <= now_ns ? 0 : (int)((at_ns - now_ns) / MS) + 1;
}

static int sooner(int a, int b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a < b ? a : b;
}

static int sleep_ms(const struct front *front, uint64_t now_ns)
{
    int drain = sooner(until(front->cancel_ns, now_ns), until(front->end_ns, now_ns));
    int trim = until(front->trim_ns, now_ns);
    return sooner(sooner(drain, trim), kt_door_timeout_ms(front->door, now_ns));
}

/* The kernel takes nothing back of what is locked, so for that moment nothing is. */
static void trim_memory(const struct front *front)
{
    bool locked = front->memory == KT_MEMORY_ALL;
    if (locked)
        (void)munlockall();
    (void)malloc_trim(0);
    if (locked && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
        kt_log(KT_LOG_WARNING, "memory-not-locked", KT_TEXT("error", strerrordesc_np(errno)));
}

/* What a peer made the library allocate stays in malloc's hands when it goes, up to a hundred times what we need. */
static void give_memory_back(struct front *front, uint64_t now_ns)
{
    uint64_t connections = atomic_load_explicit(&front->page->connections, memory_order_relaxed);
    if (connections < front->connections && front->trim_ns == UINT64_MAX)
        front->trim_ns = now_ns + TRIM_DELAY;
    front->connections = connections;
    if (now_ns < front->trim_ns)
        return;
    front->trim_ns = UINT64_MAX;
    trim_memory(front);
}

/* True: time is up. */
static bool drain_timers(struct front *front, uint64_t now_ns)
{
    if (now_ns >= front->cancel_ns) {
        front->cancel_ns = UINT64_MAX;
        kt_log(KT_LOG_NOTICE, "drain-cancel");
        kt_service_cancel(front->service);
    }
    return now_ns >= front->end_ns;
}

/* An end that came after the loss is taken into use with the next call. A caller's connection wakes this loop once a
 * second; without one, nobody needs the keeper. */
static void ask_for_keeper(struct front *front, uint64_t now_ns)
{
    struct kt_error err = KT_ERROR_INIT;
    uint64_t lost_ns = kt_service_keeper_lost_ns(front->service);
    uint64_t since_ns = lost_ns > front->asked_ns ? lost_ns : front->asked_ns;
    if (lost_ns <= front->offered_ns || front->draining || now_ns < since_ns + KT_PEER_PATIENCE_NS)
        return;
    front->asked_ns = now_ns;
    if (!kt_lifeline_send(KT_LIFELINE_FD, KT_LIFE_WANT_PEER, KT_SLICE("", 0), NULL, 0, &err))
        kt_log_error(KT_LOG_WARNING, "keeper-not-asked-for", &err);
}

/* Returns only if something failed. */
static void serve(struct front *front)
{
    for (;;) {
        uint64_t now = kt_clock_monotonic_ns();
        struct pollfd waits[] = {
            {.fd = KT_LIFELINE_FD, .events = POLLIN},
            {.fd = kt_service_done_fd(front->service), .events = POLLIN},
            {.fd = kt_door_fd(front->door, now), .events = POLLIN},
        };
        if (poll(waits, KT_ARRAY_LEN(waits), sleep_ms(front, now)) < 0 && errno != EINTR)
            return;
        if (waits[0].revents && !read_lifeline(front))
            _exit(front->exit_status);
        if (waits[1].revents)
            _exit(0); /* callers see the connection end, which is a thing to try again; core would cancel their calls */
        now = kt_clock_monotonic_ns();
        if (drain_timers(front, now)) {
            kt_log(KT_LOG_WARNING, "drain-unfinished");
            _exit(0);
        }
        kt_door_run(front->door, now);
        give_memory_back(front, now);
        ask_for_keeper(front, now);
    }
}

static bool harden(struct front *front, struct kt_error *err)
{
    return kt_harden_process(err) && kt_harden_memory(&front->memory, err);
}

static int run(struct front *front)
{
    struct kt_error err = KT_ERROR_INIT;
    kt_log_init(kt_role_text(KT_ROLE_FRONT), KT_LOG_TEXT, KT_LOG_INFO);
    if (!harden(front, &err)) {
        kt_log_error(KT_LOG_ERROR, "start-failed", &err);
        return 1;
    }
    if (!wait_for_orders(front))
        return front->exit_status;
    if (!set_up(front, &err) || !confine(&err) ||
        !kt_lifeline_send(KT_LIFELINE_FD, KT_LIFE_READY, KT_SLICE("", 0), NULL, 0, &err)) {
        kt_log_error(KT_LOG_ERROR, "start-failed", &err);
        return 1;
    }
    serve(front);
    return 1;
}

int main(void)
{
    static struct front front = {
        .listen_fd = -1, .keeper_fd = -1, .cancel_ns = UINT64_MAX, .end_ns = UINT64_MAX, .trim_ns = UINT64_MAX};
    return run(&front);
}
