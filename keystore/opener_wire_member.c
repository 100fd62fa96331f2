/* SPDX-License-Identifier: Apache-2.0 */
/* What the operations on members add to requests and answers, and the frame of the recovery keys. */
#include "keystore/opener_wire.h"
#include "keystore/opener_wire_parts.h"

#include <string.h>

void kt_wire_put_member(struct kt_writer *w, const struct kt_opener_member *member)
{
    kt_writer_blob(w, member->request);
    kt_writer_blob(w, member->header);
    kt_wire_put_text(w, member->name);
    kt_wire_put_text(w, member->provider);
}

void kt_wire_member(struct kt_reader *r, struct kt_opener_storage *storage, struct kt_opener_member *ret)
{
    ret->request = kt_reader_blob(r, KT_REQUEST_MAX);
    ret->header = kt_reader_blob(r, KT_BUNDLE_HEADER_MAX);
    kt_wire_text(r, storage->member_name, sizeof(storage->member_name));
    kt_wire_text(r, storage->provider, sizeof(storage->provider));
    ret->name = storage->member_name;
    ret->provider = storage->provider;
}

void kt_wire_put_member_answer(struct kt_writer *w, const struct kt_opener_answer *answer)
{
    kt_writer_blob(w, kt_bytes_view(&answer->header));
    kt_writer_u64(w, answer->n_lost);
}

bool kt_wire_member_answer(struct kt_reader *r, struct kt_opener_answer *ret, struct kt_error *err)
{
    struct kt_slice header = kt_reader_blob(r, KT_BUNDLE_HEADER_MAX);

    ret->n_lost = kt_wire_number(r);
    return r->bad || header.len == 0 || kt_bytes_copy(header, &ret->header, err);
}

void kt_opener_secrets_done(struct kt_opener_secrets *secrets)
{
    kt_secret_free(secrets->recovery_key);
    kt_secret_free(secrets->new_recovery_key);
    *secrets = (struct kt_opener_secrets){.recovery_key = NULL};
}

static bool check_len(const struct kt_secret *key, struct kt_error *err)
{
    if (!key || kt_secret_len(key) == KT_RECOVERY_KEY_BYTES)
        return true;
    return kt_fail(err, KT_E_RECOVERY_KEY, "the recovery key has %zu bytes instead of %u", kt_secret_len(key),
                   KT_RECOVERY_KEY_BYTES);
}

struct kt_secret *kt_opener_recovery_encode(const struct kt_opener_request *request, struct kt_error *err)
{
    const struct kt_secret *keys[] = {request->recovery_key, request->member.new_recovery_key};
    struct kt_secret *body = NULL;
    uint8_t which = 0;
    size_t len = 1;

    for (size_t i = 0; i < KT_ARRAY_LEN(keys); i++) {
        if (!check_len(keys[i], err))
            return NULL;
        which |= (uint8_t)(keys[i] ? 1u << i : 0);
        len += keys[i] ? KT_RECOVERY_KEY_BYTES : 0;
    }
    body = kt_secret_new(len, err);
    if (!body)
        return NULL;
    kt_secret_bytes(body)[0] = which;
    len = 1;
    for (size_t i = 0; i < KT_ARRAY_LEN(keys); i++) {
        if (!keys[i])
            continue;
        memcpy(kt_secret_bytes(body) + len, kt_secret_view(keys[i]), KT_RECOVERY_KEY_BYTES);
        len += KT_RECOVERY_KEY_BYTES;
    }
    return body;
}

bool kt_opener_recovery_decode(const struct kt_secret *body, struct kt_opener_secrets *ret, struct kt_error *err)
{
    struct kt_opener_secrets secrets = {.recovery_key = NULL};
    struct kt_secret **keys[] = {&secrets.recovery_key, &secrets.new_recovery_key};
    const uint8_t *bytes = kt_secret_view(body);
    size_t len = 1;

    for (size_t i = 0; i < KT_ARRAY_LEN(keys); i++)
        len += bytes[0] & (1u << i) ? KT_RECOVERY_KEY_BYTES : 0;
    if (bytes[0] > 3 || kt_secret_len(body) != len)
        return kt_fail(err, KT_E_INTERNAL,
                       "the recovery keys' frame is malformed: are keyturn and keyturn-opener of the same release?");
    len = 1;
    for (size_t i = 0; i < KT_ARRAY_LEN(keys); i++) {
        if (!(bytes[0] & (1u << i)))
            continue;
        *keys[i] = kt_secret_new_copy(bytes + len, KT_RECOVERY_KEY_BYTES, err);
        if (!*keys[i]) {
            kt_opener_secrets_done(&secrets);
            return false;
        }
        len += KT_RECOVERY_KEY_BYTES;
    }
    *ret = secrets;
    return true;
}
