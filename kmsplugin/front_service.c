/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/front_service.h"

#include "base/clock.h"
#include "base/log.h"
#include "kmsplugin/front_call.h"
#include "kmsplugin/front_keeper.h"
#include "kmsplugin/front_methods.h"

#include <errno.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

#define MS               UINT64_C(1000000)
#define SECOND           (1000 * MS)
#define DEADLINE_DEFAULT (30 * SECOND)
/* So long a caller of Status waits for a keeper that is away before it hears so, or two thirds of its time: a keeper
 * that installs a keyring on a slow disk is busy for more than a second, and kube-apiserver waits for three. The others
 * hear it so long before their deadline, for words that come after it are lost. */
#define STATUS_PATIENCE (2 * SECOND)
#define MARGIN          (200 * MS)
/* And no call waits for longer, whatever deadline it has: it would take a place and, after its caller has gone, be sent
 * to each next keeper. */
#define PATIENCE (10 * SECOND)
/* Calls of each method that core may hand over at once; each that comes posts the next, so this bounds nothing. */
#define POSTED           8u
#define KEEPALIVE_MS     20000
#define KEEPALIVE_END_MS 10000
#define IDLE_MS          600000 /* kube-apiserver calls each minute at the least */

struct kt_service {
    struct kt_service_options options;
    grpc_server *server;
    grpc_completion_queue *queue;
    grpc_server_credentials *credentials;
    void *registered[KT_METHOD_COUNT];
    struct kt_link *link;
    struct kt_call_pool pool;
    struct kt_scratch scratch;
    struct kt_front_known known;
    pthread_t thread;
    bool running;
    int done_fd;
    atomic_bool draining;
    atomic_bool cancelled;
    atomic_size_t open;          /* calls that were taken and are not answered in full */
    _Atomic uint64_t away_since; /* the keeper; 0: it is there, or was not yet */
};

static const char *const paths[] = {
    [KT_METHOD_STATUS] = "/v2.KeyManagementService/Status",
    [KT_METHOD_ENCRYPT] = "/v2.KeyManagementService/Encrypt",
    [KT_METHOD_DECRYPT] = "/v2.KeyManagementService/Decrypt",
};

/* ---- calls ---- */

static void post(struct kt_service *s, enum kt_method method)
{
    struct kt_call *call = kt_call_take(&s->pool, method);
    if (!call)
        return;
    kt_call_hand_over(call);
    grpc_call_error rc =
        method == KT_METHOD_OTHER
            ? grpc_server_request_call(s->server, &call->call, &call->details, &call->metadata, s->queue, s->queue,
                                       call)
            : grpc_server_request_registered_call(s->server, s->registered[method], &call->call, &call->deadline,
                                                  &call->metadata, &call->payload, s->queue, s->queue, call);
    if (rc != GRPC_CALL_OK)
        kt_call_give_back(&s->pool, call);
}

/* Drained is the first moment without an open call. */
static void call_over(struct kt_service *s, struct kt_call *call)
{
    kt_call_give_back(&s->pool, call);
    if (atomic_fetch_sub(&s->open, 1) == 1 && atomic_load(&s->draining))
        (void)eventfd_write(s->done_fd, 1);
}

static void reply(struct kt_service *s, struct kt_call *call, const struct kt_front_reply *what)
{
    struct kt_front_page *page = s->options.page;
    kt_count(&page->calls[call->method][(unsigned)what->status < KT_GRPC_CODES ? (unsigned)what->status : 2u]);
    kt_count_latency(page, call->method, (kt_clock_monotonic_ns() - call->arrived_ns) / 1000);
    if (!kt_call_reply(call, what))
        call_over(s, call);
}

static void refuse(struct kt_service *s, struct kt_call *call, grpc_status_code status, const char *text)
{
    struct kt_front_reply what;
    kt_front_refuse(&what, status, "%s", text);
    reply(s, call, &what);
}

static void on_answer(void *context, void *data, const struct kt_keeper_answer *answer)
{
    struct kt_service *s = context;
    struct kt_call *call = data;
    struct kt_front_reply what;
    kt_front_encode(call->method, answer, &s->known, &what);
    reply(s, call, &what);
    explicit_bzero(what.body, what.len);
}

static const char *state_of_keeper(const struct kt_service *s, enum kt_link_end why)
{
    if (why == KT_LINK_LOST)
        return "ended twice over this call";
    return kt_link_connected(s->link) ? "does not answer" : "is restarting";
}

static void on_gave_up(void *context, void *data, enum kt_link_end why)
{
    struct kt_service *s = context;
    struct kt_call *call = data;
    struct kt_front_reply what;
    char words[KT_HEALTHZ_MAX];
    uint64_t restarts =
        atomic_load_explicit(&s->options.supervisor->processes[KT_ROLE_KEEPER].restarts, memory_order_relaxed);
    if (atomic_load(&s->cancelled))
        (void)snprintf(words, sizeof(words), "keyturnd is stopping");
    else
        (void)snprintf(words, sizeof(words),
                       "the process that holds the keys %s (%llu restarts); see journalctl -u keyturnd",
                       state_of_keeper(s, why), (unsigned long long)restarts);
    if (why == KT_LINK_LOST)
        kt_log(KT_LOG_ERROR, "keeper-ended-twice-over-a-call", KT_TEXT("method", kt_method_text(call->method)));
    kt_front_encode_away(call->method, words, &s->known, &what);
    reply(s, call, &what);
}

