/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/opener_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER 4u

/* A frame being received: header, then body; which of the two bodies it is says where it goes. */
struct incoming {
    uint8_t header[HEADER];
    size_t got; /* header included */
    size_t len; /* of the body, known once the header is whole */
    uint8_t *body;
};

struct kt_opener_call {
    int fd;
    bool sending;
    size_t sent;               /* of the request, then of its secrets */
    struct kt_bytes request;   /* framed */
    struct kt_secret *secrets; /* framed */
    struct incoming in;
    struct kt_bytes public;
    struct kt_secret *secret;
    bool has_public; /* answer is filled but for the keys */
    bool answered;
    struct kt_opener_answer answer;
};

void kt_opener_call_free(struct kt_opener_call *call)
{
    if (!call)
        return;
    kt_fd_close(call->fd);
    kt_bytes_done(&call->request);
    kt_secret_free(call->secrets);
    kt_bytes_done(&call->public);
    kt_secret_free(call->secret);
    kt_opener_answer_done(&call->answer);
    free(call);
}

static void put_header(uint8_t *header, size_t len)
{
    struct kt_writer w = {.data = NULL};

    kt_writer_init(&w, header, HEADER);
    kt_writer_u32(&w, (uint32_t)len);
}

static bool frame_request(struct kt_opener_call *call, const struct kt_opener_request *request, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};

    if (!kt_opener_request_encode(request, &body, err))
        return false;
    call->request.data = malloc(HEADER + body.len + 1);
    if (!call->request.data)
        return kt_fail(err, KT_E_NOMEM, "no memory for a request of %zu bytes", body.len);
    put_header(call->request.data, body.len);
    memcpy(call->request.data + HEADER, body.data, body.len);
    call->request.len = HEADER + body.len;
    call->request.data[call->request.len] = '\0';
    return true;
}

static bool frame_secrets(struct kt_opener_call *call, const struct kt_opener_request *request, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *body = kt_opener_secrets_encode(request, err);

    if (!body)
        return false;
    call->secrets = kt_secret_new(HEADER + kt_secret_len(body), err);
    if (!call->secrets)
        return false;
    put_header(kt_secret_bytes(call->secrets), kt_secret_len(body));
    memcpy(kt_secret_bytes(call->secrets) + HEADER, kt_secret_view(body), kt_secret_len(body));
    return true;
}

struct kt_opener_call *kt_opener_call_new(int fd, const struct kt_opener_request *request, struct kt_error *err)
{
    KT_CLEANUP(kt_opener_call_free_p) struct kt_opener_call *call = calloc(1, sizeof(*call));
    int flags = fcntl(fd, F_GETFL);

    if (!call) {
        kt_fd_close(fd);
        (void)kt_fail(err, KT_E_NOMEM, "no memory to call the opener");
        return NULL;
    }
    call->fd = fd;
    call->sending = true;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        (void)kt_fail_errno(err, KT_E_IO, "the opener's socket");
        return NULL;
    }
    if (!frame_request(call, request, err) || !frame_secrets(call, request, err))
        return NULL;
    return KT_TAKE_PTR(call);
}

int kt_opener_call_fd(const struct kt_opener_call *call)
{
    return call->fd;
}

short kt_opener_call_events(const struct kt_opener_call *call)
{
    return (short)(call->sending ? POLLIN | POLLOUT : POLLIN);
}

bool kt_opener_call_answered(const struct kt_opener_call *call)
{
    return call->answered;
}

/* What is left to be sent; empty when all is. */
static struct kt_slice unsent(const struct kt_opener_call *call)
{
    size_t first = call->request.len;

    if (call->sent < first)
        return KT_SLICE(call->request.data + call->sent, first - call->sent);
    return KT_SLICE(kt_secret_view(call->secrets) + (call->sent - first),
                    first + kt_secret_len(call->secrets) - call->sent);
}

/* The documents and the secrets are not needed any more. */
static void stop_sending(struct kt_opener_call *call)
{
    call->sending = false;
    kt_bytes_done(&call->request);
    kt_secret_free(KT_TAKE_PTR(call->secrets));
}

