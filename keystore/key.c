/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/key.h"

#include "base/buf.h"

#include <string.h>

/* Texts by number; number 0 is nothing. */
static const char *const key_type_texts[] = {
    [KT_KEY_KMS] = "kms",
    [KT_KEY_AESCBC] = "aescbc",
    [KT_KEY_AESGCM] = "aesgcm",
    [KT_KEY_SECRETBOX] = "secretbox",
};
static const char *const key_type_algorithms[] = {
    [KT_KEY_KMS] = "AES-256-GCM",
    [KT_KEY_AESCBC] = "AES-256-CBC",
    [KT_KEY_AESGCM] = "AES-256-GCM",
    [KT_KEY_SECRETBOX] = "XSalsa20-Poly1305",
};
static const char *const key_type_displays[] = {
    [KT_KEY_KMS] = "KMS-v2",
    [KT_KEY_AESCBC] = "AES-CBC",
    [KT_KEY_AESGCM] = "AES-GCM",
    [KT_KEY_SECRETBOX] = "XSalsa20-POLY1305",
};
static const char *const key_state_texts[] = {
    [KT_KEY_ACTIVE] = "active",
    [KT_KEY_READY] = "ready",
    [KT_KEY_RETIRING] = "retiring",
    [KT_KEY_COMPROMISED] = "compromised",
};
static const char *const stage_texts[] = {
    [KT_STAGE_START] = "start",
    [KT_STAGE_PREPARE] = "prepare",
    [KT_STAGE_ROTATE] = "rotate",
    [KT_STAGE_REENCRYPT_REQUEST] = "reencrypt_request",
    [KT_STAGE_REENCRYPT_ACTIVE] = "reencrypt_active",
    [KT_STAGE_REENCRYPT_FINISHED] = "reencrypt_finished",
};
static const char *const recipient_kind_texts[] = {
    [KT_RECIPIENT_FILE] = "file",
    [KT_RECIPIENT_TPM2] = "tpm2",
    [KT_RECIPIENT_RECOVERY] = "recovery",
};

static const char *text_of(const char *const *texts, size_t n, size_t number)
{
    return number < n && texts[number] ? texts[number] : "unknown";
}

static size_t number_of(const char *const *texts, size_t n, const char *text)
{
    for (size_t i = 1; i < n; i++) {
        if (strcmp(texts[i], text) == 0)
            return i;
    }
    return 0;
}

#define TEXT_OF(texts, number) text_of((texts), KT_ARRAY_LEN(texts), (size_t)(number))
#define NUMBER_OF(texts, text) number_of((texts), KT_ARRAY_LEN(texts), (text))

const char *kt_key_type_text(enum kt_key_type type)
{
    return TEXT_OF(key_type_texts, type);
}

enum kt_key_type kt_key_type_parse(const char *text)
{
    return (enum kt_key_type)NUMBER_OF(key_type_texts, text);
}

const char *kt_key_type_algorithm(enum kt_key_type type)
{
    return TEXT_OF(key_type_algorithms, type);
}

const char *kt_key_type_display(enum kt_key_type type)
{
    return TEXT_OF(key_type_displays, type);
}

const char *kt_key_state_text(enum kt_key_state state)
{
    return TEXT_OF(key_state_texts, state);
}

enum kt_key_state kt_key_state_parse(const char *text)
{
    return (enum kt_key_state)NUMBER_OF(key_state_texts, text);
}

const char *kt_stage_text(enum kt_stage stage)
{
    return TEXT_OF(stage_texts, stage);
}

enum kt_stage kt_stage_parse(const char *text)
{
    return (enum kt_stage)NUMBER_OF(stage_texts, text);
}

const char *kt_recipient_kind_text(enum kt_recipient_kind kind)
{
    return TEXT_OF(recipient_kind_texts, kind);
}

enum kt_recipient_kind kt_recipient_kind_parse(const char *text)
{
    return (enum kt_recipient_kind)NUMBER_OF(recipient_kind_texts, text);
}

static const char hash_prefix[] = "sha256:";
#define HASH_PREFIX_LEN (sizeof(hash_prefix) - 1)

void kt_hash_format(const uint8_t hash[KT_HASH_LEN], char ret[KT_HASH_TEXT_LEN])
{
    memcpy(ret, hash_prefix, HASH_PREFIX_LEN);
    kt_hex_encode(KT_SLICE(hash, KT_HASH_LEN), ret + HASH_PREFIX_LEN);
}

bool kt_hash_parse(const char *text, uint8_t ret[KT_HASH_LEN])
{
    if (strlen(text) != KT_HASH_TEXT_LEN - 1 || memcmp(text, hash_prefix, HASH_PREFIX_LEN) != 0)
        return false;
    return kt_hex_decode(kt_slice_str(text + HASH_PREFIX_LEN), ret, KT_HASH_LEN);
}

int kt_keyring_compare(uint64_t membership_a, uint64_t generation_a, uint64_t membership_b, uint64_t generation_b)
{
    if (membership_a != membership_b)
        return membership_a < membership_b ? -1 : 1;
    if (generation_a != generation_b)
        return generation_a < generation_b ? -1 : 1;
    return 0;
}
