/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real keyturn-front between a test that is its supervisor and its keeper, and a gRPC client. One thread: the test
 * says when the keeper reads and what it answers, and everything waits with a bound.
 */
#pragma once

#include "kmsplugin/children.h"
#include "kmsplugin/counters.h"
#include "kmsplugin/keeper_wire.h"

#include <grpc/grpc.h>

#define RIG_KEY_ID  "0123456789abcdef0123456789abcdef"
#define RIG_WAIT_MS 20000 /* for what must come; sanitizers are slow */

struct rig {
    struct kt_child_config config;
    char directory[64];
    char socket[96];
    int listen_fd;
    int lifeline;                                                              /* the supervisor's end */
    int keeper;                                                                /* the keeper's end; -1: none */
    _Alignas(struct kt_keeper_request) uint8_t inbox[KT_KEEPER_REQUESTS_SIZE]; /* of the keeper: a message */
    size_t inbox_len;
    size_t inbox_at; /* the first request of it that was not looked at */
    pid_t front;
    struct kt_front_page *page;
    struct kt_supervisor_page *supervisor;
    struct kt_keeper_page *keeper_page;
    int page_fds[KT_PAGE_COUNT]; /* as the front gets them */
    grpc_channel *channel;
    grpc_completion_queue *queue;
};

/* Starts a front and waits until it is ready; without a keeper. change may alter the configuration, or be NULL. */
void rig_start(struct rig *rig, void (*change)(struct kt_child_config *config));
/* Another front on the same socket and pages, after the first one's end; without a keeper. */
void rig_restart(struct rig *rig);
/* Ends the front by its lifeline if it runs, and cleans up. */
void rig_stop(struct rig *rig);
void rig_configure(struct rig *rig);
void rig_drain(struct rig *rig, uint32_t milliseconds);
/* Waits for the front's end; its wait(2) status. */
int rig_wait_exit(struct rig *rig);
/* Waits for the front's next message to the supervisor. */
enum kt_lifeline_type rig_wait_message(struct rig *rig);

/* ---- the keeper ---- */

/* A fresh end for the front, the other for the test; an earlier one is closed. */
void rig_keeper_connect(struct rig *rig);
void rig_keeper_close(struct rig *rig);
/* The next request. False: none came in time. */
bool rig_keeper_poll(struct rig *rig, struct kt_keeper_request *ret, int milliseconds);
void rig_keeper_expect(struct rig *rig, uint32_t op, struct kt_keeper_request *ret);
/* Answers as a keeper would whose cipher turns all bits around. */
void rig_keeper_answer(struct rig *rig, const struct kt_keeper_request *request);
void rig_keeper_send(struct rig *rig, const struct kt_keeper_answer *answer);
struct kt_keeper_answer rig_answer_to(const struct kt_keeper_request *request);

/* ---- the client ---- */

struct rig_call {
    grpc_call *call;
    bool done;
    grpc_status_code status;
    grpc_slice details;
    grpc_byte_buffer *request;
    grpc_byte_buffer *response;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    char text[512];     /* details */
    uint8_t body[4096]; /* response */
    size_t len;
};
/* message.data NULL: closes its half without a message. deadline_ms < 0: none. */
void rig_call_start(struct rig *rig, struct rig_call *call, const char *method, struct kt_slice message,
                    int deadline_ms);
/* Turns the client for so long, or until the call is done. */
void rig_turn(struct rig *rig, const struct rig_call *call, int milliseconds);
/* Waits for the end and fills status, text and body. */
void rig_call_finish(struct rig *rig, struct rig_call *call);

#define RIG_STATUS  "/v2.KeyManagementService/Status"
#define RIG_ENCRYPT "/v2.KeyManagementService/Encrypt"
#define RIG_DECRYPT "/v2.KeyManagementService/Decrypt"
size_t rig_encrypt_request(const void *plaintext, size_t len, uint8_t *ret);
size_t rig_decrypt_request(const void *ciphertext, size_t len, const char *key_id, uint8_t *ret);

/* A connection without gRPC. */
int rig_connect(const struct rig *rig);
/* Until the peer closed, or not. */
bool rig_closed_within(int fd, int milliseconds);
/* Waits until the counter has at least that value. */
void rig_counter_reaches(const struct rig *rig, const kt_counter *counter, uint64_t value);
