/* SPDX-License-Identifier: Apache-2.0 */
/* The step of a rotation that writes kube-apiserver's EncryptionConfiguration. */
#include "admin/config_change.h"
#include "admin/fingerprint_ask.h"
#include "admin/rotation_run.h"
#include "base/printable.h"
#include "rotation/texts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool fail_same(const struct kt_config_change *change, struct kt_error *err)
{
    return kt_fail(err, KT_E_INTERNAL, "%s: it is as the keyring has it, and was seen as another", change->path);
}

/* What was decided was decided for this file and this keyring. */
static bool is_as_looked_at(const struct kt_rotation *rotation, const struct kt_wanted *wanted,
                            const struct kt_config_change *change)
{
    const struct kt_keyring_info *then = rotation->described.info, *now = wanted->answer.info;
    return memcmp(change->hash_before, rotation->look->facts.config.hash, KT_HASH_LEN) == 0 &&
           now->membership == then->membership && now->generation == then->generation;
}

static bool show(struct kt_rotation *rotation, const struct kt_config_change *change, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text shown = {.data = NULL};
    const char *path = KT_PRINTABLE(change->path);
    if (rotation->options->json)
        return true;
    if (!kt_config_change_show(change, &shown, err))
        return false;
    kt_progress_end(&rotation->progress);
    fprintf(stderr, "--- %s\n+++ %s, as generation %llu of the keyring has it\n%s", path, path,
            (unsigned long long)rotation->described.info->generation, shown.data);
    return true;
}

/* config apply is about the file, so it asks; the other commands say themselves what they are for. */
static bool confirm(struct kt_rotation *rotation, const struct kt_config_change *change, struct kt_error *err)
{
    if (rotation->order.kind != KT_ORDER_APPLY)
        return true;
    return show(rotation, change, err) &&
           (rotation->options->dry_run || kt_confirm(rotation->options, "Write it?", err));
}

static bool install(struct kt_rotation *rotation, const struct kt_config_change *change, struct kt_error *err)
{
    rotation->changed = true;
    if (!kt_config_change_install(change, rotation->job.config->state_dir, err))
        return false;
    rotation->wrote_config = true;
    memcpy(rotation->config_hash, change->hash_after, KT_HASH_LEN);
    kt_progress_say(&rotation->progress, change->path, "written");
    return true;
}

/* *ret_wrote: false where another one was faster, and it is to be looked at again. */
static bool write_change(struct kt_rotation *rotation, const struct kt_config_change *change, const char *what,
                         bool *ret_wrote, struct kt_error *err)
{
    const struct kt_member_edits edits = {.config_before = change->hash_before, .config_after = change->hash_after};
    *ret_wrote = kt_config_change_is_noted(change, rotation->described.audit);
    if (!*ret_wrote && !kt_rotation_write_edits(rotation, &edits, what, ret_wrote, err))
        return false;
    return !*ret_wrote || install(rotation, change, err);
}

/* migrate from another plugin: ours is listed everywhere before it comes first. */
static bool stays_behind(const struct kt_rotation *rotation)
{
    const struct kt_facts_config *config = &rotation->look->facts.config;
    return rotation->order.takes_over && rotation->next.gate == KT_GATE_CONFIG && config->n_items > 0 &&
           config->items[0] == KT_REF_FOREIGN;
}

bool kt_rotation_config(struct kt_rotation *rotation, struct kt_error *err)
{
    KT_CLEANUP_CONFIG_CHANGE struct kt_config_change change = {.before = NULL};
    KT_CLEANUP(kt_wanted_free_p) struct kt_wanted *wanted = kt_wanted_new(rotation->job.config, err);
    if (!wanted)
        return false;
    wanted->behind_foreign = stays_behind(rotation);
    if (!kt_config_change_make(wanted, rotation->look->config_file, &change, err))
        return false;
    if (!is_as_looked_at(rotation, wanted, &change))
        return true; /* look again */
    if (!change.differs)
        return fail_same(&change, err);
    if (!confirm(rotation, &change, err))
        return false;
    bool wrote = false;
    return rotation->options->dry_run || write_change(rotation, &change, "change the config file", &wrote, err);
}

