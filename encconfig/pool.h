/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many small pieces of memory with one end: all are wiped and freed together. For trees made of a file that may hold
 * keys. Plain heap memory, not locked.
 */
#pragma once

#include "base/attrs.h"

#include <stddef.h>

struct kt_pool_chunk;

struct kt_pool {
    struct kt_pool_chunk *chunks;
};

/* Zeroed, aligned for anything; NULL out of memory. */
void *kt_pool_alloc(struct kt_pool *pool, size_t size) KT_MUST_CHECK;
/* A copy with a NUL behind it. */
char *kt_pool_copy(struct kt_pool *pool, const void *bytes, size_t len) KT_MUST_CHECK;
void kt_pool_done(struct kt_pool *pool);
