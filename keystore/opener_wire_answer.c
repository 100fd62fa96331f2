/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/opener_wire.h"
#include "keystore/opener_wire_parts.h"

#include <string.h>

enum outcome { OUTCOME_DONE, OUTCOME_FAILED };

void kt_opener_answer_done(struct kt_opener_answer *answer)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(answer->keys); i++) {
        kt_secret_free(answer->keys[i]);
        answer->keys[i] = NULL;
    }
    free(answer->info);
    answer->info = NULL;
    free(answer->tpm);
    answer->tpm = NULL;
    free(answer->audit);
    answer->audit = NULL;
    kt_bytes_done(&answer->document);
    kt_bytes_done(&answer->header);
}

static void put_key(struct kt_writer *w, const struct kt_key_info *key)
{
    kt_wire_put_text(w, key->id);
    kt_wire_put_text(w, key->name);
    kt_writer_u8(w, (uint8_t)key->type);
    kt_writer_u8(w, (uint8_t)key->state);
    kt_writer_u64(w, key->created);
    kt_writer_u64(w, key->retiring_since);
    kt_writer_u8(w, key->superseded ? 1 : 0);
}

static void get_key(struct kt_reader *r, struct kt_key_info *ret)
{
    kt_wire_text(r, ret->id, sizeof(ret->id));
    kt_wire_text(r, ret->name, sizeof(ret->name));
    ret->type = kt_wire_enum(r, KT_KEY_SECRETBOX);
    ret->state = kt_wire_enum(r, KT_KEY_COMPROMISED);
    ret->created = kt_reader_u64(r);
    ret->retiring_since = kt_reader_u64(r);
    ret->superseded = kt_wire_bool(r);
}

static void put_lists(struct kt_writer *w, const struct kt_keyring_info *info)
{
    kt_writer_u8(w, (uint8_t)info->n_keys);
    for (size_t i = 0; i < info->n_keys; i++)
        put_key(w, &info->keys[i]);
    kt_writer_u8(w, (uint8_t)info->n_recipients);
    for (size_t i = 0; i < info->n_recipients; i++) {
        kt_wire_put_text(w, info->recipients[i].name);
        kt_writer_u8(w, (uint8_t)info->recipients[i].kind);
    }
    kt_writer_u8(w, (uint8_t)info->n_api_servers);
    for (size_t i = 0; i < info->n_api_servers; i++)
        kt_wire_put_text(w, info->api_servers[i]);
    kt_writer_u16(w, (uint16_t)info->n_archive);
    for (size_t i = 0; i < info->n_archive; i++) {
        kt_wire_put_text(w, info->archive[i].id);
        kt_wire_put_text(w, info->archive[i].name);
        kt_writer_u8(w, (uint8_t)info->archive[i].type);
        kt_writer_u64(w, info->archive[i].created);
        kt_writer_u64(w, info->archive[i].retired);
    }
}

static void get_archive(struct kt_reader *r, struct kt_keyring_info *ret)
{
    ret->n_archive = kt_reader_u16(r);
    if (ret->n_archive > KT_ARCHIVE_MAX)
        r->bad = true;
    for (size_t i = 0; i < ret->n_archive && !r->bad; i++) {
        kt_wire_text(r, ret->archive[i].id, sizeof(ret->archive[i].id));
        kt_wire_text(r, ret->archive[i].name, sizeof(ret->archive[i].name));
        ret->archive[i].type = kt_wire_enum(r, KT_KEY_SECRETBOX);
        ret->archive[i].created = kt_reader_u64(r);
        ret->archive[i].retired = kt_reader_u64(r);
    }
}

static void get_lists(struct kt_reader *r, struct kt_keyring_info *ret)
{
    ret->n_keys = kt_wire_enum(r, 2 * KT_KEYS_MAX);
    for (size_t i = 0; i < ret->n_keys && !r->bad; i++)
        get_key(r, &ret->keys[i]);
    ret->n_recipients = kt_wire_enum(r, KT_RECIPIENTS_MAX);
    for (size_t i = 0; i < ret->n_recipients && !r->bad; i++) {
        kt_wire_text(r, ret->recipients[i].name, sizeof(ret->recipients[i].name));
        ret->recipients[i].kind = kt_wire_enum(r, KT_RECIPIENT_RECOVERY);
    }
    ret->n_api_servers = kt_wire_enum(r, KT_API_SERVERS_MAX);
    for (size_t i = 0; i < ret->n_api_servers && !r->bad; i++)
        kt_wire_text(r, ret->api_servers[i], sizeof(ret->api_servers[i]));
    get_archive(r, ret);
}

