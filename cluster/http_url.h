/* SPDX-License-Identifier: Apache-2.0 */
/* The URL of an API server, as a kubeconfig or --api-server gives it: https://HOST[:PORT][/PATH]. */
#pragma once

#include "base/error.h"

#define KT_HTTP_URL_MAX  2048u /* bytes of a URL, with the NUL */
#define KT_HTTP_HOST_MAX 256u

struct kt_http_url {
    char host[KT_HTTP_HOST_MAX];        /* a name or an address, an IPv6 one without brackets */
    char origin[KT_HTTP_HOST_MAX + 24]; /* "https://HOST:PORT", an IPv6 address in brackets */
    char path[KT_HTTP_URL_MAX];         /* "" or "/prefix", without a slash at its end */
    unsigned port;
    bool is_address; /* the host is an IP address */
};

/* Without a scheme it is https, as in client-go; any other scheme is refused, since it would carry credentials in
 * clear, and so are user names, queries and fragments. what: whose URL it is, for messages. KT_E_CONFIG. */
bool kt_http_url_parse(const char *text, const char *what, struct kt_http_url *ret, struct kt_error *err) KT_MUST_CHECK;
/* "https://HOST:PORT" of an address as Kubernetes has it in EndpointSlices. KT_E_CONFIG. */
bool kt_http_url_address(const char *address, unsigned port, struct kt_http_url *ret,
                         struct kt_error *err) KT_MUST_CHECK;
