/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/kdf.h"
#include "keystore/keyring_internal.h"

#include <string.h>

bool kt_keyring_hash(struct kt_slice membership, struct kt_slice list, uint8_t ret[KT_HASH_LEN], struct kt_error *err)
{
    const struct kt_slice pieces[] = {membership, kt_slice_str(KT_KEYRING_SEPARATOR), list};
    return kt_sha256(pieces, KT_ARRAY_LEN(pieces), ret, err);
}

static bool fingerprint(const uint8_t public_key[KT_P256_PUBLIC], uint8_t ret[KT_HASH_LEN], struct kt_error *err)
{
    const struct kt_slice key = KT_SLICE(public_key, KT_P256_PUBLIC);
    return kt_sha256(&key, 1, ret, err);
}

bool kt_keyring_has_owner(const struct kt_keyring *keyring, const uint8_t owner[KT_HASH_LEN], bool *ret,
                          struct kt_error *err)
{
    const struct kt_signatures *signatures = &keyring->signatures;
    bool found = false;
    for (size_t i = 0; i < signatures->n_owners && !found; i++) {
        uint8_t one[KT_HASH_LEN] = {0};
        if (!fingerprint(signatures->owners[i], one, err))
            return false;
        found = memcmp(one, owner, KT_HASH_LEN) == 0;
    }
    *ret = found;
    return true;
}

static bool check_founder(const struct kt_signatures *signatures, const uint8_t owner[KT_HASH_LEN],
                          struct kt_error *err)
{
    uint8_t found[KT_HASH_LEN] = {0};
    if (!fingerprint(signatures->owners[0], found, err))
        return false;
    if (memcmp(found, owner, KT_HASH_LEN) == 0)
        return true;
    kt_fail(
        err, KT_E_KEYRING_OWNER,
        "the keyring's founding owner is not the one that this node trusts: its fingerprint differs from `owner` in "
        "keyturn.yaml");
    return kt_error_hint(
        err, "this keyring belongs to another cluster, or keyturn.yaml does; only after a lost recovery "
             "key was replaced (keyturn recovery replace --lost) root writes another `owner`, having compared it");
}

/* A line of the table of §2. */
struct claim {
    const uint8_t *public_key;
    const char *context;
    struct kt_slice message;
    const uint8_t *signature;
};

/* The caller knows which claim it was, and has the words for one that does not hold; but memory that ran out is no
 * forgery. */
static bool claim_holds(const struct claim *claim, bool *ret_verdict, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *key = kt_p256_from_public(claim->public_key, &why);
    bool holds = key && kt_p256_verify(key, claim->context, claim->message, claim->signature, &why);
    *ret_verdict = holds || why.code == KT_E_CRYPTO;
    return holds || (*ret_verdict ? false : kt_error_copy(err, &why));
}

static bool check_links(const struct kt_signatures *signatures, struct kt_error *err)
{
    for (size_t i = 1; i < signatures->n_owners; i++) {
        uint8_t message[2 * KT_P256_PUBLIC] = {0};
        memcpy(message, signatures->owners[i - 1], KT_P256_PUBLIC);
        memcpy(message + KT_P256_PUBLIC, signatures->owners[i], KT_P256_PUBLIC);
        const struct claim link = {
            .public_key = signatures->owners[i - 1],
            .context = KT_CONTEXT_OWNER_LINK,
            .message = KT_SLICE(message, sizeof message),
            .signature = signatures->links[i],
        };
        bool verdict = false;
        if (claim_holds(&link, &verdict, err))
            continue;
        if (!verdict)
            return false;
        kt_fail(err, KT_E_KEYRING_OWNER,
                "the chain of owners is broken: owner %zu of %zu is not signed by the one before it", i + 1,
                signatures->n_owners);
        return kt_error_hint(err, "the file was damaged or forged; copy it again from a node that serves it");
    }
    return true;
}

static bool check_membership_signature(const struct kt_keyring *keyring, struct kt_error *err)
{
    const struct kt_signatures *signatures = &keyring->signatures;
    const struct claim claim = {
        .public_key = signatures->owners[signatures->n_owners - 1],
        .context = KT_CONTEXT_MEMBERSHIP,
        .message = keyring->parts.membership,
        .signature = signatures->membership,
    };
    bool verdict = false;
    if (claim_holds(&claim, &verdict, err))
        return true;
    if (!verdict)
        return false;
    kt_fail(err, KT_E_KEYRING_OWNER,
            "the membership (part 1) is not signed by the owner: its signature does not verify");
    return kt_error_hint(
        err, "part 1 was changed after the owner signed it; copy the keyring again from a node that serves it");
}

static bool check_list_signature(const struct kt_keyring *keyring, struct kt_error *err)
{
    const struct claim claim = {
        .public_key = keyring->signer,
        .context = KT_CONTEXT_KEY_LIST,
        .message = keyring->parts.list,
        .signature = keyring->signatures.list,
    };
    bool verdict = false;
    if (claim_holds(&claim, &verdict, err))
        return true;
    if (!verdict)
        return false;
    kt_fail(
        err, KT_E_KEYRING_SIGNER,
        "the key list (part 2) is not signed by the signer that the membership names: its signature does not verify");
    return kt_error_hint(
        err, "part 2 was changed, or belongs to another membership; copy the keyring again from a node that "
             "serves it");
}

static bool read_membership(struct kt_keyring *keyring, struct kt_error *err)
{
    const struct kt_signatures *signatures = &keyring->signatures;
    const uint8_t *owner = signatures->owners[signatures->n_owners - 1];
    if (!kt_sha256(&keyring->parts.membership, 1, keyring->membership_hash, err) ||
        !kt_membership_parse(keyring->parts.membership, keyring, err))
        return false;
    if (memcmp(keyring->owner, owner, KT_P256_PUBLIC) == 0)
        return fingerprint(owner, keyring->info.owner, err) &&
               fingerprint(signatures->owners[0], keyring->info.founder, err);
    kt_fail(err, KT_E_KEYRING_OWNER,
            "the owner that the membership names is not the last owner of part 3, who signed it");
    return kt_error_hint(err, "whoever wrote this keyring made a mistake; have the owner write the membership again");
}

static bool load(struct kt_keyring *keyring, struct kt_slice document, struct kt_error *err)
{
    return kt_bytes_copy(document, &keyring->document, err) &&
           kt_keyring_split(kt_bytes_view(&keyring->document), &keyring->parts, err) &&
           kt_signatures_scan(keyring->parts.signatures, &keyring->signatures, err);
}

struct kt_keyring *kt_keyring_verify(struct kt_slice document, const uint8_t owner[KT_HASH_LEN], struct kt_error *err)
{
    struct kt_keyring_parts parts = {0};
    /* Before the copy, so that something huge is refused by its size. */
    if (!kt_keyring_split(document, &parts, err))
        return NULL;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = kt_keyring_new(err);
    if (!keyring || !load(keyring, document, err) || !check_founder(&keyring->signatures, owner, err) ||
        !check_links(&keyring->signatures, err) || !check_membership_signature(keyring, err) ||
        !read_membership(keyring, err) || !check_list_signature(keyring, err) ||
        !kt_key_list_parse(keyring->parts.list, keyring, err) ||
        !kt_keyring_hash(keyring->parts.membership, keyring->parts.list, keyring->info.hash, err))
        return NULL;
    return KT_TAKE_PTR(keyring);
}
