/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rotation state machine: given what was seen (facts.h) and what is wanted, the next step, or what it waits for, or
 * why not. Pure: no I/O, no allocation, no clock, nothing remembered between calls. docs/rotation.md says why each
 * order is safe; rows.def is the machine itself.
 *
 * The caller's loop, under the lock of the state directory from the look to the end of the act:
 *
 *     look -> kt_rotation_next -> act -> look -> ...
 *
 * until DONE or REFUSE, or until it has had enough of WAIT. Killed anywhere, the same command run again goes on,
 * because what was done is seen again. That asks of the acts:
 *
 * - KT_STEP_GENERATION: the edits, all in one generation, made over exactly facts.keyring (compare and swap on its
 *   generation; lost: look again, or exit 5), and made durable before anything else of the step. Its line of the audit
 *   log travels in it: the generation is the commit. Then the line is appended to the log file. Killed in between, the
 *   log's last line is not the keyring's auditHead: whoever opens the log next appends what the keyring carries. A head
 *   that the keyring does not continue is a cut or an edit, never a crash.
 * - KT_STEP_CONFIG: first a generation without edits, whose audit line has the hashes of the file before and after;
 * then the file (temporary file, fsync, rename). Killed in between, the file is not as the keyring says, and the step
 * comes again.
 * - Keyring before config, always: a key is durable in the keyring before any API server can encrypt with it, and
 * sealed in the archive before it leaves the file.
 * - A GENERATION, CONFIG or REWRITE step is good for KT_ROTATION_STEP_S from the beginning of the look; later, look
 *   again.
 * - kt_next.rotating goes into kt_order.rotating of the next call.
 */
#pragma once

#include "keystore/keyring.h"
#include "rotation/facts.h"

/* An API server that has answered for so long has finished or given up what it was writing before (its requests end
 * after 60 s, its etcd transactions too: facts of kube-apiserver). */
#define KT_ROTATION_DRAIN_S  120u
#define KT_ROTATION_DRAIN_NS (UINT64_C(1000000000) * KT_ROTATION_DRAIN_S)
/* Looks further apart do not show that a server ran in between. */
#define KT_ROTATION_LOOK_S 10u
#define KT_ROTATION_STEP_S 60u

/* What is wanted: the commands of keyturn(1). */
enum kt_order_kind {
    KT_ORDER_PREPARE = 0,
    KT_ORDER_CANCEL, /* prepare --cancel */
    KT_ORDER_ROTATE,
    KT_ORDER_REENCRYPT,
    KT_ORDER_ROTATE_KEYS,
    KT_ORDER_RETIRE,
    KT_ORDER_ENABLE,
    KT_ORDER_DISABLE,
    KT_ORDER_APPLY, /* config apply: the config file as the keyring has it, and nothing else */
    KT_ORDER_COUNT,
};
/* "prepare --cancel"; "unknown" for a number out of range. */
const char *kt_order_text(enum kt_order_kind kind);

struct kt_order {
    enum kt_order_kind kind;
    bool force;
    bool skip;             /* reencrypt --skip: old keys stay as they are */
    bool strict;           /* enable --strict: identity leaves the list in the end */
    bool takes_over;       /* rotate-keys: from another plugin that comes first in the config file */
    bool accept_plaintext; /* rewrite what is in clear where encryption had been finished */
    /* Of the key that prepare and rotate-keys make; 0: the type of the active one. Name: kt_key_name_next. */
    enum kt_key_type new_type;
    const char *new_name;
    char rotating[KT_KEY_ID_LEN + 1]; /* "" in a new run; kt_next.rotating of the call before */
};

enum kt_step {
    KT_STEP_DONE = 1,   /* what was asked for is so, as far as its gates prove */
    KT_STEP_REFUSE,     /* waiting does not help: code, reason */
    KT_STEP_WAIT,       /* nothing to do but to look again */
    KT_STEP_GENERATION, /* write a generation with these edits */
    KT_STEP_CONFIG,     /* write these providers into the managed lists of the config file */
    KT_STEP_POKE, /* make API server `subject` ask for Status (GET /healthz/kms-providers), look again after a while */
    KT_STEP_CANARY,      /* write through API server `subject` and see under what */
    KT_STEP_CENSUS,      /* count the store */
    KT_STEP_REWRITE,     /* rewrite what the census found under other keys */
    KT_STEP_REWRITE_ALL, /* there is no store to ask: rewrite every object that the API lists */
    KT_STEP_PUT_BACK, /* node `subject` puts its archived key back into the list, retiring, before it lets go of it */
};
const char *kt_step_text(enum kt_step step);

