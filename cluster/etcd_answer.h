/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to a Range request (proto/etcd.proto), read in place: it may be as large as a page of the store. */
#pragma once

#include "base/buf.h"

/* One key of the store. Its bytes lie in the answer. */
struct kt_etcd_kv {
    struct kt_slice key;
    struct kt_slice value; /* empty if only keys were asked for */
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version; /* 1: as it was created */
};

/* mvccpb.KeyValue. False if it is malformed, or has no key. */
bool kt_etcd_kv_read(struct kt_slice message, struct kt_etcd_kv *ret) KT_MUST_CHECK;

struct kt_etcd_answer {
    int64_t revision; /* of the whole store, when it answered */
    int64_t count;    /* keys in the range, however many are here */
    bool more;        /* there are more than are here */
    size_t n_kvs;
    struct kt_reader rest; /* for kt_etcd_answer_next */
};

/* False if it is malformed anywhere, or has no revision: then nothing of it counts. */
bool kt_etcd_answer_read(struct kt_slice message, struct kt_etcd_answer *ret) KT_MUST_CHECK;
/* The keys, one after the other, in the order of the answer; false after the last. */
bool kt_etcd_answer_next(struct kt_etcd_answer *answer, struct kt_etcd_kv *ret) KT_MUST_CHECK;
