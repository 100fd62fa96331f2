/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/etcd_answer.h"
#include "proto/etcd.pb-c.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static uint8_t packed[4096];

static struct kt_slice pack(const Etcdserverpb__RangeResponse *response)
{
    assert_true(etcdserverpb__range_response__get_packed_size(response) <= sizeof(packed));
    return KT_SLICE(packed, etcdserverpb__range_response__pack(response, packed));
}

static Etcdserverpb__KeyValue kv_of(char *key, char *value)
{
    Etcdserverpb__KeyValue kv = ETCDSERVERPB__KEY_VALUE__INIT;
    kv.key = (ProtobufCBinaryData){.data = (uint8_t *)key, .len = strlen(key)};
    kv.value = (ProtobufCBinaryData){.data = (uint8_t *)value, .len = strlen(value)};
    kv.create_revision = 7;
    kv.mod_revision = INT64_MAX;
    kv.version = 3;
    kv.lease = 5;
    return kv;
}

static void test_whole(void **state)
{
    (void)state;
    static char keys[2][8] = {"/a", "/b"};
    static char values[2][8] = {"one", ""};
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    Etcdserverpb__RangeResponse response = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    Etcdserverpb__KeyValue kvs[] = {kv_of(keys[0], values[0]), kv_of(keys[1], values[1])};
    Etcdserverpb__KeyValue *list[] = {&kvs[0], &kvs[1]};
    struct kt_etcd_answer answer;
    struct kt_etcd_kv kv;
    header.cluster_id = UINT64_MAX;
    header.revision = 42;
    header.raft_term = 2;
    response.header = &header;
    response.kvs = list;
    response.n_kvs = 2;
    response.more = true;
    response.count = 9;
    struct kt_slice message = pack(&response);
    assert_true(kt_etcd_answer_read(message, &answer));
    assert_int_equal(answer.revision, 42);
    assert_int_equal(answer.count, 9);
    assert_true(answer.more);
    assert_int_equal(answer.n_kvs, 2);
    assert_true(kt_etcd_answer_next(&answer, &kv));
    assert_true(kt_slice_equal(kv.key, kt_slice_str("/a")));
    assert_true(kt_slice_equal(kv.value, kt_slice_str("one")));
    assert_true(kv.value.data >= packed && kv.value.data < packed + message.len); /* in place */
    assert_int_equal(kv.create_revision, 7);
    assert_true(kv.mod_revision == INT64_MAX);
    assert_int_equal(kv.version, 3);
    assert_true(kt_etcd_answer_next(&answer, &kv));
    assert_true(kt_slice_equal(kv.key, kt_slice_str("/b")));
    assert_int_equal(kv.value.len, 0);
    assert_false(kt_etcd_answer_next(&answer, &kv));
    /* Cut anywhere it is no answer, or one with fewer keys or without its count; never another key. */
    for (size_t len = 0; len < message.len; len++) {
        if (!kt_etcd_answer_read(KT_SLICE(packed, len), &answer))
            continue;
        while (kt_etcd_answer_next(&answer, &kv))
            assert_true(kv.key.len == 2 && kv.key.data[0] == '/');
    }
}

static const struct {
    const char *bytes;
    size_t len;
} BAD[] = {
#define B(text)                \
    {                          \
        text, sizeof(text) - 1 \
    }
    B(""),                                                             /* no header */
    B("\x0a\x00"),                                                     /* no revision in it */
    B("\x0a\x02\x18\x00"),                                             /* revision 0 */
    B("\x0a\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),         /* revision -1 */
    B("\x0a\x02\x1a\x00"),                                             /* a revision of bytes */
    B("\x08\x01"),                                                     /* a header that is a number */
    B("\x0a\x02\x18\x05\x10\x01"),                                     /* a key that is a number */
    B("\x0a\x02\x18\x05\x12\x00"),                                     /* a key without a name */
    B("\x0a\x02\x18\x05\x12\x02\x0a\x00"),                             /* with an empty one */
    B("\x0a\x02\x18\x05\x12\x02\x08\x01"),                             /* with a number for one */
    B("\x0a\x02\x18\x05\x12\x03\x0a\x02z"),                            /* with one that is longer than the message */
    B("\x0a\x02\x18\x05\x12\x05\x0a\x01z\x28\x01"),                    /* a value that is a number */
    B("\x0a\x02\x18\x05\x12\x05\x0a\x01z\x1a\x00"),                    /* a revision of bytes */
    B("\x0a\x02\x18\x05\x1a\x00"),                                     /* more, as bytes */
    B("\x0a\x02\x18\x05\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* count -1 */
    B("\x0a\x02\x18\x05\x12"),
    B("\x0a\x02\x18"),
#undef B
};

static void test_bad(void **state)
{
    (void)state;
    struct kt_etcd_answer answer;
    for (size_t i = 0; i < KT_ARRAY_LEN(BAD); i++)
        if (kt_etcd_answer_read(KT_SLICE(BAD[i].bytes, BAD[i].len), &answer))
            fail_msg("answer %zu was taken", i);
}

/* Fields that we do not know are passed over. */
static void test_unknown_fields(void **state)
{
    (void)state;
    static const char message[] = "\x0a\x04\x18\x05\x50\x01\x12\x07\x0a\x01z\x7a\x02xy\xa2\x06\x03"
                                  "abc";
    struct kt_etcd_answer answer;
    struct kt_etcd_kv kv;
    assert_true(kt_etcd_answer_read(KT_SLICE(message, sizeof(message) - 1), &answer));
    assert_int_equal(answer.n_kvs, 1);
    assert_false(answer.more);
    assert_true(kt_etcd_answer_next(&answer, &kv));
    assert_true(kt_slice_equal(kv.key, kt_slice_str("z")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_unknown_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