/* Among the keys that are to be archived. */
static bool has_inline(const struct kt_rotation *rotation)
{
    const struct kt_keyring_info *info = rotation->described.info;
    for (size_t i = 0; i < rotation->next.n_edits; i++)
        for (size_t k = 0; k < info->n_keys; k++)
            if (info->keys[k].type != KT_KEY_KMS && strcmp(info->keys[k].id, rotation->next.edits[i].id) == 0)
                return true;
    return false;
}

/* *ret_again: keyring or file are not what they were when this was decided. */
static bool make_leave(const struct kt_rotation *rotation, struct kt_config_change *ret, bool *ret_again,
                       struct kt_error *err)
{
    bool leaves = false;
    KT_CLEANUP(kt_wanted_free_p) struct kt_wanted *wanted = kt_wanted_new(rotation->job.config, err);
    if (!wanted)
        return false;
    kt_wanted_leave(wanted, rotation->next.edits, rotation->next.n_edits, &leaves);
    if (!kt_config_change_make(wanted, rotation->look->config_file, ret, err))
        return false;
    *ret_again = !leaves || !is_as_looked_at(rotation, wanted, ret);
    return true;
}

/* One generation archives them, and says what the file becomes without them; then the file is written. Killed in
 * between, the next run finds in the audit log what the file was (admin/config_left.h). */
bool kt_rotation_archive(struct kt_rotation *rotation, struct kt_error *err)
{
    KT_CLEANUP_CONFIG_CHANGE struct kt_config_change change = {.before = NULL};
    const struct kt_next *next = &rotation->next;
    struct kt_member_edits edits = {.list = next->edits, .n = next->n_edits};
    bool again = false;
    bool wrote = false;
    if (has_inline(rotation) && !make_leave(rotation, &change, &again, err))
        return false;
    if (again)
        return true;
    if (change.differs) {
        edits.config_before = change.hash_before;
        edits.config_after = change.hash_after;
    }
    if (!kt_rotation_write_edits(rotation, &edits, kt_recipe_text(next->recipe), &wrote, err))
        return false;
    rotation->changed = rotation->changed || wrote;
    return !wrote || !change.differs || install(rotation, &change, err);
}

/* Copies of what the file was have the keys that left it, as kube-apiserver reads them. */
bool kt_rotation_forget_copies(const struct kt_rotation *rotation, struct kt_error *err)
{
    const struct kt_keyring_info *info = rotation->described.info;
    KT_CLEANUP(kt_free_p) char *path = NULL;
    if (!rotation->look->facts.config.present)
        return true;
    path = realpath(rotation->look->config_file, NULL);
    return path ? kt_config_kept_forget(rotation->job.config->state_dir, path, info, err)
                : kt_fail_errno(err, KT_E_IO, "%s", rotation->look->config_file);
}

static bool is_refused(const struct kt_rotation *rotation)
{
    const struct kt_facts *facts = &rotation->look->facts;
    bool ours = rotation->wrote_config && rotation->next.gate == KT_GATE_LOADED &&
                memcmp(rotation->config_hash, facts->config.hash, KT_HASH_LEN) == 0;
    for (size_t i = 0; ours && i < facts->n_apis; i++) {
        const struct kt_facts_api *api = &facts->apis[i];
        if (api->reachable && api->reload_failure && api->hash_known &&
            memcmp(api->hash, facts->config.hash, KT_HASH_LEN) != 0)
            return true;
    }
    return false;
}

bool kt_rotation_put_back(struct kt_rotation *rotation, bool *ret, struct kt_error *err)
{
    KT_CLEANUP_CONFIG_CHANGE struct kt_config_change change = {.before = NULL};
    *ret = false;
    if (!is_refused(rotation))
        return true;
    const struct kt_config *config = rotation->job.config;
    KT_CLEANUP(kt_wanted_free_p) struct kt_wanted *wanted = kt_wanted_new(config, err);
    if (!wanted || !kt_config_change_back(wanted, config->state_dir, rotation->look->config_file, &change, err))
        return false;
    if (!is_as_looked_at(rotation, wanted, &change) || !change.differs)
        return true;
    bool wrote = false;
    if (!write_change(rotation, &change, "put the previous config file back", &wrote, err))
        return false;
    *ret = wrote;
    return wrote || kt_fail(err, KT_E_BUSY, "another one changed the keyring at the same time");
}
