/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts 1 and 2 behind the signatures: what an owner or signer gone bad could write. What is accepted is written again
 * and must be read as the same.
 */
#include "fuzz.h"
#include "keystore/keyring_internal.h"

#include <string.h>

/* The hash that the list claims, so that a change in part 1 does not end every walk in part 2. */
static void take_claimed_hash(struct kt_slice list, uint8_t ret[KT_HASH_LEN])
{
    static const char label[] = "membershipHash: ";
    const uint8_t *at = list.len ? memmem(list.data, list.len, label, sizeof label - 1) : NULL;
    char text[KT_HASH_TEXT_LEN] = "";
    size_t left = at ? list.len - (size_t)(at - list.data) - (sizeof label - 1) : 0;
    if (left < sizeof text - 1)
        return;
    memcpy(text, at + sizeof label - 1, sizeof text - 1);
    (void)!kt_hash_parse(text, ret);
}

static struct kt_keyring *parse(struct kt_slice membership, struct kt_slice list)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_keyring *keyring = kt_keyring_new(NULL);
    if (!keyring)
        abort();
    take_claimed_hash(list, keyring->membership_hash);
    if (kt_membership_parse(membership, keyring, &err) && kt_key_list_parse(list, keyring, &err))
        return keyring;
    if (err.code == KT_OK || !err.message[0])
        abort();
    kt_keyring_free(keyring);
    return NULL;
}

static void emit(const struct kt_keyring *keyring, struct kt_text *membership, struct kt_text *list)
{
    kt_text_init(membership, (size_t)4 * KT_KEYRING_MAX);
    kt_text_init(list, (size_t)4 * KT_KEYRING_MAX);
    kt_membership_emit(keyring, membership);
    kt_key_list_emit(keyring, list);
    if (membership->bad || list->bad)
        abort();
}

static bool same_text(const struct kt_text *a, const struct kt_text *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char separator[] = "\n" KT_KEYRING_SEPARATOR;
    const uint8_t *cut = size ? memmem(data, size, separator, sizeof separator - 1) : NULL;
    if (!cut || size > KT_KEYRING_MAX)
        return 0;
    const uint8_t *rest = cut + sizeof separator - 1;
    struct kt_keyring *keyring =
        parse(KT_SLICE(data, (size_t)(cut - data) + 1), KT_SLICE(rest, size - (size_t)(rest - data)));
    if (!keyring)
        return 0;
    KT_CLEANUP(kt_text_done) struct kt_text membership = {0};
    KT_CLEANUP(kt_text_done) struct kt_text list = {0};
    KT_CLEANUP(kt_text_done) struct kt_text membership_again = {0};
    KT_CLEANUP(kt_text_done) struct kt_text list_again = {0};
    emit(keyring, &membership, &list);
    struct kt_keyring *again = parse(KT_SLICE(membership.data, membership.len), KT_SLICE(list.data, list.len));
    if (!again)
        abort();
    emit(again, &membership_again, &list_again);
    if (!same_text(&membership, &membership_again) || !same_text(&list, &list_again))
        abort();
    kt_keyring_free(again);
    kt_keyring_free(keyring);
    return 0;
}
