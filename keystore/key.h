/* SPDX-License-Identifier: Apache-2.0 */
/* The values of a keyring (docs/keyring-format.md): names, limits, enums with their spelling in the file. */
#pragma once

#include "base/clock.h"
#include "base/error.h"

#include <stdint.h>

#define KT_KEYRING_MAX     1048576u /* bytes of a keyring file: 1 MiB */
#define KT_KEYRING_ID_LEN  16u
#define KT_HASH_LEN        32u
#define KT_KEY_ID_LEN      32u /* hex digits */
#define KT_NAME_MAX        63u
#define KT_KEY_NAME_MAX    253u
#define KT_KEY_BYTES       32u
#define KT_KEYS_MAX        64u
#define KT_ARCHIVE_MAX     1024u
#define KT_RECIPIENTS_MAX  64u
#define KT_OWNERS_MAX      64u
#define KT_API_SERVERS_MAX 64u
#define KT_API_SERVER_MAX  253u
#define KT_NUMBER_MAX      (UINT64_C(1) << 53)
#define KT_HOLD_MIN        600u
#define KT_HOLD_DEFAULT    86400u
#define KT_HASH_TEXT_LEN   72u /* "sha256:" and 64 digits and NUL */

enum kt_key_type { KT_KEY_KMS = 1, KT_KEY_AESCBC, KT_KEY_AESGCM, KT_KEY_SECRETBOX };
enum kt_key_state { KT_KEY_ACTIVE = 1, KT_KEY_READY, KT_KEY_RETIRING, KT_KEY_COMPROMISED };
enum kt_stage {
    KT_STAGE_START = 1,
    KT_STAGE_PREPARE,
    KT_STAGE_ROTATE,
    KT_STAGE_REENCRYPT_REQUEST,
    KT_STAGE_REENCRYPT_ACTIVE,
    KT_STAGE_REENCRYPT_FINISHED,
};
enum kt_recipient_kind { KT_RECIPIENT_FILE = 1, KT_RECIPIENT_TPM2, KT_RECIPIENT_RECOVERY };

/* Spelling in the file, and back; text() of a number out of range is "unknown", parse() returns 0. */
const char *kt_key_type_text(enum kt_key_type type);
enum kt_key_type kt_key_type_parse(const char *text);
/* The algorithm that belongs to the type: "AES-256-GCM". */
const char *kt_key_type_algorithm(enum kt_key_type type);
/* As k3s shows it in `status`: "AES-CBC", "AES-GCM", "XSalsa20-POLY1305"; "KMS-v2" for kms. */
const char *kt_key_type_display(enum kt_key_type type);
const char *kt_key_state_text(enum kt_key_state state);
enum kt_key_state kt_key_state_parse(const char *text);
const char *kt_stage_text(enum kt_stage stage);
enum kt_stage kt_stage_parse(const char *text);
const char *kt_recipient_kind_text(enum kt_recipient_kind kind);
enum kt_recipient_kind kt_recipient_kind_parse(const char *text);

/* "sha256:" and hex, both ways. */
void kt_hash_format(const uint8_t hash[KT_HASH_LEN], char ret[KT_HASH_TEXT_LEN]);
bool kt_hash_parse(const char *text, uint8_t ret[KT_HASH_LEN]) KT_MUST_CHECK;

/* Everything about a listed key but its bytes. */
struct kt_key_info {
    char id[KT_KEY_ID_LEN + 1];
    char name[KT_KEY_NAME_MAX + 1];
    enum kt_key_type type;
    enum kt_key_state state;
    uint64_t created;        /* seconds since the epoch */
    uint64_t retiring_since; /* 0 unless retiring */
    bool superseded;         /* not listed any more: loaded from a superseded keyring, decrypt only */
};

struct kt_archived_info {
    char id[KT_KEY_ID_LEN + 1];
    char name[KT_KEY_NAME_MAX + 1];
    enum kt_key_type type;
    uint64_t created;
    uint64_t retired;
};

struct kt_recipient_info {
    char name[KT_NAME_MAX + 1];
    enum kt_recipient_kind kind;
};

/* What a verified keyring says, without any secret. Large: heap only. */
struct kt_keyring_info {
    uint8_t keyring_id[KT_KEYRING_ID_LEN];
    uint64_t membership;
    uint64_t generation;
    uint8_t hash[KT_HASH_LEN];       /* keyring hash */
    uint8_t founder[KT_HASH_LEN];    /* fingerprint of the founding owner */
    uint8_t owner[KT_HASH_LEN];      /* of the present owner */
    uint8_t audit_head[KT_HASH_LEN]; /* hash of the newest line of the audit log; zeros: there is none */
    uint64_t written;
    char writer[KT_NAME_MAX + 1];
    enum kt_stage stage;
    bool enabled;
    bool strict;
    uint64_t hold; /* seconds */
    size_t n_api_servers;
    char api_servers[KT_API_SERVERS_MAX][KT_API_SERVER_MAX + 1];
    size_t n_keys;
    struct kt_key_info keys[2 * KT_KEYS_MAX]; /* listed, in order; then superseded ones */
    size_t n_recipients;
    struct kt_recipient_info recipients[KT_RECIPIENTS_MAX];
    size_t n_archive;
    struct kt_archived_info archive[KT_ARCHIVE_MAX];
};

/* (membership, generation) in order of age: <0, 0, >0. */
int kt_keyring_compare(uint64_t membership_a, uint64_t generation_a, uint64_t membership_b, uint64_t generation_b);
