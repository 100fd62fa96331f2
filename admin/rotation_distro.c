/* SPDX-License-Identifier: Apache-2.0 */
/* What k3s' or RKE2's own encryption config means to a rotation: migrate --to distro leads to the key that it begins
 * with, and no key that it lists is archived. */
#include "admin/fingerprint_ask.h"
#include "admin/own_keys.h"
#include "admin/rotation_run.h"
#include "base/printable.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TAKES    "take in the keys of the distribution's own file"
#define PREPARES "prepare the key that the distribution's own file begins with"

/* ---- migrate --to distro ---- */

static bool fail_none(const struct kt_rotation *rotation, struct kt_error *err)
{
    const struct kt_host *host = rotation->look->host;
    kt_fail(err, KT_E_REFUSED,
            "expected a host of k3s or RKE2 that encrypts by itself (secrets-encryption), found %s that does not",
            host ? host->distro->name : "one");
    return kt_error_hint(err, "keyturn migrate --to aescbc or secretbox leads to keys in the config file; keyturn "
                              "disable and keyturn config unwire to no keys at all");
}

static bool fail_plain(const char *file, struct kt_error *err)
{
    kt_fail(err, KT_E_REFUSED, "%.300s: expected it to begin with a key for secrets, found none", file);
    return kt_error_hint(err, "the distribution's secrets-encrypt enable puts one first; then run this again");
}

static bool fail_in_force(const char *file, struct kt_error *err)
{
    kt_fail(err, KT_E_REFUSED, "expected kube-apiserver to read a file of keyturn's, found that it reads %.300s", file);
    return kt_error_hint(err, "so it encrypts with the distribution's own key already; keyturn census shows whether "
                              "anything is stored under others, keyturn config wire makes such a file");
}

/* The last listed key of this node's own membership. */
static size_t last_of(const struct kt_keyring_info *info)
{
    size_t last = 0;
    while (last + 1 < info->n_keys && !info->keys[last + 1].superseded)
        last++;
    return last;
}

static bool fail_other(const struct kt_key_info *key, const struct kt_own_first *first, struct kt_error *err)
{
    kt_fail(err, KT_E_REFUSED, "expected a rotation to the key %.128s, or none, found one to the key %.128s under way",
            first->name, key->name);
    return kt_error_hint(err, "keyturn rotate-keys finishes it; keyturn prepare --cancel takes a prepared key back");
}

static bool fail_used_up(const struct kt_rotation *rotation, const struct kt_own_first *first, const char *found,
                         struct kt_error *err)
{
    const char *name = rotation->look->host->distro->name;
    kt_fail(err, KT_E_REFUSED,
            "expected the key %.128s, which %s's own file begins with, to be one that may encrypt, found that it is %s",
            first->name, name, found);
    return kt_error_hint(err,
                         "give %s a new one: %s secrets-encrypt prepare, a restart, %s secrets-encrypt rotate, a "
                         "restart, each on all servers; then run this again",
                         name, name, name);
}

static bool is_archived(const struct kt_keyring_info *info, const struct kt_own_first *first)
{
    for (size_t i = 0; i < info->n_archive; i++)
        if (info->archive[i].type == first->type && strcmp(info->archive[i].name, first->name) == 0)
            return true;
    return false;
}

/* It is activated as the last one. */
static void move_to_the_end(struct kt_own_keys *keys, const struct kt_own_first *first)
{
    for (size_t i = 0; i + 1 < keys->n; i++) {
        if (keys->types[i] != first->type || strcmp(keys->names[i], first->name) != 0)
            continue;
        size_t last = keys->n - 1;
        struct kt_secret *bytes = keys->bytes[i];
        keys->types[i] = keys->types[last];
        memcpy(keys->names[i], keys->names[last], sizeof(keys->names[i]));
        keys->bytes[i] = keys->bytes[last];
        keys->types[last] = first->type;
        memcpy(keys->names[last], first->name, strlen(first->name) + 1);
        keys->bytes[last] = bytes;
    }
}

/* With it among them it is the prepared one at once. */
static bool import(struct kt_rotation *rotation, const char *file, struct kt_own_keys *keys,
                   const struct kt_own_first *first, struct kt_error *err)
{
    const struct kt_keyring_info *info = rotation->described.info;
    enum kt_stage stage = first->listed < info->n_keys ? 0 : KT_STAGE_PREPARE;
    uint64_t generation = info->generation + 1;
    move_to_the_end(keys, first);
    kt_progress_end(&rotation->progress);
    for (size_t i = 0; i < keys->n && !rotation->options->json; i++)
        fprintf(stderr, "keyturn: key %s (%s) of %s: to be taken into the keyring\n", KT_PRINTABLE(keys->names[i]),
                kt_key_type_text(keys->types[i]), KT_PRINTABLE(file));
    if (rotation->options->dry_run)
        return true;
    if (!kt_confirm(rotation->options, "Take them in?", err) || !kt_own_keys_import(&rotation->job, keys, stage, err))
        return false;
    kt_rotation_note(rotation, stage ? PREPARES : TAKES, generation);
    rotation->changed = true;
    return true;
}

