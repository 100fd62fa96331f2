/* SPDX-License-Identifier: Apache-2.0 */
#include "front_rig.h"

#include "base/clock.h"
#include "base/spawn.h"
#include "proto/kmsv2.pb-c.h"
#include "tests/unit/base/unit.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define MS UINT64_C(1000000)

static uint64_t in_ms(int milliseconds)
{
    return kt_clock_monotonic_ns() + (uint64_t)milliseconds * MS;
}

#define check(expression, err)                              \
    do {                                                    \
        if (!(expression))                                  \
            fail_msg("%s: %s", #expression, (err).message); \
    } while (0)

/* ---- the supervisor ---- */

static void send_fds(const struct rig *rig, enum kt_lifeline_type type, const int *fds, size_t n)
{
    struct kt_error err = KT_ERROR_INIT;
    check(kt_lifeline_send(rig->lifeline, type, KT_SLICE("", 0), fds, n, &err), err);
}

void rig_configure(struct rig *rig)
{
    struct kt_error err = KT_ERROR_INIT;
    uint8_t bytes[KT_LIFELINE_MAX];
    struct kt_writer w;
    kt_writer_init(&w, bytes, sizeof(bytes));
    assert_true(kt_child_config_encode(&rig->config, &w));
    check(kt_lifeline_send(rig->lifeline, KT_LIFE_CONFIG, KT_SLICE(bytes, w.len), NULL, 0, &err), err);
}

/* The front may write its own and reads the others. */
static void *make_page(struct rig *rig, enum kt_counter_page which)
{
    struct kt_error err = KT_ERROR_INIT;
    int rw = -1;
    int ro = -1;
    check(kt_counters_new(which, &rw, &ro, &err), err);
    void *page = kt_counters_map(rw, which, true, &err);
    check(page, err);
    rig->page_fds[which] = which == KT_PAGE_FRONT ? rw : ro;
    kt_fd_close(which == KT_PAGE_FRONT ? ro : rw);
    return page;
}

static void make_pages(struct rig *rig)
{
    rig->supervisor = make_page(rig, KT_PAGE_SUPERVISOR);
    rig->page = make_page(rig, KT_PAGE_FRONT);
    rig->keeper_page = make_page(rig, KT_PAGE_KEEPER);
}

static void listen_somewhere(struct rig *rig)
{
    const struct kt_listen_options options = {.mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1, .backlog = 128};
    struct kt_error err = KT_ERROR_INIT;
    (void)snprintf(rig->directory, sizeof(rig->directory), "/tmp/keyturn-front-XXXXXX");
    assert_non_null(mkdtemp(rig->directory));
    (void)snprintf(rig->socket, sizeof(rig->socket), "%s/kms.sock", rig->directory);
    rig->listen_fd = kt_socket_listen(rig->socket, &options, &err);
    check(rig->listen_fd >= 0, err);
}

static void spawn_front(struct rig *rig)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *build = getenv("KEYTURN_BUILD");
    char path[4096];
    char name[] = "keyturn-front";
    char *argv[] = {name, NULL};
    int pair[2];
    assert_non_null(build);
    (void)snprintf(path, sizeof(path), "%s/libexec/keyturn/keyturn-front", build);
    check(kt_ipc_pair(SOCK_SEQPACKET, pair, &err), err);
    const struct kt_spawn what = {
        .path = path, .argv = argv, .account = {.uid = KT_SAME_UID}, .fds = &pair[1], .n_fds = 1};
    check(kt_spawn(&what, &rig->front, &err), err);
    kt_fd_close(pair[1]);
    rig->lifeline = pair[0];
}

enum kt_lifeline_type rig_wait_message(struct rig *rig)
{
    static uint8_t buffer[KT_LIFELINE_MAX];
    struct kt_lifeline_message message = {.n_fds = 0};
    enum kt_ipc_got got = KT_IPC_NOTHING;
    struct kt_error err = KT_ERROR_INIT;
    uint64_t deadline = in_ms(RIG_WAIT_MS);
    do {
        assert_true(kt_clock_monotonic_ns() < deadline);
        if (rig->channel)
            rig_turn(rig, NULL, 5);
        else
            (void)poll(NULL, 0, 2);
        check(kt_lifeline_recv(rig->lifeline, buffer, &message, &got, &err), err);
    } while (got == KT_IPC_NOTHING);
    assert_int_equal(got, KT_IPC_MESSAGE);
    return message.type;
}

