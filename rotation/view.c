/* SPDX-License-Identifier: Apache-2.0 */
#include "rotation/rules.h"

#include <assert.h>
#include <string.h>

void kt_view_init(const struct kt_rules *rules, const struct kt_facts *facts, const struct kt_order *order,
                  struct kt_view *ret)
{
    const struct kt_keyring_info *keyring = facts->keyring;
    ret->rules = rules;
    ret->facts = facts;
    ret->order = order;
    ret->keyring = keyring;
    ret->stage = keyring->stage;
    ret->enabled = keyring->enabled;
    ret->strict = keyring->strict;
    ret->kms_keys = 0;
    ret->inline_listed = false;
    ret->lenient = false;
    size_t n = 0;
    for (; n < keyring->n_keys && n < KT_KEYS_MAX && !keyring->keys[n].superseded; n++) {
        if (keyring->keys[n].type == KT_KEY_KMS)
            ret->kms_keys |= UINT64_C(1) << n;
        else
            ret->inline_listed = true;
    }
    assert(n > 0); /* a keyring has an active key (docs/keyring-format.md §4) */
    ret->n_listed = n;
    ret->n_providers = kt_rotation_providers(keyring, ret->providers);
}

static bool is_retiring(const struct kt_view *view, size_t i)
{
    return view->keyring->keys[i].state == KT_KEY_RETIRING;
}

static bool any_retiring(const struct kt_view *view)
{
    for (size_t i = 0; i < view->n_listed; i++)
        if (is_retiring(view, i))
            return true;
    return false;
}

/* Listed, or gone by way of the archive. */
static bool any_inline(const struct kt_view *view)
{
    for (size_t i = 0; i < view->keyring->n_archive; i++)
        if (view->keyring->archive[i].type != KT_KEY_KMS)
            return true;
    return view->inline_listed;
}

static bool takes_over(const struct kt_view *view)
{
    const struct kt_facts_config *config = &view->facts->config;
    return view->order->takes_over && config->n_items > 0 && config->items[0] == KT_REF_FOREIGN;
}

bool kt_view_condition(const struct kt_view *view, enum kt_condition condition)
{
    const struct kt_order *order = view->order;
    bool has_store = view->facts->store.accessible;
    switch (condition) {
    case KT_IF_ALWAYS:
        return true;
    case KT_IF_NEEDS_FILE:
        return view->inline_listed || order->kind == KT_ORDER_ENABLE || order->kind == KT_ORDER_DISABLE ||
               order->kind == KT_ORDER_APPLY;
    case KT_IF_INLINE:
        return view->inline_listed;
    case KT_IF_NEW_RUN:
        return order->rotating[0] == '\0';
    case KT_IF_IS_ENABLED:
        return view->enabled;
    case KT_IF_IS_DISABLED:
        return !view->enabled;
    case KT_IF_IS_STRICT:
        return view->strict;
    case KT_IF_WANTS_STRICT:
        return order->strict && view->enabled && !view->strict;
    case KT_IF_HAS_STORE:
        return has_store;
    case KT_IF_NO_STORE:
        return !has_store;
    case KT_IF_KEEPS_KEYS:
        return order->skip || !has_store;
    case KT_IF_MARKS_KEYS:
        return !order->skip && has_store;
    case KT_IF_RETIRING:
        return any_retiring(view);
    case KT_IF_TAKES_OVER:
        return takes_over(view);
    case KT_IF_FRONT_STAYS:
        return !takes_over(view);
    case KT_IF_AT_WORK:
        return order->kind != KT_ORDER_RETIRE || any_retiring(view) ||
               (view->facts->config.present && any_inline(view));
    case KT_CONDITION_COUNT:
        break;
    }
    return false;
}

static bool plaintext_alarms(const struct kt_view *view)
{
    const struct kt_order *order = view->order;
    bool finished = view->stage == KT_STAGE_REENCRYPT_FINISHED || view->facts->encrypted_since > 0;
    bool rotates = order->kind == KT_ORDER_REENCRYPT || order->kind == KT_ORDER_ROTATE_KEYS;
    return view->enabled && finished && rotates && !order->accept_plaintext;
}

uint64_t kt_view_alarm(const struct kt_view *view)
{
    return plaintext_alarms(view) ? view->facts->store.plaintext : 0;
}

bool kt_rotation_plaintext_alarms(const struct kt_facts *facts, const struct kt_order *order)
{
    struct kt_view view;
    kt_view_init(&kt_rotation_rules, facts, order, &view);
    return plaintext_alarms(&view);
}

uint64_t kt_view_left_over(const struct kt_view *view)
{
    const struct kt_facts_store *store = &view->facts->store;
    uint64_t n = store->archived + store->foreign;
    for (size_t i = view->enabled ? 1 : 0; i < view->n_listed; i++)
        n += store->counts[i];
    return view->enabled ? n + store->plaintext - kt_view_alarm(view) : n;
}

uint64_t kt_view_hold(const struct kt_view *view)
{
    if (view->rules->no_hold)
        return 0;
    return view->keyring->hold < KT_HOLD_MIN ? KT_HOLD_MIN : view->keyring->hold;
}

uint64_t kt_view_held_since(const struct kt_view *view, uint64_t retiring_since)
{
    uint64_t since = retiring_since;
    for (size_t i = 0; i < view->facts->n_apis; i++)
        if (view->facts->apis[i].changed > since)
            since = view->facts->apis[i].changed;
    return since;
}

bool kt_view_due(const struct kt_view *view, size_t i)
{
    uint64_t since = kt_view_held_since(view, view->keyring->keys[i].retiring_since);
    uint64_t now = view->facts->now;
    return is_retiring(view, i) && now >= since && now - since >= kt_view_hold(view);
}

bool kt_view_found_under(const struct kt_view *view, size_t i)
{
    const struct kt_facts_store *store = &view->facts->store;
    return is_retiring(view, i) && store->counts[i] > 0 && view->keyring->keys[i].retiring_since < store->at_real;
}

int kt_view_wanted_ref(const struct kt_view *view)
{
    return view->enabled ? KT_REF_KEY(0) : KT_REF_IDENTITY;
}

bool kt_view_file_decides(const struct kt_view *view, const struct kt_facts_api *api)
{
    bool kms_first = view->enabled && view->keyring->keys[0].type == KT_KEY_KMS;
    const struct kt_facts_config *config = &view->facts->config;
    return !kms_first && config->present && api->hash_known && memcmp(api->hash, config->hash, KT_HASH_LEN) == 0;
}