/* What has to be so before a row of rows.def lets pass (gates.def). */
enum kt_gate {
    KT_GATE_NONE = 0,
#define KT_GATE(name, open, code, expected, hint, risk) KT_GATE_##name,
#include "rotation/gates.def"
#undef KT_GATE
    KT_GATE_COUNT,
};
const char *kt_gate_text(enum kt_gate gate);     /* "LOADED" */
const char *kt_gate_expected(enum kt_gate gate); /* what has to be so */
const char *kt_gate_risk(enum kt_gate gate);     /* what goes wrong where it is forced; "" where it cannot be */

/* What a generation changes. */
enum kt_recipe {
    KT_RECIPE_NONE = 0,
#define KT_RECIPE(name, stage, text) KT_RECIPE_##name,
#include "rotation/recipes.def"
#undef KT_RECIPE
    KT_RECIPE_COUNT,
};
const char *
kt_recipe_text(enum kt_recipe recipe); /* for the audit line and the plan: "move the new key to the front" */

struct kt_next {
    enum kt_step step;
    enum kt_gate gate; /* what is not so yet, and why this step; NONE with DONE */
    enum kt_code code; /* REFUSE, and WAIT when patience ends */
    bool forcible;     /* --force would go on in spite of it */
    uint64_t forced;   /* bits 1 << kt_gate: what --force went past on the way here */
    unsigned subject;  /* which API server, node, key or item: an index into the list that the gate is about */
    unsigned missing;  /* how many of them are not so */
    uint64_t until;    /* WAIT for the hold: s since the epoch; else 0 */
    enum kt_recipe recipe;
    size_t n_edits;
    size_t n_providers;
    char rotating[KT_KEY_ID_LEN + 1]; /* the key that the rotation under way is about; "" where none is */
    int providers[KT_KEYS_MAX + 2];   /* CONFIG: KT_REF_ in order; foreign ones stay where they are, after ours */
    struct kt_edit edits[KT_EDITS_MAX];
};

/* Large enough to be no stack value in a loop; every field that the step has is set. */
void kt_rotation_next(const struct kt_facts *facts, const struct kt_order *order, struct kt_next *ret);

/* The reason of a step in words: expected, found, and as hint what to do. KT_OK with DONE. */
void kt_rotation_explain(const struct kt_facts *facts, const struct kt_order *order, const struct kt_next *next,
                         struct kt_error *ret);

/* Whether what is stored in clear is an alarm, and not to be rewritten. */
bool kt_rotation_plaintext_alarms(const struct kt_facts *facts, const struct kt_order *order);

/* --dry-run: the steps from here on, those that are already done left out, as if every gate opened. */
#define KT_PLAN_MAX 48u
struct kt_plan_line {
    enum kt_step step;
    enum kt_gate gate;     /* what is waited for or made so */
    enum kt_recipe recipe; /* GENERATION */
    enum kt_stage stage;   /* in which it happens */
};
size_t kt_rotation_plan(const struct kt_facts *facts, const struct kt_order *order,
                        struct kt_plan_line ret[KT_PLAN_MAX]);

/* The provider list that belongs to a keyring: its keys in order (kms keys are one provider), identity last while
 * enabled, first while disabled, absent while strict. Returns the number. */
size_t kt_rotation_providers(const struct kt_keyring_info *keyring, int ret[KT_KEYS_MAX + 2]);

/* `Server Encryption Hashes` of the status block. */
enum kt_hashes { KT_HASHES_UNKNOWN, KT_HASHES_MATCH, KT_HASHES_DIFFER };
#define KT_HASHES_TEXT_MAX 640u
/* ret: KT_TEXT_HASHES_MATCH, KT_TEXT_HASHES_UNKNOWN, or "hash does not match between A and B": of two nodes whose stage
 * or generation differ, else of two API servers that have loaded different files. */
enum kt_hashes kt_rotation_hashes(const struct kt_facts *facts, char ret[KT_HASHES_TEXT_MAX]);
