/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/file.h"
#include "base/ipc.h"
#include "base/path.h"
#include "base/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#define START_HINT "start keyturnd: systemctl start keyturnd"

struct address {
    struct sockaddr_un sun;
    socklen_t len;
    bool abstract;
};

static bool make_address(const char *path, struct address *ret, struct kt_error *err)
{
    size_t len = strlen(path);
    size_t max = sizeof(ret->sun.sun_path) - 1;

    if ((path[0] != '/' && path[0] != '@') || len < 2)
        return kt_fail(err, KT_E_CONFIG, "\"%s\" is no socket: expected an absolute path or @NAME", path);
    if (len > max) {
        (void)kt_fail(err, KT_E_CONFIG, "%s: has %zu bytes, and the path of a socket may have %zu", path, len, max);
        return kt_error_hint(err, "choose a directory with a shorter path");
    }
    *ret = (struct address){.sun = {.sun_family = AF_UNIX}, .abstract = path[0] == '@'};
    memcpy(ret->sun.sun_path, path, len);
    if (ret->abstract)
        ret->sun.sun_path[0] = '\0';
    ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (ret->abstract ? 0 : 1));
    return true;
}

static int connect_to(int fd, const struct address *address)
{
    return connect(fd, (const struct sockaddr *)&address->sun, address->len);
}

static bool fail_taken(const char *path, struct kt_error *err)
{
    (void)kt_fail(err, KT_E_BUSY, "%s: another process answers on this socket", path);
    return kt_error_hint(err, "stop that process first, or choose another path");
}

/* True if nobody is there any more. The full queue of one that is (EAGAIN), or a socket of another type, is an answer.
 */
static bool check_stale(const char *path, const struct address *address, struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return kt_fail_errno(err, KT_E_IO, "cannot make a socket");
    if (connect_to(fd, address) == 0 || errno == EAGAIN || errno == EPROTOTYPE)
        return fail_taken(path, err);
    if (errno == ECONNREFUSED || errno == ENOENT)
        return true;
    return kt_fail_errno(err, errno == EACCES ? KT_E_PERMISSION : KT_E_IO, "%s: cannot find out whether it is in use",
                         path);
}

static bool remove_stale(const char *path, const struct address *address, struct kt_error *err)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT || kt_path_fail_open(AT_FDCWD, path, S_IFSOCK, err);
    if (!S_ISSOCK(st.st_mode))
        return kt_path_fail_kind(AT_FDCWD, path, st.st_mode, S_IFSOCK, err);
    if (!check_stale(path, address, err))
        return false;
    if (unlink(path) < 0 && errno != ENOENT)
        return kt_fail_errno(err, KT_E_PERMISSION, "%s: cannot remove this socket, which nobody uses any more", path);
    return true;
}

static bool bind_address(int fd, const char *path, const struct address *address,
                         const struct kt_listen_options *options, struct kt_error *err)
{
    mode_t saved = umask(~options->mode & 0777);
    int rc = bind(fd, (const struct sockaddr *)&address->sun, address->len);

    (void)umask(saved);
    if (rc == 0)
        return true;
    if (errno == EADDRINUSE)
        return fail_taken(path, err);
    return kt_fail_errno(err, errno == EACCES ? KT_E_PERMISSION : KT_E_IO, "%s: cannot make this socket", path);
}

