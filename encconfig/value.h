/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the text of encconfig/source.h means, as kube-apiserver gets it from YAML by way of JSON: aliases replaced,
 * merge keys (`<<`) spread, scalars resolved. Keys that are no text, keys that stand twice (also one that a merge
 * brings along) and more aliases than go-yaml bears are errors there and here. Wiped with its pool; contents of scalars
 * belong to the tree of the source, which must outlive it.
 */
#pragma once

#include "encconfig/scalar.h"

#define KT_VALUE_DEPTH_MAX 256u
/* After aliases are replaced. */
#define KT_VALUE_NODES_MAX 1000000u

enum kt_value_kind {
    KT_VALUE_NULL,
    KT_VALUE_BOOL,
    KT_VALUE_NUMBER,
    KT_VALUE_TEXT,
    KT_VALUE_LIST,
    KT_VALUE_MAP,
};

struct kt_value;

struct kt_pair {
    const char *key; /* may hold NULs */
    size_t key_len;
    const struct kt_source_node *key_node;
    struct kt_value *value;
};

struct kt_value {
    enum kt_value_kind kind;
    const struct kt_source_node *node; /* where it stands; an alias, if it stands there by one */
    struct kt_scalar scalar;           /* of the first four kinds */
    struct kt_value **items;           /* of a list */
    struct kt_pair *pairs; /* of a map, in the order of Go's decoder: by key in YAML, as they stand in JSON */
    size_t n;
};

/* The document's value; an empty document is null. NULL on failure: KT_E_CONFIG (or KT_E_NOMEM), with line and column,
 * and *ret_place (may be NULL) is that place. Messages name a key that stands twice, and no other text. */
struct kt_value *kt_value_make(const struct kt_source *source, struct kt_pool *pool, struct kt_place *ret_place,
                               struct kt_error *err) KT_MUST_CHECK;

/* NULL: it has no such key. */
const struct kt_pair *kt_value_get(const struct kt_value *map, const char *key);
