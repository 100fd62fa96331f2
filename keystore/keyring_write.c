/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/kdf.h"
#include "keystore/key_name.h"
#include "keystore/keyring_internal.h"
#include "keystore/recovery_key.h"

#include <string.h>

/* Above KT_KEYRING_MAX, so that a document that grew too large is told from memory that ran out. */
#define TEXT_MAX ((size_t)2 * KT_KEYRING_MAX)

#define LAST_TIME UINT64_C(253402300799) /* 9999-12-31T23:59:59Z, the last that can be written */

bool kt_keyring_take_text(struct kt_text *t, struct kt_bytes *ret, struct kt_error *err)
{
    if (t->len <= KT_KEYRING_MAX)
        return kt_text_take(t, ret, err);
    return kt_fail(err, KT_E_REFUSED, "the keyring would have %zu bytes: expected at most %u", t->len, KT_KEYRING_MAX);
}

#define SIGNATURES_MAX 16384u /* of part 3, with 64 owners */

/* Older lines of the audit log make room for the rest. */
static bool emit_list(struct kt_keyring *draft, size_t membership_len, struct kt_text *ret, struct kt_error *err)
{
    for (;;) {
        kt_text_init(ret, TEXT_MAX);
        kt_key_list_emit(draft, ret);
        if (ret->bad)
            return kt_fail(err, KT_E_NOMEM, "out of memory for the key list");
        if (membership_len + ret->len + SIGNATURES_MAX <= KT_KEYRING_MAX || draft->audit.n <= 1)
            return true;
        kt_audit_tail_drop(&draft->audit);
        kt_text_done(ret);
    }
}

bool kt_keyring_assemble(struct kt_keyring *draft, struct kt_slice membership, const struct kt_keyring_keys *keys,
                         struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text list = {0};
    KT_CLEANUP(kt_text_done) struct kt_text all = {0};
    kt_text_init(&all, TEXT_MAX);
    if (!emit_list(draft, membership.len, &list, err))
        return false;
    struct kt_slice list_text = KT_SLICE(list.data, list.len);
    if (!kt_p256_sign(keys->signer, KT_CONTEXT_KEY_LIST, list_text, draft->signatures.list, err))
        return false;
    kt_text_add_bytes(&all, membership.data, membership.len);
    kt_text_add(&all, KT_KEYRING_SEPARATOR);
    kt_text_add_bytes(&all, list.data, list.len);
    kt_text_add(&all, KT_KEYRING_SEPARATOR);
    kt_signatures_emit(&draft->signatures, &all);
    return kt_keyring_take_text(&all, ret, err);
}

static bool same_keys(const struct kt_keyring_keys *a, const struct kt_keyring_keys *b)
{
    bool same = a->n == b->n && kt_secret_equal(a->keyring_key, b->keyring_key) &&
                kt_secret_equal(a->status_key, b->status_key);
    for (size_t i = 0; same && i < a->n; i++)
        same = kt_secret_equal(a->bytes[i], b->bytes[i]);
    return same;
}

bool kt_keyring_read_back(const struct kt_bytes *document, const uint8_t owner[KT_HASH_LEN],
                          const struct kt_keyring_keys *keys, const struct kt_p256 *own, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = kt_keyring_verify(kt_bytes_view(document), owner, err);
    if (!keyring)
        return kt_error_prefix(err, "the keyring just written does not verify");
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *found = kt_keyring_open(keyring, own, err);
    if (!found)
        return kt_error_prefix(err, "the keyring just written does not open");
    return same_keys(keys, found) ||
           kt_fail(err, KT_E_INTERNAL, "the keyring just written has other keys than were put into it");
}

bool kt_keyring_founder(const struct kt_signatures *signatures, uint8_t ret[KT_HASH_LEN], struct kt_error *err)
{
    const struct kt_slice founder = KT_SLICE(signatures->owners[0], KT_P256_PUBLIC);
    return kt_sha256(&founder, 1, ret, err);
}

/* The first generation. */
static bool check_founding(const struct kt_keyring_founding *f, struct kt_error *err)
{
    if (!kt_recipient_name_valid(f->node) || strcmp(f->node, KT_RECOVERY_NAME) == 0)
        return kt_fail(err, KT_E_USAGE,
                       "expected a node name of 1 to %u of a-z 0-9 . - other than recovery, found another",
                       KT_NAME_MAX);
    if (f->type < KT_KEY_KMS || f->type > KT_KEY_SECRETBOX || !kt_key_name_valid(f->key_name))
        return kt_fail(err, KT_E_USAGE,
                       "expected a known key type and a key name of " KT_KEY_NAME_RULE ", found something else");
    if (f->kind != KT_RECIPIENT_FILE && f->kind != KT_RECIPIENT_TPM2)
        return kt_fail(err, KT_E_USAGE, "expected a node's kind of recipient (file or tpm2), found %s",
                       kt_recipient_kind_text(f->kind));
    if (f->now > LAST_TIME)
        return kt_fail(err, KT_E_USAGE, "expected a time before the year 10000: is the clock of this node right?");
    return true;
}

