/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/event.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPONENT   "secrets-reencrypt"
#define PATH        "/api/v1/namespaces/default/events"
#define ANSWER_MAX  ((size_t)1 << 20)
#define MESSAGE_MAX 1000u

/* Cut between characters. */
static json_t *message_of(const struct kt_event *event)
{
    size_t len = strlen(event->message);
    if (len > MESSAGE_MAX)
        for (len = MESSAGE_MAX; len > 0 && ((unsigned char)event->message[len] & 0xc0u) == 0x80u;)
            len--;
    return json_stringn(event->message, len);
}

static json_t *body_of(const struct kt_event *event)
{
    char name[80];
    char at[KT_TIME_LEN];
    bool warning = strcmp(event->reason, KT_EVENT_ERROR) == 0;
    (void)snprintf(name, sizeof(name), "%.63s.", event->node);
    kt_time_format(event->now, at);
    return json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:s,s:s,s:s,s:s},s:s,s:o,s:s,s:{s:s,s:s},s:s,s:s,s:i,s:s}", "apiVersion",
                     "v1", "kind", "Event", "metadata", "generateName", name, "namespace", "default", "involvedObject",
                     "apiVersion", "v1", "kind", "Node", "name", event->node, "uid", event->node, "reason",
                     event->reason, "message", message_of(event), "type", warning ? "Warning" : "Normal", "source",
                     "component", COMPONENT, "host", event->node, "firstTimestamp", at, "lastTimestamp", at, "count", 1,
                     "reportingComponent", COMPONENT);
}

bool kt_event_post(const struct kt_kube_way *way, const struct kt_event *event, struct kt_error *err)
{
    KT_CLEANUP(kt_json_free_p) json_t *body = body_of(event);
    KT_CLEANUP(kt_free_p) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    KT_CLEANUP(kt_http_answer_done) struct kt_http_answer answer = {.outcome = KT_HTTP_OK};
    const struct kt_http_request request = {.peer = way->peer,
                                            .method = "POST",
                                            .path = PATH,
                                            .accept = KT_KUBE_METADATA,
                                            .content_type = "application/json",
                                            .body = text ? kt_slice_str(text) : KT_SLICE(NULL, 0),
                                            .timeout_ms = way->timeout_ms,
                                            .answer_max = ANSWER_MAX};
    if (!text)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    return kt_kube_call(way->kube, &request, &answer, err) &&
           (answer.outcome == KT_HTTP_OK || kt_http_answer_fail(&answer, err));
}
