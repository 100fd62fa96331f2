/* SPDX-License-Identifier: Apache-2.0 */
/* The way back out of the archive, for what a backup of the store was written under. */
#include "keystore/keyring_internal.h"

#include <string.h>

static size_t find_archived(const struct kt_keyring_info *info, const char *id)
{
    size_t i = 0;
    while (i < info->n_archive && strcmp(info->archive[i].id, id) != 0)
        i++;
    return i;
}

static bool check(const struct kt_keyring_info *info, const struct kt_edit *edit, size_t at, struct kt_error *err)
{
    if (at == info->n_archive) {
        kt_fail(err, KT_E_REFUSED, "expected the id of an archived key, found one that is %s",
                kt_keyring_find_key(info, edit->id) < info->n_keys ? "listed" : "neither listed nor archived");
        return kt_error_hint(err, "keyturn census --snapshot FILE tells which keys a backup needs, and where they are");
    }
    const struct kt_archived_info *archived = &info->archive[at];
    for (size_t i = 0; i < info->n_keys; i++)
        if (info->keys[i].type == archived->type && strcmp(info->keys[i].name, archived->name) == 0)
            return kt_fail(err, KT_E_REFUSED, "key %s: its name is that of the listed key %s, of the same type",
                           archived->id, info->keys[i].id);
    if (info->n_keys < KT_KEYS_MAX)
        return true;
    kt_fail(err, KT_E_REFUSED, "expected fewer than %u listed keys, found so many already", KT_KEYS_MAX);
    return kt_error_hint(err, "retire keys that nothing is stored under any more (keyturn retire)");
}

static struct kt_secret *open_it(const struct kt_edit_on *on, size_t at, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    struct kt_secret *bytes =
        on->over->opened_with ? kt_keyring_open_archived(on->draft, at, on->over->opened_with, &why) : NULL;
    if (bytes)
        return bytes;
    if (why.code != KT_OK && why.code != KT_E_CRYPTO) {
        (void)kt_error_copy(err, &why);
        return NULL;
    }
    (void)kt_fail(err, KT_E_REFUSED, "key %s does not open: expected one that is sealed to the present recovery key",
                  on->draft->info.archive[at].id);
    (void)kt_error_hint(err, "what was archived before a recovery key was lost opens with the lost one alone");
    return NULL;
}

/* The last place is that of the key that will be made active, in stage prepare; the first that of the active one. */
static size_t place_of(const struct kt_keyring_info *info)
{
    return info->stage == KT_STAGE_PREPARE && info->n_keys > 1 ? info->n_keys - 1 : info->n_keys;
}

static void put(const struct kt_edit_on *on, size_t archived_at, struct kt_secret *bytes)
{
    struct kt_keyring_info *info = &on->draft->info;
    const struct kt_archived_info *archived = &info->archive[archived_at];
    struct kt_key_info key = {.type = archived->type,
                              .state = KT_KEY_RETIRING,
                              .created = archived->created,
                              .retiring_since = on->over->now};
    size_t at = place_of(info);
    memcpy(key.id, archived->id, sizeof key.id);
    memcpy(key.name, archived->name, sizeof key.name);
    memmove(&info->keys[at + 1], &info->keys[at], (info->n_keys - at) * sizeof info->keys[0]);
    memmove(&on->keys->bytes[at + 1], &on->keys->bytes[at], (info->n_keys - at) * sizeof(struct kt_secret *));
    info->keys[at] = key;
    on->keys->bytes[at] = bytes;
    info->n_keys++;
    on->keys->n++;
}

static void take_out(struct kt_keyring *draft, size_t at)
{
    struct kt_keyring_info *info = &draft->info;
    size_t after = info->n_archive - at - 1;
    memmove(&info->archive[at], &info->archive[at + 1], after * sizeof info->archive[0]);
    memmove(&draft->archive[at], &draft->archive[at + 1], after * sizeof draft->archive[0]);
    info->n_archive--;
}

bool kt_edit_apply_restore(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    size_t at = find_archived(&on->draft->info, edit->id);
    if (!check(&on->draft->info, edit, at, err))
        return false;
    struct kt_secret *bytes = open_it(on, at, err);
    if (!bytes)
        return false;
    put(on, at, bytes);
    take_out(on->draft, at);
    return true;
}
