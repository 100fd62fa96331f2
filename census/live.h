/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The count of a live store: etcd, or kine. Each set of servers is read as it was at one revision, all of it: where the
 * revision is compacted away meanwhile, it is counted anew.
 */
#pragma once

#include "census/tally.h"
#include "cluster/store.h"

#define KT_LIVE_TRIES 4u /* of a count whose revision went away */

struct kt_live {
    int64_t revision; /* of the servers of --etcd-servers */
    uint64_t bytes;   /* that came */
    uint64_t astray;  /* objects on servers where kube-apiserver does not look for them: not counted, not read by it */
};

/* Counts into the tally, which is cleared before. False: what is in the tally is not all, and says nothing. */
bool kt_live_count(struct kt_store *store, struct kt_tally *tally, struct kt_live *ret,
                   struct kt_error *err) KT_MUST_CHECK;
