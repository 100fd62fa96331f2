/* SPDX-License-Identifier: Apache-2.0 */
/* Gates about what is stored, and about the end of a key. */
#include "rotation/rules.h"

/* Since when this run knows how the API server writes. */
static uint64_t proven_mono(const struct kt_view *view, const struct kt_facts_api *api)
{
    return kt_view_file_decides(view, api) ? api->hash_mono : api->writes_mono;
}

/* When whatever the API server was writing before that is over. */
static uint64_t drained_mono(const struct kt_view *view, const struct kt_facts_api *api)
{
    uint64_t proven = proven_mono(view, api);
    return (api->alive_mono > proven ? api->alive_mono : proven) + KT_ROTATION_DRAIN_NS;
}

bool kt_gate_alive(const struct kt_view *view, struct kt_miss *ret)
{
    for (size_t i = 0; i < view->facts->n_apis; i++) {
        const struct kt_facts_api *api = &view->facts->apis[i];
        if (api->reachable && api->alive_mono > 0 && view->facts->now_mono >= drained_mono(view, api))
            continue;
        if (ret->missing == 0)
            ret->subject = (unsigned)i;
        ret->missing++;
    }
    return ret->missing == 0;
}

bool kt_gate_counted(const struct kt_view *view, struct kt_miss *ret)
{
    const struct kt_facts_store *store = &view->facts->store;
    (void)ret;
    if (!store->counted || (view->facts->rewrite.ran && store->at_mono < view->facts->rewrite.ended_mono))
        return false;
    for (size_t i = 0; i < view->facts->n_apis; i++)
        if (store->at_mono < proven_mono(view, &view->facts->apis[i]))
            return false;
    return true;
}

bool kt_gate_restarted(const struct kt_view *view, struct kt_miss *ret)
{
    for (size_t i = 0; i < view->n_listed; i++) {
        if (!kt_view_found_under(view, i))
            continue;
        ret->subject = (unsigned)i;
        ret->missing++;
    }
    return ret->missing == 0;
}

bool kt_gate_unspoiled(const struct kt_view *view, struct kt_miss *ret)
{
    const struct kt_facts *facts = view->facts;
    (void)ret;
    return facts->encrypted_since == 0 || facts->store.plaintext == 0 || facts->encrypted_since >= facts->store.at_real;
}

bool kt_gate_marked(const struct kt_view *view, struct kt_miss *ret)
{
    (void)ret;
    return view->facts->encrypted_since > 0;
}

bool kt_gate_rewritable(const struct kt_view *view, struct kt_miss *ret)
{
    const struct kt_facts_rewrite *rewrite = &view->facts->rewrite;
    (void)ret;
    return !rewrite->ran || rewrite->failed == 0 || kt_view_left_over(view) == 0 ||
           kt_view_left_over(view) > rewrite->failed;
}

bool kt_gate_current(const struct kt_view *view, struct kt_miss *ret)
{
    (void)ret;
    return kt_view_left_over(view) == 0;
}

bool kt_gate_complete(const struct kt_view *view, struct kt_miss *ret)
{
    (void)ret;
    return view->facts->store.complete && view->facts->store.unknown == 0;
}

bool kt_gate_rewritten(const struct kt_view *view, struct kt_miss *ret)
{
    (void)ret;
    return view->facts->rewrite.ran;
}

bool kt_gate_store(const struct kt_view *view, struct kt_miss *ret)
{
    (void)ret;
    return view->lenient || view->facts->store.accessible;
}

bool kt_gate_unmarked(const struct kt_view *view, struct kt_miss *ret)
{
    for (size_t i = 1; i < view->n_listed; i++) {
        if (view->keyring->keys[i].state == KT_KEY_RETIRING)
            continue;
        ret->subject = (unsigned)i;
        ret->missing++;
    }
    return ret->missing == 0;
}

bool kt_gate_alarm(const struct kt_view *view, struct kt_miss *ret)
{
    (void)ret;
    return kt_view_alarm(view) == 0;
}

static bool is_over(const struct kt_view *view, uint64_t since, uint64_t hold)
{
    return view->facts->now >= since && view->facts->now - since >= hold;
}

/* enable --strict: nothing is written in clear, and nothing was found so, since then. */
static bool identity_is_due(const struct kt_view *view, uint64_t hold, struct kt_miss *ret)
{
    uint64_t since = kt_view_held_since(view, view->facts->encrypted_since);
    ret->until = since + hold;
    return is_over(view, since, hold);
}

/* Without --force one key that is due is enough; with it all retiring ones go, so each of them has to be asked about.
 */
bool kt_gate_hold(const struct kt_view *view, struct kt_miss *ret)
{
    uint64_t hold = kt_view_hold(view);
    bool is_due = false;
    if (view->order->kind == KT_ORDER_ENABLE)
        return identity_is_due(view, hold, ret);
    for (size_t i = 0; i < view->n_listed; i++) {
        const struct kt_key_info *key = &view->keyring->keys[i];
        if (key->state != KT_KEY_RETIRING)
            continue;
        uint64_t since = kt_view_held_since(view, key->retiring_since);
        if (is_over(view, since, hold)) {
            is_due = true;
            continue;
        }
        if (ret->missing == 0 || since + hold < ret->until) {
            ret->until = since + hold;
            ret->subject = (unsigned)i;
        }
        ret->missing++;
    }
    return ret->missing == 0 || is_due;
}

/* When the hold of what is to go was over, or the latest of several. */
static uint64_t held_until(const struct kt_view *view)
{
    uint64_t hold = kt_view_hold(view);
    uint64_t since = view->order->kind == KT_ORDER_ENABLE ? view->facts->encrypted_since : 0;
    for (size_t i = 0; i < view->n_listed; i++)
        if (view->order->kind == KT_ORDER_RETIRE && kt_view_due(view, i) &&
            view->keyring->keys[i].retiring_since > since)
            since = view->keyring->keys[i].retiring_since;
    return kt_view_held_since(view, since) + hold;
}

bool kt_gate_counted_late(const struct kt_view *view, struct kt_miss *ret)
{
    const struct kt_facts_store *store = &view->facts->store;
    if (!kt_gate_counted(view, ret) || store->at_real < held_until(view))
        return false;
    for (size_t i = 0; i < view->facts->n_apis; i++)
        if (store->at_mono < drained_mono(view, &view->facts->apis[i]))
            return false;
    return true;
}

bool kt_gate_clean(const struct kt_view *view, struct kt_miss *ret)
{
    for (size_t i = 0; i < view->n_listed; i++) {
        if (!kt_view_due(view, i) || view->facts->store.counts[i] == 0)
            continue;
        ret->subject = (unsigned)i;
        ret->missing++;
    }
    return ret->missing == 0;
}
