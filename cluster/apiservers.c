/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/apiservers.h"

#include "base/clock.h"
#include "cluster/apiservers_parts.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define SLICES                                      \
    "/apis/discovery.k8s.io/v1/namespaces/default/" \
    "endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes"
#define LEASES                                             \
    "/apis/coordination.k8s.io/v1/namespaces/kube-system/" \
    "leases?labelSelector=apiserver.kubernetes.io%2Fidentity%3Dkube-apiserver"
#define ROUND_NS  UINT64_C(2000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

static unsigned timeout_of(unsigned timeout_ms)
{
    return timeout_ms > 0 ? timeout_ms : KT_APISERVER_TIMEOUT;
}

static bool add_given(struct kt_apiservers *servers, const struct kt_apiservers_options *options, struct kt_error *err)
{
    struct kt_http_url url;

    for (size_t i = 0; i < options->n_urls; i++)
        if (!kt_http_url_parse(options->urls[i], "--api-server", &url, err) ||
            !kt_apiservers_add(servers, &url, KT_APISERVER_NAMED, err))
            return false;
    for (size_t i = 0; i < options->n_known; i++)
        if (options->known[i].address[0] != '\0' &&
            (!kt_http_url_parse(options->known[i].address, "a remembered API server", &url, err) ||
             !kt_apiservers_add(servers, &url, KT_APISERVER_KNOWN, err)))
            return false;
    return true;
}

/* A list that cannot be had only means that there may be more servers. */
static bool get_list(const struct kt_kube_way *way, struct kt_apiservers *servers, const char *path, json_t **ret,
                     struct kt_error *err)
{
    KT_CLEANUP_ANSWER struct kt_http_answer answer = {.status = 0};

    if (!kt_kube_get(way, path, ret, &answer, err))
        return false;
    if (!*ret && servers->is_complete) {
        servers->is_complete = false;
        (void)kt_http_answer_fail(&answer, &servers->why);
    }
    return true;
}

static bool add_found(const struct kt_kube_way *way, struct kt_apiservers *servers, struct kt_apiserver_leases *leases,
                      struct kt_error *err)
{
    KT_CLEANUP_JSON json_t *slices = NULL;
    KT_CLEANUP_JSON json_t *list = NULL;

    if (!get_list(way, servers, SLICES, &slices, err) || !kt_apiservers_take_slices(servers, slices, err) ||
        !get_list(way, servers, LEASES, &list, err) || !kt_apiservers_take_leases(leases, list, kt_clock_real_s(), err))
        return false;
    for (size_t i = 0; i < leases->n; i++)
        if (leases->list[i].has_url && !kt_apiservers_add(servers, &leases->list[i].url, KT_APISERVER_LEASE, err))
            return false;
    return kt_apiservers_add(servers, &way->peer->url, KT_APISERVER_KUBECONFIG, err);
}

static bool any_asked(const struct kt_apiservers *servers)
{
    for (size_t i = 0; i < servers->n; i++)
        if (servers->list[i].state == KT_APISERVER_ASKED)
            return true;
    return false;
}

struct kt_apiservers *kt_apiservers_find(struct kt_kube *kube, const struct kt_apiservers_options *options,
                                         struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_apiservers *servers = calloc(1, sizeof(*servers));
    KT_CLEANUP(kt_free_p) struct kt_apiserver_leases *leases = calloc(1, sizeof(*leases));
    const struct kt_kube_way way = {
        .kube = kube, .peer = kt_kube_peer(kube), .timeout_ms = timeout_of(options->timeout_ms)};

    if (!servers || !leases) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    servers->is_complete = true;
    if (!add_given(servers, options, err) || !add_found(&way, servers, leases, err) ||
        !kt_apiservers_ask(kube, servers, way.timeout_ms, err) || !kt_apiservers_match(servers, leases, options, err))
        return NULL;
    if (!servers->is_complete && !any_asked(servers)) {
        (void)kt_error_copy(err, &servers->why);
        return NULL;
    }
    return KT_TAKE_PTR(servers);
}

bool kt_apiserver_meets(const struct kt_apiserver *server, const struct kt_apiservers_wait *wait)
{
    if (server->state != KT_APISERVER_ASKED || !server->has_metrics)
        return false;
    if (wait->key_id_hash) {
        const struct kt_metrics_key *seen = kt_metrics_seen(&server->metrics, wait->provider);
        if (!seen || strcmp(seen->key_id_hash, wait->key_id_hash) != 0)
            return false;
    }
    return !wait->config_hash || strcmp(server->metrics.config_hash, wait->config_hash) == 0;
}

static bool all_meet(const struct kt_apiservers *servers, const struct kt_apiservers_wait *wait)
{
    for (size_t i = 0; i < servers->n; i++)
        if (!kt_apiserver_meets(&servers->list[i], wait))
            return false;
    return servers->n > 0;
}

/* The pace of the rounds, not a wait for anything. */
static void pause_until(uint64_t ns)
{
    uint64_t now = kt_clock_monotonic_ns();

    if (now < ns)
        (void)poll(NULL, 0, (int)((ns - now) / NS_PER_MS) + 1);
}

bool kt_apiservers_wait(struct kt_kube *kube, struct kt_apiservers *servers, const struct kt_apiservers_wait *wait,
                        bool *ret, struct kt_error *err)
{
    uint64_t deadline = kt_clock_monotonic_ns() + wait->timeout_s * NS_PER_S;

    for (;;) {
        uint64_t begun = kt_clock_monotonic_ns();
        if (!kt_apiservers_ask(kube, servers, timeout_of(wait->ask_timeout_ms), err))
            return false;
        *ret = all_meet(servers, wait);
        bool goes_on = !wait->watch || wait->watch(wait->context, servers);
        if (*ret || !goes_on || kt_clock_monotonic_ns() >= deadline)
            return true;
        pause_until(begun + ROUND_NS < deadline ? begun + ROUND_NS : deadline);
    }
}
