/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/config_left.h"

#include "admin/audit_since.h"
#include "admin/wanted.h"

#include <string.h>

struct search {
    const uint8_t *hash;
    struct kt_config_left *ret;
};

static bool is_listed_after(const struct kt_audit_line *line, const char *id)
{
    for (size_t i = 0; i < line->after.n_keys; i++)
        if (strcmp(line->after.keys[i].id, id) == 0)
            return true;
    return false;
}

static void add(struct kt_config_left *left, const struct kt_audit_key *key)
{
    if (left->n == KT_CONFIG_LEFT_MAX)
        return;
    memcpy(left->names[left->n], key->name, sizeof(left->names[0]));
    left->items[left->n] = (struct kt_encconfig_item){.type = kt_wanted_type(key->type), .name = left->names[left->n]};
    left->n++;
}

static bool visit(void *context, const struct kt_audit_line *line)
{
    struct search *search = context;
    if (!line->claim.has_config || memcmp(line->claim.config_before, search->hash, KT_HASH_LEN) != 0)
        return true;
    for (size_t i = 0; i < line->before.n_keys; i++)
        if (line->before.keys[i].type != KT_KEY_KMS && !is_listed_after(line, line->before.keys[i].id))
            add(search->ret, &line->before.keys[i]);
    return true;
}

bool kt_config_left_find(const struct kt_audit_tail *tail, const char *state_dir, const uint8_t hash[KT_HASH_LEN],
                         struct kt_config_left *ret, struct kt_error *err)
{
    struct search search = {.hash = hash, .ret = ret};
    ret->n = 0;
    return kt_audit_walk(tail, state_dir, visit, &search, err);
}

static bool is_listed(const struct kt_keyring_info *info, enum kt_encconfig_type type, const char *name)
{
    for (size_t i = 0; i < info->n_keys; i++)
        if (kt_wanted_type(info->keys[i].type) == type && strcmp(info->keys[i].name, name) == 0)
            return true;
    return false;
}

static bool is_archived(const struct kt_keyring_info *info, enum kt_encconfig_type type, const char *name)
{
    for (size_t i = 0; i < info->n_archive; i++)
        if (kt_wanted_type(info->archive[i].type) == type && strcmp(info->archive[i].name, name) == 0)
            return !is_listed(info, type, name);
    return false;
}

static bool provider_has(const struct kt_encconfig_provider *provider, const struct kt_keyring_info *info)
{
    for (enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM; type <= KT_ENCCONFIG_SECRETBOX; type++)
        for (size_t i = 0; provider->types[type] && i < provider->keys[type].n; i++)
            if (is_archived(info, type, provider->keys[type].items[i].name.text))
                return true;
    return false;
}

bool kt_config_has_archived(const struct kt_encconfig *file, const struct kt_keyring_info *info)
{
    for (size_t i = 0; i < file->n_entries; i++)
        for (size_t p = 0; p < file->entries[i].n_providers; p++)
            if (provider_has(&file->entries[i].providers[p], info))
                return true;
    return false;
}