static bool send_some(struct kt_opener_call *call, struct kt_error *err)
{
    while (call->sending) {
        struct kt_slice rest = unsent(call);
        ssize_t n = send(call->fd, rest.data, rest.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0)
            call->sent += (size_t)n;
        else if (errno == EAGAIN)
            return true;
        else if (errno == EPIPE || errno == ECONNRESET)
            stop_sending(call); /* it may have refused before it read everything: its answer is still to be read */
        else if (errno != EINTR)
            return kt_fail_errno(err, KT_E_IO, "cannot send to the opener");
        if (call->sending && unsent(call).len == 0)
            stop_sending(call);
    }
    return true;
}

/* The header is whole: room for the body. */
static bool make_room(struct kt_opener_call *call, struct kt_error *err)
{
    struct incoming *in = &call->in;
    struct kt_reader r = {.next = NULL};
    size_t max = call->has_public ? KT_OPENER_SECRET_MAX : KT_OPENER_PUBLIC_MAX;

    kt_reader_init(&r, KT_SLICE(in->header, HEADER));
    in->len = kt_reader_u32(&r);
    if (in->len == 0 || in->len > max)
        return kt_fail(err, KT_E_INTERNAL, "the opener sent a frame of %zu bytes, at most %zu are possible", in->len,
                       max);
    if (call->has_public) {
        call->secret = kt_secret_new(in->len, err);
        in->body = call->secret ? kt_secret_bytes(call->secret) : NULL;
        return call->secret != NULL;
    }
    call->public.data = malloc(in->len + 1);
    if (!call->public.data)
        return kt_fail(err, KT_E_NOMEM, "no memory for the opener's answer of %zu bytes", in->len);
    call->public.len = in->len;
    call->public.data[in->len] = '\0';
    in->body = call->public.data;
    return true;
}

enum got { GOT_FRAME, GOT_PART, GOT_ERROR };

static enum got fail_ended(struct kt_error *err)
{
    (void)kt_fail(err, KT_E_TIMEOUT, "the opener ended without an answer, most likely stopped at its deadline");
    (void)kt_error_hint(err,
                        "if this node's key store is only slow, raise opener.timeout in keyturn.yaml; else see the "
                        "log for keyturn-opener");
    return GOT_ERROR;
}

/* Up to the end of the header or of the body, whichever comes next. */
static enum got recv_some(struct kt_opener_call *call, struct kt_error *err)
{
    struct incoming *in = &call->in;
    bool header = in->got < HEADER;
    uint8_t *to = header ? in->header + in->got : in->body + (in->got - HEADER);
    size_t wanted = header ? HEADER - in->got : HEADER + in->len - in->got;
    ssize_t n = recv(call->fd, to, wanted, MSG_DONTWAIT);

    if (n > 0)
        in->got += (size_t)n;
    else if (n == 0 || errno == ECONNRESET)
        return fail_ended(err);
    else if (errno == EAGAIN)
        return GOT_PART;
    else if (errno != EINTR) {
        (void)kt_fail_errno(err, KT_E_IO, "cannot receive from the opener");
        return GOT_ERROR;
    }
    if (header && in->got == HEADER && !make_room(call, err))
        return GOT_ERROR;
    return in->got >= HEADER && in->got == HEADER + in->len ? GOT_FRAME : GOT_PART;
}

/* One whole frame, or as much as there is. */
static enum got recv_frame(struct kt_opener_call *call, struct kt_error *err)
{
    for (;;) {
        size_t before = call->in.got;
        enum got got = recv_some(call, err);

        if (got != GOT_PART || call->in.got == before)
            return got;
    }
}

bool kt_opener_call_step(struct kt_opener_call *call, struct kt_opener_answer *ret, enum kt_opener_progress *progress,
                         struct kt_error *err)
{
    enum got got = GOT_PART;

    if (!send_some(call, err))
        return false;
    got = recv_frame(call, err);
    if (got == GOT_FRAME && !call->has_public) {
        call->answered = true;
        if (!kt_opener_answer_decode(kt_bytes_view(&call->public), &call->answer, err))
            return false;
        call->has_public = true;
        call->in = (struct incoming){.got = 0};
        got = recv_frame(call, err);
    }
    if (got == GOT_ERROR)
        return false;
    if (got == GOT_PART) {
        *progress = KT_OPENER_WAITING;
        return true;
    }
    if (!kt_opener_keys_decode(call->secret, &call->answer, err))
        return false;
    *ret = call->answer;
    call->answer = (struct kt_opener_answer){.info = NULL};
    *progress = KT_OPENER_DONE;
    return true;
}
