/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A two-level segregated fit allocator: free blocks hang in bins, four to each power of two, and merge with their free
 * neighbours at once, so that years of mixed sizes do not eat the arena up. Free memory is all zero, except for the
 * headers and links of free blocks.
 */
#include "base/arena.h"

#include "base/locked.h"
#include "base/secret.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNIT       16u
#define UNITS_MIN  2u /* header and links */
#define BINS       128u
#define SIZE_LEAST ((size_t)1 << 20)
#define SIZE_MOST  ((size_t)1 << 30)

/* In front of every block. */
struct block {
    uint32_t units;  /* of the whole block */
    uint32_t before; /* of the block before it; 0: this is the first */
    uint64_t tag;    /* says free or used; nobody outside can guess it */
};
struct links { /* after the header of a free block */
    struct block *next;
    struct block *prev;
};
/* At the start of the mapping. A forked child finds zero here and has no arena. */
struct root {
    _Atomic uint64_t cookie;
    uint64_t unused;
};
_Static_assert(sizeof(struct block) == UNIT && sizeof(struct root) == UNIT, "blocks are counted in units");
_Static_assert(sizeof(struct links) <= UNIT, "links fit into the smallest block");

enum state { STATE_FREE = 0x46524545, STATE_USED = 0x55534544 };

