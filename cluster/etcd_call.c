/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/etcd_call.h"

#include "cluster/etcd_diagnose.h"
#include "cluster/etcd_refusal.h"
#include "proto/etcd.pb-c.h"

#include <ctype.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <string.h>

#define METHOD "/etcdserverpb.KV/Range"
/* An endpoint that drops what is sent to it is left for the next after this time, however long an answer may take; and
 * before the call's own time is up, for then there are words for it. */
#define CONNECT_MS  5000u
#define DIAGNOSE_MS 5000u
#define TARGET_MAX  (KT_ETCD_HOST_MAX + 64u)

/* ---- connections ---- */

/* gRPC takes a target for a URI, and what is special in one must be escaped in a path. */
static void socket_target(const char *path, char *ret, size_t cap)
{
    size_t len = (size_t)snprintf(ret, cap, "unix:");
    for (const char *c = path; *c && len + 4 < cap; c++) {
        bool plain = isalnum((unsigned char)*c) || strchr("/._-~", *c);
        len += (size_t)snprintf(ret + len, cap - len, plain ? "%c" : "%%%02X", (unsigned char)*c);
    }
}

static void make_target(const struct kt_etcd_endpoint *endpoint, char *ret, size_t cap)
{
    bool v6 = strchr(endpoint->host, ':') != NULL;
    if (endpoint->is_socket)
        socket_target(endpoint->path, ret, cap);
    else if (v6)
        (void)snprintf(ret, cap, "ipv6:%%5B%s%%5D:%s", endpoint->host, endpoint->port);
    else
        (void)snprintf(ret, cap, "%s%s:%s", endpoint->is_address ? "ipv4:" : "dns:///", endpoint->host, endpoint->port);
}

static grpc_arg int_arg(const char *key, size_t value)
{
    union {
        const char *in;
        char *out; /* gRPC has no const */
    } name = {.in = key};
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = name.out, .value.integer = (int)value};
}

static grpc_channel_credentials *make_credentials(const struct kt_etcd *etcd, bool tls)
{
    if (!tls)
        return grpc_insecure_credentials_create();
    if (!etcd->tls.key)
        return grpc_ssl_credentials_create((const char *)etcd->tls.ca.data, NULL, NULL, NULL);
    grpc_ssl_pem_key_cert_pair pair = {.private_key = (const char *)kt_secret_view(etcd->tls.key),
                                       .cert_chain = (const char *)etcd->tls.cert.data};
    return grpc_ssl_credentials_create((const char *)etcd->tls.ca.data, &pair, NULL, NULL);
}

static const char *name_of(const struct kt_etcd *etcd, const struct kt_etcd_endpoint *endpoint)
{
    return etcd->server_name[0] != '\0' ? etcd->server_name : endpoint->host;
}

static bool connect_current(struct kt_etcd *etcd, struct kt_error *err)
{
    const struct kt_etcd_endpoint *endpoint = &etcd->endpoints.items[etcd->current];
    char target[TARGET_MAX * 3];
    char name[KT_ETCD_HOST_MAX];
    unsigned most_ms = etcd->timeout_ms - etcd->timeout_ms / 4;
    unsigned connect_ms = most_ms < CONNECT_MS ? most_ms : CONNECT_MS;
    (void)snprintf(name, sizeof(name), "%s", name_of(etcd, endpoint));
    make_target(endpoint, target, sizeof(target));
    grpc_arg args[] = {
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, KT_ETCD_MESSAGE_MAX),
        int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, connect_ms),
        int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1), /* a new channel is a new connection */
        int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
        int_arg(GRPC_ARG_ENABLE_RETRIES, 0),
        int_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        {.type = GRPC_ARG_STRING,
         .key = (char[]){GRPC_SSL_TARGET_NAME_OVERRIDE_ARG},
         .value.string = name}, /* the last one: TLS alone */
    };
    const grpc_channel_args all = {.num_args = KT_ARRAY_LEN(args) - !endpoint->tls, .args = args};
    grpc_channel_credentials *credentials = make_credentials(etcd, endpoint->tls);
    if (!credentials)
        return kt_fail(err, KT_E_CONFIG, "%s: gRPC does not take the certificates", endpoint->url);
    etcd->channel = grpc_channel_create(target, credentials, &all);
    etcd->answered = false;
    grpc_channel_credentials_release(credentials);
    return true;
}

