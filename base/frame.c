/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ipc.h"
#include "base/secret.h"
#include "base/wait.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER 4u

/* iovec has no const; sendmsg does not write. */
static struct iovec to_iovec(struct kt_slice bytes)
{
    struct iovec iov = {.iov_len = bytes.len};

    memcpy(&iov.iov_base, &bytes.data, sizeof(iov.iov_base));
    return iov;
}

static void advance(struct kt_slice *parts, size_t n_parts, size_t sent)
{
    for (size_t i = 0; i < n_parts; i++) {
        size_t n = sent < parts[i].len ? sent : parts[i].len;
        if (n > 0)
            parts[i].data += n;
        parts[i].len -= n;
        sent -= n;
    }
}

static bool send_some(int fd, struct kt_slice parts[2], uint64_t deadline_ns, struct kt_error *err)
{
    struct iovec iov[2] = {to_iovec(parts[0]), to_iovec(parts[1])};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n >= 0)
        advance(parts, 2, (size_t)n);
    else if (errno == EAGAIN)
        return kt_wait_fd(fd, POLLOUT, deadline_ns, err);
    else if (errno == EPIPE || errno == ECONNRESET)
        return kt_fail_errno(err, KT_E_UNREACHABLE, "cannot send: the other side has closed");
    else if (errno != EINTR)
        return kt_fail_errno(err, KT_E_IO, "cannot send");
    return true;
}

bool kt_frame_send(int fd, struct kt_slice body, uint64_t deadline_ns, struct kt_error *err)
{
    uint8_t header[HEADER] = {0};
    struct kt_writer w;

    if (body.len > UINT32_MAX)
        return kt_fail(err, KT_E_INTERNAL, "a frame of %zu bytes", body.len);
    kt_writer_init(&w, header, sizeof(header));
    kt_writer_u32(&w, (uint32_t)body.len);
    struct kt_slice parts[2] = {KT_SLICE(header, sizeof(header)), body};
    while (parts[0].len + parts[1].len > 0) {
        if (!send_some(fd, parts, deadline_ns, err))
            return false;
    }
    return true;
}

/* Exactly len bytes. *inside: part of the frame was read before, so that its end now is a cut. */
static bool receive(int fd, uint8_t *bytes, size_t len, bool inside, uint64_t deadline_ns, struct kt_error *err)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = recv(fd, bytes + done, len - done, MSG_DONTWAIT);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0)
            return kt_fail(err, KT_E_UNREACHABLE, "the other side has closed%s",
                           inside || done > 0 ? " in the middle of a message" : "");
        else if (errno == EAGAIN && !kt_wait_fd(fd, POLLIN, deadline_ns, err))
            return false;
        else if (errno == ECONNRESET)
            return kt_fail_errno(err, KT_E_UNREACHABLE, "cannot receive");
        else if (errno != EAGAIN && errno != EINTR)
            return kt_fail_errno(err, KT_E_IO, "cannot receive");
    }
    return true;
}

static bool receive_len(int fd, size_t max, uint64_t deadline_ns, size_t *ret, struct kt_error *err)
{
    uint8_t header[HEADER] = {0};
    struct kt_reader r;

    if (!receive(fd, header, sizeof(header), false, deadline_ns, err))
        return false;
    kt_reader_init(&r, KT_SLICE(header, sizeof(header)));
    size_t len = kt_reader_u32(&r);
    if (len > max)
        return kt_fail(err, KT_E_IO, "a message of %zu bytes, at most %zu are allowed", len, max);
    *ret = len;
    return true;
}

bool kt_frame_recv(int fd, size_t max, uint64_t deadline_ns, struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};

    if (!receive_len(fd, max, deadline_ns, &body.len, err))
        return false;
    body.data = malloc(body.len + 1);
    if (!body.data)
        return kt_fail(err, KT_E_NOMEM, "out of memory: %zu bytes", body.len);
    if (!receive(fd, body.data, body.len, true, deadline_ns, err))
        return false;
    body.data[body.len] = 0;
    ret->len = body.len;
    ret->data = KT_TAKE_PTR(body.data);
    return true;
}

struct kt_secret *kt_frame_recv_secret(int fd, size_t max, uint64_t deadline_ns, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *body = NULL;
    size_t len = 0;

    if (!receive_len(fd, max < KT_SECRET_MAX ? max : KT_SECRET_MAX, deadline_ns, &len, err))
        return NULL;
    if (len == 0) {
        (void)kt_fail(err, KT_E_IO, "an empty message, expected a secret");
        return NULL;
    }
    body = kt_secret_new(len, err);
    if (!body || !receive(fd, kt_secret_bytes(body), len, true, deadline_ns, err))
        return NULL;
    return KT_TAKE_PTR(body);
}
