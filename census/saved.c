/* SPDX-License-Identifier: Apache-2.0 */
#include "census/saved.h"

static bool visit(void *context, struct kt_slice key, struct kt_slice value, struct kt_error *err)
{
    return kt_tally_add(context, key, value, err);
}

bool kt_saved_count(const char *file, bool skip_hash_check, struct kt_tally *tally, struct kt_snapshot_told *ret,
                    struct kt_error *err)
{
    const struct kt_snapshot_order order = {.file = file,
                                            .prefix = kt_tally_prefix(tally),
                                            .skip_hash_check = skip_hash_check,
                                            .visit = visit,
                                            .context = tally};
    kt_tally_clear(tally);
    return kt_snapshot_read(&order, ret, err);
}