void kt_etcd_disconnect(struct kt_etcd *etcd)
{
    if (etcd->channel)
        grpc_channel_destroy(etcd->channel);
    etcd->channel = NULL;
}

/* ---- one call at one endpoint ---- */

struct call {
    grpc_call *call;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_byte_buffer *request;
    grpc_byte_buffer *answer;
    grpc_status_code status;
    grpc_slice details;
};

static void call_init(struct call *call, grpc_slice request)
{
    *call = (struct call){.details = grpc_empty_slice(), .status = GRPC_STATUS_UNKNOWN};
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    call->request = grpc_raw_byte_buffer_create(&request, 1);
}

static void call_done(struct call *call)
{
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_byte_buffer_destroy(call->request);
    if (call->answer)
        grpc_byte_buffer_destroy(call->answer);
    grpc_slice_unref(call->details);
    if (call->call)
        grpc_call_unref(call->call);
}

/* Fills call->status; false only for a mistake of ours. */
static bool run(struct kt_etcd *etcd, struct call *call, struct kt_error *err)
{
    const grpc_op ops[] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = call->request},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &call->initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->answer},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &call->trailing,
                                        .status = &call->status,
                                        .status_details = &call->details}},
    };
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(etcd->timeout_ms, GPR_TIMESPAN));
    call->call = grpc_channel_create_call(etcd->channel, NULL, GRPC_PROPAGATE_DEFAULTS, etcd->queue,
                                          grpc_slice_from_static_string(METHOD), NULL, deadline, NULL);
    if (grpc_call_start_batch(call->call, ops, KT_ARRAY_LEN(ops), call, NULL) != GRPC_CALL_OK)
        return kt_fail(err, KT_E_INTERNAL, "gRPC took no batch");
    (void)grpc_completion_queue_pluck(etcd->queue, call, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    return true;
}

void kt_etcd_message_done(struct kt_etcd_message *message)
{
    if (message->held)
        grpc_slice_unref(message->slice);
    message->held = false;
}

static bool take_message(struct call *call, struct kt_etcd_message *ret)
{
    grpc_byte_buffer_reader reader;
    if (!call->answer || !grpc_byte_buffer_reader_init(&reader, call->answer))
        return false;
    ret->slice = grpc_byte_buffer_reader_readall(&reader);
    ret->bytes = KT_SLICE(GRPC_SLICE_START_PTR(ret->slice), GRPC_SLICE_LENGTH(ret->slice));
    ret->held = true;
    grpc_byte_buffer_reader_destroy(&reader);
    return true;
}

/* ---- the endpoints, one after the other ---- */

/* A connection that had worked and failed in the middle is another thing than one that never did. */
static void ask_why(const struct kt_etcd *etcd, struct kt_error *cause)
{
    const struct kt_etcd_endpoint *endpoint = &etcd->endpoints.items[etcd->current];
    struct kt_error found = KT_ERROR_INIT;
    unsigned timeout_ms = etcd->timeout_ms < DIAGNOSE_MS ? etcd->timeout_ms : DIAGNOSE_MS;
    kt_etcd_diagnose(endpoint, &etcd->tls, name_of(etcd, endpoint), timeout_ms, &found);
    if (etcd->answered) {
        (void)kt_fail(cause, KT_E_UNREACHABLE, "the connection was cut%s%.300s",
                      found.code == KT_OK ? "" : ", and now: ", found.message);
        (void)kt_error_hint(cause, "%s", found.hint);
    } else if (found.code != KT_OK) {
        (void)kt_error_copy(cause, &found);
    }
}

enum tried { ANSWERED, REPLIED, FAILED, FAILED_EVERYWHERE };

