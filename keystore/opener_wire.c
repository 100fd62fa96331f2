/* SPDX-License-Identifier: Apache-2.0 */
/* The request's side of opener_wire.h; opener_wire_answer.c has the answer's. */
#include "keystore/opener_wire.h"

#include "keystore/opener_wire_parts.h"

#include <string.h>

#define REQUEST_FIXED 32768u /* more than everything but the documents */

bool kt_wire_alloc(size_t cap, struct kt_bytes *ret, struct kt_writer *w, struct kt_error *err)
{
    ret->data = malloc(cap + 1);
    if (!ret->data)
        return kt_fail(err, KT_E_NOMEM, "no memory for a message of %zu bytes", cap);
    kt_writer_init(w, ret->data, cap);
    return true;
}

bool kt_wire_finish(struct kt_bytes *bytes, const struct kt_writer *w, struct kt_bytes *ret, struct kt_error *err)
{
    if (w->bad)
        return kt_fail(err, KT_E_INTERNAL, "a message to or from the opener is longer than its bound");
    bytes->len = w->len;
    bytes->data[w->len] = '\0';
    *ret = *bytes;
    *bytes = (struct kt_bytes){.data = NULL};
    return true;
}

void kt_wire_put_text(struct kt_writer *w, const char *text)
{
    kt_writer_blob(w, kt_slice_str(text ? text : ""));
}

void kt_wire_text(struct kt_reader *r, char *ret, size_t cap)
{
    struct kt_slice text = kt_reader_blob(r, cap - 1);

    ret[0] = '\0';
    if (r->bad)
        return;
    if (text.len > 0 && memchr(text.data, '\0', text.len)) {
        r->bad = true;
        return;
    }
    if (text.len > 0)
        memcpy(ret, text.data, text.len);
    ret[text.len] = '\0';
}

unsigned kt_wire_enum(struct kt_reader *r, unsigned last)
{
    unsigned value = kt_reader_u8(r);

    if (value > last)
        r->bad = true;
    return r->bad ? 0 : value;
}

bool kt_wire_bool(struct kt_reader *r)
{
    return kt_wire_enum(r, 1) == 1;
}

void kt_wire_put_floor(struct kt_writer *w, const struct kt_floor *floor)
{
    kt_writer_u64(w, floor->membership);
    kt_writer_u64(w, floor->generation);
    kt_writer_bytes(w, floor->hash, KT_HASH_LEN);
    kt_writer_bytes(w, floor->keyring_id, KT_KEYRING_ID_LEN);
    kt_writer_bytes(w, floor->founder, KT_HASH_LEN);
    kt_writer_bytes(w, floor->owner, KT_HASH_LEN);
}

uint64_t kt_wire_number(struct kt_reader *r)
{
    uint64_t value = kt_reader_u64(r);

    if (value > KT_NUMBER_MAX)
        r->bad = true;
    return r->bad ? 0 : value;
}

void kt_wire_copy(struct kt_reader *r, void *ret, size_t len)
{
    const uint8_t *bytes = kt_reader_bytes(r, len);

    if (bytes)
        memcpy(ret, bytes, len);
}

void kt_wire_floor(struct kt_reader *r, struct kt_floor *ret)
{
    ret->membership = kt_wire_number(r);
    ret->generation = kt_wire_number(r);
    kt_wire_copy(r, ret->hash, KT_HASH_LEN);
    kt_wire_copy(r, ret->keyring_id, KT_KEYRING_ID_LEN);
    kt_wire_copy(r, ret->founder, KT_HASH_LEN);
    kt_wire_copy(r, ret->owner, KT_HASH_LEN);
}

/* A file that is there but empty differs from one that is not there. */
static void put_document(struct kt_writer *w, struct kt_slice document)
{
    kt_writer_u8(w, document.data ? 1 : 0);
    kt_writer_blob(w, document);
}

static struct kt_slice get_document(struct kt_reader *r)
{
    bool there = kt_wire_bool(r);
    struct kt_slice document = kt_reader_blob(r, KT_KEYRING_MAX);

    if (there && !r->bad && document.len == 0)
        document.data = (const uint8_t *)"";
    if (!there && document.len > 0)
        r->bad = true;
    return there && !r->bad ? document : KT_SLICE(NULL, 0);
}

static void put_edits(struct kt_writer *w, const struct kt_opener_request *request)
{
    kt_writer_u8(w, (uint8_t)request->n_edits);
    for (size_t i = 0; i < request->n_edits; i++) {
        const struct kt_edit *edit = &request->edits[i];

        kt_writer_u8(w, (uint8_t)edit->kind);
        kt_wire_put_text(w, edit->id);
        kt_wire_put_text(w, edit->name);
        kt_writer_u8(w, (uint8_t)edit->type);
        kt_writer_u8(w, (uint8_t)edit->state);
        kt_writer_u8(w, (uint8_t)edit->stage);
        kt_writer_u64(w, edit->number);
        kt_writer_u8(w, edit->flag ? 1 : 0);
    }
}