/* The owner is set before anybody can connect. */
static bool open_for_all(int fd, const char *path, const struct address *address,
                         const struct kt_listen_options *options, struct kt_error *err)
{
    bool chowns = !address->abstract && (options->uid != (uid_t)-1 || options->gid != (gid_t)-1);

    if (chowns && fchownat(AT_FDCWD, path, options->uid, options->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return kt_fail_errno(err, KT_E_PERMISSION, "%s: uid %u cannot give it another owner or group", path,
                             (unsigned)geteuid());
    if (listen(fd, options->backlog) < 0)
        return kt_fail_errno(err, KT_E_IO, "%s: cannot listen", path);
    return true;
}

static int listen_at(const char *path, const struct address *address, const struct kt_listen_options *options,
                     struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        (void)kt_fail_errno(err, KT_E_IO, "cannot make a socket");
        return -1;
    }
    if (!bind_address(fd, path, address, options, err))
        return -1;
    if (!open_for_all(fd, path, address, options, err)) {
        if (!address->abstract)
            (void)unlink(path);
        return -1;
    }
    return KT_TAKE_FD(fd);
}

/* Whoever has the lock looks, removes, binds and listens; the next one then finds somebody who answers. So the lock
 * need not outlive this function. */
int kt_socket_listen(const char *path, const struct kt_listen_options *options, struct kt_error *err)
{
    struct address address = {.len = 0};
    char lock_path[sizeof(address.sun.sun_path) + sizeof(".lock")];

    if (!make_address(path, &address, err))
        return -1;
    if (address.abstract)
        return listen_at(path, &address, options, err);
    (void)snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
    KT_CLEANUP(kt_fd_close_p) int lock = kt_lock_take(AT_FDCWD, lock_path, err);
    if (lock < 0)
        return -1;
    if (!remove_stale(path, &address, err))
        return -1;
    return listen_at(path, &address, options, err);
}

/* connect(2) to a Unix socket whose queue is full waits as long as SO_SNDTIMEO says; there is no other way to wait. */
static bool set_patience(int fd, uint64_t deadline_ns)
{
    uint64_t now = kt_clock_monotonic_ns();
    uint64_t left_us = now < deadline_ns ? (deadline_ns - now) / 1000 + 1 : 1;
    struct timeval wait = {.tv_sec = (time_t)(left_us / 1000000), .tv_usec = (suseconds_t)(left_us % 1000000)};

    if (deadline_ns == KT_WAIT_FOREVER)
        wait = (struct timeval){.tv_sec = 0};
    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0;
}

static bool fail_connect(const char *path, struct kt_error *err)
{
    switch (errno) {
    case ENOENT:
        (void)kt_fail_errno(err, KT_E_UNREACHABLE, "%s: there is no such socket", path);
        return kt_error_hint(err, START_HINT "; or the path is not the one it was configured with");
    case ECONNREFUSED:
        (void)kt_fail_errno(err, KT_E_UNREACHABLE, "%s: nobody listens there any more", path);
        return kt_error_hint(err, START_HINT);
    case EACCES:
        (void)kt_fail_errno(err, KT_E_UNREACHABLE, "%s: uid %u may not connect", path, (unsigned)geteuid());
        return kt_error_hint(err, "run it as root, or as a uid or in a group that may write to the socket");
    case EAGAIN:
        (void)kt_fail_errno(err, KT_E_TIMEOUT, "%s: did not accept the connection in time", path);
        return kt_error_hint(err, "see what it is doing: journalctl -u keyturnd");
    default:
        return kt_fail_errno(err, KT_E_UNREACHABLE, "%s: cannot connect", path);
    }
}

static bool connect_within(int fd, const char *path, const struct address *address, uint64_t deadline_ns,
                           struct kt_error *err)
{
    int rc;

    do {
        if (!set_patience(fd, deadline_ns))
            return kt_fail_errno(err, KT_E_IO, "cannot set a time limit");
        rc = connect_to(fd, address);
    } while (rc < 0 && errno == EINTR);
    return rc == 0 || fail_connect(path, err);
}

int kt_socket_connect(const char *path, uint64_t deadline_ns, struct kt_error *err)
{
    struct address address = {.len = 0};

    if (!make_address(path, &address, err))
        return -1;
    KT_CLEANUP(kt_fd_close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        (void)kt_fail_errno(err, KT_E_IO, "cannot make a socket");
        return -1;
    }
    if (!connect_within(fd, path, &address, deadline_ns, err))
        return -1;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        (void)kt_fail_errno(err, KT_E_IO, "cannot set a socket to O_NONBLOCK");
        return -1;
    }
    return KT_TAKE_FD(fd);
}