static bool found_recipients(struct kt_keyring *draft, const struct kt_keyring_founding *f, struct kt_error *err)
{
    struct kt_recipient_info *recipients = draft->info.recipients;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *recovery = kt_recovery_key_recipient(f->recovery_key, err);
    if (!recovery)
        return false;
    memcpy(recipients[0].name, f->node, strlen(f->node) + 1);
    recipients[0].kind = f->kind;
    kt_p256_public(f->own, draft->recipients[0]);
    memcpy(recipients[1].name, KT_RECOVERY_NAME, sizeof KT_RECOVERY_NAME);
    recipients[1].kind = KT_RECIPIENT_RECOVERY;
    kt_p256_public(recovery, draft->recipients[1]);
    draft->info.n_recipients = 2;
    return true;
}

/* Part 1, signed; *ret is its text. */
static bool found_membership(struct kt_keyring *draft, const struct kt_keyring_founding *f,
                             const struct kt_keyring_keys *keys, struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text text = {0};
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *owner = kt_recovery_key_owner(f->recovery_key, err);
    if (!owner || !kt_random(draft->info.keyring_id, KT_KEYRING_ID_LEN, err) || !found_recipients(draft, f, err))
        return false;
    draft->info.membership = 1;
    kt_p256_public(owner, draft->owner);
    kt_p256_public(keys->signer, draft->signer);
    memcpy(draft->signatures.owners[0], draft->owner, KT_P256_PUBLIC);
    draft->signatures.n_owners = 1;
    kt_text_init(&text, TEXT_MAX);
    kt_membership_emit(draft, &text);
    if (!kt_keyring_take_text(&text, ret, err))
        return false;
    const struct kt_slice part = kt_bytes_view(ret);
    return kt_sha256(&part, 1, draft->membership_hash, err) &&
           kt_p256_sign(owner, KT_CONTEXT_MEMBERSHIP, part, draft->signatures.membership, err);
}

static bool found_list(struct kt_keyring *draft, const struct kt_keyring_founding *f, struct kt_keyring_keys *keys,
                       struct kt_error *err)
{
    struct kt_keyring_info *info = &draft->info;
    const struct kt_edit_over over = {.now = f->now};
    struct kt_edit add = {.kind = KT_EDIT_ADD, .type = f->type};
    memcpy(add.name, f->key_name, strlen(f->key_name) + 1);
    if (!kt_keyring_edit(draft, keys, &add, &over, err))
        return false;
    info->keys[0].state = KT_KEY_ACTIVE;
    memcpy(draft->list_keyring_id, info->keyring_id, KT_KEYRING_ID_LEN);
    memcpy(draft->list_membership_hash, draft->membership_hash, KT_HASH_LEN);
    memcpy(info->writer, f->node, strlen(f->node) + 1);
    info->generation = 1;
    info->written = f->now;
    info->stage = KT_STAGE_START;
    info->enabled = true;
    info->hold = KT_HOLD_DEFAULT;
    return true;
}

static struct kt_keyring_keys *found_keys(const struct kt_keyring_founding *f, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = kt_keyring_keys_new(err);
    if (!keys)
        return NULL;
    keys->own = kt_keyring_copy_pair(f->own, err);
    keys->signer = kt_p256_generate(err);
    keys->status_key = kt_secret_new_random(KT_KEY_BYTES, err);
    return keys->own && keys->signer && keys->status_key ? KT_TAKE_PTR(keys) : NULL;
}

bool kt_keyring_found(const struct kt_keyring_founding *founding, struct kt_bytes *ret_document,
                      uint8_t ret_owner[KT_HASH_LEN], struct kt_error *err)
{
    KT_CLEANUP(kt_bytes_done) struct kt_bytes membership = {0};
    KT_CLEANUP(kt_bytes_done) struct kt_bytes document = {0};
    const struct kt_audit_change announcement = {.event = KT_AUDIT_FOUNDED, .claim = founding->claim};
    uint8_t owner[KT_HASH_LEN] = {0};
    if (!check_founding(founding, err))
        return false;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *draft = kt_keyring_new(err);
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = found_keys(founding, err);
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *recovery = kt_recovery_key_recipient(founding->recovery_key, err);
    if (!draft || !keys || !recovery || !found_membership(draft, founding, keys, &membership, err) ||
        !found_list(draft, founding, keys, err) || !kt_keyring_seal(draft, keys, err) ||
        !kt_keyring_announce(draft, &announcement, err) ||
        !kt_keyring_assemble(draft, kt_bytes_view(&membership), keys, &document, err) ||
        !kt_keyring_founder(&draft->signatures, owner, err) ||
        !kt_keyring_read_back(&document, owner, keys, founding->own, err) ||
        !kt_keyring_read_back(&document, owner, keys, recovery, err))
        return false;
    *ret_document = document;
    document = (struct kt_bytes){0};
    memcpy(ret_owner, owner, KT_HASH_LEN);
    return true;
}

