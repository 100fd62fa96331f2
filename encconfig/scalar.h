/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scalar means: YAML 1.1 as go-yaml v2 (go.yaml.in/yaml/v2, resolve.go) reads it on the way to JSON, or JSON
 * itself. yes, on, 0x10, 010, 1_000, ~ are no text unless they are quoted or tagged.
 */
#pragma once

#include "encconfig/pool.h"
#include "encconfig/source.h"

enum kt_scalar_kind {
    KT_SCALAR_NULL,
    KT_SCALAR_BOOL,
    KT_SCALAR_NUMBER,
    KT_SCALAR_TEXT,
};

struct kt_scalar {
    enum kt_scalar_kind kind;
    /* A number that Go's decoder takes for an int32: 5, in YAML 5.0 and 5e0 too. */
    bool is_int32;
    int32_t number;
    /* Text; lives with the node or the pool. NUL-terminated, and may hold NULs. */
    const char *text;
    size_t len;
};

/* The node is a scalar. False: it has no meaning that JSON can hold, or not the one of its tag; *ret_problem says
 * which, or is NULL (out of memory). */
bool kt_scalar_resolve(const struct kt_source_node *node, bool is_json, struct kt_pool *pool, struct kt_scalar *ret,
                       const char **ret_problem) KT_MUST_CHECK;

/* base64 as Go's base64.StdEncoding reads it: line breaks anywhere are skipped, the bits behind the last byte may be
 * anything. ret has room for len / 4 * 3 bytes; NULL: the length alone is wanted. */
bool kt_scalar_base64(const char *text, size_t len, uint8_t *ret, size_t *ret_len) KT_MUST_CHECK;
