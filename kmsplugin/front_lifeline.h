/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor tells the front (kmsplugin/children.h), checked and taken apart. */
#pragma once

#include "kmsplugin/children.h"
#include "kmsplugin/counters.h"

/* Descriptors change hands. */
struct kt_front_orders {
    void *context;
    void (*config)(void *context, const struct kt_child_config *config);
    void (*listen)(void *context, int fd);
    void (*keeper)(void *context, int fd);
    void (*counters)(void *context, const int fds[KT_PAGE_COUNT]);
    void (*drain)(void *context, uint32_t milliseconds);
};

/* All messages that are there. *ret_closed: the supervisor is gone. False: it broke the protocol. */
bool kt_front_lifeline_read(int fd, const struct kt_front_orders *orders, bool *ret_closed,
                            struct kt_error *err) KT_MUST_CHECK;
