/* SPDX-License-Identifier: Apache-2.0 */
/* What an auditor asks of a census: what is not as it should be, and how much of it. */
#pragma once

#include "admin/census.h"

enum kt_census_kind {
#define KT_CENSUS_KIND(name, word, text) KT_CENSUS_##name,
#include "admin/census_kinds.def"
#undef KT_CENSUS_KIND
    KT_CENSUS_KINDS,
};
#define KT_CENSUS_BIT(kind) (1u << (kind))
const char *kt_census_kind_word(enum kt_census_kind kind); /* "plaintext" */
const char *kt_census_kind_text(enum kt_census_kind kind);

/* "plaintext,unknown,key-older-than=90d", of days, hours, minutes or seconds. KT_E_USAGE. */
struct kt_census_asked {
    unsigned kinds;      /* KT_CENSUS_BIT */
    uint64_t older_than; /* s; 0: not asked for */
};
bool kt_census_asked_parse(const char *text, struct kt_census_asked *ret, struct kt_error *err) KT_MUST_CHECK;

/* When a key that is as old as that was made; 0: not asked for. */
uint64_t kt_census_made_before(const struct kt_census_asked *asked);

/* KT_CENSUS_BIT of a row; OLD where its key was made before that (0: never). */
unsigned kt_census_kinds_of(const struct kt_look *look, const struct kt_tally_row *row, uint64_t made_before);

/* When its key was made; 0: that is not known, or there is none. */
uint64_t kt_census_created(const struct kt_look *look, const struct kt_tally_row *row);
/* "active", "archived", "in clear", "uncovered": what the keyring and the rules say of it. */
const char *kt_census_state(const struct kt_look *look, const struct kt_tally_row *row);

struct kt_census_found {
    uint64_t objects[KT_CENSUS_KINDS];
    uint64_t rows[KT_CENSUS_KINDS]; /* kinds and keys */
};
void kt_census_find(const struct kt_look *look, uint64_t made_before, struct kt_census_found *ret);
