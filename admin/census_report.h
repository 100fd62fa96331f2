/* SPDX-License-Identifier: Apache-2.0 */
/* What keyturn census prints (keyturn(1)): of a store, or of a backup. */
#pragma once

#include "admin/census_judge.h"
#include "admin/census_need.h"
#include "admin/census_objects.h"

struct kt_census_report {
    const struct kt_look *look;
    const struct kt_census_found *found;
    const struct kt_needs *needs;
    bool ages;                         /* found->objects[KT_CENSUS_OLD] was asked for */
    struct kt_census_objects *objects; /* NULL: they are not listed */
};
bool kt_census_print_text(const struct kt_census_report *report, struct kt_error *err) KT_MUST_CHECK;
bool kt_census_print_json(const struct kt_census_report *report, struct kt_error *err) KT_MUST_CHECK;
/* Of a backup: "yes", "archive" (it needs keys that are there alone), "no". */
const char *kt_census_can_be_read(const struct kt_census_report *report);
