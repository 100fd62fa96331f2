/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the cluster that a kubeconfig names: requests with its credentials, to its server or to API servers that
 * are addressed one by one. Credentials are made when first needed and made anew when they have run out (token files
 * once a minute, exec plugins by their expirationTimestamp) or were not accepted (401).
 */
#pragma once

#include "cluster/http.h"
#include "cluster/kubeconfig.h"

#include <jansson.h>

#define KT_KUBE_JSON_MAX ((size_t)16 << 20)
/* Metadata alone: no data leaves the server, but annotations do (they may hold some), so such answers are dropped
 * unread where nothing in them is needed. */
#define KT_KUBE_METADATA      "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
#define KT_KUBE_METADATA_LIST "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
#define KT_KUBE_MERGE_PATCH   "application/merge-patch+json"

struct kt_kube;
struct kt_kube *kt_kube_open(const struct kt_kubeconfig_options *options, struct kt_error *err) KT_MUST_CHECK;
void kt_kube_free(struct kt_kube *kube);
KT_DEFINE_CLEANUP(struct kt_kube *, kt_kube_free);

const struct kt_kubeconfig *kt_kube_config(const struct kt_kube *kube);
/* For kt_http_drive and kt_http_in_flight. */
struct kt_http *kt_kube_http(struct kt_kube *kube);
/* The kubeconfig's own server, which may be a load balancer. */
struct kt_http_peer *kt_kube_peer(struct kt_kube *kube);

/* As kt_http_add; sets request->peer->identity. Makes credentials first where there are none or they have run out,
 * which may take as long as an exec plugin does. */
bool kt_kube_add(struct kt_kube *kube, const struct kt_http_request *request, struct kt_error *err) KT_MUST_CHECK;
/* As kt_http_call. What is answered with 401 is asked once more with new credentials. */
bool kt_kube_call(struct kt_kube *kube, const struct kt_http_request *request, struct kt_http_answer *ret,
                  struct kt_error *err) KT_MUST_CHECK;
/* For the caller of kt_kube_add whose answer was 401: *ret says whether asking again may help. Requests that were on
 * their way together need one renewal only. */
bool kt_kube_renew(struct kt_kube *kube, const struct kt_http_answer *refused, bool *ret,
                   struct kt_error *err) KT_MUST_CHECK;

/* Through which server, and for how long at most. */
struct kt_kube_way {
    struct kt_kube *kube;
    struct kt_http_peer *peer;
    unsigned timeout_ms;
};

/* GET of a JSON document, KT_KUBE_JSON_MAX at most. *ret_document is NULL without success: see *ret. The caller frees
 * both (json_decref, kt_http_answer_done). Success with something else than JSON is an answer with outcome PROTOCOL. */
bool kt_kube_get(const struct kt_kube_way *way, const char *path, json_t **ret_document, struct kt_http_answer *ret,
                 struct kt_error *err) KT_MUST_CHECK;

/* A text inside nested objects: kt_kube_text(object, "metadata", "name"). NULL where it is not there. */
#define kt_kube_text(object, ...) kt_kube_text_at((object), (const char *const[]){__VA_ARGS__, NULL})
const char *kt_kube_text_at(const json_t *object, const char *const *keys);
static inline void kt_json_free_p(json_t **value)
{
    json_decref(*value);
}
#define KT_CLEANUP_JSON KT_CLEANUP(kt_json_free_p)
