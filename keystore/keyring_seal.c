/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/keyring_internal.h"

#include <assert.h>
#include <string.h>

static bool wrap(const struct kt_secret *keyring_key, const struct kt_aad *aad, const struct kt_secret *bytes,
                 struct kt_wrapped *ret, struct kt_error *err)
{
    size_t len = kt_secret_len(bytes);
    assert(len <= KT_KEY_BYTES);
    if (!kt_random(ret->bytes, KT_GCM_NONCE, err) ||
        !kt_gcm_seal(keyring_key, ret->bytes, kt_aad_view(aad), KT_SLICE(kt_secret_view(bytes), len),
                     ret->bytes + KT_GCM_NONCE, err))
        return false;
    ret->len = KT_GCM_NONCE + len + KT_GCM_TAG;
    return true;
}

static bool wrap_keys(struct kt_keyring *draft, const struct kt_keyring_keys *keys, struct kt_error *err)
{
    assert(keys->n == draft->info.n_keys);
    for (size_t i = 0; i < keys->n; i++) {
        struct kt_aad aad = {0};
        kt_aad_key(draft, &draft->info.keys[i], &aad);
        if (!wrap(keys->keyring_key, &aad, keys->bytes[i], &draft->keys[i], err))
            return false;
    }
    return true;
}

static bool wrap_fixed(struct kt_keyring *draft, const struct kt_keyring_keys *keys, struct kt_error *err)
{
    struct kt_aad aad = {0};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *scalar = kt_p256_scalar(keys->signer, err);
    if (!scalar)
        return false;
    kt_aad_signer_key(draft, &aad);
    if (!wrap(keys->keyring_key, &aad, scalar, &draft->signer_key, err))
        return false;
    kt_aad_status_key(draft, &aad);
    return wrap(keys->keyring_key, &aad, keys->status_key, &draft->status_key, err);
}

static bool seal_to(const uint8_t public_key[KT_P256_PUBLIC], const struct kt_aad *info, const struct kt_secret *bytes,
                    uint8_t *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *recipient = kt_p256_from_public(public_key, err);
    return recipient && kt_hpke_seal(recipient, kt_aad_view(info), KT_SLICE(NULL, 0), bytes, ret, err);
}

static bool make_wraps(struct kt_keyring *draft, const struct kt_keyring_keys *keys, struct kt_error *err)
{
    draft->n_wraps = draft->info.n_recipients;
    for (size_t i = 0; i < draft->n_wraps; i++) {
        struct kt_aad info = {0};
        const char *name = draft->info.recipients[i].name;
        kt_aad_wrap(draft, name, &info);
        memcpy(draft->wrap_names[i], name, sizeof draft->wrap_names[i]);
        if (!seal_to(draft->recipients[i], &info, keys->keyring_key, draft->wraps[i], err))
            return false;
    }
    return true;
}

bool kt_keyring_seal(struct kt_keyring *draft, struct kt_keyring_keys *keys, struct kt_error *err)
{
    struct kt_secret *fresh = kt_secret_new_random(KT_KEY_BYTES, err);
    if (!fresh)
        return false;
    kt_secret_free(keys->keyring_key);
    keys->keyring_key = fresh;
    return kt_keyring_commit(draft, fresh, draft->commitment, err) && wrap_keys(draft, keys, err) &&
           wrap_fixed(draft, keys, err) && make_wraps(draft, keys, err);
}

bool kt_keyring_seal_archived(const struct kt_keyring *draft, const struct kt_key_info *key,
                              const struct kt_secret *bytes, struct kt_sealed *ret, struct kt_error *err)
{
    struct kt_aad info = {0};
    size_t recovery = kt_keyring_find_recovery(&draft->info);
    assert(recovery < draft->info.n_recipients && kt_secret_len(bytes) <= KT_KEY_BYTES);
    kt_aad_archive(draft, key->id, key->type, &info);
    if (!seal_to(draft->recipients[recovery], &info, bytes, ret->bytes, err))
        return false;
    ret->len = kt_secret_len(bytes) + KT_HPKE_OVERHEAD;
    return true;
}

struct kt_secret *kt_keyring_open_archived(const struct kt_keyring *keyring, size_t index,
                                           const struct kt_p256 *recovery, struct kt_error *err)
{
    const struct kt_archived_info *archived = &keyring->info.archive[index];
    const struct kt_sealed *sealed = &keyring->archive[index];
    struct kt_aad info = {0};
    kt_aad_archive(keyring, archived->id, archived->type, &info);
    return kt_hpke_open(recovery, kt_aad_view(&info), KT_SLICE(NULL, 0), KT_SLICE(sealed->bytes, sealed->len), err);
}

static bool reseal_one(struct kt_keyring *draft, size_t i, const struct kt_p256 *old, size_t *lost,
                       struct kt_error *err)
{
    const struct kt_archived_info *archived = &draft->info.archive[i];
    struct kt_key_info key = {.type = archived->type};
    struct kt_error why = KT_ERROR_INIT;
    memcpy(key.id, archived->id, sizeof key.id);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *bytes = kt_keyring_open_archived(draft, i, old, &why);
    if (!bytes && why.code != KT_E_CRYPTO)
        return kt_error_copy(err, &why);
    if (bytes)
        return kt_keyring_seal_archived(draft, &key, bytes, &draft->archive[i], err);
    (*lost)++;
    return true;
}

bool kt_keyring_reseal_archive(struct kt_keyring *draft, const struct kt_p256 *old, size_t *ret_lost,
                               struct kt_error *err)
{
    size_t lost = 0;
    for (size_t i = 0; i < draft->info.n_archive; i++)
        if (!reseal_one(draft, i, old, &lost, err))
            return false;
    *ret_lost = lost;
    return true;
}
