/* SPDX-License-Identifier: Apache-2.0 */
/* What the world does by itself: nodes catch up, API servers load, ask and write, machines stop and go on, disks go
 * back, time passes. */
#include "model.h"

#include <stdio.h>
#include <string.h>

struct made {
    const struct model_setting *setting;
    struct model_world *world;
    struct model_event *event;
};

static model_set active_of(const struct model_keyring *k)
{
    return k->order[0] ? MODEL_KEY(k->order[0] - 1u) : 0;
}

static model_set first_of_file(model_list list)
{
    unsigned first = model_list_first(list);
    return first >= MODEL_ITEM_KEY(0) ? MODEL_KEY(first - MODEL_ITEM_KEY(0)) : 0;
}

/* The second node's config file follows its keyring; the first one's is the admin's. One that has an archived key first
 * is left alone until that key is back. */
static bool render(const struct made *m, size_t n)
{
    struct model_node *node = &m->world->node[n];
    model_list list = model_list_of(m->setting, &node->keyring);
    model_set first = first_of_file(node->file);
    bool known = first == 0 || (node->retained & first) != 0;
    for (unsigned k = 0; k < MODEL_KEYS; k++)
        known = known || ((first & MODEL_KEY(k)) != 0 && model_keyring_lists(&node->keyring, k));
    if (n == 0 || n >= m->setting->n_nodes || node->file == list || (!known && !m->setting->forgets))
        return false;
    node->recent |= first;
    node->file = list;
    return true;
}

/* The node installs the cluster's keyring. It holds on to an archived key that it encrypted with less than a hold
 * before. */
static bool sync_node(const struct made *m, size_t n)
{
    struct model_node *node = &m->world->node[n];
    const struct model_keyring *c = &m->world->cluster;
    if (node->down || n >= m->setting->n_nodes || model_keyring_same(&node->keyring, c))
        return false;
    node->recent |= active_of(&node->keyring);
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        if (model_keyring_lists(c, k))
            node->retained &= ~MODEL_KEY(k);
        else if (model_keyring_lists(&node->keyring, k) && (node->recent & MODEL_KEY(k)) != 0 && !m->setting->forgets)
            node->retained |= MODEL_KEY(k);
    }
    node->keyring = *c;
    node->keyring.held = 0;
    node->keyring.aged = node->keyring.marked = false;
    if (!m->setting->fine)
        (void)render(m, n);
    return true;
}

static void forget_drained(const struct made *m, size_t a)
{
    m->world->admin.drained[a] = false;
    m->world->admin.count_drained = false;
}

static bool load(const struct made *m, size_t a)
{
    struct model_api *api = &m->world->api[a];
    if (api->paused || a >= m->setting->n_nodes || api->loaded == m->world->node[a].file)
        return false;
    api->loaded = m->world->node[a].file;
    api->changed = true;
    m->world->admin.loaded_late[a] = m->world->admin.counted;
    forget_drained(m, a);
    return true;
}

static void set_seed(struct model_api *api, uint8_t key)
{
    api->changed = api->changed || api->seed != key;
    api->seed = key;
}

static bool ask_status(const struct made *m, size_t a)
{
    struct model_api *api = &m->world->api[a];
    uint8_t active = m->world->node[a].keyring.order[0];
    if (api->paused || a >= m->setting->n_nodes || m->world->node[a].down || api->seen == active ||
        !model_list_has(api->loaded, MODEL_ITEM_KMS))
        return false;
    api->seen = active;
    if (!m->setting->fine)
        set_seed(api, active);
    return true;
}

/* Between the Status that brings a new key_id and the Encrypt that makes a seed under it. */
static bool new_seed(const struct made *m, size_t a)
{
    struct model_api *api = &m->world->api[a];
    if (api->paused || m->world->node[a].down || api->seed == api->seen)
        return false;
    set_seed(api, api->seen);
    return true;
}

static bool begin_write(const struct made *m, size_t a)
{
    struct model_api *api = &m->world->api[a];
    if (api->paused || a >= m->setting->n_nodes || api->flying || model_writes(m->world, a) == MODEL_NOTHING)
        return false;
    api->flying = (uint8_t)(1 + model_writes(m->world, a));
    api->hangs = m->setting->hangs;
    return true;
}

static bool land(const struct made *m, size_t a)
{
    struct model_api *api = &m->world->api[a];
    if (api->paused || !api->flying)
        return false;
    m->world->store |= 1u << (api->flying - 1);
    m->world->admin.landed |= 1u << (api->flying - 1);
    api->flying = 0;
    api->hangs = false;
    return true;
}

/* A server that is stopped as a whole has no write that hangs for a reason of its own when it goes on. */
static bool pause_api(const struct made *m, size_t a)
{
    struct model_api *api = &m->world->api[a];
    if (!m->setting->pauses || a >= m->setting->n_nodes || api->paused)
        return false;
    api->paused = true;
    api->hangs = false;
    m->world->admin.alive[a] = false;
    m->world->admin.count_drained = false;
    return true;
}

