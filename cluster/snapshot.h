/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backup of the store, read as it lies there: nothing is written beside it, nothing is restored, no server is needed.
 *
 *   etcd    what `etcdctl snapshot save`, kubeadm's and k3s's snapshots make: etcd's own file (cluster/bolt.h) and its
 *           SHA-256 behind it; or a copy of member/snap/db, which has none
 *   kine    a copy of the sqlite file that k3s keeps its store in (state.db), with the -wal file that lies beside it
 *
 * A file that is cut or damaged is an error, never a shorter list. The checksum is verified before anything else;
 * kine's file has none, and what stands for it is sqlite's own check of the whole file. Memory does not grow with the
 * file.
 *
 * Sources: etcd v3.6 etcdutl/snapshot/v3_snapshot.go, server/storage/mvcc (revision.go, kvstore.go),
 * server/storage/schema/bucket.go; kine v0.17 pkg/drivers/sqlite, pkg/drivers/generic.
 */
#pragma once

#include "base/buf.h"

#define KT_SNAPSHOT_VALUE_MAX ((size_t)64 << 20)

enum kt_snapshot_format { KT_SNAPSHOT_ETCD, KT_SNAPSHOT_KINE };

/* In no order; in place, while it is visited. False ends it; then *err is filled. */
typedef bool kt_snapshot_visit(void *context, struct kt_slice key, struct kt_slice value, struct kt_error *err);

struct kt_snapshot_order {
    const char *file;
    struct kt_slice prefix; /* of the keys that are visited */
    bool skip_hash_check;   /* etcd: one that has no SHA-256 will do; where there is one, it must be right */
    kt_snapshot_visit *visit;
    void *context;
};

struct kt_snapshot_told {
    enum kt_snapshot_format format;
    bool summed;      /* by a checksum of the whole file */
    int64_t revision; /* the last that is in it */
    bool has_log;     /* kine: a -wal lay beside it, and counts */
    uint64_t bytes;   /* of the file */
};

/* Visits what the newest revision has of each key. KT_E_IO: damaged, cut, or changed meanwhile; KT_E_CONFIG: no backup
 * of a store, or one without a checksum; KT_E_PERMISSION. */
bool kt_snapshot_read(const struct kt_snapshot_order *order, struct kt_snapshot_told *ret,
                      struct kt_error *err) KT_MUST_CHECK;
