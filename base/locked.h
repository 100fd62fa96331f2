/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for keys: a mapping of its own between two inaccessible guard pages, locked (mlock), left out of core dumps
 * (MADV_DONTDUMP), zeroed in a forked child (MADV_WIPEONFORK). base/secret.h and base/arena.h stand on it.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct kt_locked {
    uint8_t *body; /* the usable pages, zero-filled; NULL: nothing mapped */
    size_t len;    /* of the body, a multiple of the page size */
};

/* At least len bytes (1 or more). KT_E_NOMEM, with a hint about RLIMIT_MEMLOCK, if they cannot be had or locked. */
bool kt_locked_map(size_t len, struct kt_locked *ret, struct kt_error *err) KT_MUST_CHECK;
/* Wipes and unmaps. */
void kt_locked_unmap(struct kt_locked *locked);
