/* SPDX-License-Identifier: Apache-2.0 */
/* Each server is asked for its version (which settles the name of its certificate), then for its readiness and the KMS
 * providers' health, which makes it ask the plugin, and then for its metrics; all servers at the same time. */
#include "base/clock.h"
#include "cluster/apiservers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX    6u
#define STATUS_MAX   ((size_t)256 * 1024)
#define NS_PER_MS    UINT64_C(1000000)
#define CLUSTER_NAME "kubernetes.default.svc"

struct probe {
    struct kt_kube *kube;
    struct kt_apiserver *server;
    uint64_t deadline_ns;
    const char *names[NAMES_MAX]; /* that its certificate may have, in the order in which they are tried */
    size_t n_names;
    size_t name;
    bool is_renewed; /* credentials were made anew once */
    struct kt_metrics_parser parser;
    struct kt_error failed; /* something else than the server; ends all */
};

static unsigned left_ms(const struct probe *probe)
{
    uint64_t now = kt_clock_monotonic_ns();

    return now < probe->deadline_ns ? (unsigned)((probe->deadline_ns - now) / NS_PER_MS) + 1 : 1;
}

static void fail_server(struct probe *probe, const struct kt_http_answer *answer)
{
    if (probe->server->state != KT_APISERVER_ASKED)
        return;
    probe->server->state = KT_APISERVER_UNREACHABLE;
    (void)kt_http_answer_fail(answer, &probe->server->why);
}

static void add(struct probe *probe, const char *path, const char *accept, kt_http_done *done, kt_http_take *take)
{
    const struct kt_http_request request = {
        .peer = &probe->server->peer,
        .method = "GET",
        .path = path,
        .accept = accept,
        .timeout_ms = left_ms(probe),
        .answer_max = take ? KT_HTTP_ANSWER_MAX : STATUS_MAX,
        .take = take,
        .done = done,
        .context = probe,
    };

    if (probe->failed.code == KT_OK && !kt_kube_add(probe->kube, &request, &probe->failed))
        probe->server->state = KT_APISERVER_UNREACHABLE;
}

static bool take_metrics(void *context, struct kt_slice piece)
{
    struct probe *probe = context;

    kt_metrics_feed(&probe->parser, piece);
    return true;
}

static void end_metrics(void *context, struct kt_http_answer *answer)
{
    struct probe *probe = context;
    struct kt_apiserver *server = probe->server;
    struct kt_error why = KT_ERROR_INIT;

    if (answer->status == 0)
        fail_server(probe, answer);
    if (answer->outcome == KT_HTTP_OK)
        server->has_metrics = kt_metrics_end(&probe->parser, &why);
    else
        (void)kt_http_answer_fail(answer, &why);
    snprintf(server->metrics_words, sizeof(server->metrics_words), "%s", why.message);
    if (!server->has_metrics)
        memset(&server->metrics, 0, sizeof(server->metrics));
}

static enum kt_verdict judge(const struct kt_http_answer *answer)
{
    switch (answer->outcome) {
    case KT_HTTP_OK:
        return KT_VERDICT_GOOD;
    case KT_HTTP_SERVER:
        return KT_VERDICT_BAD;
    case KT_HTTP_NOT_FOUND:
        return KT_VERDICT_ABSENT;
    default:
        return KT_VERDICT_UNKNOWN;
    }
}

static void end_kms(void *context, struct kt_http_answer *answer)
{
    struct probe *probe = context;
    struct kt_apiserver *server = probe->server;

    server->kms = judge(answer);
    if (server->kms == KT_VERDICT_BAD || server->kms == KT_VERDICT_UNKNOWN)
        kt_http_answer_words(answer, server->kms_words, sizeof(server->kms_words));
    if (answer->status == 0) {
        fail_server(probe, answer);
        return;
    }
    kt_metrics_begin(&probe->parser, &server->metrics);
    add(probe, "/metrics", "text/plain", end_metrics, take_metrics);
}

/* Of "[+]ping ok\n[-]etcd failed: reason withheld\n...": the lines of what fails, on one. */
static void take_failed_checks(const struct kt_http_answer *answer, char *ret, size_t cap)
{
    const char *text = answer->body.data ? (const char *)answer->body.data : "";
    size_t len = 0;

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n' ? 1 : 0;
        int n = (int)strcspn(line, "\n");
        if (strncmp(line, "[-]", 3) != 0 || n > 200)
            continue;
        int put = snprintf(ret + len, cap - len, "%s%.*s", len > 0 ? ", " : "", n - 3, line + 3);
        len += put > 0 ? (size_t)put : 0;
        if (len >= cap)
            return;
    }
    if (len == 0)
        kt_http_answer_words(answer, ret, cap);
}

static void end_ready(void *context, struct kt_http_answer *answer)
{
    struct probe *probe = context;
    struct kt_apiserver *server = probe->server;

    server->ready = judge(answer);
    if (server->ready == KT_VERDICT_BAD)
        take_failed_checks(answer, server->ready_words, sizeof(server->ready_words));
    else if (server->ready == KT_VERDICT_UNKNOWN)
        kt_http_answer_words(answer, server->ready_words, sizeof(server->ready_words));
    if (answer->status == 0)
        fail_server(probe, answer);
}

