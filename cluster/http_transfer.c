/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/http_transfer.h"

#include "base/clock.h"
#include "cluster/wiped_heap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS    UINT64_C(1000000)
#define CONNECT_MS   30000L
#define BODY_FIRST   4096u
#define URL_LONGEST  (2 * KT_HTTP_URL_MAX + 2 * KT_HTTP_HOST_MAX)
#define KEEPALIVE_S  20L
#define HTTP_OK_FROM 200

struct kt_http_transfer *kt_http_transfer_new(void)
{
    struct kt_http_transfer *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->easy = curl_easy_init();
    if (t->easy)
        return t;
    free(t);
    return NULL;
}

void kt_http_transfer_clear(struct kt_http_transfer *t)
{
    curl_slist_free_all(t->connect_to);
    kt_http_answer_done(&t->answer);
    CURL *easy = t->easy;
    curl_easy_reset(easy);
    memset(t, 0, sizeof(*t));
    t->easy = easy;
}

void kt_http_transfer_free(struct kt_http_transfer *t)
{
    if (!t)
        return;
    kt_http_transfer_clear(t);
    curl_easy_cleanup(t->easy);
    free(t);
}

static unsigned status_of(struct kt_http_transfer *t)
{
    long status = 0;

    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return status > 0 ? (unsigned)status : 0;
}

static bool keep(struct kt_http_transfer *t, const char *data, size_t len)
{
    struct kt_bytes *body = &t->answer.body;

    if (body->len + len + 1 > t->body_cap) {
        size_t wanted = body->len + len + 1 > BODY_FIRST ? 2 * (body->len + len + 1) : BODY_FIRST;
        uint8_t *larger = kt_wiped_realloc(body->data, wanted);
        if (!larger)
            return false;
        body->data = larger;
        t->body_cap = wanted;
    }
    memcpy(body->data + body->len, data, len);
    body->len += len;
    body->data[body->len] = '\0';
    return true;
}

/* An answer that is no success is kept in part, for its words, whatever the caller wants of a success. */
static bool keep_words(struct kt_http_transfer *t, const char *data, size_t len)
{
    size_t room = KT_HTTP_WORDS_MAX - t->answer.body.len;

    return keep(t, data, len < room ? len : room);
}

/* Less than what came makes libcurl end the request with CURLE_WRITE_ERROR. */
static size_t take_body(char *data, size_t size, size_t n, void *context)
{
    struct kt_http_transfer *t = context;
    size_t len = size * n;
    bool done = true;

    t->answer.received += len;
    if (t->answer.received > t->request.answer_max) {
        t->is_oversized = true;
        return 0;
    }
    if (kt_http_outcome_of_status(status_of(t)) != KT_HTTP_OK)
        done = keep_words(t, data, len);
    else if (t->request.take)
        done = t->request.take(t->request.context, KT_SLICE(data, len));
    else if (!t->request.discard)
        done = keep(t, data, len);
    return done ? len : 0;
}

static void add_header(struct kt_http_transfer *t, char *line)
{
    struct curl_slist *header = &t->headers[t->n_headers];

    header->data = line;
    header->next = NULL;
    if (t->n_headers > 0)
        t->headers[t->n_headers - 1].next = header;
    t->n_headers++;
}

static void format_header(struct kt_http_transfer *t, const char *name, const char *value)
{
    char *line = t->lines[t->n_headers];

    snprintf(line, sizeof(t->lines[0]), "%s: %s", name, value);
    add_header(t, line);
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

#define SET(option, value)                                        \
    do {                                                          \
        CURLcode set_ = curl_easy_setopt(t->easy, option, value); \
        if (set_ != CURLE_OK)                                     \
            return set_;                                          \
    } while (0)

/* The URL has the name that the certificate must have; where that is not the host, the connection goes elsewhere. */
static CURLcode set_target(struct kt_http_transfer *t, const char *path)
{
    const struct kt_http_peer *peer = t->request.peer;
    const struct kt_http_url *to = &peer->url;
    char url[URL_LONGEST];
    char connect_to[KT_HTTP_HOST_MAX + 32];
    const char *host_port = to->origin + strlen("https://");
    int n;

    if (peer->server_name[0] != '\0' && strcmp(peer->server_name, to->host) != 0) {
        n = snprintf(url, sizeof(url), "https://%s:%u%s%s", peer->server_name, to->port, to->path, path);
        snprintf(connect_to, sizeof(connect_to), "::%s", host_port);
        t->connect_to = curl_slist_append(NULL, connect_to);
        if (!t->connect_to)
            return CURLE_OUT_OF_MEMORY;
        SET(CURLOPT_CONNECT_TO, t->connect_to);
        format_header(t, "Host", host_port);
    } else {
        n = snprintf(url, sizeof(url), "%s%s%s", to->origin, to->path, path);
    }
    if (n < 0 || (size_t)n >= sizeof(url))
        return CURLE_URL_MALFORMAT;
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, "https");
    if (peer->identity->proxy[0] != '\0')
        SET(CURLOPT_PROXY, peer->identity->proxy);
    else if (is_loopback(to->host))
        SET(CURLOPT_PROXY, "");
    return CURLE_OK;
}

