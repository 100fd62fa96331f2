/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/hpke.h"

#include "keystore/hpke_label.h"

#include <string.h>

#define SECRET_LEN 32u /* Nsecret, Nh and Nk are all 32 in this suite */
#define MODE_BASE  0x00

static const struct kt_slice nothing = {.data = NULL, .len = 0};

static struct kt_slice view(const struct kt_secret *secret)
{
    return KT_SLICE(kt_secret_view(secret), kt_secret_len(secret));
}

void kt_hpke_context_done(struct kt_hpke_context *context)
{
    kt_secret_free(context->key);
    kt_secret_free(context->base_nonce);
    kt_secret_free(context->exporter);
    *context = (struct kt_hpke_context){.key = NULL};
}

/* ExtractAndExpand of §4.1: the shared secret of the KEM. */
static struct kt_secret *shared_secret(const struct kt_secret *dh, const uint8_t enc[KT_HPKE_ENC],
                                       const uint8_t recipient[KT_P256_PUBLIC], struct kt_error *err)
{
    uint8_t kem_context[KT_HPKE_ENC + KT_P256_PUBLIC] = {0};
    memcpy(kem_context, enc, KT_HPKE_ENC);
    memcpy(kem_context + KT_HPKE_ENC, recipient, KT_P256_PUBLIC);
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *prk = kt_labeled_extract(KT_KEM_LABEL("eae_prk"), nothing, view(dh), err);
    if (!prk)
        return NULL;
    return kt_labeled_expand(KT_KEM_LABEL("shared_secret"), prk, KT_SLICE(kem_context, sizeof(kem_context)), SECRET_LEN,
                             err);
}

#define SCHEDULE_LEN (1u + 2u * SECRET_LEN)

/* key_schedule_context of §5.1: the mode, the hash of the (empty) PSK id, the hash of info. */
static bool schedule_context(struct kt_slice info, uint8_t ret[SCHEDULE_LEN], struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *psk_id_hash = kt_labeled_extract(KT_HPKE_LABEL("psk_id_hash"), nothing, nothing, err);
    if (!psk_id_hash)
        return false;
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *info_hash = kt_labeled_extract(KT_HPKE_LABEL("info_hash"), nothing, info, err);
    if (!info_hash)
        return false;
    ret[0] = MODE_BASE;
    memcpy(ret + 1, kt_secret_view(psk_id_hash), SECRET_LEN);
    memcpy(ret + 1 + SECRET_LEN, kt_secret_view(info_hash), SECRET_LEN);
    return true;
}

/* KeySchedule of §5.1 for base mode. */
static bool key_schedule(const struct kt_secret *shared, struct kt_slice info, struct kt_hpke_context *ret,
                         struct kt_error *err)
{
    uint8_t bytes[SCHEDULE_LEN] = {0};
    if (!schedule_context(info, bytes, err))
        return false;
    const struct kt_slice context = KT_SLICE(bytes, sizeof(bytes));
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *secret = kt_labeled_extract(KT_HPKE_LABEL("secret"), view(shared), nothing, err);
    if (!secret)
        return false;
    KT_CLEANUP(kt_hpke_context_done) struct kt_hpke_context made = {.key = NULL};
    made.key = kt_labeled_expand(KT_HPKE_LABEL("key"), secret, context, SECRET_LEN, err);
    if (!made.key)
        return false;
    made.base_nonce = kt_labeled_expand(KT_HPKE_LABEL("base_nonce"), secret, context, KT_GCM_NONCE, err);
    if (!made.base_nonce)
        return false;
    made.exporter = kt_labeled_expand(KT_HPKE_LABEL("exp"), secret, context, SECRET_LEN, err);
    if (!made.exporter)
        return false;
    ret->key = KT_TAKE_PTR(made.key);
    ret->base_nonce = KT_TAKE_PTR(made.base_nonce);
    ret->exporter = KT_TAKE_PTR(made.exporter);
    return true;
}

bool kt_hpke_setup_sender(const struct kt_p256 *recipient, const struct kt_p256 *ephemeral, struct kt_slice info,
                          struct kt_hpke_context *ret, struct kt_error *err)
{
    uint8_t enc[KT_HPKE_ENC] = {0};
    uint8_t public_key[KT_P256_PUBLIC] = {0};
    kt_p256_public(ephemeral, enc);
    kt_p256_public(recipient, public_key);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *dh = kt_p256_dh(ephemeral, recipient, err);
    if (!dh)
        return false;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *shared = shared_secret(dh, enc, public_key, err);
    return shared && key_schedule(shared, info, ret, err);
}

bool kt_hpke_setup_receiver(const struct kt_p256 *own, const uint8_t enc[KT_HPKE_ENC], struct kt_slice info,
                            struct kt_hpke_context *ret, struct kt_error *err)
{
    uint8_t public_key[KT_P256_PUBLIC] = {0};
    kt_p256_public(own, public_key);
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *ephemeral = kt_p256_from_public(enc, err);
    if (!ephemeral)
        return false;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *dh = kt_p256_dh(own, ephemeral, err);
    if (!dh)
        return false;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *shared = shared_secret(dh, enc, public_key, err);
    return shared && key_schedule(shared, info, ret, err);
}

void kt_hpke_nonce(const struct kt_hpke_context *context, uint64_t seq, uint8_t ret[KT_GCM_NONCE])
{
    memcpy(ret, kt_secret_view(context->base_nonce), KT_GCM_NONCE);
    for (size_t i = 0; i < sizeof(seq); i++)
        ret[KT_GCM_NONCE - 1 - i] ^= (uint8_t)(seq >> (8 * i));
}

bool kt_hpke_seal(const struct kt_p256 *recipient, struct kt_slice info, struct kt_slice aad,
                  const struct kt_secret *plaintext, uint8_t *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *ephemeral = kt_p256_generate(err);
    if (!ephemeral)
        return false;
    KT_CLEANUP(kt_hpke_context_done) struct kt_hpke_context context = {.key = NULL};
    if (!kt_hpke_setup_sender(recipient, ephemeral, info, &context, err))
        return false;
    if (!kt_gcm_seal(context.key, kt_secret_view(context.base_nonce), aad, view(plaintext), ret + KT_HPKE_ENC, err))
        return false;
    kt_p256_public(ephemeral, ret);
    return true;
}

struct kt_secret *kt_hpke_open(const struct kt_p256 *own, struct kt_slice info, struct kt_slice aad,
                               struct kt_slice sealed, struct kt_error *err)
{
    if (sealed.len <= KT_HPKE_OVERHEAD) {
        kt_fail(err, KT_E_CRYPTO, "%zu bytes are too few for something sealed", sealed.len);
        return NULL;
    }
    KT_CLEANUP(kt_hpke_context_done) struct kt_hpke_context context = {.key = NULL};
    if (!kt_hpke_setup_receiver(own, sealed.data, info, &context, err))
        return NULL;
    return kt_gcm_open(context.key, kt_secret_view(context.base_nonce), aad,
                       KT_SLICE(sealed.data + KT_HPKE_ENC, sealed.len - KT_HPKE_ENC), err);
}
