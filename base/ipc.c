/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ipc.h"

#include "base/wait.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* Aligned as cmsg(3) wants it. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * KT_IPC_FDS_MAX)];
};

bool kt_ipc_pair(int type, int ret_fds[2], struct kt_error *err)
{
    int fds[2];

    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return kt_fail_errno(err, KT_E_IO, "cannot make a pair of sockets");
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return true;
}

static void put_fds(struct msghdr *msg, union control *control, const int *fds, size_t n_fds)
{
    size_t len = n_fds * sizeof(int);

    if (n_fds == 0)
        return;
    msg->msg_control = control->bytes;
    msg->msg_controllen = CMSG_SPACE(len);
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(cmsg), fds, len);
}

static bool fail_send(struct kt_error *err)
{
    if (errno == EPIPE || errno == ECONNRESET)
        return kt_fail_errno(err, KT_E_UNREACHABLE, "cannot send to another process of ours");
    return kt_fail_errno(err, KT_E_IO, "cannot send to another process of ours");
}

static bool send_one(int fd, const struct msghdr *msg, size_t len, uint64_t deadline, struct kt_error *err)
{
    for (;;) {
        ssize_t n = sendmsg(fd, msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            return (size_t)n == len || kt_fail(err, KT_E_IO, "a message was cut: %zd of %zu bytes sent", n, len);
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return fail_send(err);
        if (!kt_wait_fd(fd, POLLOUT, deadline, err))
            return false;
    }
}

bool kt_ipc_send(int fd, struct kt_slice message, const int *fds, size_t n_fds, int timeout_ms, struct kt_error *err)
{
    struct iovec iov = {.iov_len = message.len};
    union control control = {.bytes = {0}};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (message.len == 0 || message.len > KT_IPC_MESSAGE_MAX || n_fds > KT_IPC_FDS_MAX)
        return kt_fail(err, KT_E_INTERNAL, "a message of %zu bytes and %zu descriptors, possible are 1 to %u and %u",
                       message.len, n_fds, KT_IPC_MESSAGE_MAX, KT_IPC_FDS_MAX);
    memcpy(&iov.iov_base, &message.data, sizeof(iov.iov_base));
    put_fds(&msg, &control, fds, n_fds);
    return send_one(fd, &msg, message.len, kt_wait_deadline(timeout_ms), err);
}

static void close_fds(const struct kt_ipc_message *got)
{
    for (size_t i = 0; i < got->n_fds; i++)
        kt_fd_close(got->fds[i]);
}

/* All descriptors that arrived; those beyond the limit are closed at once. False: there were such. */
static bool take_fds(struct msghdr *msg, struct kt_ipc_message *got)
{
    bool fit = true;

    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd = -1;
            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
            if (got->n_fds < KT_IPC_FDS_MAX) {
                got->fds[got->n_fds++] = fd;
            } else {
                kt_fd_close(fd);
                fit = false;
            }
        }
    }
    return fit;
}

static ssize_t receive(int fd, struct msghdr *msg)
{
    ssize_t n;

    do
        n = recvmsg(fd, msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Nothing of a message that came in part is used. */
static bool check_whole(const struct msghdr *msg, bool fit, struct kt_error *err)
{
    if (msg->msg_flags & MSG_TRUNC)
        return kt_fail(err, KT_E_IO, "a message from another process of ours is longer than %zu bytes",
                       msg->msg_iov->iov_len);
    if (!fit || msg->msg_flags & MSG_CTRUNC)
        return kt_fail(err, KT_E_IO, "a message from another process of ours has more than %u descriptors",
                       KT_IPC_FDS_MAX);
    return true;
}

bool kt_ipc_recv(int fd, void *buffer, size_t cap, struct kt_ipc_message *ret, enum kt_ipc_got *ret_got,
                 struct kt_error *err)
{
    struct iovec iov = {.iov_base = buffer, .iov_len = cap};
    union control control = {.bytes = {0}};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    struct kt_ipc_message got = {.len = 0};
    ssize_t n = receive(fd, &msg);

    if (n < 0 && errno != EAGAIN && errno != ECONNRESET)
        return kt_fail_errno(err, KT_E_IO, "cannot receive from another process of ours");
    if (n < 0) {
        *ret_got = errno == EAGAIN ? KT_IPC_NOTHING : KT_IPC_CLOSED;
        return true;
    }
    bool fit = take_fds(&msg, &got);
    if (n == 0 || !check_whole(&msg, fit, err)) {
        close_fds(&got);
        if (n == 0)
            *ret_got = KT_IPC_CLOSED;
        return n == 0;
    }
    got.len = (size_t)n;
    *ret = got;
    *ret_got = KT_IPC_MESSAGE;
    return true;
}
