/* SPDX-License-Identifier: Apache-2.0 */
/* A pass over the answers of a store that is broken, lies or counts wrongly, which no real one does: linked with a call
 * of the test's own. */
#include "cluster/etcd_call.h"
#include "cluster/etcd_range.h"
#include "proto/etcd.pb-c.h"
#include "tests/unit/base/unit.h"

#include <string.h>

/* What the store answers, one call after the other. */
struct reply {
    enum kt_etcd_reply reply;
    const char *keys; /* split by spaces */
    int64_t count;
    bool more;
    int64_t revision; /* 0: 5 */
};

struct store {
    const struct reply *replies;
    size_t n;
    size_t next;
    int64_t limits[16];
    int64_t revisions[16];
    char begins[16][64];
    char end[64];
    size_t value_len;
};
static struct store store;
static uint8_t value[100000];

static void copy_text(char *to, size_t cap, struct kt_slice from)
{
    assert_true(from.len < cap);
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
}

static size_t split_keys(char *text, Etcdserverpb__KeyValue *kvs, Etcdserverpb__KeyValue **list)
{
    size_t n = 0;
    for (char *key; (key = strsep(&text, " "));) {
        if (key[0] == '\0')
            continue;
        etcdserverpb__key_value__init(&kvs[n]);
        kvs[n].key = (ProtobufCBinaryData){.data = (uint8_t *)key, .len = strlen(key)};
        kvs[n].value = (ProtobufCBinaryData){.data = value, .len = store.value_len};
        list[n] = &kvs[n];
        n++;
    }
    return n;
}

static void pack(const struct reply *reply, struct kt_etcd_message *ret)
{
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    Etcdserverpb__RangeResponse response = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    Etcdserverpb__KeyValue kvs[8];
    Etcdserverpb__KeyValue *list[8];
    KT_CLEANUP(kt_free_p) char *keys = strdup(reply->keys);
    header.revision = reply->revision > 0 ? reply->revision : 5;
    response.header = &header;
    response.kvs = list;
    response.n_kvs = split_keys(keys, kvs, list);
    response.more = reply->more;
    response.count = reply->count;
    ret->slice = grpc_slice_malloc(etcdserverpb__range_response__get_packed_size(&response));
    (void)etcdserverpb__range_response__pack(&response, GRPC_SLICE_START_PTR(ret->slice));
    ret->bytes = KT_SLICE(GRPC_SLICE_START_PTR(ret->slice), GRPC_SLICE_LENGTH(ret->slice));
    ret->held = true;
}

bool __wrap_kt_etcd_range_call(struct kt_etcd *etcd, const struct kt_etcd_query *query, enum kt_etcd_reply *ret_reply,
                               struct kt_etcd_message *ret, struct kt_error *err);
bool __wrap_kt_etcd_range_call(struct kt_etcd *etcd, const struct kt_etcd_query *query, enum kt_etcd_reply *ret_reply,
                               struct kt_etcd_message *ret, struct kt_error *err)
{
    (void)etcd;
    if (store.next == store.n)
        return kt_fail(err, KT_E_UNREACHABLE, "asked once too often");
    store.limits[store.next] = query->limit;
    store.revisions[store.next] = query->revision;
    copy_text(store.begins[store.next], sizeof(store.begins[0]), query->key);
    copy_text(store.end, sizeof(store.end), query->end);
    const struct reply *reply = &store.replies[store.next++];
    *ret_reply = reply->reply;
    if (reply->reply == KT_ETCD_ANSWERED)
        pack(reply, ret);
    return true;
}

struct seen {
    char keys[256];
    bool refuse;
};

static bool see(void *context, const struct kt_etcd_kv *kv, struct kt_error *err)
{
    struct seen *seen = context;
    size_t len = strlen(seen->keys);
    (void)snprintf(seen->keys + len, sizeof(seen->keys) - len, "%.*s ", (int)kv->key.len, (const char *)kv->key.data);
    return !seen->refuse || kt_fail(err, KT_E_REFUSED, "no more");
}

static struct seen seen;

