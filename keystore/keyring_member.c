/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/keyring_member.h"

#include "keystore/kdf.h"
#include "keystore/key_name.h"
#include "keystore/keyring_internal.h"
#include "keystore/recovery_key.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* One change while it is made. */
struct making {
    const struct kt_keyring *keyring;
    const struct kt_member_change *change;
    struct kt_keyring *draft;
    struct kt_keyring_keys *keys;
    struct kt_p256 *owner;    /* signs the membership */
    struct kt_p256 *recovery; /* the recovery recipient from now on */
};

static void making_done(struct making *m)
{
    kt_keyring_free(m->draft);
    kt_keyring_keys_free(m->keys);
    kt_p256_free(m->owner);
    kt_p256_free(m->recovery);
}

static size_t find_recipient(const struct kt_keyring_info *info, const char *name)
{
    size_t i = 0;
    while (i < info->n_recipients && strcmp(info->recipients[i].name, name) != 0)
        i++;
    return i;
}

bool kt_keyring_has_recipient(const struct kt_keyring *keyring, const char *name,
                              const uint8_t public_key[KT_P256_PUBLIC])
{
    size_t i = find_recipient(&keyring->info, name);
    return i < keyring->info.n_recipients && memcmp(keyring->recipients[i], public_key, KT_P256_PUBLIC) == 0;
}

static bool need_key(const struct kt_secret *key, const char *which, struct kt_error *err)
{
    return key || kt_fail(err, KT_E_RECOVERY_KEY, "expected the %srecovery key, found none", which);
}

/* The pair that the membership in force is signed with. */
static struct kt_p256 *present_owner(const struct making *m, struct kt_error *err)
{
    uint8_t public_key[KT_P256_PUBLIC] = {0};
    if (!need_key(m->change->recovery_key, "", err))
        return NULL;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *owner = kt_recovery_key_owner(m->change->recovery_key, err);
    if (!owner)
        return NULL;
    kt_p256_public(owner, public_key);
    if (memcmp(public_key, m->keyring->owner, KT_P256_PUBLIC) == 0)
        return KT_TAKE_PTR(owner);
    kt_fail(err, KT_E_RECOVERY_KEY,
            "this recovery key is not the present owner's: expected the one that membership %" PRIu64 " is signed with",
            m->keyring->info.membership);
    kt_error_hint(err, "it belongs to another cluster, or was replaced; `keyturn recovery verify` tries one");
    return NULL;
}

static bool new_signer(struct making *m, struct kt_error *err)
{
    struct kt_p256 *signer = kt_p256_generate(err);
    struct kt_secret *status_key = signer ? kt_secret_new_random(KT_KEY_BYTES, err) : NULL;
    if (!status_key) {
        kt_p256_free(signer);
        return false;
    }
    kt_p256_free(m->keys->signer);
    kt_secret_free(m->keys->status_key);
    m->keys->signer = signer;
    m->keys->status_key = status_key;
    kt_p256_public(signer, m->draft->signer);
    return true;
}

static bool check_node(const struct making *m, struct kt_error *err)
{
    const char *name = m->change->name;
    if (!name || !kt_recipient_name_valid(name) || strcmp(name, KT_RECOVERY_NAME) == 0)
        return kt_fail(err, KT_E_REFUSED,
                       "expected a node's name of 1 to %u of a-z 0-9 . - other than recovery, found another",
                       KT_NAME_MAX);
    return true;
}

static bool check_recipient(const struct making *m, struct kt_error *err)
{
    const struct kt_member_change *change = m->change;
    if (!check_node(m, err))
        return false;
    if (change->recipient != KT_RECIPIENT_FILE && change->recipient != KT_RECIPIENT_TPM2)
        return kt_fail(err, KT_E_REFUSED, "expected a node's kind of recipient (file or tpm2), found %s",
                       kt_recipient_kind_text(change->recipient));
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *key = kt_p256_from_public(change->public_key, NULL);
    if (!key)
        return kt_fail(err, KT_E_REFUSED, "expected a public key on P-256, found something else");
    for (size_t i = 0; i < m->draft->info.n_recipients; i++) {
        const char *name = m->draft->info.recipients[i].name;
        if (memcmp(m->draft->recipients[i], change->public_key, KT_P256_PUBLIC) != 0)
            continue;
        kt_fail(err, KT_E_EXISTS, "recipient %s has that very public key already", name);
        return kt_error_hint(
            err, "one private half is for one node: if %s was approved by mistake, keyturn node remove %s", name, name);
    }
    return true;
}

