/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/own_keys.h"

#include "admin/managed.h"
#include "admin/opener_local.h"
#include "base/file.h"
#include "keystore/key_name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_item(const struct kt_encconfig_key *key, enum kt_encconfig_type type,
                    const struct kt_encconfig_item *item)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *bytes = kt_encconfig_key_secret(key, NULL);
    return item->type == type && item->bytes && bytes && strcmp(item->name, key->name.text) == 0 &&
           kt_secret_equal(bytes, item->bytes);
}

/* The first item that is that key; n_items: none. */
static size_t find_item(const struct kt_wanted *wanted, const struct kt_encconfig_key *key, enum kt_encconfig_type type)
{
    size_t i = 0;
    while (i < wanted->n_items && !is_item(key, type, &wanted->items[i]))
        i++;
    return i;
}

void kt_own_keys_done(struct kt_own_keys *keys)
{
    for (size_t i = 0; i < keys->n; i++)
        kt_secret_free(KT_TAKE_PTR(keys->bytes[i]));
    keys->n = 0;
}

static bool fail_name(const char *file, const char *name, const char *found, struct kt_error *err)
{
    kt_fail(err, KT_E_REFUSED, "%s: expected the key %.128s to be one that the keyring can have, found %s", file, name,
            found);
    return kt_error_hint(
        err, "a key's name is a part of what is stored under it, and so cannot be another: begin with a new "
             "keyring whose keys have other names");
}

static bool has_name(const struct kt_wanted *wanted, enum kt_encconfig_type type, const char *name)
{
    for (size_t i = 0; i < wanted->n_items; i++) {
        if (wanted->items[i].type == type && strcmp(wanted->items[i].name, name) == 0)
            return true;
    }
    return false;
}

static bool add_key(const char *file, const struct kt_wanted *wanted, const struct kt_encconfig_key *key,
                    enum kt_encconfig_type type, struct kt_own_keys *ret, struct kt_error *err)
{
    const char *name = key->name.text;
    if (has_name(wanted, type, name))
        return fail_name(file, name, "another one of that name there", err);
    if (!kt_key_name_valid(name) || strlen(name) > KT_NAME_MAX)
        return fail_name(file, name, "a name that is too strange", err);
    if (ret->n == KT_OWN_KEYS_MAX)
        return kt_fail(err, KT_E_REFUSED, "%s: expected at most %u keys, found more", file, KT_OWN_KEYS_MAX);
    ret->types[ret->n] = kt_key_type_parse(kt_encconfig_type_text(type));
    (void)snprintf(ret->names[ret->n], sizeof(ret->names[0]), "%s", name);
    ret->bytes[ret->n] = kt_encconfig_key_secret(key, err);
    return ret->bytes[ret->n] && ++ret->n > 0;
}

static bool find_in_entry(const char *file, const struct kt_encconfig_entry *entry, const struct kt_wanted *wanted,
                          struct kt_own_keys *ret, bool *ret_first, struct kt_error *err)
{
    bool any = false;
    for (size_t i = 0; i < entry->n_providers; i++) {
        for (enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM; type <= KT_ENCCONFIG_SECRETBOX; type++) {
            const struct kt_encconfig_keys *keys = &entry->providers[i].keys[type];
            for (size_t k = 0; entry->providers[i].types[type] && k < keys->n; k++) {
                size_t item = find_item(wanted, &keys->items[k], type);
                if (item == wanted->n_items && !add_key(file, wanted, &keys->items[k], type, ret, err))
                    return false;
                *ret_first = any ? *ret_first : item == 0;
                any = true;
            }
        }
    }
    return true;
}

void kt_own_keys_file(const struct kt_host *host, char ret[PATH_MAX])
{
    ret[0] = '\0';
    if (host && host->own_encryption && host->distro->own_encryption_config)
        (void)snprintf(ret, PATH_MAX, "%.3000s%s", host->data_dir, host->distro->own_encryption_config + strlen("%D"));
}

