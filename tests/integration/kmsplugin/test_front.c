/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "front_rig.h"
#include "proto/kmsv2.pb-c.h"
#include "tests/unit/base/unit.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define MANY 200u

static struct rig rig;

/* ---- helpers ---- */

static void start_status(struct rig_call *call, int deadline_ms)
{
    rig_call_start(&rig, call, RIG_STATUS, KT_SLICE("", 0), deadline_ms);
}

static void start_encrypt(struct rig_call *call, const void *plaintext, size_t len, int deadline_ms)
{
    static uint8_t message[70000];
    rig_call_start(&rig, call, RIG_ENCRYPT, KT_SLICE(message, rig_encrypt_request(plaintext, len, message)),
                   deadline_ms);
}

static void start_decrypt(struct rig_call *call, const void *ciphertext, size_t len, const char *key_id)
{
    static uint8_t message[70000];
    size_t size = rig_decrypt_request(ciphertext, len, key_id, message);
    rig_call_start(&rig, call, RIG_DECRYPT, KT_SLICE(message, size), RIG_WAIT_MS);
}

/* Finishes the call; the answer must be that. */
static void check_refused(struct rig_call *call, grpc_status_code status, const char *part)
{
    rig_call_finish(&rig, call);
    if (call->status != status || !strstr(call->text, part))
        fail_msg("expected %d \"%s\", got %d \"%s\"", (int)status, part, (int)call->status, call->text);
}

static void check_status(struct rig_call *call, const char *healthz_part)
{
    rig_call_finish(&rig, call);
    if (call->status != GRPC_STATUS_OK)
        fail_msg("Status: %d \"%s\"", (int)call->status, call->text);
    V2__StatusResponse *response = v2__status_response__unpack(NULL, call->len, call->body);
    assert_non_null(response);
    assert_string_equal(response->version, "v2");
    assert_string_equal(response->key_id, RIG_KEY_ID);
    if (!strstr(response->healthz, healthz_part))
        fail_msg("expected healthz \"%s\", got \"%s\"", healthz_part, response->healthz);
    v2__status_response__free_unpacked(response, NULL);
}

/* The keeper answers one request of that kind. */
static void serve_one(uint32_t op)
{
    struct kt_keeper_request request;
    rig_keeper_expect(&rig, op, &request);
    rig_keeper_answer(&rig, &request);
}

static void status_works(void)
{
    struct rig_call call;
    start_status(&call, RIG_WAIT_MS);
    serve_one(KT_KEEPER_STATUS);
    check_status(&call, "ok");
}

static void check_encrypted(struct rig_call *call, const uint8_t *plaintext, size_t len)
{
    rig_call_finish(&rig, call);
    if (call->status != GRPC_STATUS_OK)
        fail_msg("Encrypt: %d \"%s\"", (int)call->status, call->text);
    V2__EncryptResponse *response = v2__encrypt_response__unpack(NULL, call->len, call->body);
    assert_non_null(response);
    assert_string_equal(response->key_id, RIG_KEY_ID);
    assert_int_equal(response->n_annotations, 0);
    assert_int_equal(response->ciphertext.len, len + KT_CIPHER_OVERHEAD);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(response->ciphertext.data[i], (uint8_t)~plaintext[i]);
    v2__encrypt_response__free_unpacked(response, NULL);
}

static uint64_t now_ms(void)
{
    return kt_clock_monotonic_ns() / 1000000;
}

