/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded readers and writers. Numbers are big-endian. A reader or writer that ran over its bound becomes `bad` and
 * stays so: every later take returns zero or NULL, every later put does nothing; check once, at the end.
 */
#pragma once

#include "base/cleanup.h"
#include "base/error.h"

#include <stdint.h>

/* Bytes that belong to somebody else. */
struct kt_slice {
    const uint8_t *data;
    size_t len;
};
#define KT_SLICE(p, n) ((struct kt_slice){.data = (const uint8_t *)(p), .len = (n)})
struct kt_slice kt_slice_str(const char *text);
/* By their bytes, a beginning before what goes on: below, at, or above zero. Neither is for secrets. */
int kt_slice_compare(struct kt_slice a, struct kt_slice b);
bool kt_slice_equal(struct kt_slice a, struct kt_slice b);
bool kt_slice_begins(struct kt_slice slice, struct kt_slice beginning);

/* Heap bytes with an owner; not for secrets. data[len] is always NUL, so that text can be used as such. */
struct kt_bytes {
    uint8_t *data;
    size_t len;
};
void kt_bytes_done(struct kt_bytes *bytes);
#define KT_CLEANUP_BYTES KT_CLEANUP(kt_bytes_done)
struct kt_slice kt_bytes_view(const struct kt_bytes *bytes);
bool kt_bytes_copy(struct kt_slice from, struct kt_bytes *ret, struct kt_error *err) KT_MUST_CHECK;

struct kt_reader {
    const uint8_t *next;
    size_t left;
    bool bad;
};
void kt_reader_init(struct kt_reader *r, struct kt_slice bytes);
uint8_t kt_reader_u8(struct kt_reader *r);
uint16_t kt_reader_u16(struct kt_reader *r);
uint32_t kt_reader_u32(struct kt_reader *r);
uint64_t kt_reader_u64(struct kt_reader *r);
/* The next n bytes, in place; NULL (and bad) if there are fewer. */
const uint8_t *kt_reader_bytes(struct kt_reader *r, size_t n);
/* A u32 length, then so many bytes; more than max makes the reader bad. */
struct kt_slice kt_reader_blob(struct kt_reader *r, size_t max);
/* Everything was read and nothing ran over. */
bool kt_reader_end(const struct kt_reader *r);

struct kt_writer {
    uint8_t *data;
    size_t cap;
    size_t len;
    bool bad;
};
void kt_writer_init(struct kt_writer *w, void *data, size_t cap);
void kt_writer_u8(struct kt_writer *w, uint8_t v);
void kt_writer_u16(struct kt_writer *w, uint16_t v);
void kt_writer_u32(struct kt_writer *w, uint32_t v);
void kt_writer_u64(struct kt_writer *w, uint64_t v);
void kt_writer_bytes(struct kt_writer *w, const void *bytes, size_t n);
void kt_writer_blob(struct kt_writer *w, struct kt_slice blob);

/* Growing text with a ceiling, for documents that we write. Not for secrets. */
struct kt_text {
    char *data; /* NUL-terminated once anything was added */
    size_t len;
    size_t cap;
    size_t max;
    bool bad; /* over max, or out of memory */
};
void kt_text_init(struct kt_text *t, size_t max);
void kt_text_done(struct kt_text *t);
void kt_text_add(struct kt_text *t, const char *fmt, ...) KT_PRINTF(2, 3);
void kt_text_add_bytes(struct kt_text *t, const void *bytes, size_t n);
/* Moves the text out; fails with KT_E_NOMEM if it is bad. */
bool kt_text_take(struct kt_text *t, struct kt_bytes *ret, struct kt_error *err) KT_MUST_CHECK;

/* RFC 4648 base64 (standard alphabet, padded) and base16 (lower case). Decoders are strict: no white space, no other
 * alphabet, canonical padding. Base64 takes as long whatever the bytes are, and whether the text is good or not, so
 * that keys may be written so and read; base16 does not. */
size_t kt_base64_len(size_t n);                          /* without the NUL */
void kt_base64_encode(struct kt_slice bytes, char *ret); /* kt_base64_len + 1 */
bool kt_base64_decode(struct kt_slice text, uint8_t *ret, size_t cap, size_t *ret_len) KT_MUST_CHECK;
void kt_hex_encode(struct kt_slice bytes, char *ret);                           /* 2n + 1 */
bool kt_hex_decode(struct kt_slice text, uint8_t *ret, size_t n) KT_MUST_CHECK; /* exactly n bytes */
