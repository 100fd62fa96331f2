/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client reads of the header blocks that a gRPC server sends (HPACK, RFC 7541): the value of grpc-status.
 * The dynamic table and Huffman strings are followed in full; of a field that is not grpc-status only the sizes are
 * kept.
 */
#ifndef KT_LOAD_HPACK_H
#define KT_LOAD_HPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KT_HPACK_TABLE_MAX = 4096,                  /* SETTINGS_HEADER_TABLE_SIZE where nobody says otherwise */
    KT_HPACK_ENTRIES = KT_HPACK_TABLE_MAX / 32, /* an entry counts for 32 bytes at least */
    KT_HPACK_STATIC = 61,
};

struct kt_hpack_entry {
    size_t size;
    size_t name_len;
    int status; /* the value of grpc-status, -1 if the field is another one */
};

/* The dynamic table of one connection: all zero, with limit = KT_HPACK_TABLE_MAX, is an empty one. */
struct kt_hpack {
    struct kt_hpack_entry ring[KT_HPACK_ENTRIES];
    size_t newest;
    size_t count;
    size_t size;
    size_t limit;
};

/* Makes the tables for Huffman strings; once, before anything is read. */
void kt_hpack_prepare(void);

/*
 * Reads one whole header block. *ret_status becomes the value of grpc-status if the block has one (INT_MAX if it is no
 * number), and is left alone if it has none. False if the block breaks RFC 7541 or holds a string above 8 KiB.
 */
bool kt_hpack_read(struct kt_hpack *t, const uint8_t *data, size_t len, int *ret_status);

#endif
