/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/ipc.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#define MS UINT64_C(1000000)

struct pair {
    int a;
    int b;
};

static struct pair make_pair(void)
{
    struct kt_error err = KT_ERROR_INIT;
    int fds[2] = {-1, -1};

    assert_true(kt_ipc_pair(SOCK_SEQPACKET, fds, &err));
    return (struct pair){fds[0], fds[1]};
}

static void close_pair(struct pair *p)
{
    kt_fd_close(p->a);
    kt_fd_close(p->b);
}
#define PAIR(name) KT_CLEANUP(close_pair) struct pair name = make_pair()

static void test_pair(void **state)
{
    static const int types[] = {SOCK_SEQPACKET, SOCK_STREAM};
    struct kt_error err = KT_ERROR_INIT;
    int fds[2] = {-1, -1};

    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(types); i++) {
        assert_true(kt_ipc_pair(types[i], fds, &err));
        for (int end = 0; end < 2; end++) {
            int type = 0;
            socklen_t len = sizeof(type);
            assert_int_equal(fcntl(fds[end], F_GETFD), FD_CLOEXEC);
            assert_true(fcntl(fds[end], F_GETFL) & O_NONBLOCK);
            assert_int_equal(getsockopt(fds[end], SOL_SOCKET, SO_TYPE, &type, &len), 0);
            assert_int_equal(type, types[i]);
            kt_fd_close(fds[end]);
        }
    }
    fds[0] = -7;
    assert_false(kt_ipc_pair(9999, fds, &err));
    assert_int_equal(fds[0], -7);
}

static enum kt_ipc_got receive(int fd, void *buffer, size_t cap, struct kt_ipc_message *ret)
{
    struct kt_error err = KT_ERROR_INIT;
    enum kt_ipc_got got = KT_IPC_NOTHING;

    if (!kt_ipc_recv(fd, buffer, cap, ret, &got, &err))
        fail_msg("%s", err.message);
    return got;
}

static void test_messages_keep_their_bounds(void **state)
{
    static const size_t sizes[] = {1, 2, 1000, 4096, KT_IPC_MESSAGE_MAX};
    static uint8_t sent[KT_IPC_MESSAGE_MAX];
    static uint8_t received[KT_IPC_MESSAGE_MAX];
    struct kt_ipc_message message;
    PAIR(p);

    (void)state;
    assert_int_equal(receive(p.b, received, sizeof(received), &message), KT_IPC_NOTHING);
    for (size_t i = 0; i < KT_ARRAY_LEN(sizes); i++) {
        memset(sent, 'a' + (int)i, sizes[i]);
        assert_true(kt_ipc_send(p.a, KT_SLICE(sent, sizes[i]), NULL, 0, 0, NULL));
        assert_true(kt_ipc_send(p.a, KT_SLICE("next", 4), NULL, 0, 0, NULL));
        assert_int_equal(receive(p.b, received, sizes[i], &message), KT_IPC_MESSAGE); /* a buffer that just fits */
        assert_int_equal(message.len, sizes[i]);
        assert_int_equal(message.n_fds, 0);
        assert_memory_equal(sent, received, sizes[i]);
        assert_int_equal(receive(p.b, received, sizeof(received), &message), KT_IPC_MESSAGE);
        assert_int_equal(message.len, 4);
    }
}

static ino_t inode(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

static void test_descriptors_pass(void **state)
{
    char buffer[8];
    struct kt_ipc_message message;
    PAIR(p);
    PAIR(q);
    PAIR(r);
    const int fds[KT_IPC_FDS_MAX] = {q.a, q.b, r.a, r.b};

    (void)state;
    for (size_t n = 0; n <= KT_IPC_FDS_MAX; n++) {
        assert_true(kt_ipc_send(p.a, KT_SLICE("x", 1), fds, n, 0, NULL));
        assert_int_equal(receive(p.b, buffer, sizeof(buffer), &message), KT_IPC_MESSAGE);
        assert_int_equal(message.n_fds, n);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(inode(message.fds[i]), inode(fds[i]));
            assert_int_equal(fcntl(message.fds[i], F_GETFD), FD_CLOEXEC);
            kt_fd_close(message.fds[i]);
        }
    }
}

/* What kt_ipc_send would not send. */
static void send_raw(int fd, const void *bytes, size_t len, int n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 64)];
    } control = {.bytes = {0}};
    char copy[64] = {0};
    struct iovec iov = {.iov_base = copy, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    memcpy(copy, bytes, len);
    if (n_fds > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n_fds);
        for (int i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(cmsg) + (size_t)i * sizeof(int), &fd, sizeof(int));
    }
    assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), (ssize_t)len);
}

static void test_hostile_messages(void **state)
{
    static const struct {
        size_t len;
        int n_fds;
        const char *part;
    } table[] = {
        {9, 0, "longer than 8 bytes"},      {64, 4, "longer than 8 bytes"}, {1, 5, "more than 4 descriptors"},
        {8, 64, "more than 4 descriptors"}, {9, 5, "longer than 8 bytes"},
    };
    static const char bytes[64];
    char buffer[8];
    struct kt_ipc_message message = {.len = 77};
    enum kt_ipc_got got = KT_IPC_NOTHING;
    PAIR(p);

    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_error err = KT_ERROR_INIT;
        size_t before = count_fds();
        send_raw(p.a, bytes, table[i].len, table[i].n_fds);
        send_raw(p.a, "good", 4, 0);
        assert_false(kt_ipc_recv(p.b, buffer, sizeof(buffer), &message, &got, &err));
        expect_error(&err, KT_E_IO, table[i].part);
        assert_int_equal(message.len, 77);
        assert_int_equal(count_fds(), before);
        assert_int_equal(receive(p.b, buffer, sizeof(buffer), &message), KT_IPC_MESSAGE);
        assert_int_equal(message.len, 4);
        message.len = 77;
    }
}

