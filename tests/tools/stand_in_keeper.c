/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for keyturn-keeper in tests of the supervisor: one that somebody has taken over. It serves nothing, writes
 * the text KEYTURN_STAND_IN_HEALTHZ into its page and stays until its lifeline closes.
 */
#include "kmsplugin/children.h"
#include "kmsplugin/counters.h"

#include <poll.h>
#include <string.h>

static void publish(int fd)
{
    const char *text = getenv("KEYTURN_STAND_IN_HEALTHZ");
    struct kt_keeper_page *page = kt_counters_map(fd, KT_PAGE_KEEPER, true, NULL);
    if (!page || !text)
        exit(1);
    kt_page_begin(&page->sequence);
    (void)snprintf(page->healthz, sizeof(page->healthz), "%s", text);
    kt_page_end(&page->sequence);
    if (!kt_lifeline_send(KT_LIFELINE_FD, KT_LIFE_READY, KT_SLICE(NULL, 0), NULL, 0, NULL))
        exit(1);
}

int main(void)
{
    static uint8_t buffer[KT_LIFELINE_MAX];
    for (;;) {
        struct pollfd event = {.fd = KT_LIFELINE_FD, .events = POLLIN};
        struct kt_lifeline_message message = {0};
        enum kt_ipc_got got = KT_IPC_NOTHING;
        (void)poll(&event, 1, -1);
        if (!kt_lifeline_recv(KT_LIFELINE_FD, buffer, &message, &got, NULL) || got == KT_IPC_CLOSED)
            return 0;
        if (got != KT_IPC_MESSAGE)
            continue;
        if (message.type == KT_LIFE_DRAIN)
            return 0;
        if (message.type == KT_LIFE_COUNTERS)
            publish(message.fds[KT_PAGE_KEEPER]);
        for (size_t i = 0; i < message.n_fds; i++)
            kt_fd_close(message.fds[i]);
    }
}