static void take_version(struct kt_apiserver *server, const struct kt_http_answer *answer)
{
    json_t *document =
        answer->body.data ? json_loadb((const char *)answer->body.data, answer->body.len, 0, NULL) : NULL;
    const char *text = kt_kube_text(document, "gitVersion");

    if (text && strlen(text) < sizeof(server->version))
        memcpy(server->version, text, strlen(text) + 1);
    json_decref(document);
}

static void begin(struct probe *probe);

/* Another name, or other credentials: once more from the beginning. */
static bool may_try_again(struct probe *probe, const struct kt_http_answer *answer)
{
    bool is_new = false;

    if (answer->outcome == KT_HTTP_TLS_NAME && probe->name + 1 < probe->n_names) {
        probe->name++;
        return true;
    }
    if (answer->outcome != KT_HTTP_UNAUTHORIZED || probe->is_renewed)
        return false;
    probe->is_renewed = true;
    return kt_kube_renew(probe->kube, answer, &is_new, &probe->failed) && is_new;
}

static void end_version(void *context, struct kt_http_answer *answer)
{
    struct probe *probe = context;

    if (may_try_again(probe, answer)) {
        begin(probe);
        return;
    }
    probe->server->state = KT_APISERVER_ASKED;
    if (answer->status == 0 || answer->outcome == KT_HTTP_UNAUTHORIZED) {
        fail_server(probe, answer);
        return;
    }
    if (answer->outcome == KT_HTTP_OK)
        take_version(probe->server, answer);
    add(probe, "/readyz", NULL, end_ready, NULL);
    add(probe, "/healthz/kms-providers", NULL, end_kms, NULL);
}

static void begin(struct probe *probe)
{
    struct kt_http_peer *peer = &probe->server->peer;

    snprintf(peer->server_name, sizeof(peer->server_name), "%s", probe->names[probe->name]);
    add(probe, "/version", "application/json", end_version, NULL);
}

static void add_name(struct probe *probe, const char *name)
{
    for (size_t i = 0; i < probe->n_names; i++)
        if (strcmp(probe->names[i], name) == 0)
            return;
    probe->names[probe->n_names++] = name;
}

/* apiservers.h says why a found server's address is not among them. */
static void set_names(struct probe *probe)
{
    const struct kt_kubeconfig *config = kt_kube_config(probe->kube);
    const struct kt_apiserver *server = probe->server;
    const char *trusted = config->tls_server_name[0] != '\0' ? config->tls_server_name : config->server.host;

    if (server->peer.server_name[0] != '\0')
        add_name(probe, server->peer.server_name); /* it was good before */
    if ((server->sources & KT_APISERVER_NAMED) != 0)
        add_name(probe, server->peer.url.host);
    if ((server->sources & KT_APISERVER_KUBECONFIG) != 0)
        add_name(probe, trusted);
    add_name(probe, CLUSTER_NAME);
    if (config->tls_server_name[0] != '\0' || !config->server.is_address)
        add_name(probe, trusted);
}

static void reset(struct kt_apiserver *server)
{
    server->state = KT_APISERVER_UNREACHABLE;
    kt_error_clear(&server->why);
    server->asked_s = kt_clock_real_s();
    server->version[0] = '\0';
    server->ready = KT_VERDICT_UNKNOWN;
    server->kms = KT_VERDICT_UNKNOWN;
    server->has_metrics = false;
    server->ready_words[0] = '\0';
    server->kms_words[0] = '\0';
    server->metrics_words[0] = '\0';
    memset(&server->metrics, 0, sizeof(server->metrics));
}

static bool run(struct kt_kube *kube, struct probe *probes, size_t n, struct kt_error *err)
{
    for (size_t i = 0; i < n; i++)
        begin(&probes[i]);
    while (kt_http_in_flight(kt_kube_http(kube)) > 0)
        if (!kt_http_drive(kt_kube_http(kube), UINT64_MAX, err)) {
            kt_http_cancel(kt_kube_http(kube));
            return false;
        }
    for (size_t i = 0; i < n; i++)
        if (probes[i].failed.code != KT_OK)
            return kt_error_copy(err, &probes[i].failed);
    return true;
}

bool kt_apiservers_ask(struct kt_kube *kube, struct kt_apiservers *servers, unsigned timeout_ms, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct probe *probes = calloc(KT_APISERVERS_MAX, sizeof(*probes));
    uint64_t deadline = kt_clock_monotonic_ns() + timeout_ms * NS_PER_MS;
    size_t n = 0;

    if (!probes)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < servers->n; i++) {
        struct kt_apiserver *server = &servers->list[i];
        if (server->address[0] == '\0')
            continue;
        struct probe *probe = &probes[n++];
        probe->kube = kube;
        probe->server = server;
        probe->deadline_ns = deadline;
        set_names(probe);
        reset(server);
    }
    return run(kube, probes, n, err);
}
