/* SPDX-License-Identifier: Apache-2.0 */
/* Which Lease is whose, and which two addresses are one server. */
#include "base/clock.h"
#include "cluster/apiservers_parts.h"

#include <stdio.h>
#include <string.h>

static struct kt_apiserver_lease *find_by_hash(struct kt_apiserver_leases *leases, const char *id_hash)
{
    for (size_t i = 0; id_hash[0] != '\0' && i < leases->n; i++) {
        char hash[KT_METRICS_HASH_MAX];
        if (kt_metrics_hash(kt_slice_str(leases->list[i].name), hash, NULL) && strcmp(hash, id_hash) == 0)
            return &leases->list[i];
    }
    return NULL;
}

static struct kt_apiserver_lease *find_by_address(struct kt_apiserver_leases *leases, const char *address)
{
    for (size_t i = 0; i < leases->n; i++)
        if (leases->list[i].has_url && strcmp(leases->list[i].url.origin, address) == 0)
            return &leases->list[i];
    return NULL;
}

static const char *find_known(const struct kt_apiservers_options *options, const char *address)
{
    for (size_t i = 0; i < options->n_known; i++)
        if (strcmp(options->known[i].address, address) == 0)
            return options->known[i].id;
    return NULL;
}

static void set_id(struct kt_apiserver *server, const char *id)
{
    snprintf(server->id, sizeof(server->id), "%s", id);
}

/* Its own word counts more than a Lease's address, and that more than what is remembered. */
static void identify(struct kt_apiserver *server, struct kt_apiserver_leases *leases,
                     const struct kt_apiservers_options *options)
{
    const char *hash = server->has_metrics ? server->metrics.id_hash : "";
    const char *known = find_known(options, server->address);
    struct kt_apiserver_lease *lease = find_by_hash(leases, hash);

    if (!lease && hash[0] == '\0')
        lease = find_by_address(leases, server->address);
    if (lease) {
        lease->is_matched = true;
        server->sources |= KT_APISERVER_LEASE;
        server->renewed_s = lease->renewed_s;
        memcpy(server->host, lease->host, sizeof(server->host));
        set_id(server, lease->name);
    } else if (hash[0] != '\0') {
        snprintf(server->id, sizeof(server->id), "id:%s", hash);
    } else {
        set_id(server, known && known[0] != '\0' ? known : server->address);
    }
}

static bool is_asked(const struct kt_apiserver *server)
{
    return server->state == KT_APISERVER_ASKED;
}

/* Hosts with the same name make servers of one id, so the time of the process' start must be the same, too. */
static bool is_same_process(const struct kt_apiserver *a, const struct kt_apiserver *b)
{
    return is_asked(a) && is_asked(b) && a->has_metrics && b->has_metrics && a->metrics.id_hash[0] != '\0' &&
           strcmp(a->metrics.id_hash, b->metrics.id_hash) == 0 && a->metrics.process_start > 0 &&
           a->metrics.process_start == b->metrics.process_start;
}

/* a: seen somewhere else under the id that b, which does not answer, had when it was remembered. */
static bool has_moved(const struct kt_apiserver *a, const struct kt_apiserver *b)
{
    return is_asked(a) && b->state == KT_APISERVER_UNREACHABLE && b->sources == KT_APISERVER_KNOWN &&
           strcmp(a->id, b->id) == 0;
}

static void remove_at(struct kt_apiservers *servers, size_t index)
{
    servers->n--;
    memmove(&servers->list[index], &servers->list[index + 1], (servers->n - index) * sizeof(servers->list[0]));
}

/* The one that was found in the better way stands first. */
static void merge(struct kt_apiservers *servers)
{
    for (size_t i = 0; i < servers->n; i++) {
        for (size_t j = 0; j < servers->n;) {
            struct kt_apiserver *a = &servers->list[i];
            const struct kt_apiserver *b = &servers->list[j];
            bool is_one = j > i && is_same_process(a, b);
            if (i == j || !(is_one || has_moved(a, b))) {
                j++;
                continue;
            }
            a->sources |= b->sources;
            remove_at(servers, j);
            i -= j < i ? 1 : 0;
        }
    }
}

