/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/ipc.h"
#include "base/secret.h"
#include "scratch.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MS      UINT64_C(1000000)
#define FOREVER UINT64_MAX

struct pair {
    int a;
    int b;
};

static struct pair make_pair(void)
{
    int fds[2] = {-1, -1};

    assert_true(kt_ipc_pair(SOCK_STREAM, fds, NULL));
    return (struct pair){fds[0], fds[1]};
}

static void close_pair(struct pair *p)
{
    kt_fd_close(p->a);
    kt_fd_close(p->b);
}
#define PAIR(name) KT_CLEANUP(close_pair) struct pair name = make_pair()

struct sender {
    int fd;
    size_t len;
    bool ok;
};

static void *send_pattern(void *arg)
{
    struct sender *s = arg;
    uint8_t *bytes = malloc(s->len + 1);

    for (size_t i = 0; bytes && i < s->len; i++)
        bytes[i] = (uint8_t)(i % 251);
    s->ok = bytes && kt_frame_send(s->fd, KT_SLICE(bytes, s->len), FOREVER, NULL);
    free(bytes);
    return NULL;
}

static void test_frames(void **state)
{
    static const size_t sizes[] = {0, 1, 4, 65536, 1000003};
    PAIR(p);

    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(sizes); i++) {
        struct sender sender = {.fd = p.a, .len = sizes[i]};
        struct kt_error err = KT_ERROR_INIT;
        KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, send_pattern, &sender), 0);
        assert_true(kt_frame_recv(p.b, sizes[i], FOREVER, &body, &err));
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(sender.ok);
        assert_int_equal(body.len, sizes[i]);
        assert_int_equal(body.data[body.len], 0);
        for (size_t at = 0; at < body.len; at++)
            assert_true(body.data[at] == at % 251);
    }
}

/* Also the format itself: u32, big-endian, then the bytes. */
static void test_bytes_on_the_wire(void **state)
{
    uint8_t wire[16] = {0};
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};
    PAIR(p);

    (void)state;
    assert_true(kt_frame_send(p.a, KT_SLICE("abc", 3), FOREVER, NULL));
    assert_int_equal(recv(p.b, wire, sizeof(wire), 0), 7);
    assert_memory_equal(wire, "\0\0\0\3abc", 7);
    for (size_t i = 0; i < 7; i++) /* one byte at a time */
        assert_int_equal(send(p.a, wire + i, 1, 0), 1);
    assert_true(kt_frame_recv(p.b, 3, FOREVER, &body, NULL));
    assert_string_equal((const char *)body.data, "abc");
}

static void test_hostile_frames(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool closes;
        enum kt_code code;
        const char *part;
    } table[] = {
        {"\0\0\0\x11", 4, false, KT_E_IO, "a message of 17 bytes, at most 16"},
        {"\xff\xff\xff\xff", 4, false, KT_E_IO, "a message of 4294967295 bytes, at most 16"},
        {"", 0, true, KT_E_UNREACHABLE, "the other side has closed"},
        {"\0\0", 2, true, KT_E_UNREACHABLE, "in the middle of a message"},
        {"\0\0\0\x10", 4, true, KT_E_UNREACHABLE, "in the middle of a message"},
        {"\0\0\0\x10xxxxxxxxxxxxxxx", 19, true, KT_E_UNREACHABLE, "in the middle of a message"},
        {"", 0, false, KT_E_TIMEOUT, "too long"},
        {"\0\0\0", 3, false, KT_E_TIMEOUT, "too long"},
        {"\0\0\0\x10xxxxxxxxxxxxxxx", 19, false, KT_E_TIMEOUT, "too long"},
    };

    (void)state;
    for (size_t i = 0; i < 2 * KT_ARRAY_LEN(table); i++) {
        PAIR(p);
        size_t at = i / 2;
        struct kt_error err = KT_ERROR_INIT;
        struct kt_bytes body = {.data = NULL};
        uint64_t deadline = kt_clock_monotonic_ns() + 30 * MS;
        assert_int_equal(send(p.a, table[at].bytes, table[at].len, 0), (ssize_t)table[at].len);
        if (table[at].closes)
            kt_fd_close(KT_TAKE_FD(p.a));
        if (i % 2)
            assert_null(kt_frame_recv_secret(p.b, 16, deadline, &err));
        else
            assert_false(kt_frame_recv(p.b, 16, deadline, &body, &err));
        expect_error(&err, table[at].code, table[at].part);
        assert_null(body.data);
    }
}

static void *drip(void *arg)
{
    const int *fd = arg;
    const struct timespec pause_ns = {.tv_nsec = 5000000};

    while (send(*fd, "\0", 1, MSG_NOSIGNAL) == 1)
        (void)nanosleep(&pause_ns, NULL);
    return NULL;
}

/* One who sends a byte now and then gets no more time than one who sends nothing. */
static void test_deadline_is_absolute(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes body = {.data = NULL};
    pthread_t thread;
    PAIR(p);
    uint64_t start = kt_clock_monotonic_ns();

    (void)state;
    assert_int_equal(send(p.a, "\0\0\xff\xff", 4, 0), 4);
    assert_int_equal(pthread_create(&thread, NULL, drip, &p.a), 0);
    assert_false(kt_frame_recv(p.b, 65536, start + 100 * MS, &body, &err));
    uint64_t took = kt_clock_monotonic_ns() - start;
    kt_fd_close(KT_TAKE_FD(p.b));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(err.code, KT_E_TIMEOUT);
    assert_true(took >= 100 * MS && took < 5000 * MS);
}

static void test_send_fails(void **state)
{
    static const uint8_t big[4u * 1024u * 1024u];
    struct kt_error err = KT_ERROR_INIT;
    PAIR(p);

    (void)state;
    (void)signal(SIGPIPE, SIG_DFL); /* which would end this test */
    assert_false(kt_frame_send(p.a, KT_SLICE(big, sizeof(big)), kt_clock_monotonic_ns() + 30 * MS, &err));
    assert_int_equal(err.code, KT_E_TIMEOUT);
    kt_fd_close(KT_TAKE_FD(p.b));
    assert_false(kt_frame_send(p.a, KT_SLICE(big, sizeof(big)), FOREVER, &err));
    assert_int_equal(err.code, KT_E_UNREACHABLE);
}

static void test_secret(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    PAIR(p);

    (void)state;
    assert_true(kt_frame_send(p.a, KT_SLICE("0123456789abcdef", 16), FOREVER, NULL));
    struct kt_secret *secret = kt_frame_recv_secret(p.b, SIZE_MAX, FOREVER, &err);
    assert_non_null(secret);
    assert_int_equal(kt_secret_len(secret), 16);
    assert_memory_equal(kt_secret_view(secret), "0123456789abcdef", 16);
    kt_secret_free(secret);
    assert_true(kt_frame_send(p.a, KT_SLICE("", 0), FOREVER, NULL));
    assert_null(kt_frame_recv_secret(p.b, 16, FOREVER, &err));
    expect_error(&err, KT_E_IO, "an empty message");
    assert_int_equal(send(p.a, "\0\2\0\1", 4, 0), 4);
    assert_null(kt_frame_recv_secret(p.b, SIZE_MAX, FOREVER, &err));
    expect_error(&err, KT_E_IO, "a message of 131073 bytes, at most 131072");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_frames),         SCRATCH_TEST(test_bytes_on_the_wire),
        SCRATCH_TEST(test_hostile_frames), SCRATCH_TEST(test_deadline_is_absolute),
        SCRATCH_TEST(test_send_fails),     SCRATCH_TEST(test_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
