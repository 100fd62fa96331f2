/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/config_change.h"

#include "admin/text_diff.h"
#include "base/file.h"
#include "encconfig/mask.h"
#include "encconfig/validate.h"
#include "keystore/kdf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOWN_MAX ((size_t)16 * 1024 * 1024)

void kt_config_change_done(struct kt_config_change *change)
{
    kt_secret_free(KT_TAKE_PTR(change->before));
    kt_secret_free(KT_TAKE_PTR(change->after));
}

static struct kt_slice view(const struct kt_secret *bytes)
{
    return KT_SLICE(kt_secret_view(bytes), kt_secret_len(bytes));
}

static bool hash(const struct kt_secret *bytes, uint8_t ret[KT_HASH_LEN], struct kt_error *err)
{
    const struct kt_slice slice = view(bytes);
    return kt_sha256(&slice, 1, ret, err);
}

static struct kt_encconfig *parse(const struct kt_secret *bytes, const char *file, struct kt_error *err)
{
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    struct kt_encconfig *config = kt_encconfig_parse(view(bytes), &findings, err);
    if (config)
        return config;
    if (err->code == KT_E_CONFIG)
        kt_error_hint(err, "keyturn config check FILE says why");
    (void)kt_error_prefix(err, "%s", file);
    return NULL;
}

/* What the file is now; links to it are followed. */
static bool begin(const char *file, struct kt_config_change *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *path = realpath(file, NULL);
    *ret = (struct kt_config_change){.before = NULL};
    if (!path)
        return kt_fail_errno(err, KT_E_IO, "%s", file);
    if (strlen(path) >= sizeof(ret->path))
        return kt_fail(err, KT_E_CONFIG, "%s: the path is too long", file);
    memcpy(ret->path, path, strlen(path) + 1);
    const struct kt_file_rules rules = {.max = KT_SECRET_MAX, .owner = KT_ANY_UID};
    ret->before = kt_file_read_secret(AT_FDCWD, ret->path, &rules, err);
    return ret->before != NULL;
}

static bool end(struct kt_config_change *change, struct kt_error *err)
{
    change->differs = !kt_secret_equal(change->before, change->after);
    return hash(change->before, change->hash_before, err) && hash(change->after, change->hash_after, err);
}

bool kt_config_change_make(const struct kt_wanted *wanted, const char *file, struct kt_config_change *ret,
                           struct kt_error *err)
{
    if (!begin(file, ret, err))
        return false;
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = parse(ret->before, file, err);
    if (!config)
        return false;
    ret->after = kt_wanted_edit(wanted, config, &ret->n_lists, err);
    if (!ret->after)
        return kt_error_prefix(err, "%s", file);
    return end(ret, err);
}

bool kt_config_change_show(const struct kt_config_change *change, struct kt_text *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text old = {.data = NULL};
    KT_CLEANUP(kt_text_done) struct kt_text new = {.data = NULL};
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *before = parse(change->before, change->path, err);
    KT_CLEANUP(kt_encconfig_free_p)
    struct kt_encconfig *after = before ? parse(change->after, change->path, err) : NULL;
    if (!after)
        return false;
    kt_text_init(&old, SHOWN_MAX);
    kt_text_init(&new, SHOWN_MAX);
    kt_encconfig_mask(before, &old);
    kt_encconfig_mask(after, &new);
    kt_text_init(ret, SHOWN_MAX);
    bool told = kt_text_diff(KT_SLICE(old.data, old.len), KT_SLICE(new.data, new.len), ret);
    return (told && !old.bad && !new.bad && !ret->bad) || kt_fail(err, KT_E_NOMEM, "out of memory");
}

bool kt_config_change_is_noted(const struct kt_config_change *change, const struct kt_audit_tail *tail)
{
    KT_CLEANUP(kt_free_p) struct kt_audit_line *line = tail && tail->n > 0 ? malloc(sizeof(*line)) : NULL;
    struct kt_error ignored = KT_ERROR_INIT;
    return line && kt_audit_parse(kt_audit_tail_line(tail, tail->n - 1), line, &ignored) && line->claim.has_config &&
           memcmp(line->claim.config_before, change->hash_before, KT_HASH_LEN) == 0 &&
           memcmp(line->claim.config_after, change->hash_after, KT_HASH_LEN) == 0;
}

static bool is_as_it_was(const struct kt_config_change *change, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_SECRET_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *now = kt_file_read_secret(AT_FDCWD, change->path, &rules, err);
    if (!now)
        return false;
    if (kt_secret_equal(now, change->before))
        return true;
    kt_fail(err, KT_E_BUSY, "%s: another one changed it at the same time, and this one did not write it", change->path);
    return kt_error_hint(err, "see who did; then run it again");
}