static void on_changed(void *context, bool connected)
{
    struct kt_service *s = context;
    uint64_t now = kt_clock_monotonic_ns();
    if (connected) {
        uint64_t since = atomic_exchange(&s->away_since, 0);
        kt_count(&s->options.page->keeper_connects);
        kt_log(KT_LOG_INFO, "keeper-connected", KT_NUM("away_ms", since ? (now - since) / MS : 0),
               KT_NUM("waiting", kt_link_waiting(s->link)));
    } else if (!atomic_load(&s->draining)) {
        atomic_store(&s->away_since, now);
        kt_log(KT_LOG_WARNING, "keeper-away", KT_NUM("waiting", kt_link_waiting(s->link)));
    }
}

/* When to stop waiting for the keeper, so that what happened can still be said in time. */
static uint64_t give_up_at(const struct kt_call *call)
{
    uint64_t left = call->deadline_ns - call->arrived_ns;
    if (call->method == KT_METHOD_STATUS)
        return call->arrived_ns + (left / 3 * 2 < STATUS_PATIENCE ? left / 3 * 2 : STATUS_PATIENCE);
    uint64_t patience = left - (left / 4 < MARGIN ? left / 4 : MARGIN);
    return call->arrived_ns + (patience < PATIENCE ? patience : PATIENCE);
}

static void ask_keeper(struct kt_service *s, struct kt_call *call)
{
    struct kt_front_reply refusal;
    struct kt_call_message message;
    struct kt_pending *pending = kt_link_take(s->link);
    if (!pending) {
        refuse(s, call, GRPC_STATUS_RESOURCE_EXHAUSTED,
               "too many calls are waiting for the process that holds the keys");
        return;
    }
    kt_call_message_open(call, &message);
    bool good = kt_front_decode(call->method, message.bytes, &s->scratch, &pending->request, &refusal);
    kt_call_message_close(call, &message);
    if (!good) {
        kt_link_cancel(s->link, pending);
        reply(s, call, &refusal);
        return;
    }
    pending->call = call;
    pending->give_up_ns = give_up_at(call);
    kt_link_submit(s->link, pending);
}

/* The next is posted first: the caller must find a slot, however long this one takes. */
static void on_request(struct kt_service *s, struct kt_call *call, bool ok)
{
    if (!ok) {
        kt_call_give_back(&s->pool, call);
        return;
    }
    post(s, call->method);
    atomic_fetch_add(&s->open, 1);
    kt_call_forget_metadata(call);
    call->arrived_ns = kt_clock_monotonic_ns();
    call->deadline_ns = kt_call_deadline(call, DEADLINE_DEFAULT);
    if (atomic_load_explicit(&s->cancelled, memory_order_relaxed))
        refuse(s, call, GRPC_STATUS_UNAVAILABLE, "keyturnd is stopping; call again");
    else if (call->method == KT_METHOD_OTHER)
        refuse(s, call, GRPC_STATUS_UNIMPLEMENTED, "unknown method; this is v2.KeyManagementService");
    else if (call->deadline_ns <= call->arrived_ns)
        refuse(s, call, GRPC_STATUS_DEADLINE_EXCEEDED, "the deadline passed before the call was looked at");
    else if (!call->payload)
        refuse(s, call, GRPC_STATUS_INVALID_ARGUMENT, "the call has no message");
    else
        ask_keeper(s, call);
}

/* ---- the thread ---- */

static void on_event(struct kt_service *s, const grpc_event *event)
{
    struct kt_call *call = event->tag;
    kt_call_take_back(call);
    if (call->state == KT_CALL_POSTED)
        on_request(s, call, event->success != 0);
    else
        call_over(s, call);
}

static gpr_timespec wake_up_at(const struct kt_service *s, bool first)
{
    uint64_t interval = kt_link_interval_ns(s->link);
    if (kt_link_waiting(s->link) == 0)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (!first || interval == 0)
        return gpr_inf_past(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos((int64_t)interval, GPR_TIMESPAN));
}

/* All that is there, up to a batch; sleeps only when nobody waits for the keeper. */
static void take_events(struct kt_service *s)
{
    for (unsigned i = 0; i < KT_KEEPER_BATCH; i++) {
        grpc_event event = grpc_completion_queue_next(s->queue, wake_up_at(s, i == 0), NULL);
        if (event.type != GRPC_OP_COMPLETE)
            return;
        on_event(s, &event);
    }
}