static struct kt_encconfig *read_file(const char *file, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_SECRET_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *bytes = kt_file_read_secret(AT_FDCWD, file, &rules, err);
    if (!bytes)
        return NULL;
    struct kt_encconfig *config =
        kt_encconfig_parse(KT_SLICE(kt_secret_view(bytes), kt_secret_len(bytes)), &findings, err);
    if (!config)
        (void)kt_error_prefix(err, "%s", file);
    return config;
}

bool kt_own_keys_find_in(const char *file, const struct kt_wanted *wanted, struct kt_own_keys *ret, bool *ret_first,
                         struct kt_error *err)
{
    bool ignored = true;
    bool *first = ret_first ? ret_first : &ignored;
    ret->n = 0;
    *first = true;
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = read_file(file, err);
    if (!config)
        return false;
    for (size_t i = 0; i < config->n_entries; i++) {
        if (!find_in_entry(file, &config->entries[i], wanted, ret, first, err))
            return false;
    }
    return true;
}

bool kt_own_keys_find(const struct kt_host *host, const struct kt_wanted *wanted, struct kt_own_keys *ret,
                      bool *ret_first, struct kt_error *err)
{
    char file[PATH_MAX];
    ret->n = 0;
    if (ret_first)
        *ret_first = true;
    kt_own_keys_file(host, file);
    if (file[0] == '\0' || (access(file, F_OK) != 0 && errno == ENOENT))
        return true;
    return kt_own_keys_find_in(file, wanted, ret, ret_first, err);
}

/* The listed key that the item is; n_keys: it is none of type inline. */
static size_t key_of(const struct kt_wanted *wanted, size_t item)
{
    const struct kt_keyring_info *info = wanted->answer.info;
    size_t i = 0;
    while (i < info->n_keys &&
           (item == wanted->n_items || !wanted->answer.keys[i] || wanted->answer.keys[i] != wanted->items[item].bytes))
        i++;
    return i;
}

bool kt_own_keys_front(const char *file, const struct kt_wanted *wanted, size_t *ret, struct kt_error *err)
{
    *ret = wanted->answer.info->n_keys;
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = read_file(file, err);
    if (!config)
        return false;
    size_t at = kt_managed_secrets(config);
    if (at == config->n_entries || config->entries[at].n_providers == 0 ||
        kt_encconfig_holds(&config->entries[at], wanted->items, 1))
        return true;
    const struct kt_encconfig_provider *provider = &config->entries[at].providers[0];
    for (enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM; type <= KT_ENCCONFIG_SECRETBOX; type++)
        if (provider->types[type] && provider->keys[type].n > 0)
            *ret = key_of(wanted, find_item(wanted, &provider->keys[type].items[0], type));
    return true;
}

static bool has_keys(const struct kt_encconfig_entry *entry)
{
    for (size_t i = 0; i < entry->n_providers; i++)
        for (enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM; type <= KT_ENCCONFIG_SECRETBOX; type++)
            if (entry->providers[i].types[type])
                return true;
    return false;
}

/* The inline key that the list begins with; NULL: something else. */
static const char *first_name(const struct kt_encconfig_entry *entry, enum kt_encconfig_type *ret)
{
    for (enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM; type <= KT_ENCCONFIG_SECRETBOX; type++) {
        const struct kt_encconfig_provider *provider = &entry->providers[0];
        *ret = type;
        if (provider->types[type] && provider->keys[type].n > 0)
            return provider->keys[type].items[0].name.text;
    }
    return NULL;
}

static bool fail_apart(const char *file, size_t entry, struct kt_error *err)
{
    kt_fail(err, KT_E_REFUSED,
            "%s: expected each list with inline keys to begin with the same key, found that resources[%zu] does not",
            file, entry);
    return kt_error_hint(
        err, "bring the lists into one order on every API server first, one step at a time: a key is listed "
             "everywhere before it comes first anywhere");
}