static bool replace(const struct kt_config_change *change, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    return is_as_it_was(change, err) && kt_file_replace(AT_FDCWD, change->path, view(change->after), &attrs, err);
}

/* A copy of a change that never took place is in the way of nothing before this: the one that is gone back to is found
 * first. */
static bool install_back(const struct kt_config_change *change, const char *state_dir, struct kt_error *err)
{
    return kt_config_keep_undone(state_dir, change->path, change->before, err) &&
           kt_config_kept_prune(state_dir, change->path, change->became, err) && replace(change, err);
}

bool kt_config_change_install(const struct kt_config_change *change, const char *state_dir, struct kt_error *err)
{
    struct kt_error left = KT_ERROR_INIT;
    if (!is_as_it_was(change, err))
        return false;
    if (change->is_back)
        return install_back(change, state_dir, err);
    if (!kt_config_keep(state_dir, change->path, change->hash_after, change->before, err) || !replace(change, err))
        return false;
    if (!kt_config_kept_prune(state_dir, change->path, change->hash_after, &left))
        kt_error_clear(&left); /* an older copy that cannot be removed now goes with the next change */
    return true;
}

/* ---- and back ---- */

static bool is_same_text(const struct kt_encconfig_text *a, const struct kt_encconfig_text *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static bool same_resources(const struct kt_encconfig_entry *a, const struct kt_encconfig_entry *b)
{
    for (size_t i = 0; i < a->n_resources && i < b->n_resources; i++) {
        if (!is_same_text(&a->resources[i], &b->resources[i]))
            return false;
    }
    return a->n_resources == b->n_resources;
}

static bool has_identity(const struct kt_encconfig_entry *entry)
{
    for (size_t i = 0; i < entry->n_providers; i++) {
        if (entry->providers[i].types[KT_ENCCONFIG_IDENTITY])
            return true;
    }
    return false;
}

static bool has_kms(const struct kt_encconfig_entry *entry, const struct kt_encconfig_kms *kms)
{
    for (size_t i = 0; i < entry->n_providers; i++) {
        const struct kt_encconfig_kms *other = &entry->providers[i].kms;
        if (entry->providers[i].types[KT_ENCCONFIG_KMS] && is_same_text(&other->name, &kms->name) &&
            is_same_text(&other->api_version, &kms->api_version) && is_same_text(&other->endpoint, &kms->endpoint))
            return true;
    }
    return false;
}

static bool has_key(const struct kt_encconfig_entry *entry, enum kt_encconfig_type type,
                    const struct kt_encconfig_key *key)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *bytes = kt_encconfig_key_secret(key, NULL);
    const struct kt_encconfig_item item = {.type = type, .name = key->name.text, .bytes = bytes};
    return bytes && kt_encconfig_holds(entry, &item, 1);
}

/* The prepared key, which nobody encrypted with yet. */
static bool is_prepared(const struct kt_keyring_info *info, enum kt_encconfig_type type, const char *name)
{
    size_t n = 0;
    while (n < info->n_keys && !info->keys[n].superseded)
        n++;
    const struct kt_key_info *last = &info->keys[n - 1];
    return info->stage == KT_STAGE_PREPARE && n > 1 && last->state == KT_KEY_READY &&
           kt_wanted_type(last->type) == type && strcmp(last->name, name) == 0;
}

static bool fail_missing(const char *what, const char *name, struct kt_error *err)
{
    kt_fail(err, KT_E_REFUSED, "expected %s%s%.128s, found none: objects may be stored under it", what,
            name[0] ? " " : "", name);
    return kt_error_hint(err, "keyturn config apply writes what the keyring has");
}

/* Everything in a provider of the file as it is that somebody may have encrypted with. */
static bool covers_provider(const struct kt_wanted *wanted, const struct kt_encconfig_provider *provider, bool first,
                            const struct kt_encconfig_entry *kept, struct kt_error *err)
{
    if (provider->types[KT_ENCCONFIG_IDENTITY] && !has_identity(kept))
        return fail_missing("identity", "", err);
    if (provider->types[KT_ENCCONFIG_KMS] && !has_kms(kept, &provider->kms))
        return fail_missing("the KMS provider", provider->kms.name.text, err);
    for (enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM; type <= KT_ENCCONFIG_SECRETBOX; type++) {
        const struct kt_encconfig_keys *keys = &provider->keys[type];
        for (size_t i = 0; provider->types[type] && i < keys->n; i++) {
            bool spared = !(first && i == 0) && is_prepared(wanted->answer.info, type, keys->items[i].name.text);
            if (!spared && !has_key(kept, type, &keys->items[i]))
                return fail_missing("the very key", keys->items[i].name.text, err);
        }
    }
    return true;
}

