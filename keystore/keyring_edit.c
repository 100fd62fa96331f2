/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/keyring_internal.h"

#include <string.h>

/* What an edit works on. */
struct edit_on {
    struct kt_keyring *draft;
    struct kt_keyring_keys *keys;
    const struct kt_keyring_info *before; /* NULL: a keyring is founded */
    uint64_t now;
};

static bool refuse_hint(struct kt_error *err, const char *hint)
{
    return kt_error_hint(err, "%s", hint);
}

static bool id_is_known(const struct kt_keyring_info *info, const char *id)
{
    if (kt_keyring_find_key(info, id) < info->n_keys)
        return true;
    for (size_t i = 0; i < info->n_archive; i++)
        if (strcmp(info->archive[i].id, id) == 0)
            return true;
    return false;
}

static bool make_id(const struct kt_keyring_info *info, char ret[KT_KEY_ID_LEN + 1], struct kt_error *err)
{
    do {
        uint8_t bytes[KT_KEY_ID_LEN / 2] = {0};
        if (!kt_random(bytes, sizeof bytes, err))
            return false;
        kt_hex_encode(KT_SLICE(bytes, sizeof bytes), ret);
    } while (id_is_known(info, ret));
    return true;
}

static bool find_listed(const struct edit_on *on, const struct kt_edit *edit, size_t *ret, struct kt_error *err)
{
    size_t i = kt_keyring_find_key(&on->draft->info, edit->id);
    if (i == on->draft->info.n_keys) {
        kt_fail(err, KT_E_REFUSED, "expected the id of a listed key, found one that is %s",
                id_is_known(&on->draft->info, edit->id) ? "archived" : "neither listed nor archived");
        return refuse_hint(err, "keyturn key list shows the ids");
    }
    *ret = i;
    return true;
}

/* The active key is the one that every edit but activate must leave alone. */
static bool find_inactive(const struct edit_on *on, const struct kt_edit *edit, size_t *ret, struct kt_error *err)
{
    if (!find_listed(on, edit, ret, err))
        return false;
    if (on->draft->info.keys[*ret].state != KT_KEY_ACTIVE)
        return true;
    kt_fail(err, KT_E_REFUSED, "key %s is the active one: expected a key that is not", edit->id);
    return refuse_hint(err, "make another key active first (keyturn rotate)");
}

static bool check_added(const struct kt_keyring_info *info, const struct kt_edit *edit, struct kt_error *err)
{
    if (edit->type < KT_KEY_KMS || edit->type > KT_KEY_SECRETBOX)
        return kt_fail(err, KT_E_REFUSED, "expected a key type that this release knows, found number %d",
                       (int)edit->type);
    if (!kt_key_name_valid(edit->name))
        return kt_fail(err, KT_E_REFUSED, "expected a key name of 1 to %u of a-z A-Z 0-9 . - _ :, found another",
                       KT_NAME_MAX);
    for (size_t i = 0; i < info->n_keys; i++)
        if (strcmp(info->keys[i].name, edit->name) == 0)
            return kt_fail(err, KT_E_REFUSED, "expected a name that no listed key has, found the name of key %s",
                           info->keys[i].id) ||
                   refuse_hint(err, "choose another name");
    if (info->n_keys == KT_KEYS_MAX)
        return kt_fail(err, KT_E_REFUSED, "expected fewer than %u listed keys, found so many already", KT_KEYS_MAX) ||
               refuse_hint(err, "retire keys that nothing is stored under any more (keyturn retire)");
    return true;
}

static bool apply_add(const struct edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    struct kt_keyring_info *info = &on->draft->info;
    struct kt_key_info key = {.type = edit->type, .state = KT_KEY_READY, .created = on->now};
    if (!check_added(info, edit, err) || !make_id(info, key.id, err))
        return false;
    memcpy(key.name, edit->name, sizeof key.name);
    struct kt_secret *bytes = kt_secret_new_random(KT_KEY_BYTES, err);
    if (!bytes)
        return false;
    info->keys[info->n_keys++] = key;
    on->keys->bytes[on->keys->n++] = bytes;
    return true;
}

static bool apply_activate(const struct edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    struct kt_keyring_info *info = &on->draft->info;
    size_t i = 0;
    if (!find_listed(on, edit, &i, err))
        return false;
    if (info->keys[i].state != KT_KEY_READY)
        return kt_fail(err, KT_E_REFUSED, "key %s is %s: expected a ready key to make active", edit->id,
                       kt_key_state_text(info->keys[i].state));
    struct kt_key_info key = info->keys[i];
    struct kt_secret *bytes = on->keys->bytes[i];
    info->keys[0].state = KT_KEY_READY;
    memmove(&info->keys[1], &info->keys[0], i * sizeof info->keys[0]);
    memmove(&on->keys->bytes[1], &on->keys->bytes[0], i * sizeof(struct kt_secret *));
    key.state = KT_KEY_ACTIVE;
    info->keys[0] = key;
    on->keys->bytes[0] = bytes;
    return true;
}

