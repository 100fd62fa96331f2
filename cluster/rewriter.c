/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/rewriter.h"

#include "base/clock.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS    UINT64_C(1000000)
#define TICK_NS      (100 * NS_PER_MS) /* looks at the clock and at stop */
#define PAUSE_NS     (250 * NS_PER_MS) /* before the second try; doubles */
#define DOUBLINGS    6u
#define AWAY_NS      (500 * NS_PER_MS) /* before a server that did not answer is asked again; doubles */
#define SERVER_TRIES 3u                /* of what a server failed at: it may be its own store that was slow */

/* One that does not answer is left alone for a while, and the others have its share. */
struct server {
    uint64_t away_until_ns;
    unsigned away; /* times in a row */
};

/* One object that is on its way, or waits to be tried again. */
struct slot {
    struct rewriter *rewriter;
    size_t index;
    size_t server; /* that was asked last */
    unsigned tries;
    uint64_t due_ns;
    bool waits;
    bool used;
};

struct rewriter {
    const struct kt_rewriter_options *options;
    struct kt_pace pace;
    struct kt_rewriter_result result;
    struct slot slots[2 * KT_HTTP_IN_FLIGHT_MAX]; /* in flight, and waiting */
    size_t next;                                  /* object */
    unsigned in_flight;
    unsigned waiting;
    uint64_t ended_ns; /* the last one */
    size_t turn;       /* of the servers */
    struct server *servers;
    bool broken;
    struct kt_error why;
};

void kt_rewriter_result_done(struct kt_rewriter_result *result)
{
    free(result->failures);
    *result = (struct kt_rewriter_result){.failures = NULL};
}

static void note_failure(struct rewriter *r, size_t index, bool transient, const char *words)
{
    struct kt_rewriter_result *result = &r->result;
    result->failed += !transient;
    result->transient += transient;
    if (result->n_failures == KT_REWRITER_FAILURES_MAX)
        return;
    struct kt_rewriter_failure *failure = &result->failures[result->n_failures++];
    *failure = (struct kt_rewriter_failure){.index = index, .transient = transient};
    (void)snprintf(failure->words, sizeof(failure->words), "%s", words);
}

/* ---- answers ---- */

/* A server that cannot decrypt what is stored says so with 500 as well, and will say so again (k8s.io/apiserver
 * pkg/storage/value, Kubernetes v1.36). */
static bool cannot_decrypt(const char *words)
{
    static const char *const known[] = {
        "unable to transform key",   "no matching prefix found", "message authentication failed",
        "no matching key was found", "failed to decrypt",        "admission webhook"};
    for (size_t i = 0; i < KT_ARRAY_LEN(known); i++)
        if (strstr(words, known[i]))
            return true;
    return false;
}

static unsigned tries_of(const struct kt_http_answer *answer, const char *words)
{
    if (answer->outcome == KT_HTTP_SERVER)
        return cannot_decrypt(words) ? 1 : SERVER_TRIES;
    return kt_http_outcome_is_transient(answer->outcome) ? KT_REWRITER_TRIES : 1;
}

static void try_again(struct slot *slot, uint64_t now)
{
    unsigned doublings = slot->tries > 1 ? slot->tries - 1 : 0;
    slot->waits = true;
    slot->due_ns = now + (PAUSE_NS << (doublings < DOUBLINGS ? doublings : DOUBLINGS));
    slot->rewriter->waiting++;
    slot->rewriter->result.retries++;
}

/* reached: something came of it. Where a server is away for long all fail in the end, and that is no progress. */
static void end(struct slot *slot, bool reached)
{
    slot->used = false;
    if (reached)
        slot->rewriter->ended_ns = kt_clock_monotonic_ns();
}

/* *slot is to be sent once more, with new credentials. */
static bool renew(struct slot *slot, const struct kt_http_answer *answer)
{
    struct rewriter *r = slot->rewriter;
    bool again = false;
    if (answer->outcome != KT_HTTP_UNAUTHORIZED || slot->tries > 2)
        return false;
    if (!kt_kube_renew(r->options->kube, answer, &again, &r->why))
        r->broken = true;
    return again;
}

