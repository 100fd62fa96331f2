/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include "hpack.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const kt_method_names[KT_METHODS] = {"status", "encrypt", "decrypt"};
static const char *const method_paths[KT_METHODS] = {
    "/v2.KeyManagementService/Status",
    "/v2.KeyManagementService/Encrypt",
    "/v2.KeyManagementService/Decrypt",
};

void kt_die(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    fputs("kms-load: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(1);
}

void kt_bytes_put(struct kt_bytes *b, const void *data, size_t len)
{
    if (len > sizeof(b->data) - b->len)
        kt_die("a request would be longer than %d bytes", KT_MESSAGE_MAX);
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void put_u8(struct kt_bytes *b, unsigned value)
{
    uint8_t byte = (uint8_t)value;

    kt_bytes_put(b, &byte, 1);
}

void kt_store_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

uint32_t kt_load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_text(struct kt_bytes *b, const char *text)
{
    put_u8(b, (unsigned)strlen(text)); /* all of them are shorter than 127, and plain */
    kt_bytes_put(b, text, strlen(text));
}

static void put_field(struct kt_bytes *b, unsigned name_index, const char *name, const char *value)
{
    put_u8(b, 0x40 | name_index);
    if (name)
        put_text(b, name);
    put_text(b, value);
}

void kt_put_frame_head(struct kt_bytes *b, size_t len, enum kt_frame_type type, unsigned flags)
{
    uint8_t head[KT_FRAME_HEAD] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, (uint8_t)type,
                                   (uint8_t)flags};

    kt_bytes_put(b, head, sizeof(head));
}

static void put_header_block(struct kt_bytes *b, const char *path, bool first)
{
    put_u8(b, 0x83); /* :method POST */
    put_u8(b, 0x86); /* :scheme http */
    if (first) {
        put_field(b, 4, NULL, path);
        put_field(b, 1, NULL, "localhost");
        put_field(b, 31, NULL, "application/grpc");
        put_field(b, 58, NULL, "grpc-go/1.79.3");
        put_field(b, 0, "te", "trailers");
        put_field(b, 0, "grpc-accept-encoding", "gzip");
    } else {
        for (unsigned index = KT_HPACK_STATIC + 6; index > KT_HPACK_STATIC; index--)
            put_u8(b, 0x80 | index);
    }
    put_u8(b, 0); /* not indexed, as it differs from call to call */
    put_text(b, "grpc-timeout");
    put_text(b, "29999876u");
}

static void template_make(struct kt_template *t, const char *path, bool first, const struct kt_bytes *message)
{
    struct kt_bytes block = {.len = 0};

    put_header_block(&block, path, first);
    t->frames.len = 0;
    kt_put_frame_head(&t->frames, block.len, KT_HEADERS, KT_END_HEADERS);
    kt_bytes_put(&t->frames, block.data, block.len);
    t->data_head = t->frames.len;
    kt_put_frame_head(&t->frames, message->len, KT_DATA, KT_END_STREAM);
    kt_bytes_put(&t->frames, message->data, message->len);
}

void kt_put_protobuf(struct kt_bytes *b, unsigned field, const void *data, size_t len)
{
    put_u8(b, field << 3 | 2);
    if (len > 0x7f)
        put_u8(b, 0x80 | (unsigned)(len & 0x7f));
    put_u8(b, (unsigned)(len > 0x7f ? len >> 7 : len));
    kt_bytes_put(b, data, len);
}

void kt_request_make(struct kt_request *request, enum kt_method method, const struct kt_bytes *body)
{
    struct kt_bytes message = {.len = 0};
    uint8_t prefix[5] = {0};

    kt_store_u32(prefix + 1, (uint32_t)body->len);
    kt_bytes_put(&message, prefix, sizeof(prefix));
    kt_bytes_put(&message, body->data, body->len);
    if (message.len > KT_MESSAGE_MAX)
        kt_die("a request would be longer than %d bytes", KT_MESSAGE_MAX);
    request->message_len = message.len;
    template_make(&request->first, method_paths[method], true, &message);
    template_make(&request->later, method_paths[method], false, &message);
}
