/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/children.h"

#include <string.h>

static const char *const role_texts[KT_ROLE_COUNT] = {
    [KT_ROLE_SUPERVISOR] = "supervisor", [KT_ROLE_FRONT] = "front",   [KT_ROLE_KEEPER] = "keeper",
    [KT_ROLE_EXPORTER] = "exporter",     [KT_ROLE_OPENER] = "opener",
};

const char *kt_role_text(enum kt_role role)
{
    return (unsigned)role < KT_ROLE_COUNT ? role_texts[role] : "unknown";
}

enum field_kind { FIELD_TEXT, FIELD_IDS, FIELD_U32, FIELD_U8, FIELD_BOOL };
struct field {
    enum field_kind kind;
    size_t offset;
    size_t size;
};
#define FIELD(k, name)                                                 \
    {                                                                  \
        .kind = (k), .offset = offsetof(struct kt_child_config, name), \
        .size = sizeof(((struct kt_child_config *)NULL)->name)         \
    }

/* The order on the wire. */
static const struct field fields[] = {
    FIELD(FIELD_TEXT, node),
    FIELD(FIELD_TEXT, config_path),
    FIELD(FIELD_TEXT, state_dir),
    FIELD(FIELD_TEXT, metrics_listen),
    FIELD(FIELD_TEXT, metrics_textfile),
    FIELD(FIELD_IDS, kms_uids),
    FIELD(FIELD_IDS, kms_gids),
    FIELD(FIELD_U32, kms_connections),
    FIELD(FIELD_U32, kms_streams),
    FIELD(FIELD_U32, kms_request_bytes),
    FIELD(FIELD_IDS, control_uids),
    FIELD(FIELD_U32, opener_timeout_s),
    FIELD(FIELD_U32, selftest_keys_s),
    FIELD(FIELD_U32, selftest_keyring_s),
    FIELD(FIELD_U32, serial),
    FIELD(FIELD_U8, log_format),
    FIELD(FIELD_U8, log_level),
    FIELD(FIELD_BOOL, single_uid),
};

static void encode_ids(const void *from, struct kt_writer *w)
{
    const struct kt_ids *ids = from;
    kt_writer_u32(w, (uint32_t)ids->n);
    for (size_t i = 0; i < ids->n; i++)
        kt_writer_u32(w, ids->ids[i]);
}

static void encode_field(const struct field *field, const void *from, struct kt_writer *w)
{
    switch (field->kind) {
    case FIELD_TEXT:
        kt_writer_blob(w, kt_slice_str(from));
        break;
    case FIELD_IDS:
        encode_ids(from, w);
        break;
    case FIELD_U32:
        kt_writer_u32(w, *(const uint32_t *)from);
        break;
    case FIELD_U8:
        kt_writer_u8(w, *(const uint8_t *)from);
        break;
    case FIELD_BOOL:
        kt_writer_u8(w, *(const bool *)from ? 1 : 0);
        break;
    }
}

bool kt_child_config_encode(const struct kt_child_config *config, struct kt_writer *w)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(fields); i++)
        encode_field(&fields[i], (const char *)config + fields[i].offset, w);
    return !w->bad;
}

static void decode_text(struct kt_reader *r, char *to, size_t size)
{
    struct kt_slice text = kt_reader_blob(r, size - 1);
    if (r->bad)
        return;
    if (memchr(text.data, 0, text.len))
        r->bad = true;
    else
        memcpy(to, text.data, text.len);
}

static void decode_ids(struct kt_reader *r, void *to)
{
    struct kt_ids *ids = to;
    uint32_t n = kt_reader_u32(r);
    if (n > KT_CONFIG_IDS_MAX) {
        r->bad = true;
        return;
    }
    for (ids->n = 0; ids->n < n; ids->n++)
        ids->ids[ids->n] = kt_reader_u32(r);
}

static void decode_bool(struct kt_reader *r, void *to)
{
    uint8_t value = kt_reader_u8(r);
    if (value > 1)
        r->bad = true;
    *(bool *)to = value == 1;
}

