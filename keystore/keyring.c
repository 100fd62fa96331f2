/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/keyring_internal.h"

#include <assert.h>
#include <string.h>

struct kt_keyring *kt_keyring_new(struct kt_error *err)
{
    struct kt_keyring *keyring = calloc(1, sizeof *keyring);
    if (!keyring)
        kt_fail(err, KT_E_NOMEM, "out of memory for a keyring");
    return keyring;
}

void kt_keyring_free(struct kt_keyring *keyring)
{
    if (!keyring)
        return;
    kt_bytes_done(&keyring->document);
    free(keyring);
}

const struct kt_keyring_info *kt_keyring_info(const struct kt_keyring *keyring)
{
    return &keyring->info;
}

const struct kt_audit_tail *kt_keyring_audit(const struct kt_keyring *keyring)
{
    return &keyring->audit;
}

struct kt_keyring_keys *kt_keyring_keys_new(struct kt_error *err)
{
    struct kt_keyring_keys *keys = calloc(1, sizeof *keys);
    if (!keys)
        kt_fail(err, KT_E_NOMEM, "out of memory for a keyring's keys");
    return keys;
}

void kt_keyring_keys_free(struct kt_keyring_keys *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < keys->n; i++)
        kt_secret_free(keys->bytes[i]);
    kt_secret_free(keys->keyring_key);
    kt_secret_free(keys->status_key);
    kt_p256_free(keys->signer);
    kt_p256_free(keys->own);
    free(keys);
}

const struct kt_secret *kt_keyring_keys_bytes(const struct kt_keyring_keys *keys, size_t index)
{
    assert(index < keys->n);
    return keys->bytes[index];
}

struct kt_p256 *kt_keyring_copy_pair(const struct kt_p256 *pair, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *scalar = kt_p256_scalar(pair, err);
    return scalar ? kt_p256_from_scalar(scalar, err) : NULL;
}

#define HINT_OPEN                                                                                                     \
    "if this node's key was replaced, have it join again (keyturn node request); else copy the keyring again from a " \
    "node that serves it"

static bool not_open(struct kt_error *err, const char *what)
{
    kt_fail(err, KT_E_KEYRING_OPEN, "the keyring is signed but does not open: %s", what);
    return kt_error_hint(err, HINT_OPEN);
}

/* Memory that ran out says nothing about the keyring, and may be there the next time. */
static bool fail_open(struct kt_error *err, const struct kt_error *why, const char *what)
{
    return why->code == KT_E_CRYPTO ? not_open(err, what) : kt_error_copy(err, why);
}

static bool find_own(const struct kt_keyring *keyring, const struct kt_p256 *own, size_t *ret, struct kt_error *err)
{
    uint8_t public_key[KT_P256_PUBLIC] = {0};
    kt_p256_public(own, public_key);
    for (size_t i = 0; i < keyring->info.n_recipients; i++)
        if (memcmp(keyring->recipients[i], public_key, KT_P256_PUBLIC) == 0) {
            *ret = i;
            return true;
        }
    kt_fail(err, KT_E_KEYRING_RECIPIENT,
            "the keyring is not made for this key: expected its public half among the %zu recipients, found it nowhere",
            keyring->info.n_recipients);
    return kt_error_hint(err, "this node has not joined, was removed, or has a new key: have it join again (keyturn "
                              "node request); for the recovery "
                              "key, check that it is the one of this cluster");
}

static bool open_keyring_key(const struct kt_keyring *keyring, struct kt_keyring_keys *keys, struct kt_error *err)
{
    size_t i = 0;
    struct kt_aad info = {0};
    struct kt_error why = KT_ERROR_INIT;
    uint8_t commitment[KT_HASH_LEN] = {0};
    if (!find_own(keyring, keys->own, &i, err))
        return false;
    kt_aad_wrap(keyring, keyring->info.recipients[i].name, &info);
    keys->keyring_key =
        kt_hpke_open(keys->own, kt_aad_view(&info), KT_SLICE(NULL, 0), KT_SLICE(keyring->wraps[i], KT_WRAP_LEN), &why);
    if (!keys->keyring_key)
        return fail_open(err, &why, "the keyring key's wrap for this recipient does not authenticate");
    if (!kt_keyring_commit(keyring, keys->keyring_key, commitment, err))
        return false;
    return memcmp(commitment, keyring->commitment, KT_HASH_LEN) == 0 ||
           not_open(err, "the keyring key in the wrap is not the one that the key list commits to");
}

static struct kt_secret *unwrap(const struct kt_secret *keyring_key, const struct kt_aad *aad,
                                const struct kt_wrapped *wrapped, struct kt_error *err)
{
    assert(wrapped->len > KT_GCM_NONCE + KT_GCM_TAG);
    struct kt_slice ciphertext = KT_SLICE(wrapped->bytes + KT_GCM_NONCE, wrapped->len - KT_GCM_NONCE);
    return kt_gcm_open(keyring_key, wrapped->bytes, kt_aad_view(aad), ciphertext, err);
}

static bool open_keys(const struct kt_keyring *keyring, struct kt_keyring_keys *keys, struct kt_error *err)
{
    for (size_t i = 0; i < keyring->info.n_keys; i++) {
        struct kt_aad aad = {0};
        struct kt_error why = KT_ERROR_INIT;
        kt_aad_key(keyring, &keyring->info.keys[i], &aad);
        keys->bytes[i] = unwrap(keys->keyring_key, &aad, &keyring->keys[i], &why);
        if (!keys->bytes[i])
            return fail_open(err, &why, "a wrapped key does not authenticate") ||
                   kt_error_prefix(err, "key %s", keyring->info.keys[i].id);
        keys->n = i + 1;
    }
    return true;
}

static bool open_signer(const struct kt_keyring *keyring, struct kt_keyring_keys *keys, struct kt_error *err)
{
    struct kt_aad aad = {0};
    uint8_t public_key[KT_P256_PUBLIC] = {0};
    kt_aad_signer_key(keyring, &aad);
    struct kt_error why = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *scalar = unwrap(keys->keyring_key, &aad, &keyring->signer_key, &why);
    if (!scalar)
        return fail_open(err, &why, "signerKey does not authenticate");
    keys->signer = kt_p256_from_scalar(scalar, &why);
    if (!keys->signer)
        return fail_open(err, &why, "signerKey holds no private key");
    kt_p256_public(keys->signer, public_key);
    return memcmp(public_key, keyring->signer, KT_P256_PUBLIC) == 0 ||
           not_open(err, "signerKey is not the private half of the membership's signer");
}

static bool open_status_key(const struct kt_keyring *keyring, struct kt_keyring_keys *keys, struct kt_error *err)
{
    struct kt_aad aad = {0};
    kt_aad_status_key(keyring, &aad);
    struct kt_error why = KT_ERROR_INIT;
    keys->status_key = unwrap(keys->keyring_key, &aad, &keyring->status_key, &why);
    return keys->status_key || fail_open(err, &why, "statusKey does not authenticate");
}

struct kt_keyring_keys *kt_keyring_open(const struct kt_keyring *keyring, const struct kt_p256 *own,
                                        struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = kt_keyring_keys_new(err);
    if (!keys)
        return NULL;
    memcpy(keys->keyring_hash, keyring->info.hash, KT_HASH_LEN);
    keys->own = kt_keyring_copy_pair(own, err);
    if (!keys->own || !open_keyring_key(keyring, keys, err) || !open_keys(keyring, keys, err) ||
        !open_signer(keyring, keys, err) || !open_status_key(keyring, keys, err))
        return NULL;
    return KT_TAKE_PTR(keys);
}
