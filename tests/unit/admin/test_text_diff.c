/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/text_diff.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static const struct {
    const char *before;
    const char *after;
    const char *shown;
} ROWS[] = {
    {"", "", ""},
    {"a\nb\n", "a\nb\n", ""},
    {"", "a\n", "@@ -0,0 +1,1 @@\n+a\n"},
    {"a\n", "", "@@ -1,1 +0,0 @@\n-a\n"},
    {"1\n2\n3\n4\n5\n6\n7\n8\n", "1\n2\n3\n4\nx\n6\n7\n8\n", "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n"},
    {"a\nb\nc\n", "c\na\nb\n", "@@ -1,3 +1,3 @@\n+c\n a\n b\n-c\n"},
    {"a\nb", "a\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"},
    {"a\n", "a\r\n", "@@ -1,1 +1,1 @@\n-a\n+a\\r\n"},
    {"\xc2\x9b"
     "31m\n",
     "\n", "@@ -1,1 +1,1 @@\n-\\u009b31m\n+\n"},
    {"x\n1\n2\n3\n4\n5\n6\ny\n", "1\n2\n3\n4\n5\n6\n", "@@ -1,8 +1,6 @@\n-x\n 1\n 2\n 3\n 4\n 5\n 6\n-y\n"},
    {"x\n1\n2\n3\n4\n5\n6\n7\ny\n", "1\n2\n3\n4\n5\n6\n7\n",
     "@@ -1,4 +1,3 @@\n-x\n 1\n 2\n 3\n@@ -6,4 +5,3 @@\n 5\n 6\n 7\n-y\n"},
};

static void it_is_told_as_diff_tells_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(ROWS); i++) {
        KT_CLEANUP(kt_text_done) struct kt_text out = {.data = NULL};
        kt_text_init(&out, 4096);
        kt_text_add(&out, "%s", "");
        assert_true(kt_text_diff(kt_slice_str(ROWS[i].before), kt_slice_str(ROWS[i].after), &out));
        assert_string_equal(out.data, ROWS[i].shown);
    }
}

/* More lines than are compared with each other, and one line longer than what is escaped at once, of wide characters.
 */
static void large_texts_are_told_too(void **state)
{
    (void)state;
    KT_CLEANUP(kt_text_done) struct kt_text before = {.data = NULL}, after = {.data = NULL}, out = {.data = NULL};
    kt_text_init(&before, 1u << 20);
    kt_text_init(&after, 1u << 20);
    kt_text_init(&out, 1u << 20);
    for (unsigned i = 0; i < 2001; i++) {
        kt_text_add(&before, "b%u\n", i);
        kt_text_add(&after, "a%u\n", i);
    }
    for (unsigned i = 0; i < 1000; i++)
        kt_text_add(&after, "\xe2\x82\xac");
    assert_true(kt_text_diff(KT_SLICE(before.data, before.len), KT_SLICE(after.data, after.len), &out));
    assert_non_null(strstr(out.data, "@@ -1,2001 +1,2002 @@\n-b0\n"));
    assert_non_null(strstr(out.data, "-b2000\n+a0\n"));
    const char *wide = strstr(out.data, "+\xe2\x82\xac");
    assert_non_null(wide);
    assert_int_equal(strcspn(wide, "\n"), 3001);
    assert_null(strstr(out.data, "\xef\xbf\xbd"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_told_as_diff_tells_it),
        cmocka_unit_test(large_texts_are_told_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
