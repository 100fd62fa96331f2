/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the API has objects of a kind: /api/v1/namespaces/NAMESPACE/secrets/NAME. The version is the one that the API
 * prefers, or another that has the kind (discovery: /apis/GROUP and /apis/GROUP/VERSION, meta/v1 APIGroup and
 * APIResourceList). Asked once for each group.
 */
#pragma once

#include "cluster/kube.h"

#define KT_API_PATH_MAX 2048u

struct kt_api_kind {
    char base[384]; /* "/apis/apps/v1" */
    char resource[256];
    bool namespaced;
    bool patched; /* it may be */
};

struct kt_api_kinds;
/* way outlives it. */
struct kt_api_kinds *kt_api_kinds_new(const struct kt_kube_way *way, struct kt_error *err) KT_MUST_CHECK;
void kt_api_kinds_free(struct kt_api_kinds *kinds);
KT_DEFINE_CLEANUP(struct kt_api_kinds *, kt_api_kinds_free);

/* *ret is NULL where the API has no such kind. Lives as long as kinds. Fails where it cannot be asked. No other
 * requests may be on their way. */
bool kt_api_kinds_find(struct kt_api_kinds *kinds, const char *group, const char *resource,
                       const struct kt_api_kind **ret, struct kt_error *err) KT_MUST_CHECK;

/* All kinds of a group that may be patched ("": the core group; NULL: of all groups), of the preferred version of each;
 * false from visit ends it. */
typedef bool kt_api_kind_visit(void *context, const char *group, const struct kt_api_kind *kind, struct kt_error *err);
bool kt_api_kinds_all(struct kt_api_kinds *kinds, const char *group, kt_api_kind_visit *visit, void *context,
                      struct kt_error *err) KT_MUST_CHECK;

/* Names are percent-encoded (RFC 3986). namespace "": none. False if it does not fit. */
bool kt_api_kind_path(const struct kt_api_kind *kind, const char *namespace, const char *name,
                      char ret[KT_API_PATH_MAX]) KT_MUST_CHECK;
