/* SPDX-License-Identifier: Apache-2.0 */
/* The count of the store, held against the keyring and the config file. */
#pragma once

#include "admin/look.h"
#include "admin/stale.h"
#include "census/live.h"

struct kt_census {
    struct kt_tally *tally;
    struct kt_live live;
    uint64_t at_mono; /* when it began */
    uint64_t at_real;
    struct kt_names names;
    struct kt_stale stale; /* as asked for */
};

struct kt_census_order {
    const struct kt_order *stale_for; /* list what that order rewrites; NULL: nothing */
    kt_tally_visit *visit;            /* may be NULL */
    kt_tally_again *again;            /* likewise */
    void *context;
};

/* Counts look->store into look->census. What was there before is gone, also where it fails. */
bool kt_census_take(struct kt_look *look, const struct kt_census_order *order, struct kt_error *err) KT_MUST_CHECK;
void kt_census_free(struct kt_census *census);
KT_DEFINE_CLEANUP(struct kt_census *, kt_census_free);

/* look->census as the state machine sees it. */
void kt_census_facts(const struct kt_look *look, struct kt_facts_store *ret);

/* KT_REF_ of a row. */
int kt_census_ref(const struct kt_look *look, const struct kt_tally_row *row);
/* "aescbc key1", "kms-v2 keyturn 0123...", "plain": made printable. */
#define KT_UNDER_MAX 1200u
void kt_census_under(const struct kt_tally_row *row, char ret[KT_UNDER_MAX]);
