/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC server: one completion queue, served by one thread of its own. That thread takes calls, asks the keeper
 * (front_keeper.h) and answers; all state of calls is its alone. The functions here are for the main thread.
 */
#pragma once

#include "kmsplugin/counters.h"

struct kt_service_options {
    uint32_t streams;       /* calls at one time, per connection */
    uint32_t request_bytes; /* a larger message is refused by the library */
    struct kt_front_page *page;
    const struct kt_supervisor_page *supervisor; /* for the number of the keeper's restarts */
    const struct kt_keeper_page *keeper;         /* for the key_id, until a keeper names it */
};

struct kt_service;
/* Serves from here on: calls that come before a keeper does are told so. */
struct kt_service *kt_service_new(const struct kt_service_options *options, struct kt_error *err) KT_MUST_CHECK;
/* A connected socket, non-blocking, taken over. */
void kt_service_admit(struct kt_service *service, int fd);
/* A fresh end of the pair with the keeper, taken over. */
void kt_service_keeper(struct kt_service *service, int fd);
/* Since when the end that was in use is lost, CLOCK_MONOTONIC; 0: it is not. */
uint64_t kt_service_keeper_lost_ns(const struct kt_service *service);
/* Goes on serving until the first moment without an open call. Core's own shutdown is not for this: it breaks off every
 * call that arrives before the caller has seen the GOAWAY. */
void kt_service_drain(struct kt_service *service);
/* After that, where that moment does not come: new calls are refused, those that wait for the keeper are answered. */
void kt_service_cancel(struct kt_service *service);
/* Readable once the drain is over; then the process ends, and its connections with it. */
int kt_service_done_fd(const struct kt_service *service);
