/* SPDX-License-Identifier: Apache-2.0 */
/* The count of the store, or of a backup of it, held against the keyring and the config file. */
#pragma once

#include "admin/look.h"
#include "admin/stale.h"
#include "census/live.h"
#include "census/saved.h"

struct kt_census {
    struct kt_tally *tally;
    struct kt_live live;
    const char *file; /* of a backup, which `saved` is about; NULL: the store */
    struct kt_snapshot_told saved;
    uint64_t at_mono; /* when it began */
    uint64_t at_real;
    struct kt_names names;
    struct kt_stale stale; /* as asked for */
};

struct kt_census_order {
    const char *snapshot;             /* a backup (cluster/snapshot.h); NULL: look->store */
    bool skip_hash_check;             /* of it */
    const struct kt_order *stale_for; /* list what that order rewrites; NULL: nothing */
    kt_tally_visit *visit;            /* may be NULL */
    kt_tally_again *again;            /* likewise */
    void *context;
};

/* Counts look->store, or the backup, into look->census. What was there before is gone, also where it fails. */
bool kt_census_take(struct kt_look *look, const struct kt_census_order *order, struct kt_error *err) KT_MUST_CHECK;
void kt_census_free(struct kt_census *census);
KT_DEFINE_CLEANUP(struct kt_census *, kt_census_free);

/* look->census as the state machine sees it. */
void kt_census_facts(const struct kt_look *look, struct kt_facts_store *ret);

/* Of the store, or the last one in the backup. */
int64_t kt_census_revision(const struct kt_census *census);

/* KT_REF_ of a row. */
int kt_census_ref(const struct kt_look *look, const struct kt_tally_row *row);
/* A key that is not listed, but in a superseded keyring of this node. */
bool kt_census_superseded(const struct kt_look *look, const struct kt_tally_row *row);
/* An archived key; NULL: it is none. */
const struct kt_archived_info *kt_census_archived(const struct kt_look *look, const struct kt_tally_row *row);
/* "aescbc key1", "kms-v2 keyturn 0123...", "plain": made printable. */
#define KT_UNDER_MAX 1200u
void kt_census_under(const struct kt_tally_row *row, char ret[KT_UNDER_MAX]);
