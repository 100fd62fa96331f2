/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/front_accept.h"

#include "base/log.h"
#include "kmsplugin/refusals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define MS       UINT64_C(1000000)
#define SECOND   (1000 * MS)
#define BACK_OFF (100 * MS)
#define ROUND    64u /* at most so many before the lifeline is looked at again */

#define FULL_LOG_EVERY (10 * SECOND)

struct connection {
    int fd;
    uint64_t cookie;
};

struct kt_door {
    struct kt_door_sink sink;
    struct kt_front_page *page;
    struct kt_ids uids;
    struct kt_ids gids;
    int fd;
    uint64_t resume_ns; /* no descriptors or memory until then */
    uint64_t swept_ns;
    uint64_t full_logged_ns;
    uint64_t failed_logged_ns;
    struct connection *connections;
    size_t n;
    size_t limit;
    struct kt_refusals refusals;
};

struct kt_door *kt_door_new(const struct kt_door_sink *sink, struct kt_front_page *page, struct kt_error *err)
{
    struct kt_door *door = calloc(1, sizeof(*door));
    if (!door) {
        (void)kt_fail(err, KT_E_NOMEM, "no memory for the listening socket");
        return NULL;
    }
    door->sink = *sink;
    door->page = page;
    door->fd = -1;
    return door;
}

void kt_door_free(struct kt_door *door)
{
    if (!door)
        return;
    kt_fd_close(door->fd);
    free(door->connections);
    free(door);
}

/* Ours may come from a service manager with other flags. */
void kt_door_listen(struct kt_door *door, int fd)
{
    kt_fd_close(door->fd);
    door->fd = fd;
    if (fd >= 0)
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static bool is_full(const struct kt_door *door)
{
    return door->n >= door->limit;
}

int kt_door_fd(const struct kt_door *door, uint64_t now_ns)
{
    return now_ns < door->resume_ns || is_full(door) ? -1 : door->fd;
}

int kt_door_timeout_ms(const struct kt_door *door, uint64_t now_ns)
{
    uint64_t next = UINT64_MAX;
    if (now_ns < door->resume_ns)
        next = door->resume_ns;
    if (door->n > 0 && door->swept_ns + SECOND < next)
        next = door->swept_ns + SECOND;
    if (next == UINT64_MAX)
        return -1;
    return next <= now_ns ? 0 : (int)((next - now_ns) / MS) + 1;
}

static void show_count(struct kt_door *door)
{
    atomic_store_explicit(&door->page->connections, door->n, memory_order_relaxed);
}

static bool cookie_of(int fd, uint64_t *ret)
{
    socklen_t len = sizeof(*ret);
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret, &len) == 0;
}

static void sweep(struct kt_door *door, uint64_t now_ns)
{
    size_t kept = 0;
    for (size_t i = 0; i < door->n; i++) {
        uint64_t cookie = 0;
        if (cookie_of(door->connections[i].fd, &cookie) && cookie == door->connections[i].cookie)
            door->connections[kept++] = door->connections[i];
    }
    door->n = kept;
    door->swept_ns = now_ns;
    show_count(door);
}

static void refuse(struct kt_door *door, const struct kt_peer *peer, uint64_t now_ns)
{
    uint64_t more = 0;
    kt_count(&door->page->peers_refused);
    if (!kt_refusals_note(&door->refusals, peer->uid, now_ns, &more))
        return;
    kt_log(KT_LOG_WARNING, "peer-refused", KT_NUM("uid", peer->uid), KT_NUM("gid", peer->gid), KT_INT("pid", peer->pid),
           KT_NUM("more", more), KT_TEXT("hint", "who may call is in kms.uids and kms.gids of keyturn.yaml"));
}

/* Closed, a caller would fall into its back-off; in the backlog it comes in as soon as there is room. */
static void tell_if_somebody_waits(struct kt_door *door, uint64_t now_ns)
{
    struct pollfd waits = {.fd = door->fd, .events = POLLIN};
    if (poll(&waits, 1, 0) != 1)
        return;
    kt_count(&door->page->seconds_full);
    if (door->full_logged_ns != 0 && now_ns - door->full_logged_ns < FULL_LOG_EVERY)
        return;
    door->full_logged_ns = now_ns;
    kt_log(KT_LOG_WARNING, "callers-wait", KT_NUM("connections", door->n),
           KT_TEXT("hint", "kms.maxConnections of keyturn.yaml is the limit"));
}

