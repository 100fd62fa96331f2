/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/edit_parts.h"

#include <string.h>

bool kt_edit_is_inline(enum kt_encconfig_type type)
{
    return type <= KT_ENCCONFIG_SECRETBOX;
}

enum kt_encconfig_type kt_edit_type_of(const struct kt_encconfig_provider *provider)
{
    enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM;
    while (type + 1 < KT_ENCCONFIG_TYPES && !provider->types[type])
        type++;
    return type;
}

bool kt_edit_is_text(const struct kt_encconfig_text *text, const char *wanted)
{
    return text->len == strlen(wanted) && memcmp(text->text, wanted, text->len) == 0;
}

bool kt_edit_is_key(const struct kt_encconfig_key *key, enum kt_encconfig_type type,
                    const struct kt_encconfig_item *wanted)
{
    if (wanted->type != type || !kt_edit_is_text(&key->name, wanted->name))
        return false;
    if (!wanted->bytes)
        return true;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *bytes = kt_encconfig_key_secret(key, NULL);
    return bytes && kt_secret_equal(bytes, wanted->bytes);
}

bool kt_edit_is_kms(const struct kt_encconfig_provider *provider, const struct kt_encconfig_item *wanted)
{
    return wanted->type == KT_ENCCONFIG_KMS && provider->types[KT_ENCCONFIG_KMS] &&
           kt_edit_is_text(&provider->kms.name, wanted->name);
}

bool kt_edit_is_foreign(const struct kt_encconfig_provider *provider, const struct kt_encconfig_list *list)
{
    bool known = !provider->types[KT_ENCCONFIG_KMS];
    for (size_t i = 0; i < list->n_items; i++)
        known = known || kt_edit_is_kms(provider, &list->items[i]);
    for (size_t i = 0; i < list->n_drops; i++)
        known = known || kt_edit_is_kms(provider, &list->drops[i]);
    return !known;
}

static bool holds_key(const struct kt_encconfig_provider *provider, const struct kt_encconfig_item *item)
{
    const struct kt_encconfig_keys *keys = &provider->keys[item->type];
    for (size_t i = 0; i < keys->n; i++)
        if (kt_edit_is_key(&keys->items[i], item->type, item))
            return true;
    return false;
}

bool kt_encconfig_holds(const struct kt_encconfig_entry *entry, const struct kt_encconfig_item *items, size_t n_items)
{
    for (size_t i = 0; i < entry->n_providers; i++)
        for (size_t k = 0; k < n_items; k++)
            if (kt_edit_is_kms(&entry->providers[i], &items[k]) ||
                (kt_edit_is_inline(items[k].type) && items[k].bytes && holds_key(&entry->providers[i], &items[k])))
                return true;
    return false;
}
