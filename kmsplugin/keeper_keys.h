/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loaded keyring: what it says, and a cipher for each key of type kms. Built whole from the opener's answer and never
 * changed in its list, so that serving another one is the swap of a pointer.
 */
#pragma once

#include "keystore/cipher.h"
#include "keystore/opener.h"

#define KT_LOADED_KEYS_MAX ((size_t)2 * KT_KEYS_MAX)
#define KT_NO_KEY          SIZE_MAX
#define KT_SAMPLE_LEN      16u

struct kt_loaded_key {
    struct kt_cipher *cipher;                           /* NULL: not of type kms */
    uint8_t sample[KT_SAMPLE_LEN + KT_CIPHER_OVERHEAD]; /* public bytes sealed at load, unwrapped by every self-test */
    bool sampled;
    bool selftest_ok;
};

struct kt_keyset {
    struct kt_keyring_info *info;
    bool below_floor;
    size_t encrypts;                               /* index of the key that wraps; KT_NO_KEY */
    struct kt_loaded_key keys[KT_LOADED_KEYS_MAX]; /* by index of info->keys */
    char notes[KT_NOTES_MAX][KT_NOTE_LEN];
    size_t n_notes;
};

/* Takes info out of the answer; the keys' bytes stay with it, to be wiped. */
struct kt_keyset *kt_keyset_new(struct kt_opener_answer *answer, struct kt_error *err) KT_MUST_CHECK;
void kt_keyset_free(struct kt_keyset *set);
KT_DEFINE_CLEANUP(struct kt_keyset *, kt_keyset_free);

/* Index of the key with that id (not NUL-terminated), listed or superseded; KT_NO_KEY if none of type kms has it. */
size_t kt_keyset_find(const struct kt_keyset *set, const char id[KT_KEY_ID_LEN]);
/* There is no key of type kms, so kube-apiserver has nothing to ask of us: all keys are in its configuration file. */
bool kt_keyset_idle(const struct kt_keyset *set);
/* Every key that `old` could decrypt with is loaded or archived in `set`, else KT_E_KEYRING_LOSES_KEY; `set` is not
 * older than `old` (KT_E_KEYRING_OLDER) and no fork of it (KT_E_KEYRING_FORK), unless `old` is below the floor. */
bool kt_keyset_follows(const struct kt_keyset *set, const struct kt_keyset *old, struct kt_error *err) KT_MUST_CHECK;
bool kt_keyset_same(const struct kt_keyset *set, const struct kt_keyset *old);
