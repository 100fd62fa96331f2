/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/census_need.h"

#include <stdlib.h>
#include <string.h>

const char *kt_held_text(enum kt_held held)
{
    static const char *const texts[] = {
        [KT_HELD_NOT_NEEDED] = "-",       [KT_HELD_KEYRING] = "keyring", [KT_HELD_SUPERSEDED] = "superseded",
        [KT_HELD_CONFIG] = "config file", [KT_HELD_ARCHIVE] = "archive", [KT_HELD_MISSING] = "missing",
    };
    return texts[held];
}

/* The plugin, or the inline key, is named in the config file. */
static bool is_in_config(const struct kt_look *look, const struct kt_tally_row *row)
{
    const struct kt_names *names = &look->rules.names;
    for (size_t i = 0; i < names->n; i++)
        if (names->items[i].provider == row->provider && kt_slice_equal(kt_slice_str(names->items[i].name), row->name))
            return true;
    return false;
}

enum kt_held kt_census_held(const struct kt_look *look, const struct kt_tally_row *row)
{
    int ref = kt_census_ref(look, row);
    bool ours = row->provider == KT_STORAGE_KMS_V2 && kt_slice_equal(row->name, kt_slice_str(look->provider));
    if (ref == KT_REF_IDENTITY || ref == KT_REF_UNKNOWN)
        return KT_HELD_NOT_NEEDED;
    if (ref >= KT_REF_KEYS)
        return KT_HELD_KEYRING;
    if (ref == KT_REF_ARCHIVED)
        return KT_HELD_ARCHIVE;
    if (kt_census_superseded(look, row))
        return KT_HELD_SUPERSEDED;
    return !ours && is_in_config(look, row) ? KT_HELD_CONFIG : KT_HELD_MISSING;
}

static bool is_same_key(const struct kt_tally_row *a, const struct kt_tally_row *b)
{
    return a->provider == b->provider && kt_slice_equal(a->name, b->name) && kt_slice_equal(a->key_id, b->key_id);
}

static struct kt_need *need_of(struct kt_needs *needs, const struct kt_tally_row *row)
{
    for (size_t i = 0; i < needs->n; i++)
        if (is_same_key(needs->items[i].row, row))
            return &needs->items[i];
    return &needs->items[needs->n];
}

bool kt_needs_find(const struct kt_look *look, struct kt_needs *ret, struct kt_error *err)
{
    size_t n = 0;
    const struct kt_tally_row *const *rows = kt_tally_rows(look->census->tally, &n);
    struct kt_needs needs = {.items = calloc(n + 1, sizeof(*needs.items))};
    if (!needs.items)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        enum kt_held held = kt_census_held(look, rows[i]);
        needs.objects[held] += rows[i]->count;
        if (held == KT_HELD_NOT_NEEDED)
            continue;
        struct kt_need *need = need_of(&needs, rows[i]);
        needs.n += need->row == NULL;
        *need = (struct kt_need){.row = rows[i], .count = need->count + rows[i]->count, .held = held};
    }
    *ret = needs;
    return true;
}

void kt_needs_done(struct kt_needs *needs)
{
    free(needs->items);
    *needs = (struct kt_needs){.n = 0};
}
