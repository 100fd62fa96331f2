/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/key_set.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS ((size_t)2 * KT_KEY_SET_MAX) /* a power of two */

/* All zero: an empty slot. */
struct slot {
    uint64_t words[2];
};

struct kt_key_set {
    EVP_MD *digest;
    EVP_MD_CTX *ctx;
    uint64_t pass;
    uint64_t passes;
    size_t n;
    struct slot *slots;
};

struct kt_key_set *kt_key_set_new(struct kt_error *err)
{
    KT_CLEANUP(kt_key_set_free_p) struct kt_key_set *set = calloc(1, sizeof(*set));
    if (set) {
        set->slots = calloc(SLOTS, sizeof(*set->slots));
        set->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
        set->ctx = EVP_MD_CTX_new();
        set->passes = 1;
    }
    if (set && set->slots && set->digest && set->ctx)
        return KT_TAKE_PTR(set);
    (void)kt_fail(err, KT_E_NOMEM, "out of memory");
    return NULL;
}

void kt_key_set_free(struct kt_key_set *set)
{
    if (!set)
        return;
    EVP_MD_CTX_free(set->ctx);
    EVP_MD_free(set->digest);
    free(set->slots);
    free(set);
}

uint64_t kt_key_set_passes(uint64_t keys)
{
    return keys / KT_KEY_SET_MAX + 1;
}

void kt_key_set_begin(struct kt_key_set *set, uint64_t pass, uint64_t passes)
{
    if (set->n > 0)
        memset(set->slots, 0, SLOTS * sizeof(*set->slots));
    set->n = 0;
    set->pass = pass;
    set->passes = passes;
}

static bool hash(struct kt_key_set *set, struct kt_slice key, struct slot *ret, struct kt_error *err)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    if (EVP_DigestInit_ex2(set->ctx, set->digest, NULL) != 1 || EVP_DigestUpdate(set->ctx, key.data, key.len) != 1 ||
        EVP_DigestFinal_ex(set->ctx, sum, NULL) != 1)
        return kt_fail_openssl(err, KT_E_CRYPTO, "SHA-256");
    memcpy(ret->words, sum, sizeof(ret->words));
    ret->words[1] |= ret->words[0] == 0;
    return true;
}

bool kt_key_set_add(struct kt_key_set *set, struct kt_slice key, enum kt_key_set_found *ret, struct kt_error *err)
{
    struct slot wanted = {.words = {0}};
    if (!hash(set, key, &wanted, err))
        return false;
    if (wanted.words[1] % set->passes != set->pass) {
        *ret = KT_KEY_SET_LATER;
        return true;
    }
    for (size_t at = (size_t)wanted.words[0] & (SLOTS - 1);; at = (at + 1) & (SLOTS - 1)) {
        struct slot *slot = &set->slots[at];
        bool is_empty = slot->words[0] == 0 && slot->words[1] == 0;
        if (is_empty && set->n == SLOTS - SLOTS / 8)
            return kt_fail(err, KT_E_REFUSED, "expected at most %u keys in one pass, found more", KT_KEY_SET_MAX);
        if (!is_empty && memcmp(slot, &wanted, sizeof(wanted)) != 0)
            continue;
        set->n += is_empty;
        *slot = wanted;
        *ret = is_empty ? KT_KEY_SET_NEW : KT_KEY_SET_KNOWN;
        return true;
    }
}
