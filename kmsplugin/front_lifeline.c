/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/front_lifeline.h"

#include <string.h>

static bool take_config(const struct kt_front_orders *orders, struct kt_lifeline_message *message)
{
    static struct kt_child_config config;
    struct kt_reader r;
    kt_reader_init(&r, message->body);
    if (!kt_child_config_decode(&r, &config))
        return false;
    orders->config(orders->context, &config);
    return true;
}

static bool take_listen(const struct kt_front_orders *orders, struct kt_lifeline_message *message)
{
    orders->listen(orders->context, kt_lifeline_take_fd(message));
    return true;
}

static bool take_peer(const struct kt_front_orders *orders, struct kt_lifeline_message *message)
{
    orders->keeper(orders->context, kt_lifeline_take_fd(message));
    return true;
}

static bool take_counters(const struct kt_front_orders *orders, struct kt_lifeline_message *message)
{
    orders->counters(orders->context, message->fds);
    message->n_fds = 0;
    return true;
}

static bool take_drain(const struct kt_front_orders *orders, struct kt_lifeline_message *message)
{
    struct kt_reader r;
    kt_reader_init(&r, message->body);
    uint32_t milliseconds = kt_reader_u32(&r);
    if (!kt_reader_end(&r))
        return false;
    orders->drain(orders->context, milliseconds);
    return true;
}

static const struct handler {
    enum kt_lifeline_type type;
    size_t n_fds;
    bool (*take)(const struct kt_front_orders *orders, struct kt_lifeline_message *message);
} handlers[] = {
    {KT_LIFE_CONFIG, 0, take_config}, {KT_LIFE_LISTEN, 1, take_listen},
    {KT_LIFE_PEER, 1, take_peer},     {KT_LIFE_COUNTERS, KT_PAGE_COUNT, take_counters},
    {KT_LIFE_DRAIN, 0, take_drain},
};

static bool take(const struct kt_front_orders *orders, struct kt_lifeline_message *message, struct kt_error *err)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(handlers); i++) {
        const struct handler *handler = &handlers[i];
        if (handler->type == message->type && handler->n_fds == message->n_fds && handler->take(orders, message))
            return true;
    }
    size_t n_fds = message->n_fds;
    kt_fd_close(kt_lifeline_take_fd(message));
    return kt_fail(err, KT_E_INTERNAL, "lifeline: a message of type %u with %zu bytes and %zu descriptors",
                   (unsigned)message->type, message->body.len, n_fds);
}

bool kt_front_lifeline_read(int fd, const struct kt_front_orders *orders, bool *ret_closed, struct kt_error *err)
{
    static uint8_t buffer[KT_LIFELINE_MAX];
    for (;;) {
        struct kt_lifeline_message message = {.n_fds = 0};
        enum kt_ipc_got got = KT_IPC_NOTHING;
        if (!kt_lifeline_recv(fd, buffer, &message, &got, err))
            return false;
        if (got != KT_IPC_MESSAGE) {
            *ret_closed = got == KT_IPC_CLOSED;
            return true;
        }
        if (!take(orders, &message, err))
            return false;
    }
}