static void make_channel(struct rig *rig)
{
    char target[128];
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    (void)snprintf(target, sizeof(target), "unix:%s", rig->socket);
    rig->channel = grpc_channel_create(target, credentials, NULL);
    grpc_channel_credentials_release(credentials);
    rig->queue = grpc_completion_queue_create_for_next(NULL);
}

static void start_front(struct rig *rig)
{
    spawn_front(rig);
    rig_configure(rig);
    send_fds(rig, KT_LIFE_LISTEN, &rig->listen_fd, 1);
    send_fds(rig, KT_LIFE_COUNTERS, rig->page_fds, KT_PAGE_COUNT);
    assert_int_equal(rig_wait_message(rig), KT_LIFE_READY);
    make_channel(rig);
}

void rig_start(struct rig *rig, void (*change)(struct kt_child_config *config))
{
    memset(rig, 0, sizeof(*rig));
    rig->keeper = -1;
    rig->config = (struct kt_child_config){.node = "node",
                                           .kms_connections = 64,
                                           .kms_streams = 100,
                                           .kms_request_bytes = 65536,
                                           .log_level = KT_LOG_ERROR};
    rig->config.kms_uids = (struct kt_ids){.ids = {getuid()}, .n = 1};
    if (change)
        change(&rig->config);
    listen_somewhere(rig);
    make_pages(rig);
    start_front(rig);
}

int rig_wait_exit(struct rig *rig)
{
    int status = -1;
    uint64_t deadline = in_ms(RIG_WAIT_MS);
    while (waitpid(rig->front, &status, WNOHANG) == 0) {
        assert_true(kt_clock_monotonic_ns() < deadline);
        rig_turn(rig, NULL, 5);
    }
    rig->front = 0;
    return status;
}