static struct {
    pthread_mutex_t lock;
    struct kt_locked pages;
    struct block *bins[BINS];
    uint64_t filled[BINS / 64]; /* which bins are not empty */
    size_t used;
    size_t peak;
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t cookie(void)
{
    if (!arena.pages.body)
        return 0;
    const struct root *root = (const void *)arena.pages.body;
    return atomic_load_explicit(&root->cookie, memory_order_relaxed);
}

static uint64_t tag_of(const struct block *block, enum state state)
{
    return cookie() ^ (uint64_t)(uintptr_t)block ^ (uint64_t)block->units << 32 ^ (uint64_t)state;
}

static bool is_free(const struct block *block)
{
    return block->tag == tag_of(block, STATE_FREE);
}

static struct block *at(struct block *block, int64_t units)
{
    return (void *)((uint8_t *)block + units * (int64_t)UNIT);
}

static struct block *after(struct block *block)
{
    return at(block, block->units);
}

static uint8_t *payload(struct block *block)
{
    return (uint8_t *)block + sizeof(*block);
}

static size_t payload_len(const struct block *block)
{
    return (size_t)(block->units - 1) * UNIT;
}

static struct links *links(struct block *block)
{
    return (void *)payload(block);
}

/* The bin that a block of this size hangs in. */
static unsigned bin_of(uint32_t units)
{
    unsigned log = 31u - (unsigned)__builtin_clz(units);
    return log < 2 ? units : log << 2 | (units >> (log - 2) & 3u);
}

/* The first bin in which every block is large enough. */
static unsigned bin_for(uint32_t units)
{
    unsigned log = 31u - (unsigned)__builtin_clz(units);
    return bin_of(log < 2 ? units : units + (1u << (log - 2)) - 1);
}

static void make(struct block *block, uint32_t units, enum state state)
{
    block->units = units;
    block->tag = tag_of(block, state);
    at(block, units)->before = units;
}

static void hang(struct block *block)
{
    unsigned bin = bin_of(block->units);
    struct block *head = arena.bins[bin];
    *links(block) = (struct links){.next = head};
    if (head)
        links(head)->prev = block;
    arena.bins[bin] = block;
    arena.filled[bin / 64] |= UINT64_C(1) << bin % 64;
}

static void unhang(struct block *block)
{
    unsigned bin = bin_of(block->units);
    struct links *own = links(block);
    if (own->next)
        links(own->next)->prev = own->prev;
    if (own->prev)
        links(own->prev)->next = own->next;
    else
        arena.bins[bin] = own->next;
    if (!arena.bins[bin])
        arena.filled[bin / 64] &= ~(UINT64_C(1) << bin % 64);
    *own = (struct links){.next = NULL};
}

static struct block *find(uint32_t units)
{
    unsigned bin = bin_for(units);
    uint64_t mask = ~UINT64_C(0) << bin % 64;
    for (unsigned word = bin / 64; word < KT_ARRAY_LEN(arena.filled); word++, mask = ~UINT64_C(0)) {
        uint64_t candidates = arena.filled[word] & mask;
        if (candidates)
            return arena.bins[word * 64 + (unsigned)__builtin_ctzll(candidates)];
    }
    return NULL;
}

static void *take(uint32_t units)
{
    struct block *block = find(units);
    if (!block)
        return NULL;
    unhang(block);
    uint32_t rest = block->units - units;
    if (rest >= UNITS_MIN) {
        make(at(block, units), rest, STATE_FREE);
        hang(at(block, units));
    } else {
        units = block->units;
    }
    make(block, units, STATE_USED);
    arena.used += (size_t)units * UNIT;
    if (arena.used > arena.peak)
        arena.peak = arena.used;
    return payload(block);
}

static void give(struct block *block)
{
    uint32_t units = block->units;
    struct block *next = after(block);
    arena.used -= (size_t)units * UNIT;
    if (is_free(next)) {
        unhang(next);
        units += next->units;
        *next = (struct block){.units = 0};
    }
    struct block *previous = block->before > 0 ? at(block, -(int64_t)block->before) : NULL;
    if (previous && is_free(previous)) {
        unhang(previous);
        units += previous->units;
        *block = (struct block){.units = 0};
        block = previous;
    }
    make(block, units, STATE_FREE);
    hang(block);
}

/* A pointer that the arena did not hand out, or a header that was written over, is a bug of ours and no longer safe. */
static struct block *checked(void *pointer)
{
    uintptr_t first = (uintptr_t)arena.pages.body + sizeof(struct root) + sizeof(struct block);
    uintptr_t end = (uintptr_t)arena.pages.body + arena.pages.len;
    uintptr_t address = (uintptr_t)pointer;
    if (address < first || address >= end || address % UNIT != 0)
        abort();
    struct block *block = (void *)((uint8_t *)pointer - sizeof(*block));
    if (block->units < UNITS_MIN || block->tag != tag_of(block, STATE_USED) || after(block)->before != block->units)
        abort();
    return block;
}

void *kt_arena_alloc(size_t len)
{
    if (len == 0 || cookie() == 0 || len > arena.pages.len)
        return NULL;
    uint32_t units = (uint32_t)((len + UNIT - 1) / UNIT + 1);
    pthread_mutex_lock(&arena.lock);
    void *pointer = take(units);
    pthread_mutex_unlock(&arena.lock);
    return pointer;
}

void kt_arena_free(void *pointer)
{
    /* A forked child's arena is blank: what it frees is gone already. */
    if (!pointer || (arena.pages.body && cookie() == 0))
        return;
    pthread_mutex_lock(&arena.lock);
    struct block *block = checked(pointer);
    explicit_bzero(pointer, payload_len(block));
    give(block);
    pthread_mutex_unlock(&arena.lock);
}

void *kt_arena_realloc(void *pointer, size_t len)
{
    if (!pointer)
        return kt_arena_alloc(len);
    if (len == 0) {
        kt_arena_free(pointer);
        return NULL;
    }
    if (cookie() == 0)
        return NULL;
    pthread_mutex_lock(&arena.lock);
    size_t old = payload_len(checked(pointer));
    pthread_mutex_unlock(&arena.lock);
    if (len <= old && len > old / 2) {
        explicit_bzero((uint8_t *)pointer + len, old - len);
        return pointer;
    }
    void *fresh = kt_arena_alloc(len);
    if (!fresh)
        return NULL;
    memcpy(fresh, pointer, len < old ? len : old);
    kt_arena_free(pointer);
    return fresh;
}

void kt_arena_usage(size_t *ret_used, size_t *ret_peak)
{
    pthread_mutex_lock(&arena.lock);
    *ret_used = arena.used;
    *ret_peak = arena.peak;
    pthread_mutex_unlock(&arena.lock);
}

static void *openssl_malloc(size_t len, const char *file KT_UNUSED, int line KT_UNUSED)
{
    return kt_arena_alloc(len);
}

static void *openssl_realloc(void *pointer, size_t len, const char *file KT_UNUSED, int line KT_UNUSED)
{
    return kt_arena_realloc(pointer, len);
}

static void openssl_free(void *pointer, const char *file KT_UNUSED, int line KT_UNUSED)
{
    kt_arena_free(pointer);
}

/* One free block, and behind it the header of a used one without units, which ends every merge. */
static void lay_out(uint64_t secret_cookie)
{
    struct root *root = (void *)arena.pages.body;
    atomic_store(&root->cookie, secret_cookie);
    struct block *first = (void *)(arena.pages.body + sizeof(*root));
    uint32_t units = (uint32_t)(arena.pages.len / UNIT) - 2;
    make(first, units, STATE_FREE);
    after(first)->tag = tag_of(after(first), STATE_USED);
    hang(first);
}

bool kt_arena_install(size_t size, struct kt_error *err)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (arena.pages.body)
        return kt_fail(err, KT_E_INTERNAL, "the arena is installed already");
    if (size < SIZE_LEAST || size > SIZE_MOST || size % page != 0)
        return kt_fail(err, KT_E_INTERNAL, "expected an arena of whole pages from 1 MiB to 1 GiB, found %zu bytes",
                       size);
    uint64_t secret_cookie = 0;
    struct kt_locked pages = {.body = NULL};
    if (!kt_random(&secret_cookie, sizeof(secret_cookie), err) || !kt_locked_map(size, &pages, err))
        return false;
    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1) {
        kt_locked_unmap(&pages);
        return kt_fail(err, KT_E_CRYPTO, "OpenSSL has used its own heap already");
    }
    arena.pages = pages;
    lay_out(secret_cookie | 1);
    /* OpenSSL's exit handler would walk the arena, which is blank in a forked child; the kernel frees it all anyway. */
    bool is_up = OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL) == 1;
    /* OpenSSL 3.0 crashes if the arena is full when it first needs its default context. */
    if (!is_up || !OSSL_LIB_CTX_get0_global_default())
        return kt_fail_openssl(err, KT_E_CRYPTO, "OpenSSL does not start");
    return true;
}
