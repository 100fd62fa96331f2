/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/keyring_fields.h"

#include "keystore/keyring_internal.h"

#include <assert.h>
#include <string.h>

static bool check_names(const struct kt_yaml *yaml, const struct kt_yaml_node *map, const struct kt_field *fields,
                        size_t n, struct kt_error *err)
{
    const char *known[KT_FIELDS_MAX + 1] = {NULL};
    assert(n <= KT_FIELDS_MAX);
    for (size_t i = 0; i < n; i++)
        known[i] = fields[i].name;
    return kt_yaml_keys(yaml, map, known, err);
}

bool kt_fields_read(const struct kt_yaml *yaml, const struct kt_yaml_node *map, const struct kt_field *fields, size_t n,
                    void *base, struct kt_error *err)
{
    if (!check_names(yaml, map, fields, n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct kt_field *field = &fields[i];
        struct kt_field_at at = {.yaml = yaml, .node = kt_yaml_get(map, field->name), .field = field};
        if (!at.node && field->optional)
            continue;
        if (!at.node && !kt_yaml_need(yaml, map, field->name, err))
            return false;
        if (!field->read(&at, (char *)base + field->offset, err))
            return false;
    }
    return true;
}

static bool fail(const struct kt_field_at *at, struct kt_error *err, const char *expected)
{
    return kt_yaml_fail(at->yaml, at->node, err, "%s: expected %s, found something else", at->field->name, expected);
}

bool kt_field_u64(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    uint64_t value = 0;
    if (!kt_yaml_u64(at->yaml, at->node, at->field->max, &value, err))
        return false;
    if (value < at->field->min)
        return kt_yaml_fail(at->yaml, at->node, err, "%s: expected at least %llu, found %llu", at->field->name,
                            (unsigned long long)at->field->min, (unsigned long long)value);
    *(uint64_t *)out = value;
    return true;
}

bool kt_field_bool(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    return kt_yaml_bool(at->yaml, at->node, out, err);
}

bool kt_field_text(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    const char *text = NULL;
    if (!kt_yaml_text(at->yaml, at->node, (size_t)at->field->max, &text, err))
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

/* Long enough for every value with a form of its own, and one more to tell. */
#define SHORT_TEXT 128u

bool kt_field_time(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    const char *text = NULL;
    if (!kt_yaml_text(at->yaml, at->node, SHORT_TEXT, &text, err))
        return false;
    return kt_time_parse(text, out) || fail(at, err, "a time like 2026-11-23T09:00:00Z");
}

bool kt_field_hash(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    const char *text = NULL;
    if (!kt_yaml_text(at->yaml, at->node, SHORT_TEXT, &text, err))
        return false;
    return kt_hash_parse(text, out) || fail(at, err, "\"sha256:\" and 64 hex digits");
}

static bool read_hex(const struct kt_field_at *at, uint8_t *out, size_t n, const char *expected, struct kt_error *err)
{
    const char *text = NULL;
    if (!kt_yaml_text(at->yaml, at->node, SHORT_TEXT, &text, err))
        return false;
    return kt_hex_decode(kt_slice_str(text), out, n) || fail(at, err, expected);
}

bool kt_field_hex32(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    return read_hex(at, out, 32, "64 hex digits in lower case", err);
}

bool kt_field_hex16(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    return read_hex(at, out, 16, "32 hex digits in lower case", err);
}

bool kt_field_id(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    uint8_t bytes[KT_KEY_ID_LEN / 2] = {0};
    if (!kt_field_hex16(at, bytes, err))
        return false;
    kt_hex_encode(KT_SLICE(bytes, sizeof bytes), out);
    return true;
}

/* 0 if it is none of the expected lengths. */
static size_t read_base64(const struct kt_field_at *at, uint8_t *out, size_t cap, const char *expected,
                          struct kt_error *err)
{
    size_t len = 0;
    if (!kt_yaml_base64(at->yaml, at->node, out, cap, &len, err))
        return 0;
    if (len == 0)
        (void)fail(at, err, expected);
    return len;
}

bool kt_field_public(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    static const char expected[] = "the 65-byte uncompressed point of a P-256 public key in base64";
    uint8_t point[KT_P256_PUBLIC] = {0};
    size_t len = read_base64(at, point, sizeof point, expected, err);
    if (len == 0)
        return false;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *key = len == sizeof point ? kt_p256_from_public(point, NULL) : NULL;
    if (!key)
        return fail(at, err, expected);
    memcpy(out, point, sizeof point);
    return true;
}

bool kt_field_key_type(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    const char *text = NULL;
    if (!kt_yaml_text(at->yaml, at->node, SHORT_TEXT, &text, err))
        return false;
    enum kt_key_type type = kt_key_type_parse(text);
    *(enum kt_key_type *)out = type;
    return type || fail(at, err, "kms, aescbc, aesgcm or secretbox");
}

bool kt_field_key_state(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    const char *text = NULL;
    if (!kt_yaml_text(at->yaml, at->node, SHORT_TEXT, &text, err))
        return false;
    enum kt_key_state state = kt_key_state_parse(text);
    *(enum kt_key_state *)out = state;
    return state || fail(at, err, "active, ready, retiring or compromised");
}

bool kt_field_stage(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    const char *text = NULL;
    if (!kt_yaml_text(at->yaml, at->node, SHORT_TEXT, &text, err))
        return false;
    enum kt_stage stage = kt_stage_parse(text);
    *(enum kt_stage *)out = stage;
    return stage || fail(at, err, "start, prepare, rotate, reencrypt_request, reencrypt_active or reencrypt_finished");
}

bool kt_field_recipient_kind(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    const char *text = NULL;
    if (!kt_yaml_text(at->yaml, at->node, SHORT_TEXT, &text, err))
        return false;
    enum kt_recipient_kind kind = kt_recipient_kind_parse(text);
    *(enum kt_recipient_kind *)out = kind;
    return kind || fail(at, err, "file, tpm2 or recovery");
}

bool kt_field_wrapped(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    struct kt_wrapped *wrapped = out;
    wrapped->len = read_base64(at, wrapped->bytes, sizeof wrapped->bytes, "a nonce and a wrapped key in base64", err);
    return wrapped->len > 0;
}

bool kt_field_sealed(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    struct kt_sealed *sealed = out;
    sealed->len = read_base64(at, sealed->bytes, sizeof sealed->bytes, "a sealed key in base64", err);
    return sealed->len > 0;
}

bool kt_field_wrap(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    static const char expected[] = "the 113 bytes of a wrapped keyring key in base64";
    size_t len = read_base64(at, out, KT_WRAP_LEN, expected, err);
    return len == KT_WRAP_LEN || (len > 0 && fail(at, err, expected));
}

bool kt_field_skip(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    (void)at;
    (void)out;
    (void)err;
    return true;
}