static bool resume(const struct made *m, size_t a)
{
    struct model_api *api = &m->world->api[a];
    if (!api->paused)
        return false;
    api->paused = false;
    return true;
}

static bool is_clear(const struct made *m, bool of_hanging)
{
    for (size_t a = 0; a < m->setting->n_nodes; a++) {
        const struct model_api *api = &m->world->api[a];
        if (!api->paused && api->flying && (of_hanging || !api->hangs))
            return false;
    }
    return true;
}

static bool answer(const struct made *m)
{
    struct model_admin *admin = &m->world->admin;
    bool changed = false;
    for (size_t a = 0; a < m->setting->n_nodes && admin->order; a++) {
        bool runs = !m->world->api[a].paused;
        bool proven = admin->proven[a] || model_list_first(m->world->api[a].loaded) != MODEL_ITEM_KMS;
        changed = changed || (runs && (!admin->alive[a] || (proven && !admin->drained[a])));
        admin->alive[a] = runs;
        admin->drained[a] = admin->drained[a] || (runs && proven);
    }
    return changed;
}

/* An API server that runs asks for Status and reads its file once a minute; without Status its seed expires. */
static void catch_up(const struct made *m, size_t a)
{
    struct model_api *api = &m->world->api[a];
    const struct model_node *node = &m->world->node[a];
    if (api->paused || a >= m->setting->n_nodes)
        return;
    (void)load(m, a);
    if (model_list_has(api->loaded, MODEL_ITEM_KMS))
        api->seen = api->seed = node->down ? 0 : node->keyring.order[0];
    api->changed = false;
}

/* The hold passes: what a running server was writing is done, and what the admin had decided is too old to be acted on.
 */
static bool pass_hold(const struct made *m, size_t unused)
{
    struct model_world *w = m->world;
    model_set gone = 0; /* archived keys: "lately" is before they were */
    (void)unused;
    if (!is_clear(m, true))
        return false;
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        if (w->cluster.state[k] == MODEL_RETIRING)
            w->cluster.held |= MODEL_KEY(k);
        if (w->cluster.state[k] == MODEL_ARCHIVED)
            gone |= MODEL_KEY(k);
    }
    w->cluster.aged = w->cluster.marked;
    for (size_t n = 0; n < MODEL_NODES; n++)
        w->node[n].recent &= gone;
    w->admin.pending = MODEL_IDLE;
    w->admin.marks = w->admin.marked_late = 0;
    w->admin.next_file = 0;
    w->admin.put_back = 0;
    w->admin.count_old = w->admin.counted;
    for (size_t a = 0; a < MODEL_NODES; a++)
        catch_up(m, a);
    (void)answer(m);
    return true;
}

/* Two minutes pass, in which the admin sees each running server answer. */
static bool pass_drain(const struct made *m, size_t unused)
{
    (void)unused;
    return is_clear(m, false) && answer(m);
}

static size_t fragile(const struct made *m)
{
    return m->setting->n_nodes - 1;
}

static bool back_up(const struct made *m, size_t unused)
{
    (void)unused;
    if ((!m->setting->reverts && !m->setting->file_reverts) || m->world->went_back)
        return false;
    m->world->backup = m->world->node[fragile(m)];
    m->world->backup.recent = 0; /* what it remembers of itself is the least that there may be */
    if (!m->setting->reverts)
        memset(&m->world->backup.keyring, 0, sizeof m->world->backup.keyring);
    m->world->backup.down = m->world->backup.reverted = false;
    return true;
}

/* The only node there is: its keyring is the cluster's. One that lacks a key in use cannot be helped by any rule. */
static bool revert_cluster(const struct made *m)
{
    struct model_world *w = m->world;
    for (unsigned k = 0; k < MODEL_KEYS; k++)
        if ((w->store & MODEL_KEY(k)) != 0 && !model_keyring_lists(&w->backup.keyring, k))
            return false;
    w->cluster = w->backup.keyring;
    for (unsigned k = 0; k < MODEL_KEYS; k++)
        if (w->cluster.state[k] == MODEL_RETIRING)
            w->cluster.held |= MODEL_KEY(k); /* time has not gone back */
    model_admin_stop(w);
    return true;
}

/* The machine was off: its API server starts anew, with what is on the disk. */
static bool revert(const struct made *m, size_t unused)
{
    size_t n = fragile(m);
    struct model_node *node = &m->world->node[n];
    struct model_api *api = &m->world->api[n];
    (void)unused;
    if (!m->setting->reverts || !m->world->backup.keyring.stage)
        return false;
    if (m->setting->n_nodes == 1 && !revert_cluster(m))
        return false;
    *node = m->world->backup;
    node->recent |= active_of(&node->keyring) | first_of_file(node->file);
    node->reverted = true;
    memset(&m->world->backup, 0, sizeof m->world->backup);
    m->world->went_back = true;
    *api = (struct model_api){.loaded = node->file};
    if (model_list_has(api->loaded, MODEL_ITEM_KMS))
        api->seen = api->seed = node->keyring.order[0];
    m->world->admin.proven[n] = 0;
    m->world->admin.alive[n] = false;
    forget_drained(m, n);
    m->world->admin.loaded_late[n] = m->world->admin.counted;
    return true;
}

