/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "keystore/key_name.h"
#include "keystore/keyring_internal.h"

#include <string.h>

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

static bool find_listed(const struct kt_edit_on *on, const struct kt_edit *edit, size_t *ret, struct kt_error *err)
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
static bool find_inactive(const struct kt_edit_on *on, const struct kt_edit *edit, size_t *ret, struct kt_error *err)
{
    if (!find_listed(on, edit, ret, err))
        return false;
    if (on->draft->info.keys[*ret].state != KT_KEY_ACTIVE)
        return true;
    kt_fail(err, KT_E_REFUSED, "key %s is the active one: expected a key that is not", edit->id);
    return refuse_hint(err, "make another key active first (keyturn rotate)");
}

/* Under the name of a key that is listed, or archived and still in some backup, kube-apiserver would try the wrong one:
 * AES-CBC alone does not tell that it is. A kms key's name is nowhere in what is stored. */
static bool check_name(const struct kt_keyring_info *info, const struct kt_edit *edit, struct kt_error *err)
{
    bool is_inline = edit->type != KT_KEY_KMS;
    for (size_t i = 0; i < info->n_keys + info->n_archive; i++) {
        bool listed = i < info->n_keys;
        const struct kt_archived_info *archived = listed ? NULL : &info->archive[i - info->n_keys];
        enum kt_key_type type = listed ? info->keys[i].type : archived->type;
        const char *name = listed ? info->keys[i].name : archived->name;
        bool same = strcmp(name, edit->name) == 0;
        if (type != edit->type || !(same || (is_inline && kt_key_names_clash(name, edit->name))))
            continue;
        if (same)
            kt_fail(err, KT_E_EXISTS, "expected a name that no key of type %s has, found that of the %s key %s",
                    kt_key_type_text(type), listed ? "listed" : "archived", listed ? info->keys[i].id : archived->id);
        else
            kt_fail(err, KT_E_REFUSED,
                    "expected a name that is no other one's beginning up to a ':', nor the other way round, found that "
                    "with the %s key %s: kube-apiserver would try both keys",
                    listed ? "listed" : "archived", listed ? info->keys[i].id : archived->id);
        return refuse_hint(err, listed ? "choose another name"
                                       : "choose another name; what was stored under that one needs the archived key");
    }
    return true;
}

static bool check_added(const struct kt_keyring_info *info, const struct kt_edit *edit, struct kt_error *err)
{
    if (edit->type < KT_KEY_KMS || edit->type > KT_KEY_SECRETBOX)
        return kt_fail(err, KT_E_REFUSED, "expected a key type that this release knows, found number %d",
                       (int)edit->type);
    if (!kt_key_name_valid(edit->name))
        return kt_fail(err, KT_E_REFUSED, "expected a key name of " KT_KEY_NAME_RULE ", found another");
    if (!check_name(info, edit, err))
        return false;
    if (info->n_keys == KT_KEYS_MAX)
        return kt_fail(err, KT_E_REFUSED, "expected fewer than %u listed keys, found so many already", KT_KEYS_MAX) ||
               refuse_hint(err, "retire keys that nothing is stored under any more (keyturn retire)");
    return true;
}

/* Takes the bytes. */
static bool append(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_secret *bytes,
                   struct kt_error *err)
{
    struct kt_keyring_info *info = &on->draft->info;
    struct kt_key_info key = {.type = edit->type, .state = KT_KEY_READY, .created = on->over->now};
    if (!bytes)
        return false;
    if (!make_id(info, key.id, err)) {
        kt_secret_free(bytes);
        return false;
    }
    memcpy(key.name, edit->name, sizeof key.name);
    info->keys[info->n_keys++] = key;
    on->keys->bytes[on->keys->n++] = bytes;
    return true;
}

bool kt_edit_apply_add(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    return check_added(&on->draft->info, edit, err) && append(on, edit, kt_secret_new_random(KT_KEY_BYTES, err), err);
}

static bool check_bytes(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    const struct kt_secret *bytes = on->over->imported;
    if (!bytes)
        return kt_fail(err, KT_E_REFUSED, "expected the key's bytes with it, found none");
    if (!kt_key_len_valid(edit->type, kt_secret_len(bytes)))
        return kt_fail(err, KT_E_REFUSED, "expected a key of %s bytes for the type %s, found %zu",
                       kt_key_len_valid(edit->type, 16) ? "16, 24 or 32" : "32", kt_key_type_text(edit->type),
                       kt_secret_len(bytes));
    for (size_t i = 0; i < on->keys->n; i++)
        if (kt_secret_equal(on->keys->bytes[i], bytes))
            return kt_fail(err, KT_E_EXISTS, "expected a key that is not in the list, found the bytes of key %s",
                           on->draft->info.keys[i].id) ||
                   refuse_hint(err, "keyturn key list shows the names; nothing has to be imported twice");
    return true;
}

