/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of all objects of a kind, as the API lists them: metadata alone, in pages. The list may come from a cache:
 * it proves nothing about what is stored (facts: kube-apiserver §5d).
 */
#pragma once

#include "cluster/api_kinds.h"

/* False ends the list; then *err is filled. namespace "": the kind has none. */
typedef bool kt_api_visit(void *context, const char *namespace, const char *name, struct kt_error *err);

/* An object that comes or goes meanwhile may be in it or not. A list that the server no longer keeps (410) is begun
 * again: an object may be visited twice. */
bool kt_api_list(const struct kt_kube_way *way, const struct kt_api_kind *kind, kt_api_visit *visit, void *context,
                 struct kt_error *err) KT_MUST_CHECK;
