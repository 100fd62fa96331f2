/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keyring is in force (docs/keyring-format.md §8): order, forks, and the rule that no install loses a key. Pure:
 * documents and keys in, verdict out.
 */
#pragma once

#include "keystore/keyring.h"

/* The highest keyring that this node has installed. membership 0: none yet. */
struct kt_floor {
    uint64_t membership;
    uint64_t generation;
    uint8_t hash[KT_HASH_LEN];
    uint8_t keyring_id[KT_KEYRING_ID_LEN];
    uint8_t founder[KT_HASH_LEN]; /* fingerprints of the founding owner, and of the owner who signed it: one that was */
    uint8_t owner[KT_HASH_LEN];   /* replaced must not come back */
};
/* The text of the file `floor`; both ways. KT_E_KEYRING_FORMAT. */
#define KT_FLOOR_TEXT_MAX 512u
void kt_floor_format(const struct kt_floor *floor, char ret[KT_FLOOR_TEXT_MAX]);
bool kt_floor_parse(struct kt_slice text, struct kt_floor *ret, struct kt_error *err) KT_MUST_CHECK;
void kt_floor_of(const struct kt_keyring_info *info, struct kt_floor *ret);

enum kt_floor_verdict { KT_FLOOR_NEWER, KT_FLOOR_SAME, KT_FLOOR_OLDER, KT_FLOOR_FORK };
enum kt_floor_verdict kt_floor_compare(const struct kt_floor *floor, const struct kt_keyring_info *info);

/* Whether a newer keyring counts further than anybody does in good faith, from the floor or from the generation that
 * its membership was made over: after the last number that there is no generation and no membership could follow. */
#define KT_GENERATION_LEAP_MAX (UINT64_C(1) << 20)
bool kt_floor_is_leap(const struct kt_floor *floor, const struct kt_keyring_info *info,
                      uint64_t made_over) KT_MUST_CHECK;

/* What a node knows, or is offered: a keyring, opened. */
struct kt_floor_side {
    const struct kt_keyring_info *info;
    const struct kt_keyring_keys *keys;
};
/* No install loses a key. KT_E_KEYRING_LOSES_KEY, naming the key, if `after` has an id of `before` with other bytes,
 * another type or another algorithm; or, of an inline key, another name, by which kube-apiserver finds it. *ret_keep:
 * `before` has ids, listed or archived, that `after` neither lists nor archives, so that `before` has to be kept. */
bool kt_floor_check_keys(const struct kt_floor_side *before, const struct kt_floor_side *after, bool *ret_keep,
                         struct kt_error *err) KT_MUST_CHECK;
