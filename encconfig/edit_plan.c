/* SPDX-License-Identifier: Apache-2.0 */
/* Which provider that is there becomes which of those that are wanted, so that as many bytes as possible stay. */
#include "encconfig/edit_parts.h"

#include <string.h>

/* Where a wanted item stands now. */
struct home {
    size_t provider; /* KT_SOURCE_NONE: nowhere */
    size_t key;
};

struct matching {
    const struct kt_edit_plan *plan;
    const struct kt_encconfig_list *list;
    const struct kt_encconfig_entry *entry;
    struct kt_splice *splice;
    struct home homes[KT_ENCCONFIG_ITEMS_MAX];
    bool *used; /* by provider of the entry: stands in the splice already */
    struct kt_error *err;
};

static bool refuse(const struct matching *m, const struct kt_source_node *node, const char *text, const char *hint)
{
    kt_edit_refuse(m->plan->config, m->list->entry, node, m->err, text);
    return kt_error_hint(m->err, "%s", hint);
}

static bool is_dropped(const struct matching *m, const struct kt_encconfig_key *key, enum kt_encconfig_type type)
{
    for (size_t i = 0; i < m->list->n_drops; i++)
        if (kt_edit_is_key(key, type, &m->list->drops[i]))
            return true;
    return false;
}

static void set_home(struct matching *m, size_t item, size_t provider, size_t key)
{
    if (m->homes[item].provider == KT_SOURCE_NONE)
        m->homes[item] = (struct home){.provider = provider, .key = key};
}

static bool place_key(struct matching *m, size_t provider, enum kt_encconfig_type type, size_t k)
{
    const struct kt_encconfig_key *key = &m->entry->providers[provider].keys[type].items[k];
    for (size_t i = 0; i < m->list->n_items; i++) {
        if (kt_edit_is_key(key, type, &m->list->items[i])) {
            set_home(m, i, provider, k);
            return true;
        }
    }
    if (is_dropped(m, key, type))
        return true;
    return refuse(m, key->node, "expected no key but those of the keyring in the list, found another one",
                  "objects may depend on it: keyturn key import takes it into the keyring");
}

static bool place_kms(struct matching *m, size_t provider, size_t item)
{
    const struct kt_encconfig_kms *kms = &m->entry->providers[provider].kms;
    if (!kt_edit_is_text(&kms->api_version, "v2"))
        return refuse(m, m->entry->providers[provider].node,
                      "expected apiVersion v2 for keyturn's provider, found KMS v1", "set apiVersion: v2");
    set_home(m, item, provider, 0);
    return true;
}

static bool place_provider(struct matching *m, size_t provider)
{
    const struct kt_encconfig_provider *p = &m->entry->providers[provider];
    enum kt_encconfig_type type = kt_edit_type_of(p);
    for (size_t k = 0; kt_edit_is_inline(type) && k < p->keys[type].n; k++)
        if (!place_key(m, provider, type, k))
            return false;
    for (size_t i = 0; i < m->list->n_items; i++) {
        if (kt_edit_is_kms(p, &m->list->items[i]) && !place_kms(m, provider, i))
            return false;
        if (type == KT_ENCCONFIG_IDENTITY && m->list->items[i].type == type)
            set_home(m, i, provider, 0);
    }
    return true;
}

static bool add_slot(const struct matching *m, struct kt_splice *splice, struct kt_slot slot)
{
    if (splice->n_slots == KT_ENCCONFIG_ITEMS_MAX)
        return kt_fail(m->err, KT_E_REFUSED, "resources[%zu].providers: expected at most %u providers or keys",
                       m->list->entry, KT_ENCCONFIG_ITEMS_MAX);
    splice->slots[splice->n_slots++] = slot;
    return true;
}

static bool add_old(struct matching *m, size_t provider, struct kt_splice *inner)
{
    m->used[provider] = true;
    return add_slot(m, m->splice, (struct kt_slot){.old = provider, .inner = inner});
}

static bool add_new(struct matching *m, size_t first, size_t end)
{
    return add_slot(m, m->splice,
                    (struct kt_slot){.old = KT_SOURCE_NONE, .items = &m->list->items[first], .n_items = end - first});
}

/* A provider that is there, with these keys instead of those that it has. */
static bool add_changed(struct matching *m, size_t provider, size_t first, size_t end)
{
    const struct kt_encconfig_provider *p = &m->entry->providers[provider];
    const struct kt_encconfig_keys *keys = &p->keys[m->list->items[first].type];
    struct kt_splice *inner = kt_pool_alloc(m->plan->pool, sizeof(*inner));
    if (!inner)
        return kt_fail(m->err, KT_E_NOMEM, "out of memory");
    inner->seq = keys->node;
    inner->is_keys = true;
    bool same = keys->n == end - first;
    for (size_t i = first; i < end; i++) {
        bool is_here = m->homes[i].provider == provider;
        struct kt_slot slot = {.old = is_here ? m->homes[i].key : KT_SOURCE_NONE, .items = &m->list->items[i]};
        slot.n_items = !is_here;
        same = same && slot.old == i - first;
        if (!add_slot(m, inner, slot))
            return false;
    }
    return add_old(m, provider, same ? NULL : inner);
}

/* Where providers of that type hold one key each as a habit, a new key gets one of its own too. */
static bool is_split(const struct matching *m, enum kt_encconfig_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < m->entry->n_providers; i++)
        n += m->entry->providers[i].types[type] != NULL;
    return n > 1;
}

