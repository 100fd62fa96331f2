/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The next membership (docs/keyring-format.md §3, §14): who may read the keyring, which key may sign it, who owns it.
 * Each is signed by the owner, says over which keyring it was made, and comes with the next generation: a new keyring
 * key, wrapped for all its recipients. Part of keyturn-opener.
 */
#pragma once

#include "keystore/floor.h"
#include "keystore/keyring.h"

enum kt_member_kind {
    KT_MEMBER_ADD = 1, /* recipient `name` joins; the signer stays */
    KT_MEMBER_REPLACE, /* recipient `name` gets another key, perhaps of another kind; new signer */
    KT_MEMBER_REMOVE,  /* recipient `name` leaves; new signer, and a new key, last, for rotation to bring to the
                          front: what `name` may have kept must not encrypt any more */
    KT_MEMBER_REPLACE_RECOVERY, /* the old owner signs the new one, the archive is sealed anew; new signer */
    KT_MEMBER_LOST_RECOVERY, /* nobody signs the new owner: it is a founding one, to be pinned again on each node. The
                                archive is lost: it stays, sealed to the key that is gone. New signer */
};

struct kt_member_change {
    enum kt_member_kind kind;
    const struct kt_secret *recovery_key;     /* the present one; not for LOST_RECOVERY */
    const struct kt_secret *new_recovery_key; /* REPLACE_RECOVERY, LOST_RECOVERY */
    const char *name;                         /* ADD, REPLACE, REMOVE; never "recovery" */
    enum kt_recipient_kind recipient;         /* ADD, REPLACE: file or tpm2 */
    uint8_t public_key[KT_P256_PUBLIC];       /* ADD, REPLACE */
    const char *writer;
    uint64_t now;
    const struct kt_audit_claim *claim; /* for its line of the audit log; NULL: none */
};

struct kt_member_result {
    struct kt_bytes document;
    uint8_t founder[KT_HASH_LEN]; /* fingerprint to pin; another one only after LOST_RECOVERY */
    size_t n_lost;                /* archived keys that the new recovery key does not open */
};

/* keys: opened from keyring, by any of its recipients. KT_E_RECOVERY_KEY: it is not the present owner's. KT_E_EXISTS:
 * a recipient of that name, or with that key, is there. KT_E_REFUSED says what else does not fit. */
bool kt_keyring_member_write(const struct kt_keyring *keyring, const struct kt_keyring_keys *keys,
                             const struct kt_member_change *change, struct kt_member_result *ret,
                             struct kt_error *err) KT_MUST_CHECK;

/* Whether that very key is a recipient of that name already: an approval that was cut short, done again. */
bool kt_keyring_has_recipient(const struct kt_keyring *keyring, const char *name,
                              const uint8_t public_key[KT_P256_PUBLIC]) KT_MUST_CHECK;

/* May a membership be made over this keyring, of one who knows of `known`? KT_E_KEYRING_STALE if that is newer, or
 * another keyring of the same pair, or beyond an owner that this chain does not lead through. */
bool kt_floor_check_newest(const struct kt_floor *known, const struct kt_keyring *keyring,
                           struct kt_error *err) KT_MUST_CHECK;

/* Fingerprint of the founding owner that a document names, before anything of it was verified. */
bool kt_keyring_named_founder(struct kt_slice document, uint8_t ret[KT_HASH_LEN], struct kt_error *err) KT_MUST_CHECK;
/* The generation that its membership was made over; 0 for the first. */
uint64_t kt_keyring_made_over(const struct kt_keyring *keyring);
/* Public key of the owner who signed it. */
void kt_keyring_owner_key(const struct kt_keyring *keyring, uint8_t ret[KT_P256_PUBLIC]);
