/* SPDX-License-Identifier: Apache-2.0 */
/* It recurses, to KT_VALUE_DEPTH_MAX: frames are small, and a loop of aliases ends there. */
#include "encconfig/value.h"

#include "base/printable.h"

#include <stdlib.h>
#include <string.h>

struct maker {
    const struct kt_source *source;
    struct kt_pool *pool;
    bool is_json;
    unsigned depth;
    unsigned alias_depth;
    size_t n_values;
    /* go-yaml's own counts. */
    size_t n_decoded;
    size_t n_aliased;
    struct kt_place *ret_place;
    struct kt_error *err;
};

/* The pairs of a map while merge keys still bring more. */
struct pairs {
    struct kt_pair *items;
    size_t n;
    size_t cap;
};

static void pairs_done(struct pairs *pairs)
{
    free(pairs->items);
}

static struct kt_value *make(struct maker *m, const struct kt_source_node *node);

static bool fail(const struct maker *m, const struct kt_source_node *node, const char *problem)
{
    struct kt_place place = kt_source_place(m->source, node->span.start);
    if (m->ret_place)
        *m->ret_place = place;
    return kt_fail(m->err, KT_E_CONFIG, "line %zu, column %zu: %s", place.line, place.column, problem);
}

static bool fail_memory(const struct maker *m)
{
    return kt_fail(m->err, KT_E_NOMEM, "out of memory");
}

/* go-yaml's guard against aliases of aliases: the larger a document, the smaller the part that they may make up. */
static bool is_excessive(const struct maker *m)
{
    const double low = 400000, high = 4000000;
    double n = (double)m->n_decoded;
    double allowed = n <= low ? 0.99 : n >= high ? 0.10 : 0.99 - 0.89 * ((n - low) / (high - low));
    return m->n_aliased > 100 && m->n_decoded > 1000 && (double)m->n_aliased / n > allowed;
}

static bool count(struct maker *m, const struct kt_source_node *node)
{
    m->n_decoded++;
    m->n_aliased += m->alias_depth > 0;
    return !is_excessive(m) || fail(m, node, "expected fewer values that come by aliases, found too many");
}

static struct kt_value *new_value(struct maker *m, const struct kt_source_node *node, enum kt_value_kind kind)
{
    if (m->n_values == KT_VALUE_NODES_MAX) {
        (void)fail(m, node, "expected fewer values, found too many");
        return NULL;
    }
    struct kt_value *value = kt_pool_alloc(m->pool, sizeof(*value));
    if (!value) {
        (void)fail_memory(m);
        return NULL;
    }
    m->n_values++;
    value->kind = kind;
    value->node = node;
    return value;
}

static bool resolve(struct maker *m, const struct kt_source_node *node, struct kt_scalar *ret)
{
    const char *problem = NULL;
    if (kt_scalar_resolve(node, m->is_json, m->pool, ret, &problem))
        return true;
    return problem ? fail(m, node, problem) : fail_memory(m);
}

static struct kt_value *make_scalar(struct maker *m, const struct kt_source_node *node)
{
    static const enum kt_value_kind kinds[] = {
        [KT_SCALAR_NULL] = KT_VALUE_NULL,
        [KT_SCALAR_BOOL] = KT_VALUE_BOOL,
        [KT_SCALAR_NUMBER] = KT_VALUE_NUMBER,
        [KT_SCALAR_TEXT] = KT_VALUE_TEXT,
    };
    struct kt_scalar scalar = {.kind = KT_SCALAR_NULL};
    struct kt_value *value = resolve(m, node, &scalar) ? new_value(m, node, kinds[scalar.kind]) : NULL;
    if (value)
        value->scalar = scalar;
    return value;
}

static struct kt_value *make_list(struct maker *m, const struct kt_source_node *node)
{
    struct kt_value *value = new_value(m, node, KT_VALUE_LIST);
    if (!value)
        return NULL;
    value->items = kt_pool_alloc(m->pool, node->n_items * sizeof(struct kt_value *));
    if (!value->items) {
        (void)fail_memory(m);
        return NULL;
    }
    for (; value->n < node->n_items; value->n++) {
        value->items[value->n] = make(m, node->items[value->n]);
        if (!value->items[value->n])
            return NULL;
    }
    return value;
}

static bool add_pair(struct maker *m, struct pairs *pairs, struct kt_pair pair)
{
    if (pairs->n == pairs->cap) {
        size_t cap = pairs->cap ? 2 * pairs->cap : 8;
        struct kt_pair *more = reallocarray(pairs->items, cap, sizeof(*more));
        if (!more)
            return fail_memory(m);
        pairs->items = more;
        pairs->cap = cap;
    }
    pairs->items[pairs->n++] = pair;
    return true;
}

static bool is_merge(const struct maker *m, const struct kt_source_node *key)
{
    return !m->is_json && key->kind == KT_SOURCE_SCALAR && strcmp(key->text, "<<") == 0 && key->len == 2 &&
           (key->implicit || (key->tag && strcmp(key->tag, "tag:yaml.org,2002:merge") == 0));
}

static bool add_key(struct maker *m, struct pairs *pairs, const struct kt_source_node *node,
                    const struct kt_source_node *value_node)
{
    const struct kt_value *key = make(m, node);
    if (!key)
        return false;
    if (key->kind != KT_VALUE_TEXT)
        return fail(m, node, "expected text as a key, found another value (quote it, if it is meant as text)");
    struct kt_value *value = make(m, value_node);
    return value &&
           add_pair(
               m, pairs,
               (struct kt_pair){.key = key->scalar.text, .key_len = key->scalar.len, .key_node = node, .value = value});
}

