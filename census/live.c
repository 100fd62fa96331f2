/* SPDX-License-Identifier: Apache-2.0 */
#include "census/live.h"

#include "cluster/etcd_range.h"

#include <string.h>

struct pass {
    const struct kt_store *store;
    struct kt_tally *tally;
    size_t part;
    /* The kind of the object before: they come in order. */
    struct kt_storage_resource resource;
    bool is_here;
    struct kt_live live;
};

static bool take_part(struct kt_slice from, char ret[KT_STORAGE_SEGMENT_MAX])
{
    bool same = from.len < KT_STORAGE_SEGMENT_MAX && strlen(ret) == from.len && memcmp(ret, from.data, from.len) == 0;
    size_t len = from.len < KT_STORAGE_SEGMENT_MAX ? from.len : 0;
    if (len > 0)
        memcpy(ret, from.data, len);
    ret[len] = '\0';
    return same;
}

/* Whether kube-apiserver keeps objects of that kind on the servers that are being read. */
static bool is_here(struct pass *pass, struct kt_slice key)
{
    struct kt_storage_place place;
    if (pass->store->n == 1 || !kt_storage_place_read(kt_tally_prefix(pass->tally), key, &place))
        return true;
    bool same = take_part(place.resource, pass->resource.resource);
    same = take_part(place.group, pass->resource.group) && same;
    if (!same)
        pass->is_here = kt_store_part_of(pass->store, &pass->resource) == pass->part;
    return pass->is_here;
}

static bool visit(void *context, const struct kt_etcd_kv *kv, struct kt_error *err)
{
    struct pass *pass = context;
    if (is_here(pass, kv->key))
        return kt_tally_add(pass->tally, kv->key, kv->value, err);
    pass->live.astray++;
    return true;
}

/* *ret_whole: false where the revision went away. */
static bool count_parts(struct pass *pass, bool *ret_whole, struct kt_error *err)
{
    *ret_whole = true;
    for (pass->part = 0; *ret_whole && pass->part < pass->store->n; pass->part++) {
        struct kt_etcd_passed passed;
        const struct kt_etcd_pass range = {
            .prefix = kt_tally_prefix(pass->tally), .page_bytes = KT_ETCD_PAGE_BYTES, .visit = visit, .context = pass};
        pass->resource = (struct kt_storage_resource){.group = ""};
        if (!kt_etcd_range(pass->store->parts[pass->part].etcd, &range, &passed, err))
            return false;
        if (pass->part == 0)
            pass->live.revision = passed.revision;
        pass->live.bytes += passed.bytes;
        *ret_whole = !passed.compacted;
    }
    return true;
}

bool kt_live_count(struct kt_store *store, struct kt_tally *tally, struct kt_live *ret, struct kt_error *err)
{
    for (unsigned tries = 0; tries < KT_LIVE_TRIES; tries++) {
        struct pass pass = {.store = store, .tally = tally};
        bool whole = false;
        kt_tally_clear(tally); /* also of what a count that failed has left */
        if (!count_parts(&pass, &whole, err))
            return false;
        if (whole) {
            *ret = pass.live;
            return true;
        }
    }
    (void)kt_fail(err, KT_E_INCOMPLETE, "the store was compacted each time before it was read to its end");
    return kt_error_hint(err, "run it again; --etcd-endpoints names a nearer or faster member");
}