static void get_edits(struct kt_reader *r, struct kt_opener_storage *storage, struct kt_opener_request *ret)
{
    ret->n_edits = kt_wire_enum(r, KT_EDITS_MAX);
    ret->edits = storage->edits;
    for (size_t i = 0; i < ret->n_edits && !r->bad; i++) {
        struct kt_edit *edit = &storage->edits[i];

        edit->kind = kt_wire_enum(r, KT_EDIT_END - 1);
        kt_wire_text(r, edit->id, sizeof(edit->id));
        kt_wire_text(r, edit->name, sizeof(edit->name));
        edit->type = kt_wire_enum(r, KT_KEY_SECRETBOX);
        edit->state = kt_wire_enum(r, KT_KEY_COMPROMISED);
        edit->stage = kt_wire_enum(r, KT_STAGE_REENCRYPT_FINISHED);
        edit->number = kt_wire_number(r);
        edit->flag = kt_wire_bool(r);
    }
}

static void put_superseded(struct kt_writer *w, const struct kt_opener_request *request)
{
    kt_writer_u8(w, (uint8_t)request->n_superseded);
    for (size_t i = 0; i < request->n_superseded; i++) {
        kt_wire_put_text(w, request->superseded_names[i]);
        put_document(w, request->superseded[i]);
    }
}

static void get_superseded(struct kt_reader *r, struct kt_opener_storage *storage, struct kt_opener_request *ret)
{
    ret->n_superseded = kt_wire_enum(r, KT_SUPERSEDED_MAX);
    for (size_t i = 0; i < ret->n_superseded && !r->bad; i++) {
        kt_wire_text(r, storage->superseded_names[i], KT_SOURCE_MAX);
        ret->superseded_names[i] = storage->superseded_names[i];
        ret->superseded[i] = get_document(r);
    }
}

static size_t request_bound(const struct kt_opener_request *request)
{
    size_t bound = REQUEST_FIXED + request->offered.len + request->current.len;

    for (size_t i = 0; i < request->n_superseded; i++)
        bound += request->superseded[i].len;
    return bound;
}

static bool check_request(const struct kt_opener_request *request, struct kt_error *err)
{
    if (request->n_superseded > KT_SUPERSEDED_MAX || request->n_edits > KT_EDITS_MAX ||
        request->n_imports > KT_EDITS_MAX)
        return kt_fail(err, KT_E_INTERNAL, "more than %u superseded keyrings or %u edits in a request",
                       KT_SUPERSEDED_MAX, KT_EDITS_MAX);
    if (request->offered.len > KT_KEYRING_MAX)
        return kt_fail(err, KT_E_KEYRING_FORMAT, "the keyring has %zu bytes, at most %u are allowed",
                       request->offered.len, KT_KEYRING_MAX);
    if (request_bound(request) > KT_OPENER_REQUEST_MAX)
        return kt_fail(err, KT_E_INTERNAL, "the documents of a request have more than %zu bytes",
                       KT_OPENER_REQUEST_MAX);
    return true;
}

bool kt_opener_request_encode(const struct kt_opener_request *request, struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
    struct kt_writer w = {.data = NULL};

    if (!check_request(request, err) || !kt_wire_alloc(request_bound(request), &bytes, &w, err))
        return false;
    kt_writer_u16(&w, KT_WIRE_VERSION);
    kt_writer_u8(&w, (uint8_t)request->op);
    kt_writer_u8(&w, request->accept_older ? 1 : 0);
    kt_writer_u8(&w, (uint8_t)request->kind);
    kt_writer_u8(&w, (uint8_t)request->type);
    kt_writer_u64(&w, request->now);
    kt_wire_put_floor(&w, &request->floor);
    kt_wire_put_text(&w, request->node);
    kt_wire_put_text(&w, request->key_name);
    put_document(&w, request->offered);
    put_document(&w, request->current);
    put_superseded(&w, request);
    put_edits(&w, request);
    kt_wire_put_tpm(&w, request);
    kt_wire_put_member(&w, &request->member);
    kt_wire_put_claim(&w, &request->claim);
    return kt_wire_finish(&bytes, &w, ret, err);
}

static bool malformed(struct kt_error *err)
{
    return kt_fail(err, KT_E_INTERNAL,
                   "the request to the opener is malformed: are keyturn and keyturn-opener of the "
                   "same release?");
}

bool kt_opener_request_decode(struct kt_slice body, struct kt_opener_storage *storage, struct kt_opener_request *ret,
                              struct kt_error *err)
{
    struct kt_opener_request request = {.op = 0};
    struct kt_reader r;

    kt_reader_init(&r, body);
    if (kt_reader_u16(&r) != KT_WIRE_VERSION)
        return malformed(err);
    request.op = kt_wire_enum(&r, KT_OPENER_OP_END - 1);
    request.accept_older = kt_wire_bool(&r);
    request.kind = kt_wire_enum(&r, KT_RECIPIENT_RECOVERY);
    request.type = kt_wire_enum(&r, KT_KEY_SECRETBOX);
    request.now = kt_reader_u64(&r);
    kt_wire_floor(&r, &request.floor);
    kt_wire_text(&r, storage->node, sizeof(storage->node));
    kt_wire_text(&r, storage->key_name, sizeof(storage->key_name));
    request.node = storage->node;
    request.key_name = storage->key_name;
    request.offered = get_document(&r);
    request.current = get_document(&r);
    get_superseded(&r, storage, &request);
    get_edits(&r, storage, &request);
    kt_wire_get_tpm(&r, storage, &request);
    kt_wire_member(&r, storage, &request.member);
    kt_wire_claim(&r, &request.claim);
    if (!kt_reader_end(&r) || request.op == 0)
        return malformed(err);
    *ret = request;
    return true;
}
