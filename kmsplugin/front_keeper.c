/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/front_keeper.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define MS           UINT64_C(1000000)
#define WAIT_US      2000 /* rounded up to a tick of the kernel's clock */
#define INTERVAL_MIN (1 * MS)
#define INTERVAL_MAX (32 * MS)
#define EXPIRE_EVERY (10 * MS)

struct kt_link {
    struct kt_link_sink sink;
    int fd;           /* -1: no keeper */
    _Atomic int next; /* offered by the other thread; -1: nothing */
    bool silent;
    uint64_t interval_ns;
    uint64_t expired_ns; /* when that was last looked at */
    struct kt_pending_table table;
    struct iovec out[KT_KEEPER_BATCH];
    _Alignas(struct kt_keeper_answer) uint8_t in[KT_KEEPER_ANSWERS_SIZE];
};

struct kt_link *kt_link_new(const struct kt_link_sink *sink, struct kt_error *err)
{
    struct kt_link *link = calloc(1, sizeof(*link));
    if (!link || !kt_pending_init(&link->table, err)) {
        free(link);
        (void)kt_fail(err, KT_E_NOMEM, "no memory for the link to the keeper");
        return NULL;
    }
    link->sink = *sink;
    link->fd = -1;
    link->interval_ns = INTERVAL_MIN;
    atomic_init(&link->next, -1);
    return link;
}

void kt_link_free(struct kt_link *link)
{
    if (!link)
        return;
    kt_fd_close(link->fd);
    kt_fd_close(atomic_load(&link->next));
    kt_pending_done(&link->table);
    free(link);
}

void kt_link_offer(struct kt_link *link, int fd)
{
    kt_fd_close(atomic_exchange(&link->next, fd));
}

struct kt_pending *kt_link_take(struct kt_link *link)
{
    return kt_pending_take(&link->table);
}

void kt_link_submit(struct kt_link *link, struct kt_pending *pending)
{
    kt_pending_queue(&link->table, pending);
}

void kt_link_cancel(struct kt_link *link, struct kt_pending *pending)
{
    kt_pending_release(&link->table, pending);
}

size_t kt_link_waiting(const struct kt_link *link)
{
    return link->table.n;
}

bool kt_link_connected(const struct kt_link *link)
{
    return link->fd >= 0;
}

uint64_t kt_link_interval_ns(const struct kt_link *link)
{
    return link->fd < 0 || link->silent ? link->interval_ns : 0;
}

static void give_up(struct kt_link *link, struct kt_pending *pending, enum kt_link_end why)
{
    void *call = pending->call;
    kt_pending_release(&link->table, pending);
    link->sink.gave_up(link->sink.context, call, why);
}

static void lose(struct kt_link *link)
{
    struct kt_pending *pending;
    kt_fd_close(link->fd);
    link->fd = -1;
    kt_pending_requeue(&link->table);
    link->sink.changed(link->sink.context, false);
    while ((pending = kt_pending_lost(&link->table)) != NULL)
        give_up(link, pending, KT_LINK_LOST);
}

/* Blocking, so that one system call both waits for an answer and takes it. */
static bool prepare_end(int fd)
{
    const struct timeval wait = {.tv_usec = WAIT_US};
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0;
}

static void adopt(struct kt_link *link)
{
    if (atomic_load_explicit(&link->next, memory_order_relaxed) < 0)
        return;
    int fd = atomic_exchange(&link->next, -1);
    if (link->fd >= 0)
        lose(link);
    if (!prepare_end(fd)) {
        kt_fd_close(fd);
        link->sink.changed(link->sink.context, false);
        return;
    }
    link->fd = fd;
    link->silent = false;
    link->interval_ns = INTERVAL_MIN;
    link->sink.changed(link->sink.context, true);
}

/* One that a keeper died over goes alone, so that no other is lost by what it does. */
static bool waits_for_its_turn(const struct kt_link *link)
{
    const struct kt_pending *sent = TAILQ_FIRST(&link->table.sent);
    return sent && (sent->losses > 0 || TAILQ_FIRST(&link->table.queued)->losses > 0);
}

/* As many as one message takes; 0: not now. */
static size_t gather(struct kt_link *link)
{
    size_t n = 0;
    size_t total = 0;
    struct kt_pending *pending;
    if (waits_for_its_turn(link))
        return 0;
    for (pending = TAILQ_FIRST(&link->table.queued); pending; pending = TAILQ_NEXT(pending, link)) {
        size_t size = kt_keeper_request_size(pending->request.len);
        if (n == KT_KEEPER_BATCH || total + size > KT_KEEPER_REQUESTS_SIZE)
            break;
        link->out[n++] = (struct iovec){.iov_base = &pending->request, .iov_len = size};
        total += size;
        if (pending->losses > 0)
            break;
    }
    return n;
}

/* False: the socket takes no more now, or is gone. */
static bool send_batch(struct kt_link *link)
{
    const struct msghdr message = {.msg_iov = link->out, .msg_iovlen = gather(link)};
    if (message.msg_iovlen == 0)
        return false;
    ssize_t sent = sendmsg(link->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM))
        return false;
    if (sent < 0 && errno != EINTR) {
        lose(link);
        return false;
    }
    for (size_t i = 0; sent >= 0 && i < message.msg_iovlen; i++)
        kt_pending_mark_sent(&link->table, TAILQ_FIRST(&link->table.queued));
    return true;
}

void kt_link_flush(struct kt_link *link)
{
    adopt(link);
    while (link->fd >= 0 && !TAILQ_EMPTY(&link->table.queued)) {
        if (!send_batch(link))
            return;
    }
}

/* An answer that nobody waits for is one that was given up. */
static void take_answer(struct kt_link *link, const struct kt_keeper_answer *answer)
{
    struct kt_pending *pending = kt_pending_find(&link->table, answer->tag);
    if (!pending || pending->request.op != answer->op)
        return;
    void *call = pending->call;
    kt_pending_release(&link->table, pending);
    link->sink.answered(link->sink.context, call, answer);
}

static void take_answers(struct kt_link *link, size_t len)
{
    size_t size = 0;
    for (size_t at = 0; at < len; at += size) {
        const struct kt_keeper_answer *answer = (const void *)&link->in[at];
        size = kt_keeper_answer_first(answer, len - at);
        if (size == 0)
            break;
        take_answer(link, answer);
    }
    explicit_bzero(link->in, len);
}

static void heard(struct kt_link *link, bool anything)
{
    if (anything) {
        link->silent = false;
        link->interval_ns = INTERVAL_MIN;
    } else if (!link->silent) {
        link->silent = true;
    } else if (link->interval_ns < INTERVAL_MAX) {
        link->interval_ns *= 2;
    }
}

void kt_link_receive(struct kt_link *link)
{
    struct iovec room = {.iov_base = link->in, .iov_len = sizeof(link->in)};
    struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1};
    if (link->fd < 0) {
        heard(link, false);
        return;
    }
    ssize_t n = recvmsg(link->fd, &message, link->silent ? MSG_DONTWAIT : 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        lose(link);
        return;
    }
    heard(link, n > 0);
    if (n > 0)
        take_answers(link, (size_t)n);
}

void kt_link_expire(struct kt_link *link, uint64_t now_ns)
{
    struct kt_pending *pending;
    bool all = now_ns == UINT64_MAX; /* no time of day: nothing is to be reckoned from it later */
    if (!all && now_ns - link->expired_ns < EXPIRE_EVERY)
        return;
    if (!all)
        link->expired_ns = now_ns;
    while ((pending = kt_pending_expired(&link->table, now_ns)) != NULL)
        give_up(link, pending, KT_LINK_LATE);
}
