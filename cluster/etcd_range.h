/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pass over a range of keys, as the store was at one revision, however large it is: in pages of so many bytes, each
 * asked for when the one before has been looked at, so that memory does not grow with the store. etcd has no limit by
 * bytes, so a page is a number of keys, from the mean size of those of the last one; a page that turns out too large
 * for a message is asked for again, smaller.
 *
 * What comes is checked: each key lies in the range and behind the one before, and in the end there are as many as the
 * store had counted. So a pass is whole or it fails: it never ends early.
 */
#pragma once

#include "cluster/etcd.h"

#define KT_ETCD_PAGE_BYTES ((size_t)4 << 20) /* a good one: few and large, for etcd counts the rest for each page */

/* kv: valid during the call. False ends the pass; then *err is filled. */
typedef bool (*kt_etcd_visit)(void *context, const struct kt_etcd_kv *kv, struct kt_error *err);

struct kt_etcd_pass {
    struct kt_slice prefix; /* all keys that begin so, not empty */
    int64_t revision;       /* 0: the newest */
    size_t page_bytes;      /* 1 to KT_ETCD_MESSAGE_MAX / 4 */
    bool keys_only;
    kt_etcd_visit visit;
    void *context;
};

struct kt_etcd_passed {
    bool compacted; /* the revision went away meanwhile: what was visited is not all, begin again */
    int64_t revision;
    uint64_t keys;
    uint64_t bytes; /* of the answers */
    unsigned pages;
};

bool kt_etcd_range(struct kt_etcd *etcd, const struct kt_etcd_pass *pass, struct kt_etcd_passed *ret,
                   struct kt_error *err) KT_MUST_CHECK;
