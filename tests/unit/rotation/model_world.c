/* SPDX-License-Identifier: Apache-2.0 */
/* Worlds: what follows from one, and its packed form. */
#include "model.h"

#include <string.h>

bool model_keyring_lists(const struct model_keyring *keyring, unsigned k)
{
    return keyring->state[k] != MODEL_ABSENT && keyring->state[k] != MODEL_ARCHIVED;
}

bool model_keyring_same(const struct model_keyring *a, const struct model_keyring *b)
{
    return memcmp(a->order, b->order, sizeof a->order) == 0 && memcmp(a->state, b->state, sizeof a->state) == 0 &&
           a->stage == b->stage && a->enabled == b->enabled && a->strict == b->strict;
}

model_list model_list_of(const struct model_setting *setting, const struct model_keyring *keyring)
{
    unsigned list = 0;
    unsigned at = 0;
    bool has_kms = false;
    if (!keyring->enabled) {
        list = MODEL_ITEM_IDENTITY;
        at = 3;
    }
    for (size_t i = 0; i < MODEL_KEYS && keyring->order[i]; i++) {
        unsigned k = keyring->order[i] - 1u;
        bool kms = setting->types[k] == KT_KEY_KMS;
        if (kms && has_kms)
            continue;
        list |= (kms ? MODEL_ITEM_KMS : MODEL_ITEM_KEY(k)) << at;
        at += 3;
        has_kms = has_kms || kms;
    }
    if (keyring->enabled && !keyring->strict)
        list |= MODEL_ITEM_IDENTITY << at;
    return (model_list)list;
}

bool model_list_has(model_list list, unsigned item)
{
    for (; list; list = (model_list)(list >> 3))
        if ((list & 7u) == item)
            return true;
    return false;
}

unsigned model_list_first(model_list list)
{
    return list & 7u;
}

unsigned model_writes(const struct model_world *world, size_t a)
{
    unsigned first = model_list_first(world->api[a].loaded);
    if (first == MODEL_ITEM_IDENTITY)
        return 0;
    if (first != MODEL_ITEM_KMS)
        return first - MODEL_ITEM_KEY(0) + 1u;
    return world->api[a].seed ? world->api[a].seed : MODEL_NOTHING;
}

bool model_reads(const struct model_setting *setting, const struct model_world *world, size_t a, unsigned bit)
{
    const struct model_node *node = &world->node[a];
    model_list loaded = world->api[a].loaded;
    if (bit == 0)
        return model_list_has(loaded, MODEL_ITEM_IDENTITY);
    unsigned k = bit - 1;
    if (setting->types[k] != KT_KEY_KMS)
        return model_list_has(loaded, MODEL_ITEM_KEY(k));
    return model_list_has(loaded, MODEL_ITEM_KMS) &&
           (model_keyring_lists(&node->keyring, k) || (node->retained & MODEL_KEY(k)) != 0);
}

unsigned model_put_back(const struct model_setting *setting, const struct model_world *world, size_t n)
{
    const struct model_node *node = &world->node[n];
    for (unsigned k = 0; k < setting->n_keys; k++) {
        bool may_have_written = node->keyring.state[k] == MODEL_ACTIVE || (node->recent & MODEL_KEY(k)) != 0 ||
                                model_list_first(node->file) == MODEL_ITEM_KEY(k);
        bool holds = model_keyring_lists(&node->keyring, k) || model_list_has(node->file, MODEL_ITEM_KEY(k));
        if (world->cluster.state[k] == MODEL_ARCHIVED &&
            ((may_have_written && holds) || (node->retained & MODEL_KEY(k)) != 0))
            return k + 1;
    }
    return 0;
}

static void begin_keyring(const struct model_setting *setting, struct model_keyring *ret)
{
    ret->order[0] = 1;
    ret->state[0] = MODEL_ACTIVE;
    ret->stage = KT_STAGE_START;
    ret->enabled = !setting->disabled;
}

void model_begin(const struct model_setting *setting, struct model_world *ret)
{
    memset(ret, 0, sizeof *ret);
    begin_keyring(setting, &ret->cluster);
    for (size_t n = 0; n < setting->n_nodes; n++) {
        ret->node[n].keyring = ret->cluster;
        ret->node[n].file = model_list_of(setting, &ret->cluster);
        ret->api[n].loaded = ret->node[n].file;
        if (setting->types[0] == KT_KEY_KMS)
            ret->api[n].seen = ret->api[n].seed = 1;
    }
    ret->store = setting->store;
}

struct bits {
    struct model_packed *packed;
    unsigned at;
    bool writes;
};

static unsigned bits_field(struct bits *b, unsigned value, unsigned width)
{
    uint64_t *word = &b->packed->word[b->at / 64];
    unsigned shift = b->at % 64;
    if (shift + width > 64) { /* no field crosses a word */
        b->at += 64 - shift;
        return bits_field(b, value, width);
    }
    b->at += width;
    if (!b->writes)
        return (unsigned)(*word >> shift & ((UINT64_C(1) << width) - 1));
    *word |= (uint64_t)value << shift;
    return value;
}
#define FIELD(place, width) (place) = (__typeof__(place))bits_field(b, (unsigned)(place), (width))

static void keyring_fields(struct bits *b, struct model_keyring *k)
{
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        FIELD(k->order[i], 2);
        FIELD(k->state[i], 3);
    }
    FIELD(k->stage, 3);
    FIELD(k->enabled, 1);
    FIELD(k->strict, 1);
}

