/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of gRPC over HTTP/2 (RFC 9113), made once as bytes and then sent again and again with another stream id, and
 * the small writers that they are made with. What does not fit ends the program with a message.
 */
#ifndef KT_LOAD_REQUEST_H
#define KT_LOAD_REQUEST_H

#include <stddef.h>
#include <stdint.h>

enum {
    KT_FRAME_HEAD = 9,
    KT_MESSAGE_MAX = 4096, /* longest gRPC message, both ways, with its five bytes of prefix */
    KT_TEMPLATE_MAX = KT_MESSAGE_MAX + 1024,
};

enum kt_frame_type {
    KT_DATA = 0,
    KT_HEADERS = 1,
    KT_RST_STREAM = 3,
    KT_SETTINGS = 4,
    KT_PING = 6,
    KT_GOAWAY = 7,
    KT_WINDOW_UPDATE = 8,
    KT_CONTINUATION = 9,
};

enum kt_frame_flag { KT_ACK = 0x1, KT_END_STREAM = 0x1, KT_END_HEADERS = 0x4, KT_PADDED = 0x8, KT_PRIORITY = 0x20 };

enum kt_method { KT_STATUS, KT_ENCRYPT, KT_DECRYPT, KT_METHODS };

extern const char *const kt_method_names[KT_METHODS];

struct kt_bytes {
    uint8_t data[KT_TEMPLATE_MAX];
    size_t len;
};

/* A request as it goes out but for its stream id, which stands in both frame heads. */
struct kt_template {
    struct kt_bytes frames;
    size_t data_head; /* where the second frame begins */
};

struct kt_request {
    struct kt_template first; /* the first of a connection: the header fields are spelled out, and enter the table */
    struct kt_template later; /* the others: the same fields by number */
    size_t message_len;       /* what flow control counts */
};

/* Says what is wrong and ends the program with status 1. */
void kt_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

void kt_bytes_put(struct kt_bytes *b, const void *data, size_t len);
void kt_put_frame_head(struct kt_bytes *b, size_t len, enum kt_frame_type type, unsigned flags);

/* A length-delimited field (string, bytes or message), shorter than 2^14. */
void kt_put_protobuf(struct kt_bytes *b, unsigned field, const void *data, size_t len);

/* Big-endian, as HTTP/2 and gRPC want it. */
void kt_store_u32(uint8_t *at, uint32_t value);
uint32_t kt_load_u32(const uint8_t *at);

/* `body` is the protobuf message; the gRPC prefix is put before it. */
void kt_request_make(struct kt_request *request, enum kt_method method, const struct kt_bytes *body);

#endif
