/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/kube.h"

#include "base/clock.h"
#include "cluster/kube_identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kt_kube {
    struct kt_http *http;
    struct kt_kubeconfig *config;
    struct kt_kube_identities identities;
    struct kt_http_peer peer;
};

struct kt_kube *kt_kube_open(const struct kt_kubeconfig_options *options, struct kt_error *err)
{
    KT_CLEANUP(kt_kube_free_p) struct kt_kube *kube = calloc(1, sizeof(*kube));

    if (!kube) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    kube->config = kt_kubeconfig_load(options, err);
    if (!kube->config)
        return NULL;
    kube->http = kt_http_new(err);
    if (!kube->http)
        return NULL;
    kube->peer.url = kube->config->server;
    snprintf(kube->peer.server_name, sizeof(kube->peer.server_name), "%s", kube->config->tls_server_name);
    return KT_TAKE_PTR(kube);
}

/* Requests on their way still point to identities: http goes first. */
void kt_kube_free(struct kt_kube *kube)
{
    if (!kube)
        return;
    kt_http_free(kube->http);
    kt_kube_identities_done(&kube->identities);
    kt_kubeconfig_free(kube->config);
    free(kube);
}

const struct kt_kubeconfig *kt_kube_config(const struct kt_kube *kube)
{
    return kube->config;
}

struct kt_http *kt_kube_http(struct kt_kube *kube)
{
    return kube->http;
}

struct kt_http_peer *kt_kube_peer(struct kt_kube *kube)
{
    return &kube->peer;
}

static bool refresh(struct kt_kube *kube, bool force, struct kt_error *err)
{
    return kt_kube_identities_refresh(&kube->identities, kube->config, force, kt_http_in_flight(kube->http) > 0, err);
}

bool kt_kube_add(struct kt_kube *kube, const struct kt_http_request *request, struct kt_error *err)
{
    if (!refresh(kube, false, err))
        return false;
    request->peer->identity = kube->identities.current;
    return kt_http_add(kube->http, request, err);
}

bool kt_kube_renew(struct kt_kube *kube, const struct kt_http_answer *refused, bool *ret, struct kt_error *err)
{
    uint64_t asked_ns = kt_clock_monotonic_ns() - refused->elapsed_us * 1000;

    *ret = kt_kube_identities_can_change(kube->config);
    if (!*ret || kube->identities.made_ns > asked_ns)
        return true;
    return refresh(kube, true, err);
}

static bool call(struct kt_kube *kube, const struct kt_http_request *request, struct kt_http_answer *ret,
                 struct kt_error *err)
{
    if (!refresh(kube, false, err))
        return false;
    request->peer->identity = kube->identities.current;
    return kt_http_call(kube->http, request, ret, err);
}

bool kt_kube_call(struct kt_kube *kube, const struct kt_http_request *request, struct kt_http_answer *ret,
                  struct kt_error *err)
{
    KT_CLEANUP_ANSWER struct kt_http_answer answer = {.status = 0};
    bool again = false;

    if (!call(kube, request, &answer, err))
        return false;
    if (answer.outcome == KT_HTTP_UNAUTHORIZED && !kt_kube_renew(kube, &answer, &again, err))
        return false;
    if (again) {
        kt_http_answer_done(&answer);
        if (!call(kube, request, &answer, err))
            return false;
    }
    *ret = answer;
    answer.body = (struct kt_bytes){.data = NULL};
    return true;
}

bool kt_kube_get(const struct kt_kube_way *way, const char *path, json_t **ret_document, struct kt_http_answer *ret,
                 struct kt_error *err)
{
    const struct kt_http_request request = {
        .peer = way->peer,
        .method = "GET",
        .path = path,
        .accept = "application/json",
        .timeout_ms = way->timeout_ms,
        .answer_max = KT_KUBE_JSON_MAX,
    };
    json_t *document = NULL;

    if (!kt_kube_call(way->kube, &request, ret, err))
        return false;
    if (ret->outcome == KT_HTTP_OK) {
        document = ret->body.data ? json_loadb((const char *)ret->body.data, ret->body.len, 0, NULL) : NULL;
        if (!document) {
            ret->outcome = KT_HTTP_PROTOCOL;
            snprintf(ret->detail, sizeof(ret->detail), "expected JSON, found something else");
        }
    }
    *ret_document = document;
    return true;
}

const char *kt_kube_text_at(const json_t *object, const char *const *keys)
{
    for (; *keys; keys++)
        object = json_object_get(object, *keys);
    return json_string_value(object);
}