static bool pass(const struct reply *replies, size_t n, struct kt_etcd_passed *ret, struct kt_error *err)
{
    const struct kt_etcd_pass what = {
        .prefix = kt_slice_str("/r/"), .page_bytes = KT_ETCD_PAGE_BYTES, .visit = see, .context = &seen};
    bool refuse = seen.refuse;
    size_t value_len = store.value_len;
    seen = (struct seen){.refuse = refuse};
    store = (struct store){.replies = replies, .n = n, .value_len = value_len};
    return kt_etcd_range(NULL, &what, ret, err);
}

static int reset(void **state)
{
    (void)state;
    store = (struct store){.n = 0};
    seen = (struct seen){.refuse = false};
    return 0;
}

static void test_pages(void **state)
{
    (void)state;
    static const struct reply replies[] = {{.keys = "/r/a /r/b", .count = 4, .more = true, .revision = 9},
                                           {.keys = "/r/c", .count = 2, .more = true, .revision = 11},
                                           {.keys = "/r/d", .count = 1, .revision = 12}};
    struct kt_etcd_passed passed;
    struct kt_error err = KT_ERROR_INIT;
    assert_true(pass(replies, KT_ARRAY_LEN(replies), &passed, &err));
    assert_string_equal(seen.keys, "/r/a /r/b /r/c /r/d ");
    assert_int_equal(passed.keys, 4);
    assert_int_equal(passed.pages, 3);
    assert_int_equal(passed.revision, 9);
    assert_string_equal(store.end, "/r0");
    assert_string_equal(store.begins[0], "/r/");
    assert_string_equal(store.begins[1], "/r/b"); /* and a NUL */
    assert_int_equal(store.revisions[0], 0);
    assert_int_equal(store.revisions[1], 9);
    assert_int_equal(store.revisions[2], 9);
}