static void drop_channel(struct rig *rig)
{
    grpc_channel_destroy(rig->channel);
    grpc_completion_queue_shutdown(rig->queue);
    while (grpc_completion_queue_next(rig->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(rig->queue);
    rig->channel = NULL;
}

static void stop_front(struct rig *rig)
{
    kt_fd_close(rig->lifeline);
    if (rig->front)
        assert_int_equal(rig_wait_exit(rig), 0);
    drop_channel(rig);
    rig_keeper_close(rig);
}

void rig_restart(struct rig *rig)
{
    stop_front(rig);
    start_front(rig);
}

void rig_stop(struct rig *rig)
{
    stop_front(rig);
    for (size_t i = 0; i < KT_PAGE_COUNT; i++)
        kt_fd_close(rig->page_fds[i]);
    kt_fd_close(rig->listen_fd);
    char lock[sizeof(rig->socket) + 8];
    (void)snprintf(lock, sizeof(lock), "%s.lock", rig->socket);
    (void)unlink(rig->socket);
    (void)unlink(lock);
    assert_int_equal(rmdir(rig->directory), 0);
}

void rig_drain(struct rig *rig, uint32_t milliseconds)
{
    struct kt_error err = KT_ERROR_INIT;
    uint8_t bytes[4];
    struct kt_writer w;
    kt_writer_init(&w, bytes, sizeof(bytes));
    kt_writer_u32(&w, milliseconds);
    check(kt_lifeline_send(rig->lifeline, KT_LIFE_DRAIN, KT_SLICE(bytes, w.len), NULL, 0, &err), err);
}

/* ---- the keeper ---- */

void rig_keeper_connect(struct rig *rig)
{
    struct kt_error err = KT_ERROR_INIT;
    int pair[2];
    rig_keeper_close(rig);
    check(kt_ipc_pair(SOCK_SEQPACKET, pair, &err), err);
    send_fds(rig, KT_LIFE_PEER, &pair[1], 1);
    kt_fd_close(pair[1]);
    rig->keeper = pair[0];
}

void rig_keeper_close(struct rig *rig)
{
    kt_fd_close(rig->keeper);
    rig->keeper = -1;
    rig->inbox_len = 0;
    rig->inbox_at = 0;
}

static bool take_from_inbox(struct rig *rig, struct kt_keeper_request *ret)
{
    if (rig->inbox_at == rig->inbox_len)
        return false;
    const struct kt_keeper_request *request = (const void *)&rig->inbox[rig->inbox_at];
    size_t size = kt_keeper_request_first(request, rig->inbox_len - rig->inbox_at);
    assert_int_not_equal(size, 0);
    memcpy(ret, request, size);
    rig->inbox_at += size;
    return true;
}

bool rig_keeper_poll(struct rig *rig, struct kt_keeper_request *ret, int milliseconds)
{
    uint64_t deadline = in_ms(milliseconds);
    do {
        if (take_from_inbox(rig, ret))
            return true;
        ssize_t n = recv(rig->keeper, rig->inbox, sizeof(rig->inbox), MSG_DONTWAIT);
        rig->inbox_len = n > 0 ? (size_t)n : 0;
        rig->inbox_at = 0;
        if (take_from_inbox(rig, ret))
            return true;
        rig_turn(rig, NULL, 2);
    } while (kt_clock_monotonic_ns() < deadline);
    return false;
}

void rig_keeper_expect(struct rig *rig, uint32_t op, struct kt_keeper_request *ret)
{
    assert_true(rig_keeper_poll(rig, ret, RIG_WAIT_MS));
    assert_int_equal(ret->op, op);
}

struct kt_keeper_answer rig_answer_to(const struct kt_keeper_request *request)
{
    struct kt_keeper_answer answer = {
        .op = request->op, .code = KT_OK, .tag = request->tag, .membership = 1, .generation = 1};
    memcpy(answer.key_id, RIG_KEY_ID, KT_KEY_ID_LEN);
    if (request->op == KT_KEEPER_STATUS) {
        memcpy(answer.data, "ok", 2);
        answer.len = 2;
        return answer;
    }
    answer.len = request->op == KT_KEEPER_WRAP ? request->len + KT_CIPHER_OVERHEAD : request->len - KT_CIPHER_OVERHEAD;
    for (size_t i = 0; i < request->len && i < answer.len; i++)
        answer.data[i] = (uint8_t)~request->data[i];
    return answer;
}

void rig_keeper_send(struct rig *rig, const struct kt_keeper_answer *answer)
{
    size_t size = kt_keeper_answer_size(answer->len);
    struct pollfd waits = {.fd = rig->keeper, .events = POLLOUT};
    assert_int_equal(poll(&waits, 1, RIG_WAIT_MS), 1);
    assert_int_equal(send(rig->keeper, answer, size, MSG_NOSIGNAL), size);
}

void rig_keeper_answer(struct rig *rig, const struct kt_keeper_request *request)
{
    struct kt_keeper_answer answer = rig_answer_to(request);
    rig_keeper_send(rig, &answer);
}

/* ---- the client ---- */

static size_t put_ops(struct rig_call *call, grpc_op ops[6])
{
    size_t n = 0;
    memset(ops, 0, 6 * sizeof(ops[0]));
    ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (call->request) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = call->request;
    }
    ops[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[n].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[n++].data.recv_initial_metadata.recv_initial_metadata = &call->initial;
    ops[n].op = GRPC_OP_RECV_MESSAGE;
    ops[n++].data.recv_message.recv_message = &call->response;
    ops[n].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[n].data.recv_status_on_client.trailing_metadata = &call->trailing;
    ops[n].data.recv_status_on_client.status = &call->status;
    ops[n++].data.recv_status_on_client.status_details = &call->details;
    return n;
}

void rig_call_start(struct rig *rig, struct rig_call *call, const char *method, struct kt_slice message,
                    int deadline_ms)
{
    grpc_op ops[6];
    gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (deadline_ms >= 0)
        deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(deadline_ms, GPR_TIMESPAN));
    memset(call, 0, sizeof(*call));
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    if (message.data) {
        grpc_slice slice = grpc_slice_from_copied_buffer((const char *)message.data, message.len);
        call->request = grpc_raw_byte_buffer_create(&slice, 1);
        grpc_slice_unref(slice);
    }
    call->call = grpc_channel_create_call(rig->channel, NULL, GRPC_PROPAGATE_DEFAULTS, rig->queue,
                                          grpc_slice_from_static_string(method), NULL, deadline, NULL);
    assert_int_equal(grpc_call_start_batch(call->call, ops, put_ops(call, ops), call, NULL), GRPC_CALL_OK);
}

void rig_turn(struct rig *rig, const struct rig_call *call, int milliseconds)
{
    gpr_timespec until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(milliseconds, GPR_TIMESPAN));
    while (!call || !call->done) {
        grpc_event event = grpc_completion_queue_next(rig->queue, until, NULL);
        if (event.type != GRPC_OP_COMPLETE)
            return;
        ((struct rig_call *)event.tag)->done = true;
    }
}

