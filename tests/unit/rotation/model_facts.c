/* SPDX-License-Identifier: Apache-2.0 */
/* What the admin sees of a world, as facts for rotation/, and what its edits make of a keyring. Times stand for orders
 * of events: "late" is after the census, "old" before the hold was over. */
#include "model.h"

#include <stdio.h>
#include <string.h>

#define NOW        UINT64_C(10000000)
#define NOW_MONO   (UINT64_C(1000000) * UINT64_C(1000000000))
#define SECONDS(s) ((s)*UINT64_C(1000000000))
#define HOLD       ((uint64_t)KT_HOLD_DEFAULT)
#define GENERATION 100u
#define COUNTED_AT 50u /* seconds before now */

static struct kt_keyring_info info;
static struct kt_facts_api apis[MODEL_NODES];
static struct kt_facts_node nodes[MODEL_NODES];

static void key_id(unsigned k, char ret[KT_KEY_ID_LEN + 1])
{
    memset(ret, '0', KT_KEY_ID_LEN);
    ret[KT_KEY_ID_LEN - 1] = (char)('1' + k);
    ret[KT_KEY_ID_LEN] = '\0';
}

static unsigned key_of_id(const char *id)
{
    return (unsigned)(id[KT_KEY_ID_LEN - 1] - '1');
}

static void fill_key(const struct model_setting *setting, const struct model_world *w, unsigned k,
                     struct kt_key_info *ret)
{
    static const enum kt_key_state states[] = {
        [MODEL_ACTIVE] = KT_KEY_ACTIVE, [MODEL_READY] = KT_KEY_READY, [MODEL_RETIRING] = KT_KEY_RETIRING};
    bool held = (w->cluster.held & MODEL_KEY(k)) != 0;
    bool late = (w->admin.marked_late & MODEL_KEY(k)) != 0;
    key_id(k, ret->id);
    ret->name[0] = (char)('1' + k);
    ret->name[1] = '\0';
    ret->type = setting->types[k];
    ret->state = states[w->cluster.state[k]];
    ret->created = 1000 + k;
    ret->retiring_since = ret->state != KT_KEY_RETIRING ? 0 : held ? NOW - 2 * HOLD : late ? NOW - 1 : NOW - 1000;
    ret->superseded = false;
}

static void fill_keyring(const struct model_setting *setting, const struct model_world *w)
{
    info.generation = GENERATION;
    info.membership = 1;
    info.stage = (enum kt_stage)w->cluster.stage;
    info.enabled = w->cluster.enabled;
    info.strict = w->cluster.strict;
    info.hold = HOLD;
    info.n_keys = 0;
    info.n_archive = 0;
    for (size_t i = 0; i < MODEL_KEYS && w->cluster.order[i]; i++)
        fill_key(setting, w, w->cluster.order[i] - 1u, &info.keys[info.n_keys++]);
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        if (w->cluster.state[k] != MODEL_ARCHIVED)
            continue;
        info.archive[info.n_archive].created = 1000 + k;
        key_id(k, info.archive[info.n_archive++].id);
    }
}

static int ref_of_key(unsigned k)
{
    for (size_t i = 0; i < info.n_keys; i++)
        if (key_of_id(info.keys[i].id) == k)
            return KT_REF_KEY(i);
    return KT_REF_ARCHIVED;
}

static int ref_of_bit(unsigned bit)
{
    return bit == 0 ? KT_REF_IDENTITY : ref_of_key(bit - 1);
}

static void hash_of(model_list list, uint8_t ret[KT_HASH_LEN])
{
    memset(ret, 0, KT_HASH_LEN);
    ret[0] = (uint8_t)(list & 0xff);
    ret[1] = (uint8_t)(list >> 8);
}

static void fill_config(const struct model_world *w, struct kt_facts_config *ret)
{
    ret->present = true;
    hash_of(w->node[0].file, ret->hash);
    for (model_list list = w->node[0].file; list; list = (model_list)(list >> 3)) {
        unsigned item = list & 7u;
        ret->items[ret->n_items++] = item == MODEL_ITEM_IDENTITY ? KT_REF_IDENTITY
                                     : item == MODEL_ITEM_KMS    ? KT_REF_KMS
                                                                 : ref_of_key(item - MODEL_ITEM_KEY(0));
    }
}