/* Whatever is wrong with an answer, the pass fails: it never ends as if it were whole. */
static void test_lies(void **state)
{
    (void)state;
    static const struct {
        struct reply replies[2];
        const char *part;
    } lies[] = {
        {{{.keys = "/r/b /r/a", .count = 2}}, "before those"},
        {{{.keys = "/r/a /r/a", .count = 2}}, "before those"},
        {{{.keys = "/q/a", .count = 1}}, "before those"},
        {{{.keys = "/r0", .count = 1}}, "outside"},
        {{{.keys = "/s/a", .count = 1}}, "outside"},
        {{{.keys = "/r/a", .count = 2, .more = true}, {.keys = "/r/a", .count = 1}}, "before those"},
        {{{.keys = "", .count = 2, .more = true}}, "none, and says that there are more"},
        {{{.keys = "/r/a", .count = 2}}, "expected 2 keys"},
        {{{.keys = "/r/a", .count = 0}}, "expected 0 keys"},
        {{{.keys = "/r/a", .count = 3, .more = true}, {.keys = "/r/b", .count = 2}}, "expected 3 keys"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(lies); i++) {
        struct kt_etcd_passed passed;
        struct kt_error err = KT_ERROR_INIT;
        if (pass(lies[i].replies, 2, &passed, &err))
            fail_msg("lie %zu was believed", i);
        assert_int_equal(err.code, KT_E_IO);
        if (!strstr(err.message, lies[i].part))
            fail_msg("lie %zu: %s", i, err.message);
    }
}

static void test_too_large(void **state)
{
    (void)state;
    static const struct reply replies[] = {{.reply = KT_ETCD_TOO_LARGE, .keys = ""},
                                           {.reply = KT_ETCD_TOO_LARGE, .keys = ""},
                                           {.keys = "/r/a", .count = 2, .more = true},
                                           {.keys = "/r/b", .count = 1}};
    struct kt_etcd_passed passed;
    struct kt_error err = KT_ERROR_INIT;
    assert_true(pass(replies, KT_ARRAY_LEN(replies), &passed, &err));
    assert_int_equal(passed.keys, 2);
    assert_int_equal(store.limits[0], 256);
    assert_int_equal(store.limits[1], 32);
    assert_int_equal(store.limits[2], 4);
    assert_int_equal(store.limits[3], 16); /* grows again, not in one step */
    static const struct reply never[] = {{.reply = KT_ETCD_TOO_LARGE, .keys = ""},
                                         {.reply = KT_ETCD_TOO_LARGE, .keys = ""},
                                         {.reply = KT_ETCD_TOO_LARGE, .keys = ""},
                                         {.reply = KT_ETCD_TOO_LARGE, .keys = ""},
                                         {.reply = KT_ETCD_TOO_LARGE, .keys = ""}};
    assert_false(pass(never, KT_ARRAY_LEN(never), &passed, &err));
    assert_int_equal(store.limits[3], 1);
    assert_int_equal(store.next, 4);
    assert_non_null(strstr(err.message, "67108864"));
}

/* Pages are as large as asked for, whatever the objects are. */
static void test_limits(void **state)
{
    (void)state;
    static const struct reply replies[] = {{.keys = "/r/a /r/b", .count = 6, .more = true},
                                           {.keys = "/r/c", .count = 4, .more = true},
                                           {.keys = "/r/d", .count = 3, .more = true},
                                           {.keys = "/r/e", .count = 2, .more = true},
                                           {.keys = "/r/f", .count = 1}};
    struct kt_etcd_passed passed;
    struct kt_error err = KT_ERROR_INIT;
    assert_true(pass(replies, KT_ARRAY_LEN(replies), &passed, &err));
    assert_int_equal(store.limits[1], 1024);
    assert_int_equal(store.limits[2], 4096);
    assert_int_equal(store.limits[3], 5000);
    assert_int_equal(store.limits[4], 5000);
    store.value_len = sizeof(value);
    assert_true(pass(replies, KT_ARRAY_LEN(replies), &passed, &err));
    assert_in_range(store.limits[1], 41, 42); /* 4 MiB of 100 kB each */
    assert_in_range(store.limits[4], 41, 42);
}

static void test_compacted(void **state)
{
    (void)state;
    static const struct reply replies[] = {{.keys = "/r/a", .count = 2, .more = true},
                                           {.reply = KT_ETCD_COMPACTED, .keys = ""}};
    struct kt_etcd_passed passed = {.compacted = false};
    struct kt_error err = KT_ERROR_INIT;
    assert_true(pass(replies, KT_ARRAY_LEN(replies), &passed, &err));
    assert_true(passed.compacted);
    assert_int_equal(passed.keys, 1);
}

static void test_visitor_and_failures(void **state)
{
    (void)state;
    static const struct reply replies[] = {{.keys = "/r/a /r/b", .count = 3, .more = true}};
    struct kt_etcd_passed passed = {.keys = 77};
    struct kt_error err = KT_ERROR_INIT;
    assert_false(pass(replies, 1, &passed, &err));
    assert_int_equal(err.code, KT_E_UNREACHABLE);
    seen.refuse = true;
    assert_false(pass(replies, 1, &passed, &err));
    assert_int_equal(err.code, KT_E_REFUSED);
    assert_string_equal(seen.keys, "/r/a ");
    assert_int_equal(passed.keys, 77); /* written only on success */
}

static void test_prefixes(void **state)
{
    (void)state;
    static const struct reply none[] = {{.keys = "", .count = 0}};
    static uint8_t long_prefix[KT_ETCD_KEY_MAX] = {1};
    const struct {
        struct kt_slice prefix;
        const char *end; /* NULL: refused */
    } cases[] = {
        {KT_SLICE("a", 1), "b"},     {KT_SLICE("a\xff", 2), "b"}, {KT_SLICE("a\xff\xff", 3), "b"},
        {KT_SLICE("\xff", 1), NULL}, {KT_SLICE("", 0), NULL},     {KT_SLICE(long_prefix, sizeof(long_prefix)), NULL},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_etcd_pass what = {.prefix = cases[i].prefix, .page_bytes = 1, .visit = see, .context = &seen};
        struct kt_etcd_passed passed;
        struct kt_error err = KT_ERROR_INIT;
        store = (struct store){.replies = none, .n = 1};
        assert_int_equal(kt_etcd_range(NULL, &what, &passed, &err), cases[i].end != NULL);
        if (cases[i].end)
            assert_string_equal(store.end, cases[i].end);
        else
            assert_int_equal(err.code, KT_E_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_pages, reset),     cmocka_unit_test_setup(test_lies, reset),
        cmocka_unit_test_setup(test_too_large, reset), cmocka_unit_test_setup(test_limits, reset),
        cmocka_unit_test_setup(test_compacted, reset), cmocka_unit_test_setup(test_visitor_and_failures, reset),
        cmocka_unit_test_setup(test_prefixes, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