static void take_response(struct rig_call *call)
{
    grpc_byte_buffer_reader reader;
    if (!call->response)
        return;
    assert_true(grpc_byte_buffer_reader_init(&reader, call->response));
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    call->len = GRPC_SLICE_LENGTH(all);
    assert_true(call->len <= sizeof(call->body));
    if (call->len > 0)
        memcpy(call->body, GRPC_SLICE_START_PTR(all), call->len);
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(call->response);
}

void rig_call_finish(struct rig *rig, struct rig_call *call)
{
    rig_turn(rig, call, RIG_WAIT_MS);
    assert_true(call->done);
    size_t len = GRPC_SLICE_LENGTH(call->details);
    len = len < sizeof(call->text) ? len : sizeof(call->text) - 1;
    memcpy(call->text, GRPC_SLICE_START_PTR(call->details), len);
    call->text[len] = 0;
    take_response(call);
    grpc_slice_unref(call->details);
    if (call->request)
        grpc_byte_buffer_destroy(call->request);
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_call_unref(call->call);
}

static void *unconst(const void *bytes)
{
    void *ret;
    memcpy(&ret, &bytes, sizeof(ret));
    return ret;
}

size_t rig_encrypt_request(const void *plaintext, size_t len, uint8_t *ret)
{
    V2__EncryptRequest request;
    v2__encrypt_request__init(&request);
    request.plaintext = (ProtobufCBinaryData){.data = unconst(plaintext), .len = len};
    request.uid = unconst("the-uid-of-a-request");
    return v2__encrypt_request__pack(&request, ret);
}

size_t rig_decrypt_request(const void *ciphertext, size_t len, const char *key_id, uint8_t *ret)
{
    V2__DecryptRequest request;
    v2__decrypt_request__init(&request);
    request.ciphertext = (ProtobufCBinaryData){.data = unconst(ciphertext), .len = len};
    request.uid = unconst("the-uid-of-a-request");
    request.key_id = unconst(key_id);
    return v2__decrypt_request__pack(&request, ret);
}

int rig_connect(const struct rig *rig)
{
    struct kt_error err = KT_ERROR_INIT;
    int fd = kt_socket_connect(rig->socket, in_ms(RIG_WAIT_MS), &err);
    check(fd >= 0, err);
    return fd;
}

bool rig_closed_within(int fd, int milliseconds)
{
    uint64_t deadline = in_ms(milliseconds);
    for (;;) {
        char bytes[256];
        struct pollfd waits = {.fd = fd, .events = POLLIN};
        uint64_t now = kt_clock_monotonic_ns();
        if (now >= deadline || poll(&waits, 1, (int)((deadline - now) / MS) + 1) == 0)
            return false;
        if (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
            return true;
    }
}

void rig_counter_reaches(const struct rig *rig, const kt_counter *counter, uint64_t value)
{
    uint64_t deadline = in_ms(RIG_WAIT_MS);
    (void)rig;
    while (atomic_load(counter) < value) {
        assert_true(kt_clock_monotonic_ns() < deadline);
        (void)poll(NULL, 0, 2);
    }
}
