/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/census_objects.h"

#include "admin/command.h"
#include "base/printable.h"

#include <string.h>
#include <unistd.h>

/* ---- words ---- */

static json_t *text_of(struct kt_slice bytes)
{
    char text[KT_PRINTABLE_MAX];
    (void)snprintf(text, sizeof(text), "%.*s", (int)(bytes.len < sizeof(text) ? bytes.len : sizeof(text) - 1),
                   (const char *)bytes.data);
    return kt_json_text(text);
}

static bool is_kms(const struct kt_tally_row *row)
{
    return row->provider == KT_STORAGE_KMS_V2 || row->provider == KT_STORAGE_KMS_V1;
}

json_t *kt_census_json_kind(const struct kt_tally_row *row)
{
    char text[2 * KT_STORAGE_SEGMENT_MAX + 1];
    (void)snprintf(text, sizeof(text), "%s%s%s", row->resource, row->group[0] ? "." : "", row->group);
    return kt_json_text(text);
}

json_t *kt_census_json_plugin(const struct kt_tally_row *row)
{
    return text_of(is_kms(row) ? row->name : KT_SLICE("", 0));
}

json_t *kt_census_json_key(const struct kt_tally_row *row)
{
    return text_of(is_kms(row) ? row->key_id : row->name);
}

/* ---- the list ---- */

bool kt_census_objects_open(bool json, struct kt_census_objects *ret, struct kt_error *err)
{
    *ret = (struct kt_census_objects){.file = tmpfile(), .json = json};
    return ret->file || kt_fail_errno(err, KT_E_IO, "a temporary file for the list of objects");
}

void kt_census_objects_done(struct kt_census_objects *objects)
{
    if (objects->file)
        (void)fclose(objects->file);
    objects->file = NULL;
}

static void add_text(FILE *out, const struct kt_tally_object *object)
{
    const struct kt_storage_place *place = object->place;
    struct kt_slice name = place->odd ? object->key : place->name;
    char under[KT_UNDER_MAX], text[KT_PRINTABLE_MAX];
    kt_census_under(object->row, under);
    (void)snprintf(text, sizeof(text), "%s%s%s %.*s%s%.*s", object->row->resource, object->row->group[0] ? "." : "",
                   object->row->group, (int)place->namespace.len, (const char *)place->namespace.data,
                   place->namespace.len > 0 ? "/" : "", (int)name.len, (const char *)name.data);
    (void)fprintf(out, "%s %s\n", KT_PRINTABLE(text), under);
}

static bool add_json(FILE *out, const struct kt_tally_object *object)
{
    const struct kt_storage_place *place = object->place;
    const struct kt_tally_row *row = object->row;
    KT_CLEANUP_JSON json_t *value = json_pack(
        "{s:o,s:o,s:o,s:s,s:o,s:o}", "resource", kt_census_json_kind(row), "namespace", text_of(place->namespace),
        "name", text_of(place->odd ? object->key : place->name), "provider", kt_storage_provider_name(row->provider),
        "plugin", kt_census_json_plugin(row), "key", kt_census_json_key(row));
    bool first = ftell(out) == 0;
    return value && fputs(first ? "\n    " : ",\n    ", out) >= 0 && json_dumpf(value, out, JSON_COMPACT) == 0;
}

bool kt_census_objects_add(struct kt_census_objects *objects, const struct kt_tally_object *object,
                           struct kt_error *err)
{
    if (!objects->json)
        add_text(objects->file, object);
    else if (!add_json(objects->file, object))
        return kt_fail(err, KT_E_IO, "the list of objects could not be written");
    return !ferror(objects->file) || kt_fail_errno(err, KT_E_IO, "a temporary file for the list of objects");
}

void kt_census_objects_again(struct kt_census_objects *objects)
{
    rewind(objects->file);
    (void)!ftruncate(fileno(objects->file), 0);
}

bool kt_census_objects_print(struct kt_census_objects *objects, struct kt_error *err)
{
    char buffer[16384];
    rewind(objects->file);
    for (size_t n = fread(buffer, 1, sizeof(buffer), objects->file); n > 0;
         n = fread(buffer, 1, sizeof(buffer), objects->file))
        if (fwrite(buffer, 1, n, stdout) != n)
            return kt_output_done(err);
    return !ferror(objects->file) || kt_fail_errno(err, KT_E_IO, "a temporary file for the list of objects");
}
