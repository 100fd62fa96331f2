/* SPDX-License-Identifier: Apache-2.0 */
/* DESIGN §1.1 and §1.3, as questions about a world. */
#include "model.h"

#include <stdio.h>
#include <string.h>

/* Every running API server reads every object. Let off: one whose node's disk went back, until it has caught up; and
 * objects under a key that such a node has used although it was archived (is_kept has these). */
static const char *check_readable(const struct model_setting *setting, const struct model_world *w, size_t a)
{
    const struct model_node *node = &w->node[a];
    if (w->api[a].paused || node->reverted)
        return NULL;
    for (unsigned bit = 0; bit <= setting->n_keys; bit++) {
        bool kms = bit > 0 && setting->types[bit - 1] == KT_KEY_KMS;
        bool stray = bit > 0 && (w->cluster.state[bit - 1] == MODEL_ARCHIVED || (w->strays & 1u << bit) != 0);
        if ((w->store & 1u << bit) == 0 || stray || (kms && node->down))
            continue;
        if (!model_reads(setting, w, a, bit))
            return "a running API server cannot read an object";
    }
    return NULL;
}

/* The key of every object is listed by the cluster's keyring, or a node holds it that will put it back. */
static bool is_kept(const struct model_setting *setting, const struct model_world *w, unsigned k)
{
    if (model_keyring_lists(&w->cluster, k))
        return true;
    for (size_t n = 0; n < setting->n_nodes; n++)
        if (model_put_back(setting, w, n) == k + 1)
            return true;
    return false;
}

const char *model_check(const struct model_setting *setting, const struct model_world *world)
{
    for (unsigned k = 0; k < setting->n_keys; k++)
        if ((world->store & MODEL_KEY(k)) != 0 && !is_kept(setting, world, k))
            return "an object is left under a key that is gone";
    for (size_t a = 0; a < setting->n_nodes; a++) {
        const char *broken = check_readable(setting, world, a);
        if (broken)
            return broken;
    }
    return NULL;
}

static bool all_serve(const struct model_setting *setting, const struct model_world *w)
{
    for (size_t n = 0; n < setting->n_nodes; n++)
        if (!w->node[n].down && !model_keyring_same(&w->node[n].keyring, &w->cluster))
            return false;
    return true;
}

static bool all_write(const struct model_setting *setting, const struct model_world *w, unsigned bit)
{
    for (size_t a = 0; a < setting->n_nodes; a++)
        if (w->api[a].paused || (model_writes(w, a) != bit && model_writes(w, a) != MODEL_NOTHING))
            return false;
    return true;
}

static bool all_loaded(const struct model_setting *setting, const struct model_world *w, model_list list)
{
    for (size_t a = 0; a < setting->n_nodes; a++)
        if (w->api[a].loaded != list)
            return false;
    return true;
}

/* What was in the store when it was counted and still is. */
static model_set settled(const struct model_world *w)
{
    return w->store & ~w->admin.landed;
}

static const char *check_prepared(const struct model_setting *setting, const struct model_world *w)
{
    if (w->cluster.stage != KT_STAGE_PREPARE)
        return "prepare said done in another stage";
    if (!all_serve(setting, w))
        return "prepare said done before every node served the new key";
    return setting->types[0] == KT_KEY_KMS || all_loaded(setting, w, model_list_of(setting, &w->cluster))
               ? NULL
               : "prepare said done before every API server had loaded the new key";
}

static const char *check_rotated(const struct model_setting *setting, const struct model_world *w)
{
    if (!all_serve(setting, w))
        return "rotated, although a node runs another generation";
    return all_write(setting, w, w->cluster.enabled ? w->cluster.order[0] : 0)
               ? NULL
               : "rotated, although an API server writes under something else";
}

