/* SPDX-License-Identifier: Apache-2.0 */
/* The admin: runs a command, looks, acts, is killed. A look and what it decides are one moment; the act is another one,
 * and anything may happen in between. */
#include "model.h"

#include <string.h>

bool model_admin_start(const struct model_setting *setting, struct model_world *world, size_t order)
{
    enum kt_order_kind kind = setting->orders[order].kind;
    bool adds = kind == KT_ORDER_PREPARE || kind == KT_ORDER_ROTATE_KEYS;
    bool rests = world->cluster.stage == KT_STAGE_START || world->cluster.stage == KT_STAGE_REENCRYPT_FINISHED;
    if (world->admin.order)
        return false;
    /* The world has no more keys. */
    if (adds && rests && world->cluster.state[setting->n_keys - 1] != MODEL_ABSENT)
        return false;
    memset(&world->admin, 0, sizeof world->admin);
    world->admin.order = (uint8_t)(order + 1);
    return true;
}

void model_admin_stop(struct model_world *world)
{
    memset(&world->admin, 0, sizeof world->admin);
}

static void poke(const struct model_setting *setting, struct model_world *w, size_t a)
{
    const struct model_node *node = &w->node[a];
    if (node->down || !model_list_has(w->api[a].loaded, MODEL_ITEM_KMS))
        return;
    w->api[a].seen = node->keyring.order[0];
    if (!setting->fine && w->api[a].seed != w->api[a].seen) {
        w->api[a].seed = w->api[a].seen;
        w->api[a].changed = true;
    }
}

static void canary(struct model_world *w, size_t a)
{
    if (model_writes(w, a) == MODEL_NOTHING)
        return;
    w->admin.proven[a] = (uint8_t)(1 + model_writes(w, a));
    w->admin.proven_late[a] = true;
    w->admin.drained[a] = false;
}

static void census(const struct model_setting *setting, struct model_world *w)
{
    struct model_admin *admin = &w->admin;
    admin->counted = true;
    admin->count = w->store;
    admin->count_old = false;
    admin->count_drained = true;
    for (size_t a = 0; a < setting->n_nodes; a++)
        admin->count_drained = admin->count_drained && admin->alive[a] && admin->drained[a];
    admin->rewrote_late = false;
    admin->marked_late = admin->landed = 0;
    memset(admin->proven_late, 0, sizeof admin->proven_late);
    memset(admin->loaded_late, 0, sizeof admin->loaded_late);
}

static void decide_put_back(const struct model_setting *setting, struct model_world *w, unsigned n)
{
    w->admin.put_back = (uint8_t)model_put_back(setting, w, n);
    w->admin.pending = MODEL_PUT_BACK;
}

static void decide_generation(const struct model_setting *setting, struct model_world *w, const struct kt_next *next)
{
    w->admin.next = model_edit(setting, w, next, &w->admin.marks);
    w->admin.pending = MODEL_GENERATION;
}

static void decide_config(struct model_world *w, const struct kt_next *next)
{
    unsigned list = 0;
    for (size_t i = 0; i < next->n_providers; i++) {
        int ref = next->providers[i];
        unsigned item = ref == KT_REF_IDENTITY ? MODEL_ITEM_IDENTITY
                        : ref == KT_REF_KMS    ? MODEL_ITEM_KMS
                                               : MODEL_ITEM_KEY(w->cluster.order[ref - KT_REF_KEYS] - 1u);
        list |= item << (3 * i);
    }
    w->admin.next_file = (model_list)list;
    w->admin.pending = MODEL_CONFIG;
}

/* What only looks is done at once: to do it later is to look later. */
bool model_admin_look(const struct model_setting *setting, struct model_world *world, struct model_event *ret)
{
    static struct kt_next next;
    if (!world->admin.order || world->admin.pending)
        return false;
    model_ask(setting, world, &next);
    world->admin.rotating = next.rotating[0] ? (uint8_t)(next.rotating[KT_KEY_ID_LEN - 1] - '0') : 0;
    switch (next.step) {
    case KT_STEP_DONE:
        ret->done = true;
        ret->broken = model_check_done(setting, world);
        model_admin_stop(world);
        break;
    case KT_STEP_REFUSE:
        model_admin_stop(world);
        break;
    case KT_STEP_POKE:
        poke(setting, world, next.subject);
        break;
    case KT_STEP_CANARY:
        canary(world, next.subject);
        break;
    case KT_STEP_CENSUS:
        census(setting, world);
        break;
    case KT_STEP_GENERATION:
        decide_generation(setting, world, &next);
        break;
    case KT_STEP_CONFIG:
        decide_config(world, &next);
        break;
    case KT_STEP_REWRITE:
        world->admin.pending = MODEL_REWRITE;
        break;
    case KT_STEP_PUT_BACK:
        decide_put_back(setting, world, next.subject);
        break;
    default:
        break;
    }
    return true;
}

/* Through API server a, which rewrites what it can read; the first way through to the end, the other in part. */
static bool rewrite(const struct model_setting *setting, struct model_world *w, size_t a, bool in_part)
{
    model_set left = 0;
    if (a >= setting->n_nodes || w->api[a].paused || model_writes(w, a) == MODEL_NOTHING)
        return false;
    model_set target = 1u << model_writes(w, a);
    for (unsigned bit = 0; bit <= setting->n_keys; bit++)
        if ((w->store & 1u << bit) != 0 && (in_part || !model_reads(setting, w, a, bit)))
            left |= 1u << bit;
    bool any = w->store != left || in_part;
    w->store = any && w->store ? left | target : w->store;
    w->admin.landed |= target;
    w->admin.rewrote = true;
    w->admin.rewrote_late = true;
    return true;
}

/* Second: the last place is the prepared key's. */
static void put_back(struct model_world *w)
{
    unsigned k = w->admin.put_back - 1u;
    struct model_keyring *c = &w->cluster;
    if (c->state[k] != MODEL_ARCHIVED)
        return;
    memmove(&c->order[2], &c->order[1], (MODEL_KEYS - 2) * sizeof c->order[0]);
    c->order[1] = (uint8_t)(k + 1);
    c->state[k] = MODEL_RETIRING;
    w->strays |= MODEL_KEY(k);
    w->admin.marked_late |= MODEL_KEY(k);
}

/* Edits say nothing of what time has made of the other keys. */
static void install(struct model_world *w)
{
    model_set held = w->cluster.held & ~w->admin.marks;
    bool marks = (w->admin.marks & MODEL_PLAIN) != 0;
    bool marked = w->admin.next.enabled && (w->cluster.marked || marks);
    bool aged = marked && w->cluster.aged && !marks;
    w->cluster = w->admin.next;
    w->cluster.held = held;
    w->cluster.marked = marked;
    w->cluster.aged = aged;
    w->admin.marked_late |= w->admin.marks;
}

bool model_admin_act(const struct model_setting *setting, struct model_world *world, unsigned way)
{
    struct model_admin *admin = &world->admin;
    if (!admin->pending || (way > 0 && admin->pending != MODEL_REWRITE))
        return false;
    switch (admin->pending) {
    case MODEL_GENERATION:
        install(world);
        break;
    case MODEL_CONFIG:
        world->node[0].file = admin->next_file;
        break;
    case MODEL_REWRITE:
        if (!rewrite(setting, world, way == 1 ? 1 : 0, way == 2))
            return false;
        break;
    default:
        put_back(world);
        break;
    }
    admin->pending = MODEL_IDLE;
    admin->marks = 0;
    admin->next_file = 0;
    admin->put_back = 0;
    return true;
}
