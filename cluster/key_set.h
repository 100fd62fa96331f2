/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keys were met before, in memory that does not grow with them: by 128 bits of their SHA-256, so that nobody can
 * make two that count as one. A set takes so many; where there may be more, they are gone through several times, a part
 * of them each time.
 */
#pragma once

#include "base/buf.h"

#define KT_KEY_SET_MAX 524288u /* in one pass; twice as many fit */

enum kt_key_set_found {
    KT_KEY_SET_NEW,
    KT_KEY_SET_KNOWN,
    KT_KEY_SET_LATER, /* or earlier: it belongs to another pass */
};

struct kt_key_set;
struct kt_key_set *kt_key_set_new(struct kt_error *err) KT_MUST_CHECK;
void kt_key_set_free(struct kt_key_set *set);
KT_DEFINE_CLEANUP(struct kt_key_set *, kt_key_set_free);
/* How many passes so many keys take. */
uint64_t kt_key_set_passes(uint64_t keys);
/* Empties it for a pass: 0 to passes - 1. */
void kt_key_set_begin(struct kt_key_set *set, uint64_t pass, uint64_t passes);
/* KT_E_CRYPTO; KT_E_REFUSED: there are more keys than was said. */
bool kt_key_set_add(struct kt_key_set *set, struct kt_slice key, enum kt_key_set_found *ret,
                    struct kt_error *err) KT_MUST_CHECK;