static void node_fields(struct bits *b, struct model_node *n)
{
    keyring_fields(b, &n->keyring);
    FIELD(n->file, 12);
    FIELD(n->recent, 4);
    FIELD(n->retained, 4);
    FIELD(n->down, 1);
    FIELD(n->reverted, 1);
}

static void api_fields(struct bits *b, struct model_api *a)
{
    FIELD(a->loaded, 12);
    FIELD(a->seen, 2);
    FIELD(a->seed, 2);
    FIELD(a->paused, 1);
    FIELD(a->changed, 1);
    FIELD(a->flying, 3);
    FIELD(a->hangs, 1);
}

static void admin_fields(struct bits *b, struct model_admin *a)
{
    FIELD(a->order, 4);
    FIELD(a->rotating, 2);
    FIELD(a->pending, 3);
    keyring_fields(b, &a->next);
    FIELD(a->marks, 4);
    FIELD(a->next_file, 12);
    FIELD(a->put_back, 2);
    for (size_t i = 0; i < MODEL_NODES; i++) {
        FIELD(a->proven[i], 3);
        FIELD(a->proven_late[i], 1);
        FIELD(a->drained[i], 1);
        FIELD(a->loaded_late[i], 1);
        FIELD(a->alive[i], 1);
    }
    FIELD(a->counted, 1);
    FIELD(a->count, 4);
    FIELD(a->count_old, 1);
    FIELD(a->count_drained, 1);
    FIELD(a->rewrote, 1);
    FIELD(a->rewrote_late, 1);
    FIELD(a->marked_late, 4);
    FIELD(a->landed, 4);
}

static void world_fields(struct bits *b, struct model_world *w)
{
    keyring_fields(b, &w->cluster);
    FIELD(w->cluster.held, 4);
    FIELD(w->cluster.marked, 1);
    FIELD(w->cluster.aged, 1);
    FIELD(w->store, 4);
    FIELD(w->strays, 4);
    FIELD(w->went_back, 1);
    for (size_t i = 0; i < MODEL_NODES; i++) {
        node_fields(b, &w->node[i]);
        api_fields(b, &w->api[i]);
    }
    node_fields(b, &w->backup);
    admin_fields(b, &w->admin);
}

static bool wants_strict(const struct model_setting *setting)
{
    for (size_t i = 0; i < setting->n_orders; i++)
        if (setting->orders[i].strict)
            return true;
    return false;
}

/* Whether every node and API server has a key that was put back. */
static bool is_back(const struct model_setting *setting, const struct model_world *w, unsigned k)
{
    model_list list = model_list_of(setting, &w->cluster);
    for (size_t n = 0; n < setting->n_nodes; n++)
        if (!model_keyring_same(&w->node[n].keyring, &w->cluster) || !model_reads(setting, w, n, k + 1) ||
            w->node[n].file != list || w->api[n].loaded != list)
            return false;
    return w->admin.pending != MODEL_CONFIG;
}

/* Only what lets something go asks about holds and drains. */
static void forget_times(const struct model_setting *setting, struct model_world *w)
{
    struct model_admin *a = &w->admin;
    const struct kt_order *order = a->order ? &setting->orders[a->order - 1u] : NULL;
    bool waits = w->cluster.marked;
    for (unsigned k = 0; k < MODEL_KEYS; k++)
        waits = waits || w->cluster.state[k] == MODEL_RETIRING;
    for (size_t n = 0; n < MODEL_NODES && !waits; n++)
        w->api[n].changed = false; /* whatever retires does so after that */
    if (order && (order->kind == KT_ORDER_RETIRE || order->strict))
        return;
    memset(a->alive, 0, sizeof a->alive);
    memset(a->drained, 0, sizeof a->drained);
    a->count_old = a->count_drained = false;
}

/* What no rule and no check looks at any more. */
static void forget(const struct model_setting *setting, struct model_world *w)
{
    struct model_admin *a = &w->admin;
    if (a->order == 0)
        memset(a, 0, sizeof *a);
    if (a->pending != MODEL_GENERATION)
        memset(&a->next, 0, sizeof a->next);
    if (!wants_strict(setting))
        w->cluster.aged = w->cluster.marked = false;
    if (!a->counted) {
        a->count = a->landed = a->marked_late = 0;
        a->count_old = a->count_drained = a->rewrote_late = false;
        memset(a->proven_late, 0, sizeof a->proven_late);
        memset(a->loaded_late, 0, sizeof a->loaded_late);
    }
    forget_times(setting, w);
    if (!setting->reverts && !setting->file_reverts)
        for (size_t n = 0; n < MODEL_NODES; n++)
            w->node[n].recent = 0;
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        if (w->cluster.state[k] != MODEL_RETIRING)
            w->cluster.held &= ~MODEL_KEY(k);
        if (w->strays && is_back(setting, w, k))
            w->strays &= ~MODEL_KEY(k);
    }
}

void model_pack(const struct model_setting *setting, struct model_world *world, struct model_packed *ret)
{
    struct bits b = {.packed = ret, .writes = true};
    memset(ret, 0, sizeof *ret);
    forget(setting, world);
    world_fields(&b, world);
}

void model_unpack(const struct model_packed *packed, struct model_world *ret)
{
    struct model_packed copy = *packed;
    struct bits b = {.packed = &copy};
    memset(ret, 0, sizeof *ret);
    world_fields(&b, ret);
}
