/* SPDX-License-Identifier: Apache-2.0 */
/* A list of the objects of a census, which may be as long as the store: it waits in a temporary file without a name
 * until it is known that it is whole. It has names and keys, never values. */
#pragma once

#include "admin/census.h"

#include <jansson.h>
#include <stdio.h>

struct kt_census_objects {
    FILE *file;
    bool json;
};
bool kt_census_objects_open(bool json, struct kt_census_objects *ret, struct kt_error *err) KT_MUST_CHECK;
void kt_census_objects_done(struct kt_census_objects *objects);
bool kt_census_objects_add(struct kt_census_objects *objects, const struct kt_tally_object *object,
                           struct kt_error *err) KT_MUST_CHECK;
/* Empties it. */
void kt_census_objects_again(struct kt_census_objects *objects);
/* To standard output: lines; with json the elements of an array. */
bool kt_census_objects_print(struct kt_census_objects *objects, struct kt_error *err) KT_MUST_CHECK;

/* Of what is stored, as JSON: "secrets", "widgets.example.com"; the plugin's name, "" without one; the key_id, or the
 * name of an inline key. NULL only out of memory. */
json_t *kt_census_json_kind(const struct kt_tally_row *row);
json_t *kt_census_json_plugin(const struct kt_tally_row *row);
json_t *kt_census_json_key(const struct kt_tally_row *row);