bool kt_own_keys_agree(const char *file, struct kt_error *err)
{
    const char *name = NULL;
    enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM;
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = read_file(file, err);
    if (!config)
        return false;
    for (size_t i = 0; i < config->n_entries; i++) {
        enum kt_encconfig_type its = KT_ENCCONFIG_AESGCM;
        if (!has_keys(&config->entries[i]))
            continue;
        const char *first = first_name(&config->entries[i], &its);
        if (!first || (name && (its != type || strcmp(name, first) != 0)))
            return fail_apart(file, i, err);
        name = first;
        type = its;
    }
    return true;
}

bool kt_own_keys_check(const struct kt_host *host, const struct kt_wanted *wanted, bool *ret_first,
                       struct kt_error *err)
{
    KT_CLEANUP_OWN_KEYS struct kt_own_keys missing = {.n = 0};
    char file[PATH_MAX];
    if (!kt_own_keys_find(host, wanted, &missing, ret_first, err))
        return false;
    if (missing.n == 0)
        return true;
    kt_own_keys_file(host, file);
    kt_fail(err, KT_E_REFUSED, "%s: expected keys of the keyring alone, found %.128s, which it does not have", file,
            missing.names[0]);
    return kt_error_hint(err,
                         "objects may be stored under it: keyturn config wire takes it in, then keyturn config apply");
}

static void see_keys(const struct kt_encconfig_provider *provider, const struct kt_wanted *wanted,
                     struct kt_own_first *ret)
{
    for (enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM; type <= KT_ENCCONFIG_SECRETBOX; type++)
        for (size_t k = 0; provider->types[type] && k < provider->keys[type].n; k++) {
            size_t listed = key_of(wanted, find_item(wanted, &provider->keys[type].items[k], type));
            ret->decrypts |= listed < wanted->answer.info->n_keys ? UINT64_C(1) << listed : 0;
        }
}

bool kt_own_keys_first(const char *file, const struct kt_wanted *wanted, struct kt_own_first *ret, struct kt_error *err)
{
    *ret = (struct kt_own_first){.listed = wanted->answer.info->n_keys};
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = read_file(file, err);
    if (!config)
        return false;
    size_t at = kt_managed_secrets(config);
    if (at == config->n_entries)
        return true;
    const struct kt_encconfig_entry *entry = &config->entries[at];
    for (size_t i = 0; i < entry->n_providers; i++)
        see_keys(&entry->providers[i], wanted, ret);
    enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM;
    const char *name = entry->n_providers > 0 ? first_name(entry, &type) : NULL;
    if (!name)
        return true;
    ret->type = kt_key_type_parse(kt_encconfig_type_text(type));
    (void)snprintf(ret->name, sizeof(ret->name), "%s", name);
    ret->listed = key_of(wanted, find_item(wanted, &entry->providers[0].keys[type].items[0], type));
    return true;
}

bool kt_own_keys_import(const struct kt_member_job *job, const struct kt_own_keys *keys, enum kt_stage stage,
                        struct kt_error *err)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_opener_request request;
    struct kt_edit edits[KT_OWN_KEYS_MAX + 1];
    const struct kt_secret *imports[KT_OWN_KEYS_MAX];
    struct kt_outcome outcome;
    for (size_t i = 0; i < keys->n; i++) {
        edits[i] = (struct kt_edit){.kind = KT_EDIT_IMPORT, .type = keys->types[i]};
        (void)snprintf(edits[i].name, sizeof(edits[i].name), "%s", keys->names[i]);
        imports[i] = keys->bytes[i];
    }
    edits[keys->n] = (struct kt_edit){.kind = KT_EDIT_STAGE, .stage = stage};
    kt_member_request(job, KT_OPENER_EDIT, &request);
    request.edits = edits;
    request.n_edits = keys->n + (stage != 0);
    request.imports = imports;
    request.n_imports = keys->n;
    return kt_opener_local(job->config, job->config->path, &request, &answer, err) &&
           kt_member_install(job, kt_bytes_view(&answer.document), &outcome, err);
}
