/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The room cluster/ as a command, for tests: what it says and finds, as JSON on standard output.
 *   kube_call [--kubeconfig F] [--context C] [--timeout MS] [--known ID=ADDRESS]... COMMAND
 *   get PATH...                              one after the other: an object on a line each
 *   flood N AT-ONCE PATH                     GETs whose answers are dropped: how many ended how
 *   find [URL]...                            every API server
 *   wait SECONDS PROVIDER KEY CONFIG [URL]   until all have that key_id hash and that configuration's hash ("-": any)
 *   canary write|remove KIND NAMESPACE [URL]...  through each server found
 * It sets itself up as keyturn does: an arena for OpenSSL, memory locked. Exit 0, or 1 with the error as JSON.
 */
#include "base/arena.h"
#include "base/harden.h"
#include "cluster/apiservers.h"
#include "cluster/canary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLOOD_KINDS 32u

struct options {
    struct kt_kubeconfig_options files;
    unsigned timeout_ms;
    struct kt_apiserver_known known[8];
    size_t n_known;
};

static void print(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(object);
}

static int fail(const struct kt_error *err)
{
    print(json_pack("{s:s, s:s, s:s}", "code", kt_code_name(err->code), "message", err->message, "hint", err->hint));
    return 1;
}

static json_t *answer_json(const struct kt_http_answer *answer)
{
    struct kt_error err = KT_ERROR_INIT;
    size_t used = 0;
    size_t peak = 0;
    char words[KT_APISERVER_WORDS];
    kt_arena_usage(&used, &peak);
    if (answer->outcome != KT_HTTP_OK)
        (void)kt_http_answer_fail(answer, &err);
    kt_http_answer_words(answer, words, sizeof(words));
    return json_pack("{s:s, s:i, s:i, s:b, s:I, s:s%, s:s, s:s, s:s, s:I, s:I}", "outcome",
                     kt_http_outcome_name(answer->outcome), "status", answer->status, "retryAfter",
                     answer->retry_after_s, "http2", answer->http2, "received", (json_int_t)answer->received, "body",
                     answer->body.data ? (const char *)answer->body.data : "", answer->body.len, "words", words,
                     "message", err.message, "hint", err.hint, "ms", (json_int_t)(answer->elapsed_us / 1000), "arena",
                     (json_int_t)peak);
}

static int get(struct kt_kube *kube, const struct options *options, char **paths)
{
    struct kt_error err = KT_ERROR_INIT;
    for (; *paths; paths++) {
        KT_CLEANUP_ANSWER struct kt_http_answer answer = {.status = 0};
        const struct kt_http_request request = {
            .peer = kt_kube_peer(kube),
            .method = "GET",
            .path = *paths,
            .timeout_ms = options->timeout_ms,
            .answer_max = 1 << 20,
        };
        if (!kt_kube_call(kube, &request, &answer, &err))
            return fail(&err);
        print(answer_json(&answer));
    }
    return 0;
}

static size_t ended[FLOOD_KINDS];
static json_t *last;

static void count(void *context, struct kt_http_answer *answer)
{
    (void)context;
    ended[answer->outcome]++;
    json_decref(last);
    last = answer_json(answer);
}

static int flood(struct kt_kube *kube, const struct options *options, char **words)
{
    struct kt_error err = KT_ERROR_INIT;
    size_t n = strtoul(words[0], NULL, 10);
    const size_t at_once = strtoul(words[1], NULL, 10);
    const struct kt_http_request request = {
        .peer = kt_kube_peer(kube),
        .method = "GET",
        .path = words[2],
        .timeout_ms = options->timeout_ms,
        .answer_max = 1 << 20,
        .discard = true,
        .done = count,
    };
    while (n > 0 || kt_http_in_flight(kt_kube_http(kube)) > 0) {
        for (; n > 0 && kt_http_in_flight(kt_kube_http(kube)) < at_once; n--)
            if (!kt_kube_add(kube, &request, &err))
                return fail(&err);
        if (!kt_http_drive(kt_kube_http(kube), UINT64_MAX, &err))
            return fail(&err);
    }
    json_t *kinds = json_object();
    for (unsigned i = 0; i < KT_HTTP_OUTCOME_COUNT; i++)
        if (ended[i] > 0)
            (void)json_object_set_new(kinds, kt_http_outcome_name((enum kt_http_outcome)i),
                                      json_integer((json_int_t)ended[i]));
    print(json_pack("{s:o, s:o}", "outcomes", kinds, "last", last));
    return 0;
}

