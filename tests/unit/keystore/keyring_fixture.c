/* SPDX-License-Identifier: Apache-2.0 */
#include "keyring_fixture.h"

#include "keystore/kdf.h"
#include "keystore/recovery_key.h"

#include <stdio.h>
#include <string.h>

static void need(bool ok, const char *what, const struct kt_error *err)
{
    if (ok)
        return;
    fprintf(stderr, "fixture: %s: %s\n", what, err ? err->message : "");
    abort();
}

static void open_document(struct fixture *f)
{
    struct kt_error err = KT_ERROR_INIT;
    f->keyring = kt_keyring_verify(kt_bytes_view(&f->document), f->owner, &err);
    need(f->keyring, "verify", &err);
    f->keys = kt_keyring_open(f->keyring, f->own, &err);
    need(f->keys, "open", &err);
}

void fixture_init(struct fixture *f)
{
    struct kt_error err = KT_ERROR_INIT;
    *f = (struct fixture){0};
    f->recovery_key = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, &err);
    need(f->recovery_key, "recovery key", &err);
    f->own = kt_p256_generate(&err);
    f->recovery = kt_recovery_key_recipient(f->recovery_key, &err);
    f->owner_key = kt_recovery_key_owner(f->recovery_key, &err);
    need(f->own && f->recovery && f->owner_key, "key pairs", &err);
    const struct kt_keyring_founding founding = {
        .node = "node-1",
        .kind = KT_RECIPIENT_FILE,
        .own = f->own,
        .recovery_key = f->recovery_key,
        .type = KT_KEY_KMS,
        .key_name = "kmskey",
        .now = FIXTURE_NOW,
    };
    need(kt_keyring_found(&founding, &f->document, f->owner, &err), "found", &err);
    open_document(f);
}

void fixture_done(struct fixture *f)
{
    kt_keyring_keys_free(f->keys);
    kt_keyring_free(f->keyring);
    kt_bytes_done(&f->document);
    kt_p256_free(f->owner_key);
    kt_p256_free(f->recovery);
    kt_p256_free(f->own);
    kt_secret_free(f->recovery_key);
    *f = (struct fixture){0};
}

void fixture_take(struct fixture *f, struct kt_bytes *document)
{
    kt_keyring_keys_free(f->keys);
    kt_keyring_free(f->keyring);
    kt_bytes_done(&f->document);
    f->document = *document;
    *document = (struct kt_bytes){0};
    open_document(f);
}

void fixture_write(struct fixture *f, const struct kt_edit *edits, size_t n_edits)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes next = {0};
    const struct kt_keyring_change change = {
        .edits = edits,
        .n_edits = n_edits,
        .writer = "node-1",
        .now = f->keyring->info.written + 1,
    };
    need(kt_keyring_write(f->keyring, f->keys, &change, &next, &err), "write", &err);
    fixture_take(f, &next);
}

void fixture_archive_first(struct fixture *f)
{
    struct kt_edit add_key = {.kind = KT_EDIT_ADD, .type = KT_KEY_KMS, .name = "second"};
    fixture_write(f, &add_key, 1);
    struct kt_edit edits[] = {
        {.kind = KT_EDIT_ACTIVATE}, {.kind = KT_EDIT_STATE, .state = KT_KEY_RETIRING}, {.kind = KT_EDIT_ARCHIVE}};
    memcpy(edits[0].id, f->keyring->info.keys[1].id, sizeof edits[0].id);
    memcpy(edits[1].id, f->keyring->info.keys[0].id, sizeof edits[1].id);
    memcpy(edits[2].id, f->keyring->info.keys[0].id, sizeof edits[2].id);
    fixture_write(f, edits, 2);
    f->keyring->info.written += KT_HOLD_DEFAULT;
    fixture_write(f, &edits[2], 1);
}

static char *copy_text(struct kt_slice part)
{
    char *text = strndup((const char *)part.data, part.len);
    need(text, "memory", NULL);
    return text;
}

