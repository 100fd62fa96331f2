/* SPDX-License-Identifier: Apache-2.0 */
/* The machine as data, for rotation/ itself and for tests that take a rule away and see what breaks. */
#pragma once

#include "rotation/rotation.h"

/* Letters of rows.def and stages.def, as bits. */
#define KT_ORDER_BIT(kind) (1u << (kind))
#define KT_STAGE_BIT(st)   (1u << (st))

enum kt_condition {
    KT_IF_ALWAYS,
    KT_IF_NEEDS_FILE, /* an inline key is listed, or the order is about provider lists */
    KT_IF_INLINE,     /* an inline key is listed */
    KT_IF_NEW_RUN,    /* this run has no key that it rotates to yet */
    KT_IF_IS_ENABLED,
    KT_IF_IS_DISABLED,
    KT_IF_IS_STRICT,
    KT_IF_WANTS_STRICT, /* asked for, enabled, and not so yet */
    KT_IF_HAS_STORE,
    KT_IF_NO_STORE,
    KT_IF_KEEPS_KEYS,  /* --skip, or nothing proves that they can go */
    KT_IF_MARKS_KEYS,  /* the opposite */
    KT_IF_RETIRING,    /* a key is retiring */
    KT_IF_TAKES_OVER,  /* another plugin comes first in the config file, and ours is to */
    KT_IF_FRONT_STAYS, /* the opposite */
    KT_IF_AT_WORK, /* not so where the order is to retire, nothing does, and no config file could still list what did:
                      it ends at once, whatever can be asked */
    KT_CONDITION_COUNT,
};

struct kt_row {
    unsigned orders; /* KT_ORDER_BIT */
    unsigned stages; /* KT_STAGE_BIT */
    enum kt_condition condition;
    enum kt_gate gate;
    enum kt_step step;
    enum kt_recipe recipe;
    unsigned forced_by; /* KT_ORDER_BIT */
};
#define KT_ROWS_MAX 128u
struct kt_rules {
    bool no_hold; /* false, but in the test that shows what the hold is for */
    size_t n_rows;
    struct kt_row rows[KT_ROWS_MAX];
};
/* rows.def. */
extern const struct kt_rules kt_rotation_rules;
void kt_rotation_next_by(const struct kt_rules *rules, const struct kt_facts *facts, const struct kt_order *order,
                         struct kt_next *ret);

struct kt_stages {
    unsigned allowed; /* KT_STAGE_BIT */
    unsigned forced;
    const char *success; /* k3s's text where it has one */
};
/* stages.def. */
extern const struct kt_stages kt_rotation_stages[KT_ORDER_COUNT];

/* The facts, digested once per call. */
struct kt_view {
    const struct kt_rules *rules;
    const struct kt_facts *facts;
    const struct kt_order *order;
    const struct kt_keyring_info *keyring;
    enum kt_stage stage; /* these three of the keyring; a plan goes ahead of it */
    bool enabled;
    bool strict;
    size_t n_listed;   /* keys[0..n_listed): superseded ones stand behind */
    uint64_t kms_keys; /* bit i: listed key i is of type kms */
    bool inline_listed;
    bool lenient;       /* --force is being tried on this gate */
    size_t n_providers; /* what the config file should have */
    int providers[KT_KEYS_MAX + 2];
};
void kt_view_init(const struct kt_rules *rules, const struct kt_facts *facts, const struct kt_order *order,
                  struct kt_view *ret);
bool kt_view_condition(const struct kt_view *view, enum kt_condition condition);
bool kt_view_row_applies(const struct kt_view *view, const struct kt_row *row);
/* Objects that are stored otherwise than the keyring says and that may be rewritten. */
uint64_t kt_view_left_over(const struct kt_view *view);
/* What is in clear and may not be rewritten without being asked for: 0 where it is work. */
uint64_t kt_view_alarm(const struct kt_view *view);
/* The hold, s: never under KT_HOLD_MIN. */
uint64_t kt_view_hold(const struct kt_view *view);
/* When the hold begins of what retires since then: not before every API server writes as it does now. */
uint64_t kt_view_held_since(const struct kt_view *view, uint64_t retiring_since);
/* Listed key i is retiring and its hold is over. */
bool kt_view_due(const struct kt_view *view, size_t i);
/* Listed key i is retiring, and the census found objects under it since its hold began. */
bool kt_view_found_under(const struct kt_view *view, size_t i);
/* What an API server should write under. */
int kt_view_wanted_ref(const struct kt_view *view);
/* Whether the file that it has loaded proves what it writes under: not so for a KMS provider. */
bool kt_view_file_decides(const struct kt_view *view, const struct kt_facts_api *api);

/* Whether the gate is open. Where it is shut, *ret (zero before) says as far as it applies which is the first that is
 * not so, how many are not, and until when. */
struct kt_miss {
    unsigned subject;
    unsigned missing;
    uint64_t until;
};
typedef bool kt_gate_check(const struct kt_view *view, struct kt_miss *ret);
#define KT_GATE(name, open, code, expected, hint, risk) kt_gate_check kt_gate_##open;
#include "rotation/gates.def"
#undef KT_GATE

/* Whether the gate of that number is open. */
bool kt_gate_is_open(enum kt_gate gate, const struct kt_view *view, struct kt_miss *ret);

/* The edits of a generation into *ret. */
void kt_recipe_fill(const struct kt_view *view, enum kt_recipe recipe, struct kt_next *ret);