static int start_plain(void **state)
{
    (void)state;
    rig_start(&rig, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

/* ---- serving ---- */

static void test_without_keeper(void **state)
{
    (void)state;
    struct rig_call call;
    start_status(&call, RIG_WAIT_MS);
    check_refused(&call, GRPC_STATUS_UNAVAILABLE, "the process that holds the keys is restarting (0 restarts)");
    start_encrypt(&call, "seed", 4, 500);
    check_refused(&call, GRPC_STATUS_UNAVAILABLE, "journalctl -u keyturnd");
}

static void test_keeper_without_keyring(void **state)
{
    (void)state;
    struct rig_call call;
    struct kt_keeper_request request;
    static const char words[] = "there is no keyring";
    rig_keeper_connect(&rig);
    start_status(&call, RIG_WAIT_MS);
    rig_keeper_expect(&rig, KT_KEEPER_STATUS, &request);
    struct kt_keeper_answer answer = {.op = KT_KEEPER_STATUS, .tag = request.tag, .len = (uint32_t)strlen(words)};
    memcpy(answer.data, words, strlen(words));
    rig_keeper_send(&rig, &answer);
    check_refused(&call, GRPC_STATUS_UNAVAILABLE, words);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 32, KT_KMS_PLAINTEXT_MAX};
    uint8_t plaintext[KT_KMS_PLAINTEXT_MAX];
    memset(plaintext, 0x11, sizeof(plaintext));
    rig_keeper_connect(&rig);
    status_works();
    for (size_t i = 0; i < KT_ARRAY_LEN(sizes); i++) {
        struct rig_call call;
        start_encrypt(&call, plaintext, sizes[i], RIG_WAIT_MS);
        serve_one(KT_KEEPER_WRAP);
        check_encrypted(&call, plaintext, sizes[i]);
    }
    assert_int_equal(atomic_load(&rig.page->calls[KT_METHOD_ENCRYPT][GRPC_STATUS_OK]), KT_ARRAY_LEN(sizes));
    assert_int_equal(atomic_load(&rig.page->calls[KT_METHOD_STATUS][GRPC_STATUS_OK]), 1);
    assert_int_equal(atomic_load(&rig.page->keeper_connects), 1);
    assert_int_equal(atomic_load(&rig.page->connections), 1);
}

static void test_decrypt(void **state)
{
    (void)state;
    struct rig_call call;
    struct kt_keeper_request request;
    uint8_t ciphertext[61];
    memset(ciphertext, 0xee, sizeof(ciphertext));
    rig_keeper_connect(&rig);
    start_decrypt(&call, ciphertext, sizeof(ciphertext), RIG_KEY_ID);
    rig_keeper_expect(&rig, KT_KEEPER_UNWRAP, &request);
    assert_memory_equal(request.key_id, RIG_KEY_ID, KT_KEY_ID_LEN);
    assert_int_equal(request.len, sizeof(ciphertext));
    rig_keeper_answer(&rig, &request);
    rig_call_finish(&rig, &call);
    assert_int_equal(call.status, GRPC_STATUS_OK);
    V2__DecryptResponse *response = v2__decrypt_response__unpack(NULL, call.len, call.body);
    assert_int_equal(response->plaintext.len, 32);
    assert_int_equal(response->plaintext.data[0], 0x11);
    v2__decrypt_response__free_unpacked(response, NULL);
}

static void test_keepers_errors(void **state)
{
    (void)state;
    static const struct {
        enum kt_code code;
        grpc_status_code status;
    } rows[] = {{KT_E_KMS_UNKNOWN_KEY, GRPC_STATUS_NOT_FOUND},
                {KT_E_KMS_CIPHERTEXT, GRPC_STATUS_INVALID_ARGUMENT},
                {KT_E_KEYRING_MISSING, GRPC_STATUS_FAILED_PRECONDITION}};
    rig_keeper_connect(&rig);
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        struct rig_call call;
        struct kt_keeper_request request;
        start_decrypt(&call, "0123456789012345678901234567890", 31, RIG_KEY_ID);
        rig_keeper_expect(&rig, KT_KEEPER_UNWRAP, &request);
        const struct kt_keeper_answer answer = {.op = request.op, .tag = request.tag, .code = rows[i].code};
        rig_keeper_send(&rig, &answer);
        check_refused(&call, rows[i].status, "key");
    }
}

/* None of these reaches the keeper. */
static void test_bad_requests(void **state)
{
    (void)state;
    static const uint8_t zeros[66000];
    struct rig_call call;
    struct kt_keeper_request request;
    rig_keeper_connect(&rig);
    start_encrypt(&call, zeros, KT_KMS_PLAINTEXT_MAX + 1, RIG_WAIT_MS);
    check_refused(&call, GRPC_STATUS_INVALID_ARGUMENT, "996 bytes, possible are at most 995");
    start_encrypt(&call, zeros, 66000, RIG_WAIT_MS);
    check_refused(&call, GRPC_STATUS_RESOURCE_EXHAUSTED, "larger than max");
    start_decrypt(&call, zeros, 61, "short");
    check_refused(&call, GRPC_STATUS_NOT_FOUND, "key_id");
    rig_call_start(&rig, &call, RIG_ENCRYPT, KT_SLICE("\x0a\x7fxx", 4), RIG_WAIT_MS);
    check_refused(&call, GRPC_STATUS_INVALID_ARGUMENT, "malformed");
    rig_call_start(&rig, &call, RIG_ENCRYPT, (struct kt_slice){.data = NULL}, RIG_WAIT_MS);
    check_refused(&call, GRPC_STATUS_INVALID_ARGUMENT, "no message");
    rig_call_start(&rig, &call, "/v2.KeyManagementService/Rotate", KT_SLICE("", 0), RIG_WAIT_MS);
    check_refused(&call, GRPC_STATUS_UNIMPLEMENTED, "unknown method");
    assert_false(rig_keeper_poll(&rig, &request, 50));
    status_works();
}