/* A kubeconfig's server that does not say who it is may be any of the others, through a load balancer. */
static void drop_balancer(struct kt_apiservers *servers)
{
    for (size_t i = 0; servers->n > 1 && i < servers->n; i++) {
        const struct kt_apiserver *server = &servers->list[i];
        bool is_known = is_asked(server) && server->has_metrics && server->metrics.id_hash[0] != '\0';
        if (server->sources == KT_APISERVER_KUBECONFIG && !is_known) {
            remove_at(servers, i);
            return;
        }
    }
}

static bool add_lease(struct kt_apiservers *servers, const struct kt_apiserver_lease *lease, struct kt_error *err)
{
    char renewed[KT_TIME_LEN] = "";

    if (servers->n == KT_APISERVERS_MAX)
        return kt_fail(err, KT_E_BUSY, "expected at most %u API servers, found more", KT_APISERVERS_MAX);
    struct kt_apiserver *server = &servers->list[servers->n++];
    memset(server, 0, sizeof(*server));
    set_id(server, lease->name);
    memcpy(server->host, lease->host, sizeof(server->host));
    server->renewed_s = lease->renewed_s;
    server->sources = KT_APISERVER_LEASE;
    server->state = KT_APISERVER_NO_ADDRESS;
    if (lease->renewed_s > 0)
        kt_time_format(lease->renewed_s, renewed);
    (void)kt_fail(&server->why, KT_E_UNREACHABLE, "its address is not known: only its Lease %s is there, renewed %s",
                  lease->name, renewed[0] != '\0' ? renewed : "at an unknown time");
    (void)kt_error_hint(&server->why,
                        "name it with --api-server https://HOST:PORT; a server that is gone for good loses its "
                        "Lease after an hour, or with kubectl -n kube-system delete lease NAME");
    return true;
}

/* Servers that answered without saying who they are may be those that hold the Leases left over, if there are enough.
 */
static bool add_leases(struct kt_apiservers *servers, const struct kt_apiserver_leases *leases, struct kt_error *err)
{
    size_t anonymous = 0;
    size_t left = 0;

    for (size_t i = 0; i < servers->n; i++)
        anonymous += is_asked(&servers->list[i]) && strcmp(servers->list[i].id, servers->list[i].address) == 0 ? 1 : 0;
    for (size_t i = 0; i < leases->n; i++)
        left += leases->list[i].is_matched ? 0 : 1;
    if (left <= anonymous)
        return true;
    for (size_t i = 0; i < leases->n; i++)
        if (!leases->list[i].is_matched && !add_lease(servers, &leases->list[i], err))
            return false;
    return true;
}

static bool has_id(const struct kt_apiservers *servers, const char *id)
{
    for (size_t i = 0; i < servers->n; i++)
        if (strcmp(servers->list[i].id, id) == 0)
            return true;
    return false;
}

/* One that is remembered is never forgotten by itself. */
static bool add_known(struct kt_apiservers *servers, const struct kt_apiserver_known *known, struct kt_error *err)
{
    if (known->id[0] == '\0' || has_id(servers, known->id))
        return true;
    if (servers->n == KT_APISERVERS_MAX)
        return kt_fail(err, KT_E_BUSY, "expected at most %u API servers, found more", KT_APISERVERS_MAX);
    struct kt_apiserver *server = &servers->list[servers->n++];
    memset(server, 0, sizeof(*server));
    set_id(server, known->id);
    server->sources = KT_APISERVER_KNOWN;
    server->state = KT_APISERVER_NO_ADDRESS;
    (void)kt_fail(&server->why, KT_E_UNREACHABLE, "it was there before, and is not found any more");
    return kt_error_hint(&server->why,
                         "if it is gone for good: --forget-api-server %.200s; else name it with --api-server "
                         "https://HOST:PORT",
                         known->id) ||
           true;
}

bool kt_apiservers_match(struct kt_apiservers *servers, struct kt_apiserver_leases *leases,
                         const struct kt_apiservers_options *options, struct kt_error *err)
{
    for (size_t i = 0; i < servers->n; i++)
        identify(&servers->list[i], leases, options);
    merge(servers);
    drop_balancer(servers);
    if (!add_leases(servers, leases, err))
        return false;
    for (size_t i = 0; i < options->n_known; i++)
        if (!add_known(servers, &options->known[i], err))
            return false;
    return true;
}
