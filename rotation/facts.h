/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the state machine is told (rotation.h): the keyring, the config file, and what was seen of each API server, node
 * and the store. The caller gathers it before each call, under the lock under which it also acts; nothing here is
 * owned.
 *
 * All of it is zero where nothing was seen, and zero proves nothing: no server answered, nothing was counted.
 *
 * Two clocks. `now`, last_seen, retiring_since, at_real are seconds since the epoch. Everything called `mono` is
 * nanoseconds of this run's own monotonic clock, 0: never in this run. What an earlier run saw is seen again.
 */
#pragma once

#include "keystore/key.h"

#define KT_ROTATION_PROVIDERS_MAX (2u * KT_KEYS_MAX + 16u)

/* What stands in a provider list, what Status showed, what an object was written under. */
enum kt_ref {
    KT_REF_UNKNOWN = 0,
    KT_REF_IDENTITY,  /* in clear */
    KT_REF_KMS,       /* our provider, whatever key it holds: in provider lists only */
    KT_REF_ARCHIVED,  /* a key of the keyring's archive */
    KT_REF_STRANGER,  /* an inline key that the keyring neither lists nor archives */
    KT_REF_FOREIGN,   /* a provider that is not keyturn's: another KMS plugin */
    KT_REF_KEYS = 16, /* KT_REF_KEY(i): keyring->keys[i] */
};
#define KT_REF_KEY(i) (KT_REF_KEYS + (int)(i))

/* The provider lists of the config file on this machine that keyturn manages. */
struct kt_facts_config {
    bool present; /* it was named, read and is valid */
    bool mixed;   /* its managed lists do not agree with each other; then items are the first one's */
    uint8_t hash[KT_HASH_LEN];
    size_t n_items; /* in their order, each inline key one item: KT_REF_ */
    int items[KT_ROTATION_PROVIDERS_MAX];
};

/* One API server: remembered in the keyring, or seen now. */
struct kt_facts_api {
    const char *name;    /* as shown and remembered */
    bool remembered;     /* it stands in the keyring */
    bool reachable;      /* it answered this time */
    uint64_t last_seen;  /* s; 0: never */
    uint64_t alive_mono; /* since when it has answered every look, no two of them further apart than
                            KT_ROTATION_LOOK_S, and was the same process; begins anew otherwise */
    /* Config: the hash that it has loaded (last_config_info, or what tells the same for certain), and the first look of
     * this run that showed this hash. */
    bool hash_known;
    uint8_t hash[KT_HASH_LEN];
    uint64_t hash_mono;
    const char *reload_failure; /* its own words since the file was written; NULL: none */
    /* The key_id that its newest Status brought. No proof that it writes with it (facts: the metric moves before
     * Encrypt has been tried). */
    int status_ref;
    /* What it wrote in this run: a canary read back from the store, or its own metric of writes; and when the first
     * such write since it last wrote something else began. UNKNOWN again once it is another process than then. */
    int writes_ref;
    uint64_t writes_mono;
    /* Until when it may have written otherwise than now, by its own metrics (s): its last write under another key_id
     * than the active one; and where inline keys are listed, the time at which it loaded its file, if that is later. 0:
     * it has none of these. */
    uint64_t changed;
};

/* One node: a recipient of the keyring. The local one is among them. */
struct kt_facts_node {
    const char *name;
    bool local;
    bool reachable; /* it could be asked, or its state on this machine's disk be read */
    uint64_t
        generation; /* that it has installed; another membership than the keyring's: 0, or UINT64_MAX if it is newer */
    enum kt_stage stage; /* as that generation has it */
    uint64_t serves;     /* bit i: its daemon decrypts with keyring->keys[i] */
    /* 1 + index in keyring->archive of a key that is archived, and which this node still holds (listed by its own
     * keyring, superseded, or in its config file) because it may have encrypted with it after the others had let it go:
     * it was active in a keyring that this node ran, or first in its config file, within the last hold. 0: none. */
    size_t put_back;
};

/* The store, counted by the census (DESIGN: keyturn census). */
struct kt_facts_store {
    bool accessible;              /* somebody may ask it */
    bool counted;                 /* in this run; the rest is what was found */
    bool complete;                /* all of it, of one revision */
    uint64_t at_mono;             /* when the counting began */
    uint64_t at_real;             /* likewise */
    uint64_t counts[KT_KEYS_MAX]; /* objects under keyring->keys[i] */
    uint64_t archived;            /* under keys of the archive */
    uint64_t foreign;             /* under keys and providers that are not keyturn's */
    uint64_t plaintext;
    uint64_t unknown; /* not understood */
};

/* The last pass of rewriting in this run. */
struct kt_facts_rewrite {
    bool ran;
    uint64_t ended_mono;
    uint64_t failed; /* objects that could not be rewritten, and for which trying again is no use */
};

struct kt_facts {
    const struct kt_keyring_info *keyring; /* the newest that is known: what a new generation is made over */
    struct kt_facts_config config;
    bool apis_complete; /* every source that names API servers could be asked */
    size_t n_apis;
    const struct kt_facts_api *apis; /* at most KT_API_SERVERS_MAX are remembered; more are an error of the caller's */
    size_t n_nodes;
    const struct kt_facts_node *nodes; /* at most KT_RECIPIENTS_MAX */
    struct kt_facts_store store;
    struct kt_facts_rewrite rewrite;
    /* When a command last wrote down, with every API server proven to encrypt, that a census found nothing in clear:
     * the time of the newest generation of recipe MARK or FINISH since encryption was last enabled (audit log). 0:
     * never. */
    uint64_t encrypted_since;
    uint64_t now;
    uint64_t now_mono;
};
