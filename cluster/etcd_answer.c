/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/etcd_answer.h"

#include "cluster/protobuf.h"

enum { ANSWER_HEADER = 1, ANSWER_KV = 2, ANSWER_MORE = 3, ANSWER_COUNT = 4 };
enum { HEADER_REVISION = 3 };
enum { KV_KEY = 1, KV_CREATE = 2, KV_MOD = 3, KV_VERSION = 4, KV_VALUE = 5 };

static bool read_header(struct kt_slice message, int64_t *ret)
{
    struct kt_reader r;
    struct kt_pb_field field;
    kt_reader_init(&r, message);
    while (kt_pb_next(&r, &field)) {
        if (field.number == HEADER_REVISION && field.type != KT_PB_VARINT)
            return false;
        if (field.number == HEADER_REVISION)
            *ret = (int64_t)field.value;
    }
    return !r.bad;
}

static bool take_kv_field(const struct kt_pb_field *field, struct kt_etcd_kv *kv)
{
    bool is_bytes = field->number == KV_KEY || field->number == KV_VALUE;
    if (field->number <= KV_VALUE && field->type != (is_bytes ? KT_PB_BYTES : KT_PB_VARINT))
        return false;
    switch (field->number) {
    case KV_KEY:
        kv->key = field->bytes;
        break;
    case KV_CREATE:
        kv->create_revision = (int64_t)field->value;
        break;
    case KV_MOD:
        kv->mod_revision = (int64_t)field->value;
        break;
    case KV_VERSION:
        kv->version = (int64_t)field->value;
        break;
    case KV_VALUE:
        kv->value = field->bytes;
        break;
    default:
        break;
    }
    return true;
}

bool kt_etcd_kv_read(struct kt_slice message, struct kt_etcd_kv *ret)
{
    struct kt_reader r;
    struct kt_pb_field field;
    *ret = (struct kt_etcd_kv){.key = {.data = NULL}};
    kt_reader_init(&r, message);
    while (kt_pb_next(&r, &field))
        if (!take_kv_field(&field, ret))
            return false;
    return !r.bad && ret->key.len > 0;
}

static bool take_field(const struct kt_pb_field *field, struct kt_etcd_answer *answer)
{
    struct kt_etcd_kv kv;
    bool is_bytes = field->number <= ANSWER_KV;
    if (field->number <= ANSWER_COUNT && field->type != (is_bytes ? KT_PB_BYTES : KT_PB_VARINT))
        return false;
    switch (field->number) {
    case ANSWER_HEADER:
        return read_header(field->bytes, &answer->revision);
    case ANSWER_KV:
        answer->n_kvs++;
        return kt_etcd_kv_read(field->bytes, &kv);
    case ANSWER_MORE:
        answer->more = field->value != 0;
        return true;
    case ANSWER_COUNT:
        answer->count = (int64_t)field->value;
        return true;
    default:
        return true;
    }
}

bool kt_etcd_answer_read(struct kt_slice message, struct kt_etcd_answer *ret)
{
    struct kt_etcd_answer answer = {.n_kvs = 0};
    struct kt_reader r;
    struct kt_pb_field field;
    kt_reader_init(&r, message);
    while (kt_pb_next(&r, &field))
        if (!take_field(&field, &answer))
            return false;
    if (r.bad || answer.revision <= 0 || answer.count < 0)
        return false;
    kt_reader_init(&answer.rest, message);
    *ret = answer;
    return true;
}

bool kt_etcd_answer_next(struct kt_etcd_answer *answer, struct kt_etcd_kv *ret)
{
    struct kt_pb_field field;
    while (kt_pb_next(&answer->rest, &field))
        if (field.number == ANSWER_KV)
            return kt_etcd_kv_read(field.bytes, ret);
    return false;
}
