/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/keeper_keys.h"

#include <inttypes.h>
#include <string.h>

void kt_keyset_free(struct kt_keyset *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < KT_LOADED_KEYS_MAX; i++)
        kt_cipher_free(set->keys[i].cipher);
    free(set->info);
    free(set);
}

/* Where the active key is an inline one, kube-apiserver stores nothing under ours, but reads nothing of what is stored
 * under them either before it has wrapped a seed once (k8s.io/apiserver, envelope/kmsv2: no state, no reads).
 * So then whatever can decrypt has to wrap too. */
static bool may_wrap(const struct kt_key_info *key, unsigned round)
{
    bool by_state = key->state == KT_KEY_ACTIVE || key->state == KT_KEY_READY;
    return key->type == KT_KEY_KMS && (round == 2 ? key->superseded : !key->superseded && (round == 1 || by_state));
}

/* The first in list order whose state lets it encrypt; else the first at all. */
static size_t choose(const struct kt_keyset *set)
{
    for (unsigned round = 0; round <= 2; round++) {
        for (size_t i = 0; i < set->info->n_keys; i++) {
            if (may_wrap(&set->info->keys[i], round))
                return i;
        }
    }
    return KT_NO_KEY;
}

static bool make_ciphers(struct kt_keyset *set, const struct kt_opener_answer *answer, struct kt_error *err)
{
    const struct kt_keyring_info *info = set->info;
    for (size_t i = 0; i < info->n_keys; i++) {
        if (info->keys[i].type != KT_KEY_KMS)
            continue;
        if (!answer->keys[i])
            return kt_fail(err, KT_E_INTERNAL, "the opener sent no bytes for key %s", info->keys[i].id);
        set->keys[i].cipher = kt_cipher_new(info->keyring_id, info->keys[i].id, answer->keys[i], err);
        if (!set->keys[i].cipher)
            return kt_error_prefix(err, "key %s", info->keys[i].id);
    }
    return true;
}

struct kt_keyset *kt_keyset_new(struct kt_opener_answer *answer, struct kt_error *err)
{
    if (!answer->info || answer->info->n_keys > KT_LOADED_KEYS_MAX || answer->n_notes > KT_NOTES_MAX) {
        (void)kt_fail(err, KT_E_INTERNAL, "the opener's answer is incomplete");
        return NULL;
    }
    KT_CLEANUP(kt_keyset_free_p) struct kt_keyset *set = calloc(1, sizeof(*set));
    if (!set) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    set->info = KT_TAKE_PTR(answer->info);
    set->below_floor = answer->below_floor;
    set->encrypts = set->below_floor ? KT_NO_KEY : choose(set);
    memcpy(set->notes, answer->notes, sizeof(set->notes));
    set->n_notes = answer->n_notes;
    if (!make_ciphers(set, answer, err)) {
        answer->info = KT_TAKE_PTR(set->info);
        return NULL;
    }
    return KT_TAKE_PTR(set);
}

static bool matches(const struct kt_keyset *set, size_t i, const char *id)
{
    return set->keys[i].cipher && memcmp(set->info->keys[i].id, id, KT_KEY_ID_LEN) == 0;
}

size_t kt_keyset_find(const struct kt_keyset *set, const char id[KT_KEY_ID_LEN])
{
    if (set->encrypts != KT_NO_KEY && matches(set, set->encrypts, id))
        return set->encrypts;
    for (size_t i = 0; i < set->info->n_keys; i++) {
        if (matches(set, i, id))
            return i;
    }
    return KT_NO_KEY;
}

static bool archived(const struct kt_keyring_info *info, const char *id)
{
    for (size_t i = 0; i < info->n_archive; i++) {
        if (strcmp(info->archive[i].id, id) == 0)
            return true;
    }
    return false;
}

static bool listed(const struct kt_keyring_info *info, const struct kt_key_info *key)
{
    for (size_t i = 0; i < info->n_keys; i++) {
        if (strcmp(info->keys[i].id, key->id) == 0)
            return info->keys[i].type == key->type &&
                   (key->type == KT_KEY_KMS || strcmp(info->keys[i].name, key->name) == 0);
    }
    return false;
}

static bool keeps(const struct kt_keyset *set, const struct kt_key_info *key, struct kt_error *err)
{
    if (listed(set->info, key) || archived(set->info, key->id))
        return true;
    (void)kt_fail(err, KT_E_KEYRING_LOSES_KEY,
                  "generation %" PRIu64 " neither lists nor archives key %s, which the one that is served has",
                  set->info->generation, key->id);
    return kt_error_hint(err, "what is served could not be kept in superseded/: journalctl -u keyturnd says why; "
                              "mend that and try again");
}

/* Keys that are not served from here, inline ones, count too. Where the old keyring is kept in superseded/, the opener
 * has appended what is listed there. */
static bool keeps_keys(const struct kt_keyset *set, const struct kt_keyset *old, struct kt_error *err)
{
    for (size_t i = 0; i < old->info->n_keys; i++) {
        if (!keeps(set, &old->info->keys[i], err))
            return false;
    }
    return true;
}

bool kt_keyset_idle(const struct kt_keyset *set)
{
    return set->encrypts == KT_NO_KEY && !set->below_floor;
}

bool kt_keyset_same(const struct kt_keyset *set, const struct kt_keyset *old)
{
    return set->below_floor == old->below_floor && memcmp(set->info->hash, old->info->hash, KT_HASH_LEN) == 0;
}

bool kt_keyset_follows(const struct kt_keyset *set, const struct kt_keyset *old, struct kt_error *err)
{
    const struct kt_keyring_info *new_info = set->info;
    const struct kt_keyring_info *old_info = old->info;
    int order =
        kt_keyring_compare(new_info->membership, new_info->generation, old_info->membership, old_info->generation);
    if (order < 0)
        return kt_fail(err, KT_E_KEYRING_OLDER,
                       "membership %" PRIu64 ", generation %" PRIu64 " is older than the one that is served: %" PRIu64
                       ", %" PRIu64,
                       new_info->membership, new_info->generation, old_info->membership, old_info->generation);
    /* One that is served decrypt only may itself be the fork: the opener has held the new one against the floor. */
    if (order == 0 && !old->below_floor && memcmp(new_info->hash, old_info->hash, KT_HASH_LEN) != 0)
        return kt_fail(err, KT_E_KEYRING_FORK,
                       "another keyring of membership %" PRIu64 ", generation %" PRIu64 " is served",
                       old_info->membership, old_info->generation);
    return keeps_keys(set, old, err);
}
