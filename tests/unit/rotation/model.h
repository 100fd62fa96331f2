/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small world for the state machine to rotate keys in: two control-plane nodes (or one), on each a keyring, a config
 * file and an API server; the keyring that the cluster has agreed on; a store; and an admin who runs commands, may be
 * killed at any time, and asks the real rotation/ for each step. docs/rotation.md says what stands for what, and what
 * is left out.
 *
 * model_walk visits every world that can be reached, whatever the order in which things happen, and checks each.
 */
#pragma once

#include "rotation/rules.h"

#define MODEL_KEYS  3u
#define MODEL_NODES 2u

/* A set of what objects can be stored under: bit 0 in clear, bit 1 + k key k. One such thing: 0 none, 1 + its bit. */
typedef unsigned model_set;
#define MODEL_PLAIN  1u
#define MODEL_KEY(k) (2u << (k))

enum model_key_state { MODEL_ABSENT, MODEL_ACTIVE, MODEL_READY, MODEL_RETIRING, MODEL_ARCHIVED };

/* What a keyring says. */
struct model_keyring {
    uint8_t order[MODEL_KEYS]; /* listed keys: 1 + k; 0 none */
    uint8_t state[MODEL_KEYS];
    uint8_t stage;
    bool enabled;
    bool strict;
    model_set held; /* retiring keys whose hold is over; only of the cluster's keyring */
    bool marked;    /* it was written down that nothing is in clear; likewise */
    bool aged;      /* that a hold ago; likewise */
};

/* A provider list: 3 bits each, first lowest: 0 end, 1 identity, 2 the KMS provider, 3 + k inline key k. */
typedef uint16_t model_list;

struct model_node {
    struct model_keyring keyring; /* that it has installed and serves */
    model_list file;
    model_set recent;   /* keys that it has encrypted with within the last hold, or may have */
    model_set retained; /* archived keys that it holds on to until they are put back */
    bool down;          /* cannot be asked, its daemon does not answer */
    bool reverted;      /* its disk went back, and it has not caught up */
};

struct model_api {
    model_list loaded;
    uint8_t seen; /* key of the newest Status: 1 + k */
    uint8_t seed; /* key that it encrypts with where its first provider is KMS: 1 + k */
    bool paused;
    bool changed;   /* it has loaded another file or made another seed since the last hold that it ran through */
    uint8_t flying; /* a write that has its ciphertext and is not yet in the store: 0 none, 1 + bit */
    bool hangs;     /* that write outlives the drain (but not the hold) of a running server */
};

enum model_pending { MODEL_IDLE, MODEL_GENERATION, MODEL_CONFIG, MODEL_REWRITE, MODEL_PUT_BACK };

/* The running command, and all that it remembers. */
struct model_admin {
    uint8_t order; /* 0: none runs; 1 + index in the setting's orders */
    uint8_t rotating;
    uint8_t pending;
    struct model_keyring next;
    model_set marks; /* keys that become retiring with it; in clear: that nothing is */
    model_list next_file;
    uint8_t put_back;
    uint8_t proven[MODEL_NODES];   /* 0, or 1 + bit of what its canary was stored under */
    bool proven_late[MODEL_NODES]; /* that after the census */
    bool drained[MODEL_NODES];     /* that a drain ago, or its file loaded so long ago */
    bool loaded_late[MODEL_NODES]; /* its file loaded after the census */
    bool alive[MODEL_NODES];       /* it has answered for the drain */
    bool counted;
    model_set count;
    bool count_old;     /* before the hold was over */
    bool count_drained; /* after the drain */
    bool rewrote;
    bool rewrote_late;     /* after the census */
    model_set marked_late; /* keys that became retiring after the census; in clear: it was written down after it */
    model_set landed;      /* since the census, whatever the admin knows */
};

struct model_world {
    struct model_keyring cluster;
    struct model_node node[MODEL_NODES];
    struct model_node backup; /* of the second node's disk; stage 0: none */
    struct model_api api[MODEL_NODES];
    bool went_back; /* once is enough */
    model_set store;
    model_set strays; /* keys that were put back, until every node and API server has them again */
    struct model_admin admin;
};

