/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/stored.h"

#include "encconfig/coverage.h"

#include <stdlib.h>
#include <string.h>

/* ---- what the file says ---- */

static enum kt_storage_provider storage_provider(enum kt_encconfig_type type)
{
    static const enum kt_storage_provider providers[KT_ENCCONFIG_TYPES] = {
        [KT_ENCCONFIG_AESGCM] = KT_STORAGE_AESGCM,
        [KT_ENCCONFIG_AESCBC] = KT_STORAGE_AESCBC,
        [KT_ENCCONFIG_SECRETBOX] = KT_STORAGE_SECRETBOX,
    };
    return providers[type];
}

static bool add_provider(struct kt_stored_rules *rules, const struct kt_encconfig_provider *provider,
                         struct kt_error *err)
{
    if (provider->types[KT_ENCCONFIG_KMS]) {
        bool v2 = strcmp(provider->kms.api_version.text, "v2") == 0;
        if (!kt_names_add(&rules->names, v2 ? KT_STORAGE_KMS_V2 : KT_STORAGE_KMS_V1, provider->kms.name.text, err))
            return false;
    }
    for (enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM; type <= KT_ENCCONFIG_SECRETBOX; type++) {
        const struct kt_encconfig_keys *keys = &provider->keys[type];
        for (size_t i = 0; provider->types[type] && i < keys->n; i++)
            if (!kt_names_add(&rules->names, storage_provider(type), keys->items[i].name.text, err))
                return false;
    }
    return true;
}

static bool has_encrypting(const struct kt_encconfig_entry *entry)
{
    for (size_t i = 0; i < entry->n_providers; i++)
        for (enum kt_encconfig_type type = 0; type < KT_ENCCONFIG_TYPES; type++)
            if (type != KT_ENCCONFIG_IDENTITY && entry->providers[i].types[type])
                return true;
    return false;
}

static bool add_entry(struct kt_stored_rules *rules, const struct kt_encconfig_entry *entry, bool managed,
                      struct kt_error *err)
{
    struct kt_stored_rule *items = realloc(rules->items, (rules->n + entry->n_resources + 1) * sizeof(*items));
    if (!items)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    rules->items = items;
    for (size_t i = 0; i < entry->n_resources; i++) {
        items[rules->n] = (struct kt_stored_rule){
            .text = strdup(entry->resources[i].text), .managed = managed, .encrypts = has_encrypting(entry)};
        if (!items[rules->n].text)
            return kt_fail(err, KT_E_NOMEM, "out of memory");
        rules->n++;
    }
    for (size_t i = 0; i < entry->n_providers; i++)
        if (!add_provider(rules, &entry->providers[i], err))
            return false;
    return true;
}

bool kt_stored_rules_read(const struct kt_encconfig *config, const bool *managed, struct kt_stored_rules *ret,
                          struct kt_error *err)
{
    struct kt_stored_rules rules = {.known = true};
    for (size_t i = 0; i < config->n_entries; i++) {
        if (add_entry(&rules, &config->entries[i], managed[i], err))
            continue;
        kt_stored_rules_done(&rules);
        return false;
    }
    *ret = rules;
    return true;
}

void kt_stored_rules_done(struct kt_stored_rules *rules)
{
    for (size_t i = 0; i < rules->n; i++)
        free(rules->items[i].text);
    free(rules->items);
    kt_names_done(&rules->names);
    *rules = (struct kt_stored_rules){.n = 0};
}

const struct kt_stored_rule *kt_stored_rule_of(const struct kt_stored_rules *rules, const struct kt_tally_row *row)
{
    for (size_t i = 0; i < rules->n; i++) {
        if (kt_rule_covers(kt_slice_str(rules->items[i].text), kt_slice_str(row->group), kt_slice_str(row->resource)))
            return &rules->items[i];
    }
    return NULL;
}

/* ---- what something is stored under ---- */

enum kt_key_type kt_stored_key_type(enum kt_storage_provider provider)
{
    static const enum kt_key_type types[KT_STORAGE_PROVIDERS] = {
        [KT_STORAGE_AESCBC] = KT_KEY_AESCBC,
        [KT_STORAGE_AESGCM] = KT_KEY_AESGCM,
        [KT_STORAGE_SECRETBOX] = KT_KEY_SECRETBOX,
    };
    return types[provider];
}

/* An inline key stands there by its name, one of kms by its id. */
static bool is_key(const struct kt_stored_as *as, enum kt_key_type type, const char *id, const char *name)
{
    if (as->provider == KT_STORAGE_KMS_V2)
        return type == KT_KEY_KMS && kt_slice_equal(as->key_id, kt_slice_str(id));
    return type == kt_stored_key_type(as->provider) && kt_slice_equal(as->name, kt_slice_str(name));
}

const struct kt_archived_info *kt_stored_archived(const struct kt_keyring_info *info, const struct kt_stored_as *as)
{
    for (size_t i = 0; i < info->n_archive; i++) {
        const struct kt_archived_info *key = &info->archive[i];
        if (is_key(as, key->type, key->id, key->name))
            return key;
    }
    return NULL;
}

const struct kt_key_info *kt_stored_superseded(const struct kt_keyring_info *info, const struct kt_stored_as *as)
{
    for (size_t i = 0; i < info->n_keys; i++) {
        const struct kt_key_info *key = &info->keys[i];
        if (key->superseded && is_key(as, key->type, key->id, key->name))
            return key;
    }
    return NULL;
}

static bool has_key(enum kt_storage_provider provider)
{
    return provider == KT_STORAGE_KMS_V2 || kt_stored_key_type(provider) != 0;
}

int kt_stored_ref(const struct kt_keyring_info *info, const char *provider, const struct kt_stored_as *as)
{
    if (as->provider == KT_STORAGE_PLAIN)
        return KT_REF_IDENTITY;
    if (as->provider == KT_STORAGE_UNKNOWN)
        return KT_REF_UNKNOWN;
    if (!has_key(as->provider))
        return KT_REF_FOREIGN;
    bool other = as->provider == KT_STORAGE_KMS_V2 && !kt_slice_equal(as->name, kt_slice_str(provider));
    for (size_t i = 0; i < info->n_keys && !info->keys[i].superseded; i++) {
        const struct kt_key_info *key = &info->keys[i];
        if (is_key(as, key->type, key->id, key->name))
            return other && i == 0 ? KT_REF_FOREIGN : KT_REF_KEY(i);
    }
    if (kt_stored_archived(info, as))
        return KT_REF_ARCHIVED;
    return other ? KT_REF_FOREIGN : KT_REF_STRANGER;
}
