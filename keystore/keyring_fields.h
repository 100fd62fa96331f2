/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mapping of the keyring as a table: which fields it has, how each is read, where it goes. Private to keystore/. All
 * errors name line and column, and never a value.
 */
#pragma once

#include "base/yaml.h"

#define KT_FIELDS_MAX 32u

struct kt_field;

struct kt_field_at {
    const struct kt_yaml *yaml;
    const struct kt_yaml_node *node;
    const struct kt_field *field;
};

struct kt_field {
    const char *name;
    /* Reads the node into out, the field's place in the struct. */
    bool (*read)(const struct kt_field_at *at, void *out, struct kt_error *err);
    size_t offset;
    uint64_t min; /* kt_field_u64 */
    uint64_t max; /* kt_field_u64; kt_field_text, _base64: length of the value */
    bool optional;
};

/* Every field of the table once, nothing else. base: the struct that the offsets count from. */
bool kt_fields_read(const struct kt_yaml *yaml, const struct kt_yaml_node *map, const struct kt_field *fields, size_t n,
                    void *base, struct kt_error *err) KT_MUST_CHECK;

bool kt_field_u64(const struct kt_field_at *at, void *out, struct kt_error *err);
bool kt_field_bool(const struct kt_field_at *at, void *out, struct kt_error *err);
/* char[max + 1] */
bool kt_field_text(const struct kt_field_at *at, void *out, struct kt_error *err);
/* uint64_t, seconds since the epoch */
bool kt_field_time(const struct kt_field_at *at, void *out, struct kt_error *err);
/* uint8_t[32] from "sha256:" and hex */
bool kt_field_hash(const struct kt_field_at *at, void *out, struct kt_error *err);
/* uint8_t[32] from hex */
bool kt_field_hex32(const struct kt_field_at *at, void *out, struct kt_error *err);
/* uint8_t[16] from hex */
bool kt_field_hex16(const struct kt_field_at *at, void *out, struct kt_error *err);
/* char[33]: 32 hex digits as text */
bool kt_field_id(const struct kt_field_at *at, void *out, struct kt_error *err);
/* uint8_t[65]: a point on P-256, in base64 */
bool kt_field_public(const struct kt_field_at *at, void *out, struct kt_error *err);
/* The enums of key.h */
bool kt_field_key_type(const struct kt_field_at *at, void *out, struct kt_error *err);
bool kt_field_key_state(const struct kt_field_at *at, void *out, struct kt_error *err);
bool kt_field_stage(const struct kt_field_at *at, void *out, struct kt_error *err);
bool kt_field_recipient_kind(const struct kt_field_at *at, void *out, struct kt_error *err);
/* struct kt_wrapped, struct kt_sealed; uint8_t[KT_WRAP_LEN] */
bool kt_field_wrapped(const struct kt_field_at *at, void *out, struct kt_error *err);
bool kt_field_sealed(const struct kt_field_at *at, void *out, struct kt_error *err);
bool kt_field_wrap(const struct kt_field_at *at, void *out, struct kt_error *err);
/* For what was read before the others. */
bool kt_field_skip(const struct kt_field_at *at, void *out, struct kt_error *err);
