/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed lines "label: value", as requests and bundles have them: reading and writing. Private to keystore/. */
#pragma once

#include "base/buf.h"
#include "keystore/key.h"

struct kt_lines {
    struct kt_slice rest;
    unsigned line;    /* of the last line that was taken, from 1 */
    const char *what; /* "the request" */
    enum kt_code code;
    struct kt_error *err;
};

/* Everything fails with l->code, naming the line and what was expected there. */
bool kt_lines_fail(const struct kt_lines *l, const char *expected) KT_COLD;
/* A line that must be exactly that. */
bool kt_lines_fixed(struct kt_lines *l, const char *text) KT_MUST_CHECK;
/* The value behind "label: ". */
bool kt_lines_value(struct kt_lines *l, const char *label, struct kt_slice *ret) KT_MUST_CHECK;
/* Values of a form. text: 1..cap-1 bytes. */
bool kt_lines_text(struct kt_lines *l, const char *label, char *ret, size_t cap) KT_MUST_CHECK;
bool kt_lines_hex(struct kt_lines *l, const char *label, uint8_t *ret, size_t n) KT_MUST_CHECK;
bool kt_lines_hash(struct kt_lines *l, const char *label, uint8_t ret[KT_HASH_LEN]) KT_MUST_CHECK;
bool kt_lines_base64(struct kt_lines *l, const char *label, uint8_t *ret, size_t n) KT_MUST_CHECK;
/* A node's name as keyrings have it; "recovery" is none. */
bool kt_lines_node(struct kt_lines *l, char ret[KT_NAME_MAX + 1]) KT_MUST_CHECK;
/* apiVersion, kind, format 1. */
bool kt_lines_head(struct kt_lines *l, const char *kind) KT_MUST_CHECK;
