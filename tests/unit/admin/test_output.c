/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/command.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static const struct kt_options AS_TEXT = {.json = false};
static const struct kt_options AS_JSON = {.json = true};

/* What goes to standard error meanwhile. */
static int print(const struct kt_options *options, const struct kt_error *err, char *ret, size_t cap)
{
    FILE *real = stderr;
    char *data = NULL;
    size_t len = 0;
    stderr = open_memstream(&data, &len);
    assert_non_null(stderr);
    int status = kt_print_error(options, err);
    (void)fclose(stderr);
    stderr = real;
    assert_true(len < cap);
    memcpy(ret, data, len + 1);
    free(data);
    return status;
}

static const char *text_at(json_t *value, const char *key)
{
    return json_string_value(json_object_get(json_object_get(value, "error"), key));
}

static void errors_of_strange_text_are_shown_escaped(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    char out[4096];
    kt_fail(&err, KT_E_REFUSED, "peer says: \x1b[2J\xff \"ok\"");
    kt_error_hint(&err, "type\r\n\xc2\x9bm");
    assert_int_equal(print(&AS_TEXT, &err, out, sizeof(out)), 3);
    assert_string_equal(out, "keyturn: peer says: \\u001b[2J\xef\xbf\xbd \"ok\"\n  type\\r\\n\\u009bm\n");
    assert_int_equal(print(&AS_JSON, &err, out, sizeof(out)), 3);
    json_t *value = json_loads(out, 0, NULL);
    assert_non_null(value);
    assert_string_equal(text_at(value, "message"), "peer says: \\u001b[2J\xef\xbf\xbd \"ok\"");
    assert_string_equal(text_at(value, "hint"), "type\\r\\n\\u009bm");
    json_decref(value);
}

static void an_error_without_a_code_is_no_success(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    char out[4096];
    assert_int_equal(print(&AS_TEXT, &err, out, sizeof(out)), 1);
    assert_string_equal(out, "keyturn: internal error\n");
    assert_int_equal(print(&AS_JSON, &err, out, sizeof(out)), 1);
    assert_non_null(strstr(out, "\"INTERNAL\""));
}

static size_t allocations_left;

static void *allocate(size_t len)
{
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    return malloc(len);
}

static void without_memory_it_is_an_object_still(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    char out[4096];
    bool whole = false;
    kt_fail(&err, KT_E_USAGE, "words of its own");
    for (size_t allowed = 0; !whole; allowed++) {
        assert_true(allowed < 1000);
        allocations_left = allowed;
        json_set_alloc_funcs(allocate, free);
        int status = print(&AS_JSON, &err, out, sizeof(out));
        json_set_alloc_funcs(malloc, free);
        assert_int_equal(status, 2);
        json_t *value = json_loads(out, 0, NULL);
        assert_non_null(value);
        assert_string_equal(text_at(value, "code"), "USAGE");
        assert_non_null(text_at(value, "hint"));
        whole = strcmp(text_at(value, "message"), "words of its own") == 0;
        assert_true(whole || strcmp(text_at(value, "message"), kt_code_text(KT_E_USAGE)) == 0);
        json_decref(value);
    }
}

/* json_string() makes nothing of it, and what is set to nothing is left out. */
static void strange_text_has_a_field_still(void **state)
{
    (void)state;
    json_t *value = kt_json_text("/srv/\xff");
    assert_non_null(value);
    assert_string_equal(json_string_value(value), "/srv/\xef\xbf\xbd");
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_strange_text_are_shown_escaped),
        cmocka_unit_test(an_error_without_a_code_is_no_success),
        cmocka_unit_test(without_memory_it_is_an_object_still),
        cmocka_unit_test(strange_text_has_a_field_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