static bool covers(const struct kt_wanted *wanted, const struct kt_encconfig *now, const struct kt_encconfig *kept,
                   struct kt_error *err)
{
    for (size_t i = 0; i < now->n_entries; i++) {
        if (now->n_entries != kept->n_entries || !same_resources(&now->entries[i], &kept->entries[i])) {
            kt_fail(err, KT_E_REFUSED, "expected the same resources, found others");
            return kt_error_hint(err, "keyturn config apply writes what the keyring has");
        }
        for (size_t k = 0; k < now->entries[i].n_providers; k++) {
            if (!covers_provider(wanted, &now->entries[i].providers[k], k == 0, &kept->entries[i], err))
                return false;
        }
    }
    return true;
}

static bool is_prepared_item(const struct kt_wanted *wanted, const struct kt_encconfig_item *item)
{
    return item->type != KT_ENCCONFIG_KMS && item->type != KT_ENCCONFIG_IDENTITY &&
           is_prepared(wanted->answer.info, item->type, item->name);
}

/* Where the file as it is cannot be read: each key of the keyring, in each list that has one. */
static bool covers_keyring(const struct kt_wanted *wanted, const struct kt_encconfig *kept, struct kt_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < kept->n_entries; i++) {
        if (!kt_encconfig_holds(&kept->entries[i], wanted->items, wanted->n_items))
            continue;
        n++;
        for (size_t k = 0; k < wanted->n_items; k++) {
            const struct kt_encconfig_item *item = &wanted->items[k];
            if (item->type == KT_ENCCONFIG_IDENTITY || is_prepared_item(wanted, item))
                continue;
            if (!kt_encconfig_holds(&kept->entries[i], item, 1))
                return fail_missing("the very key or provider", item->name, err);
        }
    }
    return n > 0 || fail_missing("a key of the keyring", "", err);
}

static bool read_kept(struct kt_config_change *change, const char *state_dir, struct kt_error *err)
{
    struct kt_config_kept kept;
    if (!kt_config_kept_find(state_dir, change->path, change->before, &kept, err)) {
        kt_config_kept_done(&kept);
        return false;
    }
    change->after = kept.bytes;
    change->is_back = true;
    memcpy(change->became, kept.became, KT_HASH_LEN);
    return true;
}

bool kt_config_change_back(const struct kt_wanted *wanted, const char *state_dir, const char *file,
                           struct kt_config_change *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    struct kt_error unreadable = KT_ERROR_INIT;
    if (!begin(file, ret, err) || !read_kept(ret, state_dir, err))
        return false;
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *kept = parse(ret->after, "the previous file", err);
    if (!kept)
        return false;
    if (!kt_encconfig_validate(kept, true, &findings))
        return kt_fail(err, KT_E_CONFIG, "the previous file is not one that kube-apiserver would take");
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *now = parse(ret->before, ret->path, &unreadable);
    bool covered = now ? covers(wanted, now, kept, err) : covers_keyring(wanted, kept, err);
    if (!covered)
        return kt_error_prefix(err, "the previous file");
    return end(ret, err);
}

static bool is_plain_first(const struct kt_wanted *wanted, const struct kt_encconfig *config)
{
    for (size_t i = 0; i < config->n_entries; i++) {
        const struct kt_encconfig_entry *entry = &config->entries[i];
        if (kt_encconfig_holds(entry, wanted->items, wanted->n_items) &&
            !entry->providers[0].types[KT_ENCCONFIG_IDENTITY])
            return false;
    }
    return true;
}

bool kt_config_covers(const struct kt_wanted *wanted, const char *file, bool *ret_plain_first,
                      uint8_t ret_hash[KT_HASH_LEN], struct kt_error *err)
{
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    KT_CLEANUP_CONFIG_CHANGE struct kt_config_change change = {.before = NULL};
    KT_CLEANUP(kt_encconfig_free_p)
    struct kt_encconfig *config = begin(file, &change, err) ? parse(change.before, file, err) : NULL;
    if (!config)
        return false;
    if (!kt_encconfig_validate(config, true, &findings))
        return kt_fail(err, KT_E_CONFIG, "%s: kube-apiserver would not take it", file);
    *ret_plain_first = is_plain_first(wanted, config);
    return covers_keyring(wanted, config, err) && hash(change.before, ret_hash, err);
}
