/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/kdf.h"
#include "keystore/keyring_internal.h"

#include <assert.h>
#include <string.h>

static void put_purpose(struct kt_writer *w, const char *purpose, const struct kt_keyring *keyring)
{
    kt_writer_bytes(w, purpose, strlen(purpose) + 1); /* the 0x00 is the NUL */
    kt_writer_bytes(w, keyring->info.keyring_id, KT_KEYRING_ID_LEN);
}

static void put_str(struct kt_writer *w, const char *text)
{
    size_t len = strlen(text);
    kt_writer_u16(w, (uint16_t)len);
    kt_writer_bytes(w, text, len);
}

static void start(struct kt_writer *w, struct kt_aad *ret)
{
    kt_writer_init(w, ret->bytes, sizeof ret->bytes);
}

static void finish(const struct kt_writer *w, struct kt_aad *ret)
{
    assert(!w->bad);
    ret->len = w->len;
}

struct kt_slice kt_aad_view(const struct kt_aad *aad)
{
    return KT_SLICE(aad->bytes, aad->len);
}

void kt_aad_wrap(const struct kt_keyring *keyring, const char *recipient, struct kt_aad *ret)
{
    struct kt_writer w = {0};
    start(&w, ret);
    put_purpose(&w, "keyturn.dev/v1 wrap", keyring);
    kt_writer_bytes(&w, keyring->membership_hash, KT_HASH_LEN);
    kt_writer_u64(&w, keyring->info.generation);
    put_str(&w, recipient);
    finish(&w, ret);
}

void kt_aad_archive(const struct kt_keyring *keyring, const char *id, enum kt_key_type type, struct kt_aad *ret)
{
    struct kt_writer w = {0};
    start(&w, ret);
    put_purpose(&w, "keyturn.dev/v1 archive", keyring);
    put_str(&w, id);
    put_str(&w, kt_key_type_text(type));
    finish(&w, ret);
}

void kt_aad_key(const struct kt_keyring *keyring, const struct kt_key_info *key, struct kt_aad *ret)
{
    struct kt_writer w = {0};
    start(&w, ret);
    put_purpose(&w, "keyturn.dev/v1 key", keyring);
    kt_writer_u64(&w, keyring->info.generation);
    put_str(&w, key->id);
    put_str(&w, kt_key_type_text(key->type));
    put_str(&w, kt_key_type_algorithm(key->type));
    finish(&w, ret);
}

static void aad_generation(const struct kt_keyring *keyring, const char *purpose, struct kt_aad *ret)
{
    struct kt_writer w = {0};
    start(&w, ret);
    put_purpose(&w, purpose, keyring);
    kt_writer_u64(&w, keyring->info.generation);
    finish(&w, ret);
}

void kt_aad_signer_key(const struct kt_keyring *keyring, struct kt_aad *ret)
{
    aad_generation(keyring, "keyturn.dev/v1 signer-key", ret);
}

void kt_aad_status_key(const struct kt_keyring *keyring, struct kt_aad *ret)
{
    aad_generation(keyring, "keyturn.dev/v1 status-key", ret);
}

bool kt_keyring_commit(const struct kt_keyring *keyring, const struct kt_secret *keyring_key, uint8_t ret[KT_HASH_LEN],
                       struct kt_error *err)
{
    struct kt_aad info = {0};
    aad_generation(keyring, "keyturn.dev/v1 commitment", &info);
    const struct kt_slice ikm = KT_SLICE(kt_secret_view(keyring_key), kt_secret_len(keyring_key));
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *prk = kt_hkdf_extract(KT_SLICE(NULL, 0), ikm, err);
    if (!prk)
        return false;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *out = kt_hkdf_expand(prk, kt_aad_view(&info), KT_HASH_LEN, err);
    if (!out)
        return false;
    memcpy(ret, kt_secret_view(out), KT_HASH_LEN);
    return true;
}