static void set_recipient(const struct making *m, size_t i)
{
    struct kt_recipient_info *recipient = &m->draft->info.recipients[i];
    memcpy(recipient->name, m->change->name, strlen(m->change->name) + 1);
    recipient->kind = m->change->recipient;
    memcpy(m->draft->recipients[i], m->change->public_key, KT_P256_PUBLIC);
}

static bool apply_add(struct making *m, struct kt_error *err)
{
    struct kt_keyring_info *info = &m->draft->info;
    if (!check_recipient(m, err))
        return false;
    if (find_recipient(info, m->change->name) < info->n_recipients) {
        kt_fail(err, KT_E_EXISTS, "%s is a recipient already, with another key", m->change->name);
        return kt_error_hint(err, "if its key is to be replaced: keyturn node approve REQUEST --replace %s",
                             m->change->name);
    }
    if (info->n_recipients == KT_RECIPIENTS_MAX) {
        kt_fail(err, KT_E_REFUSED, "expected fewer than %u recipients, found so many already", KT_RECIPIENTS_MAX);
        return kt_error_hint(err, "remove nodes that are gone: keyturn node remove NAME");
    }
    set_recipient(m, info->n_recipients++);
    return true;
}

static bool find_node(const struct making *m, size_t *ret, struct kt_error *err)
{
    if (!check_node(m, err))
        return false;
    *ret = find_recipient(&m->draft->info, m->change->name);
    if (*ret < m->draft->info.n_recipients)
        return true;
    kt_fail(err, KT_E_REFUSED, "expected the name of a recipient, found none that is called %s", m->change->name);
    return kt_error_hint(err, "keyturn node list shows them");
}

static bool apply_replace(struct making *m, struct kt_error *err)
{
    size_t i = 0;
    if (!check_recipient(m, err) || !find_node(m, &i, err))
        return false;
    set_recipient(m, i);
    return new_signer(m, err);
}

/* What is encrypted from the rotation on must be safe from who has left. A rotation that is under way goes on. */
static bool add_key(struct making *m, struct kt_error *err)
{
    struct kt_keyring_info *info = &m->draft->info;
    const struct kt_edit_over over = {.before = &m->keyring->info, .now = m->change->now};
    struct kt_edit add = {.kind = KT_EDIT_ADD, .type = info->keys[0].type};
    kt_key_name_next(info, add.type, m->change->now, add.name);
    if (!kt_keyring_edit(m->draft, m->keys, &add, &over, err))
        return false;
    if (info->stage == KT_STAGE_START || info->stage == KT_STAGE_REENCRYPT_FINISHED)
        info->stage = KT_STAGE_PREPARE;
    return true;
}

static bool apply_remove(struct making *m, struct kt_error *err)
{
    struct kt_keyring_info *info = &m->draft->info;
    size_t i = 0;
    if (!find_node(m, &i, err))
        return false;
    size_t after = info->n_recipients - i - 1;
    memmove(&info->recipients[i], &info->recipients[i + 1], after * sizeof info->recipients[0]);
    memmove(m->draft->recipients[i], m->draft->recipients[i + 1], after * sizeof m->draft->recipients[0]);
    info->n_recipients--;
    return new_signer(m, err) && add_key(m, err);
}

/* The recovery recipient and the owner from the new key; the caller says how they are vouched for. */
static bool change_recovery(struct making *m, struct kt_error *err)
{
    const struct kt_secret *key = m->change->new_recovery_key;
    if (!need_key(key, "new ", err))
        return false;
    if (m->change->recovery_key && kt_secret_equal(key, m->change->recovery_key))
        return kt_fail(err, KT_E_REFUSED, "expected a new recovery key, found the present one");
    kt_p256_free(KT_TAKE_PTR(m->owner));
    kt_p256_free(KT_TAKE_PTR(m->recovery));
    m->owner = kt_recovery_key_owner(key, err);
    m->recovery = m->owner ? kt_recovery_key_recipient(key, err) : NULL;
    if (!m->recovery)
        return false;
    kt_p256_public(m->owner, m->draft->owner);
    kt_p256_public(m->recovery, m->draft->recipients[kt_keyring_find_recovery(&m->draft->info)]);
    return new_signer(m, err);
}

/* The owner so far vouches for the one that follows. */
static bool link_owner(struct making *m, const struct kt_p256 *before, struct kt_error *err)
{
    struct kt_signatures *signatures = &m->draft->signatures;
    uint8_t message[2 * KT_P256_PUBLIC] = {0};
    size_t n = signatures->n_owners;
    if (n == KT_OWNERS_MAX)
        return kt_fail(err, KT_E_REFUSED, "the chain of owners is full: expected fewer than %u", KT_OWNERS_MAX);
    memcpy(message, signatures->owners[n - 1], KT_P256_PUBLIC);
    memcpy(message + KT_P256_PUBLIC, m->draft->owner, KT_P256_PUBLIC);
    memcpy(signatures->owners[n], m->draft->owner, KT_P256_PUBLIC);
    signatures->n_owners++;
    return kt_p256_sign(before, KT_CONTEXT_OWNER_LINK, KT_SLICE(message, sizeof message), signatures->links[n], err);
}

