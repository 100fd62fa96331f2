/* SPDX-License-Identifier: Apache-2.0 */
/* Who we are at the moment, from a kubeconfig's user. For kube.c. */
#pragma once

#include "cluster/http.h"
#include "cluster/kubeconfig.h"

/* What is used, and what was used and may still be in requests on their way. */
struct kt_kube_identities {
    struct kt_http_identity *current;
    struct kt_http_identity **old;
    size_t n_old;
    uint64_t made_ns;   /* CLOCK_MONOTONIC */
    uint64_t expires_s; /* of current; 0: never, as far as we know */
};
#define KT_KUBE_IDENTITIES_MAX 64u

void kt_kube_identities_done(struct kt_kube_identities *identities);
/* Makes the current one where there is none, where it has run out or where force says so. in_flight: old ones may be in
 * use; without, they are freed. KT_E_BUSY where KT_KUBE_IDENTITIES_MAX are. */
bool kt_kube_identities_refresh(struct kt_kube_identities *identities, const struct kt_kubeconfig *config, bool force,
                                bool in_flight, struct kt_error *err) KT_MUST_CHECK;
/* May a new one differ from the last: is there a token file or an exec plugin? */
bool kt_kube_identities_can_change(const struct kt_kubeconfig *config);
