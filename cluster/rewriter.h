/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has API servers write objects anew: an empty merge patch each, which makes kube-apiserver rewrite what is stored
 * otherwise than it would store it now, and changes nothing else (facts: kube-apiserver §5d). Metadata alone are
 * answered, and discarded unread, for annotations may hold secrets.
 *
 * Many at once (cluster/pace.h), over all the servers that are given. An object that is gone is none any more; one that
 * another one wrote meanwhile was written by that. What may do better later (429, 5xx, no connection) is tried again,
 * with pauses, KT_REWRITER_TRIES times; what cannot (it cannot be decrypted, a webhook refuses it) is not.
 */
#pragma once

#include "cluster/api_kinds.h"
#include "cluster/pace.h"

#include <signal.h>

#define KT_REWRITER_TRIES 8u
#define KT_REWRITER_WORDS 300u

struct kt_rewriter_progress {
    size_t n;     /* of all */
    size_t ended; /* whatever came of them */
    size_t failed;
    unsigned in_flight;
    unsigned window;
};

/* Why one could not be rewritten. */
struct kt_rewriter_failure {
    size_t index;
    bool transient; /* it may do better another time */
    char words[KT_REWRITER_WORDS];
};
#define KT_REWRITER_FAILURES_MAX 1000u /* that are kept; more are counted */

struct kt_rewriter_result {
    size_t rewritten; /* patched, whether it was stale or not */
    size_t gone;      /* 404 */
    size_t conflicts; /* 409 */
    size_t failed;    /* for good */
    size_t transient; /* failed, and may do better another time */
    size_t retries;
    bool stopped; /* by *stop, or stalled: what was not begun is in none of these */
    uint64_t elapsed_ns;
    unsigned window; /* requests at once, in the end */
    size_t n_failures;
    struct kt_rewriter_failure *failures;
};
void kt_rewriter_result_done(struct kt_rewriter_result *result);

struct kt_rewriter_options {
    struct kt_kube *kube;
    struct kt_http_peer *const *peers; /* at least one; they share the load */
    size_t n_peers;
    size_t n; /* objects */
    /* The path of one of them; false: see words (KT_REWRITER_WORDS), it cannot be rewritten. */
    bool (*path)(void *context, size_t index, char ret[KT_API_PATH_MAX], char *words);
    void (*progress)(void *context, const struct kt_rewriter_progress *progress); /* now and then; may be NULL */
    void *context;
    unsigned concurrency; /* at most; 0: KT_PACE_MAX */
    unsigned max_rate;    /* a second; 0: any */
    unsigned timeout_ms;  /* of each request */
    uint64_t stall_ns;    /* give up where nothing comes to an end for so long */
    bool strict;          /* 404, 409 and what may do better later are failures for good: they came again and again */
    const volatile sig_atomic_t *stop; /* begin no more where it is set; may be NULL */
};

/* Fails where nothing can be asked for at all: out of memory, no credentials. */
bool kt_rewriter_run(const struct kt_rewriter_options *options, struct kt_rewriter_result *ret,
                     struct kt_error *err) KT_MUST_CHECK;
