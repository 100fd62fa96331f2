/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many encryptions each key has behind it (NIST SP 800-38D §8.3: at most 2^32 with random nonces). The state
 * directory's file `usage` holds an upper bound for each key id:
 *
 *   keyturn-usage 1
 *   KEY_ID BOUND
 *
 * Bounds are reserved ahead, so that a kill loses none: 256 at first after a start (a keeper that crashes over and over
 * must not use a key up), then blocks of 65,536; the next block when half of one is used, so that no encryption has to
 * wait for the disk. A clean end writes the exact numbers. A missing file counts from zero.
 * One that is malformed says nothing about the past, so every key then counts from 2^30: it asks for a rotation, and
 * three quarters of the limit are still left. A file that cannot be written is a warning: the count goes on in memory,
 * for a full disk must not stop a cluster from writing.
 */
#pragma once

#include "base/error.h"
#include "keystore/key.h"

#include <stdint.h>

#define KT_USAGE_MAX         256u
#define KT_USAGE_FIRST_BLOCK UINT64_C(256)
#define KT_USAGE_BLOCK       UINT64_C(65536)
#define KT_USAGE_WARN        (UINT64_C(1) << 30)
#define KT_USAGE_LIMIT       (UINT64_C(1) << 32)
#define KT_USAGE_FILE        "usage"

struct kt_usage_entry {
    char id[KT_KEY_ID_LEN + 1];
    uint64_t used;
    uint64_t reserved; /* the bound in the file */
    uint64_t block;    /* how much was reserved the last time */
    uint64_t tried;    /* the bound that could not be raised ahead: not tried again before it is reached */
    uint64_t next_try; /* after a failed write: not again before so many */
    bool grown;        /* has had its first block */
    bool listed;       /* of the set that room was last reserved for: not forgotten when there are too many */
};

struct kt_usage {
    int dirfd; /* the caller's; -1: nothing is written */
    size_t n;
    struct kt_usage_entry entries[KT_USAGE_MAX];
    bool unknown;            /* the file was malformed */
    struct kt_error trouble; /* of the last read or write; KT_OK: none */
};

/* Never fails: what went wrong stands in trouble. */
void kt_usage_load(struct kt_usage *usage, int dirfd);
/* Counts one encryption before it is done. KT_E_KMS_EXHAUSTED. Writes if nothing is left of the block. */
bool kt_usage_take(struct kt_usage *usage, const char *id, struct kt_error *err) KT_MUST_CHECK;
/* For a moment in which nobody waits: the next block for each key that has used half of its own. Writes at most once.
 */
void kt_usage_ahead(struct kt_usage *usage);
uint64_t kt_usage_count(const struct kt_usage *usage, const char *id);
/* Room for all of them in one write, where each key would have caused its own. When the table is full, keys of another
 * set make room, the least used first. */
void kt_usage_reserve(struct kt_usage *usage, const struct kt_keyring_info *info);
/* A clean end: the exact numbers. */
void kt_usage_close(struct kt_usage *usage);
