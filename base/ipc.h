/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between our own processes over AF_UNIX sockets, with descriptors (SCM_RIGHTS) and credentials. */
#pragma once

#include "base/buf.h"

#include <sys/types.h>

#define KT_IPC_FDS_MAX     4u
#define KT_IPC_MESSAGE_MAX 65536u

/* A SEQPACKET (or STREAM) pair, both ends O_CLOEXEC and O_NONBLOCK. */
bool kt_ipc_pair(int type, int ret_fds[2], struct kt_error *err) KT_MUST_CHECK;

/* One message of 1 to KT_IPC_MESSAGE_MAX bytes, whole or not at all; never blocks longer than timeout_ms (-1: for ever,
 * 0: not at all). KT_E_TIMEOUT, KT_E_UNREACHABLE (closed by the peer), KT_E_IO. */
bool kt_ipc_send(int fd, struct kt_slice message, const int *fds, size_t n_fds, int timeout_ms,
                 struct kt_error *err) KT_MUST_CHECK;

enum kt_ipc_got { KT_IPC_MESSAGE, KT_IPC_NOTHING, KT_IPC_CLOSED };
struct kt_ipc_message {
    size_t len; /* bytes in the caller's buffer */
    int fds[KT_IPC_FDS_MAX];
    size_t n_fds; /* the caller owns them now */
};
/* One message, without blocking. A message that is longer than the buffer, or has too many descriptors, is an error;
 * it is then used up, and its descriptors are closed. *ret is written for KT_IPC_MESSAGE only. */
bool kt_ipc_recv(int fd, void *buffer, size_t cap, struct kt_ipc_message *ret, enum kt_ipc_got *ret_got,
                 struct kt_error *err) KT_MUST_CHECK;

/* Stream sockets: a frame is u32 length, then the bytes. Both bounded by an absolute CLOCK_MONOTONIC deadline in
 * nanoseconds (UINT64_MAX: none). KT_E_TIMEOUT, KT_E_UNREACHABLE (closed by the peer), KT_E_IO. */
bool kt_frame_send(int fd, struct kt_slice body, uint64_t deadline_ns, struct kt_error *err) KT_MUST_CHECK;
bool kt_frame_recv(int fd, size_t max, uint64_t deadline_ns, struct kt_bytes *ret, struct kt_error *err) KT_MUST_CHECK;
/* The same into locked memory, for bodies that hold keys. NULL on failure. */
struct kt_secret;
struct kt_secret *kt_frame_recv_secret(int fd, size_t max, uint64_t deadline_ns, struct kt_error *err) KT_MUST_CHECK;

/* Who is at the other end: SO_PEERCRED and SO_PEERGROUPS. One in more than KT_PEER_GROUPS_MAX groups, or that is not at
 * a Unix socket: KT_E_DENIED. */
#define KT_PEER_GROUPS_MAX 256u
struct kt_peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
    gid_t groups[KT_PEER_GROUPS_MAX];
    size_t n_groups;
};
bool kt_peer_get(int fd, struct kt_peer *ret, struct kt_error *err) KT_MUST_CHECK;
/* user_namespaces(7): what an id looks like that has no mapping here. Also the usual id of "nobody". */
#define KT_OVERFLOW_ID 65534u
/* uid is in uids, or its gid or one of its groups is in gids. The overflow id never matches, not even when
 * listed: another user namespace's foreign ids look like that (user_namespaces(7)). */
struct kt_peer_rules {
    const uid_t *uids;
    size_t n_uids;
    const gid_t *gids;
    size_t n_gids;
};
bool kt_peer_allowed(const struct kt_peer *peer, const struct kt_peer_rules *rules);

/* A listening stream socket at an absolute path (or "@name", abstract), created under umask (mode: 0660, 0600...),
 * never chmod after bind. A stale socket is replaced only when nothing answers on it; one that answers: KT_E_BUSY. Of
 * several that start at once only one gets it: it is made under the lock "PATH.lock", a file that stays. The umask of
 * the process changes for a moment: not with other threads about. uid, gid: new owner of the path, set before anybody
 * can connect, or -1. Returns the descriptor (O_CLOEXEC, O_NONBLOCK) or -1. */
struct kt_listen_options {
    mode_t mode;
    uid_t uid;
    gid_t gid;
    int backlog;
};
int kt_socket_listen(const char *path, const struct kt_listen_options *options, struct kt_error *err) KT_MUST_CHECK;
/* Connects within the deadline; the descriptor is O_CLOEXEC and O_NONBLOCK. -1 on failure: KT_E_UNREACHABLE with what
 * to do, or KT_E_TIMEOUT. */
int kt_socket_connect(const char *path, uint64_t deadline_ns, struct kt_error *err) KT_MUST_CHECK;
