/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/own_keys.h"

#include "base/file.h"

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

static bool fail_unknown(const char *file, const struct kt_encconfig_key *key, enum kt_encconfig_type type,
                         struct kt_error *err)
{
    kt_fail(err, KT_E_REFUSED, "%s: expected keys of the keyring alone, found %.128s, which it does not have", file,
            key->name.text);
    return kt_error_hint(err, "objects may be stored under it: keyturn key import --type %s --name %.128s takes it in",
                         kt_encconfig_type_text(type), key->name.text);
}

static bool check_entry(const char *file, const struct kt_encconfig_entry *entry, const struct kt_wanted *wanted,
                        bool *ret_first, struct kt_error *err)
{
    bool any = false;
    for (size_t i = 0; i < entry->n_providers; i++) {
        for (enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM; type <= KT_ENCCONFIG_SECRETBOX; type++) {
            const struct kt_encconfig_keys *keys = &entry->providers[i].keys[type];
            for (size_t k = 0; entry->providers[i].types[type] && k < keys->n; k++) {
                size_t item = find_item(wanted, &keys->items[k], type);
                if (item == wanted->n_items)
                    return fail_unknown(file, &keys->items[k], type, err);
                *ret_first = any ? *ret_first : item == 0;
                any = true;
            }
        }
    }
    return true;
}

bool kt_own_keys_check(const struct kt_host *host, const struct kt_wanted *wanted, bool *ret_first,
                       struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_SECRET_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    char file[PATH_MAX];
    bool first = true;
    if (ret_first)
        *ret_first = true;
    if (!host || !host->own_encryption || !host->distro->own_encryption_config)
        return true;
    (void)snprintf(file, sizeof(file), "%.3000s%s", host->data_dir, host->distro->own_encryption_config + strlen("%D"));
    if (access(file, F_OK) != 0 && errno == ENOENT)
        return true;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *bytes = kt_file_read_secret(AT_FDCWD, file, &rules, err);
    if (!bytes)
        return false;
    KT_CLEANUP(kt_encconfig_free_p)
    struct kt_encconfig *config =
        kt_encconfig_parse(KT_SLICE(kt_secret_view(bytes), kt_secret_len(bytes)), &findings, err);
    if (!config)
        return kt_error_prefix(err, "%s", file);
    for (size_t i = 0; i < config->n_entries; i++) {
        if (!check_entry(file, &config->entries[i], wanted, &first, err))
            return false;
    }
    if (ret_first)
        *ret_first = first;
    return true;
}
