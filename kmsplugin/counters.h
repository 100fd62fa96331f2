/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of counters: sealed memfds, one per writer, mapped read-only by everybody else. No keys, no seeds, nothing of
 * a caller but its number. 64-bit counters are written with relaxed atomics; the texts and tables of a page are under
 * its sequence number (odd while being written), so that a reader never sees half of one.
 */
#pragma once

#include "base/error.h"
#include "keystore/key.h"
#include "kmsplugin/children.h"
#include "kmsplugin/keeper_wire.h"

#include <stdatomic.h>

enum kt_counter_page { KT_PAGE_SUPERVISOR, KT_PAGE_FRONT, KT_PAGE_KEEPER, KT_PAGE_COUNT };

enum kt_method { KT_METHOD_STATUS, KT_METHOD_ENCRYPT, KT_METHOD_DECRYPT, KT_METHOD_OTHER, KT_METHOD_COUNT };
const char *kt_method_text(enum kt_method method); /* "Status", ... */
#define KT_GRPC_CODES 17u

/* Latencies of answered calls: bucket i counts those under kt_latency_bounds_us[i] (not cumulative); the last is the
 * rest. */
#define KT_LATENCY_BUCKETS 16u
extern const uint64_t kt_latency_bounds_us[KT_LATENCY_BUCKETS - 1];

typedef _Atomic uint64_t kt_counter; /* the one typedef of the tree: an atomic number, not a struct */

struct kt_supervisor_page {
    kt_counter sequence;
    kt_counter started; /* seconds since the epoch */
    struct {
        kt_counter pid; /* 0: not running */
        kt_counter uid;
        kt_counter restarts;
    } processes[KT_ROLE_COUNT];
    kt_counter opener_starts;
    kt_counter opener_timeouts;
    kt_counter reloads;
    kt_counter reload_failures;
    char metrics_address[KT_PATH_MAX]; /* in use; "off" */
};

struct kt_front_page {
    kt_counter calls[KT_METHOD_COUNT][KT_GRPC_CODES];
    kt_counter latency[KT_METHOD_COUNT][KT_LATENCY_BUCKETS];
    kt_counter latency_sum_us[KT_METHOD_COUNT];
    kt_counter peers_accepted;
    kt_counter peers_refused;   /* uid and gid not allowed */
    kt_counter seconds_full;    /* in which callers waited in the backlog: kms.maxConnections were connected */
    kt_counter connections;     /* open now */
    kt_counter keeper_connects; /* fresh ends of the pair */
    kt_counter memory_locked;   /* enum kt_memory_lock + 1 */
};

struct kt_keeper_key {
    char id[KT_KEY_ID_LEN + 1];
    char name[KT_KEY_NAME_MAX + 1];
    uint32_t type;
    uint32_t state;
    uint64_t created;
    uint64_t encryptions;
    uint32_t encrypts; /* this one wraps new seeds */
    uint32_t superseded;
    uint32_t selftest_ok;
    uint32_t reserved;
};

struct kt_keeper_page {
    kt_counter sequence; /* guards what follows up to `wraps` */
    uint64_t membership;
    uint64_t generation;
    uint32_t loaded;
    uint32_t below_floor;
    uint32_t n_keys;
    uint32_t disk_tested;
    uint32_t disk_ok;
    uint32_t idle; /* no key of type kms: nothing to serve */
    uint64_t disk_time;
    uint64_t selftest_time;
    char healthz[KT_HEALTHZ_MAX];
    struct kt_keeper_key keys[2 * KT_KEYS_MAX];
    kt_counter wraps;
    kt_counter unwraps;
    kt_counter failures;
    kt_counter selftests;
    kt_counter selftest_failures;
    kt_counter offers_installed;
    kt_counter offers_refused;
    kt_counter control_peers_refused;
    kt_counter memory_locked;
};

/* The supervisor makes the pages. *ret_rw and *ret_ro: two descriptors of one sealed memfd; the second cannot be mapped
 * for writing. */
bool kt_counters_new(enum kt_counter_page page, int *ret_rw, int *ret_ro, struct kt_error *err) KT_MUST_CHECK;
/* Maps a page that was received; NULL on failure. Never unmapped: it lives as long as the process. */
void *kt_counters_map(int fd, enum kt_counter_page page, bool writable, struct kt_error *err) KT_MUST_CHECK;

static inline void kt_count(kt_counter *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}
void kt_count_latency(struct kt_front_page *page, enum kt_method method, uint64_t us);

/* Writer of a guarded section. */
void kt_page_begin(kt_counter *sequence);
void kt_page_end(kt_counter *sequence);
/* A consistent copy of the keeper's guarded section; false if the writer died in the middle of it. */
bool kt_keeper_page_read(const struct kt_keeper_page *page, struct kt_keeper_page *ret) KT_MUST_CHECK;
/* The id of the key that wraps, as the keeper said last, whether it still runs or not. False: it named none, or what
 * stands there is no key id. */
bool kt_keeper_page_key_id(const struct kt_keeper_page *page, char ret[KT_KEY_ID_LEN + 1]) KT_MUST_CHECK;
