/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyring document (docs/keyring-format.md), for the opener: the only process that verifies, parses, opens and
 * writes keyrings. Three steps, each of its own type, so that nothing is used before it was checked:
 *
 *   bytes --kt_keyring_verify--> struct kt_keyring (signed and well-formed; no secrets)
 *         --kt_keyring_open----> struct kt_keyring_keys (the keyring key, the signer, the keys' bytes)
 *         --kt_keyring_write---> bytes of the next generation
 */
#pragma once

#include "base/buf.h"
#include "base/secret.h"
#include "keystore/audit.h"
#include "keystore/key.h"
#include "keystore/p256.h"

struct kt_keyring;
struct kt_keyring_keys;

/* owner: fingerprint of the founding owner that this node trusts (keyturn.yaml). Errors: KT_E_KEYRING_FORMAT,
 * _VERSION, _OWNER, _SIGNER, _CONTENT. Nothing is parsed by the YAML library before its signature was verified. */
struct kt_keyring *kt_keyring_verify(struct kt_slice document, const uint8_t owner[KT_HASH_LEN],
                                     struct kt_error *err) KT_MUST_CHECK;
void kt_keyring_free(struct kt_keyring *keyring);
KT_DEFINE_CLEANUP(struct kt_keyring *, kt_keyring_free);

/* Whether its chain of owners leads through the one with that fingerprint. */
bool kt_keyring_has_owner(const struct kt_keyring *keyring, const uint8_t fingerprint[KT_HASH_LEN], bool *ret,
                          struct kt_error *err) KT_MUST_CHECK;

/* Valid as long as the keyring. */
const struct kt_keyring_info *kt_keyring_info(const struct kt_keyring *keyring);
/* The newest lines of the audit log, which it carries; likewise. */
const struct kt_audit_tail *kt_keyring_audit(const struct kt_keyring *keyring);

/* own: this node's or the recovery key pair; found among the recipients by its public key (KT_E_KEYRING_RECIPIENT if it
 * is none of them). Unwraps, checks the commitment, unwraps every key, checks the signer. KT_E_KEYRING_OPEN. */
struct kt_keyring_keys *kt_keyring_open(const struct kt_keyring *keyring, const struct kt_p256 *own,
                                        struct kt_error *err) KT_MUST_CHECK;
void kt_keyring_keys_free(struct kt_keyring_keys *keys);
KT_DEFINE_CLEANUP(struct kt_keyring_keys *, kt_keyring_keys_free);
/* Bytes of listed key number index, KT_KEY_BYTES (aescbc and aesgcm that were imported may have 16 or 24). */
const struct kt_secret *kt_keyring_keys_bytes(const struct kt_keyring_keys *keys, size_t index);

/* The first generation of a new keyring. */
struct kt_keyring_founding {
    const char *node;            /* name of the first recipient */
    const struct kt_p256 *own;   /* its key pair */
    enum kt_recipient_kind kind; /* its kind: a node's */
    enum kt_key_type type;       /* of the first key */
    const char *key_name;
    const struct kt_secret *recovery_key;
    uint64_t now;                       /* seconds since the epoch */
    const struct kt_audit_claim *claim; /* for its line of the audit log; NULL: none */
};
/* *ret_owner: fingerprint to pin. */
bool kt_keyring_found(const struct kt_keyring_founding *founding, struct kt_bytes *ret_document,
                      uint8_t ret_owner[KT_HASH_LEN], struct kt_error *err) KT_MUST_CHECK;

/* What the next generation changes in the key list. Applied in order; the result must keep the rules of §4. */
enum kt_edit_kind {
    KT_EDIT_ADD = 1,  /* a new random key of `type` named `name`, state ready, appended last */
    KT_EDIT_ACTIVATE, /* key `id` becomes the first and active; the one that was becomes ready */
    KT_EDIT_STATE,    /* key `id` gets `state` (not active) */
    KT_EDIT_ARCHIVE,  /* key `id` is sealed to the recovery recipient and leaves the list: one whose hold as retiring
                         is over, or one that never encrypted (in the keyring that is changed, stage prepare, it is the
                         last, the youngest and ready: prepare --cancel) */
    KT_EDIT_RESTORE,  /* key `id` comes back from the archive, retiring, so that it decrypts and encrypts nothing. Only
                         where  the keyring was opened with the recovery key */
    KT_EDIT_LAST,     /* key `id`, which is ready and older than another one, moves to the end: so that it is the one
                         to be activated (migrate --to distro) */
    KT_EDIT_IMPORT,   /* like ADD, with the bytes that the change brings; not in stage prepare, whose last key is the
                         one to be activated. KT_E_EXISTS: a listed key has its name, or its bytes */
    KT_EDIT_STAGE,    /* stage `stage` */
    KT_EDIT_ENABLED,  /* enabled `flag` */
    KT_EDIT_STRICT,   /* strict `flag`: while enabled, identity is not among the providers */
    KT_EDIT_HOLD,     /* hold `number`, in seconds */
    KT_EDIT_API_SERVER,        /* API server `name` is remembered; one that is already stays */
    KT_EDIT_FORGET_API_SERVER, /* and forgotten */
    KT_EDIT_END,
};
struct kt_edit {
    enum kt_edit_kind kind;
    enum kt_key_type type;
    enum kt_key_state state;
    enum kt_stage stage;
    uint64_t number;
    char id[KT_KEY_ID_LEN + 1];
    char name[KT_KEY_NAME_MAX + 1]; /* of a key, or of an API server, which may be as long */
    bool flag;
};
#define KT_EDITS_MAX 16u

struct kt_keyring_change {
    const struct kt_edit *edits;
    size_t n_edits;
    const struct kt_secret *const *imports; /* one for each IMPORT among the edits, in their order */
    size_t n_imports;
    const char *writer;
    uint64_t now;
    const struct kt_audit_claim *claim; /* NULL: none */
};
/* The next generation over the same membership: new keyring key, new wraps, same signer. KT_E_REFUSED says which edit
 * does not apply and why. */
bool kt_keyring_write(const struct kt_keyring *keyring, const struct kt_keyring_keys *keys,
                      const struct kt_keyring_change *change, struct kt_bytes *ret_document,
                      struct kt_error *err) KT_MUST_CHECK;
