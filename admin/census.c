/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/census.h"

#include "base/clock.h"
#include "base/printable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

static bool add_key(struct kt_names *names, enum kt_key_type type, const char *name, struct kt_error *err)
{
    for (enum kt_storage_provider p = KT_STORAGE_AESCBC; p <= KT_STORAGE_SECRETBOX; p++)
        if (kt_stored_key_type(p) == type)
            return kt_names_add(names, p, name, err);
    return true; /* one of kms stands there by its id */
}

static bool find_names(const struct kt_look *look, struct kt_names *ret, struct kt_error *err)
{
    const struct kt_keyring_info *info = look->info;
    const struct kt_names *rules = &look->rules.names;
    bool added = kt_names_add(ret, KT_STORAGE_KMS_V2, look->provider, err);
    for (size_t i = 0; added && i < info->n_keys; i++)
        added = add_key(ret, info->keys[i].type, info->keys[i].name, err);
    for (size_t i = 0; added && i < info->n_archive; i++)
        added = add_key(ret, info->archive[i].type, info->archive[i].name, err);
    for (size_t i = 0; added && i < rules->n; i++)
        added = kt_names_add(ret, rules->items[i].provider, rules->items[i].name, err);
    return added;
}

/* ---- what a row is ---- */

static struct kt_stored_as stored_as(const struct kt_tally_row *row)
{
    return (struct kt_stored_as){.provider = row->provider, .name = row->name, .key_id = row->key_id};
}

int kt_census_ref(const struct kt_look *look, const struct kt_tally_row *row)
{
    const struct kt_stored_as as = stored_as(row);
    return kt_stored_ref(look->info, look->provider, &as);
}

bool kt_census_superseded(const struct kt_look *look, const struct kt_tally_row *row)
{
    const struct kt_stored_as as = stored_as(row);
    return kt_stored_superseded(look->info, &as) != NULL;
}

const struct kt_archived_info *kt_census_archived(const struct kt_look *look, const struct kt_tally_row *row)
{
    const struct kt_stored_as as = stored_as(row);
    bool archived = kt_stored_ref(look->info, look->provider, &as) == KT_REF_ARCHIVED;
    return archived ? kt_stored_archived(look->info, &as) : NULL;
}

int64_t kt_census_revision(const struct kt_census *census)
{
    return census->file ? census->saved.revision : census->live.revision;
}

void kt_census_under(const struct kt_tally_row *row, char ret[KT_UNDER_MAX])
{
    char text[KT_UNDER_MAX];
    struct kt_printable shown;
    (void)snprintf(text, sizeof(text), "%s%s%.*s%s%.*s", kt_storage_provider_name(row->provider),
                   row->name.len > 0 ? " " : "", (int)(row->name.len < 512 ? row->name.len : 512),
                   (const char *)row->name.data, row->key_id.len > 0 ? " " : "",
                   (int)(row->key_id.len < 512 ? row->key_id.len : 512), (const char *)row->key_id.data);
    (void)snprintf(ret, KT_UNDER_MAX, "%.1199s", kt_printable(text, &shown));
}

static bool is_managed(const struct kt_look *look, const struct kt_tally_row *row)
{
    const struct kt_stored_rule *rule = kt_stored_rule_of(&look->rules, row);
    return rule && rule->managed;
}

/* ---- as facts ---- */

/* By the name alone there may be more than the rows tell: see census/tally.h. */
static uint64_t fits_of(const struct kt_census *census, const struct kt_key_info *key)
{
    for (size_t i = 0; i < census->names.n; i++) {
        const struct kt_storage_name *name = &census->names.items[i];
        if (kt_stored_key_type(name->provider) == key->type && key->type != KT_KEY_KMS &&
            strcmp(name->name, key->name) == 0)
            return kt_tally_fits(census->tally, i);
    }
    return 0;
}

static void add_row(const struct kt_look *look, const struct kt_tally_row *row, struct kt_facts_store *ret)
{
    int ref = kt_census_ref(look, row);
    if (row->internal)
        return;
    if (ref >= KT_REF_KEYS)
        ret->counts[ref - KT_REF_KEYS] += row->count;
    else if (ref == KT_REF_UNKNOWN)
        ret->unknown += row->count;
    else if (ref == KT_REF_ARCHIVED)
        ret->archived += row->count;
    else if (is_managed(look, row) && ref == KT_REF_IDENTITY)
        ret->plaintext += row->count;
    else if (is_managed(look, row))
        ret->foreign += row->count;
}

