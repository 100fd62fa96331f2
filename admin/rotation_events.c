/* SPDX-License-Identifier: Apache-2.0 */
/* What is rewritten, as events on the Node, for those who wait for k3s'. */
#include "admin/rotation_run.h"
#include "base/clock.h"
#include "cluster/event.h"

#include <stdio.h>

#define ASK_MS 10000u

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

/* Not which and why: more people may read events than objects, and a webhook's words may have anything in them. */
static void post_left(const struct kt_rotation *rotation, size_t n)
{
    char message[128];
    (void)snprintf(message, sizeof(message), "failed to update %zu objects: keyturn reencrypt lists them", n);
    (void)!post(rotation, KT_EVENT_ERROR, message);
}

void kt_rotation_tell_pass(const struct kt_rotation *rotation)
{
    size_t n = json_array_size(rotation->left) + rotation->left_more;
    if (post_count(rotation, KT_EVENT_PROGRESS) && n > 0)
        post_left(rotation, n);
}

void kt_rotation_tell_end(const struct kt_rotation *rotation)
{
    if (rotation->n_rewritten > 0 && rotation->look->kube)
        (void)!post_count(rotation, KT_EVENT_COMPLETE);
}
