/* SPDX-License-Identifier: Apache-2.0 */
/* What EndpointSlices (discovery.k8s.io/v1) and Leases (coordination.k8s.io/v1) say of API servers. */
#include "base/clock.h"
#include "cluster/apiservers_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS_ANNOTATION "kubernetes.io/peer-advertise-address"
#define HOST_LABEL         "kubernetes.io/hostname"

bool kt_apiservers_add(struct kt_apiservers *servers, const struct kt_http_url *url, enum kt_apiserver_source source,
                       struct kt_error *err)
{
    for (size_t i = 0; i < servers->n; i++) {
        if (strcmp(servers->list[i].address, url->origin) == 0) {
            servers->list[i].sources |= (unsigned)source;
            return true;
        }
    }
    if (servers->n == KT_APISERVERS_MAX)
        return kt_fail(err, KT_E_BUSY, "expected at most %u API servers, found more", KT_APISERVERS_MAX);
    struct kt_apiserver *server = &servers->list[servers->n++];
    memset(server, 0, sizeof(*server));
    snprintf(server->address, sizeof(server->address), "%s", url->origin);
    server->peer.url = *url;
    server->sources = (unsigned)source;
    server->state = KT_APISERVER_UNREACHABLE;
    return true;
}

/* The port that serves https; 0: none. */
static unsigned https_port(const json_t *slice)
{
    size_t i;
    json_t *port;

    json_array_foreach(json_object_get(slice, "ports"), i, port)
    {
        const char *name = kt_kube_text(port, "name");
        json_int_t number = json_integer_value(json_object_get(port, "port"));
        if (name && strcmp(name, "https") == 0 && number > 0 && number < 65536)
            return (unsigned)number;
    }
    return 0;
}

/* Also those that are not ready: they may be back any moment, with the keys of before. */
static bool take_slice(struct kt_apiservers *servers, const json_t *slice, struct kt_error *err)
{
    unsigned port = https_port(slice);
    size_t i;
    size_t j;
    json_t *endpoint;
    json_t *address;

    json_array_foreach(json_object_get(slice, "endpoints"), i, endpoint)
    {
        json_array_foreach(json_object_get(endpoint, "addresses"), j, address)
        {
            const char *text = json_string_value(address);
            struct kt_http_url url;
            if (text && kt_http_url_address(text, port, &url, NULL) &&
                !kt_apiservers_add(servers, &url, KT_APISERVER_ENDPOINT, err))
                return false;
        }
    }
    return true;
}

bool kt_apiservers_take_slices(struct kt_apiservers *servers, const json_t *list, struct kt_error *err)
{
    size_t i;
    json_t *slice;

    json_array_foreach(json_object_get(list, "items"), i, slice) if (!take_slice(servers, slice, err)) return false;
    return true;
}

/* MicroTime: RFC 3339 with fractions of a second, in UTC. */
static uint64_t read_time(const char *text)
{
    char whole[KT_TIME_LEN] = "";
    uint64_t seconds = 0;

    if (!text || strlen(text) < KT_TIME_LEN - 1)
        return 0;
    memcpy(whole, text, KT_TIME_LEN - 1);
    whole[KT_TIME_LEN - 2] = 'Z';
    return kt_time_parse(whole, &seconds) ? seconds : 0;
}

/* "HOST:PORT", "[HOST]:PORT" for IPv6. */
static bool read_address(const char *text, struct kt_http_url *ret)
{
    return text && kt_http_url_parse(text, ADDRESS_ANNOTATION, ret, NULL) && ret->is_address;
}

static void read_lease(const json_t *item, struct kt_apiserver_lease *lease)
{
    const char *host = kt_kube_text(item, "metadata", "labels", HOST_LABEL);
    const char *address = kt_kube_text(item, "metadata", "annotations", ADDRESS_ANNOTATION);

    lease->renewed_s = read_time(kt_kube_text(item, "spec", "renewTime"));
    lease->has_url = read_address(address, &lease->url);
    if (host && strlen(host) < sizeof(lease->host))
        memcpy(lease->host, host, strlen(host) + 1);
}

/* API servers take Leases away that ran out: whoever held one has been gone for that long. */
static bool has_run_out(const json_t *item, const struct kt_apiserver_lease *lease, uint64_t now_s)
{
    json_int_t lasts = json_integer_value(json_object_get(json_object_get(item, "spec"), "leaseDurationSeconds"));

    return lasts > 0 && lease->renewed_s > 0 && lease->renewed_s + (uint64_t)lasts < now_s;
}

bool kt_apiservers_take_leases(struct kt_apiserver_leases *leases, const json_t *list, uint64_t now_s,
                               struct kt_error *err)
{
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(list, "items"), i, item)
    {
        const char *name = kt_kube_text(item, "metadata", "name");
        struct kt_apiserver_lease lease = {.is_matched = false};
        if (!name || strlen(name) >= sizeof(lease.name))
            continue;
        memcpy(lease.name, name, strlen(name) + 1);
        read_lease(item, &lease);
        if (has_run_out(item, &lease, now_s))
            continue;
        if (leases->n == KT_APISERVERS_MAX)
            return kt_fail(err, KT_E_BUSY, "expected at most %u Leases of API servers, found more", KT_APISERVERS_MAX);
        leases->list[leases->n++] = lease;
    }
    return true;
}
