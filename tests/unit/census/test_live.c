/* SPDX-License-Identifier: Apache-2.0 */
/* Several sets of servers, and revisions that go away: linked with a pass of the test's own. The real one is read in
 * tests/integration and tests/e2e. */
#include "census/live.h"
#include "cluster/etcd_range.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static struct {
    struct kt_store *store;
    unsigned compacted; /* so many passes end so */
    unsigned passes;
    bool fails;
} fake;

static const char *const KEYS[] = {"/registry/events/d/1", "/registry/events/d/2", "/registry/example.com/events/x",
                                   "/registry/secrets/d/1"};

bool __wrap_kt_etcd_range(struct kt_etcd *etcd, const struct kt_etcd_pass *pass, struct kt_etcd_passed *ret,
                          struct kt_error *err);
/* Both sets of servers have all keys. */
bool __wrap_kt_etcd_range(struct kt_etcd *etcd, const struct kt_etcd_pass *pass, struct kt_etcd_passed *ret,
                          struct kt_error *err)
{
    bool first = etcd == fake.store->parts[0].etcd;
    *ret = (struct kt_etcd_passed){.revision = first ? 7 : 9, .bytes = 10};
    fake.passes++;
    assert_true(kt_slice_equal(pass->prefix, kt_slice_str("/registry/")));
    if (fake.fails)
        return kt_fail(err, KT_E_UNREACHABLE, "gone");
    for (size_t i = 0; i < KT_ARRAY_LEN(KEYS); i++) {
        const struct kt_etcd_kv kv = {.key = kt_slice_str(KEYS[i]), .value = kt_slice_str("{}")};
        if (!pass->visit(pass->context, &kv, err))
            return false;
    }
    ret->compacted = fake.compacted > 0;
    fake.compacted -= ret->compacted;
    return true;
}

static struct kt_store *open_store(const char *overrides)
{
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_store_options options = {
        .endpoints = "http://127.0.0.1:1,http://127.0.0.1:2", .overrides = overrides, .timeout_ms = 1000};
    fake.store = kt_store_open(&options, &err);
    if (!fake.store)
        fail_msg("%s", err.message);
    fake.passes = 0;
    fake.fails = false;
    return fake.store;
}

static uint64_t count_of(struct kt_tally *tally, const char *resource, const char *group)
{
    size_t n = 0;
    uint64_t count = 0;
    const struct kt_tally_row *const *rows = kt_tally_rows(tally, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i]->resource, resource) == 0 && strcmp(rows[i]->group, group) == 0)
            count += rows[i]->count;
    return count;
}

/* Each object is counted once, on the servers where kube-apiserver looks for it. */
static void test_overrides(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_live live;
    (void)state;
    KT_CLEANUP(kt_store_free_p)
    struct kt_store *store = open_store("/events#http://127.0.0.1:3,/configmaps#http://127.0.0.1:3");
    KT_CLEANUP(kt_tally_free_p) struct kt_tally *tally = kt_tally_new(&(struct kt_tally_options){.prefix = NULL}, &err);
    assert_int_equal(store->n, 2);
    assert_true(kt_live_count(store, tally, &live, &err));
    assert_int_equal(kt_tally_objects(tally), 4);
    assert_int_equal(count_of(tally, "events", ""), 2);
    assert_int_equal(count_of(tally, "events", "example.com"), 1);
    assert_int_equal(count_of(tally, "secrets", ""), 1);
    assert_int_equal(live.astray, 4);
    assert_int_equal(live.revision, 7);
    assert_int_equal(live.bytes, 20);
}

static void test_compacted(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_live live;
    (void)state;
    KT_CLEANUP(kt_store_free_p) struct kt_store *store = open_store(NULL);
    KT_CLEANUP(kt_tally_free_p) struct kt_tally *tally = kt_tally_new(&(struct kt_tally_options){.prefix = NULL}, &err);
    fake.compacted = KT_LIVE_TRIES - 1;
    assert_true(kt_live_count(store, tally, &live, &err));
    assert_int_equal(fake.passes, KT_LIVE_TRIES);
    assert_int_equal(kt_tally_objects(tally), 4);
    fake.compacted = KT_LIVE_TRIES;
    assert_false(kt_live_count(store, tally, &live, &err));
    assert_int_equal(err.code, KT_E_INCOMPLETE);
    fake.compacted = 0;
    fake.fails = true;
    assert_false(kt_live_count(store, tally, &live, &err));
    assert_int_equal(err.code, KT_E_UNREACHABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_compacted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
