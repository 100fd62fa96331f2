/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that it takes to read what was counted, and where each of them is. */
#pragma once

#include "admin/census.h"

enum kt_held {
    KT_HELD_NOT_NEEDED, /* in clear; or nobody knows what it needs */
    KT_HELD_KEYRING,    /* listed */
    KT_HELD_SUPERSEDED, /* in a superseded keyring of this node, which serves it */
    KT_HELD_CONFIG,     /* of the config file: an inline key, or another plugin */
    KT_HELD_ARCHIVE,    /* sealed to the recovery key */
    KT_HELD_MISSING,
};
enum kt_held kt_census_held(const struct kt_look *look, const struct kt_tally_row *row);
/* "keyring", "archive", ... */
const char *kt_held_text(enum kt_held held);

struct kt_need {
    const struct kt_tally_row *row; /* one of those with that key; the tally's */
    uint64_t count;                 /* objects under it, of all kinds */
    enum kt_held held;
};
struct kt_needs {
    struct kt_need *items;
    size_t n;
    uint64_t objects[KT_HELD_MISSING + 1];
};
/* Of look->census; good as long as its tally is. */
bool kt_needs_find(const struct kt_look *look, struct kt_needs *ret, struct kt_error *err) KT_MUST_CHECK;
void kt_needs_done(struct kt_needs *needs);
