/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/http.h"

#include "base/clock.h"
#include "cluster/http_transfer.h"
#include "cluster/wiped_heap.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define NS_PER_MS UINT64_C(1000000)

struct kt_http {
    CURLM *multi;
    struct kt_http_transfer *in_flight;
    size_t n_in_flight;
    struct kt_http_transfer *idle; /* easy handles to use again */
};

static bool fail_multi(CURLMcode code, struct kt_error *err)
{
    return kt_fail(err, code == CURLM_OUT_OF_MEMORY ? KT_E_NOMEM : KT_E_INTERNAL, "libcurl: %s",
                   curl_multi_strerror(code));
}

struct kt_http *kt_http_new(struct kt_error *err)
{
    if (!kt_wiped_heap_use(err))
        return NULL;
    struct kt_http *http = calloc(1, sizeof(*http));
    if (http)
        http->multi = curl_multi_init();
    if (!http || !http->multi) {
        free(http);
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    (void)curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    (void)curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)KT_HTTP_CONNECTIONS_MAX);
    (void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)KT_HTTP_CONNECTIONS_MAX);
    return http;
}

static void free_all(struct kt_http_transfer *list)
{
    while (list) {
        struct kt_http_transfer *next = list->next;
        kt_http_transfer_free(list);
        list = next;
    }
}

void kt_http_cancel(struct kt_http *http)
{
    for (struct kt_http_transfer *t = http->in_flight; t; t = t->next)
        (void)curl_multi_remove_handle(http->multi, t->easy);
    free_all(http->in_flight);
    http->in_flight = NULL;
    http->n_in_flight = 0;
}

void kt_http_free(struct kt_http *http)
{
    if (!http)
        return;
    kt_http_cancel(http);
    free_all(http->idle);
    (void)curl_multi_cleanup(http->multi);
    free(http);
}

size_t kt_http_in_flight(const struct kt_http *http)
{
    return http->n_in_flight;
}

static struct kt_http_transfer *get_transfer(struct kt_http *http)
{
    struct kt_http_transfer *t = http->idle;

    if (!t)
        return kt_http_transfer_new();
    http->idle = t->next;
    t->next = NULL;
    return t;
}

static void recycle(struct kt_http *http, struct kt_http_transfer *t)
{
    kt_http_transfer_clear(t);
    t->next = http->idle;
    http->idle = t;
}

bool kt_http_add(struct kt_http *http, const struct kt_http_request *request, struct kt_error *err)
{
    if (http->n_in_flight >= KT_HTTP_IN_FLIGHT_MAX)
        return kt_fail(err, KT_E_BUSY, "expected at most %u requests at once, found more", KT_HTTP_IN_FLIGHT_MAX);
    struct kt_http_transfer *t = get_transfer(http);
    if (!t)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    CURLcode code = kt_http_transfer_set(t, request);
    if (code != CURLE_OK) {
        recycle(http, t);
        return kt_fail(err, code == CURLE_OUT_OF_MEMORY ? KT_E_NOMEM : KT_E_INTERNAL, "%s %s: libcurl: %s",
                       request->method, request->peer->url.origin, curl_easy_strerror(code));
    }
    CURLMcode added = curl_multi_add_handle(http->multi, t->easy);
    if (added != CURLM_OK) {
        recycle(http, t);
        return fail_multi(added, err);
    }
    t->next = http->in_flight;
    http->in_flight = t;
    http->n_in_flight++;
    return true;
}

static void unlink_transfer(struct kt_http *http, const struct kt_http_transfer *t)
{
    struct kt_http_transfer **link = &http->in_flight;

    while (*link && *link != t)
        link = &(*link)->next;
    if (!*link)
        return;
    *link = t->next;
    http->n_in_flight--;
}

static void end(struct kt_http *http, struct kt_http_transfer *t, CURLcode code)
{
    kt_http_transfer_end(t, code);
    if (t->answer.status != 0)
        t->request.peer->answered_ns = kt_clock_monotonic_ns();
    (void)curl_multi_remove_handle(http->multi, t->easy);
    unlink_transfer(http, t);
    t->request.done(t->request.context, &t->answer);
    recycle(http, t);
}

static size_t end_finished(struct kt_http *http)
{
    size_t n = 0;
    int left = 0;

    for (CURLMsg *m = curl_multi_info_read(http->multi, &left); m; m = curl_multi_info_read(http->multi, &left)) {
        struct kt_http_transfer *t = NULL;
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t) != CURLE_OK ||
            !t)
            continue;
        end(http, t, code);
        n++;
    }
    return n;
}

/* Over HTTP/2 libcurl would keep the connection, and send it the next request too. */
static void cut_if_dead(const struct kt_http_transfer *t)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    if (t->request.peer->answered_ns >= t->begun_ns)
        return;
    (void)curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
    if (curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK && fd != CURL_SOCKET_BAD)
        (void)shutdown(fd, SHUT_RDWR);
}

static size_t end_late(struct kt_http *http, uint64_t now)
{
    size_t n = 0;

    for (struct kt_http_transfer *t = http->in_flight, *next; t; t = next) {
        next = t->next;
        if (now < t->deadline_ns)
            continue;
        cut_if_dead(t);
        snprintf(t->error, sizeof(t->error), "after %u ms", t->request.timeout_ms);
        end(http, t, CURLE_OPERATION_TIMEDOUT);
        n++;
    }
    return n;
}

static int wait_ms(const struct kt_http *http, uint64_t now, uint64_t until_ns)
{
    uint64_t until = until_ns;

    for (const struct kt_http_transfer *t = http->in_flight; t; t = t->next)
        if (t->deadline_ns < until)
            until = t->deadline_ns;
    uint64_t ms = until > now ? (until - now - 1) / NS_PER_MS + 1 : 0;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

bool kt_http_drive(struct kt_http *http, uint64_t until_ns, struct kt_error *err)
{
    while (http->in_flight) {
        int running = 0;
        CURLMcode code = curl_multi_perform(http->multi, &running);
        if (code != CURLM_OK)
            return fail_multi(code, err);
        uint64_t now = kt_clock_monotonic_ns();
        size_t ended = end_finished(http);
        ended += end_late(http, now);
        if (ended > 0 || now >= until_ns)
            return true;
        code = curl_multi_poll(http->multi, NULL, 0, wait_ms(http, now, until_ns), NULL);
        if (code != CURLM_OK)
            return fail_multi(code, err);
    }
    return true;
}

struct call {
    struct kt_http_answer answer;
    bool ended;
};

static void take_answer(void *context, struct kt_http_answer *answer)
{
    struct call *call = context;

    call->answer = *answer;
    answer->body = (struct kt_bytes){.data = NULL};
    call->ended = true;
}

static void drop(struct kt_http *http, const void *context)
{
    for (struct kt_http_transfer *t = http->in_flight; t; t = t->next) {
        if (t->request.context != context)
            continue;
        (void)curl_multi_remove_handle(http->multi, t->easy);
        unlink_transfer(http, t);
        recycle(http, t);
        return;
    }
}

bool kt_http_call(struct kt_http *http, const struct kt_http_request *request, struct kt_http_answer *ret,
                  struct kt_error *err)
{
    struct call call = {.ended = false};
    struct kt_http_request ours = *request;

    ours.done = take_answer;
    ours.context = &call;
    if (!kt_http_add(http, &ours, err))
        return false;
    while (!call.ended) {
        if (!kt_http_drive(http, UINT64_MAX, err)) {
            drop(http, &call);
            return false;
        }
    }
    *ret = call.answer;
    return true;
}
