/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocol buffers (protobuf.dev, "Encoding"), read in place, one field after the other: nothing is allocated, nothing
 * is copied, and bytes are passed over without a look at them. For messages that may be as large as an object of
 * Kubernetes, or hold a NUL within a string, where generated code would copy the one and cut the other.
 */
#pragma once

#include "base/buf.h"

enum kt_pb_type { KT_PB_VARINT = 0, KT_PB_FIXED64 = 1, KT_PB_BYTES = 2, KT_PB_FIXED32 = 5 };

struct kt_pb_field {
    uint32_t number; /* 1 to 536870911 */
    enum kt_pb_type type;
    uint64_t value;        /* of a number, of whatever width */
    struct kt_slice bytes; /* of KT_PB_BYTES; in place */
};

/* The next field. False at the end of the message, and where it is malformed (then r->bad): a field that is longer than
 * what is left, a number of more than 64 bits, a field number out of range, a group. */
bool kt_pb_next(struct kt_reader *r, struct kt_pb_field *ret) KT_MUST_CHECK;
