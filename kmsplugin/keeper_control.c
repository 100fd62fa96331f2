/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/ipc.h"
#include "kmsplugin/keeper.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define FRAME_HEAD 4u
/* When all places are taken, one who keeps us waiting for longer makes room for who waits outside. */
#define PATIENCE_NS (KT_NS_PER_S / 5)

static struct kt_client *find_free(struct kt_keeper *k)
{
    for (size_t i = 0; i < KT_CLIENTS_MAX; i++) {
        if (k->clients[i].phase == KT_CLIENT_FREE)
            return &k->clients[i];
    }
    return NULL;
}

static uint64_t patient_until(const struct kt_client *client)
{
    return client->deadline_ns - KT_CLIENT_TIMEOUT_S * KT_NS_PER_S + PATIENCE_NS;
}

/* Index of the client that we have waited for longest; KT_CLIENTS_MAX if all wait for us. */
static size_t find_slow(const struct kt_keeper *k)
{
    size_t slow = KT_CLIENTS_MAX;
    for (size_t i = 0; i < KT_CLIENTS_MAX; i++) {
        const struct kt_client *client = &k->clients[i];
        if (client->phase == KT_CLIENT_FREE || client->phase == KT_CLIENT_WAIT)
            continue;
        if (slow == KT_CLIENTS_MAX || client->deadline_ns < k->clients[slow].deadline_ns)
            slow = i;
    }
    return slow;
}

/* When there is a place for one more: 0 now, KT_NEVER not by waiting. */
static uint64_t room_at(const struct kt_keeper *k)
{
    for (size_t i = 0; i < KT_CLIENTS_MAX; i++) {
        if (k->clients[i].phase == KT_CLIENT_FREE)
            return 0;
    }
    size_t slow = find_slow(k);
    return slow < KT_CLIENTS_MAX ? patient_until(&k->clients[slow]) : KT_NEVER;
}

static void drop(struct kt_keeper *k, struct kt_client *client)
{
    kt_keeper_client_gone(k, client->serial);
    kt_fd_close(client->fd);
    kt_bytes_done(&client->body);
    kt_bytes_done(&client->reply);
    *client = (struct kt_client){.phase = KT_CLIENT_FREE, .fd = -1};
}

enum right { RIGHT_NONE, RIGHT_ASK, RIGHT_ALL };

static void refuse(struct kt_keeper *k, const struct kt_peer *peer, const struct kt_error *why)
{
    uint64_t more = 0;
    kt_count(&k->page->control_peers_refused);
    if (!kt_refusals_note(&k->refusals, peer->uid, kt_clock_monotonic_ns(), &more))
        return;
    if (why->code != KT_OK)
        kt_log_error(KT_LOG_WARNING, "control-peer-unknown", why);
    else
        kt_log(KT_LOG_WARNING, "control-peer-refused", KT_NUM("uid", peer->uid), KT_INT("pid", peer->pid),
               KT_NUM("more", more), KT_TEXT("hint", "who may ask, besides root, is in control.uids of keyturn.yaml"));
}

/* Root and our own uid may do all, the configured ones ask and offer. */
static enum right judge(struct kt_keeper *k, int fd)
{
    const uid_t masters[] = {0, geteuid()};
    const struct kt_peer_rules all = {.uids = masters, .n_uids = KT_ARRAY_LEN(masters)};
    const struct kt_peer_rules some = {.uids = k->config.control_uids.ids, .n_uids = k->config.control_uids.n};
    struct kt_peer peer = {.uid = (uid_t)-1, .gid = (gid_t)-1};
    struct kt_error error = KT_ERROR_INIT;
    bool known = kt_peer_get(fd, &peer, &error);
    if (known && kt_peer_allowed(&peer, &all))
        return RIGHT_ALL;
    if (known && kt_peer_allowed(&peer, &some))
        return RIGHT_ASK;
    refuse(k, &peer, &error);
    return RIGHT_NONE;
}

/* There is one: room_at was asked. */
static struct kt_client *make_room(struct kt_keeper *k)
{
    struct kt_client *client = find_free(k);
    if (client)
        return client;
    client = &k->clients[find_slow(k)];
    drop(k, client);
    return client;
}

/* Closed before a byte is read. */
static void admit(struct kt_keeper *k, int fd)
{
    enum right right = judge(k, fd);
    if (right == RIGHT_NONE) {
        kt_fd_close(fd);
        return;
    }
    struct kt_client *client = make_room(k);
    if (++k->last_serial == 0)
        k->last_serial = 1;
    *client = (struct kt_client){.phase = KT_CLIENT_HEAD,
                                 .fd = fd,
                                 .serial = k->last_serial,
                                 .may_reload = right == RIGHT_ALL,
                                 .deadline_ns = kt_clock_monotonic_ns() + KT_CLIENT_TIMEOUT_S * KT_NS_PER_S};
}