static bool apply_state(const struct edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    size_t i = 0;
    if (edit->state != KT_KEY_READY && edit->state != KT_KEY_RETIRING && edit->state != KT_KEY_COMPROMISED)
        return kt_fail(err, KT_E_REFUSED, "expected the state ready, retiring or compromised, found %s",
                       kt_key_state_text(edit->state));
    if (!find_inactive(on, edit, &i, err))
        return false;
    struct kt_key_info *key = &on->draft->info.keys[i];
    if (edit->state != KT_KEY_RETIRING)
        key->retiring_since = 0;
    else if (key->state != KT_KEY_RETIRING)
        key->retiring_since = on->now; /* set again, it would begin the hold anew */
    key->state = edit->state;
    return true;
}

static void take_off_list(const struct edit_on *on, size_t i)
{
    struct kt_keyring_info *info = &on->draft->info;
    size_t after = info->n_keys - i - 1;
    kt_secret_free(on->keys->bytes[i]);
    memmove(&info->keys[i], &info->keys[i + 1], after * sizeof info->keys[0]);
    memmove(&on->keys->bytes[i], &on->keys->bytes[i + 1], after * sizeof(struct kt_secret *));
    info->n_keys--;
    on->keys->bytes[--on->keys->n] = NULL;
}

static bool apply_archive(const struct edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    struct kt_keyring_info *info = &on->draft->info;
    size_t i = 0;
    if (!find_inactive(on, edit, &i, err))
        return false;
    if (info->n_archive == KT_ARCHIVE_MAX)
        return kt_fail(err, KT_E_REFUSED, "the archive is full: expected fewer than %u keys in it", KT_ARCHIVE_MAX);
    const struct kt_key_info *key = &info->keys[i];
    struct kt_archived_info archived = {.type = key->type, .created = key->created, .retired = on->now};
    memcpy(archived.id, key->id, sizeof archived.id);
    memcpy(archived.name, key->name, sizeof archived.name);
    if (!kt_keyring_seal_archived(on->draft, key, on->keys->bytes[i], &on->draft->archive[info->n_archive], err))
        return false;
    info->archive[info->n_archive++] = archived;
    take_off_list(on, i);
    return true;
}

/* A key that has encrypted must not be lost: what the keyring that is changed can tell of its past. A key that was
 * active is not in the last place, or has younger ones before it, or the rotation has gone on to another stage. */
static bool never_encrypted(const struct kt_keyring_info *before, const char *id)
{
    size_t i = before ? kt_keyring_find_key(before, id) : 0;
    if (!before || before->stage != KT_STAGE_PREPARE || i + 1 != before->n_keys)
        return false;
    for (size_t other = 0; other < i; other++)
        if (before->keys[other].created > before->keys[i].created)
            return false;
    return before->keys[i].state == KT_KEY_READY;
}

static bool apply_drop(const struct edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    size_t i = 0;
    if (!find_inactive(on, edit, &i, err))
        return false;
    if (on->draft->info.keys[i].state != KT_KEY_READY) {
        kt_fail(err, KT_E_REFUSED, "key %s is %s: expected a ready key, that never encrypted, to drop", edit->id,
                kt_key_state_text(on->draft->info.keys[i].state));
        return refuse_hint(err, "a key that has encrypted is archived, never dropped (keyturn retire)");
    }
    if (!never_encrypted(on->before, edit->id)) {
        kt_fail(err, KT_E_REFUSED,
                "key %s may have encrypted: expected the youngest key, last and ready, in the stage %s", edit->id,
                kt_stage_text(KT_STAGE_PREPARE));
        return refuse_hint(err, "a key that has encrypted is archived, never dropped (keyturn retire)");
    }
    take_off_list(on, i);
    return true;
}

static bool apply_stage(const struct edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    if (edit->stage < KT_STAGE_START || edit->stage > KT_STAGE_REENCRYPT_FINISHED)
        return kt_fail(err, KT_E_REFUSED, "expected a stage that this release knows, found number %d",
                       (int)edit->stage);
    on->draft->info.stage = edit->stage;
    return true;
}

static bool apply_enabled(const struct edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    (void)err;
    on->draft->info.enabled = edit->flag;
    return true;
}

static const struct {
    enum kt_edit_kind kind;
    const char *name;
    bool (*apply)(const struct edit_on *on, const struct kt_edit *edit, struct kt_error *err);
} EDITS[] = {
    {KT_EDIT_ADD, "add a key", apply_add},
    {KT_EDIT_ACTIVATE, "make a key active", apply_activate},
    {KT_EDIT_STATE, "set a key's state", apply_state},
    {KT_EDIT_ARCHIVE, "archive a key", apply_archive},
    {KT_EDIT_DROP, "drop a key", apply_drop},
    {KT_EDIT_STAGE, "set the stage", apply_stage},
    {KT_EDIT_ENABLED, "enable or disable", apply_enabled},
};

bool kt_keyring_edit(struct kt_keyring *draft, struct kt_keyring_keys *keys, const struct kt_edit *edit,
                     const struct kt_edit_over *over, struct kt_error *err)
{
    const struct edit_on on = {.draft = draft, .keys = keys, .before = over->before, .now = over->now};
    for (size_t i = 0; i < KT_ARRAY_LEN(EDITS); i++)
        if (EDITS[i].kind == edit->kind)
            return EDITS[i].apply(&on, edit, err) || kt_error_prefix(err, "%s", EDITS[i].name);
    return kt_fail(err, KT_E_REFUSED, "expected an edit that this release knows, found number %d", (int)edit->kind);
}