static const char *check_rewritten(const struct model_setting *setting, const struct model_world *w)
{
    model_set target = w->cluster.enabled ? MODEL_KEY(w->cluster.order[0] - 1u) : MODEL_PLAIN;
    const char *broken = check_rotated(setting, w);
    if (broken)
        return broken;
    return (settled(w) & ~target) == 0 ? NULL : "rewritten, although objects were left";
}

/* Else there is no file that could list what is gone, and retire claims nothing about API servers. */
static bool has_inline(const struct model_setting *setting, const struct model_world *w)
{
    for (unsigned k = 0; k < MODEL_KEYS; k++)
        if (w->cluster.state[k] != MODEL_ABSENT && setting->types[k] != KT_KEY_KMS)
            return true;
    return false;
}

const char *model_check_done(const struct model_setting *setting, const struct model_world *world)
{
    const struct kt_order *order = &setting->orders[world->admin.order - 1u];
    switch (order->kind) {
    case KT_ORDER_PREPARE:
        return check_prepared(setting, world);
    case KT_ORDER_CANCEL:
        return world->cluster.stage == KT_STAGE_PREPARE ? "canceled, although a key is prepared" : NULL;
    case KT_ORDER_ROTATE:
        return check_rotated(setting, world);
    case KT_ORDER_RETIRE:
        for (unsigned k = 0; k < MODEL_KEYS; k++)
            if ((world->cluster.held & MODEL_KEY(k)) != 0)
                return "retired, although a key is due";
        return has_inline(setting, world) ? check_rotated(setting, world) : NULL;
    case KT_ORDER_ENABLE:
        if (!world->cluster.enabled || (order->strict && !world->cluster.strict))
            return "enabled, although it is not";
        return check_rewritten(setting, world);
    case KT_ORDER_DISABLE:
        return world->cluster.enabled ? "disabled, although it is not" : check_rewritten(setting, world);
    default:
        return check_rewritten(setting, world);
    }
}

static void keyring_text(const struct model_keyring *k, char ret[96])
{
    static const char *const states[] = {"-", "active", "ready", "retiring", "archived"};
    snprintf(ret, 96, "%s%s%s %u%u%u k1 %s%s k2 %s%s k3 %s", kt_stage_text((enum kt_stage)k->stage),
             k->enabled ? "" : " disabled", k->strict ? " strict" : "", k->order[0], k->order[1], k->order[2],
             states[k->state[0]], (k->held & MODEL_KEY(0)) != 0 ? "(held)" : "", states[k->state[1]],
             (k->held & MODEL_KEY(1)) != 0 ? "(held)" : "", states[k->state[2]]);
}

void model_world_text(const struct model_setting *setting, const struct model_world *world, char ret[1024])
{
    char text[96];
    keyring_text(&world->cluster, text);
    int at = snprintf(ret, 1024, "    cluster: %s; store %x\n", text, world->store);
    for (size_t n = 0; n < setting->n_nodes; n++) {
        const struct model_node *node = &world->node[n];
        const struct model_api *api = &world->api[n];
        keyring_text(&node->keyring, text);
        at += snprintf(
            ret + at, 1024 - (size_t)at,
            "    node %zu: %s; file %o recent %x retained %x%s%s; api loaded %o seen %u seed %u%s flying %u%s\n", n + 1,
            text, node->file, node->recent, node->retained, node->down ? " down" : "",
            node->reverted ? " reverted" : "", api->loaded, api->seen, api->seed, api->paused ? " paused" : "",
            api->flying, api->hangs ? " hangs" : "");
    }
    (void)snprintf(ret + at, 1024 - (size_t)at,
                   "    admin: order %u pending %u proven %u %u alive %d %d counted %d (%x) old %d drained %d rewrote "
                   "%d landed %x\n",
                   world->admin.order, world->admin.pending, world->admin.proven[0], world->admin.proven[1],
                   world->admin.alive[0], world->admin.alive[1], world->admin.counted, world->admin.count,
                   world->admin.count_old, world->admin.count_drained, world->admin.rewrote, world->admin.landed);
}
