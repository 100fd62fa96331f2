/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/kms_client.h"

#include "base/arena.h"
#include "proto/kmsv2.pb-c.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <string.h>

struct kt_kms_client {
    grpc_channel *channel;
    grpc_completion_queue *queue;
    unsigned timeout_s;
    char socket_path[128];
};

/* gRPC's own messages would go to standard error and name what a peer sent. */
static void drop_log(gpr_log_func_args *args)
{
    (void)args;
}

struct kt_kms_client *kt_kms_client_new(const char *socket_path, unsigned timeout_s, struct kt_error *err)
{
    struct kt_kms_client *client = calloc(1, sizeof(*client));
    if (!client) {
        kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    gpr_set_log_function(drop_log);
    grpc_init();
    char target[160];
    bool abstract = socket_path[0] == '@';
    snprintf(target, sizeof(target), "%s:%s", abstract ? "unix-abstract" : "unix", socket_path + abstract);
    snprintf(client->socket_path, sizeof(client->socket_path), "%s", socket_path);
    grpc_arg authority = {
        .type = GRPC_ARG_STRING, .key = (char[]){GRPC_ARG_DEFAULT_AUTHORITY}, .value.string = (char[]){"localhost"}};
    const grpc_channel_args args = {.num_args = 1, .args = &authority};
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    client->channel = grpc_channel_create(target, credentials, &args);
    grpc_channel_credentials_release(credentials);
    client->queue = grpc_completion_queue_create_for_pluck(NULL);
    client->timeout_s = timeout_s;
    return client;
}

void kt_kms_client_free(struct kt_kms_client *client)
{
    if (!client)
        return;
    grpc_channel_destroy(client->channel);
    grpc_completion_queue_shutdown(client->queue);
    grpc_completion_queue_destroy(client->queue);
    grpc_shutdown_blocking();
    free(client);
}

/* One unary call and what its single batch fills. */
struct call {
    grpc_call *call;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_byte_buffer *request;
    grpc_byte_buffer *answer;
    grpc_status_code status;
    grpc_slice details;
};

static void call_done(struct call *call)
{
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    if (call->request)
        grpc_byte_buffer_destroy(call->request);
    if (call->answer)
        grpc_byte_buffer_destroy(call->answer);
    grpc_slice_unref(call->details);
    if (call->call)
        grpc_call_unref(call->call);
}

static bool fail_call(const struct kt_kms_client *client, const struct call *call, struct kt_error *err)
{
    char *details = grpc_slice_to_c_string(call->details);
    if (call->status == GRPC_STATUS_DEADLINE_EXCEEDED)
        kt_fail(err, KT_E_TIMEOUT, "%s: no answer within %u s", client->socket_path, client->timeout_s);
    else if (call->status == GRPC_STATUS_UNAVAILABLE)
        kt_fail(err, KT_E_UNREACHABLE, "%s: %s", client->socket_path, details);
    else
        kt_fail(err, KT_E_REFUSED, "%s: refused (gRPC status %d): %s", client->socket_path, (int)call->status, details);
    gpr_free(details);
    if (call->status == GRPC_STATUS_UNAVAILABLE)
        kt_error_hint(err, "keyturn status says why; kms.uids and kms.gids of keyturn.yaml say who may call");
    return false;
}

static bool run_batch(struct kt_kms_client *client, struct call *call, struct kt_error *err)
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
    if (grpc_call_start_batch(call->call, ops, KT_ARRAY_LEN(ops), call, NULL) != GRPC_CALL_OK)
        return kt_fail(err, KT_E_INTERNAL, "gRPC took no batch");
    (void)grpc_completion_queue_pluck(client->queue, call, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    return call->status == GRPC_STATUS_OK || fail_call(client, call, err);
}

/* body: taken over. *ret: the answer's bytes, for the caller to unref. */
static bool unary(struct kt_kms_client *client, const char *method, grpc_slice body, grpc_slice *ret,
                  struct kt_error *err)
{
    KT_CLEANUP(call_done) struct call call = {.details = grpc_empty_slice()};
    grpc_metadata_array_init(&call.initial);
    grpc_metadata_array_init(&call.trailing);
    call.request = grpc_raw_byte_buffer_create(&body, 1);
    grpc_slice_unref(body);
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(client->timeout_s, GPR_TIMESPAN));
    call.call = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, client->queue,
                                         grpc_slice_from_static_string(method), NULL, deadline, NULL);
    if (!run_batch(client, &call, err))
        return false;
    grpc_byte_buffer_reader reader;
    if (!call.answer || !grpc_byte_buffer_reader_init(&reader, call.answer))
        return kt_fail(err, KT_E_REFUSED, "%s: answered without a message", client->socket_path);
    *ret = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    return true;
}

