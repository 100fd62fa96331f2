/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "kmsplugin/supervisor.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#define STATUS_EVERY_NS (5 * KT_NS_PER_S)

void kt_notify_init(struct kt_supervisor *s)
{
    uint64_t us = 0;
    s->next_ping_ns = kt_clock_monotonic_ns();
    if (sd_watchdog_enabled(1, &us) > 0 && us > 0)
        s->watchdog_ns = us * 1000 / 2;
}

void kt_notify_ready(struct kt_supervisor *s)
{
    s->announced = true;
    (void)sd_notify(0, "READY=1");
}

void kt_notify_reloading(void)
{
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, kt_clock_monotonic_ns() / 1000);
}

void kt_notify_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1\nSTATUS=stopping");
}

static void describe(const struct kt_supervisor *s, char *text, size_t size)
{
    struct kt_keeper_page *page = calloc(1, sizeof(*page));
    text[0] = 0;
    if (!page)
        return;
    if (!s->children[KT_ROLE_KEEPER].pid)
        (void)snprintf(text, size, "the keeper is not running");
    else if (!kt_keeper_page_read(s->keeper_page, page) || !page->healthz[0])
        (void)snprintf(text, size, "starting");
    else if (strcmp(page->healthz, "ok") == 0)
        (void)snprintf(text, size, "serving generation %" PRIu64, page->generation);
    else
        (void)snprintf(text, size, "%s", page->healthz);
    free(page);
}

/* A line of a notification is a field of its own (MAINPID=, STOPPING=), and the words are the keeper's, who may write
 * what it likes into its page. */
static void put_on_one_line(char *text)
{
    for (; *text; text++) {
        if (iscntrl((unsigned char)*text))
            *text = ' ';
    }
}

void kt_notify_status(struct kt_supervisor *s)
{
    char text[KT_HEALTHZ_MAX];
    char status[sizeof(s->status)];
    describe(s, text, sizeof(text));
    (void)snprintf(status, sizeof(status), "%s%s", text, s->complaint);
    put_on_one_line(status);
    if (strcmp(status, s->status) == 0)
        return;
    memcpy(s->status, status, sizeof(status));
    (void)sd_notifyf(0, "STATUS=%s", s->status);
}

/* The watchdog guards this loop alone. A child that is down is started again from here; a ping that waited for it would
 * have the service manager kill the front, which serves on, for a keeper that cannot start. */
void kt_notify_tick(struct kt_supervisor *s, uint64_t now)
{
    if (!getenv("NOTIFY_SOCKET") || now < s->next_ping_ns || s->phase != KT_PHASE_RUN)
        return;
    s->next_ping_ns = now + (s->watchdog_ns && s->watchdog_ns < STATUS_EVERY_NS ? s->watchdog_ns : STATUS_EVERY_NS);
    if (s->watchdog_ns)
        (void)sd_notify(0, "WATCHDOG=1");
    kt_notify_status(s);
}

uint64_t kt_notify_next(const struct kt_supervisor *s)
{
    return getenv("NOTIFY_SOCKET") && s->phase == KT_PHASE_RUN ? s->next_ping_ns : KT_NEVER;
}
