/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a store answers, as --etcd-servers and --etcd-endpoints name it:
 *
 *   https://HOST:PORT    http://HOST:PORT    unix:///PATH    unixs:///PATH (TLS over a socket, as kine may speak it)
 */
#pragma once

#include "base/error.h"

#define KT_ETCD_ENDPOINTS_MAX 32u
#define KT_ETCD_URL_MAX       384u
#define KT_ETCD_HOST_MAX      256u

struct kt_etcd_endpoint {
    char url[KT_ETCD_URL_MAX]; /* for messages */
    bool tls;
    bool is_socket;
    bool is_address; /* host is an IP address, an IPv6 one without brackets */
    char
        host[KT_ETCD_HOST_MAX]; /* the host, or the last component of the socket's path: whose certificate it must be */
    char port[8];               /* "" for a socket */
    char path[108];             /* of the socket, absolute */
};

/* Refuses other schemes, a missing port, user names, paths behind a host, a socket's path that is relative or too long.
 * KT_E_CONFIG. */
bool kt_etcd_endpoint_parse(const char *text, struct kt_etcd_endpoint *ret, struct kt_error *err) KT_MUST_CHECK;

struct kt_etcd_endpoints {
    struct kt_etcd_endpoint *items;
    size_t n;
};
void kt_etcd_endpoints_done(struct kt_etcd_endpoints *endpoints);
/* At least one, with that character between them; spaces around them are left out. KT_E_CONFIG. */
bool kt_etcd_endpoints_parse(const char *text, char separator, struct kt_etcd_endpoints *ret,
                             struct kt_error *err) KT_MUST_CHECK;
