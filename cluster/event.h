/* SPDX-License-Identifier: Apache-2.0 */
/* Events on a Node (core/v1), in the namespace default and with the component and reasons that k3s' re-encryption has
 * (facts: secrets-encrypt §1.11), for those who wait for them. */
#pragma once

#include "cluster/kube.h"

#define KT_EVENT_PROGRESS "SecretsProgress"
#define KT_EVENT_COMPLETE "SecretsUpdateComplete"
#define KT_EVENT_ERROR    "SecretsUpdateError" /* a Warning */

struct kt_event {
    const char *node;
    const char *reason;  /* KT_EVENT_ */
    const char *message; /* UTF-8; cut after 1,000 bytes, as the API server has it at most 1,024 */
    uint64_t now;        /* s since the epoch */
};
/* No requests may be on their way. Fails where the API server did not take it. */
bool kt_event_post(const struct kt_kube_way *way, const struct kt_event *event, struct kt_error *err) KT_MUST_CHECK;