static void decode_field(const struct field *field, struct kt_reader *r, void *to)
{
    switch (field->kind) {
    case FIELD_TEXT:
        decode_text(r, to, field->size);
        break;
    case FIELD_IDS:
        decode_ids(r, to);
        break;
    case FIELD_U32:
        *(uint32_t *)to = kt_reader_u32(r);
        break;
    case FIELD_U8:
        *(uint8_t *)to = kt_reader_u8(r);
        break;
    case FIELD_BOOL:
        decode_bool(r, to);
        break;
    }
}

bool kt_child_config_decode(struct kt_reader *r, struct kt_child_config *ret)
{
    struct kt_child_config *config = calloc(1, sizeof(*config));
    if (!config)
        return false;
    for (size_t i = 0; i < KT_ARRAY_LEN(fields) && !r->bad; i++)
        decode_field(&fields[i], r, (char *)config + fields[i].offset);
    bool good = kt_reader_end(r);
    if (good)
        *ret = *config;
    free(config);
    return good;
}

void kt_child_config_of(const struct kt_config *config, bool single_uid, struct kt_child_config *ret)
{
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->node, config->node, sizeof(ret->node));
    memcpy(ret->config_path, config->path, sizeof(ret->config_path));
    memcpy(ret->state_dir, config->state_dir, sizeof(ret->state_dir));
    memcpy(ret->metrics_listen, config->metrics_listen, sizeof(ret->metrics_listen));
    memcpy(ret->metrics_textfile, config->metrics_textfile, sizeof(ret->metrics_textfile));
    ret->kms_uids = config->kms_uids;
    ret->kms_gids = config->kms_gids;
    ret->kms_connections = config->kms_connections;
    ret->kms_streams = config->kms_streams;
    ret->kms_request_bytes = config->kms_request_bytes;
    ret->control_uids = config->control_uids;
    ret->opener_timeout_s = config->opener_timeout_s;
    ret->selftest_keys_s = config->selftest_keys_s;
    ret->selftest_keyring_s = config->selftest_keyring_s;
    ret->log_format = (uint8_t)config->log_format;
    ret->log_level = (uint8_t)config->log_level;
    ret->single_uid = single_uid;
}

bool kt_lifeline_send(int fd, enum kt_lifeline_type type, struct kt_slice body, const int *fds, size_t n_fds,
                      struct kt_error *err)
{
    uint8_t message[KT_LIFELINE_MAX];
    struct kt_writer w;
    kt_writer_init(&w, message, sizeof(message));
    kt_writer_u8(&w, (uint8_t)type);
    kt_writer_bytes(&w, body.data, body.len);
    if (w.bad)
        return kt_fail(err, KT_E_INTERNAL, "a lifeline message of %zu bytes is too long", body.len);
    return kt_ipc_send(fd, KT_SLICE(w.data, w.len), fds, n_fds, 0, err);
}

bool kt_lifeline_recv(int fd, uint8_t *buffer, struct kt_lifeline_message *ret, enum kt_ipc_got *ret_got,
                      struct kt_error *err)
{
    struct kt_ipc_message message = {0};
    enum kt_ipc_got got = KT_IPC_NOTHING;
    if (!kt_ipc_recv(fd, buffer, KT_LIFELINE_MAX, &message, &got, err))
        return false;
    *ret_got = got;
    if (got != KT_IPC_MESSAGE)
        return true;
    if (message.len == 0) {
        for (size_t i = 0; i < message.n_fds; i++)
            kt_fd_close(message.fds[i]);
        return kt_fail(err, KT_E_INTERNAL, "a lifeline message without a type");
    }
    *ret = (struct kt_lifeline_message){.type = buffer[0], .body = KT_SLICE(buffer + 1, message.len - 1)};
    memcpy(ret->fds, message.fds, sizeof(ret->fds));
    ret->n_fds = message.n_fds;
    return true;
}

int kt_lifeline_take_fd(struct kt_lifeline_message *message)
{
    int fd = message->n_fds > 0 ? message->fds[0] : -1;
    for (size_t i = 1; i < message->n_fds; i++)
        kt_fd_close(message->fds[i]);
    message->n_fds = 0;
    return fd;
}
