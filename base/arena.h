/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fixed arena for OpenSSL's own allocations (expanded AES keys, EC scalars live on its heap): one mapping, locked,
 * left out of core dumps, zeroed in forked children, every block wiped when freed. Installed with
 * CRYPTO_set_mem_functions, so it must be called before anything else in OpenSSL. Thread-safe. When the arena is full,
 * allocations fail and OpenSSL reports an error; nothing falls back to the ordinary heap. A forked child has no arena:
 * allocations fail there, frees do nothing; it must exec or end without using OpenSSL. OpenSSL's exit handler is off.
 */
#pragma once

#include "base/error.h"

/* size in bytes, a multiple of the page size, at least 1 MiB. Once per process. */
bool kt_arena_install(size_t size, struct kt_error *err) KT_MUST_CHECK;
/* Bytes in use and the high-water mark, for tests and metrics. */
void kt_arena_usage(size_t *ret_used, size_t *ret_peak);

/* The allocator itself, for tests. 16-byte aligned. NULL on exhaustion and for no bytes. A foreign pointer, a block
 * freed twice or a header written over aborts. */
void *kt_arena_alloc(size_t len);
void *kt_arena_realloc(void *block, size_t len);
void kt_arena_free(void *block);
