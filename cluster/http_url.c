/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/http_url.h"

#include "base/cleanup.h"
#include "base/printable.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#define PORT_DEFAULT 443u

KT_DEFINE_CLEANUP(CURLU *, curl_url_cleanup);

static void curl_text_free(char **text)
{
    curl_free(*text);
}
#define CURL_TEXT KT_CLEANUP(curl_text_free) char *

static bool fail_url(const char *what, CURLUcode code, struct kt_error *err)
{
    if (code == CURLUE_OUT_OF_MEMORY)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    (void)kt_fail(err, KT_E_CONFIG, "%s: expected https://HOST[:PORT], found another form of URL: %s", what,
                  curl_url_strerror(code));
    return kt_error_hint(err, "write it as https://HOST:PORT");
}

static bool has(CURLU *url, CURLUPart part)
{
    CURL_TEXT text = NULL;

    return curl_url_get(url, part, &text, 0) == CURLUE_OK && text[0] != '\0';
}

/* What else a URL may have, and that of an API server has not. */
static bool check_rest(CURLU *url, const char *what, struct kt_error *err)
{
    static const CURLUPart NONE[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT};
    CURL_TEXT scheme = NULL;
    CURLUcode code = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);

    if (code != CURLUE_OK)
        return fail_url(what, code, err);
    if (strcmp(scheme, "https") != 0) {
        (void)kt_fail(err, KT_E_CONFIG, "%s: expected https, found the scheme %s", what, KT_PRINTABLE(scheme));
        return kt_error_hint(err, "credentials are not sent in clear: give the https address of the API server");
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(NONE); i++)
        if (has(url, NONE[i]))
            return fail_url(what, CURLUE_MALFORMED_INPUT, err);
    return true;
}

static bool set_host(struct kt_http_url *url, const char *host)
{
    struct in6_addr address;
    size_t len = strlen(host);
    bool brackets = host[0] == '[' && len > 2 && host[len - 1] == ']';

    if (brackets)
        host++, len -= 2;
    if (len == 0 || len >= sizeof(url->host))
        return false;
    memcpy(url->host, host, len);
    url->host[len] = '\0';
    bool v6 = inet_pton(AF_INET6, url->host, &address) == 1;
    url->is_address = v6 || inet_pton(AF_INET, url->host, &address) == 1;
    snprintf(url->origin, sizeof(url->origin), brackets || v6 ? "https://[%s]:%u" : "https://%s:%u", url->host,
             url->port);
    return true;
}

static bool set_path(struct kt_http_url *url, const char *path)
{
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/')
        len--;
    if (len >= sizeof(url->path))
        return false;
    memcpy(url->path, path, len);
    url->path[len] = '\0';
    return true;
}

static bool take_parts(CURLU *from, const char *what, struct kt_http_url *ret, struct kt_error *err)
{
    CURL_TEXT host = NULL;
    CURL_TEXT port = NULL;
    CURL_TEXT path = NULL;
    CURLUcode code = curl_url_get(from, CURLUPART_HOST, &host, 0);

    if (code == CURLUE_OK)
        code = curl_url_get(from, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    if (code == CURLUE_OK)
        code = curl_url_get(from, CURLUPART_PATH, &path, 0);
    if (code != CURLUE_OK)
        return fail_url(what, code, err);
    ret->port = (unsigned)strtoul(port, NULL, 10);
    if (!set_host(ret, host) || !set_path(ret, path))
        return fail_url(what, CURLUE_MALFORMED_INPUT, err);
    return true;
}

bool kt_http_url_parse(const char *text, const char *what, struct kt_http_url *ret, struct kt_error *err)
{
    KT_CLEANUP(curl_url_cleanup_p) CURLU *url = curl_url();
    struct kt_http_url parsed = {.port = PORT_DEFAULT};

    if (!url)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (strlen(text) >= KT_HTTP_URL_MAX)
        return fail_url(what, CURLUE_MALFORMED_INPUT, err);
    CURLUcode code = curl_url_set(url, CURLUPART_URL, text, CURLU_DEFAULT_SCHEME);
    if (code != CURLUE_OK)
        return fail_url(what, code, err);
    if (!check_rest(url, what, err) || !take_parts(url, what, &parsed, err))
        return false;
    *ret = parsed;
    return true;
}

bool kt_http_url_address(const char *address, unsigned port, struct kt_http_url *ret, struct kt_error *err)
{
    struct kt_http_url made = {.port = port};

    if (port == 0 || port > 65535 || !set_host(&made, address) || !made.is_address)
        return kt_fail(err, KT_E_CONFIG, "expected an IP address and a port, found %s and %u", KT_PRINTABLE(address),
                       port);
    *ret = made;
    return true;
}