static bool revert_file(const struct made *m, size_t unused)
{
    struct model_node *node = &m->world->node[fragile(m)];
    (void)unused;
    if (!m->setting->file_reverts || !m->world->backup.file || m->world->backup.file == node->file)
        return false;
    node->recent |= first_of_file(node->file);
    node->file = m->world->backup.file;
    node->reverted = true;
    memset(&m->world->backup, 0, sizeof m->world->backup);
    m->world->went_back = true;
    if (fragile(m) == 0 && m->world->admin.pending == MODEL_CONFIG)
        m->world->admin.pending = MODEL_IDLE; /* it compares the file before it replaces it */
    return true;
}

static bool fail_node(const struct made *m, size_t unused)
{
    (void)unused;
    if (!m->setting->fails || m->setting->n_nodes < 2 || m->world->node[1].down)
        return false;
    m->world->node[1].down = true;
    return true;
}

static bool mend_node(const struct made *m, size_t unused)
{
    (void)unused;
    if (!m->world->node[1].down)
        return false;
    m->world->node[1].down = false;
    return true;
}

static bool delete_objects(const struct made *m, size_t bit)
{
    if (!m->setting->deletes || (m->world->store & 1u << bit) == 0)
        return false;
    m->world->store &= ~(1u << bit);
    return true;
}

static bool start(const struct made *m, size_t order)
{
    return order < m->setting->n_orders && model_admin_start(m->setting, m->world, order);
}

static bool look(const struct made *m, size_t unused)
{
    (void)unused;
    return model_admin_look(m->setting, m->world, m->event);
}

static bool act(const struct made *m, size_t way)
{
    return model_admin_act(m->setting, m->world, (unsigned)way);
}

static bool kill_admin(const struct made *m, size_t unused)
{
    (void)unused;
    if (!m->world->admin.order)
        return false;
    model_admin_stop(m->world);
    return true;
}

static const struct {
    const char *name;
    bool (*make)(const struct made *m, size_t which);
    unsigned n;
} kinds[] = {
    {"the admin starts", start, 8},
    {"the admin looks", look, 1},
    {"the admin acts", act, MODEL_WAYS},
    {"the admin is killed", kill_admin, 1},
    /* MODEL_SETTLING_FIRST */
    {"a node installs the keyring", sync_node, MODEL_NODES},
    {"the config file follows", render, MODEL_NODES},
    {"an API server loads its file", load, MODEL_NODES},
    {"an API server asks for Status", ask_status, MODEL_NODES},
    {"an API server makes a new seed", new_seed, MODEL_NODES},
    {"a write reaches the store", land, MODEL_NODES},
    {"an API server goes on", resume, MODEL_NODES},
    {"two minutes pass", pass_drain, 1},
    {"the node is back", mend_node, 1},
    /* MODEL_SETTLING_LAST */
    {"an API server begins a write", begin_write, MODEL_NODES},
    {"an API server is paused", pause_api, MODEL_NODES},
    {"the hold passes", pass_hold, 1},
    {"a disk is backed up", back_up, 1},
    {"a disk goes back", revert, 1},
    {"a config file goes back", revert_file, 1},
    {"a node fails", fail_node, 1},
    {"objects are deleted", delete_objects, 1 + MODEL_KEYS},
};

bool model_move(const struct model_setting *setting, struct model_world *world, unsigned move, struct model_event *ret)
{
    struct made m = {.setting = setting, .world = world, .event = ret};
    *ret = (struct model_event){.done = false};
    for (size_t i = 0; i < KT_ARRAY_LEN(kinds); i++) {
        if (move < kinds[i].n)
            return kinds[i].make(&m, move);
        move -= kinds[i].n;
    }
    return false;
}

void model_move_text(const struct model_setting *setting, unsigned move, char ret[64])
{
    for (size_t i = 0; i < KT_ARRAY_LEN(kinds); i++) {
        if (move >= kinds[i].n) {
            move -= kinds[i].n;
            continue;
        }
        if (i == 0 && move < setting->n_orders)
            snprintf(ret, 64, "%s %s%s", kinds[i].name, kt_order_text(setting->orders[move].kind),
                     setting->orders[move].skip     ? " --skip"
                     : setting->orders[move].strict ? " --strict"
                                                    : "");
        else
            snprintf(ret, 64, kinds[i].n > 1 ? "%s (%u)" : "%s", kinds[i].name, move + 1);
        return;
    }
    snprintf(ret, 64, "nothing");
}
