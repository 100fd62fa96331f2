/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/harden.h"
#include "kmsplugin/exporter.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)

static const char *const allowed[] = {
#define KT_ALLOW(name) #name,
#define KT_DENY(name)
#include "kmsplugin/exporter_syscalls.def"
#undef KT_ALLOW
#undef KT_DENY
    NULL,
};
static const char *const denied[] = {
#define KT_ALLOW(name)
#define KT_DENY(name) #name,
#include "kmsplugin/exporter_syscalls.def"
#undef KT_ALLOW
#undef KT_DENY
    NULL,
};

struct exporter {
    struct kt_child_config config;
    struct kt_pages pages;
    int listen_fd; /* until there are pages */
    struct kt_http *http;
    bool announced;
    bool ended;
    uint64_t textfile_ns;
    enum kt_code textfile_code; /* of the last write, so that each trouble is logged once */
};

static bool on_config(struct exporter *e, struct kt_lifeline_message *message, struct kt_error *err)
{
    struct kt_reader r;
    kt_reader_init(&r, message->body);
    if (!kt_child_config_decode(&r, &e->config))
        return kt_fail(err, KT_E_INTERNAL, "a malformed configuration from the supervisor");
    kt_log_set((enum kt_log_format)e->config.log_format, (enum kt_log_level)e->config.log_level);
    return true;
}

static bool on_counters(struct exporter *e, struct kt_lifeline_message *message, struct kt_error *err)
{
    if (message->n_fds != KT_PAGE_COUNT)
        return kt_fail(err, KT_E_INTERNAL, "expected %d pages, found %zu", KT_PAGE_COUNT, message->n_fds);
    e->pages.supervisor = kt_counters_map(message->fds[KT_PAGE_SUPERVISOR], KT_PAGE_SUPERVISOR, false, err);
    e->pages.front =
        e->pages.supervisor ? kt_counters_map(message->fds[KT_PAGE_FRONT], KT_PAGE_FRONT, false, err) : NULL;
    e->pages.keeper = e->pages.front ? kt_counters_map(message->fds[KT_PAGE_KEEPER], KT_PAGE_KEEPER, false, err) : NULL;
    return e->pages.keeper != NULL;
}

static bool on_listen(struct exporter *e, struct kt_lifeline_message *message, struct kt_error *err)
{
    (void)err;
    kt_fd_close(e->listen_fd);
    e->listen_fd = kt_lifeline_take_fd(message);
    return true;
}

static bool on_drain(struct exporter *e, struct kt_lifeline_message *message, struct kt_error *err)
{
    (void)message;
    (void)err;
    e->ended = true;
    return true;
}

static const struct {
    enum kt_lifeline_type type;
    bool (*handle)(struct exporter *e, struct kt_lifeline_message *message, struct kt_error *err);
} lifeline_handlers[] = {
    {KT_LIFE_CONFIG, on_config},
    {KT_LIFE_COUNTERS, on_counters},
    {KT_LIFE_LISTEN, on_listen},
    {KT_LIFE_DRAIN, on_drain},
};

static bool handle(struct exporter *e, struct kt_lifeline_message *message, struct kt_error *err)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(lifeline_handlers); i++) {
        if (lifeline_handlers[i].type == message->type)
            return lifeline_handlers[i].handle(e, message, err);
    }
    return kt_fail(err, KT_E_INTERNAL, "unknown message %d from the supervisor", (int)message->type);
}

static bool on_lifeline(struct exporter *e, struct kt_error *err)
{
    uint8_t buffer[KT_LIFELINE_MAX];
    struct kt_lifeline_message message = {0};
    enum kt_ipc_got got = KT_IPC_NOTHING;
    if (!kt_lifeline_recv(KT_LIFELINE_FD, buffer, &message, &got, err))
        return false;
    if (got == KT_IPC_CLOSED)
        e->ended = true;
    if (got != KT_IPC_MESSAGE)
        return true;
    bool good = handle(e, &message, err);
    for (size_t i = 0; i < message.n_fds; i++)
        kt_fd_close(message.fds[i]);
    return good;
}

static bool start_http(struct exporter *e, struct kt_error *err)
{
    if (!e->pages.keeper || e->listen_fd < 0)
        return true;
    kt_http_free(e->http);
    e->http = kt_http_new(KT_TAKE_FD(e->listen_fd), &e->pages, err);
    (void)malloc_trim(0); /* the TLS library behind libmicrohttpd, which we do not use, leaves a lot free */
    return e->http != NULL;
}

static void write_textfile(struct exporter *e, uint64_t now)
{
    struct kt_error error = KT_ERROR_INIT;
    if (!e->pages.keeper || !e->config.metrics_textfile[0] || now < e->textfile_ns)
        return;
    e->textfile_ns = now + KT_TEXTFILE_EVERY_S * NS_PER_S;
    if (!kt_textfile_write(e->config.metrics_textfile, &e->pages, &error) && error.code != e->textfile_code)
        kt_log_error(KT_LOG_WARNING, "textfile-not-written", &error);
    e->textfile_code = error.code;
}

static void announce(struct exporter *e)
{
    if (e->pages.keeper && !e->announced)
        e->announced = kt_lifeline_send(KT_LIFELINE_FD, KT_LIFE_READY, (struct kt_slice){.data = NULL}, NULL, 0, NULL);
}

static int poll_timeout(const struct exporter *e, uint64_t now)
{
    int timeout = e->http ? kt_http_timeout(e->http) : -1;
    if (!e->config.metrics_textfile[0])
        return timeout;
    uint64_t ms = e->textfile_ns <= now ? 0 : (e->textfile_ns - now) / 1000000 + 1;
    return timeout < 0 || ms < (uint64_t)timeout ? (int)ms : timeout;
}

static bool turn(struct exporter *e, struct kt_error *err)
{
    struct pollfd events[] = {
        {.fd = KT_LIFELINE_FD, .events = POLLIN},
        {.fd = e->http ? kt_http_fd(e->http) : -1, .events = POLLIN},
        {.fd = e->http ? kt_http_listen_fd(e->http) : -1, .events = POLLIN},
    };
    (void)poll(events, KT_ARRAY_LEN(events), poll_timeout(e, kt_clock_monotonic_ns()));
    if (e->http)
        kt_http_run(e->http);
    if (events[0].revents && !on_lifeline(e, err))
        return false;
    if (!start_http(e, err))
        return false;
    write_textfile(e, kt_clock_monotonic_ns());
    announce(e);
    return true;
}

static bool run(struct exporter *e, struct kt_error *err)
{
    bool filtered = false;
    if (!kt_harden_filter(allowed, denied, &filtered, err))
        return false;
    while (!e->ended) {
        if (!turn(e, err))
            return false;
    }
    kt_http_free(e->http);
    return true;
}

int main(void)
{
    static struct exporter exporter = {.listen_fd = -1};
    struct kt_error error = KT_ERROR_INIT;
    kt_log_init(kt_role_text(KT_ROLE_EXPORTER), KT_LOG_TEXT, KT_LOG_INFO);
    if (kt_harden_process(&error) && run(&exporter, &error))
        return 0;
    kt_log_error(KT_LOG_ERROR, "ended", &error);
    return kt_code_exit(error.code);
}
