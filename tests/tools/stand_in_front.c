/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for keyturn-front in tests of the supervisor and the keeper: no gRPC, no filter. It takes connections on
 * the KMS socket and carries each struct kt_keeper_request, whole, to the keeper and its answer back; while there is no
 * keeper it waits for a fresh end and asks again, as the front does. On a request of operation LOSE it closes its end.
 */
#include "kmsplugin/children.h"
#include "kmsplugin/keeper_wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define CALLERS 64
#define LOSE    99u

static int listener = -1;
static int peer = -1;

static void end(int status)
{
    exit(status);
}

static void lifeline(void)
{
    uint8_t buffer[KT_LIFELINE_MAX];
    struct kt_lifeline_message message = {0};
    enum kt_ipc_got got = KT_IPC_NOTHING;
    if (!kt_lifeline_recv(KT_LIFELINE_FD, buffer, &message, &got, NULL) || got == KT_IPC_CLOSED)
        end(0);
    if (got != KT_IPC_MESSAGE)
        return;
    if (message.type == KT_LIFE_DRAIN)
        end(0);
    if (message.type == KT_LIFE_LISTEN) {
        listener = kt_lifeline_take_fd(&message);
        if (!kt_lifeline_send(KT_LIFELINE_FD, KT_LIFE_READY, KT_SLICE(NULL, 0), NULL, 0, NULL))
            end(1);
    }
    if (message.type == KT_LIFE_PEER) {
        kt_fd_close(peer);
        peer = kt_lifeline_take_fd(&message);
    }
    for (size_t i = 0; i < message.n_fds; i++)
        kt_fd_close(message.fds[i]);
}

static void wait_for_peer(void)
{
    while (peer < 0) {
        struct pollfd event = {.fd = KT_LIFELINE_FD, .events = POLLIN};
        (void)poll(&event, 1, -1);
        lifeline();
    }
}

/* False: the keeper went away before it answered. */
static bool ask_once(const struct kt_keeper_request *request, struct kt_keeper_answer *ret)
{
    if (send(peer, request, kt_keeper_request_size(request->len), MSG_NOSIGNAL) < 0)
        return false;
    struct pollfd events[] = {{.fd = peer, .events = POLLIN}, {.fd = KT_LIFELINE_FD, .events = POLLIN}};
    (void)poll(events, 2, -1);
    if (!events[0].revents)
        return false;
    ssize_t n = recv(peer, ret, sizeof(*ret), 0);
    return n > 0 && kt_keeper_answer_valid(ret, (size_t)n) && ret->tag == request->tag;
}

static void ask(const struct kt_keeper_request *request, struct kt_keeper_answer *ret)
{
    for (wait_for_peer(); !ask_once(request, ret); wait_for_peer()) {
        struct pollfd event = {.fd = KT_LIFELINE_FD, .events = POLLIN};
        int ready = poll(&event, 1, 0);
        if (ready <= 0) {
            kt_fd_close(peer);
            peer = -1;
        } else {
            lifeline();
        }
    }
}

static void lose(struct kt_keeper_answer *ret)
{
    kt_fd_close(peer);
    peer = -1;
    *ret = (struct kt_keeper_answer){.op = LOSE};
}

static bool serve(int fd)
{
    struct kt_keeper_request request;
    struct kt_keeper_answer answer = {.op = 0};
    if (recv(fd, &request, sizeof(request), MSG_WAITALL) != (ssize_t)sizeof(request))
        return false;
    if (request.op == LOSE)
        lose(&answer);
    else
        ask(&request, &answer);
    return send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) == (ssize_t)sizeof(answer);
}

int main(void)
{
    int callers[CALLERS];
    size_t n = 0;
    for (;;) {
        struct pollfd events[CALLERS + 2] = {{.fd = KT_LIFELINE_FD, .events = POLLIN},
                                             {.fd = n < CALLERS ? listener : -1, .events = POLLIN}};
        for (size_t i = 0; i < n; i++)
            events[i + 2] = (struct pollfd){.fd = callers[i], .events = POLLIN};
        size_t polled = n;
        (void)poll(events, polled + 2, -1);
        for (size_t i = polled; i-- > 0;) {
            if (events[i + 2].revents && !serve(callers[i])) {
                kt_fd_close(callers[i]);
                callers[i] = callers[--n];
            }
        }
        if (events[1].revents) {
            int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0)
                callers[n++] = fd;
        }
        if (events[0].revents)
            lifeline();
    }
}
