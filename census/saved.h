/* SPDX-License-Identifier: Apache-2.0 */
/* The count of a backup (cluster/snapshot.h). */
#pragma once

#include "census/tally.h"
#include "cluster/snapshot.h"

/* Counts into the tally, which is cleared before. skip_hash_check: see struct kt_snapshot_order. False: what is in the
 * tally says nothing. */
bool kt_saved_count(const char *file, bool skip_hash_check, struct kt_tally *tally, struct kt_snapshot_told *ret,
                    struct kt_error *err) KT_MUST_CHECK;
