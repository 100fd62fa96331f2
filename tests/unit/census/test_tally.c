/* SPDX-License-Identifier: Apache-2.0 */
#include "census/names.h"
#include "census/tally.h"
#include "tests/unit/base/unit.h"

#include <stdio.h>
#include <string.h>

#define BODY "0123456789abcdef0123456789abcdef"

static struct kt_tally *make(const struct kt_tally_options *options)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_tally *tally = kt_tally_new(options, &err);
    assert_non_null(tally);
    return tally;
}

static void add(struct kt_tally *tally, const char *key, const char *value)
{
    struct kt_error err = KT_ERROR_INIT;
    if (!kt_tally_add(tally, kt_slice_str(key), kt_slice_str(value), &err))
        fail_msg("%s: %s", key, err.message);
}

static void test_rows(void **state)
{
    static const struct kt_storage_name NAMES[] = {{KT_STORAGE_AESCBC, "a"}, {KT_STORAGE_AESCBC, "a:b"}};
    KT_CLEANUP(kt_tally_free_p)
    struct kt_tally *tally = make(&(struct kt_tally_options){.names = NAMES, .n_names = 2});
    size_t n = 0;
    (void)state;
    add(tally, "/registry/secrets/d/1", "k8s:enc:aescbc:v1:a:" BODY);
    add(tally, "/registry/secrets/d/2", "k8s:enc:aescbc:v1:a:" BODY);
    add(tally, "/registry/secrets/d/3", "k8s:enc:aescbc:v1:a:b:" BODY); /* of "a:b", or of "a" */
    add(tally, "/registry/secrets/d/4", "{\"kind\":\"Secret\"}");
    add(tally, "/registry/secrets/d/5", "k8s:enc:rot13:v1:a:" BODY);
    add(tally, "/registry/secrets/d/6", "");
    add(tally, "/registry/deployments/d/1", "{}");
    add(tally, "/registry/example.com/widgets/d/1", "k8s:enc:kms:v2:p:\x0a\x01x\x12\x02id\x1a\x01y");
    add(tally, "/registry/example.com/widgets/d/2", "k8s:enc:kms:v2:p:\x0a\x01x\x12\x02ie\x1a\x01y");
    const struct kt_tally_row *const *rows = kt_tally_rows(tally, &n);
    static const struct {
        const char *group, *resource;
        enum kt_storage_provider provider;
        const char *name, *key_id;
        uint64_t count;
    } EXPECTED[] = {
        {"", "secrets", KT_STORAGE_PLAIN, "", "", 1},
        {"", "secrets", KT_STORAGE_AESCBC, "a", "", 2},
        {"", "secrets", KT_STORAGE_AESCBC, "a:b", "", 1},
        {"", "secrets", KT_STORAGE_UNKNOWN, "", "", 1},
        {"", "secrets", KT_STORAGE_UNKNOWN, "", "", 1},
        {"apps", "deployments", KT_STORAGE_PLAIN, "", "", 1},
        {"example.com", "widgets", KT_STORAGE_KMS_V2, "p", "id", 1},
        {"example.com", "widgets", KT_STORAGE_KMS_V2, "p", "ie", 1},
    };
    assert_int_equal(n, KT_ARRAY_LEN(EXPECTED));
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(rows[i]->group, EXPECTED[i].group);
        assert_string_equal(rows[i]->resource, EXPECTED[i].resource);
        assert_int_equal(rows[i]->provider, EXPECTED[i].provider);
        assert_true(kt_slice_equal(rows[i]->name, kt_slice_str(EXPECTED[i].name)));
        assert_true(kt_slice_equal(rows[i]->key_id, kt_slice_str(EXPECTED[i].key_id)));
        assert_int_equal(rows[i]->count, EXPECTED[i].count);
        assert_int_equal(rows[i]->problem != NULL, rows[i]->provider == KT_STORAGE_UNKNOWN);
    }
    assert_int_equal(kt_tally_objects(tally), 9);
    assert_int_equal(kt_tally_fits(tally, 0), 3);
    assert_int_equal(kt_tally_fits(tally, 1), 1);
    kt_tally_clear(tally);
    assert_int_equal(kt_tally_objects(tally), 0);
    assert_int_equal(kt_tally_fits(tally, 0), 0);
    (void)kt_tally_rows(tally, &n);
    assert_int_equal(n, 0);
}

static bool refuse(void *context, const struct kt_tally_object *object, struct kt_error *err)
{
    size_t *left = context;
    assert_true(kt_slice_equal(object->place->name, kt_slice_str("x")));
    return (*left)-- > 0 || kt_fail(err, KT_E_IO, "enough");
}

static void count_again(void *context)
{
    *(size_t *)context += 100;
}

static void test_visit(void **state)
{
    size_t left = 1;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_tally_free_p)
    struct kt_tally *tally =
        make(&(struct kt_tally_options){.prefix = "/p", .visit = refuse, .again = count_again, .context = &left});
    (void)state;
    add(tally, "/p/secrets/d/x", "{}");
    assert_false(kt_tally_add(tally, kt_slice_str("/p/secrets/d/x"), kt_slice_str("{}"), &err));
    assert_string_equal(err.message, "enough");
    left = 0;
    kt_tally_clear(tally);
    assert_int_equal(left, 100);
    assert_false(kt_tally_add(tally, kt_slice_str("/registry/secrets/d/x"), kt_slice_str("{}"), &err));
    assert_int_equal(err.code, KT_E_IO);
}

/* A store that makes rows without end takes no memory without end. */
static void test_too_many_rows(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_tally_free_p) struct kt_tally *tally = make(&(struct kt_tally_options){.prefix = NULL});
    bool added = true;
    char key[64];
    (void)state;
    for (unsigned i = 0; i <= KT_TALLY_ROWS_MAX; i++) {
        assert_true(added);
        (void)snprintf(key, sizeof(key), "/registry/kind%u/x", i);
        added = kt_tally_add(tally, kt_slice_str(key), kt_slice_str("{}"), &err);
    }
    assert_false(added);
    assert_int_equal(err.code, KT_E_REFUSED);
    struct kt_tally_options options = {.n_names = KT_TALLY_NAMES_MAX + 1};
    assert_null(kt_tally_new(&options, &err));
    assert_int_equal(err.code, KT_E_REFUSED);
}

static void test_names(void **state)
{
    struct kt_names names = {.n = 0};
    struct kt_error err = KT_ERROR_INIT;
    char text[] = "a";
    (void)state;
    assert_true(kt_names_add(&names, KT_STORAGE_AESCBC, text, &err));
    text[0] = 'b';
    assert_true(kt_names_add(&names, KT_STORAGE_AESCBC, "a", &err));
    assert_true(kt_names_add(&names, KT_STORAGE_AESGCM, "a", &err));
    assert_int_equal(names.n, 2);
    assert_string_equal(names.items[0].name, "a");
    kt_names_done(&names);
    kt_names_done(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_visit),
        cmocka_unit_test(test_too_many_rows),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
