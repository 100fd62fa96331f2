/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/pool.h"

#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE ((size_t)64 * 1024)

struct kt_pool_chunk {
    struct kt_pool_chunk *next;
    size_t size;
    size_t used;
    _Alignas(max_align_t) uint8_t bytes[];
};

void *kt_pool_alloc(struct kt_pool *pool, size_t size)
{
    struct kt_pool_chunk *chunk = pool->chunks;
    size_t need = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    if (!chunk || chunk->size - chunk->used < need) {
        size_t room = need > CHUNK_SIZE ? need : CHUNK_SIZE;
        chunk = calloc(1, sizeof(*chunk) + room);
        if (!chunk)
            return NULL;
        chunk->size = room;
        chunk->next = pool->chunks;
        pool->chunks = chunk;
    }
    void *found = chunk->bytes + chunk->used;
    chunk->used += need;
    return found;
}

char *kt_pool_copy(struct kt_pool *pool, const void *bytes, size_t len)
{
    char *copy = kt_pool_alloc(pool, len + 1);
    if (copy && len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

void kt_pool_done(struct kt_pool *pool)
{
    while (pool->chunks) {
        struct kt_pool_chunk *chunk = pool->chunks;
        pool->chunks = chunk->next;
        kt_wipe(chunk->bytes, chunk->used);
        free(chunk);
    }
}
