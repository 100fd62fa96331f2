/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KMS listening socket: who may come in, and how many. A caller is judged by the kernel's word (SO_PEERCRED,
 * SO_PEERGROUPS) before a byte of its own is read; one that is not allowed is closed at once.
 *
 * gRPC core owns the connections and does not say when it closes one. So each is remembered by its descriptor's number
 * and its socket's cookie (SO_COOKIE, unique while the machine runs): when that number has no socket any more, or one
 * with another cookie, the connection is gone. A look at 256 takes some 70 microseconds, once a second; no descriptor
 * is held twice, and a mistake could only miscount. At the limit nobody is accepted: callers wait in the backlog.
 */
#pragma once

#include "kmsplugin/children.h"
#include "kmsplugin/counters.h"

struct kt_door_sink {
    void *context;
    void (*admit)(void *context, int fd); /* takes the descriptor */
};

struct kt_door;
struct kt_door *kt_door_new(const struct kt_door_sink *sink, struct kt_front_page *page,
                            struct kt_error *err) KT_MUST_CHECK;
void kt_door_free(struct kt_door *door);
KT_DEFINE_CLEANUP(struct kt_door *, kt_door_free);

/* Who may come, and how many; also while callers are connected: the connection of one who may no more is broken off. */
bool kt_door_configure(struct kt_door *door, const struct kt_child_config *config, struct kt_error *err) KT_MUST_CHECK;
/* The listening socket, taken over; -1: none. */
void kt_door_listen(struct kt_door *door, int fd);

/* For poll(2): the descriptor, -1 while there is nothing to wait for, and how long to sleep at most (-1: for ever). */
int kt_door_fd(const struct kt_door *door, uint64_t now_ns);
int kt_door_timeout_ms(const struct kt_door *door, uint64_t now_ns);
/* Accepts who is there, counts who is gone. */
void kt_door_run(struct kt_door *door, uint64_t now_ns);