static void test_many_at_once_in_any_order(void **state)
{
    (void)state;
    static struct rig_call calls[MANY];
    static struct kt_keeper_request requests[MANY];
    rig_keeper_connect(&rig);
    for (size_t i = 0; i < MANY; i++) {
        const uint8_t plaintext[2] = {(uint8_t)i, (uint8_t)(i >> 8)};
        start_encrypt(&calls[i], plaintext, sizeof(plaintext), RIG_WAIT_MS);
    }
    /* streams are limited to 100: the rest comes as these end */
    size_t got = 0;
    size_t answered = 0;
    while (answered < MANY) {
        while (got < MANY && rig_keeper_poll(&rig, &requests[got], got == answered ? RIG_WAIT_MS : 20))
            got++;
        assert_true(got > answered);
        for (size_t i = got; i > answered; i--)
            rig_keeper_answer(&rig, &requests[i - 1]);
        answered = got;
    }
    for (size_t i = 0; i < MANY; i++) {
        const uint8_t plaintext[2] = {(uint8_t)i, (uint8_t)(i >> 8)};
        check_encrypted(&calls[i], plaintext, sizeof(plaintext));
    }
    assert_int_equal(atomic_load(&rig.page->calls[KT_METHOD_ENCRYPT][GRPC_STATUS_OK]), MANY);
}

/* Wrong tag, wrong operation, cut short, twice: nobody else gets it, and the right one still counts. */
static void test_odd_answers(void **state)
{
    (void)state;
    struct rig_call call;
    struct kt_keeper_request request;
    rig_keeper_connect(&rig);
    start_encrypt(&call, "seed", 4, RIG_WAIT_MS);
    rig_keeper_expect(&rig, KT_KEEPER_WRAP, &request);
    struct kt_keeper_answer answer = rig_answer_to(&request);
    answer.tag ^= 1;
    rig_keeper_send(&rig, &answer);
    answer.tag = UINT64_MAX;
    rig_keeper_send(&rig, &answer);
    answer.tag = request.tag;
    answer.op = KT_KEEPER_UNWRAP;
    rig_keeper_send(&rig, &answer);
    answer.op = KT_KEEPER_WRAP;
    assert_int_equal(send(rig.keeper, &answer, 20, MSG_NOSIGNAL), 20);
    assert_int_equal(send(rig.keeper, &answer, sizeof(answer), MSG_NOSIGNAL), sizeof(answer));
    rig_keeper_send(&rig, &answer);
    rig_keeper_send(&rig, &answer);
    check_encrypted(&call, (const uint8_t *)"seed", 4);
    status_works();
}

/* ---- a keeper that is away ---- */

static void test_request_survives_keeper(void **state)
{
    (void)state;
    struct rig_call calls[3];
    struct kt_keeper_request request;
    rig_keeper_connect(&rig);
    for (size_t i = 0; i < 3; i++)
        start_encrypt(&calls[i], "seed", 4, RIG_WAIT_MS);
    rig_keeper_expect(&rig, KT_KEEPER_WRAP, &request);
    rig_keeper_close(&rig);
    rig_keeper_connect(&rig);
    for (size_t i = 0; i < 3; i++)
        serve_one(KT_KEEPER_WRAP);
    for (size_t i = 0; i < 3; i++)
        check_encrypted(&calls[i], (const uint8_t *)"seed", 4);
    assert_int_equal(atomic_load(&rig.page->keeper_connects), 2);
}