/* All that were on their way may fail together: that is one time. */
static void note_away(struct rewriter *r, size_t at, uint64_t now)
{
    struct server *server = &r->servers[at];
    if (now < server->away_until_ns)
        return;
    server->away_until_ns = now + (AWAY_NS << (server->away < DOUBLINGS ? server->away : DOUBLINGS));
    server->away++;
}

/* The next in turn; the one that is soonest back where all are away. */
static size_t choose(struct rewriter *r, uint64_t now)
{
    size_t n = r->options->n_peers, best = r->turn++ % n;
    for (size_t i = 0; i < n && now < r->servers[best].away_until_ns; i++) {
        size_t next = (r->turn + i) % n;
        if (r->servers[next].away_until_ns < r->servers[best].away_until_ns)
            best = next;
    }
    return best;
}

static bool all_away(const struct rewriter *r, uint64_t now)
{
    for (size_t i = 0; i < r->options->n_peers; i++)
        if (now >= r->servers[i].away_until_ns)
            return false;
    return true;
}

static void note_server(struct slot *slot, const struct kt_http_answer *answer, uint64_t now)
{
    struct rewriter *r = slot->rewriter;
    if (answer->status == 0)
        note_away(r, slot->server, now);
    else
        r->servers[slot->server] = (struct server){.away = 0};
    if (answer->status > 0 && answer->outcome != KT_HTTP_TOO_MANY)
        kt_pace_answered(&r->pace, answer->elapsed_us, now);
    else if (answer->outcome == KT_HTTP_TOO_MANY || all_away(r, now))
        kt_pace_refused(&r->pace, answer->retry_after_s, now);
}

static void done(void *context, struct kt_http_answer *answer)
{
    struct slot *slot = context;
    struct rewriter *r = slot->rewriter;
    uint64_t now = kt_clock_monotonic_ns();
    char words[KT_REWRITER_WORDS] = "";
    r->in_flight--;
    note_server(slot, answer, now);
    size_t *good = answer->outcome == KT_HTTP_OK          ? &r->result.rewritten
                   : answer->outcome == KT_HTTP_NOT_FOUND ? &r->result.gone
                   : answer->outcome == KT_HTTP_CONFLICT  ? &r->result.conflicts
                                                          : NULL;
    if (good && (good == &r->result.rewritten || !r->options->strict)) {
        (*good)++;
        end(slot, true);
        return;
    }
    kt_http_answer_words(answer, words, sizeof(words));
    if (words[0] == '\0')
        (void)snprintf(words, sizeof(words), "%s", kt_http_outcome_text(answer->outcome));
    unsigned tries = tries_of(answer, words);
    if (renew(slot, answer) || slot->tries < tries) {
        try_again(slot, now);
        return;
    }
    bool transient = kt_http_outcome_is_transient(answer->outcome);
    note_failure(r, slot->index, transient && !r->options->strict, words);
    end(slot, !transient);
}

/* ---- requests ---- */

/* One that failed elsewhere goes to the next server. */
static bool send_slot(struct slot *slot, struct kt_error *err)
{
    struct rewriter *r = slot->rewriter;
    const struct kt_rewriter_options *options = r->options;
    char path[KT_API_PATH_MAX], words[KT_REWRITER_WORDS] = "";
    if (!options->path(options->context, slot->index, path, words)) {
        note_failure(r, slot->index, false, words);
        end(slot, true);
        return true;
    }
    slot->server = choose(r, kt_clock_monotonic_ns());
    const struct kt_http_request request = {.peer = options->peers[slot->server],
                                            .method = "PATCH",
                                            .path = path,
                                            .accept = KT_KUBE_METADATA,
                                            .content_type = KT_KUBE_MERGE_PATCH,
                                            .body = kt_slice_str("{}"),
                                            .timeout_ms = options->timeout_ms,
                                            .answer_max = KT_HTTP_ANSWER_MAX,
                                            .discard = true,
                                            .done = done,
                                            .context = slot};
    slot->tries++;
    r->in_flight++;
    kt_pace_started(&r->pace, kt_clock_monotonic_ns());
    if (kt_kube_add(options->kube, &request, err))
        return true;
    r->in_flight--;
    return false;
}