static bool malformed(const struct kt_kms_client *client, struct kt_error *err)
{
    return kt_fail(err, KT_E_REFUSED, "%s: answered something that is no KMS v2 message", client->socket_path);
}

bool kt_kms_status(struct kt_kms_client *client, struct kt_kms_status *ret, struct kt_error *err)
{
    grpc_slice bytes = grpc_empty_slice();
    if (!unary(client, "/v2.KeyManagementService/Status", grpc_empty_slice(), &bytes, err))
        return false;
    V2__StatusResponse *answer =
        v2__status_response__unpack(NULL, GRPC_SLICE_LENGTH(bytes), GRPC_SLICE_START_PTR(bytes));
    grpc_slice_unref(bytes);
    if (!answer)
        return malformed(client, err);
    snprintf(ret->version, sizeof(ret->version), "%s", answer->version);
    snprintf(ret->key_id, sizeof(ret->key_id), "%s", answer->key_id);
    snprintf(ret->healthz, sizeof(ret->healthz), "%s", answer->healthz);
    v2__status_response__free_unpacked(answer, NULL);
    return true;
}

bool kt_kms_encrypt(struct kt_kms_client *client, const struct kt_secret *plaintext, struct kt_kms_wrapped *ret,
                    struct kt_error *err)
{
    V2__EncryptRequest request;
    v2__encrypt_request__init(&request);
    request.uid = (char[]){"keyturn-probe"};
    /* protobuf-c has no const: pack only reads. */
    union {
        const uint8_t *in;
        uint8_t *out;
    } view = {.in = kt_secret_view(plaintext)};
    request.plaintext = (ProtobufCBinaryData){.data = view.out, .len = kt_secret_len(plaintext)};
    grpc_slice body = grpc_slice_malloc(v2__encrypt_request__get_packed_size(&request));
    v2__encrypt_request__pack(&request, GRPC_SLICE_START_PTR(body));
    grpc_slice bytes = grpc_empty_slice();
    if (!unary(client, "/v2.KeyManagementService/Encrypt", body, &bytes, err))
        return false;
    V2__EncryptResponse *answer =
        v2__encrypt_response__unpack(NULL, GRPC_SLICE_LENGTH(bytes), GRPC_SLICE_START_PTR(bytes));
    grpc_slice_unref(bytes);
    bool fits = answer && answer->ciphertext.len > 0 && answer->ciphertext.len <= sizeof(ret->data);
    if (fits) {
        memcpy(ret->data, answer->ciphertext.data, answer->ciphertext.len);
        ret->len = answer->ciphertext.len;
        snprintf(ret->key_id, sizeof(ret->key_id), "%s", answer->key_id);
    }
    v2__encrypt_response__free_unpacked(answer, NULL);
    return fits || malformed(client, err);
}

struct kt_secret *kt_kms_decrypt(struct kt_kms_client *client, const struct kt_kms_wrapped *wrapped,
                                 struct kt_error *err)
{
    V2__DecryptRequest request;
    v2__decrypt_request__init(&request);
    struct kt_kms_wrapped copy = *wrapped;
    request.uid = (char[]){"keyturn-probe"};
    request.key_id = copy.key_id;
    request.ciphertext = (ProtobufCBinaryData){.data = copy.data, .len = copy.len};
    grpc_slice body = grpc_slice_malloc(v2__decrypt_request__get_packed_size(&request));
    v2__decrypt_request__pack(&request, GRPC_SLICE_START_PTR(body));
    grpc_slice bytes = grpc_empty_slice();
    if (!unary(client, "/v2.KeyManagementService/Decrypt", body, &bytes, err))
        return NULL;
    V2__DecryptResponse *answer =
        v2__decrypt_response__unpack(NULL, GRPC_SLICE_LENGTH(bytes), GRPC_SLICE_START_PTR(bytes));
    kt_wipe(GRPC_SLICE_START_PTR(bytes), GRPC_SLICE_LENGTH(bytes));
    grpc_slice_unref(bytes);
    struct kt_secret *plaintext = NULL;
    if (answer && answer->plaintext.len > 0) {
        plaintext = kt_secret_new_copy(answer->plaintext.data, answer->plaintext.len, err);
        kt_wipe(answer->plaintext.data, answer->plaintext.len);
    } else {
        (void)malformed(client, err);
    }
    v2__decrypt_response__free_unpacked(answer, NULL);
    return plaintext;
}