static json_t *keys_json(const struct kt_metrics *metrics)
{
    json_t *keys = json_array();
    for (size_t i = 0; i < metrics->n_keys; i++) {
        const struct kt_metrics_key *key = &metrics->keys[i];
        (void)json_array_append_new(keys, json_pack("{s:s, s:s, s:f, s:f, s:f}", "provider", key->provider, "hash",
                                                    key->key_id_hash, "seenAt", key->seen_at, "writtenTotal",
                                                    key->written_total, "writtenAt", key->written_at));
    }
    return keys;
}

static json_t *reload_json(const struct kt_metrics_reload *reload)
{
    return reload->is_known ? json_pack("{s:f, s:f}", "total", reload->total, "at", reload->at) : json_null();
}

static json_t *server_json(const struct kt_apiserver *server)
{
    static const char *const STATES[] = {"NO_ADDRESS", "UNREACHABLE", "ASKED"};
    static const char *const VERDICTS[] = {"UNKNOWN", "GOOD", "BAD", "ABSENT"};
    const struct kt_metrics *metrics = &server->metrics;
    return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:o, s:o, s:o, s:s}",
                     "id", server->id, "address", server->address, "host", server->host, "sources", server->sources,
                     "state", STATES[server->state], "why", server->why.message, "hint", server->why.hint, "version",
                     server->version, "ready", VERDICTS[server->ready], "readyWords", server->ready_words, "kms",
                     VERDICTS[server->kms], "kmsWords", server->kms_words, "metrics", server->has_metrics,
                     "metricsWords", server->metrics_words, "configHash", metrics->config_hash, "reloadGood",
                     reload_json(&metrics->reload_good), "reloadBad", reload_json(&metrics->reload_bad), "keys",
                     keys_json(metrics), "serverName", server->peer.server_name);
}

static json_t *servers_json(const struct kt_apiservers *servers)
{
    json_t *list = json_array();
    for (size_t i = 0; i < servers->n; i++)
        (void)json_array_append_new(list, server_json(&servers->list[i]));
    return json_pack("{s:b, s:s, s:o}", "complete", servers->is_complete, "why", servers->why.message, "servers", list);
}

static struct kt_apiservers *discover(struct kt_kube *kube, const struct options *options, char **urls,
                                      struct kt_error *err)
{
    struct kt_apiservers_options find = {
        .urls = (const char *const *)(void *)urls,
        .known = options->known,
        .n_known = options->n_known,
        .timeout_ms = options->timeout_ms,
    };
    while (urls[find.n_urls])
        find.n_urls++;
    return kt_apiservers_find(kube, &find, err);
}

static int find(struct kt_kube *kube, const struct options *options, char **urls)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_free_p) struct kt_apiservers *servers = discover(kube, options, urls, &err);
    if (!servers)
        return fail(&err);
    print(servers_json(servers));
    return 0;
}

static const char *unless_any(const char *word)
{
    return strcmp(word, "-") == 0 ? NULL : word;
}