/* One request kills every keeper: it is not sent to a third, and takes no other call with it. */
static void test_request_that_kills_keepers(void **state)
{
    (void)state;
    struct rig_call innocent;
    struct rig_call guilty;
    struct kt_keeper_request request;
    rig_keeper_connect(&rig);
    start_encrypt(&innocent, "seed", 4, RIG_WAIT_MS);
    rig_keeper_expect(&rig, KT_KEEPER_WRAP, &request);
    start_encrypt(&guilty, "kill", 4, RIG_WAIT_MS);
    rig_keeper_expect(&rig, KT_KEEPER_WRAP, &request);
    assert_memory_equal(request.data, "kill", 4);
    rig_keeper_connect(&rig);
    rig_keeper_expect(&rig, KT_KEEPER_WRAP, &request);
    assert_memory_equal(request.data, "seed", 4);
    assert_false(rig_keeper_poll(&rig, &request, 50));
    rig_keeper_answer(&rig, &request);
    check_encrypted(&innocent, (const uint8_t *)"seed", 4);
    rig_keeper_expect(&rig, KT_KEEPER_WRAP, &request);
    assert_memory_equal(request.data, "kill", 4);
    rig_keeper_connect(&rig);
    check_refused(&guilty, GRPC_STATUS_UNAVAILABLE, "ended twice over this call");
    assert_false(rig_keeper_poll(&rig, &request, 50));
    status_works();
}

/* However patient the caller: nobody knows whether there still is one. */
static void test_no_call_waits_for_ever(void **state)
{
    (void)state;
    struct rig_call calls[2];
    uint64_t began = now_ms();
    start_encrypt(&calls[0], "seed", 4, 86400 * 1000);
    start_encrypt(&calls[1], "seed", 4, -1);
    for (size_t i = 0; i < 2; i++)
        check_refused(&calls[i], GRPC_STATUS_UNAVAILABLE, "is restarting");
    assert_true(now_ms() - began < 15000);
}

/* Lost, and nobody brings another one: it asks, and asks again. */
static void test_lost_keeper_is_asked_for(void **state)
{
    (void)state;
    struct rig_call call;
    rig_keeper_connect(&rig);
    status_works();
    rig_keeper_close(&rig);
    start_encrypt(&call, "seed", 4, RIG_WAIT_MS);
    assert_int_equal(rig_wait_message(&rig), KT_LIFE_WANT_PEER);
    assert_int_equal(rig_wait_message(&rig), KT_LIFE_WANT_PEER);
    rig_keeper_connect(&rig);
    serve_one(KT_KEEPER_WRAP);
    check_encrypted(&call, (const uint8_t *)"seed", 4);
    status_works();
}

static void test_status_while_keeper_is_away(void **state)
{
    (void)state;
    struct rig_call call;
    rig_keeper_connect(&rig);
    status_works();
    rig_keeper_close(&rig);
    atomic_store(&rig.supervisor->processes[KT_ROLE_KEEPER].restarts, 3);
    uint64_t began = now_ms();
    start_status(&call, 3000);
    check_status(&call, "the process that holds the keys is restarting (3 restarts); see journalctl -u keyturnd");
    assert_true(now_ms() - began < 2500);
    start_encrypt(&call, "seed", 4, 1000);
    check_refused(&call, GRPC_STATUS_UNAVAILABLE, "is restarting (3 restarts)");
    rig_keeper_connect(&rig);
    status_works();
}

static void publish(const char *id, uint32_t encrypts)
{
    struct kt_keeper_page *page = rig.keeper_page;
    kt_page_begin(&page->sequence);
    page->n_keys = 2;
    memset(page->keys[0].id, 'e', KT_KEY_ID_LEN);
    memset(page->keys[1].id, 0, sizeof(page->keys[1].id));
    memcpy(page->keys[1].id, id, strlen(id));
    page->keys[1].encrypts = encrypts;
    kt_page_end(&page->sequence);
}

/* What the keeper published last says which key it is that does not serve. */
static void test_front_that_starts_without_a_keeper(void **state)
{
    (void)state;
    struct rig_call call;
    publish(RIG_KEY_ID, 1);
    rig_restart(&rig);
    start_status(&call, RIG_WAIT_MS);
    check_status(&call, "the process that holds the keys is restarting");
    publish("ffffffffffffffffffffffffffffffff", 1); /* another one, once this front has spoken, only by an answer */
    start_status(&call, RIG_WAIT_MS);
    check_status(&call, "is restarting");
    publish("no key id", 1);
    rig_restart(&rig);
    start_status(&call, RIG_WAIT_MS);
    check_refused(&call, GRPC_STATUS_UNAVAILABLE, "is restarting");
}