static bool apply_replace_recovery(struct making *m, struct kt_error *err)
{
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *before = kt_keyring_copy_pair(m->owner, err);
    return before && change_recovery(m, err) && link_owner(m, before, err);
}

static bool apply_lost_recovery(struct making *m, struct kt_error *err)
{
    if (!change_recovery(m, err))
        return false;
    m->draft->signatures.n_owners = 1;
    memcpy(m->draft->signatures.owners[0], m->draft->owner, KT_P256_PUBLIC);
    return true;
}

static const struct kind {
    const char *name;
    bool (*apply)(struct making *m, struct kt_error *err);
    enum kt_member_kind kind;
    enum kt_audit_event event;
    bool by_present_owner;
} KINDS[] = {
    {"add a recipient", apply_add, KT_MEMBER_ADD, KT_AUDIT_NODE_ADDED, true},
    {"replace a recipient's key", apply_replace, KT_MEMBER_REPLACE, KT_AUDIT_NODE_REPLACED, true},
    {"remove a recipient", apply_remove, KT_MEMBER_REMOVE, KT_AUDIT_NODE_REMOVED, true},
    {"replace the recovery key", apply_replace_recovery, KT_MEMBER_REPLACE_RECOVERY, KT_AUDIT_RECOVERY_REPLACED, true},
    {"replace a lost recovery key", apply_lost_recovery, KT_MEMBER_LOST_RECOVERY, KT_AUDIT_RECOVERY_LOST, false},
};

/* NULL: none. */
static const struct kind *find_kind(enum kt_member_kind kind)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(KINDS); i++)
        if (KINDS[i].kind == kind)
            return &KINDS[i];
    return NULL;
}

static bool start(struct making *m, const struct kt_keyring_keys *keys, struct kt_error *err)
{
    const struct kt_keyring_change generation = {.writer = m->change->writer, .now = m->change->now};
    if (!kt_keyring_check_change(m->keyring, keys, &generation, err))
        return false;
    if (m->keyring->info.membership >= KT_NUMBER_MAX)
        return kt_fail(err, KT_E_REFUSED, "the keyring has reached the highest membership that there can be");
    m->draft = kt_keyring_draft_next(m->keyring, &generation, err);
    m->keys = m->draft ? kt_keyring_keys_copy(keys, err) : NULL;
    if (!m->keys)
        return false;
    m->draft->info.membership++;
    m->draft->made_over.generation = m->keyring->info.generation;
    memcpy(m->draft->made_over.hash, m->keyring->info.hash, KT_HASH_LEN);
    return true;
}

static bool apply(struct making *m, struct kt_error *err)
{
    const struct kind *kind = find_kind(m->change->kind);
    if (!kind)
        return kt_fail(err, KT_E_REFUSED, "expected a change of membership that this release knows, found number %d",
                       (int)m->change->kind);
    if (kind->by_present_owner) {
        m->owner = present_owner(m, err);
        m->recovery = m->owner ? kt_recovery_key_recipient(m->change->recovery_key, err) : NULL;
        if (!m->recovery)
            return false;
    }
    return kind->apply(m, err) || kt_error_prefix(err, "%s", kind->name);
}

static bool announce(const struct making *m, struct kt_error *err)
{
    const struct kt_audit_change change = {.before = m->keyring,
                                           .event = find_kind(m->change->kind)->event,
                                           .subject = m->change->name,
                                           .claim = m->change->claim};
    return kt_keyring_announce(m->draft, &change, err);
}

/* Part 1 as text, its hash and its signature into the draft. */
static bool sign_membership(struct making *m, struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text text = {0};
    assert(m->draft);
    if (!kt_membership_check(m->draft, err))
        return false;
    kt_text_init(&text, KT_KEYRING_MAX);
    kt_membership_emit(m->draft, &text);
    if (!kt_keyring_take_text(&text, ret, err))
        return false;
    const struct kt_slice part = kt_bytes_view(ret);
    if (!kt_sha256(&part, 1, m->draft->membership_hash, err))
        return false;
    memcpy(m->draft->list_membership_hash, m->draft->membership_hash, KT_HASH_LEN);
    return kt_p256_sign(m->owner, KT_CONTEXT_MEMBERSHIP, part, m->draft->signatures.membership, err);
}

