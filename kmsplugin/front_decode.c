/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/front_decode.h"

#include <stdalign.h>
#include <string.h>

#define VARINT_MAX 10u

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static void *scratch_alloc(void *data, size_t size)
{
    struct kt_scratch *scratch = data;
    size_t step = alignof(max_align_t);
    if (size > scratch->cap)
        return NULL;
    size_t len = (size + step - 1) / step * step;
    if (len > scratch->cap - scratch->used)
        return NULL;
    void *at = scratch->bytes + scratch->used;
    scratch->used += len;
    return at;
}

static void scratch_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

bool kt_scratch_init(struct kt_scratch *scratch, size_t cap, struct kt_error *err)
{
    uint8_t *bytes = calloc(1, cap);
    if (!bytes)
        return kt_fail(err, KT_E_NOMEM, "no %zu bytes for requests", cap);
    *scratch = (struct kt_scratch){.bytes = bytes, .cap = cap};
    scratch->allocator = (ProtobufCAllocator){.alloc = scratch_alloc, .free = scratch_free, .allocator_data = scratch};
    return true;
}

void kt_scratch_wipe(struct kt_scratch *scratch)
{
    explicit_bzero(scratch->bytes, scratch->used);
    scratch->used = 0;
}

void kt_scratch_done(struct kt_scratch *scratch)
{
    if (!scratch->bytes)
        return;
    kt_scratch_wipe(scratch);
    free(scratch->bytes);
    scratch->bytes = NULL;
}

static uint64_t read_varint(struct kt_reader *r)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_MAX; i++) {
        uint8_t byte = kt_reader_u8(r);
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0)
            return value;
    }
    r->bad = true;
    return 0;
}

/* Passes over one value; gives its length if it is length-delimited. */
static uint64_t skip_value(struct kt_reader *r, unsigned wire_type)
{
    uint64_t len = 0;
    switch (wire_type) {
    case WIRE_VARINT:
        (void)read_varint(r);
        break;
    case WIRE_FIXED64:
        (void)kt_reader_bytes(r, 8);
        break;
    case WIRE_FIXED32:
        (void)kt_reader_bytes(r, 4);
        break;
    case WIRE_BYTES:
        len = read_varint(r);
        (void)kt_reader_bytes(r, len);
        break;
    default:
        r->bad = true;
    }
    return len;
}

bool kt_wire_field_len(struct kt_slice message, uint32_t field, size_t *ret)
{
    struct kt_reader r;
    size_t found = 0;
    kt_reader_init(&r, message);
    while (r.left > 0 && !r.bad) {
        uint64_t key = read_varint(&r);
        uint64_t len = skip_value(&r, (unsigned)(key & 7));
        if (key >> 3 == field)
            found = len;
    }
    if (r.bad)
        return false;
    *ret = found;
    return true;
}