/* It is listed, and was in use before. */
static bool prepare(struct kt_rotation *rotation, const struct kt_own_first *first, struct kt_error *err)
{
    const struct kt_keyring_info *info = rotation->described.info;
    const struct kt_key_info *key = &info->keys[first->listed];
    struct kt_edit list[3];
    struct kt_member_edits edits = {.list = list};
    size_t n = 0;
    bool wrote = false;
    if (key->superseded || key->state == KT_KEY_COMPROMISED)
        return fail_used_up(rotation, first, key->superseded ? "a superseded keyring's" : "compromised", err);
    if (rotation->options->dry_run)
        return true;
    bool was_last = first->listed == last_of(info) && key->state == KT_KEY_READY;
    list[0] = (struct kt_edit){.kind = KT_EDIT_STATE, .state = KT_KEY_READY};
    list[1] = (struct kt_edit){.kind = KT_EDIT_LAST};
    for (; !was_last && n < 2; n++)
        memcpy(list[n].id, key->id, sizeof(list[n].id));
    list[n++] = (struct kt_edit){.kind = KT_EDIT_STAGE, .stage = KT_STAGE_PREPARE};
    edits.n = n;
    if (!kt_rotation_write_edits(rotation, &edits, PREPARES, &wrote, err))
        return false;
    rotation->changed = rotation->changed || wrote;
    return true;
}

static bool begin(struct kt_rotation *rotation, const char *file, const struct kt_wanted *wanted,
                  const struct kt_own_first *first, struct kt_error *err)
{
    const struct kt_keyring_info *info = rotation->described.info;
    KT_CLEANUP_OWN_KEYS struct kt_own_keys keys = {.n = 0};
    if (!kt_own_keys_find_in(file, wanted, &keys, NULL, err))
        return false;
    if (is_archived(info, first))
        return fail_used_up(rotation, first, "archived", err);
    if (keys.n > 0)
        return import(rotation, file, &keys, first, err);
    return prepare(rotation, first, err);
}

/* Once it is active, the rotation to it is the one under way, and goes on. */
bool kt_rotation_take_distro(struct kt_rotation *rotation, bool *ret_took, struct kt_error *err)
{
    const struct kt_keyring_info *info = rotation->described.info;
    struct kt_own_first first;
    char file[PATH_MAX];
    kt_own_keys_file(rotation->look->host, file);
    if (file[0] == '\0' || access(file, F_OK) != 0)
        return fail_none(rotation, err);
    if (strcmp(rotation->look->config_file, file) == 0)
        return fail_in_force(file, err);
    KT_CLEANUP(kt_wanted_free_p) struct kt_wanted *wanted = kt_wanted_new(rotation->job.config, err);
    if (!wanted || !kt_own_keys_first(file, wanted, &first, err))
        return false;
    if (first.type == 0)
        return fail_plain(file, err);
    rotation->order.new_type = first.type;
    size_t target = info->stage == KT_STAGE_PREPARE ? last_of(info) : 0;
    bool rests = info->stage == KT_STAGE_START || info->stage == KT_STAGE_REENCRYPT_FINISHED;
    if (first.listed == target) {
        memcpy(rotation->order.rotating, info->keys[target].id, sizeof(rotation->order.rotating));
        return true;
    }
    if (!rests)
        return fail_other(&info->keys[target], &first, err);
    *ret_took = true;
    return begin(rotation, file, wanted, &first, err);
}

/* ---- retire ---- */

bool kt_rotation_keep_own(struct kt_rotation *rotation, bool *ret_none, struct kt_error *err)
{
    struct kt_next *next = &rotation->next;
    struct kt_own_first own;
    char file[PATH_MAX];
    size_t n = 0;
    *ret_none = false;
    kt_own_keys_file(rotation->look->host, file);
    if (next->step != KT_STEP_GENERATION || next->recipe != KT_RECIPE_ARCHIVE || file[0] == '\0' ||
        access(file, F_OK) != 0)
        return true;
    KT_CLEANUP(kt_wanted_free_p) struct kt_wanted *wanted = kt_wanted_new(rotation->job.config, err);
    if (!wanted || !kt_own_keys_first(file, wanted, &own, err))
        return false;
    const struct kt_keyring_info *info = wanted->answer.info;
    for (size_t i = 0; i < next->n_edits; i++) {
        size_t key = 0;
        while (key < info->n_keys && strcmp(info->keys[key].id, next->edits[i].id) != 0)
            key++;
        if (key == info->n_keys || (own.decrypts & UINT64_C(1) << key) == 0)
            next->edits[n++] = next->edits[i];
    }
    next->n_edits = n;
    *ret_none = n == 0;
    return true;
}
