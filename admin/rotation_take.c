/* SPDX-License-Identifier: Apache-2.0 */
/* migrate: keys that somebody else wrote into kube-apiserver's file become keys of the keyring under the names that
 * they have, and the one that encrypts there becomes the active one: then the keyring says what is so, and a rotation
 * leads from there. */
#include "admin/census.h"
#include "admin/fingerprint_ask.h"
#include "admin/own_keys.h"
#include "admin/rotation_run.h"
#include "base/printable.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TAKES     "take in the keys of the config file"
#define ACTIVATES "make the key that encrypts there the active one"

static bool rests(const struct kt_rotation *rotation)
{
    enum kt_stage stage = rotation->described.info->stage;
    return stage == KT_STAGE_START || stage == KT_STAGE_REENCRYPT_FINISHED;
}

/* Of what is under way. */
static enum kt_key_type rotating_type(const struct kt_rotation *rotation)
{
    const struct kt_keyring_info *info = rotation->described.info;
    size_t last = 0;
    while (last + 1 < info->n_keys && !info->keys[last + 1].superseded)
        last++;
    return info->keys[info->stage == KT_STAGE_PREPARE ? last : 0].type;
}

static bool check_under_way(const struct kt_rotation *rotation, struct kt_error *err)
{
    enum kt_key_type type = rotating_type(rotation), wanted = rotation->order.new_type;
    if (rests(rotation) || type == wanted)
        return true;
    kt_fail(err, KT_E_REFUSED,
            "expected a rotation to a key of type %s, or none, found one to a key of type %s under way",
            kt_key_type_text(wanted), kt_key_type_text(type));
    return kt_error_hint(err, "keyturn rotate-keys finishes it; keyturn prepare --cancel takes a prepared key back");
}

static void show(const struct kt_rotation *rotation, const char *file, const struct kt_own_keys *keys)
{
    for (size_t i = 0; i < keys->n && !rotation->options->json; i++)
        fprintf(stderr, "keyturn: key %s (%s) of %s: to be taken into the keyring\n", KT_PRINTABLE(keys->names[i]),
                kt_key_type_text(keys->types[i]), KT_PRINTABLE(file));
}

static bool take_in(struct kt_rotation *rotation, const char *file, const struct kt_own_keys *keys,
                    struct kt_error *err)
{
    uint64_t generation = rotation->described.info->generation + 1;
    kt_progress_end(&rotation->progress);
    show(rotation, file, keys);
    if (rotation->options->dry_run)
        return true;
    if (!kt_confirm(rotation->options, "Take them in?", err) || !kt_own_keys_import(&rotation->job, keys, 0, err))
        return false;
    kt_rotation_note(rotation, TAKES, generation);
    rotation->changed = true;
    return true;
}

/* An API server that has the plugin already would be left without a key of type kms that may encrypt. */
static bool check_unused(const struct kt_rotation *rotation, struct kt_error *err)
{
    const struct kt_facts *facts = &rotation->look->facts;
    for (size_t i = 0; i < facts->n_apis; i++) {
        const struct kt_facts_api *api = &facts->apis[i];
        if (api->reachable && api->status_ref != KT_REF_UNKNOWN) {
            kt_fail(
                err, KT_E_REFUSED,
                "expected no API server to have the keyring's plugin while the config file here begins with another "
                "key, found that %.128s has it",
                api->name);
            return kt_error_hint(err, "give this host the file that the other one has");
        }
        if (!api->reachable && !rotation->options->force)
            return kt_fail(err, KT_E_INCOMPLETE, "expected every API server to answer, found that %.128s does not",
                           api->name);
    }
    if (facts->n_apis > 0 || rotation->options->force)
        return true;
    kt_fail(err, KT_E_INCOMPLETE, "expected an API server that can be asked, found none: %.300s",
            rotation->look->no_servers.message);
    return kt_error_hint(err, "%s", rotation->look->no_servers.hint);
}

static bool activate(struct kt_rotation *rotation, const struct kt_key_info *key, bool *ret_wrote, struct kt_error *err)
{
    struct kt_edit edit = {.kind = KT_EDIT_ACTIVATE};
    const struct kt_member_edits edits = {.list = &edit, .n = 1};
    memcpy(edit.id, key->id, sizeof(edit.id));
    if (rotation->options->dry_run)
        return true;
    if (!kt_rotation_write_edits(rotation, &edits, ACTIVATES, ret_wrote, err))
        return false;
    rotation->changed = rotation->changed || *ret_wrote;
    return true;
}

