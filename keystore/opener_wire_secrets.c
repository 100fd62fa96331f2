/* SPDX-License-Identifier: Apache-2.0 */
/* The second frame of a request: recovery keys, and keys to import. */
#include "keystore/opener_wire.h"

void kt_opener_secrets_done(struct kt_opener_secrets *secrets)
{
    kt_secret_free(secrets->recovery_key);
    kt_secret_free(secrets->new_recovery_key);
    for (size_t i = 0; i < secrets->n_imports; i++)
        kt_secret_free(secrets->imports[i]);
    *secrets = (struct kt_opener_secrets){.recovery_key = NULL};
}

void kt_opener_secrets_put(const struct kt_opener_secrets *secrets, struct kt_opener_request *request)
{
    request->recovery_key = secrets->recovery_key;
    request->member.new_recovery_key = secrets->new_recovery_key;
    request->imports = (const struct kt_secret *const *)secrets->imports;
    request->n_imports = secrets->n_imports;
}

static bool check_len(const struct kt_secret *key, struct kt_error *err)
{
    if (!key || kt_secret_len(key) == KT_RECOVERY_KEY_BYTES)
        return true;
    return kt_fail(err, KT_E_RECOVERY_KEY, "the recovery key has %zu bytes instead of %u", kt_secret_len(key),
                   KT_RECOVERY_KEY_BYTES);
}

static void put_secret(struct kt_writer *w, const struct kt_secret *secret)
{
    kt_writer_bytes(w, kt_secret_view(secret), kt_secret_len(secret));
}

/* What it takes in bytes; 0: something does not fit. */
static size_t measure(const struct kt_opener_request *request, struct kt_error *err)
{
    const struct kt_secret *keys[] = {request->recovery_key, request->member.new_recovery_key};
    size_t len = 2;
    for (size_t i = 0; i < KT_ARRAY_LEN(keys); i++) {
        if (!check_len(keys[i], err))
            return 0;
        len += keys[i] ? KT_RECOVERY_KEY_BYTES : 0;
    }
    for (size_t i = 0; i < request->n_imports; i++) {
        if (kt_secret_len(request->imports[i]) > KT_KEY_BYTES) {
            kt_fail(err, KT_E_USAGE, "a key to import has %zu bytes, at most %u are possible",
                    kt_secret_len(request->imports[i]), KT_KEY_BYTES);
            return 0;
        }
        len += 1 + kt_secret_len(request->imports[i]);
    }
    return len;
}

struct kt_secret *kt_opener_secrets_encode(const struct kt_opener_request *request, struct kt_error *err)
{
    const struct kt_secret *keys[] = {request->recovery_key, request->member.new_recovery_key};
    struct kt_writer w = {.data = NULL};
    size_t len = measure(request, err);
    struct kt_secret *body = len > 0 ? kt_secret_new(len, err) : NULL;

    if (!body)
        return NULL;
    kt_writer_init(&w, kt_secret_bytes(body), len);
    kt_writer_u8(&w, (uint8_t)((keys[0] ? 1u : 0u) | (keys[1] ? 2u : 0u)));
    for (size_t i = 0; i < KT_ARRAY_LEN(keys); i++)
        if (keys[i])
            put_secret(&w, keys[i]);
    kt_writer_u8(&w, (uint8_t)request->n_imports);
    for (size_t i = 0; i < request->n_imports; i++) {
        kt_writer_u8(&w, (uint8_t)kt_secret_len(request->imports[i]));
        put_secret(&w, request->imports[i]);
    }
    return body;
}

/* False: no memory; what is missing makes the reader bad. */
static bool get_secret(struct kt_reader *r, size_t len, struct kt_secret **ret, struct kt_error *err)
{
    const uint8_t *bytes = kt_reader_bytes(r, len);

    *ret = bytes ? kt_secret_new_copy(bytes, len, err) : NULL;
    return !bytes || *ret;
}

static bool get_imports(struct kt_reader *r, struct kt_opener_secrets *ret, struct kt_error *err)
{
    size_t n = kt_reader_u8(r);

    if (n > KT_EDITS_MAX)
        r->bad = true;
    for (size_t i = 0; i < n && !r->bad; i++) {
        size_t len = kt_reader_u8(r);

        if (len == 0 || len > KT_KEY_BYTES)
            r->bad = true;
        else if (!get_secret(r, len, &ret->imports[i], err))
            return false;
        ret->n_imports = i + 1;
    }
    return true;
}

bool kt_opener_secrets_decode(const struct kt_secret *body, struct kt_opener_secrets *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_opener_secrets_done) struct kt_opener_secrets secrets = {.recovery_key = NULL};
    struct kt_secret **keys[] = {&secrets.recovery_key, &secrets.new_recovery_key};
    struct kt_reader r;

    kt_reader_init(&r, KT_SLICE(kt_secret_view(body), kt_secret_len(body)));
    unsigned which = kt_reader_u8(&r);
    if (which > 3)
        r.bad = true;
    for (size_t i = 0; i < KT_ARRAY_LEN(keys); i++)
        if (which & (1u << i) && !get_secret(&r, KT_RECOVERY_KEY_BYTES, keys[i], err))
            return false;
    if (!get_imports(&r, &secrets, err))
        return false;
    if (!kt_reader_end(&r))
        return kt_fail(err, KT_E_INTERNAL,
                       "the frame of secrets is malformed: are keyturn and keyturn-opener of the same release?");
    *ret = secrets;
    secrets = (struct kt_opener_secrets){.recovery_key = NULL};
    return true;
}