static CURLcode set_blob(struct kt_http_transfer *t, CURLoption option, struct curl_blob *blob, const uint8_t *data,
                         size_t len)
{
    if (len == 0)
        return CURLE_OK;
    /* libcurl only reads it: the type has no const. */
    blob->data = (void *)(uintptr_t)data;
    blob->len = len;
    blob->flags = CURL_BLOB_NOCOPY;
    return curl_easy_setopt(t->easy, option, blob);
}

static CURLcode set_tls(struct kt_http_transfer *t)
{
    const struct kt_http_identity *identity = t->request.peer->identity;
    const struct kt_secret *key = identity->key;

    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, identity->insecure ? 0L : 1L);
    SET(CURLOPT_SSL_VERIFYHOST, identity->insecure ? 0L : 2L);
    CURLcode code = set_blob(t, CURLOPT_CAINFO_BLOB, &t->ca, identity->ca.data, identity->ca.len);
    if (code == CURLE_OK && identity->ca.len > 0)
        code = curl_easy_setopt(t->easy, CURLOPT_CAPATH, NULL); /* that authority alone */
    if (code == CURLE_OK)
        code =
            set_blob(t, CURLOPT_SSLCERT_BLOB, &t->certificate, identity->certificate.data, identity->certificate.len);
    if (code == CURLE_OK && key)
        code = set_blob(t, CURLOPT_SSLKEY_BLOB, &t->key, kt_secret_view(key), kt_secret_len(key));
    return code;
}

static CURLcode set_request(struct kt_http_transfer *t, const struct kt_http_request *request)
{
    const struct kt_secret *authorization = request->peer->identity->authorization;

    SET(CURLOPT_CUSTOMREQUEST, request->method);
    if (request->content_type) {
        if (request->body.len > KT_HTTP_BODY_MAX)
            return CURLE_BAD_FUNCTION_ARGUMENT;
        SET(CURLOPT_POSTFIELDSIZE, (long)request->body.len);
        SET(CURLOPT_COPYPOSTFIELDS, request->body.len > 0 ? (const char *)request->body.data : "");
        format_header(t, "Content-Type", request->content_type);
    }
    if (request->accept)
        format_header(t, "Accept", request->accept);
    if (authorization)
        add_header(t, (char *)(uintptr_t)kt_secret_view(authorization));
    SET(CURLOPT_HTTPHEADER, t->n_headers > 0 ? t->headers : NULL);
    SET(CURLOPT_USERAGENT, "keyturn/" KT_RELEASE);
    return CURLE_OK;
}

/* No CURLOPT_TIMEOUT: the deadline is http.c's, which also ends the connection. */
static CURLcode set_transfer(struct kt_http_transfer *t)
{
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a resolver that hangs does not hold up the end of a request */
    SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
    SET(CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_PIPEWAIT, 1L);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, t);
    return CURLE_OK;
}

CURLcode kt_http_transfer_set(struct kt_http_transfer *t, const struct kt_http_request *request)
{
    t->request = *request;
    t->begun_ns = kt_clock_monotonic_ns();
    t->deadline_ns = t->begun_ns + request->timeout_ms * NS_PER_MS;
    snprintf(t->answer.asked, sizeof(t->answer.asked), "%s %s", request->method, request->peer->url.origin);
    CURLcode code = set_transfer(t);
    if (code == CURLE_OK)
        code = set_target(t, request->path);
    if (code == CURLE_OK)
        code = set_tls(t);
    if (code == CURLE_OK)
        code = set_request(t, request);
    return code;
}

/* A server that ends during the handshake is no trouble of certificates, though libcurl has one code for both. */
static bool is_cut(const struct kt_http_transfer *t, CURLcode code)
{
    long number = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number);
    return code == CURLE_SSL_CONNECT_ERROR &&
           (number == ECONNRESET || number == EPIPE || strstr(t->error, "SSL_ERROR_SYSCALL") ||
            strstr(t->error, "unexpected eof"));
}

void kt_http_transfer_end(struct kt_http_transfer *t, CURLcode code)
{
    struct kt_http_answer *answer = &t->answer;
    long verify = 0;
    long version = 0;
    curl_off_t retry = 0;

    answer->elapsed_us = (kt_clock_monotonic_ns() - t->begun_ns) / 1000;
    answer->status = code == CURLE_OK || code == CURLE_WRITE_ERROR ? status_of(t) : 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &verify);
    (void)curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
    (void)curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry);
    answer->http2 = version == CURL_HTTP_VERSION_2_0;
    answer->retry_after_s = retry > 0 && retry < 86400 ? (unsigned)retry : 0;
    if (t->is_oversized)
        answer->outcome = KT_HTTP_OVERSIZED;
    else if (code == CURLE_OK)
        answer->outcome = kt_http_outcome_of_status(answer->status);
    else
        answer->outcome = is_cut(t, code) ? KT_HTTP_CUT : kt_http_outcome_of_curl((int)code, verify);
    if (t->is_oversized)
        snprintf(answer->detail, sizeof(answer->detail), "expected at most %zu bytes", t->request.answer_max);
    else if (code != CURLE_OK)
        snprintf(answer->detail, sizeof(answer->detail), "%.250s",
                 t->error[0] != '\0' ? t->error : curl_easy_strerror(code));
}
