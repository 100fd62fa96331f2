/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/key_name.h"
#include "keystore/keyring_internal.h"

#include <string.h>

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

bool kt_hash_is_zero(const uint8_t hash[KT_HASH_LEN])
{
    static const uint8_t zero[KT_HASH_LEN];
    return memcmp(hash, zero, KT_HASH_LEN) == 0;
}

/* RFC 1123: labels of letters and digits, with hyphens inside, joined by dots. */
bool kt_recipient_name_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > KT_NAME_MAX || strspn(name, LOWER DIGITS "-.") != len)
        return false;
    for (const char *label = name;; label++) {
        size_t n = strcspn(label, ".");
        if (n == 0 || label[0] == '-' || label[n - 1] == '-')
            return false;
        label += n;
        if (!*label)
            return true;
    }
}

bool kt_api_server_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > KT_API_SERVER_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    return true;
}

bool kt_key_len_valid(enum kt_key_type type, size_t len)
{
    bool may_be_short = type == KT_KEY_AESCBC || type == KT_KEY_AESGCM;
    return len == KT_KEY_BYTES || (may_be_short && (len == 16 || len == 24));
}

size_t kt_keyring_find_key(const struct kt_keyring_info *info, const char *id)
{
    size_t i = 0;
    while (i < info->n_keys && strcmp(info->keys[i].id, id) != 0)
        i++;
    return i;
}

size_t kt_keyring_find_recovery(const struct kt_keyring_info *info)
{
    size_t i = 0;
    while (i < info->n_recipients && info->recipients[i].kind != KT_RECIPIENT_RECOVERY)
        i++;
    return i;
}

#define broken(err, ...) kt_fail((err), KT_E_KEYRING_CONTENT, "keyring, " __VA_ARGS__)

static bool check_made_over(const struct kt_keyring *k, struct kt_error *err)
{
    bool first = k->info.membership == 1;
    if ((k->made_over.generation == 0) != first)
        return broken(err, "part 1: expected madeOver.generation to be 0 in the first membership and only there");
    if (kt_hash_is_zero(k->made_over.hash) != first)
        return broken(err, "part 1: expected madeOver.hash to be zeros in the first membership and only there");
    return true;
}

static bool check_recipient(const struct kt_keyring *k, size_t i, struct kt_error *err)
{
    const struct kt_recipient_info *recipient = &k->info.recipients[i];
    bool is_recovery = recipient->kind == KT_RECIPIENT_RECOVERY;
    if (!kt_recipient_name_valid(recipient->name))
        return broken(err, "part 1: recipient %zu: expected a name of 1 to %u of a-z 0-9 . -, found another", i + 1,
                      KT_NAME_MAX);
    if (is_recovery != (strcmp(recipient->name, KT_RECOVERY_NAME) == 0))
        return broken(err, "part 1: recipient %s: expected the kind recovery under the name recovery and only there",
                      recipient->name);
    for (size_t j = 0; j < i; j++) {
        if (strcmp(k->info.recipients[j].name, recipient->name) == 0)
            return broken(err, "part 1: recipient %s: expected each name once, found it twice", recipient->name);
        if (memcmp(k->recipients[j], k->recipients[i], KT_P256_PUBLIC) == 0)
            return broken(err, "part 1: recipients %s and %s: expected different public keys, found the same",
                          k->info.recipients[j].name, recipient->name);
    }
    return true;
}

bool kt_membership_check(const struct kt_keyring *k, struct kt_error *err)
{
    if (!check_made_over(k, err))
        return false;
    if (k->info.n_recipients == 0)
        return broken(err, "part 1: expected 1 to %u recipients, found none", KT_RECIPIENTS_MAX);
    size_t n_recovery = 0;
    for (size_t i = 0; i < k->info.n_recipients; i++)
        n_recovery += k->info.recipients[i].kind == KT_RECIPIENT_RECOVERY;
    if (n_recovery != 1)
        return broken(err, "part 1: expected exactly one recipient of kind recovery, found %zu", n_recovery);
    for (size_t i = 0; i < k->info.n_recipients; i++)
        if (!check_recipient(k, i, err))
            return false;
    return true;
}

static bool check_place(const struct kt_keyring *k, struct kt_error *err)
{
    if (memcmp(k->list_keyring_id, k->info.keyring_id, KT_KEYRING_ID_LEN) != 0)
        return broken(err, "part 2: expected the keyring id of part 1, found another");
    if (memcmp(k->list_membership_hash, k->membership_hash, KT_HASH_LEN) != 0)
        return broken(err, "part 2: expected membershipHash to be the hash of part 1, found another");
    if (k->info.generation <= k->made_over.generation)
        return broken(err, "part 2: expected a generation above the one that the membership was made over, found %llu",
                      (unsigned long long)k->info.generation);
    if (kt_hash_is_zero(k->previous) != (k->info.generation == 1))
        return broken(err, "part 2: expected previous to be zeros in generation 1 and only there");
    if (!kt_recipient_name_valid(k->info.writer))
        return broken(err, "part 2: writer: expected a name of 1 to %u of a-z 0-9 . -, found another", KT_NAME_MAX);
    return true;
}

static bool check_api_servers(const struct kt_keyring *k, struct kt_error *err)
{
    for (size_t i = 0; i < k->info.n_api_servers; i++) {
        if (!kt_api_server_valid(k->info.api_servers[i]))
            return broken(
                err, "part 2: apiServers, number %zu: expected printable ASCII without spaces, found something else",
                i + 1);
        for (size_t j = 0; j < i; j++)
            if (strcmp(k->info.api_servers[i], k->info.api_servers[j]) == 0)
                return broken(err, "part 2: apiServers, numbers %zu and %zu: expected different names, found the same",
                              j + 1, i + 1);
    }
    return true;
}

