/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/front_call.h"

#include "base/clock.h"

#include <string.h>

#define POOL_MAX  256u
#define SECOND_NS UINT64_C(1000000000)

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KT_TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define KT_TSAN 1
#endif
#ifdef KT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

void kt_call_hand_over(struct kt_call *call)
{
#ifdef KT_TSAN
    __tsan_release(call);
#else
    (void)call;
#endif
}

void kt_call_take_back(struct kt_call *call)
{
#ifdef KT_TSAN
    __tsan_acquire(call);
#else
    (void)call;
#endif
}

static void destroy(struct kt_call *call)
{
    grpc_metadata_array_destroy(&call->metadata);
    free(call);
}

void kt_call_pool_done(struct kt_call_pool *pool)
{
    while (pool->free) {
        struct kt_call *call = pool->free;
        pool->free = call->next_free;
        destroy(call);
    }
    pool->n = 0;
}

static struct kt_call *make(void)
{
    struct kt_call *call = calloc(1, sizeof(*call));
    if (call)
        grpc_metadata_array_init(&call->metadata);
    return call;
}

struct kt_call *kt_call_take(struct kt_call_pool *pool, enum kt_method method)
{
    struct kt_call *call = pool->free;
    if (call) {
        pool->free = call->next_free;
        pool->n--;
    } else {
        call = make();
    }
    if (!call)
        return NULL;
    call->state = KT_CALL_POSTED;
    call->method = method;
    if (method == KT_METHOD_OTHER)
        grpc_call_details_init(&call->details);
    return call;
}

static void drop_buffer(grpc_byte_buffer **buffer)
{
    if (*buffer)
        grpc_byte_buffer_destroy(*buffer);
    *buffer = NULL;
}

void kt_call_forget_metadata(struct kt_call *call)
{
    grpc_metadata_array_destroy(&call->metadata);
    grpc_metadata_array_init(&call->metadata);
}

void kt_call_give_back(struct kt_call_pool *pool, struct kt_call *call)
{
    drop_buffer(&call->payload);
    drop_buffer(&call->answer);
    if (call->method == KT_METHOD_OTHER)
        grpc_call_details_destroy(&call->details);
    if (call->call)
        grpc_call_unref(call->call);
    call->call = NULL;
    if (pool->n == POOL_MAX) {
        destroy(call);
        return;
    }
    call->next_free = pool->free;
    pool->free = call;
    pool->n++;
}

uint64_t kt_call_deadline(const struct kt_call *call, uint64_t default_ns)
{
    if (call->method == KT_METHOD_OTHER || gpr_time_cmp(call->deadline, gpr_inf_future(call->deadline.clock_type)) == 0)
        return call->arrived_ns + default_ns;
    gpr_timespec at = gpr_convert_clock_type(call->deadline, GPR_CLOCK_MONOTONIC);
    if (at.tv_sec < 0)
        return 0;
    uint64_t seconds = (uint64_t)at.tv_sec;
    uint64_t limit = call->arrived_ns / SECOND_NS + 86400;
    return (seconds < limit ? seconds : limit) * SECOND_NS + (uint64_t)at.tv_nsec;
}

void kt_call_message_open(struct kt_call *call, struct kt_call_message *ret)
{
    grpc_slice *piece = NULL;
    size_t len = grpc_byte_buffer_length(call->payload);
    *ret = (struct kt_call_message){.open = false};
    ret->open = grpc_byte_buffer_reader_init(&ret->reader, call->payload) != 0;
    if (!ret->open || len == 0)
        return;
    if (call->payload->data.raw.slice_buffer.count == 1 && grpc_byte_buffer_reader_peek(&ret->reader, &piece)) {
        ret->bytes = KT_SLICE(GRPC_SLICE_START_PTR(*piece), GRPC_SLICE_LENGTH(*piece));
        return;
    }
    ret->slice = grpc_byte_buffer_reader_readall(&ret->reader);
    ret->joined = true;
    ret->bytes = KT_SLICE(GRPC_SLICE_START_PTR(ret->slice), GRPC_SLICE_LENGTH(ret->slice));
}

void kt_call_message_close(struct kt_call *call, struct kt_call_message *message)
{
    if (message->joined) {
        explicit_bzero(GRPC_SLICE_START_PTR(message->slice), GRPC_SLICE_LENGTH(message->slice));
        grpc_slice_unref(message->slice);
    }
    if (message->open)
        grpc_byte_buffer_reader_destroy(&message->reader);
    message->open = false;
    drop_buffer(&call->payload);
}

bool kt_call_reply(struct kt_call *call, const struct kt_front_reply *what)
{
    grpc_op ops[4];
    size_t n = 0;
    grpc_slice details = grpc_empty_slice();
    memset(ops, 0, sizeof(ops));
    ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (what->status == GRPC_STATUS_OK) {
        grpc_slice body = grpc_slice_from_copied_buffer((const char *)what->body, what->len);
        call->answer = grpc_raw_byte_buffer_create(&body, 1);
        grpc_slice_unref(body);
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = call->answer;
    } else {
        details = grpc_slice_from_copied_string(what->text);
    }
    ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[n].data.send_status_from_server.status = what->status;
    ops[n++].data.send_status_from_server.status_details = what->status == GRPC_STATUS_OK ? NULL : &details;
    ops[n].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[n++].data.recv_close_on_server.cancelled = &call->was_cancelled;
    call->state = KT_CALL_REPLIED;
    grpc_call *core = call->call;
    kt_call_hand_over(call);
    grpc_call_error rc = grpc_call_start_batch(core, ops, n, call, NULL);
    grpc_slice_unref(details);
    return rc == GRPC_CALL_OK;
}