/* A message without bytes looks like the end; descriptors that hang on it must not stay. */
static void test_empty_message(void **state)
{
    char buffer[8];
    struct kt_ipc_message message;
    PAIR(p);
    size_t before = count_fds();

    (void)state;
    send_raw(p.a, "", 0, 0);
    assert_int_equal(receive(p.b, buffer, sizeof(buffer), &message), KT_IPC_CLOSED);
    send_raw(p.a, "", 0, 3);
    assert_int_equal(receive(p.b, buffer, sizeof(buffer), &message), KT_IPC_CLOSED);
    assert_int_equal(count_fds(), before);
}

static void test_closed(void **state)
{
    char buffer[8];
    struct kt_ipc_message message;
    struct kt_error err = KT_ERROR_INIT;
    PAIR(p);

    (void)state;
    (void)signal(SIGPIPE, SIG_DFL); /* which would end this test */
    assert_true(kt_ipc_send(p.a, KT_SLICE("last", 4), NULL, 0, 0, NULL));
    kt_fd_close(KT_TAKE_FD(p.a));
    assert_int_equal(receive(p.b, buffer, sizeof(buffer), &message), KT_IPC_MESSAGE);
    assert_int_equal(receive(p.b, buffer, sizeof(buffer), &message), KT_IPC_CLOSED);
    assert_false(kt_ipc_send(p.b, KT_SLICE("x", 1), NULL, 0, -1, &err));
    assert_int_equal(err.code, KT_E_UNREACHABLE);
    assert_false(kt_ipc_send(987654, KT_SLICE("x", 1), NULL, 0, -1, &err));
    assert_int_equal(err.code, KT_E_IO);
}

static void test_send_limits(void **state)
{
    static const uint8_t bytes[KT_IPC_MESSAGE_MAX + 1];
    const int fds[KT_IPC_FDS_MAX + 1] = {0};
    struct kt_error err = KT_ERROR_INIT;
    char buffer[8];
    struct kt_ipc_message message;
    PAIR(p);

    (void)state;
    assert_false(kt_ipc_send(p.a, KT_SLICE(bytes, 0), NULL, 0, 0, &err));
    assert_int_equal(err.code, KT_E_INTERNAL);
    assert_false(kt_ipc_send(p.a, KT_SLICE(bytes, sizeof(bytes)), NULL, 0, 0, &err));
    assert_int_equal(err.code, KT_E_INTERNAL);
    assert_false(kt_ipc_send(p.a, KT_SLICE(bytes, 1), fds, KT_ARRAY_LEN(fds), 0, &err));
    assert_int_equal(err.code, KT_E_INTERNAL);
    assert_int_equal(receive(p.b, buffer, sizeof(buffer), &message), KT_IPC_NOTHING);
}

static void fill(int fd)
{
    static const uint8_t bytes[8192];
    struct kt_error err = KT_ERROR_INIT;

    while (kt_ipc_send(fd, KT_SLICE(bytes, sizeof(bytes)), NULL, 0, 0, &err))
        ;
    assert_int_equal(err.code, KT_E_TIMEOUT);
}

static void test_send_timeout(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    PAIR(p);

    (void)state;
    fill(p.a);
    uint64_t start = kt_clock_monotonic_ns();
    assert_false(kt_ipc_send(p.a, KT_SLICE("x", 1), NULL, 0, 60, &err));
    uint64_t took = kt_clock_monotonic_ns() - start;
    assert_int_equal(err.code, KT_E_TIMEOUT);
    assert_true(took >= 60 * MS && took < 5000 * MS);
}

static void on_alarm(int number)
{
    (void)number;
}

/* Signals all the while: no call may end early or wait anew. */
static void test_send_timeout_under_signals(void **state)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval often = {.it_value = {.tv_usec = 1000}, .it_interval = {.tv_usec = 1000}};
    struct kt_error err = KT_ERROR_INIT;
    PAIR(p);

    (void)state;
    fill(p.a);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    uint64_t start = kt_clock_monotonic_ns();
    assert_false(kt_ipc_send(p.a, KT_SLICE("x", 1), NULL, 0, 60, &err));
    uint64_t took = kt_clock_monotonic_ns() - start;
    often = (struct itimerval){.it_value = {.tv_usec = 0}};
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    assert_int_equal(err.code, KT_E_TIMEOUT);
    assert_true(took >= 60 * MS && took < 5000 * MS);
}

static void *drain(void *arg)
{
    static uint8_t buffer[8192];
    struct kt_ipc_message message;
    enum kt_ipc_got got = KT_IPC_NOTHING;
    const int *fd = arg;

    do {
        if (!kt_ipc_recv(*fd, buffer, sizeof(buffer), &message, &got, NULL))
            break;
    } while (got != KT_IPC_MESSAGE || message.len != 1);
    return NULL;
}

static void test_send_waits_for_room(void **state)
{
    pthread_t thread;
    PAIR(p);

    (void)state;
    fill(p.a);
    assert_int_equal(pthread_create(&thread, NULL, drain, &p.b), 0);
    assert_true(kt_ipc_send(p.a, KT_SLICE("x", 1), NULL, 0, -1, NULL));
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_pair),
        SCRATCH_TEST(test_messages_keep_their_bounds),
        SCRATCH_TEST(test_descriptors_pass),
        SCRATCH_TEST(test_hostile_messages),
        SCRATCH_TEST(test_empty_message),
        SCRATCH_TEST(test_closed),
        SCRATCH_TEST(test_send_limits),
        SCRATCH_TEST(test_send_timeout),
        SCRATCH_TEST(test_send_timeout_under_signals),
        SCRATCH_TEST(test_send_waits_for_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