/* Key number n of listed and archived together. */
static const char *id_at(const struct kt_keyring_info *info, size_t n)
{
    return n < info->n_keys ? info->keys[n].id : info->archive[n - info->n_keys].id;
}

static bool check_ids(const struct kt_keyring_info *info, struct kt_error *err)
{
    size_t n = info->n_keys + info->n_archive;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(id_at(info, i), id_at(info, j)) == 0)
                return broken(err, "part 2: key %s: expected each key id once in keys and archive, found it twice",
                              id_at(info, i));
    return true;
}

static bool check_key(const struct kt_keyring *k, size_t i, struct kt_error *err)
{
    const struct kt_key_info *key = &k->info.keys[i];
    size_t overhead = KT_GCM_NONCE + KT_GCM_TAG;
    if (!kt_key_name_valid(key->name))
        return broken(err, "part 2: key %s: expected a name of " KT_KEY_NAME_RULE ", found another", key->id);
    for (size_t j = 0; j < i; j++)
        if (k->info.keys[j].type == key->type && strcmp(k->info.keys[j].name, key->name) == 0)
            return broken(err, "part 2: keys %s and %s: expected different names within one type, found the same",
                          k->info.keys[j].id, key->id);
    if (k->keys[i].len <= overhead || !kt_key_len_valid(key->type, k->keys[i].len - overhead))
        return broken(err, "part 2: key %s: expected wrapped to hold a key of type %s, found %zu bytes", key->id,
                      kt_key_type_text(key->type), k->keys[i].len);
    return true;
}

static bool check_active(const struct kt_keyring_info *info, struct kt_error *err)
{
    size_t n_active = 0;
    for (size_t i = 0; i < info->n_keys; i++)
        n_active += info->keys[i].state == KT_KEY_ACTIVE;
    if (n_active == 0)
        return broken(err, "part 2: expected exactly one active key, found none");
    if (n_active > 1)
        return broken(err, "part 2: expected exactly one active key, found %zu", n_active);
    if (info->keys[0].state != KT_KEY_ACTIVE)
        return broken(err, "part 2: expected the active key to be the first, found key %s there, which is %s",
                      info->keys[0].id, kt_key_state_text(info->keys[0].state));
    return true;
}

static bool check_keys(const struct kt_keyring *k, struct kt_error *err)
{
    if (k->info.n_keys == 0)
        return broken(err, "part 2: expected 1 to %u keys, found none", KT_KEYS_MAX);
    for (size_t i = 0; i < k->info.n_keys; i++)
        if (!check_key(k, i, err))
            return false;
    const struct kt_wrapped *fixed[] = {&k->signer_key, &k->status_key};
    for (size_t i = 0; i < KT_ARRAY_LEN(fixed); i++)
        if (fixed[i]->len != KT_WRAPPED_MAX)
            return broken(err, "part 2: %s: expected %u bytes, found %zu", i == 0 ? "signerKey" : "statusKey",
                          KT_WRAPPED_MAX, fixed[i]->len);
    return check_active(&k->info, err);
}

static bool check_archive(const struct kt_keyring *k, struct kt_error *err)
{
    for (size_t i = 0; i < k->info.n_archive; i++) {
        const struct kt_archived_info *key = &k->info.archive[i];
        if (!kt_key_name_valid(key->name))
            return broken(err, "part 2: archived key %s: expected a name of " KT_KEY_NAME_RULE ", found another",
                          key->id);
        if (k->archive[i].len <= KT_HPKE_OVERHEAD || !kt_key_len_valid(key->type, k->archive[i].len - KT_HPKE_OVERHEAD))
            return broken(err, "part 2: archived key %s: expected sealed to hold a key of type %s, found %zu bytes",
                          key->id, kt_key_type_text(key->type), k->archive[i].len);
    }
    return true;
}

static bool check_wraps(const struct kt_keyring *k, struct kt_error *err)
{
    if (k->n_wraps != k->info.n_recipients)
        return broken(err, "part 2: expected one wrap for each of the %zu recipients, found %zu", k->info.n_recipients,
                      k->n_wraps);
    for (size_t i = 0; i < k->n_wraps; i++)
        if (strcmp(k->wrap_names[i], k->info.recipients[i].name) != 0)
            return broken(err, "part 2: wrap %zu: expected the one for recipient %s, found another", i + 1,
                          k->info.recipients[i].name);
    return true;
}

/* So that whoever writes the next generation can go on with the chain. */
static bool check_audit(const struct kt_keyring *k, struct kt_error *err)
{
    struct kt_audit_prefix last = {.seq = 0};
    struct kt_error why = KT_ERROR_INIT;
    if (kt_audit_tail_check(&k->audit, k->info.audit_head, &last, &why))
        return true;
    return why.code == KT_E_FOUND ? broken(err, "part 2: audit: %s", why.message) : kt_error_copy(err, &why);
}

bool kt_key_list_check(const struct kt_keyring *k, struct kt_error *err)
{
    return check_place(k, err) && check_api_servers(k, err) && check_keys(k, err) && check_archive(k, err) &&
           check_ids(&k->info, err) && check_wraps(k, err) && check_audit(k, err);
}