static bool add_mapping(struct maker *m, struct pairs *pairs, const struct kt_source_node *node);

static bool enter(struct maker *m, const struct kt_source_node *node)
{
    if (m->depth == KT_VALUE_DEPTH_MAX)
        return fail(m, node, "expected less nesting, found it too deep, or an alias inside of what it stands for");
    m->depth++;
    return true;
}

/* One mapping, or an alias of one, whose pairs go into another. */
static bool merge_one(struct maker *m, struct pairs *pairs, const struct kt_source_node *node)
{
    const struct kt_source_node *mapping = kt_source_follow(node);
    if (mapping->kind != KT_SOURCE_MAPPING)
        return fail(m, node, "expected a mapping, or a list of them, behind <<");
    if (!enter(m, node) || !count(m, node))
        return false;
    bool is_alias = mapping != node;
    m->alias_depth += is_alias;
    bool done = (!is_alias || count(m, mapping)) && add_mapping(m, pairs, mapping);
    m->alias_depth -= is_alias;
    m->depth--;
    return done;
}

static bool merge(struct maker *m, struct pairs *pairs, const struct kt_source_node *node)
{
    if (node->kind != KT_SOURCE_SEQUENCE)
        return merge_one(m, pairs, node);
    for (size_t i = node->n_items; i > 0; i--)
        if (!merge_one(m, pairs, node->items[i - 1]))
            return false;
    return true;
}

static bool add_mapping(struct maker *m, struct pairs *pairs, const struct kt_source_node *node)
{
    for (size_t i = 0; i + 1 < node->n_items; i += 2) {
        const struct kt_source_node *key = node->items[i];
        bool done = is_merge(m, key) ? merge(m, pairs, node->items[i + 1]) : add_key(m, pairs, key, node->items[i + 1]);
        if (!done)
            return false;
    }
    return true;
}

static int compare_keys(const struct kt_pair *a, const struct kt_pair *b)
{
    size_t len = a->key_len < b->key_len ? a->key_len : b->key_len;
    int order = memcmp(a->key, b->key, len);
    return order != 0 ? order : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static int compare_pairs(const void *a, const void *b)
{
    const struct kt_pair *x = a;
    const struct kt_pair *y = b;
    int order = compare_keys(x, y);
    return order != 0 ? order : (x->key_node->span.start > y->key_node->span.start) - 1;
}

static bool fail_twice(const struct maker *m, const struct kt_pair *pair)
{
    char problem[256];
    snprintf(problem, sizeof(problem), "expected each key once, found \"%.100s\" twice", KT_PRINTABLE(pair->key));
    return fail(m, pair->key_node, problem);
}

static bool keep_pairs(struct maker *m, struct kt_value *value, const struct pairs *pairs)
{
    size_t size = pairs->n * sizeof(struct kt_pair);
    struct kt_pair *sorted = kt_pool_alloc(m->pool, size);
    if (!sorted)
        return fail_memory(m);
    value->pairs = sorted;
    value->n = pairs->n;
    if (pairs->n == 0)
        return true;
    memcpy(sorted, pairs->items, size);
    qsort(sorted, pairs->n, sizeof(*sorted), compare_pairs);
    for (size_t i = 1; i < pairs->n; i++)
        if (compare_keys(&sorted[i - 1], &sorted[i]) == 0)
            return fail_twice(m, &sorted[i]);
    if (m->is_json)
        memcpy(sorted, pairs->items, size);
    return true;
}

static struct kt_value *make_map(struct maker *m, const struct kt_source_node *node)
{
    KT_CLEANUP(pairs_done) struct pairs pairs = {.items = NULL};
    struct kt_value *value = new_value(m, node, KT_VALUE_MAP);
    return value && add_mapping(m, &pairs, node) && keep_pairs(m, value, &pairs) ? value : NULL;
}

static struct kt_value *make_alias(struct maker *m, const struct kt_source_node *node)
{
    m->alias_depth++;
    struct kt_value *value = make(m, node->target);
    m->alias_depth--;
    if (value)
        value->node = node;
    return value;
}

static struct kt_value *make(struct maker *m, const struct kt_source_node *node)
{
    static struct kt_value *(*const makers[])(struct maker *, const struct kt_source_node *) = {
        [KT_SOURCE_SCALAR] = make_scalar,
        [KT_SOURCE_SEQUENCE] = make_list,
        [KT_SOURCE_MAPPING] = make_map,
        [KT_SOURCE_ALIAS] = make_alias,
    };
    if (!enter(m, node) || !count(m, node))
        return NULL;
    struct kt_value *value = makers[node->kind](m, node);
    m->depth--;
    return value;
}

struct kt_value *kt_value_make(const struct kt_source *source, struct kt_pool *pool, struct kt_place *ret_place,
                               struct kt_error *err)
{
    static const struct kt_source_node nothing = {.kind = KT_SOURCE_SCALAR, .text = "", .implicit = true};
    const struct kt_source_node *root = kt_source_root(source);
    struct maker m = {
        .source = source,
        .pool = pool,
        .is_json = kt_source_is_json(source),
        .n_decoded = 1, /* the document itself */
        .ret_place = ret_place,
        .err = err,
    };
    if (ret_place)
        *ret_place = (struct kt_place){.line = 1, .column = 1};
    return make(&m, root ? root : &nothing);
}

const struct kt_pair *kt_value_get(const struct kt_value *map, const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; map->kind == KT_VALUE_MAP && i < map->n; i++)
        if (map->pairs[i].key_len == len && memcmp(map->pairs[i].key, key, len) == 0)
            return &map->pairs[i];
    return NULL;
}