/* cause: why it failed. */
static enum tried try_current(struct kt_etcd *etcd, grpc_slice request, enum kt_etcd_reply *ret_reply,
                              struct kt_etcd_message *ret, struct kt_error *cause)
{
    KT_CLEANUP(call_done) struct call call;
    call_init(&call, request);
    if ((!etcd->channel && !connect_current(etcd, cause)) || !run(etcd, &call, cause))
        return FAILED_EVERYWHERE;
    if (call.status == GRPC_STATUS_OK) {
        etcd->answered = true;
        *ret_reply = KT_ETCD_ANSWERED;
        if (take_message(&call, ret))
            return ANSWERED;
        (void)kt_fail(cause, KT_E_IO, "it answered without a message");
        return FAILED;
    }
    char *details = grpc_slice_to_c_string(call.details);
    enum kt_etcd_next next = kt_etcd_refusal(call.status, details, etcd->timeout_ms, cause);
    gpr_free(details);
    *ret_reply = next == KT_ETCD_IS_COMPACTED ? KT_ETCD_COMPACTED : KT_ETCD_TOO_LARGE;
    if (next == KT_ETCD_IS_COMPACTED || next == KT_ETCD_IS_TOO_LARGE)
        return REPLIED;
    if (next == KT_ETCD_ASK_WHY)
        ask_why(etcd, cause);
    return next == KT_ETCD_GIVE_UP ? FAILED_EVERYWHERE : FAILED;
}

/* The causes of all endpoints in one message; the code and the hint are the first one's, but that all took too long is
 * said only if all did. */
struct causes {
    char text[sizeof(((struct kt_error *)NULL)->message)];
    struct kt_error first;
    bool all_late;
};

static void add_cause(struct causes *causes, const struct kt_etcd_endpoint *endpoint, const struct kt_error *cause)
{
    size_t len = strlen(causes->text);
    (void)snprintf(causes->text + len, sizeof(causes->text) - len, "%s%.120s: %.300s", len > 0 ? "; " : "",
                   endpoint->url, cause->message);
    if (causes->first.code == KT_OK || (causes->first.code == KT_E_TIMEOUT && cause->code != KT_E_TIMEOUT))
        causes->first = *cause;
}

static bool fail_all(const struct causes *causes, struct kt_error *err)
{
    (void)kt_fail(err, causes->first.code, "%s", causes->text);
    if (causes->first.hint[0] != '\0')
        (void)kt_error_hint(err, "%s", causes->first.hint);
    return false;
}

static bool call_any(struct kt_etcd *etcd, grpc_slice request, enum kt_etcd_reply *ret_reply,
                     struct kt_etcd_message *ret, struct kt_error *err)
{
    struct causes causes = {.text = ""};
    for (size_t i = 0; i < etcd->endpoints.n; i++) {
        struct kt_error cause = KT_ERROR_INIT;
        enum tried tried = try_current(etcd, request, ret_reply, ret, &cause);
        if (tried == ANSWERED || tried == REPLIED)
            return true;
        kt_etcd_disconnect(etcd);
        add_cause(&causes, &etcd->endpoints.items[etcd->current], &cause);
        if (tried == FAILED_EVERYWHERE)
            break;
        etcd->current = (etcd->current + 1) % etcd->endpoints.n;
    }
    return fail_all(&causes, err);
}

static grpc_slice pack(const struct kt_etcd_query *query)
{
    union {
        const uint8_t *in;
        uint8_t *out; /* protobuf-c has no const: pack only reads */
    } key = {.in = query->key.data}, end = {.in = query->end.data};
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    request.key = (ProtobufCBinaryData){.data = key.out, .len = query->key.len};
    request.range_end = (ProtobufCBinaryData){.data = end.out, .len = query->end.len};
    request.limit = query->limit;
    request.revision = query->revision;
    request.keys_only = query->keys_only;
    request.count_only = query->count_only;
    grpc_slice bytes = grpc_slice_malloc(etcdserverpb__range_request__get_packed_size(&request));
    (void)etcdserverpb__range_request__pack(&request, GRPC_SLICE_START_PTR(bytes));
    return bytes;
}

bool kt_etcd_range_call(struct kt_etcd *etcd, const struct kt_etcd_query *query, enum kt_etcd_reply *ret_reply,
                        struct kt_etcd_message *ret, struct kt_error *err)
{
    if (query->key.len == 0 || query->key.len > KT_ETCD_KEY_MAX || query->end.len > KT_ETCD_KEY_MAX)
        return kt_fail(err, KT_E_USAGE, "expected a key of 1 to %u bytes, found another", KT_ETCD_KEY_MAX);
    grpc_slice request = pack(query);
    bool done = call_any(etcd, request, ret_reply, ret, err);
    grpc_slice_unref(request);
    return done;
}