static void test_hung_keeper(void **state)
{
    (void)state;
    struct rig_call call;
    struct kt_keeper_request request;
    rig_keeper_connect(&rig);
    status_works();
    start_encrypt(&call, "seed", 4, 400);
    check_refused(&call, GRPC_STATUS_UNAVAILABLE, "does not answer");
    start_status(&call, 400);
    check_status(&call, "does not answer");
    rig_keeper_expect(&rig, KT_KEEPER_WRAP, &request);
    rig_keeper_answer(&rig, &request); /* too late: nobody's */
    serve_one(KT_KEEPER_STATUS);
    status_works();
}

/* One that writes to a slow disk is late, not away. */
static void test_slow_keeper(void **state)
{
    (void)state;
    struct rig_call call;
    struct kt_keeper_request request;
    rig_keeper_connect(&rig);
    status_works();
    start_status(&call, 3000);
    rig_keeper_expect(&rig, KT_KEEPER_STATUS, &request);
    rig_turn(&rig, NULL, 1400);
    rig_keeper_answer(&rig, &request);
    check_status(&call, "ok");
}

static void more_streams(struct kt_child_config *config)
{
    config->kms_streams = 4000;
}

static int start_with_more_streams(void **state)
{
    (void)state;
    rig_start(&rig, more_streams);
    return 0;
}

/* What is over the bound hears so at once; the others wait for a keeper, and get it. */
static void test_bounded_table(void **state)
{
    (void)state;
    enum { WAITING = 1024, OVER = 76 };
    struct rig_call *calls = calloc(WAITING + OVER, sizeof(*calls));
    assert_non_null(calls);
    for (size_t i = 0; i < WAITING + OVER; i++)
        start_encrypt(&calls[i], "seed", 4, 4 * RIG_WAIT_MS);
    size_t refused = 0;
    for (uint64_t end = now_ms() + RIG_WAIT_MS; refused < OVER && now_ms() < end;) {
        rig_turn(&rig, NULL, 5);
        refused = atomic_load(&rig.page->calls[KT_METHOD_ENCRYPT][GRPC_STATUS_RESOURCE_EXHAUSTED]);
    }
    assert_int_equal(refused, OVER);
    rig_keeper_connect(&rig);
    for (size_t i = 0; i < WAITING; i++)
        serve_one(KT_KEEPER_WRAP);
    size_t good = 0;
    for (size_t i = 0; i < WAITING + OVER; i++) {
        rig_call_finish(&rig, &calls[i]);
        good += calls[i].status == GRPC_STATUS_OK;
    }
    assert_int_equal(good, WAITING);
    free(calls);
}

/* ---- who may come ---- */

static void nobody(struct kt_child_config *config)
{
    config->kms_uids = (struct kt_ids){.ids = {getuid() + 1}, .n = 1};
}

static int start_for_nobody(void **state)
{
    (void)state;
    rig_start(&rig, nobody);
    return 0;
}

static void test_refused_peer(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        int fd = rig_connect(&rig);
        char byte;
        struct pollfd waits = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&waits, 1, RIG_WAIT_MS), 1);
        assert_true(recv(fd, &byte, 1, MSG_DONTWAIT) <= 0); /* not even a SETTINGS frame */
        kt_fd_close(fd);
    }
    assert_int_equal(atomic_load(&rig.page->peers_refused), 3);
    assert_int_equal(atomic_load(&rig.page->peers_accepted), 0);
    rig.config.kms_gids = (struct kt_ids){.ids = {getgid()}, .n = 1};
    rig_configure(&rig);
    rig_keeper_connect(&rig);
    struct rig_call call;
    for (uint64_t end = now_ms() + RIG_WAIT_MS; atomic_load(&rig.page->peers_accepted) == 0 && now_ms() < end;) {
        start_status(&call, 200);
        rig_call_finish(&rig, &call);
    }
    assert_int_equal(atomic_load(&rig.page->peers_accepted), 1);
}

static int connect_accepted(uint64_t count)
{
    int fd = rig_connect(&rig);
    rig_counter_reaches(&rig, &rig.page->peers_accepted, count);
    return fd;
}