bool kt_edit_apply_import(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    const struct kt_secret *bytes = on->over->imported;
    if (on->draft->info.stage == KT_STAGE_PREPARE) {
        kt_fail(err, KT_E_REFUSED,
                "expected no rotation to be prepared, found the stage %s: its last key is the one that "
                "will be made active",
                kt_stage_text(KT_STAGE_PREPARE));
        return refuse_hint(err, "finish the rotation first, or take it back: keyturn prepare --cancel");
    }
    return check_added(&on->draft->info, edit, err) && check_bytes(on, edit, err) &&
           append(on, edit, kt_secret_new_copy(kt_secret_view(bytes), kt_secret_len(bytes), err), err);
}

bool kt_edit_apply_activate(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
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

static bool has_younger(const struct kt_keyring_info *info, const struct kt_key_info *key)
{
    for (size_t i = 0; i < info->n_keys; i++)
        if (info->keys[i].created > key->created)
            return true;
    return false;
}

/* The youngest in the last place would pass for one that never encrypted (never_encrypted). */
bool kt_edit_apply_last(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    struct kt_keyring_info *info = &on->draft->info;
    size_t i = 0;
    if (!find_inactive(on, edit, &i, err))
        return false;
    struct kt_key_info key = info->keys[i];
    struct kt_secret *bytes = on->keys->bytes[i];
    size_t after = info->n_keys - i - 1;
    if (key.state != KT_KEY_READY)
        return kt_fail(err, KT_E_REFUSED, "key %s is %s: expected a ready key", key.id, kt_key_state_text(key.state));
    if (!has_younger(info, &key))
        return kt_fail(err, KT_E_REFUSED, "key %s is the youngest: expected one that is older than another", key.id);
    memmove(&info->keys[i], &info->keys[i + 1], after * sizeof info->keys[0]);
    memmove(&on->keys->bytes[i], &on->keys->bytes[i + 1], after * sizeof(struct kt_secret *));
    info->keys[info->n_keys - 1] = key;
    on->keys->bytes[on->keys->n - 1] = bytes;
    return true;
}

bool kt_edit_apply_state(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
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
        key->retiring_since = on->over->now; /* set again, it would begin the hold anew */
    key->state = edit->state;
    return true;
}

static void take_off_list(const struct kt_edit_on *on, size_t i)
{
    struct kt_keyring_info *info = &on->draft->info;
    size_t after = info->n_keys - i - 1;
    kt_secret_free(on->keys->bytes[i]);
    memmove(&info->keys[i], &info->keys[i + 1], after * sizeof info->keys[0]);
    memmove(&on->keys->bytes[i], &on->keys->bytes[i + 1], after * sizeof(struct kt_secret *));
    info->n_keys--;
    on->keys->bytes[--on->keys->n] = NULL;
}

/* What the keyring that is changed can tell of a key's past: one that was active is not in the last place, or has
 * younger ones before it, or the rotation has gone on to another stage. */
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

/* An API server that was paused may still write with what it has, for so long. A change cannot shorten it for itself.
 */
static uint64_t hold_of(const struct kt_edit_on *on)
{
    uint64_t before = on->over->before ? on->over->before->hold : 0;
    return on->draft->info.hold > before ? on->draft->info.hold : before;
}

static bool may_archive(const struct kt_edit_on *on, const struct kt_key_info *key, struct kt_error *err)
{
    char since[KT_TIME_LEN] = "";
    char until[KT_TIME_LEN] = "";
    if (key->state == KT_KEY_READY && never_encrypted(on->over->before, key->id))
        return true;
    if (key->state != KT_KEY_RETIRING) {
        kt_fail(err, KT_E_REFUSED,
                "key %s is %s: expected one that is retiring, or the youngest, last and ready in the "
                "stage %s, which never encrypted",
                key->id, kt_key_state_text(key->state), kt_stage_text(KT_STAGE_PREPARE));
        return refuse_hint(err, "something may be stored under it: keyturn reencrypt makes it retiring");
    }
    if (key->retiring_since + hold_of(on) <= on->over->now)
        return true;
    kt_time_format(key->retiring_since, since);
    kt_time_format(key->retiring_since + hold_of(on), until);
    kt_fail(err, KT_E_REFUSED,
            "key %s is retiring since %s: expected its hold of %llu seconds to be over, which ends "
            "at %s",
            key->id, since, (unsigned long long)hold_of(on), until);
    return refuse_hint(err, "an API server that was paused may still write with it: keyturn retire, later");
}

bool kt_edit_apply_archive(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    struct kt_keyring_info *info = &on->draft->info;
    size_t i = 0;
    if (!find_inactive(on, edit, &i, err))
        return false;
    if (info->n_archive == KT_ARCHIVE_MAX)
        return kt_fail(err, KT_E_REFUSED, "the archive is full: expected fewer than %u keys in it", KT_ARCHIVE_MAX);
    const struct kt_key_info *key = &info->keys[i];
    if (!may_archive(on, key, err))
        return false;
    struct kt_archived_info archived = {.type = key->type, .created = key->created, .retired = on->over->now};
    memcpy(archived.id, key->id, sizeof archived.id);
    memcpy(archived.name, key->name, sizeof archived.name);
    if (!kt_keyring_seal_archived(on->draft, key, on->keys->bytes[i], &on->draft->archive[info->n_archive], err))
        return false;
    info->archive[info->n_archive++] = archived;
    take_off_list(on, i);
    return true;
}
