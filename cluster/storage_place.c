/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/storage_place.h"

#include "cluster/storage_key.h"

#include <string.h>

#define PARTS_MAX 5u

static const struct kind {
    const char *place;
    const char *resource;
    const char *group;
    bool namespaced;
} KINDS[] = {
#define KT_STORAGE_KIND(place, resource, group, namespaced) {place, resource, group, namespaced},
#include "cluster/storage_kinds.def"
#undef KT_STORAGE_KIND
};

static const char *const INTERNAL[] = {"health", "masterleases", "peerserverleases", "ranges"};

struct parts {
    size_t n; /* PARTS_MAX: or more */
    struct kt_slice items[PARTS_MAX];
};

static void split(struct kt_slice rest, struct parts *ret)
{
    *ret = (struct parts){.n = 0};
    for (size_t at = 0; at <= rest.len && ret->n < PARTS_MAX;) {
        const uint8_t *slash = at < rest.len ? memchr(rest.data + at, '/', rest.len - at) : NULL;
        size_t end = slash ? (size_t)(slash - rest.data) : rest.len;
        ret->items[ret->n++] = KT_SLICE(rest.data + at, end - at);
        at = end + 1;
    }
}

/* The length of the place in parts; 0: it is another one. */
static size_t place_len(const struct parts *parts, const char *place)
{
    const char *slash = strchr(place, '/');
    if (!slash)
        return kt_slice_equal(parts->items[0], kt_slice_str(place)) ? 1 : 0;
    bool same = parts->n > 1 && kt_slice_equal(parts->items[0], KT_SLICE(place, (size_t)(slash - place))) &&
                kt_slice_equal(parts->items[1], kt_slice_str(slash + 1));
    return same ? 2 : 0;
}

/* Behind `from` parts: [namespace and] name. either: both forms are good. */
static void take_object(const struct parts *parts, size_t from, bool namespaced, bool either,
                        struct kt_storage_place *ret)
{
    size_t left = parts->n - from;
    bool fits = either ? left == 1 || left == 2 : left == (namespaced ? 2u : 1u);
    for (size_t i = from; i < parts->n; i++)
        fits = fits && parts->items[i].len > 0;
    ret->odd = !fits || parts->n == PARTS_MAX;
    if (ret->odd)
        return;
    ret->name = parts->items[parts->n - 1];
    if (left == 2)
        ret->namespace = parts->items[from];
}

static bool take_internal(const struct parts *parts, struct kt_storage_place *ret)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(INTERNAL); i++) {
        if (!kt_slice_equal(parts->items[0], kt_slice_str(INTERNAL[i])))
            continue;
        *ret = (struct kt_storage_place){.resource = parts->items[0], .internal = true, .known = true};
        take_object(parts, 1, false, true, ret);
        return true;
    }
    return false;
}

static bool take_kind(const struct parts *parts, struct kt_storage_place *ret)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(KINDS); i++) {
        size_t len = place_len(parts, KINDS[i].place);
        if (len == 0)
            continue;
        *ret = (struct kt_storage_place){
            .resource = kt_slice_str(KINDS[i].resource), .group = kt_slice_str(KINDS[i].group), .known = true};
        take_object(parts, len, KINDS[i].namespaced, false, ret);
        return true;
    }
    return false;
}

/* Groups that are built in are not in keys. */
static bool has_group(struct kt_slice part)
{
    char group[KT_STORAGE_SEGMENT_MAX];
    if (part.len >= sizeof(group) || memchr(part.data, '\0', part.len))
        return false;
    memcpy(group, part.data, part.len);
    group[part.len] = '\0';
    return !kt_storage_group_is_built_in(group);
}

/* GROUP/RESOURCE/..., or one that is not known. */
static void take_other(const struct parts *parts, struct kt_storage_place *ret)
{
    if (has_group(parts->items[0]) && parts->n > 1 && parts->items[1].len > 0) {
        *ret = (struct kt_storage_place){.resource = parts->items[1], .group = parts->items[0], .known = true};
        take_object(parts, 2, false, true, ret);
        return;
    }
    *ret = (struct kt_storage_place){.resource = parts->items[0]};
    take_object(parts, 1, false, true, ret);
}

bool kt_storage_place_read(struct kt_slice prefix, struct kt_slice key, struct kt_storage_place *ret)
{
    struct parts parts;
    if (key.len == prefix.len || !kt_slice_begins(key, prefix))
        return false;
    split(KT_SLICE(key.data + prefix.len, key.len - prefix.len), &parts);
    if (parts.items[0].len == 0)
        return false;
    if (!take_internal(&parts, ret) && !take_kind(&parts, ret))
        take_other(&parts, ret);
    return true;
}