static void put_info(struct kt_writer *w, const struct kt_keyring_info *info)
{
    kt_writer_u8(w, info ? 1 : 0);
    if (!info)
        return;
    kt_writer_bytes(w, info->keyring_id, KT_KEYRING_ID_LEN);
    kt_writer_u64(w, info->membership);
    kt_writer_u64(w, info->generation);
    kt_writer_bytes(w, info->hash, KT_HASH_LEN);
    kt_writer_bytes(w, info->founder, KT_HASH_LEN);
    kt_writer_bytes(w, info->owner, KT_HASH_LEN);
    kt_writer_bytes(w, info->audit_head, KT_HASH_LEN);
    kt_writer_u64(w, info->written);
    kt_wire_put_text(w, info->writer);
    kt_writer_u8(w, (uint8_t)info->stage);
    kt_writer_u8(w, info->enabled ? 1 : 0);
    kt_writer_u8(w, info->strict ? 1 : 0);
    kt_writer_u64(w, info->hold);
    put_lists(w, info);
}

static void get_info(struct kt_reader *r, struct kt_keyring_info *ret)
{
    kt_wire_copy(r, ret->keyring_id, KT_KEYRING_ID_LEN);
    ret->membership = kt_wire_number(r);
    ret->generation = kt_wire_number(r);
    kt_wire_copy(r, ret->hash, KT_HASH_LEN);
    kt_wire_copy(r, ret->founder, KT_HASH_LEN);
    kt_wire_copy(r, ret->owner, KT_HASH_LEN);
    kt_wire_copy(r, ret->audit_head, KT_HASH_LEN);
    ret->written = kt_reader_u64(r);
    kt_wire_text(r, ret->writer, sizeof(ret->writer));
    ret->stage = kt_wire_enum(r, KT_STAGE_REENCRYPT_FINISHED);
    ret->enabled = kt_wire_bool(r);
    ret->strict = kt_wire_bool(r);
    ret->hold = kt_reader_u64(r);
    get_lists(r, ret);
}

static void put_success(struct kt_writer *w, const struct kt_opener_answer *answer)
{
    kt_writer_u8(w, answer->same ? 1 : 0);
    kt_writer_u8(w, answer->below_floor ? 1 : 0);
    kt_writer_u8(w, answer->keep_current ? 1 : 0);
    for (size_t i = 0; i < KT_SUPERSEDED_MAX; i++)
        kt_writer_u8(w, answer->keep_superseded[i] ? 1 : 0);
    kt_wire_put_floor(w, &answer->current);
    kt_writer_u8(w, (uint8_t)answer->n_notes);
    for (size_t i = 0; i < answer->n_notes; i++)
        kt_wire_put_text(w, answer->notes[i]);
    kt_writer_blob(w, kt_bytes_view(&answer->document));
    kt_writer_bytes(w, answer->owner, KT_HASH_LEN);
    put_info(w, answer->info);
    kt_wire_put_tpm_answer(w, answer);
    kt_wire_put_member_answer(w, answer);
    kt_wire_put_audit(w, answer);
}

static void put_failure(struct kt_writer *w, const struct kt_error *failure)
{
    kt_writer_u16(w, (uint16_t)failure->code);
    kt_writer_u32(w, (uint32_t)failure->sys_errno);
    kt_wire_put_text(w, failure->message);
    kt_wire_put_text(w, failure->hint);
}

bool kt_opener_answer_encode(const struct kt_opener_answer *answer, const struct kt_error *failure,
                             struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
    struct kt_writer w = {.data = NULL};

    if (!kt_wire_alloc(KT_OPENER_PUBLIC_MAX, &bytes, &w, err))
        return false;
    kt_writer_u16(&w, KT_WIRE_VERSION);
    kt_writer_u8(&w, failure ? OUTCOME_FAILED : OUTCOME_DONE);
    if (failure)
        put_failure(&w, failure);
    else
        put_success(&w, answer);
    return kt_wire_finish(&bytes, &w, ret, err);
}

static bool malformed(struct kt_error *err)
{
    return kt_fail(err, KT_E_INTERNAL, "the opener's answer is malformed: is keyturn-opener of the same release?");
}

/* The opener's verdict becomes the caller's error; false in any case. */
static bool get_failure(struct kt_reader *r, struct kt_error *err)
{
    struct kt_error failure = KT_ERROR_INIT;
    unsigned code = kt_reader_u16(r);
    uint32_t sys_errno = kt_reader_u32(r);

    kt_wire_text(r, failure.message, sizeof(failure.message));
    kt_wire_text(r, failure.hint, sizeof(failure.hint));
    if (!kt_reader_end(r) || code == KT_OK || sys_errno > 4095)
        return malformed(err);
    failure.code = kt_code_from_number(code);
    failure.sys_errno = (int)sys_errno;
    failure.where = "keyturn-opener";
    if (err)
        *err = failure;
    return false;
}

