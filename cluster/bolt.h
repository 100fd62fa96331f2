/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of bbolt's files, which etcd keeps its store in: read-only, with pread alone, a page at a time, so that
 * memory does not grow with the file. Nothing in the file is trusted: pages lie within it, none is read twice, and keys
 * come in their order, or it is damaged (KT_E_IO). What a page holds beside its structure has no checksum.
 *
 * Source: go.etcd.io/bbolt v1.4, internal/common (page.go, meta.go, inode.go, bucket.go) and db.go. Numbers are in the
 * byte order of the host that wrote the file; those of other hosts than little-endian ones are refused.
 */
#pragma once

#include "base/buf.h"

#define KT_BOLT_DEPTH_MAX 24u                 /* of a tree; one of 2^48 keys is not half as deep */
#define KT_BOLT_PAGE_MAX  ((size_t)256 << 20) /* with its overflow: a leaf has one object at least */
#define KT_BOLT_KEY_MAX   32768u

struct kt_bolt {
    int fd;        /* not ours */
    uint64_t size; /* of the file */
    uint32_t page_size;
    uint64_t root;       /* page of the bucket of buckets */
    uint64_t high_water; /* pages from here on are not used */
    uint64_t txid;
};

/* Reads the newer one of the two meta pages whose checksum is right. The first `size` bytes of the file are bbolt's. */
bool kt_bolt_open(int fd, uint64_t size, struct kt_bolt *ret, struct kt_error *err) KT_MUST_CHECK;

struct kt_bolt_bucket {
    uint64_t root;          /* 0: it is so small that it has no page of its own */
    struct kt_bytes inside; /* then this is its page */
};
void kt_bolt_bucket_done(struct kt_bolt_bucket *bucket);
/* One that is not there is an error. */
bool kt_bolt_find(const struct kt_bolt *bolt, const char *name, struct kt_bolt_bucket *ret,
                  struct kt_error *err) KT_MUST_CHECK;

/* In place, while it is visited. False ends the walk; then *err is filled. */
typedef bool kt_bolt_visit(void *context, struct kt_slice key, struct kt_slice value, struct kt_error *err);
/* All of the bucket, the last key first. Buckets within it are passed over. */
bool kt_bolt_walk(const struct kt_bolt *bolt, const struct kt_bolt_bucket *bucket, kt_bolt_visit *visit, void *context,
                  struct kt_error *err) KT_MUST_CHECK;
