/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <string.h>

#define TEXT_FIRST 256u

static const uint8_t NOTHING[1] = {0};

struct kt_slice kt_slice_str(const char *text)
{
    return KT_SLICE(text, text ? strlen(text) : 0);
}

int kt_slice_compare(struct kt_slice a, struct kt_slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

bool kt_slice_equal(struct kt_slice a, struct kt_slice b)
{
    return a.len == b.len && kt_slice_compare(a, b) == 0;
}

bool kt_slice_begins(struct kt_slice slice, struct kt_slice beginning)
{
    return slice.len >= beginning.len && kt_slice_compare(KT_SLICE(slice.data, beginning.len), beginning) == 0;
}

void kt_bytes_done(struct kt_bytes *bytes)
{
    if (!bytes)
        return;
    free(bytes->data);
    *bytes = (struct kt_bytes){.data = NULL};
}

struct kt_slice kt_bytes_view(const struct kt_bytes *bytes)
{
    return KT_SLICE(bytes->data, bytes->len);
}

bool kt_bytes_copy(struct kt_slice from, struct kt_bytes *ret, struct kt_error *err)
{
    uint8_t *data = from.len < SIZE_MAX ? malloc(from.len + 1) : NULL;
    if (!data)
        return kt_fail(err, KT_E_NOMEM, "out of memory for %zu bytes", from.len);
    if (from.len > 0)
        memcpy(data, from.data, from.len);
    data[from.len] = 0;
    *ret = (struct kt_bytes){.data = data, .len = from.len};
    return true;
}

void kt_reader_init(struct kt_reader *r, struct kt_slice bytes)
{
    *r = (struct kt_reader){.next = bytes.data ? bytes.data : NOTHING, .left = bytes.len};
}

const uint8_t *kt_reader_bytes(struct kt_reader *r, size_t n)
{
    if (r->bad || n > r->left) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *bytes = r->next;
    r->next += n;
    r->left -= n;
    return bytes;
}

static uint64_t read_number(struct kt_reader *r, size_t width)
{
    const uint8_t *bytes = kt_reader_bytes(r, width);
    uint64_t v = 0;
    for (size_t i = 0; bytes && i < width; i++)
        v = v << 8 | bytes[i];
    return v;
}

uint8_t kt_reader_u8(struct kt_reader *r)
{
    return (uint8_t)read_number(r, 1);
}

uint16_t kt_reader_u16(struct kt_reader *r)
{
    return (uint16_t)read_number(r, 2);
}

uint32_t kt_reader_u32(struct kt_reader *r)
{
    return (uint32_t)read_number(r, 4);
}

uint64_t kt_reader_u64(struct kt_reader *r)
{
    return read_number(r, 8);
}

struct kt_slice kt_reader_blob(struct kt_reader *r, size_t max)
{
    size_t len = kt_reader_u32(r);
    if (len > max)
        r->bad = true;
    const uint8_t *bytes = kt_reader_bytes(r, len);
    return KT_SLICE(bytes, bytes ? len : 0);
}

bool kt_reader_end(const struct kt_reader *r)
{
    return !r->bad && r->left == 0;
}

void kt_writer_init(struct kt_writer *w, void *data, size_t cap)
{
    *w = (struct kt_writer){.data = data, .cap = cap};
}

void kt_writer_bytes(struct kt_writer *w, const void *bytes, size_t n)
{
    if (w->bad || n > w->cap - w->len) {
        w->bad = true;
        return;
    }
    if (n > 0)
        memcpy(w->data + w->len, bytes, n);
    w->len += n;
}

static void write_number(struct kt_writer *w, uint64_t v, size_t width)
{
    uint8_t bytes[8] = {0};
    for (size_t i = 0; i < width; i++)
        bytes[i] = (uint8_t)(v >> 8 * (width - 1 - i));
    kt_writer_bytes(w, bytes, width);
}

void kt_writer_u8(struct kt_writer *w, uint8_t v)
{
    write_number(w, v, 1);
}

void kt_writer_u16(struct kt_writer *w, uint16_t v)
{
    write_number(w, v, 2);
}

void kt_writer_u32(struct kt_writer *w, uint32_t v)
{
    write_number(w, v, 4);
}

void kt_writer_u64(struct kt_writer *w, uint64_t v)
{
    write_number(w, v, 8);
}

void kt_writer_blob(struct kt_writer *w, struct kt_slice blob)
{
    if (blob.len > UINT32_MAX) {
        w->bad = true;
        return;
    }
    kt_writer_u32(w, (uint32_t)blob.len);
    kt_writer_bytes(w, blob.data, blob.len);
}

void kt_text_init(struct kt_text *t, size_t max)
{
    *t = (struct kt_text){.max = max};
}

void kt_text_done(struct kt_text *t)
{
    if (!t)
        return;
    free(t->data);
    *t = (struct kt_text){.data = NULL};
}

/* Room for n more bytes and the NUL. */
static bool reserve(struct kt_text *t, size_t n)
{
    if (t->bad || n > t->max - t->len || t->len + n == SIZE_MAX) {
        t->bad = true;
        return false;
    }
    size_t need = t->len + n + 1;
    if (need <= t->cap)
        return true;
    size_t cap = t->cap > 0 ? t->cap : TEXT_FIRST;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *data = realloc(t->data, cap);
    if (!data) {
        t->bad = true;
        return false;
    }
    t->data = data;
    t->cap = cap;
    return true;
}

void kt_text_add_bytes(struct kt_text *t, const void *bytes, size_t n)
{
    if (!reserve(t, n))
        return;
    if (n > 0)
        memcpy(t->data + t->len, bytes, n);
    t->len += n;
    t->data[t->len] = '\0';
}

void kt_text_add(struct kt_text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) {
        t->bad = true;
        return;
    }
    if (!reserve(t, (size_t)n))
        return;
    va_start(args, fmt);
    vsnprintf(t->data + t->len, (size_t)n + 1, fmt, args);
    va_end(args);
    t->len += (size_t)n;
}

bool kt_text_take(struct kt_text *t, struct kt_bytes *ret, struct kt_error *err)
{
    kt_text_add_bytes(t, NULL, 0);
    if (t->bad)
        return kt_fail(err, KT_E_NOMEM, "the text is longer than %zu bytes, or memory ran out", t->max);
    ret->len = t->len;
    ret->data = (uint8_t *)KT_TAKE_PTR(t->data);
    kt_text_done(t);
    return true;
}
