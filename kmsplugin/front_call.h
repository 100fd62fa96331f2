/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One gRPC call, from the slot that waits for it to the end of its answer, and the pool of such slots. Everything of
 * core's call API that the service needs. One thread only.
 */
#pragma once

#include "kmsplugin/front_methods.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>

struct kt_call {
    struct kt_call *next_free;
    enum { KT_CALL_POSTED, KT_CALL_REPLIED } state;
    enum kt_method method;
    grpc_call *call;
    grpc_call_details details; /* KT_METHOD_OTHER only */
    grpc_metadata_array metadata;
    gpr_timespec deadline;
    grpc_byte_buffer *payload; /* NULL: the caller sent no message */
    grpc_byte_buffer *answer;
    int was_cancelled;
    uint64_t arrived_ns; /* CLOCK_MONOTONIC, as the deadline */
    uint64_t deadline_ns;
};

struct kt_call_pool {
    struct kt_call *free;
    size_t n;
};
void kt_call_pool_done(struct kt_call_pool *pool);
/* NULL: no memory. */
struct kt_call *kt_call_take(struct kt_call_pool *pool, enum kt_method method);
/* Lets go of all that core gave, and of the slot. */
void kt_call_give_back(struct kt_call_pool *pool, struct kt_call *call);

/* Around each time that core holds the call as a tag: core is not instrumented, so ThreadSanitizer must be told. */
void kt_call_hand_over(struct kt_call *call);
void kt_call_take_back(struct kt_call *call);

/* For a call that came: nobody reads what metadata it has, and core made room for it. */
void kt_call_forget_metadata(struct kt_call *call);

uint64_t kt_call_deadline(const struct kt_call *call, uint64_t default_ns);

/* The message as one piece, in core's memory where it is one already. Closing it gives up the payload. */
struct kt_call_message {
    struct kt_slice bytes;
    grpc_byte_buffer_reader reader;
    bool open;
    bool joined;
    grpc_slice slice;
};
void kt_call_message_open(struct kt_call *call, struct kt_call_message *ret);
void kt_call_message_close(struct kt_call *call, struct kt_call_message *message);

/* Starts the whole answer as one batch; its end is the call's next event. False: core refused it. */
bool kt_call_reply(struct kt_call *call, const struct kt_front_reply *what) KT_MUST_CHECK;
