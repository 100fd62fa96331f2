/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the keeper that are not answered yet: a fixed table. A request waits in the queue, is sent, and leaves
 * when its answer comes or it is given up; when the keeper dies, what was sent goes back into the queue, oldest first,
 * but not what has gone back once already: it may be what kills the keeper. Its bytes stay here until then, because it
 * may have to be sent again, and are wiped when it leaves. One thread only.
 */
#pragma once

#include "kmsplugin/keeper_wire.h"

#include <sys/queue.h>

#define KT_PENDING_MAX    1024u
#define KT_PENDING_LOSSES 2u /* with so many keepers that died over it, a request is given up */

struct kt_pending {
    TAILQ_ENTRY(kt_pending) link;
    enum { KT_PENDING_FREE, KT_PENDING_TAKEN, KT_PENDING_QUEUED, KT_PENDING_SENT } state;
    unsigned losses;     /* keepers that died while they had it */
    uint32_t uses;       /* high half of the tag: an answer to an earlier use finds nobody */
    void *call;          /* the caller's */
    uint64_t give_up_ns; /* CLOCK_MONOTONIC */
    struct kt_keeper_request request;
};
TAILQ_HEAD(kt_pending_list, kt_pending);

struct kt_pending_table {
    struct kt_pending *slots;
    size_t touched; /* slots used at least once: the others take no memory yet */
    size_t n;       /* taken, queued and sent */
    struct kt_pending_list free;
    struct kt_pending_list queued;
    struct kt_pending_list sent;
};

bool kt_pending_init(struct kt_pending_table *table, struct kt_error *err) KT_MUST_CHECK;
void kt_pending_done(struct kt_pending_table *table);
/* A slot to be filled, then queued or released; NULL: KT_PENDING_MAX are in use. Sets the tag when it is queued. */
struct kt_pending *kt_pending_take(struct kt_pending_table *table);
void kt_pending_queue(struct kt_pending_table *table, struct kt_pending *pending);
/* The first of the queue was sent. */
void kt_pending_mark_sent(struct kt_pending_table *table, struct kt_pending *pending);
/* The one that was sent with this tag; NULL: none. */
struct kt_pending *kt_pending_find(struct kt_pending_table *table, uint64_t tag);
void kt_pending_release(struct kt_pending_table *table, struct kt_pending *pending);
/* All that were sent are to be sent again, before those that never were; each has one loss more. */
void kt_pending_requeue(struct kt_pending_table *table);
/* Any that has had its losses; NULL: none. */
struct kt_pending *kt_pending_lost(struct kt_pending_table *table);
/* Any whose time to give up has come; NULL: none. */
struct kt_pending *kt_pending_expired(struct kt_pending_table *table, uint64_t now_ns);