static int wait_for(struct kt_kube *kube, const struct options *options, char **words)
{
    struct kt_error err = KT_ERROR_INIT;
    bool met = false;
    const struct kt_apiservers_wait wait = {
        .timeout_s = (unsigned)strtoul(words[0], NULL, 10),
        .provider = words[1],
        .key_id_hash = unless_any(words[2]),
        .config_hash = unless_any(words[3]),
        .ask_timeout_ms = options->timeout_ms,
    };
    KT_CLEANUP(kt_free_p) struct kt_apiservers *servers = discover(kube, options, words + 4, &err);
    if (!servers || !kt_apiservers_wait(kube, servers, &wait, &met, &err))
        return fail(&err);
    json_t *result = servers_json(servers);
    (void)json_object_set_new(result, "met", json_boolean(met));
    print(result);
    return 0;
}

static bool touch(struct kt_kube *kube, const struct options *options, char **words, struct kt_apiserver *server,
                  struct kt_error *err)
{
    struct kt_canary canary;
    enum kt_canary_kind kind = strcmp(words[1], "configmap") == 0 ? KT_CANARY_CONFIGMAP : KT_CANARY_SECRET;
    if (!kt_canary_init(&canary, kind, words[2], server->id, err))
        return false;
    const struct kt_kube_way way = {.kube = kube, .peer = &server->peer, .timeout_ms = options->timeout_ms};
    bool removes = strcmp(words[0], "remove") == 0;
    if (removes ? !kt_canary_remove(&canary, &way, err) : !kt_canary_write(&canary, &way, err))
        return false;
    print(json_pack("{s:s, s:s, s:s, s:s}", "server", server->id, "key", canary.key, "resourceVersion",
                    canary.resource_version, "nonce", canary.nonce));
    return true;
}

static int canary(struct kt_kube *kube, const struct options *options, char **words)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_free_p) struct kt_apiservers *servers = discover(kube, options, words + 3, &err);
    if (!servers)
        return fail(&err);
    for (size_t i = 0; i < servers->n; i++)
        if (servers->list[i].state == KT_APISERVER_ASKED && !touch(kube, options, words, &servers->list[i], &err))
            return fail(&err);
    return 0;
}

static const struct {
    const char *name;
    int least; /* words behind it */
    int (*run)(struct kt_kube *kube, const struct options *options, char **words);
} COMMANDS[] = {{"get", 1, get}, {"flood", 3, flood}, {"find", 0, find}, {"wait", 4, wait_for}, {"canary", 3, canary}};

static bool take_known(struct options *options, char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || options->n_known == KT_ARRAY_LEN(options->known))
        return false;
    *equals = '\0';
    options->known[options->n_known++] = (struct kt_apiserver_known){.id = text, .address = equals + 1};
    return true;
}

/* How many words were options; -1: a wrong one. */
static int take_options(struct options *options, int argc, char **argv)
{
    int i = 1;
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        char *value = argv[i + 1];
        if (strcmp(argv[i], "--kubeconfig") == 0)
            options->files.kubeconfig = value;
        else if (strcmp(argv[i], "--context") == 0)
            options->files.context = value;
        else if (strcmp(argv[i], "--timeout") == 0)
            options->timeout_ms = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--known") != 0 || !take_known(options, value))
            return -1;
    }
    return i;
}

int main(int argc, char **argv)
{
    struct options options = {.timeout_ms = 20000};
    struct kt_error err = KT_ERROR_INIT;
    enum kt_memory_lock locked;
    int at = take_options(&options, argc, argv);
    if (!kt_harden_process(&err) || !kt_arena_install((size_t)4 << 20, &err) || !kt_harden_memory(&locked, &err))
        return fail(&err);
    for (size_t i = 0; at > 0 && at < argc && i < KT_ARRAY_LEN(COMMANDS); i++) {
        if (strcmp(argv[at], COMMANDS[i].name) != 0 || argc - at - 1 < COMMANDS[i].least)
            continue;
        KT_CLEANUP(kt_kube_free_p) struct kt_kube *kube = kt_kube_open(&options.files, &err);
        return kube ? COMMANDS[i].run(kube, &options, argv + at + 1) : fail(&err);
    }
    (void)kt_fail(&err, KT_E_USAGE, "kube_call [OPTION VALUE]... get|flood|find|wait|canary ...");
    return fail(&err);
}