static uint64_t ago(uint64_t seconds)
{
    return NOW_MONO - SECONDS(seconds);
}

/* Within the drain, before or after the census. */
static uint64_t proven_at(const struct model_admin *admin, size_t a, bool late)
{
    return ago(admin->drained[a] ? 900 : late ? 10 : KT_ROTATION_DRAIN_S - 2);
}

static void fill_api(const struct model_world *w, size_t a, struct kt_facts_api *ret)
{
    const struct model_admin *admin = &w->admin;
    memset(ret, 0, sizeof *ret);
    ret->name = a == 0 ? "api-1" : "api-2";
    ret->remembered = true;
    ret->reachable = !w->api[a].paused;
    if (!ret->reachable)
        return;
    ret->last_seen = NOW;
    ret->alive_mono = admin->alive[a] ? ago(KT_ROTATION_DRAIN_S + 100) : ago(1);
    ret->changed = w->api[a].changed ? NOW - 1000 : NOW - 3 * HOLD;
    ret->hash_known = true;
    hash_of(w->api[a].loaded, ret->hash);
    ret->hash_mono = proven_at(admin, a, admin->loaded_late[a]);
    ret->status_ref = w->api[a].seen ? ref_of_key(w->api[a].seen - 1u) : KT_REF_UNKNOWN;
    if (admin->proven[a]) {
        ret->writes_ref = ref_of_bit(admin->proven[a] - 1u);
        ret->writes_mono = proven_at(admin, a, admin->proven_late[a]);
    }
}

static void fill_node(const struct model_setting *setting, const struct model_world *w, size_t n,
                      struct kt_facts_node *ret)
{
    const struct model_node *node = &w->node[n];
    memset(ret, 0, sizeof *ret);
    ret->name = n == 0 ? "node-1" : "node-2";
    ret->local = n == 0;
    ret->reachable = !node->down;
    if (!ret->reachable)
        return;
    ret->generation = model_keyring_same(&node->keyring, &w->cluster) ? GENERATION : GENERATION - 1;
    ret->stage = (enum kt_stage)node->keyring.stage;
    for (size_t i = 0; i < info.n_keys; i++) {
        unsigned k = key_of_id(info.keys[i].id);
        if (model_keyring_lists(&node->keyring, k) || (node->retained & MODEL_KEY(k)) != 0)
            ret->serves |= UINT64_C(1) << i;
    }
    unsigned back = model_put_back(setting, w, n);
    for (size_t i = 0; i < info.n_archive && back; i++)
        if (key_of_id(info.archive[i].id) == back - 1)
            ret->put_back = i + 1;
}

static void fill_store(const struct model_world *w, struct kt_facts_store *ret)
{
    const struct model_admin *admin = &w->admin;
    ret->accessible = true;
    ret->counted = admin->counted;
    if (!admin->counted)
        return;
    ret->complete = true;
    ret->at_mono = admin->count_drained ? ago(COUNTED_AT) : ago(KT_ROTATION_DRAIN_S - 15);
    ret->at_real = admin->count_old ? NOW - HOLD - 500 : NOW - COUNTED_AT;
    ret->plaintext = (admin->count & MODEL_PLAIN) != 0;
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        int ref = ref_of_key(k);
        if ((admin->count & MODEL_KEY(k)) == 0)
            continue;
        if (ref >= KT_REF_KEYS)
            ret->counts[ref - KT_REF_KEYS] = 1;
        else
            ret->archived++;
    }
}

