/* SPDX-License-Identifier: Apache-2.0 */
#include "census/tally.h"

#include "cluster/storage_key.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

struct kt_tally {
    struct kt_tally_options options;
    char prefix[KT_STORAGE_KEY_MAX];
    uint64_t objects;
    uint64_t *fits; /* n_names */
    void *tree;     /* of tsearch(3), of rows */
    struct kt_tally_row **rows;
    size_t n_rows;
    size_t cap;
};

struct kt_tally *kt_tally_new(const struct kt_tally_options *options, struct kt_error *err)
{
    KT_CLEANUP(kt_tally_free_p) struct kt_tally *tally = calloc(1, sizeof(*tally));
    if (tally)
        tally->fits = calloc(options->n_names + 1, sizeof(*tally->fits));
    if (!tally || !tally->fits) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    tally->options = *options;
    if (options->n_names > KT_TALLY_NAMES_MAX) {
        (void)kt_fail(err, KT_E_REFUSED, "expected at most %u names of keys and plugins in use, found %zu",
                      KT_TALLY_NAMES_MAX, options->n_names);
        return NULL;
    }
    return kt_storage_prefix(options->prefix, tally->prefix, err) ? KT_TAKE_PTR(tally) : NULL;
}

static void keep(void *row)
{
    (void)row; /* it is in rows, too */
}

static void clear(struct kt_tally *tally)
{
    tdestroy(tally->tree, keep);
    tally->tree = NULL;
    for (size_t i = 0; i < tally->n_rows; i++)
        free(tally->rows[i]);
    tally->n_rows = 0;
    tally->objects = 0;
    memset(tally->fits, 0, tally->options.n_names * sizeof(*tally->fits));
}

void kt_tally_clear(struct kt_tally *tally)
{
    clear(tally);
    if (tally->options.again)
        tally->options.again(tally->options.context);
}

void kt_tally_free(struct kt_tally *tally)
{
    if (!tally)
        return;
    if (tally->fits)
        clear(tally);
    free(tally->rows);
    free(tally->fits);
    free(tally);
}

struct kt_slice kt_tally_prefix(const struct kt_tally *tally)
{
    return kt_slice_str(tally->prefix);
}

/* ---- rows ---- */

static int compare(const void *left, const void *right)
{
    const struct kt_tally_row *a = left, *b = right;
    int order = strcmp(a->group, b->group);
    order = order != 0 ? order : strcmp(a->resource, b->resource);
    order = order != 0 ? order : (a->provider > b->provider) - (a->provider < b->provider);
    order = order != 0 ? order : kt_slice_compare(a->name, b->name);
    order = order != 0 ? order : kt_slice_compare(a->key_id, b->key_id);
    return order != 0 ? order : strcmp(a->problem ? a->problem : "", b->problem ? b->problem : "");
}

static int compare_at(const void *left, const void *right)
{
    const struct kt_tally_row *const *a = left, *const *b = right;
    return compare(*a, *b);
}

static char *put(char **at, struct kt_slice bytes)
{
    char *start = *at;
    if (bytes.len > 0)
        memcpy(start, bytes.data, bytes.len);
    start[bytes.len] = '\0';
    *at += bytes.len + 1;
    return start;
}

/* A row of its own, with its texts behind it. */
static struct kt_tally_row *copy(const struct kt_tally_row *from)
{
    struct kt_slice group = kt_slice_str(from->group), resource = kt_slice_str(from->resource);
    size_t size = sizeof(*from) + group.len + resource.len + from->name.len + from->key_id.len + 4;
    struct kt_tally_row *row = malloc(size);
    if (!row)
        return NULL;
    char *at = (char *)(row + 1);
    *row = *from;
    row->group = put(&at, group);
    row->resource = put(&at, resource);
    row->name.data = (const uint8_t *)put(&at, from->name);
    row->key_id.data = (const uint8_t *)put(&at, from->key_id);
    return row;
}

static bool make_room(struct kt_tally *tally, struct kt_error *err)
{
    if (tally->n_rows == KT_TALLY_ROWS_MAX)
        return kt_fail(err, KT_E_REFUSED, "expected at most %u kinds and keys in the store, found more",
                       KT_TALLY_ROWS_MAX);
    if (tally->n_rows < tally->cap)
        return true;
    size_t cap = tally->cap > 0 ? 2 * tally->cap : 64;
    struct kt_tally_row **rows = realloc(tally->rows, cap * sizeof(struct kt_tally_row *));
    if (!rows)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    tally->rows = rows;
    tally->cap = cap;
    return true;
}

static struct kt_tally_row *row_of(struct kt_tally *tally, const struct kt_tally_row *wanted, struct kt_error *err)
{
    struct kt_tally_row *const *found = tfind(wanted, &tally->tree, compare);
    if (found)
        return *found;
    if (!make_room(tally, err))
        return NULL;
    struct kt_tally_row *row = copy(wanted);
    if (!row || !tsearch(row, &tally->tree, compare)) {
        free(row);
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    tally->rows[tally->n_rows++] = row;
    return row;
}

/* ---- objects ---- */

/* Of a key's part, which may be longer than any kind is called, and hold anything. */
static const char *text_of(struct kt_slice part, char ret[KT_STORAGE_SEGMENT_MAX])
{
    size_t len = part.len < KT_STORAGE_SEGMENT_MAX ? part.len : KT_STORAGE_SEGMENT_MAX - 1;
    if (len > 0)
        memcpy(ret, part.data, len);
    ret[len] = '\0';
    return ret;
}

bool kt_tally_add(struct kt_tally *tally, struct kt_slice key, struct kt_slice value, struct kt_error *err)
{
    char resource[KT_STORAGE_SEGMENT_MAX], group[KT_STORAGE_SEGMENT_MAX];
    struct kt_storage_place place;
    struct kt_storage_value read;
    const struct kt_tally_options *options = &tally->options;
    if (!kt_storage_place_read(kt_tally_prefix(tally), key, &place))
        return kt_fail(err, KT_E_IO, "expected a key below %s, the store answered with another", tally->prefix);
    kt_storage_value_read(value, options->names, options->n_names, &read);
    const struct kt_tally_row wanted = {.resource = text_of(place.resource, resource),
                                        .group = text_of(place.group, group),
                                        .known = place.known,
                                        .internal = place.internal,
                                        .provider = read.provider,
                                        .name = read.name,
                                        .name_known = read.name_known,
                                        .key_id = read.key_id,
                                        .problem = read.problem};
    struct kt_tally_row *row = row_of(tally, &wanted, err);
    if (!row)
        return false;
    row->count++;
    tally->objects++;
    for (size_t i = 0; i < options->n_names; i++)
        tally->fits[i] += kt_storage_value_fits(value, &options->names[i]);
    const struct kt_tally_object object = {.place = &place, .row = row, .key = key, .value = value};
    return !options->visit || options->visit(options->context, &object, err);
}

uint64_t kt_tally_objects(const struct kt_tally *tally)
{
    return tally->objects;
}

uint64_t kt_tally_fits(const struct kt_tally *tally, size_t i)
{
    return tally->fits[i];
}

const struct kt_tally_row *const *kt_tally_rows(struct kt_tally *tally, size_t *ret_n)
{
    if (tally->n_rows > 0)
        qsort(tally->rows, tally->n_rows, sizeof(struct kt_tally_row *), compare_at);
    *ret_n = tally->n_rows;
    return (const struct kt_tally_row *const *)tally->rows;
}