static void *serve(void *data)
{
    struct kt_service *s = data;
    (void)pthread_setname_np(pthread_self(), "calls");
    for (;;) {
        take_events(s);
        kt_link_flush(s->link);
        if (kt_link_waiting(s->link) == 0)
            continue;
        kt_link_receive(s->link);
        kt_link_expire(s->link, atomic_load(&s->cancelled) ? UINT64_MAX : kt_clock_monotonic_ns());
    }
    return NULL;
}

/* ---- for the main thread ---- */

static grpc_arg number_arg(const char *name, uint32_t value)
{
    grpc_arg arg = {.type = GRPC_ARG_INTEGER, .value.integer = value > INT_MAX ? INT_MAX : (int)value};
    memcpy(&arg.key, &name, sizeof(arg.key));
    return arg;
}

/* A peer that neither closes nor answers pings is gone after half a minute, one that makes no call after ten. Core
 * sends two pings at most to one that sends no data, unless told otherwise. */
static grpc_server *make_server(const struct kt_service_options *options)
{
    grpc_arg args[] = {
        number_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, options->request_bytes),
        number_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, options->streams),
        number_arg(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS),
        number_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_END_MS),
        number_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        number_arg(GRPC_ARG_MAX_CONNECTION_IDLE_MS, IDLE_MS),
        number_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        number_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
        number_arg(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0), /* of answers: we never do, and each call would pay */
    };
    const grpc_channel_args all = {.num_args = KT_ARRAY_LEN(args), .args = args};
    return grpc_server_create(&all, NULL);
}

static bool start_server(struct kt_service *s, struct kt_error *err)
{
    s->server = make_server(&s->options);
    s->queue = grpc_completion_queue_create_for_next(NULL);
    s->credentials = grpc_insecure_server_credentials_create();
    if (!s->server || !s->queue || !s->credentials)
        return kt_fail(err, KT_E_INTERNAL, "the gRPC library makes no server");
    grpc_server_register_completion_queue(s->server, s->queue, NULL);
    for (size_t i = 0; i < KT_ARRAY_LEN(paths); i++) {
        s->registered[i] =
            grpc_server_register_method(s->server, paths[i], NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
        if (!s->registered[i])
            return kt_fail(err, KT_E_INTERNAL, "the gRPC library does not take method %s", paths[i]);
    }
    grpc_server_start(s->server);
    for (unsigned i = 0; i < KT_METHOD_COUNT * POSTED; i++)
        post(s, i % KT_METHOD_COUNT);
    return true;
}

static bool start_thread(struct kt_service *s, struct kt_error *err)
{
    int rc = pthread_create(&s->thread, NULL, serve, s);
    if (rc != 0) {
        errno = rc;
        return kt_fail_errno(err, KT_E_INTERNAL, "cannot start a thread");
    }
    return true;
}

static bool start(struct kt_service *s, struct kt_error *err)
{
    const struct kt_link_sink sink = {
        .context = s, .answered = on_answer, .gave_up = on_gave_up, .changed = on_changed};
    s->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->done_fd < 0)
        return kt_fail_errno(err, KT_E_IO, "eventfd");
    s->link = kt_link_new(&sink, err);
    return s->link && kt_scratch_init(&s->scratch, kt_front_scratch_size(s->options.request_bytes), err) &&
           start_server(s, err) && start_thread(s, err);
}

/* A front that is started while there is no keeper can name the key_id all the same, and so say in healthz why it
 * cannot serve. Once only, before the first answer: a keeper publishes a new key before it answers with it, so what
 * stands in the page now is never older than what a front before us said; from here on the keeper's own answers count.
 */
static void learn_key_id(struct kt_service *s)
{
    if (s->options.keeper && !kt_keeper_page_key_id(s->options.keeper, s->known.key_id))
        s->known.key_id[0] = 0;
}

/* On failure the process ends; core's objects are left to that. */
struct kt_service *kt_service_new(const struct kt_service_options *options, struct kt_error *err)
{
    struct kt_service *s = calloc(1, sizeof(*s));
    if (!s) {
        (void)kt_fail(err, KT_E_NOMEM, "no memory for the server");
        return NULL;
    }
    s->options = *options;
    learn_key_id(s);
    if (!start(s, err)) {
        free(s);
        return NULL;
    }
    return s;
}

void kt_service_admit(struct kt_service *s, int fd)
{
    grpc_server_add_channel_from_fd(s->server, fd, s->credentials);
}

void kt_service_keeper(struct kt_service *s, int fd)
{
    kt_link_offer(s->link, fd);
}

uint64_t kt_service_keeper_lost_ns(const struct kt_service *s)
{
    return atomic_load(&s->away_since);
}

void kt_service_drain(struct kt_service *s)
{
    if (!atomic_exchange(&s->draining, true) && atomic_load(&s->open) == 0)
        (void)eventfd_write(s->done_fd, 1);
}

void kt_service_cancel(struct kt_service *s)
{
    atomic_store(&s->cancelled, true);
}

int kt_service_done_fd(const struct kt_service *s)
{
    return s->done_fd;
}
