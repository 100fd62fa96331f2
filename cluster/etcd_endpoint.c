/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/etcd_endpoint.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

static const struct {
    const char *prefix;
    bool tls;
    bool is_socket;
} SCHEMES[] = {
    {"https://", true, false},
    {"http://", false, false},
    {"unix://", false, true},
    {"unixs://", true, true},
};

static bool fail(struct kt_error *err, const char *found)
{
    (void)kt_fail(err, KT_E_CONFIG, "expected an etcd endpoint, found %s", found);
    return kt_error_hint(err, "the forms are https://HOST:PORT, http://HOST:PORT, unix:///PATH and unixs:///PATH");
}

/* A certificate for a socket is one for its name (etcd's own client does so, and kine's is for "kine.sock"). */
static bool parse_socket(const char *path, struct kt_etcd_endpoint *ret, struct kt_error *err)
{
    size_t len = strlen(path);
    if (path[0] != '/')
        return fail(err, "a socket whose path is not absolute");
    if (path[len - 1] == '/')
        return fail(err, "a directory in place of a socket");
    if (len >= sizeof(ret->path))
        return fail(err, "a socket whose path is too long for the kernel");
    memcpy(ret->path, path, len + 1);
    (void)snprintf(ret->host, sizeof(ret->host), "%s", strrchr(path, '/') + 1);
    return true;
}

/* Where the port begins, or NULL. */
static const char *split_host(const char *text, struct kt_etcd_endpoint *ret)
{
    bool brackets = text[0] == '[';
    const char *from = text + brackets;
    size_t len = strcspn(from, brackets ? "]" : ":");
    const char *colon = from + len + (brackets && from[len] == ']');
    if (len == 0 || len >= sizeof(ret->host) || colon[0] != ':')
        return NULL;
    memcpy(ret->host, from, len);
    ret->host[len] = '\0';
    return colon + 1;
}

static bool parse_host(const char *text, struct kt_etcd_endpoint *ret, struct kt_error *err)
{
    struct in6_addr address;
    const char *port = split_host(text, ret);
    if (!port)
        return fail(err, "one without a host or a port");
    size_t digits = strspn(port, "0123456789");
    const char *rest = port + digits;
    if (digits == 0 || digits > 5 || strtoul(port, NULL, 10) == 0 || strtoul(port, NULL, 10) > 65535)
        return fail(err, "one whose port is no number from 1 to 65535");
    if (strcmp(rest, "") != 0 && strcmp(rest, "/") != 0)
        return fail(err, "one with something behind its port");
    memcpy(ret->port, port, digits);
    ret->port[digits] = '\0';
    bool v6 = inet_pton(AF_INET6, ret->host, &address) == 1;
    ret->is_address = v6 || inet_pton(AF_INET, ret->host, &address) == 1;
    if (v6 != (text[0] == '['))
        return fail(err, "an IPv6 address without brackets, or brackets around something else");
    for (const char *c = ret->host; *c && !v6; c++)
        if (!isalnum((unsigned char)*c) && *c != '.' && *c != '-' && *c != '_')
            return fail(err, "one whose host holds characters that no host name has");
    return true;
}

bool kt_etcd_endpoint_parse(const char *text, struct kt_etcd_endpoint *ret, struct kt_error *err)
{
    if (strlen(text) >= sizeof(ret->url))
        return fail(err, "one that is too long");
    for (size_t i = 0; i < KT_ARRAY_LEN(SCHEMES); i++) {
        size_t n = strlen(SCHEMES[i].prefix);
        struct kt_etcd_endpoint endpoint = {.tls = SCHEMES[i].tls, .is_socket = SCHEMES[i].is_socket};
        if (strncmp(text, SCHEMES[i].prefix, n) != 0)
            continue;
        (void)snprintf(endpoint.url, sizeof(endpoint.url), "%s", text);
        if (!(endpoint.is_socket ? parse_socket : parse_host)(text + n, &endpoint, err))
            return false;
        *ret = endpoint;
        return true;
    }
    return fail(err, "one of another scheme, or of none");
}

void kt_etcd_endpoints_done(struct kt_etcd_endpoints *endpoints)
{
    free(endpoints->items);
    *endpoints = (struct kt_etcd_endpoints){.items = NULL};
}

/* One item, without spaces around it. */
static bool parse_item(const char *from, size_t len, struct kt_etcd_endpoint *ret, struct kt_error *err)
{
    char text[KT_ETCD_URL_MAX];
    while (len > 0 && isspace((unsigned char)from[0])) {
        from++;
        len--;
    }
    while (len > 0 && isspace((unsigned char)from[len - 1]))
        len--;
    if (len == 0)
        return fail(err, "an empty one");
    if (len >= sizeof(text))
        return fail(err, "one that is too long");
    memcpy(text, from, len);
    text[len] = '\0';
    return kt_etcd_endpoint_parse(text, ret, err);
}

bool kt_etcd_endpoints_parse(const char *text, char separator, struct kt_etcd_endpoints *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_etcd_endpoints_done) struct kt_etcd_endpoints found = {.items = NULL};
    const char separators[] = {separator, '\0'};
    found.items = calloc(KT_ETCD_ENDPOINTS_MAX, sizeof(*found.items));
    if (!found.items)
        return kt_fail(err, KT_E_NOMEM, "no memory for the endpoints of etcd");
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, separators);
        if (found.n == KT_ETCD_ENDPOINTS_MAX)
            return kt_fail(err, KT_E_CONFIG, "expected at most %u etcd endpoints, found more", KT_ETCD_ENDPOINTS_MAX);
        if (!parse_item(at, len, &found.items[found.n], err))
            return false;
        found.n++;
        at += len;
        if (*at == '\0')
            break;
    }
    struct kt_etcd_endpoint *fitted = reallocarray(found.items, found.n, sizeof(*found.items));
    *ret = (struct kt_etcd_endpoints){.items = fitted ? fitted : found.items, .n = found.n};
    found.items = NULL;
    return true;
}
