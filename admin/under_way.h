/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command that holds STATE/rotation.lock is doing, for `keyturn status` in another terminal: one JSON object
 * in the lock file itself. It counts as long as somebody has the lock, so nothing of a command that was killed is told.
 */
#pragma once

#include "keystore/config.h"

#include <jansson.h>

#define KT_UNDER_WAY_MAX 2048u /* bytes of it */

/* Best effort: nothing depends on it. lock: of kt_rotation_lock; -1: there is none. */
void kt_under_way_tell(int lock, const json_t *what);

/* The object, with `pid`; NULL: no command runs. A command that has said nothing yet has its pid alone. */
json_t *kt_under_way(const struct kt_config *config);
/* "reencrypt (pid 4711) is rewriting: 1200 of 5000 objects, 0 failed, 400/s, 9 s left". */
void kt_under_way_text(const json_t *what, char *ret, size_t cap);
