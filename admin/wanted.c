/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/wanted.h"

#include "admin/config_left.h"
#include "admin/managed.h"
#include "admin/rendered.h"
#include "keystore/kdf.h"
#include "rotation/facts.h"
#include "rotation/rotation.h"

#include <stdlib.h>
#include <string.h>

enum kt_encconfig_type kt_wanted_type(enum kt_key_type type)
{
    static const enum kt_encconfig_type types[] = {
        [KT_KEY_KMS] = KT_ENCCONFIG_KMS,
        [KT_KEY_AESCBC] = KT_ENCCONFIG_AESCBC,
        [KT_KEY_AESGCM] = KT_ENCCONFIG_AESGCM,
        [KT_KEY_SECRETBOX] = KT_ENCCONFIG_SECRETBOX,
    };
    return types[type];
}

static void add_kms(struct kt_wanted *wanted, const struct kt_config *config)
{
    wanted->items[wanted->n_items++] =
        (struct kt_encconfig_item){.type = KT_ENCCONFIG_KMS, .name = config->provider, .endpoint = wanted->endpoint};
}

static void add_key(struct kt_wanted *wanted, size_t key)
{
    const struct kt_key_info *info = &wanted->answer.info->keys[key];
    wanted->items[wanted->n_items++] = (struct kt_encconfig_item){
        .type = kt_wanted_type(info->type), .name = info->name, .bytes = wanted->answer.keys[key]};
}

/* Decrypt only, so before identity alone. */
static void add_superseded(struct kt_wanted *wanted, const struct kt_config *config, bool has_kms)
{
    const struct kt_keyring_info *info = wanted->answer.info;
    for (size_t i = 0; i < info->n_keys; i++) {
        if (!info->keys[i].superseded || (info->keys[i].type == KT_KEY_KMS && has_kms))
            continue;
        has_kms = has_kms || info->keys[i].type == KT_KEY_KMS;
        if (info->keys[i].type == KT_KEY_KMS)
            add_kms(wanted, config);
        else
            add_key(wanted, i);
    }
}

static void add_items(struct kt_wanted *wanted, const struct kt_config *config)
{
    const struct kt_encconfig_item identity = {.type = KT_ENCCONFIG_IDENTITY};
    int refs[KT_KEYS_MAX + 2];
    size_t n = kt_rotation_providers(wanted->answer.info, refs);
    bool ends_in_clear = n > 1 && refs[n - 1] == KT_REF_IDENTITY;
    bool has_kms = false;
    for (size_t i = 0; i < n - ends_in_clear; i++) {
        has_kms = has_kms || refs[i] == KT_REF_KMS;
        if (refs[i] == KT_REF_IDENTITY)
            wanted->items[wanted->n_items++] = identity;
        else if (refs[i] == KT_REF_KMS)
            add_kms(wanted, config);
        else
            add_key(wanted, (size_t)(refs[i] - KT_REF_KEYS));
    }
    add_superseded(wanted, config, has_kms);
    if (ends_in_clear)
        wanted->items[wanted->n_items++] = identity;
}

