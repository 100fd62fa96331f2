/* SPDX-License-Identifier: Apache-2.0 */
#include "base/printable.h"
#include "kmsplugin/exporter.h"

#include <inttypes.h>
#include <string.h>

#ifndef KT_RELEASE
#define KT_RELEASE "unknown"
#endif

/* google.golang.org/grpc/codes, as kube-apiserver's metrics spell them. */
static const char *const grpc_codes[KT_GRPC_CODES] = {
    "OK",       "Canceled",        "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",   "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",      "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated",
};

static uint64_t get(const kt_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void head(struct kt_text *out, const char *name, const char *type, const char *help)
{
    kt_text_add(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(struct kt_text *out, const char *name, const char *type, const char *help, uint64_t value)
{
    head(out, name, type, help);
    kt_text_add(out, "%s %" PRIu64 "\n", name, value);
}

static void requests(const struct kt_front_page *front, struct kt_text *out)
{
    head(out, "keyturn_requests_total", "counter", "KMS v2 calls answered, by method and gRPC code.");
    for (size_t method = 0; method < KT_METHOD_COUNT; method++) {
        for (size_t code = 0; code < KT_GRPC_CODES; code++) {
            uint64_t n = get(&front->calls[method][code]);
            if (n > 0 || code == 0)
                kt_text_add(out, "keyturn_requests_total{method=\"%s\",code=\"%s\"} %" PRIu64 "\n",
                            kt_method_text((enum kt_method)method), grpc_codes[code], n);
        }
    }
}

/* Cumulative, as the format wants them; the sum of the buckets read here is the count, so that they always agree. */
static void durations_of(const struct kt_front_page *front, enum kt_method method, struct kt_text *out)
{
    const char *name = "keyturn_request_duration_seconds";
    const char *text = kt_method_text(method);
    uint64_t total = 0;
    for (size_t i = 0; i < KT_LATENCY_BUCKETS; i++) {
        total += get(&front->latency[method][i]);
        if (i < KT_LATENCY_BUCKETS - 1)
            kt_text_add(out, "%s_bucket{method=\"%s\",le=\"%g\"} %" PRIu64 "\n", name, text,
                        (double)kt_latency_bounds_us[i] / 1e6, total);
    }
    kt_text_add(out, "%s_bucket{method=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name, text, total);
    kt_text_add(out, "%s_sum{method=\"%s\"} %.6f\n", name, text, (double)get(&front->latency_sum_us[method]) / 1e6);
    kt_text_add(out, "%s_count{method=\"%s\"} %" PRIu64 "\n", name, text, total);
}

static void durations(const struct kt_front_page *front, struct kt_text *out)
{
    head(out, "keyturn_request_duration_seconds", "histogram", "Time from a call's arrival to its answer.");
    for (size_t method = 0; method < KT_METHOD_COUNT; method++)
        durations_of(front, (enum kt_method)method, out);
}

/* The text format escapes three characters in a label's value; a key's name has no line end. What is not UTF-8, which
 * nothing but a keeper gone bad can have written, would make the whole page unreadable. */
static void put_label(struct kt_text *out, const char *value, size_t max)
{
    char text[KT_KEY_NAME_MAX + 1] = "";
    memcpy(text, value, strnlen(value, max < sizeof(text) ? max : sizeof(text) - 1));
    kt_text_add(out, "\"");
    const char *rest = KT_PRINTABLE(text);
    for (size_t n = strcspn(rest, "\"\\"); rest[n] != '\0'; n = strcspn(rest, "\"\\")) {
        kt_text_add(out, "%.*s\\%c", (int)n, rest, rest[n]);
        rest += n + 1;
    }
    kt_text_add(out, "%s\"", rest);
}

static void key_labels(const struct kt_keeper_key *key, struct kt_text *out)
{
    kt_text_add(out, "{key_id=");
    put_label(out, key->id, KT_KEY_ID_LEN);
    kt_text_add(out, ",name=");
    put_label(out, key->name, KT_KEY_NAME_MAX);
    kt_text_add(out, ",type=\"%s\",state=\"%s\"}", kt_key_type_text((enum kt_key_type)key->type),
                key->superseded ? "superseded" : kt_key_state_text((enum kt_key_state)key->state));
}

static uint64_t key_age(const struct kt_keeper_key *key, uint64_t now)
{
    return now > key->created ? now - key->created : 0;
}

static uint64_t key_created(const struct kt_keeper_key *key, uint64_t now)
{
    (void)now;
    return key->created;
}

static uint64_t key_encryptions(const struct kt_keeper_key *key, uint64_t now)
{
    (void)now;
    return key->encryptions;
}

static uint64_t key_encrypts(const struct kt_keeper_key *key, uint64_t now)
{
    (void)now;
    return key->encrypts;
}

static uint64_t key_selftest(const struct kt_keeper_key *key, uint64_t now)
{
    (void)now;
    return key->selftest_ok;
}

static const struct {
    const char *name;
    const char *type;
    const char *help;
    uint64_t (*value)(const struct kt_keeper_key *key, uint64_t now);
    bool kms_only;
} key_metrics[] = {
    {"keyturn_key_age_seconds", "gauge", "Age of each loaded key.", key_age, false},
    {"keyturn_key_created_timestamp_seconds", "gauge", "When each loaded key was made.", key_created, false},
    {"keyturn_key_encrypts", "gauge", "1 for the key that wraps new seeds.", key_encrypts, false},
    {"keyturn_key_encryptions", "gauge", "Encryptions behind each key, an upper bound; the limit is 2^32.",
     key_encryptions, true},
    {"keyturn_key_selftest_ok", "gauge", "1 if the last self-test unwrapped with this key.", key_selftest, true},
};

static void keys(const struct kt_keeper_page *page, uint64_t now, struct kt_text *out)
{
    size_t n = page->n_keys < KT_ARRAY_LEN(page->keys) ? page->n_keys : KT_ARRAY_LEN(page->keys);
    for (size_t i = 0; i < KT_ARRAY_LEN(key_metrics); i++) {
        head(out, key_metrics[i].name, key_metrics[i].type, key_metrics[i].help);
        for (size_t j = 0; j < n; j++) {
            if (key_metrics[i].kms_only && page->keys[j].type != KT_KEY_KMS)
                continue;
            kt_text_add(out, "%s", key_metrics[i].name);
            key_labels(&page->keys[j], out);
            kt_text_add(out, " %" PRIu64 "\n", key_metrics[i].value(&page->keys[j], now));
        }
    }
}

static bool healthy(const struct kt_keeper_page *page)
{
    return strcmp(page->healthz, "ok") == 0;
}

static void keyring(const struct kt_keeper_page *page, uint64_t now, struct kt_text *out)
{
    single(out, "keyturn_healthy", "gauge", "1 if KMS v2 Status answers ok.", healthy(page));
    single(out, "keyturn_keyring_loaded", "gauge", "1 if a keyring is open.", page->loaded);
    single(out, "keyturn_keyring_membership", "gauge", "Membership of the keyring that is served; 0: none.",
           page->membership);
    single(out, "keyturn_keyring_generation", "gauge", "Generation of the keyring that is served; 0: none.",
           page->generation);
    single(out, "keyturn_keyring_below_floor", "gauge", "1 if it is older than one that this node had: decrypt only.",
           page->below_floor);
    single(out, "keyturn_kms_idle", "gauge", "1 if there is no key of type kms, so that nothing has to be served.",
           page->idle);
    single(out, "keyturn_keyring_disk_ok", "gauge", "1 if the keyring on disk opened through this node's recipient.",
           page->disk_tested && page->disk_ok);
    single(out, "keyturn_keyring_disk_timestamp_seconds", "gauge", "When that was last tried; 0: never.",
           page->disk_time);
    single(out, "keyturn_selftest_timestamp_seconds", "gauge", "When the keys were last tested; 0: never.",
           page->selftest_time);
    keys(page, now, out);
}

static void operations(const struct kt_keeper_page *page, struct kt_text *out)
{
    head(out, "keyturn_keeper_operations_total", "counter", "What the keeper did for the front.");
    kt_text_add(out, "keyturn_keeper_operations_total{operation=\"wrap\"} %" PRIu64 "\n", get(&page->wraps));
    kt_text_add(out, "keyturn_keeper_operations_total{operation=\"unwrap\"} %" PRIu64 "\n", get(&page->unwraps));
    single(out, "keyturn_keeper_failures_total", "counter", "Wraps and unwraps that the keeper refused.",
           get(&page->failures));
    single(out, "keyturn_selftests_total", "counter", "Self-tests of single keys.", get(&page->selftests));
    single(out, "keyturn_selftest_failures_total", "counter", "Those that failed.", get(&page->selftest_failures));
    head(out, "keyturn_offers_total", "counter", "Keyrings offered over the control socket.");
    kt_text_add(out, "keyturn_offers_total{result=\"installed\"} %" PRIu64 "\n", get(&page->offers_installed));
    kt_text_add(out, "keyturn_offers_total{result=\"refused\"} %" PRIu64 "\n", get(&page->offers_refused));
}

static void peers(const struct kt_pages *pages, struct kt_text *out)
{
    head(out, "keyturn_peers_refused_total", "counter", "Callers that were closed unheard, for their uid and gids.");
    kt_text_add(out, "keyturn_peers_refused_total{socket=\"kms\"} %" PRIu64 "\n", get(&pages->front->peers_refused));
    kt_text_add(out, "keyturn_peers_refused_total{socket=\"control\"} %" PRIu64 "\n",
                get(&pages->keeper->control_peers_refused));
    single(out, "keyturn_peers_accepted_total", "counter", "Callers taken on the KMS socket.",
           get(&pages->front->peers_accepted));
    single(out, "keyturn_connections_full_seconds_total", "counter",
           "Seconds in which callers waited because kms.maxConnections were connected.",
           get(&pages->front->seconds_full));
    single(out, "keyturn_connections", "gauge", "Open connections on the KMS socket.", get(&pages->front->connections));
}

static void processes(const struct kt_supervisor_page *page, struct kt_text *out)
{
    head(out, "keyturn_process_up", "gauge", "1 if the process runs.");
    for (size_t i = KT_ROLE_SUPERVISOR; i < KT_ROLE_OPENER; i++)
        kt_text_add(out, "keyturn_process_up{process=\"%s\"} %d\n", kt_role_text((enum kt_role)i),
                    get(&page->processes[i].pid) != 0);
    head(out, "keyturn_process_restarts_total", "counter", "How often the process was started again.");
    for (size_t i = KT_ROLE_FRONT; i < KT_ROLE_OPENER; i++)
        kt_text_add(out, "keyturn_process_restarts_total{process=\"%s\"} %" PRIu64 "\n", kt_role_text((enum kt_role)i),
                    get(&page->processes[i].restarts));
    single(out, "keyturn_opener_starts_total", "counter", "Openers started.", get(&page->opener_starts));
    single(out, "keyturn_opener_timeouts_total", "counter", "Openers killed at their deadline.",
           get(&page->opener_timeouts));
    single(out, "keyturn_config_reloads_total", "counter", "Configurations read again.", get(&page->reloads));
    single(out, "keyturn_config_reload_failures_total", "counter", "Those that were refused.",
           get(&page->reload_failures));
    single(out, "keyturn_start_timestamp_seconds", "gauge", "When keyturnd was started.", get(&page->started));
}

/* Pages hold enum kt_memory_lock + 1. */
static void memory(const struct kt_pages *pages, struct kt_text *out)
{
    const uint64_t all = 1;
    head(out, "keyturn_memory_locked", "gauge", "1 if all memory of the process is locked, 0 if only its secrets are.");
    kt_text_add(out, "keyturn_memory_locked{process=\"front\"} %d\n", get(&pages->front->memory_locked) == all);
    kt_text_add(out, "keyturn_memory_locked{process=\"keeper\"} %d\n", get(&pages->keeper->memory_locked) == all);
}

void kt_metrics_format(const struct kt_pages *pages, uint64_t now, struct kt_text *out)
{
    KT_CLEANUP(kt_free_p) struct kt_keeper_page *page = calloc(1, sizeof(*page));
    if (!page) {
        out->bad = true;
        return;
    }
    if (!kt_keeper_page_read(pages->keeper, page))
        memset((void *)page, 0, sizeof(*page));
    head(out, "keyturn_build_info", "gauge", "The release.");
    kt_text_add(out, "keyturn_build_info{version=\"%s\"} 1\n", KT_RELEASE);
    requests(pages->front, out);
    durations(pages->front, out);
    keyring(page, now, out);
    operations(pages->keeper, out);
    peers(pages, out);
    processes(pages->supervisor, out);
    memory(pages, out);
}

bool kt_metrics_ready(const struct kt_pages *pages, char *ret_text, size_t size)
{
    KT_CLEANUP(kt_free_p) struct kt_keeper_page *page = calloc(1, sizeof(*page));
    const char *text = "ok";
    if (get(&pages->supervisor->processes[KT_ROLE_FRONT].pid) == 0)
        text = "the front is not running";
    else if (get(&pages->supervisor->processes[KT_ROLE_KEEPER].pid) == 0)
        text = "the keeper is not running";
    else if (!page || !kt_keeper_page_read(pages->keeper, page))
        text = "the keeper's page cannot be read";
    else if (!healthy(page) && !page->idle)
        text = page->healthz[0] ? page->healthz : "the keeper is starting";
    (void)snprintf(ret_text, size, "%s", text);
    return strcmp(text, "ok") == 0;
}
