/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/store.h"

#include <stdlib.h>
#include <string.h>

static bool is_same(const struct kt_etcd_endpoints *a, const struct kt_etcd_endpoints *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = strcmp(a->items[i].url, b->items[i].url) == 0;
    return same;
}

static size_t part_with(const struct kt_store *store, const struct kt_etcd_endpoints *servers)
{
    size_t i = 0;
    while (i < store->n && !is_same(&store->parts[i].servers, servers))
        i++;
    return i;
}

static bool copy(const struct kt_etcd_endpoints *from, struct kt_etcd_endpoints *ret, struct kt_error *err)
{
    ret->items = calloc(from->n, sizeof(*ret->items));
    if (!ret->items)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    memcpy(ret->items, from->items, from->n * sizeof(*ret->items));
    ret->n = from->n;
    return true;
}

static bool add_part(struct kt_store *store, const struct kt_store_options *options,
                     const struct kt_etcd_endpoints *servers, struct kt_error *err)
{
    if (part_with(store, servers) < store->n)
        return true;
    struct kt_store_part *part = &store->parts[store->n];
    const struct kt_etcd_options etcd = {.endpoints = servers, .tls = options->tls, .timeout_ms = options->timeout_ms};
    if (!copy(servers, &part->servers, err))
        return false;
    store->n++;
    part->etcd = kt_etcd_new(&etcd, err);
    return part->etcd != NULL;
}

struct kt_store *kt_store_open(const struct kt_store_options *options, struct kt_error *err)
{
    KT_CLEANUP(kt_store_free_p) struct kt_store *store = calloc(1, sizeof(*store));
    struct kt_etcd_endpoints servers = {.items = NULL};
    if (!store) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    bool opened = kt_storage_prefix(options->prefix, store->prefix, err) &&
                  kt_storage_overrides_parse(options->overrides ? options->overrides : "", &store->overrides, err) &&
                  kt_etcd_endpoints_parse(options->endpoints, ',', &servers, err) &&
                  add_part(store, options, &servers, err);
    kt_etcd_endpoints_done(&servers);
    for (size_t i = 0; opened && i < store->overrides.n; i++)
        opened = add_part(store, options, &store->overrides.items[i].servers, err);
    return opened ? KT_TAKE_PTR(store) : NULL;
}

void kt_store_free(struct kt_store *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < store->n; i++) {
        kt_etcd_free(store->parts[i].etcd);
        kt_etcd_endpoints_done(&store->parts[i].servers);
    }
    kt_storage_overrides_done(&store->overrides);
    free(store);
}

size_t kt_store_part_of(const struct kt_store *store, const struct kt_storage_resource *resource)
{
    const struct kt_etcd_endpoints *servers = kt_storage_overrides_find(&store->overrides, resource);
    size_t part = servers ? part_with(store, servers) : 0;
    return part < store->n ? part : 0;
}

bool kt_store_ask(struct kt_store *store, struct kt_error *err)
{
    for (size_t i = 0; i < store->n; i++) {
        struct kt_etcd_value value = {.found = false};
        bool answered = kt_etcd_get(store->parts[i].etcd, kt_slice_str("/keyturn"), &value, err);
        kt_etcd_value_done(&value);
        if (!answered)
            return false;
    }
    return true;
}
