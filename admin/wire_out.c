/* SPDX-License-Identifier: Apache-2.0 */
/* Whether kube-apiserver can do without keys: only where nothing is stored under one. */
#include "admin/census.h"
#include "admin/wire.h"

#include <inttypes.h>

static bool fail_uncounted(const struct kt_error *why, struct kt_error *err)
{
    kt_fail(
        err, KT_E_REFUSED,
        "expected the store to be counted, since kube-apiserver does not come up while a Secret is stored under a key "
        "that it does not have: %.280s",
        why->code != KT_OK ? why->message : "it is not known where the store is");
    return kt_error_hint(err,
                         "--etcd-endpoints and its certificates; or --force, where you know that nothing is encrypted");
}

/* Also under another plugin, and what is not understood: all providers go. */
static uint64_t encrypted(const struct kt_look *look)
{
    size_t n = 0;
    uint64_t found = 0;
    const struct kt_tally_row *const *rows = kt_tally_rows(look->census->tally, &n);
    for (size_t i = 0; i < n; i++)
        if (!rows[i]->internal && kt_census_ref(look, rows[i]) != KT_REF_IDENTITY)
            found += rows[i]->count;
    return found;
}

bool kt_wire_check_stored(struct kt_wire *wire, struct kt_error *err)
{
    const struct kt_options *options = &wire->job.line.options;
    const struct kt_census_order order = {.snapshot = NULL};
    struct kt_look *look = wire->job.look;
    struct kt_error why = KT_ERROR_INIT;
    if (wire->in || options->force || options->dry_run)
        return true;
    if (!look || !look->store)
        return fail_uncounted(look ? &look->no_store : &wire->job.no_config, err);
    if (!wire->job.described.info)
        return fail_uncounted(&wire->job.no_keyring, err);
    look->info = wire->job.described.info;
    if (!kt_look_config(look, &why) || !kt_census_take(look, &order, &why))
        return fail_uncounted(&why, err);
    uint64_t n = encrypted(look);
    if (n == 0)
        return true;
    kt_fail(err, KT_E_REFUSED,
            "expected nothing to be stored under a key, without which kube-apiserver does not come up, found %" PRIu64
            " objects",
            n);
    return kt_error_hint(err, "keyturn disable has them rewritten in clear; keyturn census --objects lists them");
}