static bool seal_archive(struct making *m, size_t *ret_lost, struct kt_error *err)
{
    *ret_lost = m->change->kind == KT_MEMBER_LOST_RECOVERY ? m->draft->info.n_archive : 0;
    if (m->change->kind != KT_MEMBER_REPLACE_RECOVERY)
        return true;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *old = kt_recovery_key_recipient(m->change->recovery_key, err);
    return old && kt_keyring_reseal_archive(m->draft, old, ret_lost, err);
}

/* By the recovery key in any case, and by whoever opened it, as long as they still may. */
static bool read_back(const struct making *m, const struct kt_p256 *own, const struct kt_member_result *result,
                      struct kt_error *err)
{
    uint8_t public_key[KT_P256_PUBLIC] = {0};
    if (!kt_keyring_read_back(&result->document, result->founder, m->keys, m->recovery, err))
        return false;
    kt_p256_public(own, public_key);
    for (size_t i = 0; i < m->draft->info.n_recipients; i++)
        if (memcmp(m->draft->recipients[i], public_key, KT_P256_PUBLIC) == 0)
            return kt_keyring_read_back(&result->document, result->founder, m->keys, own, err);
    return true;
}

bool kt_keyring_member_write(const struct kt_keyring *keyring, const struct kt_keyring_keys *keys,
                             const struct kt_member_change *change, struct kt_member_result *ret, struct kt_error *err)
{
    KT_CLEANUP(making_done) struct making m = {.keyring = keyring, .change = change};
    KT_CLEANUP(kt_bytes_done) struct kt_bytes membership = {0};
    struct kt_member_result result = {.n_lost = 0};
    if (!start(&m, keys, err) || !apply(&m, err) || !sign_membership(&m, &membership, err) ||
        !seal_archive(&m, &result.n_lost, err) || !kt_keyring_seal(m.draft, m.keys, err) || !announce(&m, err) ||
        !kt_key_list_check(m.draft, err) || !kt_keyring_founder(&m.draft->signatures, result.founder, err) ||
        !kt_keyring_assemble(m.draft, kt_bytes_view(&membership), m.keys, &result.document, err))
        return false;
    if (!read_back(&m, keys->own, &result, err)) {
        kt_bytes_done(&result.document);
        return false;
    }
    *ret = result;
    return true;
}

static bool stale(const struct kt_floor *known, const struct kt_keyring_info *info, const char *why,
                  struct kt_error *err)
{
    kt_fail(err, KT_E_KEYRING_STALE,
            "a membership would be made over a keyring that is no longer the newest: membership %" PRIu64
            ", generation %" PRIu64 ", where membership %" PRIu64 ", generation %" PRIu64 " is known%s",
            info->membership, info->generation, known->membership, known->generation, why);
    return kt_error_hint(err, "bring the newest keyring to this node first (keyturn keyring offer FILE), then do it "
                              "again");
}

bool kt_floor_check_newest(const struct kt_floor *known, const struct kt_keyring *keyring, struct kt_error *err)
{
    bool leads = true;
    if (known->membership == 0)
        return true;
    if (memcmp(known->keyring_id, keyring->info.keyring_id, KT_KEYRING_ID_LEN) != 0)
        return kt_fail(err, KT_E_KEYRING_FOREIGN, "the keyring belongs to another cluster than the one that is known");
    switch (kt_floor_compare(known, &keyring->info)) {
    case KT_FLOOR_OLDER:
        return stale(known, &keyring->info, "", err);
    case KT_FLOOR_FORK:
        return stale(known, &keyring->info, ", with other contents", err);
    default:
        break;
    }
    if (memcmp(known->founder, keyring->info.founder, KT_HASH_LEN) == 0 &&
        !kt_keyring_has_owner(keyring, known->owner, &leads, err))
        return false;
    return leads || stale(known, &keyring->info, ", by an owner who came later", err);
}

bool kt_keyring_named_founder(struct kt_slice document, uint8_t ret[KT_HASH_LEN], struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_signatures *signatures = calloc(1, sizeof *signatures);
    struct kt_keyring_parts parts = {0};
    if (!signatures)
        return kt_fail(err, KT_E_NOMEM, "out of memory for a keyring's signatures");
    return kt_keyring_split(document, &parts, err) && kt_signatures_scan(parts.signatures, signatures, err) &&
           kt_keyring_founder(signatures, ret, err);
}

uint64_t kt_keyring_made_over(const struct kt_keyring *keyring)
{
    return keyring->made_over.generation;
}

void kt_keyring_owner_key(const struct kt_keyring *keyring, uint8_t ret[KT_P256_PUBLIC])
{
    memcpy(ret, keyring->owner, KT_P256_PUBLIC);
}
