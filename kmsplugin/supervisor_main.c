/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/harden.h"
#include "kmsplugin/supervisor.h"

#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

#ifndef KT_RELEASE
#define KT_RELEASE "unknown"
#endif

struct options {
    const char *config;
    bool check;
};

const char *argp_program_version = "keyturnd " KT_RELEASE;

static const struct argp_option option_table[] = {
    {"config", 'c', "FILE", 0, "Configuration (default: $KEYTURN_CONFIG, else " KT_CONFIG_DEFAULT ")", 0},
    {"check", 'k', NULL, 0, "Check the configuration, print the effective one and exit", 0},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp wants this type */
static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'c':
        options->config = arg;
        return 0;
    case 'k':
        options->check = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = option_table,
    .parser = parse_option,
    .doc = "KMS v2 plugin for kube-apiserver. Runs in the foreground; TERM drains and stops, HUP reads the "
           "configuration and the keyring again.",
};

static bool open_signals(struct kt_supervisor *s, struct kt_error *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return kt_fail_errno(err, KT_E_INTERNAL, "cannot block signals");
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd >= 0 || kt_fail_errno(err, KT_E_INTERNAL, "cannot make a signal descriptor");
}

static bool make_pages(struct kt_supervisor *s, struct kt_error *err)
{
    for (enum kt_counter_page page = 0; page < KT_PAGE_COUNT; page++) {
        if (!kt_counters_new(page, &s->pages_rw[page], &s->pages_ro[page], err))
            return false;
    }
    s->page = kt_counters_map(s->pages_rw[KT_PAGE_SUPERVISOR], KT_PAGE_SUPERVISOR, true, err);
    s->keeper_page = s->page ? kt_counters_map(s->pages_ro[KT_PAGE_KEEPER], KT_PAGE_KEEPER, false, err) : NULL;
    if (!s->keeper_page)
        return false;
    atomic_store(&s->page->started, kt_clock_real_s());
    atomic_store(&s->page->processes[KT_ROLE_SUPERVISOR].pid, (uint64_t)getpid());
    atomic_store(&s->page->processes[KT_ROLE_SUPERVISOR].uid, geteuid());
    return true;
}

static void stop(struct kt_supervisor *s)
{
    if (s->phase != KT_PHASE_RUN)
        return;
    kt_log(KT_LOG_NOTICE, "stopping");
    kt_notify_stopping();
    s->phase = KT_PHASE_DRAIN_FRONT;
    s->reload_ns = KT_NEVER;
    kt_child_drain(s, KT_ROLE_FRONT, KT_DRAIN_FRONT_MS);
}

/* The front first, while the keeper still answers it. */
static void advance(struct kt_supervisor *s)
{
    if (s->failed)
        stop(s);
    if (s->phase == KT_PHASE_DRAIN_FRONT && !s->children[KT_ROLE_FRONT].pid) {
        s->phase = KT_PHASE_DRAIN_REST;
        kt_child_drain(s, KT_ROLE_KEEPER, KT_DRAIN_REST_MS);
        kt_child_drain(s, KT_ROLE_EXPORTER, KT_DRAIN_REST_MS);
    }
    if (s->phase == KT_PHASE_DRAIN_REST && !s->children[KT_ROLE_KEEPER].pid && !s->children[KT_ROLE_EXPORTER].pid)
        s->phase = KT_PHASE_END;
}

static void on_signal(struct kt_supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP && s->phase == KT_PHASE_RUN)
            kt_supervisor_reload(s);
        else if (info.ssi_signo != SIGHUP)
            stop(s);
    }
}

static int poll_timeout(const struct kt_supervisor *s, uint64_t now)
{
    const uint64_t times[] = {kt_children_next(s), kt_openers_next(s), kt_notify_next(s), kt_reload_next(s)};
    uint64_t next = KT_NEVER;
    for (size_t i = 0; i < KT_ARRAY_LEN(times); i++)
        next = times[i] < next ? times[i] : next;
    if (next == KT_NEVER)
        return -1;
    uint64_t ms = next <= now ? 0 : (next - now) / KT_NS_PER_MS + 1;
    return ms < 3600000 ? (int)ms : 3600000;
}

static void turn(struct kt_supervisor *s)
{
    struct pollfd events[KT_SUPERVISOR_POLL];
    size_t n = 0;
    events[n++] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
    n += kt_children_poll(s, &events[n]);
    n += kt_openers_poll(s, &events[n]);
    if (poll(events, n, poll_timeout(s, kt_clock_monotonic_ns())) > 0) {
        if (events[0].revents)
            on_signal(s);
        for (size_t i = 1; i < n; i++) {
            if (events[i].revents) {
                kt_children_event(s, &events[i]);
                kt_openers_event(s, &events[i]);
            }
        }
    }
    uint64_t now = kt_clock_monotonic_ns();
    kt_children_tick(s, now);
    kt_openers_tick(s, now);
    kt_reload_tick(s, now);
    kt_notify_tick(s, now);
    advance(s);
}

static bool start(struct kt_supervisor *s, struct kt_error *err)
{
    return make_pages(s, err) && kt_listeners_open(s, err) && kt_children_init(s, err);
}

static int serve(struct kt_supervisor *s)
{
    struct kt_error error = KT_ERROR_INIT;
    if (!start(s, &error)) {
        kt_log_error(KT_LOG_ERROR, "not-started", &error);
        kt_listeners_close(s);
        return kt_code_exit(error.code);
    }
    kt_log(KT_LOG_NOTICE, "starting", KT_TEXT("config", s->config->path), KT_TEXT("release", KT_RELEASE),
           KT_BOOL("single_uid", s->single_uid));
    kt_notify_init(s);
    kt_children_start(s);
    while (s->phase != KT_PHASE_END)
        turn(s);
    kt_openers_kill(s);
    kt_listeners_close(s);
    kt_log(KT_LOG_NOTICE, "stopped");
    return s->failed ? 1 : 0;
}

static int run(const char *path)
{
    static struct kt_supervisor supervisor;
    KT_CLEANUP(kt_free_p) struct kt_config *config = calloc(1, sizeof(*config));
    struct kt_error error = KT_ERROR_INIT;
    /* Signals first: whoever has a socket that we are to take over may keep us waiting for some seconds. What comes
     * meanwhile is done after that. */
    if (!config || !open_signals(&supervisor, &error) || !kt_config_load(path, config, &error)) {
        kt_log_error(KT_LOG_ERROR, "not-started", &error);
        return config ? kt_code_exit(error.code) : 1;
    }
    kt_log_set(config->log_format, config->log_level);
    supervisor.config = config;
    for (size_t i = 0; i < KT_LISTENER_COUNT; i++)
        supervisor.listeners[i].fd = -1;
    return serve(&supervisor);
}

int main(int argc, char **argv)
{
    struct kt_error error = KT_ERROR_INIT;
    struct options options = {.config = NULL};
    kt_log_init(kt_role_text(KT_ROLE_SUPERVISOR), KT_LOG_TEXT, KT_LOG_INFO);
    if (!kt_harden_process(&error)) {
        kt_log_error(KT_LOG_ERROR, "not-started", &error);
        return kt_code_exit(error.code);
    }
    argp_err_exit_status = kt_code_exit(KT_E_USAGE);
    if (argp_parse(&parser, argc, argv, 0, NULL, &options) != 0)
        return kt_code_exit(KT_E_USAGE);
    const char *path = kt_config_path(options.config);
    return options.check ? kt_supervisor_check(path) : run(path);
}
