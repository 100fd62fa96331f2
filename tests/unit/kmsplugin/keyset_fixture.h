/* SPDX-License-Identifier: Apache-2.0 */
/* Opener's answers made by hand. */
#pragma once

#include "kmsplugin/keeper_keys.h"

#include <string.h>

struct key_plan {
    char digit; /* the id is 32 of it */
    enum kt_key_type type;
    enum kt_key_state state;
    bool superseded;
};

static inline void plan_id(char digit, char ret[KT_KEY_ID_LEN + 1])
{
    memset(ret, digit, KT_KEY_ID_LEN);
    ret[KT_KEY_ID_LEN] = 0;
}

static inline void plan_answer(struct kt_opener_answer *answer, uint64_t generation, const struct key_plan *keys,
                               size_t n)
{
    memset(answer, 0, sizeof(*answer));
    answer->info = calloc(1, sizeof(*answer->info));
    if (!answer->info)
        abort();
    answer->info->membership = 1;
    answer->info->generation = generation;
    memset(answer->info->hash, (int)generation, KT_HASH_LEN);
    for (size_t i = 0; i < n; i++) {
        struct kt_key_info *info = &answer->info->keys[i];
        plan_id(keys[i].digit, info->id);
        info->type = keys[i].type;
        info->state = keys[i].state;
        info->superseded = keys[i].superseded;
        uint8_t bytes[KT_KEY_BYTES];
        memset(bytes, keys[i].digit, sizeof(bytes));
        if (keys[i].type == KT_KEY_KMS)
            answer->keys[i] = kt_secret_new_copy(bytes, sizeof(bytes), NULL);
    }
    answer->info->n_keys = n;
}
