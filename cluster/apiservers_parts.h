/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of finding API servers; for apiservers.c and tests. */
#pragma once

#include "cluster/apiservers.h"

struct kt_apiserver_lease {
    char name[KT_APISERVER_ID_MAX];
    char host[KT_HTTP_HOST_MAX];
    struct kt_http_url url; /* by its annotation */
    bool has_url;
    uint64_t renewed_s;
    bool is_matched;
};

struct kt_apiserver_leases {
    size_t n;
    struct kt_apiserver_lease list[KT_APISERVERS_MAX];
};

/* Adds a server at that URL, or a source to the one that is there already. KT_E_BUSY: more than KT_APISERVERS_MAX. */
bool kt_apiservers_add(struct kt_apiservers *servers, const struct kt_http_url *url, enum kt_apiserver_source source,
                       struct kt_error *err) KT_MUST_CHECK;
/* Of an EndpointSliceList and a LeaseList. now_s: Leases that ran out before it are passed over. What has not the form
 * that it should is passed over too. */
bool kt_apiservers_take_slices(struct kt_apiservers *servers, const json_t *list, struct kt_error *err) KT_MUST_CHECK;
bool kt_apiservers_take_leases(struct kt_apiserver_leases *leases, const json_t *list, uint64_t now_s,
                               struct kt_error *err) KT_MUST_CHECK;
/* After all were asked: gives them their ids, makes one of several that are the same process, and adds what only has a
 * Lease. */
bool kt_apiservers_match(struct kt_apiservers *servers, struct kt_apiserver_leases *leases,
                         const struct kt_apiservers_options *options, struct kt_error *err) KT_MUST_CHECK;
