/* SPDX-License-Identifier: Apache-2.0 */
#include "hpack.h"

#include <limits.h>
#include <string.h>

enum { STRING_MAX = 8192 };

struct reader {
    const uint8_t *at;
    const uint8_t *end;
};

/* Bits of the Huffman code of each byte (RFC 7541 appendix B). The code is canonical, so the lengths are all it takes.
 */
static const uint8_t huffman_bits[256] = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,  5,  5,  5,  6,  6,  6,  6,  6,  6,  6,
    7,  8,  15, 6,  12, 10, 13, 6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
    7,  8,  7,  8,  13, 19, 13, 14, 6,  15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,
    5,  6,  7,  7,  7,  7,  7,  15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24,
    24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22,
    23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26,
    27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23,
    22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
};

enum { HUFFMAN_MAX = 30 };

static struct {
    uint32_t first[HUFFMAN_MAX + 1]; /* the first code of that many bits */
    uint32_t count[HUFFMAN_MAX + 1];
    uint32_t index[HUFFMAN_MAX + 1]; /* where the symbols of that many bits begin */
    uint8_t symbol[256];
} huffman;

void kt_hpack_prepare(void)
{
    uint32_t code = 0;
    uint32_t next = 0;

    for (unsigned bits = 1; bits <= HUFFMAN_MAX; bits++) {
        code = (code + huffman.count[bits - 1]) << 1;
        huffman.first[bits] = code;
        huffman.index[bits] = next;
        for (unsigned symbol = 0; symbol < 256; symbol++)
            if (huffman_bits[symbol] == bits)
                huffman.symbol[next++] = (uint8_t)symbol;
        huffman.count[bits] = next - huffman.index[bits];
    }
}

static bool huffman_decode(const uint8_t *data, size_t len, char *ret_text, size_t *ret_len)
{
    uint32_t code = 0;
    unsigned bits = 0;
    size_t out = 0;

    for (size_t i = 0; i < len * 8; i++) {
        code = code << 1 | (data[i / 8] >> (7 - i % 8) & 1);
        if (++bits > HUFFMAN_MAX)
            return false;
        if (code - huffman.first[bits] >= huffman.count[bits])
            continue;
        if (out == STRING_MAX)
            return false;
        ret_text[out++] = (char)huffman.symbol[huffman.index[bits] + code - huffman.first[bits]];
        code = bits = 0;
    }
    *ret_len = out;
    return bits < 8; /* what is left is padding */
}

static bool read_int(struct reader *r, unsigned prefix_bits, size_t *ret_value)
{
    size_t mask = (1u << prefix_bits) - 1;
    size_t value = 0;
    bool more = false;

    if (r->at == r->end)
        return false;
    value = *r->at++ & mask;
    more = value == mask;
    for (unsigned shift = 0; more; shift += 7) {
        if (r->at == r->end || shift > 21)
            return false;
        value += (size_t)(*r->at & 0x7f) << shift;
        more = *r->at++ & 0x80;
    }
    *ret_value = value;
    return true;
}

static bool read_string(struct reader *r, char *ret_text, size_t *ret_len)
{
    bool coded = r->at < r->end && *r->at & 0x80;
    const uint8_t *data;
    size_t len;

    if (!read_int(r, 7, &len) || len > (size_t)(r->end - r->at) || len > STRING_MAX)
        return false;
    data = r->at;
    r->at += len;
    if (coded)
        return huffman_decode(data, len, ret_text, ret_len);
    memcpy(ret_text, data, len);
    *ret_len = len;
    return true;
}

static void table_resize(struct kt_hpack *t, size_t limit)
{
    t->limit = limit;
    while (t->size > t->limit) {
        t->size -= t->ring[(t->newest + KT_HPACK_ENTRIES - t->count + 1) % KT_HPACK_ENTRIES].size;
        t->count--;
    }
}

static void table_add(struct kt_hpack *t, struct kt_hpack_entry entry)
{
    size_t limit = t->limit;

    table_resize(t, entry.size < limit ? limit - entry.size : 0);
    t->limit = limit;
    if (entry.size > limit)
        return;
    t->newest = (t->newest + 1) % KT_HPACK_ENTRIES;
    t->ring[t->newest] = entry;
    t->count++;
    t->size += entry.size;
}

/* Entry `index` of both tables; of a static one only what can matter here: it is not grpc-status. */
static bool table_find(const struct kt_hpack *t, size_t index, struct kt_hpack_entry *ret_entry)
{
    static const uint8_t name_len[KT_HPACK_STATIC + 1] = {
        0,  10, 7, 7, 5, 5, 7, 7, 7, 7,  7,  7, 7,  7,  7, 14, 15, 15, 13, 6, 27, 3, 5,  13, 13, 19, 16, 16, 14, 16, 13,
        12, 6,  4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8,  12, 18, 19, 5, 7,  7, 11, 6,  10, 25, 17, 10, 4,  3,  16,
    };

    if (index == 0 || index > KT_HPACK_STATIC + t->count)
        return false;
    if (index <= KT_HPACK_STATIC)
        *ret_entry = (struct kt_hpack_entry){.name_len = name_len[index], .status = -1};
    else
        *ret_entry = t->ring[(t->newest + KT_HPACK_ENTRIES + KT_HPACK_STATIC + 1 - index) % KT_HPACK_ENTRIES];
    return true;
}

static int parse_status(const char *text, size_t len)
{
    int value = 0;

    if (len == 0 || len > 3)
        return INT_MAX;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return INT_MAX;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

static bool read_literal(struct reader *r, const struct kt_hpack *t, unsigned prefix_bits,
                         struct kt_hpack_entry *ret_entry)
{
    static const char wanted[] = "grpc-status";
    char text[STRING_MAX];
    struct kt_hpack_entry named = {.status = -1};
    size_t index;
    size_t len;
    bool is_status;

    if (!read_int(r, prefix_bits, &index))
        return false;
    if (index != 0) {
        if (!table_find(t, index, &named))
            return false;
        is_status = named.status >= 0;
    } else {
        if (!read_string(r, text, &named.name_len))
            return false;
        is_status = named.name_len == sizeof(wanted) - 1 && memcmp(text, wanted, named.name_len) == 0;
    }
    if (!read_string(r, text, &len))
        return false;
    *ret_entry = (struct kt_hpack_entry){
        .size = named.name_len + len + 32,
        .name_len = named.name_len,
        .status = is_status ? parse_status(text, len) : -1,
    };
    return true;
}

bool kt_hpack_read(struct kt_hpack *t, const uint8_t *data, size_t len, int *ret_status)
{
    struct reader r = {data, data + len};

    while (r.at < r.end) {
        uint8_t kind = *r.at;
        struct kt_hpack_entry entry = {.status = -1};
        size_t value;

        if (kind & 0x80) {
            if (!read_int(&r, 7, &value) || !table_find(t, value, &entry))
                return false;
        } else if (kind & 0x40) {
            if (!read_literal(&r, t, 6, &entry))
                return false;
            table_add(t, entry);
        } else if (kind & 0x20) {
            if (!read_int(&r, 5, &value) || value > KT_HPACK_TABLE_MAX)
                return false;
            table_resize(t, value);
        } else if (!read_literal(&r, t, 4, &entry)) {
            return false;
        }
        if (entry.status >= 0)
            *ret_status = entry.status;
    }
    return true;
}