/* The provider that each key of a run goes into: the one in which it stands, unless that is in the list already and
 * something else came in between; a new one goes with its neighbour. */
static void find_owners(const struct matching *m, size_t first, size_t end, size_t owners[KT_ENCCONFIG_ITEMS_MAX])
{
    bool split = is_split(m, m->list->items[first].type);
    size_t now = KT_SOURCE_NONE;
    for (size_t i = first; i < end; i++) {
        size_t home = m->homes[i].provider;
        bool left = home != KT_SOURCE_NONE && home != now && m->used[home];
        for (size_t k = first; k < i && home != now; k++)
            left = left || owners[k] == home;
        owners[i] = left ? KT_SOURCE_NONE : home;
        if (owners[i] == KT_SOURCE_NONE && !split)
            owners[i] = now;
        now = owners[i];
    }
    for (size_t i = end - 1; i > first && !split; i--)
        if (owners[i - 1] == KT_SOURCE_NONE)
            owners[i - 1] = owners[i];
}

static bool add_run(struct matching *m, size_t first, size_t end)
{
    size_t owners[KT_ENCCONFIG_ITEMS_MAX];
    bool split = is_split(m, m->list->items[first].type);
    find_owners(m, first, end, owners);
    for (size_t i = first; i < end;) {
        size_t owner = owners[i];
        size_t next = i + 1;
        while (next < end && owners[next] == owner && (owner != KT_SOURCE_NONE || !split))
            next++;
        if (!(owner == KT_SOURCE_NONE ? add_new(m, i, next) : add_changed(m, owner, i, next)))
            return false;
        i = next;
    }
    return true;
}

static bool add_items(struct matching *m)
{
    const struct kt_encconfig_item *items = m->list->items;
    for (size_t i = 0; i < m->list->n_items;) {
        size_t next = i + 1;
        while (kt_edit_is_inline(items[i].type) && next < m->list->n_items && items[next].type == items[i].type)
            next++;
        bool added = kt_edit_is_inline(items[i].type)         ? add_run(m, i, next)
                     : m->homes[i].provider != KT_SOURCE_NONE ? add_old(m, m->homes[i].provider, NULL)
                                                              : add_new(m, i, next);
        if (!added)
            return false;
        i = next;
    }
    return true;
}

static bool add_foreign(struct matching *m)
{
    for (size_t i = 0; i < m->entry->n_providers; i++)
        if (kt_edit_is_foreign(&m->entry->providers[i], m->list) && !add_old(m, i, NULL))
            return false;
    return true;
}

static bool is_same(const struct matching *m)
{
    bool same = m->splice->n_slots == m->entry->n_providers;
    for (size_t i = 0; same && i < m->splice->n_slots; i++)
        same = m->splice->slots[i].old == i && !m->splice->slots[i].inner;
    return same;
}

static bool is_twice(const struct kt_encconfig_item *a, const struct kt_encconfig_item *b)
{
    return a->type == b->type && (a->type == KT_ENCCONFIG_IDENTITY || strcmp(a->name, b->name) == 0);
}

static bool check_items(const struct matching *m)
{
    const struct kt_encconfig_list *list = m->list;
    if (list->n_items > KT_ENCCONFIG_ITEMS_MAX)
        return kt_fail(m->err, KT_E_REFUSED, "resources[%zu].providers: expected at most %u wanted items", list->entry,
                       KT_ENCCONFIG_ITEMS_MAX);
    for (size_t i = 0; i < list->n_items; i++) {
        const struct kt_encconfig_item *item = &list->items[i];
        bool whole = item->type == KT_ENCCONFIG_IDENTITY || (item->name && (item->bytes || item->endpoint));
        if (!whole)
            return kt_fail(m->err, KT_E_INTERNAL, "a wanted provider without name, bytes or endpoint");
        for (size_t k = 0; k < i; k++)
            if (is_twice(item, &list->items[k]))
                return kt_fail(m->err, KT_E_INTERNAL, "a provider or key that is wanted twice");
    }
    return true;
}

bool kt_edit_plan_list(const struct kt_edit_plan *plan, const struct kt_encconfig_list *list, struct kt_splice **ret,
                       struct kt_error *err)
{
    struct matching *m = kt_pool_alloc(plan->pool, sizeof(*m));
    const struct kt_encconfig_entry *entry = &plan->config->entries[list->entry];
    struct kt_splice *splice = kt_pool_alloc(plan->pool, sizeof(*splice));
    bool *used = kt_pool_alloc(plan->pool, entry->n_providers);
    if (!m || !splice || !used)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    *m = (struct matching){.plan = plan, .list = list, .entry = entry, .splice = splice, .used = used, .err = err};
    splice->seq = entry->providers_node;
    if (!check_items(m))
        return false;
    for (size_t i = 0; i < KT_ENCCONFIG_ITEMS_MAX; i++)
        m->homes[i].provider = KT_SOURCE_NONE;
    for (size_t i = 0; i < entry->n_providers; i++)
        if (!place_provider(m, i))
            return false;
    bool added = list->behind_foreign ? add_foreign(m) && add_items(m) : add_items(m) && add_foreign(m);
    if (!added)
        return false;
    if (splice->n_slots == 0)
        return refuse(m, splice->seq, "expected a provider in the list that is wanted, found none", kt_edit_by_hand);
    *ret = is_same(m) ? NULL : splice;
    return true;
}