/* The next generation. */
bool kt_keyring_check_change(const struct kt_keyring *keyring, const struct kt_keyring_keys *keys,
                             const struct kt_keyring_change *change, struct kt_error *err)
{
    if (keys->n != keyring->info.n_keys || memcmp(keys->keyring_hash, keyring->info.hash, KT_HASH_LEN) != 0)
        return kt_fail(err, KT_E_INTERNAL, "the keys were opened from another keyring than the one to change");
    if (change->n_edits > KT_EDITS_MAX)
        return kt_fail(err, KT_E_REFUSED, "expected at most %u edits at once, found %zu", KT_EDITS_MAX,
                       change->n_edits);
    if (!kt_recipient_name_valid(change->writer))
        return kt_fail(err, KT_E_REFUSED, "expected a writer's name of 1 to %u of a-z 0-9 . -, found another",
                       KT_NAME_MAX);
    if (change->now > LAST_TIME)
        return kt_fail(err, KT_E_REFUSED, "expected a time before the year 10000: is the clock of this node right?");
    if (keyring->info.generation >= KT_NUMBER_MAX)
        return kt_fail(err, KT_E_REFUSED, "the keyring has reached the highest generation that there can be");
    return true;
}

struct kt_keyring *kt_keyring_draft_next(const struct kt_keyring *keyring, const struct kt_keyring_change *change,
                                         struct kt_error *err)
{
    struct kt_keyring *draft = kt_keyring_new(err);
    if (!draft)
        return NULL;
    *draft = *keyring;
    draft->document = (struct kt_bytes){0};
    draft->info.generation++;
    memcpy(draft->previous, keyring->info.hash, KT_HASH_LEN);
    draft->info.written = change->now;
    memcpy(draft->info.writer, change->writer, strlen(change->writer) + 1);
    return draft;
}

struct kt_keyring_keys *kt_keyring_keys_copy(const struct kt_keyring_keys *from, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = kt_keyring_keys_new(err);
    if (!keys)
        return NULL;
    for (size_t i = 0; i < from->n; i++) {
        keys->bytes[i] = kt_secret_new_copy(kt_secret_view(from->bytes[i]), kt_secret_len(from->bytes[i]), err);
        if (!keys->bytes[i])
            return NULL;
        keys->n = i + 1;
    }
    keys->status_key = kt_secret_new_copy(kt_secret_view(from->status_key), kt_secret_len(from->status_key), err);
    keys->signer = keys->status_key ? kt_keyring_copy_pair(from->signer, err) : NULL;
    return keys->signer ? KT_TAKE_PTR(keys) : NULL;
}

static bool apply_edits(const struct kt_keyring *keyring, struct kt_keyring *draft, struct kt_keyring_keys *keys,
                        const struct kt_p256 *opened_with, const struct kt_keyring_change *change, struct kt_error *err)
{
    struct kt_edit_over over = {.before = &keyring->info, .opened_with = opened_with, .now = change->now};
    size_t n_imported = 0;
    for (size_t i = 0; i < change->n_edits; i++) {
        bool imports = change->edits[i].kind == KT_EDIT_IMPORT && n_imported < change->n_imports;
        over.imported = imports ? change->imports[n_imported++] : NULL;
        if (!kt_keyring_edit(draft, keys, &change->edits[i], &over, err))
            return kt_error_prefix(err, "edit %zu of %zu", i + 1, change->n_edits);
    }
    return n_imported == change->n_imports ||
           kt_fail(err, KT_E_REFUSED, "expected %zu edits that import a key, found %zu", change->n_imports, n_imported);
}

bool kt_keyring_write(const struct kt_keyring *keyring, const struct kt_keyring_keys *keys,
                      const struct kt_keyring_change *change, struct kt_bytes *ret_document, struct kt_error *err)
{
    KT_CLEANUP(kt_bytes_done) struct kt_bytes document = {0};
    const struct kt_audit_change announcement = {.before = keyring, .event = KT_AUDIT_CHANGED, .claim = change->claim};
    uint8_t owner[KT_HASH_LEN] = {0};
    if (!kt_keyring_check_change(keyring, keys, change, err))
        return false;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *draft = kt_keyring_draft_next(keyring, change, err);
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *next = kt_keyring_keys_copy(keys, err);
    if (!draft || !next || !apply_edits(keyring, draft, next, keys->own, change, err) ||
        !kt_keyring_seal(draft, next, err) || !kt_keyring_announce(draft, &announcement, err) ||
        !kt_key_list_check(draft, err) ||
        !kt_keyring_assemble(draft, keyring->parts.membership, next, &document, err) ||
        !kt_keyring_founder(&draft->signatures, owner, err) ||
        !kt_keyring_read_back(&document, owner, next, keys->own, err))
        return false;
    *ret_document = document;
    document = (struct kt_bytes){0};
    return true;
}