void kt_keeper_accept(struct kt_keeper *k)
{
    if (room_at(k) > kt_clock_monotonic_ns())
        return;
    int fd = accept4(k->control, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        admit(k, fd);
}

/* Takes the packed reply and starts to send it, framed. */
static void answer(struct kt_keeper *k, struct kt_client *client, struct kt_bytes *reply)
{
    struct kt_writer w;
    client->reply = (struct kt_bytes){.data = malloc(FRAME_HEAD + reply->len + 1), .len = FRAME_HEAD + reply->len};
    if (!reply->data || !client->reply.data) {
        kt_bytes_done(reply);
        drop(k, client);
        return;
    }
    kt_writer_init(&w, client->reply.data, client->reply.len);
    kt_writer_u32(&w, (uint32_t)reply->len);
    kt_writer_bytes(&w, reply->data, reply->len);
    kt_bytes_done(reply);
    kt_bytes_done(&client->body);
    client->done = 0;
    client->phase = KT_CLIENT_REPLY;
    client->deadline_ns = kt_clock_monotonic_ns() + KT_CLIENT_TIMEOUT_S * KT_NS_PER_S;
}

static void answer_error(struct kt_keeper *k, struct kt_client *client, const struct kt_error *error)
{
    struct kt_bytes reply = kt_keeper_pack_error(error);
    answer(k, client, &reply);
}

void kt_keeper_reply(struct kt_keeper *k, uint32_t client, struct kt_bytes *reply)
{
    for (size_t i = 0; i < KT_CLIENTS_MAX; i++) {
        if (k->clients[i].phase == KT_CLIENT_WAIT && k->clients[i].serial == client) {
            answer(k, &k->clients[i], reply);
            return;
        }
    }
    kt_bytes_done(reply);
}

static bool serve_status(struct kt_keeper *k, struct kt_client *client, struct kt_slice document, struct kt_error *err)
{
    if (document.len > 0)
        return kt_fail(err, KT_E_USAGE, "a status request takes no document");
    struct kt_bytes reply = kt_keeper_pack_status(k);
    answer(k, client, &reply);
    return true;
}

static bool serve_offer(struct kt_keeper *k, struct kt_client *client, struct kt_slice document, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes copy = {.data = NULL};
    if (document.len == 0)
        return kt_fail(err, KT_E_USAGE, "an offer without a keyring");
    if (document.len > KT_KEYRING_MAX)
        return kt_fail(err, KT_E_KEYRING_FORMAT, "the keyring has %zu bytes, at most %u are possible", document.len,
                       KT_KEYRING_MAX);
    if (!kt_bytes_copy(document, &copy, err))
        return false;
    client->phase = KT_CLIENT_WAIT;
    return kt_keeper_offer(k, client->serial, &copy, err);
}

static bool serve_reload(struct kt_keeper *k, struct kt_client *client, struct kt_slice document, struct kt_error *err)
{
    if (!client->may_reload)
        return kt_fail(err, KT_E_DENIED, "only root and keyturnd's own uid may have keyring.yaml taken in from disk");
    if (document.len > 0)
        return kt_fail(err, KT_E_USAGE, "a reload takes no document");
    client->phase = KT_CLIENT_WAIT;
    return kt_keeper_reload(k, client->serial, err);
}

static const struct {
    enum kt_control_op op;
    bool (*serve)(struct kt_keeper *k, struct kt_client *client, struct kt_slice document, struct kt_error *err);
} requests[] = {
    {KT_CONTROL_STATUS, serve_status},
    {KT_CONTROL_OFFER, serve_offer},
    {KT_CONTROL_RELOAD, serve_reload},
};

static bool dispatch(struct kt_keeper *k, struct kt_client *client, struct kt_error *err)
{
    struct kt_reader r;
    kt_reader_init(&r, kt_bytes_view(&client->body));
    uint32_t magic = kt_reader_u32(&r);
    uint16_t version = kt_reader_u16(&r);
    uint16_t op = kt_reader_u16(&r);
    if (r.bad || magic != KT_CONTROL_MAGIC || version != KT_CONTROL_VERSION)
        return kt_fail(err, KT_E_USAGE, "not a request of version %u of keyturn's control protocol",
                       KT_CONTROL_VERSION);
    for (size_t i = 0; i < KT_ARRAY_LEN(requests); i++) {
        if (requests[i].op == op)
            return requests[i].serve(k, client, KT_SLICE(r.next, r.left), err);
    }
    return kt_fail(err, KT_E_UNSUPPORTED, "unknown operation %u", op);
}

static void request_whole(struct kt_keeper *k, struct kt_client *client)
{
    struct kt_error error = KT_ERROR_INIT;
    if (!dispatch(k, client, &error))
        answer_error(k, client, &error);
}

/* Up to len bytes into buf, from client->done on. False: the client is gone or broke off. */
static bool take(struct kt_client *client, uint8_t *buf, size_t len)
{
    while (client->done < len) {
        ssize_t n = recv(client->fd, buf + client->done, len - client->done, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return false;
        client->done += (size_t)n;
    }
    return true;
}

/* False: drop it. */
static bool take_head(struct kt_keeper *k, struct kt_client *client)
{
    struct kt_reader r;
    if (!take(client, client->head, FRAME_HEAD))
        return false;
    if (client->done < FRAME_HEAD)
        return true;
    kt_reader_init(&r, KT_SLICE(client->head, FRAME_HEAD));
    size_t len = kt_reader_u32(&r);
    if (len < KT_CONTROL_HEADER || len > KT_CONTROL_REQUEST_MAX) {
        struct kt_error error = KT_ERROR_INIT;
        (void)kt_fail(&error, KT_E_USAGE, "a request of %zu bytes: expected %u to %u", len, KT_CONTROL_HEADER,
                      KT_CONTROL_REQUEST_MAX);
        answer_error(k, client, &error);
        return true;
    }
    client->body = (struct kt_bytes){.data = malloc(len + 1), .len = len};
    client->done = 0;
    client->phase = KT_CLIENT_BODY;
    return client->body.data != NULL;
}

static bool take_body(struct kt_keeper *k, struct kt_client *client)
{
    if (!take(client, client->body.data, client->body.len))
        return false;
    if (client->done < client->body.len)
        return true;
    client->body.data[client->body.len] = 0;
    request_whole(k, client);
    return true;
}

static bool send_reply(struct kt_client *client)
{
    while (client->done < client->reply.len) {
        ssize_t n = send(client->fd, client->reply.data + client->done, client->reply.len - client->done,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        client->done += (size_t)n;
    }
    return false; /* all sent: one request a connection */
}

static void serve_client(struct kt_keeper *k, struct kt_client *client, short revents)
{
    bool keep = client->phase != KT_CLIENT_WAIT || (revents & (POLLHUP | POLLERR)) == 0;
    if (client->phase == KT_CLIENT_HEAD)
        keep = take_head(k, client);
    if (keep && client->phase == KT_CLIENT_BODY)
        keep = take_body(k, client);
    if (keep && client->phase == KT_CLIENT_REPLY)
        keep = send_reply(client);
    if (!keep && client->phase != KT_CLIENT_FREE)
        drop(k, client);
}

static short events_of(const struct kt_client *client)
{
    switch (client->phase) {
    case KT_CLIENT_HEAD:
    case KT_CLIENT_BODY:
        return POLLIN;
    case KT_CLIENT_REPLY:
        return POLLOUT;
    case KT_CLIENT_FREE:
    case KT_CLIENT_WAIT:
        break;
    }
    return 0; /* POLLHUP comes by itself */
}

size_t kt_keeper_control_poll(const struct kt_keeper *k, struct pollfd *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < KT_CLIENTS_MAX; i++) {
        const struct kt_client *client = &k->clients[i];
        if (client->phase != KT_CLIENT_FREE)
            ret[n++] = (struct pollfd){.fd = client->fd, .events = events_of(client)};
    }
    if (k->control >= 0 && !k->draining && room_at(k) <= kt_clock_monotonic_ns())
        ret[n++] = (struct pollfd){.fd = k->control, .events = POLLIN};
    return n;
}

void kt_keeper_control_event(struct kt_keeper *k, const struct pollfd *event)
{
    if (event->fd == k->control) {
        kt_keeper_accept(k);
        return;
    }
    for (size_t i = 0; i < KT_CLIENTS_MAX; i++) {
        if (k->clients[i].phase != KT_CLIENT_FREE && k->clients[i].fd == event->fd) {
            serve_client(k, &k->clients[i], event->revents);
            return;
        }
    }
}

/* A client that waits for an opener has the opener's deadline. */
void kt_keeper_control_tick(struct kt_keeper *k, uint64_t now)
{
    for (size_t i = 0; i < KT_CLIENTS_MAX; i++) {
        struct kt_client *client = &k->clients[i];
        if (client->phase != KT_CLIENT_FREE && client->phase != KT_CLIENT_WAIT && client->deadline_ns <= now)
            drop(k, client);
    }
}

/* Also when one of them is to make room: then the listening socket is polled again. */
uint64_t kt_keeper_control_next(const struct kt_keeper *k)
{
    uint64_t room = room_at(k);
    uint64_t next = room > kt_clock_monotonic_ns() ? room : KT_NEVER;
    for (size_t i = 0; i < KT_CLIENTS_MAX; i++) {
        const struct kt_client *client = &k->clients[i];
        if (client->phase != KT_CLIENT_FREE && client->phase != KT_CLIENT_WAIT && client->deadline_ns < next)
            next = client->deadline_ns;
    }
    return next;
}

bool kt_keeper_control_replies(const struct kt_keeper *k)
{
    for (size_t i = 0; i < KT_CLIENTS_MAX; i++) {
        if (k->clients[i].phase == KT_CLIENT_REPLY)
            return true;
    }
    return false;
}

void kt_keeper_control_close(struct kt_keeper *k)
{
    for (size_t i = 0; i < KT_CLIENTS_MAX; i++) {
        if (k->clients[i].phase != KT_CLIENT_FREE)
            drop(k, &k->clients[i]);
    }
}