/* Who is taken off the lists is not served any more, connected or not; who is still on one of them notices nothing. */
static void test_revoked_peer(void **state)
{
    (void)state;
    struct rig_call call;
    struct kt_keeper_request request;
    rig_keeper_connect(&rig);
    status_works();
    int fd = connect_accepted(2);
    rig.config.kms_uids.n = 0;
    rig.config.kms_gids = (struct kt_ids){.ids = {getgid()}, .n = 1};
    rig_configure(&rig);
    status_works();
    kt_fd_close(connect_accepted(3)); /* so the new lists are in force */
    assert_false(rig_closed_within(fd, 50));
    start_encrypt(&call, "seed", 4, RIG_WAIT_MS);
    rig_keeper_expect(&rig, KT_KEEPER_WRAP, &request);
    rig.config.kms_gids = (struct kt_ids){.ids = {getgid() + 1}, .n = 1};
    rig_configure(&rig);
    assert_true(rig_closed_within(fd, RIG_WAIT_MS));
    check_refused(&call, GRPC_STATUS_UNAVAILABLE, "");
    rig_keeper_answer(&rig, &request); /* to nobody */
    start_status(&call, 1000);
    check_refused(&call, GRPC_STATUS_UNAVAILABLE, "");
    assert_int_equal(atomic_load(&rig.page->peers_accepted), 3);
    kt_fd_close(fd);
}

static void few_connections(struct kt_child_config *config)
{
    config->kms_connections = 4;
}

static int start_with_few_connections(void **state)
{
    (void)state;
    rig_start(&rig, few_connections);
    return 0;
}

static void test_connection_limit(void **state)
{
    (void)state;
    int fds[4];
    for (size_t i = 0; i < 4; i++)
        fds[i] = rig_connect(&rig);
    rig_counter_reaches(&rig, &rig.page->peers_accepted, 4);
    int over = rig_connect(&rig);
    rig_counter_reaches(&rig, &rig.page->seconds_full, 1);
    assert_int_equal(atomic_load(&rig.page->connections), 4);
    assert_int_equal(atomic_load(&rig.page->peers_accepted), 4);
    for (size_t i = 0; i < 4; i++)
        kt_fd_close(fds[i]);
    rig_counter_reaches(&rig, &rig.page->peers_accepted, 5); /* who waited was not sent away */
    kt_fd_close(over);
    for (uint64_t end = now_ms() + RIG_WAIT_MS; atomic_load(&rig.page->connections) != 0 && now_ms() < end;)
        (void)poll(NULL, 0, 5);
    assert_int_equal(atomic_load(&rig.page->connections), 0);
    rig_keeper_connect(&rig);
    status_works();
}

static void test_strangers_words(void **state)
{
    (void)state;
    static const char *const words[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nthis is no frame, but it is as long as several of them",
        "\x01\x02\x03",
    };
    rig_keeper_connect(&rig);
    for (size_t i = 0; i < KT_ARRAY_LEN(words); i++) {
        int fd = rig_connect(&rig);
        assert_true(send(fd, words[i], strlen(words[i]), MSG_NOSIGNAL) > 0);
        (void)shutdown(fd, SHUT_WR);
        status_works();
        assert_true(rig_closed_within(fd, RIG_WAIT_MS));
        kt_fd_close(fd);
    }
    int silent = rig_connect(&rig);
    status_works();
    kt_fd_close(silent);
}

#ifndef KT_SANITIZED
/* Out of descriptors: the listener stays, and takes callers again when some are free. */
static void test_out_of_descriptors(void **state)
{
    (void)state;
    struct rlimit limit;
    int fds[40];
    rig_keeper_connect(&rig);
    status_works();
    assert_int_equal(prlimit(rig.front, RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = 32;
    assert_int_equal(prlimit(rig.front, RLIMIT_NOFILE, &limit, NULL), 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(fds); i++)
        fds[i] = rig_connect(&rig);
    rig_counter_reaches(&rig, &rig.page->peers_accepted, 8);
    status_works();
    assert_true(atomic_load(&rig.page->peers_accepted) < KT_ARRAY_LEN(fds));
    for (size_t i = 0; i < KT_ARRAY_LEN(fds); i++)
        kt_fd_close(fds[i]);
    rig_counter_reaches(&rig, &rig.page->peers_accepted, KT_ARRAY_LEN(fds) + 1);
    int fd = rig_connect(&rig);
    rig_counter_reaches(&rig, &rig.page->peers_accepted, KT_ARRAY_LEN(fds) + 2);
    kt_fd_close(fd);
}

static void test_confined(void **state)
{
    (void)state;
    char path[64];
    char line[256];
    bool filtered = false;
    bool no_new_privs = false;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)rig.front);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        filtered |= strcmp(line, "Seccomp:\t2\n") == 0;
        no_new_privs |= strcmp(line, "NoNewPrivs:\t1\n") == 0;
    }
    (void)fclose(file);
    assert_true(filtered);
    assert_true(no_new_privs);
}
#endif

