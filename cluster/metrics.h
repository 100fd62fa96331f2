/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kube-apiserver says about its keys and its EncryptionConfiguration, picked out of /metrics (Prometheus text
 * format 0.0.4, some MB) as it arrives, in bounded memory. Series: metrics.def.
 */
#pragma once

#include "base/buf.h"

#define KT_METRICS_KEYS_MAX 256u /* pairs of provider and key; kube-apiserver itself keeps 100 series of each */
#define KT_METRICS_LINE_MAX 8192u
#define KT_METRICS_HASH_MAX 72u /* "sha256:" and 64 hex digits, with the NUL */
#define KT_METRICS_NAME_MAX 256u

/* A key of a KMS v2 provider. Times are seconds since the epoch; 0: never, or not told. */
struct kt_metrics_key {
    char provider[KT_METRICS_NAME_MAX];
    char key_id_hash[KT_METRICS_HASH_MAX];
    double seen_at;       /* Status returned it: not yet a proof that it is used */
    double written_total; /* DEKs were made under it and used for writing so many times (to_storage) */
    double written_at;
};

struct kt_metrics_reload {
    bool is_known; /* the series is there: it appears with the first reload */
    double total;
    double at;
};

struct kt_metrics {
    char id_hash[KT_METRICS_HASH_MAX];     /* apiserver_id_hash: SHA-256 of its lease's name; "": not told */
    char config_hash[KT_METRICS_HASH_MAX]; /* of the EncryptionConfiguration that is loaded (1.34 on); "": not told */
    struct kt_metrics_reload reload_good;
    struct kt_metrics_reload reload_bad;
    double process_start; /* tells processes apart */
    struct kt_metrics_key keys[KT_METRICS_KEYS_MAX];
    size_t n_keys;
    bool is_cut; /* there were more keys, or longer names, than fit */
};

struct kt_metrics_parser {
    struct kt_metrics *metrics;
    char line[KT_METRICS_LINE_MAX];
    size_t len;        /* of the line so far */
    size_t n_lines;    /* before it */
    size_t bad_line;   /* the first malformed one of ours; 0: none */
    bool is_long;      /* the present line does not fit */
    bool is_apiserver; /* a series of one was seen */
    bool two_configs;
};

/* metrics is empty afterwards, and filled by what follows. Several KiB: not for small stacks. */
void kt_metrics_begin(struct kt_metrics_parser *parser, struct kt_metrics *metrics);
/* The next piece, cut anywhere. */
void kt_metrics_feed(struct kt_metrics_parser *parser, struct kt_slice piece);
/* KT_E_UNREACHABLE: malformed, cut off in the middle of a line, or not of a kube-apiserver. */
bool kt_metrics_end(struct kt_metrics_parser *parser, struct kt_error *err) KT_MUST_CHECK;

/* The key that Status of that provider returned last; NULL: none was seen. */
const struct kt_metrics_key *kt_metrics_seen(const struct kt_metrics *metrics, const char *provider);
/* One key; NULL: nothing is known of it. */
const struct kt_metrics_key *kt_metrics_find(const struct kt_metrics *metrics, const char *provider,
                                             const char *key_id_hash);
/* "sha256:" and hex of SHA-256 of the bytes: of a key_id, of a config file, of a lease's name. */
bool kt_metrics_hash(struct kt_slice bytes, char ret[KT_METRICS_HASH_MAX], struct kt_error *err) KT_MUST_CHECK;
