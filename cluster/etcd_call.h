/* SPDX-License-Identifier: Apache-2.0 */
/* One call of etcd's API over gRPC, tried at each endpoint: what etcd.c and etcd_range.c share, private to them. */
#pragma once

#include "cluster/etcd.h"

#include <grpc/grpc.h>

struct kt_etcd {
    struct kt_etcd_endpoints endpoints;
    struct kt_etcd_tls tls;
    char server_name[KT_ETCD_HOST_MAX]; /* "" : each its own */
    unsigned timeout_ms;
    size_t current;        /* the endpoint of the channel, or that is tried first */
    grpc_channel *channel; /* NULL: none is open */
    bool answered;         /* something came over this channel */
    grpc_completion_queue *queue;
};

/* What an endpoint said, when it said something that is neither an answer nor a failure. */
enum kt_etcd_reply {
    KT_ETCD_ANSWERED,
    KT_ETCD_COMPACTED, /* the revision that was asked for is not there any more */
    KT_ETCD_TOO_LARGE, /* the answer has more than KT_ETCD_MESSAGE_MAX bytes */
};

/* The bytes of an answer. */
struct kt_etcd_message {
    grpc_slice slice;
    struct kt_slice bytes;
    bool held;
};
void kt_etcd_message_done(struct kt_etcd_message *message);

struct kt_etcd_query {
    struct kt_slice key;
    struct kt_slice end; /* empty: the key alone */
    int64_t limit;       /* 0: all */
    int64_t revision;    /* 0: the newest */
    bool keys_only;
    bool count_only;
};
/* ret: only with KT_ETCD_ANSWERED. */
bool kt_etcd_range_call(struct kt_etcd *etcd, const struct kt_etcd_query *query, enum kt_etcd_reply *ret_reply,
                        struct kt_etcd_message *ret, struct kt_error *err) KT_MUST_CHECK;
/* Closes the channel: the next call makes another connection. */
void kt_etcd_disconnect(struct kt_etcd *etcd);
