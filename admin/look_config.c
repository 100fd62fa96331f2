/* SPDX-License-Identifier: Apache-2.0 */
/* The config file as the state machine sees it. */
#include "admin/look.h"
#include "admin/managed.h"
#include "admin/rendered.h"
#include "base/file.h"
#include "encconfig/validate.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct items {
    const struct kt_opener_answer *own; /* the keyring's inline keys */
    size_t n;
    bool ours; /* one of them is */
    int refs[KT_ROTATION_PROVIDERS_MAX];
};

static enum kt_key_type key_type(enum kt_encconfig_type type)
{
    static const enum kt_key_type types[KT_ENCCONFIG_TYPES] = {
        [KT_ENCCONFIG_AESGCM] = KT_KEY_AESGCM,
        [KT_ENCCONFIG_AESCBC] = KT_KEY_AESCBC,
        [KT_ENCCONFIG_SECRETBOX] = KT_KEY_SECRETBOX,
    };
    return types[type];
}

/* Whether it is the keyring's key of that number, and not only called so. */
static bool is_same(const struct kt_opener_answer *own, const char *id, const struct kt_encconfig_key *key)
{
    struct kt_error ignored = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *bytes = kt_encconfig_key_secret(key, &ignored);
    for (size_t i = 0; bytes && i < own->info->n_keys; i++) {
        if (strcmp(own->info->keys[i].id, id) == 0)
            return own->keys[i] && kt_secret_equal(own->keys[i], bytes);
    }
    return false;
}

/* By type and name, which is what stands in what is stored. own->info NULL: and by that alone. */
static int ref_of_key(const struct kt_look *look, const struct kt_opener_answer *own, enum kt_encconfig_type type,
                      const struct kt_encconfig_key *key)
{
    const struct kt_keyring_info *info = look->info;
    const char *name = key->name.text;
    for (size_t i = 0; i < info->n_keys && !info->keys[i].superseded; i++) {
        if (info->keys[i].type == key_type(type) && strcmp(info->keys[i].name, name) == 0)
            return !own->info || is_same(own, info->keys[i].id, key) ? KT_REF_KEY(i) : KT_REF_STRANGER;
    }
    for (size_t i = 0; i < info->n_archive; i++) {
        if (info->archive[i].type == key_type(type) && strcmp(info->archive[i].name, name) == 0)
            return KT_REF_ARCHIVED;
    }
    return KT_REF_STRANGER;
}

/* By its socket, or by its name: what a container sees as the socket's path may be another. */
static bool is_our_plugin(const struct kt_look *look, const struct kt_encconfig_kms *kms)
{
    static const char scheme[] = "unix://";
    size_t len = strlen(scheme);
    bool v2 = strcmp(kms->api_version.text, "v2") == 0;
    bool socket = strncmp(kms->endpoint.text, scheme, len) == 0 &&
                  strcmp(kms->endpoint.text + len, look->config->kms_socket) == 0;
    return v2 && (socket || strcmp(kms->name.text, look->config->provider) == 0);
}

static void add(struct items *items, int ref)
{
    if (items->n < KT_ARRAY_LEN(items->refs))
        items->refs[items->n++] = ref;
    items->ours = items->ours || ref == KT_REF_KMS || ref == KT_REF_ARCHIVED || ref >= KT_REF_KEYS;
}

static void add_provider(struct kt_look *look, const struct kt_encconfig_provider *provider, struct items *items)
{
    if (provider->types[KT_ENCCONFIG_IDENTITY])
        add(items, KT_REF_IDENTITY);
    if (provider->types[KT_ENCCONFIG_KMS]) {
        bool ours = is_our_plugin(look, &provider->kms);
        if (ours)
            snprintf(look->provider, sizeof(look->provider), "%s", provider->kms.name.text);
        add(items, ours ? KT_REF_KMS : KT_REF_FOREIGN);
    }
    for (enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM; type <= KT_ENCCONFIG_SECRETBOX; type++) {
        const struct kt_encconfig_keys *keys = &provider->keys[type];
        for (size_t i = 0; provider->types[type] && i < keys->n; i++)
            add(items, ref_of_key(look, items->own, type, &keys->items[i]));
    }
}

static void read_entry(struct kt_look *look, const struct kt_opener_answer *own, const struct kt_encconfig_entry *entry,
                       struct items *ret)
{
    *ret = (struct items){.own = own};
    for (size_t i = 0; i < entry->n_providers; i++)
        add_provider(look, &entry->providers[i], ret);
}

/* Secrets before config maps, which whoever reads them may not expect. */
static void see_resources(struct kt_look *look, const struct kt_encconfig_entry *entry)
{
    for (size_t i = 0; i < entry->n_resources; i++) {
        const char *name = entry->resources[i].text;
        bool all = strcmp(name, "*.") == 0 || strcmp(name, "*.*") == 0;
        if (all || strcmp(name, "secrets") == 0) {
            look->canary_kind = KT_CANARY_SECRET;
            look->canary_possible = true;
            return;
        }
        if (strcmp(name, "configmaps") == 0 && !look->canary_possible) {
            look->canary_kind = KT_CANARY_CONFIGMAP;
            look->canary_possible = true;
        }
    }
}

