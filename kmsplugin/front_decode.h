/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between a caller's bytes and protobuf-c: memory that is bounded and wiped, and a look at the wire format
 * for what protobuf-c hides (a string with a NUL inside arrives as its first part).
 */
#pragma once

#include "base/buf.h"

#include <protobuf-c/protobuf-c.h>

/* Memory for one message at a time: handed out in order, never given back singly, wiped and emptied as a whole. When it
 * is used up, protobuf-c refuses the message. allocator points into the struct: it must not move. */
struct kt_scratch {
    uint8_t *bytes;
    size_t cap;
    size_t used;
    ProtobufCAllocator allocator;
};
bool kt_scratch_init(struct kt_scratch *scratch, size_t cap, struct kt_error *err) KT_MUST_CHECK;
void kt_scratch_wipe(struct kt_scratch *scratch);
void kt_scratch_done(struct kt_scratch *scratch);

/* Length of the last occurrence of a length-delimited field (that one counts in proto3), 0 if there is none. False if
 * the message is malformed. */
bool kt_wire_field_len(struct kt_slice message, uint32_t field, size_t *ret) KT_MUST_CHECK;
