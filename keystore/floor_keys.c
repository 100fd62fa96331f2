/* SPDX-License-Identifier: Apache-2.0 */
/* Apart from floor.c, so that the keeper, which needs the floor, does not link what opens keyrings. */
#include "keystore/floor.h"

#include <string.h>

/* One key as one side knows it. bytes: NULL if it is archived there, or was not opened. */
struct known {
    enum kt_key_type type; /* names the algorithm too: in format 1 each type has one */
    const char *name;
    const struct kt_secret *bytes;
};

static bool find_known(const struct kt_floor_side *side, const char *id, struct known *ret)
{
    const struct kt_keyring_info *info = side->info;
    for (size_t i = 0; i < info->n_keys; i++)
        if (strcmp(info->keys[i].id, id) == 0) {
            *ret = (struct known){
                .type = info->keys[i].type, .name = info->keys[i].name, .bytes = kt_keyring_keys_bytes(side->keys, i)};
            return true;
        }
    for (size_t i = 0; i < info->n_archive; i++)
        if (strcmp(info->archive[i].id, id) == 0) {
            *ret = (struct known){.type = info->archive[i].type, .name = info->archive[i].name};
            return true;
        }
    return false;
}

static bool loses(struct kt_error *err, const char *id, const char *what)
{
    kt_fail(err, KT_E_KEYRING_LOSES_KEY, "the keyring would lose key %s: it has another %s under that id", id, what);
    return kt_error_hint(err,
                         "do not install it: what is stored under that key could not be read any more; find out who "
                         "wrote this keyring");
}

static bool check_id(const struct kt_floor_side *before, const struct kt_floor_side *after, const char *id, bool *keep,
                     struct kt_error *err)
{
    struct known was = {0};
    struct known is = {0};
    if (!find_known(before, id, &was))
        return kt_fail(err, KT_E_INTERNAL, "a listed key is not found by its id");
    if (!find_known(after, id, &is)) {
        *keep = true;
        return true;
    }
    if (is.type != was.type)
        return loses(err, id, "type and algorithm");
    if (is.type != KT_KEY_KMS && strcmp(is.name, was.name) != 0)
        return loses(err, id, "name, which is part of what is stored under it,");
    if (is.bytes && was.bytes && !kt_secret_equal(is.bytes, was.bytes))
        return loses(err, id, "key");
    return true;
}

bool kt_floor_check_keys(const struct kt_floor_side *before, const struct kt_floor_side *after, bool *ret_keep,
                         struct kt_error *err)
{
    bool keep = false;
    for (size_t i = 0; i < before->info->n_keys; i++)
        if (!check_id(before, after, before->info->keys[i].id, &keep, err))
            return false;
    for (size_t i = 0; i < before->info->n_archive; i++)
        if (!check_id(before, after, before->info->archive[i].id, &keep, err))
            return false;
    *ret_keep = keep;
    return true;
}