static void take_list(struct kt_look *look, const struct kt_opener_answer *own, const struct kt_encconfig_entry *entry)
{
    struct kt_facts_config *facts = &look->facts.config;
    struct items items;
    read_entry(look, own, entry, &items);
    if (facts->n_items > 0 &&
        (items.n != facts->n_items || memcmp(items.refs, facts->items, items.n * sizeof(int)) != 0))
        facts->mixed = true;
    if (facts->n_items == 0)
        memcpy(facts->items, items.refs, items.n * sizeof(int));
    facts->n_items = facts->n_items > 0 ? facts->n_items : items.n;
    see_resources(look, entry);
}

/* What is not managed has no facts: nothing is listed, and the step that writes the lists refuses. */
static bool take_entries(struct kt_look *look, const struct kt_encconfig *config, const struct kt_opener_answer *own,
                         struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) bool *managed = calloc(config->n_entries + 1, sizeof(*managed));
    struct items items;
    if (!managed)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < config->n_entries; i++) {
        read_entry(look, own, &config->entries[i], &items);
        managed[i] = items.ours;
    }
    look->canary_possible = false;
    (void)kt_managed_lists(config, managed);
    for (size_t i = 0; i < config->n_entries; i++) {
        if (managed[i])
            take_list(look, own, &config->entries[i]);
    }
    return kt_stored_rules_read(config, managed, &look->rules, err);
}

static bool has_inline(const struct kt_encconfig *config)
{
    for (size_t i = 0; i < config->n_entries; i++) {
        for (size_t k = 0; k < config->entries[i].n_providers; k++) {
            for (enum kt_encconfig_type t = KT_ENCCONFIG_AESGCM; t <= KT_ENCCONFIG_SECRETBOX; t++) {
                if (config->entries[i].providers[k].types[t])
                    return true;
            }
        }
    }
    return false;
}

static bool take(struct kt_look *look, const struct kt_encconfig *config, struct kt_error *err)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer own = {.info = NULL};
    if (look->compares && has_inline(config) && !kt_rendered_keys(look->config, &own, err))
        return false;
    return take_entries(look, config, &own, err);
}

static bool judge(struct kt_look *look, struct kt_slice text, struct kt_error *err)
{
    struct kt_findings findings = {.items = NULL};
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = kt_encconfig_parse(text, &findings, err);
    bool valid = config && kt_encconfig_validate(config, true, &findings);
    if (!valid && findings.n > 0) {
        struct kt_text words;
        kt_text_init(&words, 4096);
        kt_findings_print(&findings, look->config_file, &words);
        kt_fail(err, KT_E_CONFIG, "%.400s", words.data ? words.data : "it is not valid");
        kt_error_hint(err,
                      "kube-apiserver refuses it too, and goes on with the one that it has loaded: see to the file");
        kt_text_done(&words);
    } else if (!valid && err->code == KT_OK) {
        kt_fail(err, KT_E_CONFIG, "%s is not valid", look->config_file);
    }
    kt_findings_done(&findings);
    return valid && take(look, config, err);
}

static bool hash(struct kt_slice bytes, uint8_t ret[KT_HASH_LEN], struct kt_error *err)
{
    char text[KT_METRICS_HASH_MAX];
    return kt_metrics_hash(bytes, text, err) &&
           (kt_hash_parse(text, ret) || kt_fail(err, KT_E_INTERNAL, "a hash that is none"));
}

bool kt_look_config(struct kt_look *look, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_SECRET_MAX, .owner = KT_ANY_UID};
    struct kt_error *why = &look->no_config;
    struct stat st;
    kt_error_clear(why);
    kt_stored_rules_done(&look->rules);
    look->canary_kind = KT_CANARY_SECRET;
    look->canary_possible = true;
    if (look->config_file[0] == '\0')
        return true;
    KT_CLEANUP(kt_free_p) char *path = realpath(look->config_file, NULL); /* kube-apiserver follows links too */
    if (!path) {
        (void)kt_fail_errno(why, KT_E_IO, "%s", look->config_file);
        return true;
    }
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *text = kt_file_read_secret(AT_FDCWD, path, &rules, why);
    if (!text)
        return true;
    const struct kt_slice bytes = KT_SLICE(kt_secret_view(text), kt_secret_len(text));
    look->config_time = stat(path, &st) == 0 ? (uint64_t)st.st_mtime : 0;
    if (!hash(bytes, look->facts.config.hash, err))
        return false;
    look->facts.config.present = judge(look, bytes, why);
    return true;
}
