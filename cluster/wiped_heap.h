/* SPDX-License-Identifier: Apache-2.0 */
/*
 * malloc(3) that wipes what it frees, for libcurl and jansson: both copy tokens, keys and objects that may be secret,
 * and neither wipes. Blocks may also come from, and go back to, plain malloc and free.
 */
#pragma once

#include "base/error.h"

/* Once per process; the first call counts, and comes before other threads. Initialises libcurl. */
bool kt_wiped_heap_use(struct kt_error *err) KT_MUST_CHECK;

void *kt_wiped_realloc(void *block, size_t len);
void kt_wiped_free(void *block);