/* k3s and RKE2 write their own file anew whenever they start. */
static bool fail_own_file(const char *file, struct kt_error *err)
{
    kt_fail(err, KT_E_REFUSED, "expected a file that may be changed here, found that kube-apiserver reads %.300s",
            file);
    return kt_error_hint(
        err, "its keys are in the keyring now: keyturn config wire makes a file with all of them; restart as it "
             "says, then run this again");
}

static bool is_there(const char *file)
{
    return file[0] != '\0' && access(file, F_OK) == 0;
}

/* What kube-apiserver reads now; "": no file at all. */
static void find_file(const struct kt_rotation *rotation, char ret[PATH_MAX], bool *ret_own)
{
    char own[PATH_MAX];
    const char *named = rotation->look->config_file;
    kt_own_keys_file(rotation->look->host, own);
    *ret_own = is_there(own) && (named[0] == '\0' || strcmp(named, own) == 0);
    snprintf(ret, PATH_MAX, "%s", *ret_own ? own : is_there(named) ? named : "");
}

static bool take(struct kt_rotation *rotation, const char *file, bool *ret_took, struct kt_error *err)
{
    KT_CLEANUP_OWN_KEYS struct kt_own_keys keys = {.n = 0};
    size_t front = 0;
    KT_CLEANUP(kt_wanted_free_p) struct kt_wanted *wanted = kt_wanted_new(rotation->job.config, err);
    if (!wanted || !kt_own_keys_find_in(file, wanted, &keys, NULL, err))
        return false;
    *ret_took = keys.n > 0;
    if (keys.n > 0)
        return kt_own_keys_agree(file, err) && take_in(rotation, file, &keys, err);
    const struct kt_keyring_info *info = wanted->answer.info;
    if (!kt_own_keys_front(file, wanted, &front, err))
        return false;
    *ret_took = front < info->n_keys && info->keys[front].state == KT_KEY_READY;
    bool wrote = false;
    return !*ret_took || (check_unused(rotation, err) && activate(rotation, &info->keys[front], &wrote, err));
}

bool kt_rotation_take_in(struct kt_rotation *rotation, bool *ret_took, struct kt_error *err)
{
    char file[PATH_MAX];
    bool own = false;
    *ret_took = false;
    if (!rotation->asked->migrates)
        return true;
    if (rotation->asked->to_distro)
        return kt_rotation_take_distro(rotation, ret_took, err);
    if (!check_under_way(rotation, err))
        return false;
    if (!rests(rotation))
        return true;
    find_file(rotation, file, &own);
    if (file[0] != '\0' && !take(rotation, file, ret_took, err))
        return false;
    return *ret_took || !own || fail_own_file(file, err);
}

static bool lists_foreign(const struct kt_facts_config *config)
{
    for (size_t i = 0; i < config->n_items; i++)
        if (config->items[i] == KT_REF_FOREIGN)
            return true;
    return false;
}

/* Under another plugin that is still listed nothing may be left. */
static bool find_foreign(struct kt_rotation *rotation, bool *ret, struct kt_error *err)
{
    struct kt_facts_store store = {.accessible = false};
    *ret = lists_foreign(&rotation->look->facts.config);
    if (!*ret || !rotation->look->store)
        return true;
    if (!kt_rotation_census(rotation, err))
        return false;
    kt_census_facts(rotation->look, &store);
    *ret = store.foreign > 0;
    return true;
}

bool kt_rotation_is_migrated(struct kt_rotation *rotation, bool *ret, struct kt_error *err)
{
    const struct kt_facts_config *config = &rotation->look->facts.config;
    int front = config->n_items > 0 ? config->items[0] : KT_REF_UNKNOWN;
    bool is_front = !config->present || front == KT_REF_KEY(0) || front == KT_REF_KMS;
    bool foreign = false;
    *ret = rotation->asked->migrates && !rotation->asked->to_distro && rests(rotation) &&
           rotation->order.rotating[0] == '\0' && is_front &&
           rotation->described.info->keys[0].type == rotation->order.new_type;
    if (*ret && !find_foreign(rotation, &foreign, err))
        return false;
    *ret = *ret && !foreign;
    return true;
}
