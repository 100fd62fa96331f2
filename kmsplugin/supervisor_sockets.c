/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/file.h"
#include "kmsplugin/supervisor.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#define BACKLOG     1024
#define MAKE_LEVELS 2

#define TAKE_OVER_NS      UINT64_C(3000000000)
#define TAKE_OVER_STEP_NS 20000000L

static const char *const listener_names[KT_LISTENER_COUNT] = {
    [KT_LISTENER_KMS] = "kms",
    [KT_LISTENER_CONTROL] = "control",
    [KT_LISTENER_METRICS] = "metrics",
};

static struct kt_listener *find(struct kt_supervisor *s, const char *name)
{
    for (size_t i = 0; i < KT_LISTENER_COUNT; i++) {
        if (name && strcmp(name, listener_names[i]) == 0 && s->listeners[i].fd < 0)
            return &s->listeners[i];
    }
    return NULL;
}

static bool take(struct kt_supervisor *s, int fd, const char *name)
{
    struct kt_listener *listener = find(s, name);
    if (!listener || sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0 ||
        (listener != &s->listeners[KT_LISTENER_METRICS] && sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) <= 0)) {
        kt_log(KT_LOG_WARNING, "inherited-socket-ignored", KT_INT("fd", fd),
               KT_TEXT("expected", "a listening stream socket named kms, control or metrics"));
        kt_fd_close(fd);
        return true;
    }
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return false;
    listener->fd = fd;
    kt_log(KT_LOG_INFO, "socket-inherited", KT_TEXT("name", name));
    return true;
}

static bool take_inherited(struct kt_supervisor *s, struct kt_error *err)
{
    char **names = NULL;
    bool good = true;
    int n = sd_listen_fds_with_names(1, &names);
    for (int i = 0; i < n; i++) {
        good = good && take(s, SD_LISTEN_FDS_START + i, names ? names[i] : NULL);
        if (names)
            free(names[i]);
    }
    free(names);
    return good || kt_fail_errno(err, KT_E_IO, "cannot set up an inherited socket");
}

/* In production tmpfiles.d makes them; under `init --dir` they may be missing after a clean-up. */
static bool make_parents(const char *path, struct kt_error *err)
{
    char directory[2][KT_PATH_MAX] = {{0}};
    const struct kt_file_attrs attrs = {.mode = 0755, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    int level = 0;
    for (; level < MAKE_LEVELS; level++) {
        const char *slash = strrchr(path, '/');
        if (!slash || slash == path)
            break;
        memcpy(directory[level], path, (size_t)(slash - path));
        path = directory[level];
        if (access(path, F_OK) == 0)
            break;
    }
    while (level-- > 0) {
        if (directory[level][0] && access(directory[level], F_OK) < 0 &&
            !kt_dir_make(AT_FDCWD, directory[level], &attrs, err))
            return false;
    }
    return true;
}

static void remember(struct kt_listener *listener, const char *path)
{
    struct stat st = {0};
    if (path[0] != '/' || lstat(path, &st) < 0)
        return;
    (void)snprintf(listener->path, sizeof(listener->path), "%s", path);
    listener->dev = st.st_dev;
    listener->ino = st.st_ino;
}

/* Whoever may call must also be able to connect. Root can anyway; so the file goes to the one other uid and to the one
 * group that are named first. */
static struct kt_listen_options options_of(mode_t mode, const struct kt_ids *uids, const struct kt_ids *gids)
{
    struct kt_listen_options options = {.mode = mode, .uid = (uid_t)-1, .gid = (gid_t)-1, .backlog = BACKLOG};
    if (geteuid() != 0)
        return options;
    for (size_t i = 0; uids && i < uids->n && options.uid == (uid_t)-1; i++) {
        if (uids->ids[i] != 0)
            options.uid = uids->ids[i];
    }
    if (gids && gids->n > 0)
        options.gid = gids->ids[0];
    return options;
}

/* Children of a keyturnd that was killed hold its sockets until they see their lifelines close: for a moment somebody
 * seems to have them. True: try again. */
static bool wait_for_heirs(const struct kt_error *why, uint64_t end_ns)
{
    const struct timespec step = {.tv_nsec = TAKE_OVER_STEP_NS};
    if (why->code != KT_E_BUSY || kt_clock_monotonic_ns() >= end_ns)
        return false;
    (void)nanosleep(&step, NULL);
    return true;
}

static bool open_unix(struct kt_listener *listener, const char *path, struct kt_listen_options options,
                      struct kt_error *err)
{
    if (path[0] == '/' && !make_parents(path, err))
        return false;
    const uint64_t end = kt_clock_monotonic_ns() + TAKE_OVER_NS;
    do
        listener->fd = kt_socket_listen(path, &options, err);
    while (listener->fd < 0 && wait_for_heirs(err, end));
    if (listener->fd < 0)
        return false;
    remember(listener, path);
    return true;
}

/* "host:port" or "[v6]:port", host in numbers or localhost: a name server has no say in where we listen. */
static bool split_address(const char *text, char host[64], char port[8])
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text)
        return false;
    bool bracket = text[0] == '[';
    size_t len = (size_t)(colon - text);
    if (bracket && (len < 3 || text[len - 1] != ']'))
        return false;
    const char *start = bracket ? text + 1 : text;
    len -= bracket ? 2 : 0;
    if (len == 0 || len >= 64 || strlen(colon + 1) == 0 || strlen(colon + 1) >= 8)
        return false;
    memcpy(host, start, len);
    host[len] = 0;
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    if (strcmp(host, "localhost") == 0)
        memcpy(host, "127.0.0.1", sizeof("127.0.0.1"));
    return true;
}