/* What may happen. */
struct model_setting {
    const char *name;
    size_t n_nodes;
    enum kt_key_type types[MODEL_KEYS];
    size_t n_keys; /* that may ever be made */
    bool disabled; /* at the beginning */
    model_set store;
    struct kt_order orders[8];
    size_t n_orders;
    bool pauses;       /* API servers are stopped and go on */
    bool hangs;        /* writes are under way for long */
    bool reverts;      /* the second node's disk goes back to a backup */
    bool file_reverts; /* the config file alone does */
    bool fine;         /* a config file follows its keyring later, an API server makes a new seed later than it asks */
    bool deletes;      /* objects are deleted */
    bool fails;        /* the second node cannot be asked for a time */
    bool heals;        /* model_heal in each state in which no command runs */
    bool cancel_archives;         /* prepare --cancel archives the key at once: likewise */
    bool hides_changes;           /* API servers do not tell when they came over */
    bool forgets;                 /* a node lets go of an archived key at once: what the walk must find */
    const struct kt_rules *rules; /* NULL: rotation's own */
};

/* Packed, with what cannot matter any more set to zero: equal worlds are equal bytes. */
#define MODEL_WORDS 5u
struct model_packed {
    uint64_t word[MODEL_WORDS];
};
void model_pack(const struct model_setting *setting, struct model_world *world, struct model_packed *ret);
void model_unpack(const struct model_packed *packed, struct model_world *ret);

void model_begin(const struct model_setting *setting, struct model_world *ret);

/* Provider lists. */
model_list model_list_of(const struct model_setting *setting, const struct model_keyring *keyring);
bool model_list_has(model_list list, unsigned item);
unsigned model_list_first(model_list list);
#define MODEL_ITEM_IDENTITY 1u
#define MODEL_ITEM_KMS      2u
#define MODEL_ITEM_KEY(k)   (3u + (k))
bool model_keyring_lists(const struct model_keyring *keyring, unsigned k);
bool model_keyring_same(const struct model_keyring *a, const struct model_keyring *b);
/* Bit of what the API server writes under now; MODEL_NOTHING: it cannot. */
#define MODEL_NOTHING 7u
unsigned model_writes(const struct model_world *world, size_t a);
/* Whether API server a can read what is stored under that bit. */
bool model_reads(const struct model_setting *setting, const struct model_world *world, size_t a, unsigned bit);
/* The node's archived key that it has to put back: 1 + k; 0: none. */
unsigned model_put_back(const struct model_setting *setting, const struct model_world *world, size_t n);

/* What the machine says. */
void model_ask(const struct model_setting *setting, const struct model_world *world, struct kt_next *ret);
/* The edits of a generation on the cluster's keyring; the keys that they made retiring. */
struct model_keyring model_edit(const struct model_setting *setting, const struct model_world *world,
                                const struct kt_next *next, model_set *ret_marked);

/* One thing that can happen; returns whether it can, in this world, and changes it. Moves are numbered from 0 to
 * MODEL_MOVES - 1. */
#define MODEL_MOVES 42u
/* Of these moves: those that happen by themselves where nothing fails, and that time passes. */
#define MODEL_SETTLING_FIRST 13u
#define MODEL_SETTLING_LAST  28u
#define MODEL_HOLD_PASSES    33u
#define MODEL_LOOKS          8u
struct model_event {
    bool done;          /* a command said so */
    const char *broken; /* NULL, or what was not so although it said done */
};
bool model_move(const struct model_setting *setting, struct model_world *world, unsigned move, struct model_event *ret);
void model_move_text(const struct model_setting *setting, unsigned move, char ret[64]);
/* The admin's, by model_move. */
bool model_admin_start(const struct model_setting *setting, struct model_world *world, size_t order);
bool model_admin_look(const struct model_setting *setting, struct model_world *world, struct model_event *ret);
bool model_admin_act(const struct model_setting *setting, struct model_world *world, unsigned way);
void model_admin_stop(struct model_world *world);
#define MODEL_WAYS 3u /* of acting: as meant through the first API server, through the second, or only in part */

/* NULL: all is well. Otherwise what must never be. */
const char *model_check(const struct model_setting *setting, const struct model_world *world);
/* The running command says done: NULL where it is. */
const char *model_check_done(const struct model_setting *setting, const struct model_world *world);
/* From here on nothing fails any more, and whatever is under way is finished by the same commands: NULL where they say
 * done and every API server reads every object. */
const char *model_heal(const struct model_setting *setting, const struct model_world *world);
void model_world_text(const struct model_setting *setting, const struct model_world *world, char ret[1024]);

struct model_result {
    size_t states;
    size_t transitions;
    size_t healed;      /* states from which all was brought to an end */
    size_t dones;       /* times that a command said done */
    const char *broken; /* NULL: nothing */
    size_t trace_len;
    double seconds;
    bool bounded; /* stopped at max_states */
};
/* Breadth first, so a trace is a shortest one; it is printed to stderr when print is set. max_states 0: all. */
struct model_result model_walk(const struct model_setting *setting, size_t max_states, bool print);
