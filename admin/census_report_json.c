/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/census_report.h"
#include "admin/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *count_json(const struct kt_look *look, const struct kt_tally_row *row)
{
    uint64_t created = kt_census_created(look, row);
    char at[KT_TIME_LEN] = "";
    if (created > 0)
        kt_time_format(created, at);
    return json_pack("{s:o,s:s,s:o,s:o,s:I,s:s,s:s,s:s}", "resource", kt_census_json_kind(row), "provider",
                     kt_storage_provider_name(row->provider), "plugin", kt_census_json_plugin(row), "key",
                     kt_census_json_key(row), "count", (json_int_t)row->count, "state", kt_census_state(look, row),
                     "created", at, "problem", row->problem ? row->problem : "");
}

static json_t *counts_json(const struct kt_look *look)
{
    size_t n = 0;
    const struct kt_tally_row *const *rows = kt_tally_rows(look->census->tally, &n);
    json_t *counts = json_array();
    for (size_t i = 0; counts && i < n; i++)
        json_array_append_new(counts, count_json(look, rows[i]));
    return counts;
}

static json_t *found_json(const struct kt_census_report *report)
{
    json_t *found = json_object();
    for (enum kt_census_kind kind = 0; found && kind < KT_CENSUS_KINDS; kind++)
        if (kind != KT_CENSUS_OLD || report->ages)
            json_object_set_new(found, kt_census_kind_word(kind),
                                json_integer((json_int_t)report->found->objects[kind]));
    return found;
}

static json_t *keys_json(const struct kt_needs *needs)
{
    json_t *keys = json_array();
    for (size_t i = 0; keys && i < needs->n; i++) {
        const struct kt_need *need = &needs->items[i];
        json_array_append_new(keys, json_pack("{s:s,s:o,s:o,s:I,s:s}", "provider",
                                              kt_storage_provider_name(need->row->provider), "plugin",
                                              kt_census_json_plugin(need->row), "key", kt_census_json_key(need->row),
                                              "count", (json_int_t)need->count, "isIn", kt_held_text(need->held)));
    }
    return keys;
}

static json_t *backup_json(const struct kt_census_report *report)
{
    const struct kt_census *census = report->look->census;
    return json_pack("{s:o,s:s,s:b,s:I,s:s}", "file", kt_json_text(census->file), "format",
                     census->saved.format == KT_SNAPSHOT_KINE ? "kine" : "etcd", "checksum", (int)census->saved.summed,
                     "bytes", (json_int_t)census->saved.bytes, "canBeRead", kt_census_can_be_read(report));
}

/* The list of objects is as long as the store: it is no value in memory. */
static bool print_with_objects(const struct kt_census_report *report, const json_t *value, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *text = json_dumps(value, JSON_INDENT(2));
    char *end = text ? strrchr(text, '\n') : NULL;
    if (!end)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    printf("%.*s,\n  \"objects\": [", (int)(end - text), text);
    if (!kt_census_objects_print(report->objects, err))
        return false;
    fputs("\n  ]\n}\n", stdout);
    return kt_output_done(err);
}

static json_t *report_json(const struct kt_census_report *report)
{
    const struct kt_census *census = report->look->census;
    struct kt_slice prefix = kt_tally_prefix(census->tally);
    json_t *value = kt_json_new("Census");
    if (!value)
        return NULL;
    json_object_set_new(value, "revision", json_integer(kt_census_revision(census)));
    json_object_set_new(value, "complete", json_true());
    json_object_set_new(value, "prefix", json_stringn((const char *)prefix.data, prefix.len));
    json_object_set_new(value, "total", json_integer((json_int_t)kt_tally_objects(census->tally)));
    json_object_set_new(value, "astray", json_integer((json_int_t)census->live.astray));
    json_object_set_new(value, "rulesKnown", json_boolean(report->look->rules.known));
    json_object_set_new(value, "found", found_json(report));
    json_object_set_new(value, "counts", counts_json(report->look));
    json_object_set_new(value, "keys", keys_json(report->needs));
    if (census->file)
        json_object_set_new(value, "snapshot", backup_json(report));
    return value;
}

bool kt_census_print_json(const struct kt_census_report *report, struct kt_error *err)
{
    json_t *value = report_json(report);
    if (!report->objects)
        return kt_json_print(value, err);
    bool printed = value && print_with_objects(report, value, err);
    json_decref(value);
    return printed;
}