static bool is_allowed(const struct kt_door *door, int fd, struct kt_peer *ret)
{
    const struct kt_peer_rules rules = {
        .uids = door->uids.ids, .n_uids = door->uids.n, .gids = door->gids.ids, .n_gids = door->gids.n};
    *ret = (struct kt_peer){.uid = (uid_t)-1, .gid = (gid_t)-1};
    return kt_peer_get(fd, ret, NULL) && kt_peer_allowed(ret, &rules);
}

/* A socket tells who connected for as long as it lives. This thread alone makes sockets, so none can have taken the
 * number since its cookie was looked at. */
static void cut_off(const struct kt_door *door, const struct connection *connection)
{
    struct kt_peer peer = {.uid = (uid_t)-1};
    uint64_t cookie = 0;
    if (!cookie_of(connection->fd, &cookie) || cookie != connection->cookie || is_allowed(door, connection->fd, &peer))
        return;
    kt_log(KT_LOG_NOTICE, "peer-revoked", KT_NUM("uid", peer.uid), KT_NUM("gid", peer.gid), KT_INT("pid", peer.pid));
    (void)shutdown(connection->fd, SHUT_RDWR);
}

/* A lower limit than there are connections keeps these, and lets nobody else in. Who may not call any more is cut off
 * whether there is memory for more connections or not. */
bool kt_door_configure(struct kt_door *door, const struct kt_child_config *config, struct kt_error *err)
{
    door->uids = config->kms_uids;
    door->gids = config->kms_gids;
    for (size_t i = 0; i < door->n; i++)
        cut_off(door, &door->connections[i]);
    size_t room = config->kms_connections > door->n ? config->kms_connections : door->n;
    struct connection *connections = calloc(room > 0 ? room : 1, sizeof(*connections));
    if (!connections)
        return kt_fail(err, KT_E_NOMEM, "no memory for %zu connections", room);
    if (door->n > 0)
        memcpy(connections, door->connections, door->n * sizeof(*connections));
    free(door->connections);
    door->connections = connections;
    door->limit = config->kms_connections;
    return true;
}

/* A number that we know already is that of a connection that is gone. */
static void remember(struct kt_door *door, int fd, uint64_t cookie)
{
    size_t at = 0;
    while (at < door->n && door->connections[at].fd != fd)
        at++;
    if (at == door->n)
        door->n++;
    door->connections[at] = (struct connection){.fd = fd, .cookie = cookie};
    show_count(door);
}

static void judge(struct kt_door *door, int fd, uint64_t now_ns)
{
    struct kt_peer peer = {.uid = (uid_t)-1};
    uint64_t cookie = 0;
    if (!is_allowed(door, fd, &peer)) {
        refuse(door, &peer, now_ns);
        kt_fd_close(fd);
        return;
    }
    if (!cookie_of(fd, &cookie)) {
        kt_fd_close(fd);
        return;
    }
    remember(door, fd, cookie);
    kt_count(&door->page->peers_accepted);
    door->sink.admit(door->sink.context, fd);
}

/* The listener stays; who waits in its backlog comes in when descriptors are free again. */
static void back_off(struct kt_door *door, uint64_t now_ns)
{
    int code = errno;
    door->resume_ns = now_ns + BACK_OFF;
    if (now_ns - door->failed_logged_ns < 10 * SECOND)
        return;
    door->failed_logged_ns = now_ns;
    kt_log(KT_LOG_ERROR, "accept-failed", KT_TEXT("error", strerrordesc_np(code)), KT_NUM("connections", door->n));
}

static bool accept_one(struct kt_door *door, uint64_t now_ns)
{
    int fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        judge(door, fd, now_ns);
        return true;
    }
    if (errno == EINTR || errno == ECONNABORTED)
        return true;
    if (errno != EAGAIN)
        back_off(door, now_ns);
    return false;
}

void kt_door_run(struct kt_door *door, uint64_t now_ns)
{
    for (unsigned i = 0; i < ROUND && kt_door_fd(door, now_ns) >= 0; i++) {
        if (!accept_one(door, now_ns))
            break;
    }
    if (door->n == 0 || now_ns - door->swept_ns < SECOND)
        return;
    sweep(door, now_ns);
    if (is_full(door) && door->fd >= 0)
        tell_if_somebody_waits(door, now_ns);
}