struct kt_wanted *kt_wanted_new(const struct kt_config *config, struct kt_error *err)
{
    KT_CLEANUP(kt_wanted_free_p) struct kt_wanted *wanted = calloc(1, sizeof(*wanted));
    if (!wanted) {
        kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    if (!kt_encconfig_endpoint(config->kms_socket, wanted->endpoint, err) ||
        !kt_rendered_keys(config, &wanted->answer, err))
        return NULL;
    wanted->config = config;
    add_items(wanted, config);
    return KT_TAKE_PTR(wanted);
}

static void leave(struct kt_wanted *wanted, size_t i)
{
    wanted->drops[wanted->n_drops++] = wanted->items[i];
    wanted->n_items--;
    memmove(&wanted->items[i], &wanted->items[i + 1], (wanted->n_items - i) * sizeof(wanted->items[0]));
}

/* The item that listed key `id` is; n_items: none, so it is of type kms. */
static size_t find_item(const struct kt_wanted *wanted, const char *id)
{
    const struct kt_keyring_info *info = wanted->answer.info;
    for (size_t key = 0; key < info->n_keys; key++)
        for (size_t i = 0; i < wanted->n_items && strcmp(info->keys[key].id, id) == 0; i++)
            if (wanted->items[i].bytes && wanted->items[i].bytes == wanted->answer.keys[key])
                return i;
    return wanted->n_items;
}

void kt_wanted_leave(struct kt_wanted *wanted, const struct kt_edit *edits, size_t n, bool *ret)
{
    *ret = false;
    for (size_t i = 0; i < n && wanted->n_drops < KT_EDITS_MAX; i++) {
        size_t item = edits[i].kind == KT_EDIT_ARCHIVE ? find_item(wanted, edits[i].id) : wanted->n_items;
        if (item == wanted->n_items)
            continue;
        leave(wanted, item);
        *ret = true;
    }
}

void kt_wanted_free(struct kt_wanted *wanted)
{
    if (!wanted)
        return;
    kt_opener_answer_done(&wanted->answer);
    free(wanted);
}

/* Our plugin's name in that list: by its socket too, as the state machine tells it; else the one of keyturn.yaml. */
static const char *name_in(const struct kt_wanted *wanted, const struct kt_encconfig_entry *entry, const char *name)
{
    for (size_t i = 0; i < entry->n_providers; i++) {
        const struct kt_encconfig_kms *kms = &entry->providers[i].kms;
        if (entry->providers[i].types[KT_ENCCONFIG_KMS] && strcmp(kms->api_version.text, "v2") == 0 &&
            (strcmp(kms->name.text, name) == 0 || strcmp(kms->endpoint.text, wanted->endpoint) == 0))
            return kms->name.text;
    }
    return name;
}

static void fill_list(const struct kt_wanted *wanted, const struct kt_encconfig *file, size_t entry,
                      const struct kt_config_left *left, struct kt_encconfig_item *items, struct kt_encconfig_list *ret)
{
    memcpy(items, wanted->items, wanted->n_items * sizeof(*items));
    for (size_t i = 0; i < wanted->n_items; i++)
        if (items[i].type == KT_ENCCONFIG_KMS)
            items[i].name = name_in(wanted, &file->entries[entry], items[i].name);
    *ret = (struct kt_encconfig_list){.entry = entry, .items = items, .n_items = wanted->n_items};
    ret->behind_foreign = wanted->behind_foreign;
    ret->drops = wanted->n_drops > 0 ? wanted->drops : left->items;
    ret->n_drops = wanted->n_drops > 0 ? wanted->n_drops : left->n;
}

static bool find_left(const struct kt_wanted *wanted, const struct kt_encconfig *file, struct kt_config_left *ret,
                      struct kt_error *err)
{
    const struct kt_slice text = kt_source_text(file->source);
    uint8_t hash[KT_HASH_LEN];
    if (!kt_config_has_archived(file, wanted->answer.info))
        return true;
    return kt_sha256(&text, 1, hash, err) &&
           kt_config_left_find(wanted->answer.audit, wanted->config->state_dir, hash, ret, err);
}

static struct kt_secret *fail_unmanaged(struct kt_error *err)
{
    kt_fail(err, KT_E_REFUSED,
            "expected a list with a provider or a key of the keyring, or one for secrets, found none");
    kt_error_hint(err, "put what keyturn config show prints into the list of the resources to be encrypted");
    return NULL;
}

struct kt_secret *kt_wanted_edit(const struct kt_wanted *wanted, const struct kt_encconfig *file, size_t *ret_n,
                                 struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_encconfig_list *lists = calloc(file->n_entries + 1, sizeof(*lists));
    KT_CLEANUP(kt_free_p)
    struct kt_encconfig_item *items = calloc(file->n_entries + 1, wanted->n_items * sizeof(*items));
    KT_CLEANUP(kt_free_p) bool *managed = calloc(file->n_entries + 1, sizeof(*managed));
    KT_CLEANUP(kt_free_p) struct kt_config_left *left = calloc(1, sizeof(*left));
    size_t n = 0;
    if (!lists || !items || !managed || !left) {
        kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    if (!find_left(wanted, file, left, err))
        return NULL;
    for (size_t i = 0; i < file->n_entries; i++) {
        fill_list(wanted, file, i, left, items + i * wanted->n_items, &lists[i]);
        managed[i] = kt_encconfig_holds(&file->entries[i], lists[i].items, lists[i].n_items);
    }
    if (kt_managed_lists(file, managed) == 0)
        return fail_unmanaged(err);
    for (size_t i = 0; i < file->n_entries; i++) {
        if (managed[i])
            lists[n++] = lists[i];
    }
    struct kt_secret *result = kt_encconfig_edit(file, lists, n, err);
    if (result)
        *ret_n = n;
    return result;
}
