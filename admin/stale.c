/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/stale.h"

#include <stdlib.h>
#include <string.h>

void kt_stale_done(struct kt_stale *stale)
{
    for (size_t i = 0; i < stale->n; i++)
        free(stale->items[i].under);
    free(stale->items);
    *stale = (struct kt_stale){.n = 0};
}

static bool make_room(struct kt_stale *stale, struct kt_error *err)
{
    if (stale->n < stale->cap)
        return true;
    size_t cap = stale->cap > 0 ? 2 * stale->cap : 256;
    struct kt_stale_object *items = realloc(stale->items, cap * sizeof(*items));
    if (!items)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    stale->items = items;
    stale->cap = cap;
    return true;
}

static char *put(char **at, struct kt_slice part)
{
    char *start = *at;
    if (part.len > 0)
        memcpy(start, part.data, part.len);
    start[part.len] = '\0';
    *at += part.len + 1;
    return start;
}

bool kt_stale_add(struct kt_stale *stale, const struct kt_stale_from *from, struct kt_error *err)
{
    if (stale->n == KT_STALE_MAX) {
        stale->more = true;
        return true;
    }
    char *at =
        malloc(strlen(from->under) + from->group.len + from->resource.len + from->namespace.len + from->name.len + 5);
    if (!at)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!make_room(stale, err)) {
        free(at);
        return false;
    }
    struct kt_stale_object *item = &stale->items[stale->n++];
    item->under = put(&at, kt_slice_str(from->under));
    item->group = put(&at, from->group);
    item->resource = put(&at, from->resource);
    item->namespace = put(&at, from->namespace);
    item->name = put(&at, from->name);
    item->odd = from->odd;
    return true;
}
