/* SPDX-License-Identifier: Apache-2.0 */
/* What is rewritten, as events on the Node, for those who wait for k3s'. */
#include "admin/rotation_run.h"
#include "base/clock.h"
#include "cluster/event.h"

#include <stdio.h>

#define EVENTS_OF_FAILURES 10u
#define ASK_MS             10000u

/* Not everybody may write them, and nothing depends on them: false, and no more are tried. */
static bool post(const struct kt_rotation *rotation, const char *reason, const char *message)
{
    const struct kt_kube_way way = {
        .kube = rotation->look->kube, .peer = kt_kube_peer(rotation->look->kube), .timeout_ms = ASK_MS};
    const struct kt_event event = {
        .node = rotation->job.config->node, .reason = reason, .message = message, .now = kt_clock_real_s()};
    struct kt_error ignored = KT_ERROR_INIT;
    return kt_event_post(&way, &event, &ignored);
}

static bool post_count(const struct kt_rotation *rotation, const char *reason)
{
    char message[64];
    (void)snprintf(message, sizeof(message), "reencrypted %zu objects", rotation->n_rewritten);
    return post(rotation, reason, message);
}

void kt_rotation_tell_pass(const struct kt_rotation *rotation)
{
    size_t n = json_array_size(rotation->left);
    bool posted = post_count(rotation, KT_EVENT_PROGRESS);
    for (size_t i = 0; posted && i < n && i < EVENTS_OF_FAILURES; i++) {
        const json_t *left = json_array_get(rotation->left, i);
        char message[1024];
        (void)snprintf(message, sizeof(message), "failed to update %s %s/%s: %s", kt_kube_text(left, "resource"),
                       kt_kube_text(left, "namespace"), kt_kube_text(left, "name"), kt_kube_text(left, "reason"));
        posted = post(rotation, KT_EVENT_ERROR, message);
    }
}

void kt_rotation_tell_end(const struct kt_rotation *rotation)
{
    if (rotation->n_rewritten > 0 && rotation->look->kube)
        (void)!post_count(rotation, KT_EVENT_COMPLETE);
}