void kt_census_facts(const struct kt_look *look, struct kt_facts_store *ret)
{
    const struct kt_census *census = look->census;
    *ret = (struct kt_facts_store){.accessible = look->store != NULL};
    if (!census)
        return;
    size_t n = 0;
    const struct kt_tally_row *const *rows = kt_tally_rows(census->tally, &n);
    ret->counted = true;
    ret->complete = true;
    ret->at_mono = census->at_mono;
    ret->at_real = census->at_real;
    for (size_t i = 0; i < n; i++)
        add_row(look, rows[i], ret);
    for (size_t i = 0; i < look->info->n_keys && i < KT_KEYS_MAX && !look->info->keys[i].superseded; i++) {
        uint64_t fits = i > 0 ? fits_of(census, &look->info->keys[i]) : 0;
        if (fits > ret->counts[i])
            ret->counts[i] = fits;
    }
}

/* ---- what is to be rewritten ---- */

/* As the state machine counts what is left over. */
static bool is_stale(const struct kt_look *look, const struct kt_tally_row *row, bool alarms)
{
    bool enabled = look->info->enabled;
    int ref = kt_census_ref(look, row);
    if (row->internal || ref == KT_REF_UNKNOWN)
        return false;
    if (ref >= KT_REF_KEYS)
        return ref != KT_REF_KEY(0) || !enabled;
    if (ref == KT_REF_ARCHIVED)
        return true;
    return is_managed(look, row) && (ref != KT_REF_IDENTITY || (enabled && !alarms));
}

struct counting {
    struct kt_look *look;
    struct kt_census *census;
    const struct kt_census_order *order;
    bool alarms; /* what is in clear is an alarm, not work */
};

static bool visit(void *context, const struct kt_tally_object *object, struct kt_error *err)
{
    struct counting *counting = context;
    const struct kt_census_order *order = counting->order;
    if (order->stale_for && is_stale(counting->look, object->row, counting->alarms)) {
        const struct kt_storage_place *place = object->place;
        char under[KT_UNDER_MAX];
        kt_census_under(object->row, under);
        const struct kt_stale_from from = {.group = place->group,
                                           .resource = place->resource,
                                           .namespace = place->namespace,
                                           .name = place->odd ? object->key : place->name,
                                           .odd = place->odd,
                                           .under = under};
        if (!kt_stale_add(&counting->census->stale, &from, err))
            return false;
    }
    return !order->visit || order->visit(order->context, object, err);
}

/* What was listed so far belongs to a count that did not come to its end. */
static void again(void *context)
{
    struct counting *counting = context;
    kt_stale_done(&counting->census->stale);
    if (counting->order->again)
        counting->order->again(counting->order->context);
}

/* ---- take ---- */

void kt_census_free(struct kt_census *census)
{
    if (!census)
        return;
    kt_tally_free(census->tally);
    kt_names_done(&census->names);
    kt_stale_done(&census->stale);
    free(census);
}

static bool count(const struct kt_look *look, const struct kt_census_order *order, struct kt_census *census,
                  struct kt_error *err)
{
    census->file = order->snapshot;
    if (order->snapshot)
        return kt_saved_count(order->snapshot, order->skip_hash_check, census->tally, &census->saved, err);
    if (kt_live_count(look->store, census->tally, &census->live, err))
        return true;
    (void)kt_error_prefix(err, "the store cannot be counted");
    return err->hint[0] ? false
                        : kt_error_hint(err, "is etcd, or kine, running there? run it again: it goes on from here");
}

bool kt_census_take(struct kt_look *look, const struct kt_census_order *order, struct kt_error *err)
{
    kt_census_free(KT_TAKE_PTR(look->census));
    KT_CLEANUP(kt_census_free_p) struct kt_census *census = calloc(1, sizeof(*census));
    if (!census)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    struct counting counting = {.look = look, .census = census, .order = order};
    census->at_mono = kt_clock_monotonic_ns();
    census->at_real = kt_clock_real_s();
    if (order->stale_for)
        counting.alarms = kt_rotation_plaintext_alarms(&look->facts, order->stale_for);
    if (!find_names(look, &census->names, err))
        return false;
    const struct kt_tally_options options = {.prefix = look->prefix[0] ? look->prefix : NULL,
                                             .names = census->names.items,
                                             .n_names = census->names.n,
                                             .visit = visit,
                                             .again = again,
                                             .context = &counting};
    census->tally = kt_tally_new(&options, err);
    if (!census->tally || !count(look, order, census, err))
        return false;
    look->census = KT_TAKE_PTR(census);
    return true;
}
