/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/protobuf.h"

#define NUMBER_MAX 536870911u

static uint64_t read_varint(struct kt_reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = kt_reader_u8(r);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    r->bad = true;
    return 0;
}

static uint64_t read_fixed(struct kt_reader *r, size_t n)
{
    const uint8_t *bytes = kt_reader_bytes(r, n);
    uint64_t value = 0;
    for (size_t i = n; bytes && i > 0; i--)
        value = value << 8 | bytes[i - 1];
    return value;
}

static struct kt_slice read_bytes(struct kt_reader *r)
{
    uint64_t len = read_varint(r);
    if (len > r->left)
        r->bad = true;
    const uint8_t *bytes = r->bad ? NULL : kt_reader_bytes(r, (size_t)len);
    return KT_SLICE(bytes, bytes ? (size_t)len : 0);
}

bool kt_pb_next(struct kt_reader *r, struct kt_pb_field *ret)
{
    if (r->bad || r->left == 0)
        return false;
    uint64_t tag = read_varint(r);
    struct kt_pb_field field = {.number = (uint32_t)(tag >> 3 & NUMBER_MAX), .type = (enum kt_pb_type)(tag & 7)};
    if (tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
        r->bad = true;
    switch (field.type) {
    case KT_PB_VARINT:
        field.value = read_varint(r);
        break;
    case KT_PB_FIXED64:
        field.value = read_fixed(r, 8);
        break;
    case KT_PB_FIXED32:
        field.value = read_fixed(r, 4);
        break;
    case KT_PB_BYTES:
        field.bytes = read_bytes(r);
        break;
    default:
        r->bad = true;
    }
    if (r->bad)
        return false;
    *ret = field;
    return true;
}
