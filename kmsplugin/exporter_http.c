/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "kmsplugin/exporter.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECTIONS_MAX   64u
#define CONNECTIONS_SPARE 64u /* above that, for those that are ending while others begin */
#define IDLE_S            5u
#define CONNECTION_MEMORY ((size_t)16 * 1024)
#define ROUND             64u /* at most so many are accepted before the lifeline is looked at again */
#define BACK_OFF_MS       100
#define ROUNDS_TO_CLOSE   4u

struct kt_http {
    struct MHD_Daemon *daemon;
    const struct kt_pages *pages;
    int listen_fd;
    int epoll_fd;
    bool starved;                                   /* accept found no descriptors or memory */
    int peers[CONNECTIONS_MAX + CONNECTIONS_SPARE]; /* libmicrohttpd's own, the oldest first */
    size_t n_peers;
};

struct page {
    unsigned status;
    const char *type;
    struct kt_text text;
};

static void show_metrics(const struct kt_pages *pages, struct page *page)
{
    page->type = "text/plain; version=0.0.4; charset=utf-8";
    kt_metrics_format(pages, kt_clock_real_s(), &page->text);
}

static void show_live(const struct kt_pages *pages, struct page *page)
{
    (void)pages;
    kt_text_add(&page->text, "ok\n");
}

static void show_ready(const struct kt_pages *pages, struct page *page)
{
    char words[KT_HEALTHZ_MAX];
    page->status = kt_metrics_ready(pages, words, sizeof(words)) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    kt_text_add(&page->text, "%s\n", words);
}

static const struct {
    const char *path;
    void (*show)(const struct kt_pages *pages, struct page *page);
} routes[] = {
    {"/metrics", show_metrics},
    {"/livez", show_live},
    {"/readyz", show_ready},
};

static void make_page(const struct kt_pages *pages, const char *url, const char *method, struct page *page)
{
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        page->status = MHD_HTTP_METHOD_NOT_ALLOWED;
        kt_text_add(&page->text, "GET or HEAD\n");
        return;
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(routes); i++) {
        if (strcmp(url, routes[i].path) == 0) {
            routes[i].show(pages, page);
            return;
        }
    }
    page->status = MHD_HTTP_NOT_FOUND;
    kt_text_add(&page->text, "/metrics, /livez, /readyz\n");
}

static enum MHD_Result respond(struct MHD_Connection *connection, struct page *page)
{
    if (page->text.bad)
        return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(page->text.len, page->text.data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page->type);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    enum MHD_Result result = MHD_queue_response(connection, page->status, response);
    MHD_destroy_response(response);
    return result;
}

/* libmicrohttpd calls once for the head and again for each piece of an upload and at its end; a body is thrown away. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **state)
{
    static int seen;
    const struct kt_http *http = arg;
    (void)version;
    (void)upload;
    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        *upload_size = 0;
        return MHD_YES;
    }
    struct page page = {.status = MHD_HTTP_OK, .type = "text/plain; charset=utf-8"};
    kt_text_init(&page.text, KT_METRICS_MAX);
    make_page(http->pages, url, method, &page);
    enum MHD_Result result = respond(connection, &page);
    kt_text_done(&page.text);
    return result;
}

/* Its own messages would hold what a stranger sent. */
static void ignore_log(void *arg, const char *fmt, va_list args)
{
    (void)arg;
    (void)fmt;
    (void)args;
}

static void forget_peer(struct kt_http *http, int fd)
{
    for (size_t i = 0; i < http->n_peers; i++) {
        if (http->peers[i] == fd) {
            http->n_peers--;
            memmove(&http->peers[i], &http->peers[i + 1], (http->n_peers - i) * sizeof(http->peers[0]));
            return;
        }
    }
}

static void on_peer(void *arg, struct MHD_Connection *connection, void **context,
                    enum MHD_ConnectionNotificationCode what)
{
    struct kt_http *http = arg;
    (void)context;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (what == MHD_CONNECTION_NOTIFY_CLOSED)
        forget_peer(http, info->connect_fd);
    else if (http->n_peers < KT_ARRAY_LEN(http->peers))
        http->peers[http->n_peers++] = info->connect_fd;
}

/* We accept, not libmicrohttpd: at its limit 0.9.75 takes the listening socket out of its epoll set, and has no timeout
 * after which it would put it back. */
static bool start_daemon(struct kt_http *http)
{
    http->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0, NULL, NULL,
                                    on_request, http, MHD_OPTION_EXTERNAL_LOGGER, ignore_log, NULL,
                                    MHD_OPTION_NOTIFY_CONNECTION, on_peer, http, MHD_OPTION_CONNECTION_LIMIT,
                                    CONNECTIONS_MAX + CONNECTIONS_SPARE, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
                                    MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        http->daemon ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (info)
        http->epoll_fd = info->epoll_fd;
    return info != NULL;
}

/* The socket may come from a service manager with other flags. */
struct kt_http *kt_http_new(int listen_fd, const struct kt_pages *pages, struct kt_error *err)
{
    struct kt_http *http = calloc(1, sizeof(*http));
    if (!http) {
        kt_fd_close(listen_fd);
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    http->pages = pages;
    http->listen_fd = listen_fd;
    (void)fcntl(listen_fd, F_SETFL, fcntl(listen_fd, F_GETFL) | O_NONBLOCK);
    if (!start_daemon(http)) {
        (void)kt_fail(err, KT_E_INTERNAL, "libmicrohttpd does not start");
        kt_http_free(http);
        return NULL;
    }
    return http;
}

void kt_http_free(struct kt_http *http)
{
    if (!http)
        return;
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    kt_fd_close(http->listen_fd);
    free(http);
}

int kt_http_fd(const struct kt_http *http)
{
    return http->epoll_fd;
}

int kt_http_listen_fd(const struct kt_http *http)
{
    return http->starved ? -1 : http->listen_fd;
}

int kt_http_timeout(const struct kt_http *http)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    int most = http->starved ? BACK_OFF_MS : 60000;
    if (MHD_get_timeout(http->daemon, &ms) != MHD_YES)
        return http->starved ? most : -1;
    return ms < (MHD_UNSIGNED_LONG_LONG)most ? (int)ms : most;
}

/* Who has held a connection longest gives way: those that are held open in silence keep no scraper out, for a page is
 * served as soon as its request is here. libmicrohttpd notices the end of the connection when it runs, and closes
 * it; 1.0 (Debian 13) takes more than one round for that. */
static void make_room(struct kt_http *http)
{
    if (http->n_peers < CONNECTIONS_MAX)
        return;
    (void)shutdown(http->peers[0], SHUT_RDWR);
    for (unsigned i = 0; i < ROUNDS_TO_CLOSE && http->n_peers >= CONNECTIONS_MAX; i++)
        (void)MHD_run(http->daemon);
}

static bool accept_one(struct kt_http *http)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    int fd = accept4(http->listen_fd, (struct sockaddr *)&address, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    http->starved = fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
    if (fd < 0)
        return false;
    make_room(http);
    (void)MHD_add_connection(http->daemon, fd, (struct sockaddr *)&address, len); /* closes it if it cannot */
    return true;
}

void kt_http_run(struct kt_http *http)
{
    for (size_t i = 0; i < ROUND && accept_one(http); i++) {
    }
    (void)MHD_run(http->daemon);
}