void forgery_init(struct forgery *forgery, const struct fixture *f)
{
    forgery->membership = copy_text(f->keyring->parts.membership);
    forgery->list = copy_text(f->keyring->parts.list);
    forgery->signatures = copy_text(f->keyring->parts.signatures);
    forgery->owner_key = kt_keyring_copy_pair(f->owner_key, NULL);
    forgery->signer = kt_keyring_copy_pair(f->keys->signer, NULL);
    need(forgery->owner_key && forgery->signer, "key pairs", NULL);
}

void forgery_done(struct forgery *forgery)
{
    free(forgery->membership);
    free(forgery->list);
    free(forgery->signatures);
    kt_p256_free(forgery->owner_key);
    kt_p256_free(forgery->signer);
    *forgery = (struct forgery){0};
}

void forgery_replace(char **text, const char *from, const char *to)
{
    char *at = strstr(*text, from);
    need(at, from, NULL);
    size_t before = (size_t)(at - *text);
    size_t cap = strlen(*text) - strlen(from) + strlen(to) + 1;
    char *result = malloc(cap);
    need(result, "memory", NULL);
    snprintf(result, cap, "%.*s%s%s", (int)before, *text, to, at + strlen(from));
    free(*text);
    *text = result;
}

void forgery_bind(struct forgery *forgery)
{
    static const char label[] = "membershipHash: ";
    uint8_t hash[KT_HASH_LEN] = {0};
    char hash_text[KT_HASH_TEXT_LEN] = "";
    const struct kt_slice part = kt_slice_str(forgery->membership);
    need(kt_sha256(&part, 1, hash, NULL), "hash", NULL);
    kt_hash_format(hash, hash_text);
    char *at = strstr(forgery->list, label);
    need(at, label, NULL);
    memcpy(at + sizeof label - 1, hash_text, sizeof hash_text - 1);
}

void forgery_sign(struct forgery *forgery)
{
    struct kt_signatures signatures = {.n_owners = 1};
    struct kt_text text = {0};
    struct kt_bytes bytes = {0};
    kt_p256_public(forgery->owner_key, signatures.owners[0]);
    need(kt_p256_sign(forgery->owner_key, KT_CONTEXT_MEMBERSHIP, kt_slice_str(forgery->membership),
                      signatures.membership, NULL) &&
             kt_p256_sign(forgery->signer, KT_CONTEXT_KEY_LIST, kt_slice_str(forgery->list), signatures.list, NULL),
         "sign", NULL);
    kt_text_init(&text, KT_KEYRING_MAX);
    kt_signatures_emit(&signatures, &text);
    need(kt_text_take(&text, &bytes, NULL), "memory", NULL);
    free(forgery->signatures);
    forgery->signatures = copy_text(kt_bytes_view(&bytes));
    kt_bytes_done(&bytes);
    kt_text_done(&text);
}

struct kt_bytes forgery_join(const struct forgery *forgery)
{
    struct kt_text text = {0};
    struct kt_bytes bytes = {0};
    kt_text_init(&text, (size_t)4 * KT_KEYRING_MAX);
    kt_text_add_bytes(&text, forgery->membership, strlen(forgery->membership));
    kt_text_add(&text, KT_KEYRING_SEPARATOR);
    kt_text_add_bytes(&text, forgery->list, strlen(forgery->list));
    kt_text_add(&text, KT_KEYRING_SEPARATOR);
    kt_text_add_bytes(&text, forgery->signatures, strlen(forgery->signatures));
    need(kt_text_take(&text, &bytes, NULL), "memory", NULL);
    kt_text_done(&text);
    return bytes;
}

struct kt_keyring *fixture_verify(const struct fixture *f, const struct kt_bytes *document, struct kt_error *err)
{
    return kt_keyring_verify(kt_bytes_view(document), f->owner, err);
}
