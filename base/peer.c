/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ipc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static bool get_groups(int fd, struct kt_peer *peer, struct kt_error *err)
{
    socklen_t len = sizeof(peer->groups);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer->groups, &len) == 0) {
        peer->n_groups = len / sizeof(peer->groups[0]);
        return true;
    }
    if (errno == ERANGE)
        return kt_fail_errno(err, KT_E_DENIED, "process %d of uid %u is in more than %u groups", (int)peer->pid,
                             (unsigned)peer->uid, KT_PEER_GROUPS_MAX);
    return kt_fail_errno(err, KT_E_IO, "cannot tell the groups of a caller");
}

bool kt_peer_get(int fd, struct kt_peer *ret, struct kt_error *err)
{
    struct ucred cred = {.uid = (uid_t)-1, .gid = (gid_t)-1};
    struct kt_peer peer = {.pid = 0};
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return kt_fail_errno(err, KT_E_IO, "cannot tell who a caller is");
    if (cred.uid == (uid_t)-1 || cred.gid == (gid_t)-1)
        return kt_fail(err, KT_E_DENIED, "cannot tell who a caller is: not connected over a Unix socket");
    peer.pid = cred.pid;
    peer.uid = cred.uid;
    peer.gid = cred.gid;
    if (!get_groups(fd, &peer, err))
        return false;
    *ret = peer;
    return true;
}

static bool listed(unsigned id, const unsigned *ids, size_t n)
{
    if (id == KT_OVERFLOW_ID || id == (unsigned)-1)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

bool kt_peer_allowed(const struct kt_peer *peer, const struct kt_peer_rules *rules)
{
    if (listed(peer->uid, rules->uids, rules->n_uids) || listed(peer->gid, rules->gids, rules->n_gids))
        return true;
    for (size_t i = 0; i < peer->n_groups; i++) {
        if (listed(peer->groups[i], rules->gids, rules->n_gids))
            return true;
    }
    return false;
}