/* ---- its end ---- */

static void test_drain_finishes_calls(void **state)
{
    (void)state;
    struct rig_call call;
    struct kt_keeper_request request;
    rig_keeper_connect(&rig);
    start_encrypt(&call, "seed", 4, RIG_WAIT_MS);
    rig_keeper_expect(&rig, KT_KEEPER_WRAP, &request);
    rig_drain(&rig, RIG_WAIT_MS);
    rig_turn(&rig, NULL, 100);
    rig_keeper_answer(&rig, &request);
    check_encrypted(&call, (const uint8_t *)"seed", 4);
    assert_int_equal(rig_wait_exit(&rig), 0);
}

static void test_drain_breaks_off_what_hangs(void **state)
{
    (void)state;
    struct rig_call call;
    struct kt_keeper_request request;
    rig_keeper_connect(&rig);
    int silent = rig_connect(&rig);
    start_encrypt(&call, "seed", 4, RIG_WAIT_MS);
    rig_keeper_expect(&rig, KT_KEEPER_WRAP, &request);
    uint64_t began = now_ms();
    rig_drain(&rig, 3000);
    check_refused(&call, GRPC_STATUS_UNAVAILABLE, "");
    assert_int_equal(rig_wait_exit(&rig), 0);
    assert_true(now_ms() - began < 3000 + 2500);
    kt_fd_close(silent);
}

static void test_idle_drain_is_quick(void **state)
{
    (void)state;
    rig_keeper_connect(&rig);
    status_works();
    uint64_t began = now_ms();
    rig_drain(&rig, 10000);
    assert_int_equal(rig_wait_exit(&rig), 0);
    assert_true(now_ms() - began < 5000);
}

static void test_signals_are_the_supervisors(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1};
    rig_keeper_connect(&rig);
    for (size_t i = 0; i < KT_ARRAY_LEN(signals); i++) {
        assert_int_equal(kill(rig.front, signals[i]), 0);
        status_works();
    }
}

static void test_broken_protocol_ends_it(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    assert_true(kt_lifeline_send(rig.lifeline, KT_LIFE_WANT_OPENER, KT_SLICE("x", 1), NULL, 0, &err));
    int status = rig_wait_exit(&rig);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

#define TEST(name)             cmocka_unit_test_setup_teardown(name, start_plain, stop)
#define TEST_WITH(start, name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_without_keeper),
        TEST(test_keeper_without_keyring),
        TEST(test_round_trip),
        TEST(test_decrypt),
        TEST(test_keepers_errors),
        TEST(test_bad_requests),
        TEST(test_many_at_once_in_any_order),
        TEST(test_odd_answers),
        TEST(test_request_survives_keeper),
        TEST(test_request_that_kills_keepers),
        TEST(test_no_call_waits_for_ever),
        TEST(test_lost_keeper_is_asked_for),
        TEST(test_status_while_keeper_is_away),
        TEST(test_front_that_starts_without_a_keeper),
        TEST(test_hung_keeper),
        TEST(test_slow_keeper),
        TEST_WITH(start_with_more_streams, test_bounded_table),
        TEST_WITH(start_for_nobody, test_refused_peer),
        TEST(test_revoked_peer),
        TEST_WITH(start_with_few_connections, test_connection_limit),
        TEST(test_strangers_words),
#ifndef KT_SANITIZED
        TEST(test_out_of_descriptors),
        TEST(test_confined),
#endif
        TEST(test_drain_finishes_calls),
        TEST(test_drain_breaks_off_what_hangs),
        TEST(test_idle_drain_is_quick),
        TEST(test_signals_are_the_supervisors),
        TEST(test_broken_protocol_ends_it),
    };
    grpc_init();
    int failed = cmocka_run_group_tests_name("front", tests, NULL, NULL);
    grpc_shutdown_blocking();
    return failed;
}