void model_ask(const struct model_setting *setting, const struct model_world *world, struct kt_next *ret)
{
    struct kt_order order = setting->orders[world->admin.order - 1u];
    struct kt_facts facts = {.keyring = &info,
                             .apis_complete = true,
                             .n_apis = setting->n_nodes,
                             .apis = apis,
                             .n_nodes = setting->n_nodes,
                             .nodes = nodes,
                             .now = NOW,
                             .now_mono = NOW_MONO};
    fill_keyring(setting, world);
    fill_config(world, &facts.config);
    for (size_t i = 0; i < setting->n_nodes; i++) {
        fill_api(world, i, &apis[i]);
        apis[i].changed = setting->hides_changes ? 0 : apis[i].changed;
        fill_node(setting, world, i, &nodes[i]);
    }
    fill_store(world, &facts.store);
    if (world->cluster.marked)
        facts.encrypted_since = world->cluster.aged                             ? NOW - 2 * HOLD
                                : (world->admin.marked_late & MODEL_PLAIN) != 0 ? NOW - 1
                                                                                : NOW - 1000;
    facts.rewrite.ran = world->admin.rewrote;
    facts.rewrite.ended_mono = world->admin.rewrote ? ago(world->admin.rewrote_late ? 5 : 900) : 0;
    if (world->admin.rotating)
        key_id(world->admin.rotating - 1u, order.rotating);
    kt_rotation_next_by(setting->rules ? setting->rules : &kt_rotation_rules, &facts, &order, ret);
}

static void take_off(struct model_keyring *k, unsigned key)
{
    size_t i = 0;
    while (i < MODEL_KEYS && k->order[i] != key + 1)
        i++;
    for (; i < MODEL_KEYS; i++)
        k->order[i] = i + 1 < MODEL_KEYS ? k->order[i + 1] : 0;
}

static void append(struct model_keyring *k, unsigned key)
{
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        if (k->order[i] == 0) {
            k->order[i] = (uint8_t)(key + 1);
            return;
        }
    }
}

static void activate(struct model_keyring *k, unsigned key)
{
    unsigned before = k->order[0] - 1u;
    take_off(k, key);
    memmove(&k->order[1], &k->order[0], (MODEL_KEYS - 1) * sizeof k->order[0]);
    k->order[0] = (uint8_t)(key + 1);
    k->state[before] = MODEL_READY;
    k->state[key] = MODEL_ACTIVE;
}

static void edit_one(struct model_keyring *k, const struct kt_edit *edit, model_set *marked)
{
    unsigned key = edit->id[0] ? key_of_id(edit->id) : 0;
    switch (edit->kind) {
    case KT_EDIT_ADD:
        for (key = 0; k->state[key] != MODEL_ABSENT; key++)
            ;
        k->state[key] = MODEL_READY;
        append(k, key);
        break;
    case KT_EDIT_ACTIVATE:
        activate(k, key);
        break;
    case KT_EDIT_STATE:
        k->state[key] = edit->state == KT_KEY_RETIRING ? MODEL_RETIRING : MODEL_READY;
        *marked |= edit->state == KT_KEY_RETIRING ? MODEL_KEY(key) : 0;
        break;
    case KT_EDIT_ARCHIVE:
        k->state[key] = MODEL_ARCHIVED;
        take_off(k, key);
        break;
    case KT_EDIT_STAGE:
        k->stage = (uint8_t)edit->stage;
        break;
    case KT_EDIT_ENABLED:
        k->enabled = edit->flag;
        break;
    case KT_EDIT_STRICT:
        k->strict = edit->flag;
        break;
    default:
        break;
    }
}

struct model_keyring model_edit(const struct model_setting *setting, const struct model_world *world,
                                const struct kt_next *next, model_set *ret_marked)
{
    struct model_keyring k = world->cluster;
    *ret_marked = 0;
    if (setting->cancel_archives && next->recipe == KT_RECIPE_CANCEL) {
        k.state[key_of_id(next->edits[0].id)] = MODEL_ARCHIVED;
        take_off(&k, key_of_id(next->edits[0].id));
        k.stage = (uint8_t)next->edits[1].stage;
        return k;
    }
    for (size_t i = 0; i < next->n_edits; i++)
        edit_one(&k, &next->edits[i], ret_marked);
    if (next->recipe == KT_RECIPE_MARK || (next->recipe == KT_RECIPE_FINISH && (world->admin.count & MODEL_PLAIN) == 0))
        *ret_marked |= MODEL_PLAIN;
    return k;
}
