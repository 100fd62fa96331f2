/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of etcd v3, or of kine, which answers the same calls: over TLS, plain HTTP/2 or a Unix socket. It never
 * writes, and every read is linearizable: it sees all that was written before it began. One thread at a time may use a
 * client. gRPC's own threads start with the first one and inherit the signal mask; http_proxy and its like are not
 * obeyed.
 *
 * Each call tries the endpoints in turn, beginning with the one that answered last, until one answers; all calls are
 * reads, so trying again is always safe. If none does, the error names each with its reason (refused, cut, not the CA's
 * certificate, no client certificate, no TLS there, permission, time) and the code is KT_E_UNREACHABLE, KT_E_TIMEOUT,
 * KT_E_DENIED, or KT_E_IO for an answer that is none.
 */
#pragma once

#include "base/cleanup.h"
#include "cluster/etcd_answer.h"
#include "cluster/etcd_endpoint.h"
#include "cluster/etcd_tls.h"

/* The largest answer that is taken: an object of Kubernetes may have 1.5 MiB, or what --max-request-bytes says. */
#define KT_ETCD_MESSAGE_MAX ((size_t)64 << 20)
#define KT_ETCD_TIMEOUT_MAX 3600000u
#define KT_ETCD_TIMEOUT     10000u /* a good one, in milliseconds */
#define KT_ETCD_KEY_MAX     4096u  /* bytes of a key that is asked for */

struct kt_etcd_options {
    const struct kt_etcd_endpoints *endpoints; /* copied */
    struct kt_etcd_tls_files tls;              /* without a CA no endpoint may be one of TLS */
    const char *server_name; /* whose certificate every endpoint must show; NULL: each its own host's */
    unsigned timeout_ms;     /* for each endpoint that is tried; 1 to KT_ETCD_TIMEOUT_MAX */
};

struct kt_etcd;
/* Connects with the first call, not here. KT_E_CONFIG, and what kt_etcd_tls_load says. */
struct kt_etcd *kt_etcd_new(const struct kt_etcd_options *options, struct kt_error *err) KT_MUST_CHECK;
void kt_etcd_free(struct kt_etcd *etcd);
KT_DEFINE_CLEANUP(struct kt_etcd *, kt_etcd_free);

struct kt_etcd_value {
    bool found; /* if not, only `revision` says something */
    struct kt_bytes bytes;
    int64_t mod_revision; /* the object's resourceVersion */
    int64_t version;
    int64_t revision; /* of the store */
};
void kt_etcd_value_done(struct kt_etcd_value *value);
/* One key. That it is not there is no error. */
bool kt_etcd_get(struct kt_etcd *etcd, struct kt_slice key, struct kt_etcd_value *ret,
                 struct kt_error *err) KT_MUST_CHECK;
