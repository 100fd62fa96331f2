/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front's link to the keeper. One thread uses it, the one that serves calls; only kt_link_offer may come from
 * another. Nothing here waits for the keeper but kt_link_receive, once, for a few milliseconds: a keeper that answers
 * does so within microseconds, and a second thread that waited for it would add a hand-off between threads to each
 * call. One that let that time pass is `silent` until it is heard again, and is only looked at in passing, at growing
 * intervals.
 */
#pragma once

#include "kmsplugin/front_pending.h"

/* Why a request gets no answer: its time has come, or two keepers died over it. */
enum kt_link_end { KT_LINK_LATE, KT_LINK_LOST };

/* What becomes of a request. The callee owns the call again; the answer is valid during the callback. */
struct kt_link_sink {
    void *context;
    void (*answered)(void *context, void *call, const struct kt_keeper_answer *answer);
    void (*gave_up)(void *context, void *call, enum kt_link_end why);
    void (*changed)(void *context, bool connected); /* an end died, or a fresh one is in use */
};

struct kt_link;
struct kt_link *kt_link_new(const struct kt_link_sink *sink, struct kt_error *err) KT_MUST_CHECK;
void kt_link_free(struct kt_link *link);
KT_DEFINE_CLEANUP(struct kt_link *, kt_link_free);

/* A fresh end of the pair, taken over, to be used from the next request or interval on. Any thread. */
void kt_link_offer(struct kt_link *link, int fd);

/* A slot for a request (front_pending.h), to be submitted or cancelled; NULL: too many are waiting. */
struct kt_pending *kt_link_take(struct kt_link *link);
void kt_link_submit(struct kt_link *link, struct kt_pending *pending);
void kt_link_cancel(struct kt_link *link, struct kt_pending *pending);

size_t kt_link_waiting(const struct kt_link *link); /* requests without an answer */
bool kt_link_connected(const struct kt_link *link);
/* How long the caller may do other things before it comes back, if requests are waiting; 0: come at once. */
uint64_t kt_link_interval_ns(const struct kt_link *link);

/* Sends what was submitted, as far as the socket takes it. */
void kt_link_flush(struct kt_link *link);
/* Hands out the answers that are there; while the keeper is not silent, waits for the first. */
void kt_link_receive(struct kt_link *link);
/* Gives up those whose time has come; UINT64_MAX: all. */
void kt_link_expire(struct kt_link *link, uint64_t now_ns);
