/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May this keyring be installed over what this node has? (docs/keyring-format.md §8). The rules: not another cluster's,
 * not below the floor, no fork of it, no known key with other bytes or type. And what is kept: known keys that it does
 * not list or archive. Part of keyturn-opener.
 */
#pragma once

#include "keystore/opener.h"

/* A document as far as it could be opened. */
struct kt_opener_source {
    const char *name; /* for messages: "keyring.yaml", "superseded/1-3.yaml" */
    struct kt_slice bytes;
    struct kt_keyring *keyring;   /* NULL: it does not verify */
    struct kt_keyring_keys *keys; /* NULL: it does not open, and this is why: */
    struct kt_error unopened;
};

struct kt_opener_case {
    struct kt_opener_source offered;
    struct kt_opener_source current; /* bytes.data NULL: none, or it is what is offered */
    struct kt_opener_source superseded[KT_SUPERSEDED_MAX];
    size_t n_superseded;
    struct kt_floor floor;
    bool accept_older;
    bool render; /* the bytes of inline keys are asked for, instead of those of kms keys */
};
void kt_opener_case_done(struct kt_opener_case *sources);

/* Whether the bytes of a key of that type go out with the answer. */
bool kt_opener_gives(const struct kt_opener_case *sources, enum kt_key_type type);

/* What can be told without any secret; offered is verified. May set below_floor. KT_E_KEYRING_FOREIGN, _OLDER, _FORK.
 */
bool kt_opener_judge_order(const struct kt_opener_case *sources, struct kt_opener_answer *answer,
                           struct kt_error *err) KT_MUST_CHECK;
/* The rest; offered is opened, and answer->info and ->keys hold what it lists. Appends the keys that it would lose, and
 * sets keep_*. KT_E_KEYRING_LOSES_KEY, KT_E_REFUSED. */
bool kt_opener_judge_keys(const struct kt_opener_case *sources, struct kt_opener_answer *answer,
                          struct kt_error *err) KT_MUST_CHECK;

/* Cut at KT_NOTE_LEN; the last of too many says that there are more. */
void kt_opener_note(struct kt_opener_answer *answer, const char *fmt, ...) KT_PRINTF(2, 3);
