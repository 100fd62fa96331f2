/* SPDX-License-Identifier: Apache-2.0 */
/* Gates about the keyring, the config file, the nodes and the API servers. */
#include "rotation/rules.h"

#include <string.h>

/* One more that is not as it should be; the first one is the one to be named. */
static void miss(struct kt_miss *ret, size_t i)
{
    if (ret->missing == 0)
        ret->subject = (unsigned)i;
    ret->missing++;
}

bool kt_gate_next(const struct kt_view *view, struct kt_miss *ret)
{
    (void)view;
    (void)ret;
    return false;
}

bool kt_gate_newest(const struct kt_view *view, struct kt_miss *ret)
{
    for (size_t i = 0; i < view->facts->n_nodes; i++)
        if (view->facts->nodes[i].reachable && view->facts->nodes[i].generation > view->keyring->generation)
            miss(ret, i);
    return ret->missing == 0;
}

bool kt_gate_put_back(const struct kt_view *view, struct kt_miss *ret)
{
    for (size_t i = 0; i < view->facts->n_nodes; i++)
        if (view->facts->nodes[i].put_back > 0)
            miss(ret, i);
    return ret->missing == 0;
}

bool kt_gate_file(const struct kt_view *view, struct kt_miss *ret)
{
    (void)ret;
    return view->facts->config.present;
}

bool kt_gate_own_keys(const struct kt_view *view, struct kt_miss *ret)
{
    const struct kt_facts_config *config = &view->facts->config;
    for (size_t i = 0; i < config->n_items; i++)
        if (config->items[i] == KT_REF_STRANGER)
            miss(ret, i);
    return ret->missing == 0;
}

bool kt_gate_front(const struct kt_view *view, struct kt_miss *ret)
{
    const struct kt_facts_config *config = &view->facts->config;
    (void)ret;
    return config->n_items == 0 || config->items[0] != KT_REF_FOREIGN;
}

bool kt_gate_stage(const struct kt_view *view, struct kt_miss *ret)
{
    const struct kt_stages *stages = &kt_rotation_stages[view->order->kind];
    (void)ret;
    return ((stages->allowed | (view->lenient ? stages->forced : 0)) & KT_STAGE_BIT(view->stage)) != 0;
}

bool kt_gate_undisturbed(const struct kt_view *view, struct kt_miss *ret)
{
    (void)ret;
    return view->order->rotating[0] == '\0' || strcmp(view->order->rotating, view->keyring->keys[0].id) == 0;
}

bool kt_gate_enabled(const struct kt_view *view, struct kt_miss *ret)
{
    (void)ret;
    return view->enabled;
}

static bool is_ours(int ref)
{
    return ref == KT_REF_KMS || ref >= KT_REF_KEYS;
}

bool kt_gate_wired(const struct kt_view *view, struct kt_miss *ret)
{
    const struct kt_facts_config *config = &view->facts->config;
    (void)ret;
    if (view->lenient || !config->present || view->facts->n_apis <= 1 || !is_ours(view->providers[0]))
        return true;
    for (size_t i = 0; i < config->n_items; i++)
        if (is_ours(config->items[i]))
            return true;
    return false;
}

bool kt_gate_remembered(const struct kt_view *view, struct kt_miss *ret)
{
    for (size_t i = 0; i < view->facts->n_apis; i++)
        if (!view->facts->apis[i].remembered)
            miss(ret, i);
    return ret->missing == 0;
}

bool kt_gate_room(const struct kt_view *view, struct kt_miss *ret)
{
    (void)ret;
    return view->n_listed < KT_KEYS_MAX;
}

bool kt_gate_prepared(const struct kt_view *view, struct kt_miss *ret)
{
    ret->subject = (unsigned)(view->n_listed - 1);
    return view->n_listed > 1 && view->keyring->keys[view->n_listed - 1].state == KT_KEY_READY;
}

bool kt_gate_config(const struct kt_view *view, struct kt_miss *ret)
{
    const struct kt_facts_config *config = &view->facts->config;
    size_t n = 0;
    (void)ret;
    if (!config->present)
        return true;
    if (config->mixed)
        return false;
    for (size_t i = 0; i < config->n_items; i++) {
        if (config->items[i] == KT_REF_FOREIGN)
            continue;
        if (n == view->n_providers || config->items[i] != view->providers[n])
            return false;
        n++;
    }
    return n == view->n_providers;
}

static bool serves(const struct kt_view *view, const struct kt_facts_node *node)
{
    return node->generation >= view->keyring->generation && (node->serves & view->kms_keys) == view->kms_keys;
}

bool kt_gate_served(const struct kt_view *view, struct kt_miss *ret)
{
    for (size_t i = 0; i < view->facts->n_nodes; i++) {
        const struct kt_facts_node *node = &view->facts->nodes[i];
        if (node->reachable ? !serves(view, node) : node->local)
            miss(ret, i);
    }
    return view->lenient || (ret->missing == 0 && view->facts->n_nodes > 0);
}

bool kt_gate_nodes(const struct kt_view *view, struct kt_miss *ret)
{
    for (size_t i = 0; i < view->facts->n_nodes; i++)
        if (!view->facts->nodes[i].reachable)
            miss(ret, i);
    return view->lenient || view->facts->n_apis <= 1 || ret->missing == 0;
}

bool kt_gate_servers(const struct kt_view *view, struct kt_miss *ret)
{
    for (size_t i = 0; i < view->facts->n_apis; i++)
        if (!view->facts->apis[i].reachable)
            miss(ret, i);
    return view->lenient || (view->facts->n_apis > 0 && view->facts->apis_complete && ret->missing == 0);
}

/* Where no hash can be had (Kubernetes before 1.34), a rotation of kms keys does without: it leaves the file alone. */
static bool has_loaded(const struct kt_view *view, const struct kt_facts_api *api)
{
    if (!api->hash_known)
        return !kt_view_condition(view, KT_IF_NEEDS_FILE);
    return memcmp(api->hash, view->facts->config.hash, KT_HASH_LEN) == 0;
}

bool kt_gate_loaded(const struct kt_view *view, struct kt_miss *ret)
{
    if (!view->facts->config.present)
        return true;
    for (size_t i = 0; i < view->facts->n_apis; i++)
        if (view->facts->apis[i].reachable && !has_loaded(view, &view->facts->apis[i]))
            miss(ret, i);
    return view->lenient || ret->missing == 0;
}

bool kt_gate_seen(const struct kt_view *view, struct kt_miss *ret)
{
    bool kms_first = view->enabled && view->keyring->keys[0].type == KT_KEY_KMS;
    for (size_t i = 0; i < view->facts->n_apis && kms_first; i++) {
        const struct kt_facts_api *api = &view->facts->apis[i];
        if (api->reachable && api->status_ref != KT_REF_UNKNOWN && api->status_ref != KT_REF_KEY(0))
            miss(ret, i);
    }
    return view->lenient || ret->missing == 0;
}

bool kt_gate_writes(const struct kt_view *view, struct kt_miss *ret)
{
    int wanted = kt_view_wanted_ref(view);
    for (size_t i = 0; i < view->facts->n_apis; i++) {
        const struct kt_facts_api *api = &view->facts->apis[i];
        bool proven = kt_view_file_decides(view, api) || (api->writes_mono > 0 && api->writes_ref == wanted);
        bool was_tried = api->writes_mono > 0;
        if (api->reachable && !proven && !(view->lenient && was_tried))
            miss(ret, i);
    }
    return ret->missing == 0;
}