static struct slot *due_slot(struct rewriter *r, uint64_t now)
{
    for (size_t i = 0; r->waiting > 0 && i < KT_ARRAY_LEN(r->slots); i++) {
        struct slot *slot = &r->slots[i];
        if (!slot->used || !slot->waits || slot->due_ns > now)
            continue;
        slot->waits = false;
        r->waiting--;
        return slot;
    }
    return NULL;
}

static struct slot *new_slot(struct rewriter *r)
{
    for (size_t i = 0; r->next < r->options->n && i < KT_ARRAY_LEN(r->slots); i++) {
        struct slot *slot = &r->slots[i];
        if (slot->used)
            continue;
        *slot = (struct slot){.rewriter = r, .index = r->next++, .used = true};
        return slot;
    }
    return NULL;
}

static bool fill(struct rewriter *r, struct kt_error *err)
{
    uint64_t now = kt_clock_monotonic_ns();
    while (kt_pace_may_start(&r->pace, r->in_flight, now)) {
        struct slot *slot = due_slot(r, now);
        slot = slot ? slot : new_slot(r);
        if (!slot)
            return true;
        if (!send_slot(slot, err))
            return false;
    }
    return true;
}

static bool is_stopped(const struct rewriter *r)
{
    const struct kt_rewriter_options *options = r->options;
    return (options->stop && *options->stop) || kt_clock_monotonic_ns() - r->ended_ns > options->stall_ns;
}

static void tell(const struct rewriter *r)
{
    const struct kt_rewriter_result *result = &r->result;
    const struct kt_rewriter_progress progress = {
        .n = r->options->n,
        .ended = result->rewritten + result->gone + result->conflicts + result->failed + result->transient,
        .failed = result->failed + result->transient,
        .in_flight = r->in_flight,
        .window = r->pace.window,
    };
    if (r->options->progress)
        r->options->progress(r->options->context, &progress);
}

/* Until something may be done: an answer, or the time for the next request. */
static bool wait(struct rewriter *r, struct kt_error *err)
{
    uint64_t now = kt_clock_monotonic_ns(), until = now + TICK_NS, pace = kt_pace_until(&r->pace, now);
    if (pace > now && pace < until && r->in_flight < r->pace.window)
        until = pace;
    if (r->in_flight > 0)
        return kt_http_drive(kt_kube_http(r->options->kube), until, err);
    (void)poll(NULL, 0, (int)((until - now) / NS_PER_MS) + 1);
    return true;
}

static bool loop(struct rewriter *r, struct kt_error *err)
{
    while (r->next < r->options->n || r->in_flight > 0 || r->waiting > 0) {
        r->result.stopped = r->result.stopped || is_stopped(r);
        if (r->result.stopped && r->in_flight == 0)
            return true;
        if ((!r->result.stopped && !fill(r, err)) || !wait(r, err))
            return false;
        if (r->broken)
            return kt_error_copy(err, &r->why);
        tell(r);
    }
    return true;
}

bool kt_rewriter_run(const struct kt_rewriter_options *options, struct kt_rewriter_result *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct rewriter *r = calloc(1, sizeof(*r));
    uint64_t begun = kt_clock_monotonic_ns();
    unsigned most = options->concurrency < KT_HTTP_IN_FLIGHT_MAX ? options->concurrency : KT_HTTP_IN_FLIGHT_MAX;
    KT_CLEANUP(kt_free_p) struct server *servers = calloc(options->n_peers, sizeof(*servers));
    if (r)
        r->result.failures = calloc(KT_REWRITER_FAILURES_MAX, sizeof(*r->result.failures));
    if (!r || !servers || !r->result.failures) {
        if (r)
            kt_rewriter_result_done(&r->result);
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    }
    r->servers = servers;
    r->options = options;
    r->ended_ns = begun;
    kt_pace_init(&r->pace, most, options->max_rate, begun);
    bool ended = loop(r, err);
    kt_http_cancel(kt_kube_http(options->kube));
    r->result.elapsed_ns = kt_clock_monotonic_ns() - begun;
    r->result.window = r->pace.best;
    if (!ended) {
        kt_rewriter_result_done(&r->result);
        return false;
    }
    *ret = r->result;
    return true;
}