static bool get_document(struct kt_reader *r, struct kt_bytes *ret, struct kt_error *err)
{
    struct kt_slice document = kt_reader_blob(r, KT_KEYRING_MAX);

    if (r->bad)
        return malformed(err);
    return document.len == 0 || kt_bytes_copy(document, ret, err);
}

static bool get_success(struct kt_reader *r, struct kt_opener_answer *ret, struct kt_error *err)
{
    ret->same = kt_wire_bool(r);
    ret->below_floor = kt_wire_bool(r);
    ret->keep_current = kt_wire_bool(r);
    for (size_t i = 0; i < KT_SUPERSEDED_MAX; i++)
        ret->keep_superseded[i] = kt_wire_bool(r);
    kt_wire_floor(r, &ret->current);
    ret->n_notes = kt_wire_enum(r, KT_NOTES_MAX);
    for (size_t i = 0; i < ret->n_notes && !r->bad; i++)
        kt_wire_text(r, ret->notes[i], KT_NOTE_LEN);
    if (!get_document(r, &ret->document, err))
        return false;
    kt_wire_copy(r, ret->owner, KT_HASH_LEN);
    if (kt_wire_bool(r)) {
        ret->info = calloc(1, sizeof(*ret->info));
        if (!ret->info)
            return kt_fail(err, KT_E_NOMEM, "no memory for the keyring's contents");
        get_info(r, ret->info);
    }
    if (!kt_wire_get_tpm_answer(r, ret, err) || !kt_wire_member_answer(r, ret, err) || !kt_wire_audit(r, ret, err))
        return false;
    return kt_reader_end(r) || malformed(err);
}

bool kt_opener_answer_decode(struct kt_slice body, struct kt_opener_answer *ret, struct kt_error *err)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_reader r;
    unsigned version = 0;
    unsigned outcome = 0;

    kt_reader_init(&r, body);
    version = kt_reader_u16(&r);
    outcome = kt_wire_enum(&r, OUTCOME_FAILED);
    if (r.bad || version != KT_WIRE_VERSION)
        return malformed(err);
    if (outcome == OUTCOME_FAILED)
        return get_failure(&r, err);
    if (!get_success(&r, &answer, err))
        return false;
    *ret = answer;
    answer = (struct kt_opener_answer){.info = NULL};
    return true;
}

struct kt_secret *kt_opener_keys_encode(const struct kt_opener_answer *answer, struct kt_error *err)
{
    size_t n = answer->info ? answer->info->n_keys : 0;
    size_t len = n;
    struct kt_secret *body = NULL;
    struct kt_writer w = {.data = NULL};

    for (size_t i = 0; i < n; i++)
        len += answer->keys[i] ? kt_secret_len(answer->keys[i]) : 0;
    body = kt_secret_new(len > 0 ? len : 1, err);
    if (!body)
        return NULL;
    kt_writer_init(&w, kt_secret_bytes(body), kt_secret_len(body));
    for (size_t i = 0; i < n; i++) {
        size_t key_len = answer->keys[i] ? kt_secret_len(answer->keys[i]) : 0;

        kt_writer_u8(&w, (uint8_t)key_len);
        if (key_len > 0)
            kt_writer_bytes(&w, kt_secret_view(answer->keys[i]), key_len);
    }
    return body;
}

bool kt_opener_keys_decode(const struct kt_secret *body, struct kt_opener_answer *answer, struct kt_error *err)
{
    size_t n = answer->info ? answer->info->n_keys : 0;
    struct kt_reader r;

    kt_reader_init(&r, KT_SLICE(kt_secret_view(body), kt_secret_len(body)));
    if (n == 0 && kt_reader_u8(&r) != 0)
        return malformed(err);
    for (size_t i = 0; i < n; i++) {
        size_t len = kt_wire_enum(&r, KT_KEY_BYTES);
        const uint8_t *bytes = kt_reader_bytes(&r, len);

        if (r.bad)
            return malformed(err);
        if (len == 0)
            continue;
        kt_secret_free(answer->keys[i]);
        answer->keys[i] = kt_secret_new_copy(bytes, len, err);
        if (!answer->keys[i])
            return false;
    }
    return kt_reader_end(&r) || malformed(err);
}