static int listen_tcp(const struct addrinfo *address, struct kt_error *err)
{
    const int one = 1;
    KT_CLEANUP(kt_fd_close_p) int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        (void)kt_fail_errno(err, errno == EADDRINUSE ? KT_E_BUSY : KT_E_IO, "cannot listen");
        return -1;
    }
    return KT_TAKE_FD(fd);
}

static bool open_tcp(struct kt_listener *listener, const char *text, struct kt_error *err)
{
    char host[64];
    char port[8];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if (!split_address(text, host, port) || getaddrinfo(host, port, &hints, &found) != 0)
        return kt_fail(err, KT_E_CONFIG, "expected ADDRESS:PORT, [ADDRESS]:PORT, a path or off");
    const uint64_t end = kt_clock_monotonic_ns() + TAKE_OVER_NS;
    do
        listener->fd = listen_tcp(found, err);
    while (listener->fd < 0 && wait_for_heirs(err, end));
    freeaddrinfo(found);
    return listener->fd >= 0;
}

/* What is really in use: port 0 has become a number, an inherited socket has an address of its own. */
static void describe(int fd, char ret[KT_PATH_MAX], const char *fallback)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    char host[64];
    char port[8];
    (void)snprintf(ret, KT_PATH_MAX, "%s", fd < 0 ? "off" : fallback);
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &len) < 0 || address.ss_family == AF_UNIX ||
        getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    (void)snprintf(ret, KT_PATH_MAX, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void open_metrics(struct kt_supervisor *s)
{
    struct kt_listener *listener = &s->listeners[KT_LISTENER_METRICS];
    const char *text = s->config->metrics_listen;
    struct kt_error error = KT_ERROR_INIT;
    if (listener->fd < 0 && strcmp(text, "off") != 0) {
        bool is_path = text[0] == '/' || text[0] == '@';
        if (!(is_path ? open_unix(listener, text, options_of(0660, NULL, NULL), &error)
                      : open_tcp(listener, text, &error))) {
            (void)kt_error_prefix(&error, "metrics.listen %s", text);
            kt_log_error(KT_LOG_WARNING, "metrics-not-served", &error);
        }
    }
    char address[KT_PATH_MAX];
    describe(listener->fd, address, text);
    kt_page_begin(&s->page->sequence);
    memcpy(s->page->metrics_address, address, sizeof(address));
    kt_page_end(&s->page->sequence);
}

bool kt_listeners_open(struct kt_supervisor *s, struct kt_error *err)
{
    const struct kt_config *config = s->config;
    if (!take_inherited(s, err))
        return false;
    if (s->listeners[KT_LISTENER_KMS].fd < 0 &&
        !open_unix(&s->listeners[KT_LISTENER_KMS], config->kms_socket,
                   options_of(config->kms_mode, &config->kms_uids, &config->kms_gids), err))
        return false;
    /* Who may ask is decided by SO_PEERCRED; the mode only keeps out others while nobody else is named. */
    mode_t mode = config->control_uids.n > 0 ? 0666 : 0600;
    if (s->listeners[KT_LISTENER_CONTROL].fd < 0 &&
        !open_unix(&s->listeners[KT_LISTENER_CONTROL], config->control_socket, options_of(mode, NULL, NULL), err))
        return false;
    open_metrics(s);
    return true;
}

static void remove_file(const struct kt_listener *listener)
{
    struct stat st = {0};
    if (listener->path[0] && lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
        st.st_ino == listener->ino)
        (void)unlink(listener->path);
}

void kt_listeners_close(struct kt_supervisor *s)
{
    for (size_t i = 0; i < KT_LISTENER_COUNT; i++) {
        remove_file(&s->listeners[i]);
        kt_fd_close(s->listeners[i].fd);
        s->listeners[i].fd = -1;
    }
}
