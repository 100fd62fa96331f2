/* SPDX-License-Identifier: Apache-2.0 */
/* What comes in, and taken out again leaves the file as it was. */
#include "base/cleanup.h"
#include "tests/unit/base/unit.h"
#include "wiring/yaml_edit.h"

#include <stdio.h>
#include <string.h>

#define PATH_CAP (KT_YAML_EDIT_DEPTH + 1)

/* "a/[b]/c" */
static void split(char *text, const char *path[PATH_CAP])
{
    size_t n = 0;
    for (char *word; (word = strsep(&text, "/"));)
        path[n++] = word;
    path[n] = NULL;
}

static const struct {
    const char *before;
    const char *path;
    const char *lines;
    const char *after;
    size_t cut; /* the index that undoes it; SIZE_MAX: what was there had no value, and cutting leaves less */
} APPENDS[] = {
    {"a:\n- x\n", "a", "- y\n", "a:\n- x\n- y\n", 1},
    {"a:\n  - x\nb: 1\n", "a", "- y\n", "a:\n  - x\n  - y\nb: 1\n", 1},
    {"a:\n  - x # one\n  # two\nb: 1\n", "a", "- y\n", "a:\n  - x # one\n  - y\n  # two\nb: 1\n", 1},
    {"a:\n- x", "a", "- n: 1\n  m: 2\n", "a:\n- x\n- n: 1\n  m: 2\n", SIZE_MAX},
    {"a:\r\n- x\r\nb:\r\n", "a", "- y\n", "a:\r\n- x\r\n- y\r\nb:\r\n", 1},
    {"a:\n  k: v\nb: 1\n", "a", "l: w\n", "a:\n  k: v\n  l: w\nb: 1\n", 1},
    {"a:\n  k: |\n    text\n\nb: 1\n", "a", "l: w\n", "a:\n  k: |\n    text\n\n  l: w\nb: 1\n", 1},
    {"a: {}\nb: 1\n", "a/c", "- y\n", "a:\n  c:\n  - y\nb: 1\n", SIZE_MAX},
    {"a: {} # none\nb: 1\n", "a/c", "k: v\n", "a: # none\n  c:\n    k: v\nb: 1\n", SIZE_MAX},
    {"a:\nb: 1\n", "a", "- y\n", "a:\n- y\nb: 1\n", SIZE_MAX},
    {"a: null\n", "a", "k: v\n", "a:\n  k: v\n", SIZE_MAX},
    {"a: []\n", "a", "- y\n", "a:\n- y\n", SIZE_MAX},
    {"b: 1\n", "a/c/d", "- y\n", "b: 1\na:\n  c:\n    d:\n    - y\n", SIZE_MAX},
    {"b: 1\n", "a", "- y\n", "b: 1\na:\n- y\n", 0},
    {"b: 1\n...\n", "a", "- y\n", "b: 1\na:\n- y\n...\n", 0},
    {"# t\n---\nb: 1\n", "a", "- y\n", "# t\n---\nb: 1\na:\n- y\n", 0},
    {"s:\n  c:\n  - name: x\n    k:\n    - 1\n  - k:\n    - 2\n    name: y\nt: 1\n", "s/c/[y]/k", "- 3\n",
     "s:\n  c:\n  - name: x\n    k:\n    - 1\n  - k:\n    - 2\n    - 3\n    name: y\nt: 1\n", 1},
    {"s:\n- name: x\n", "s/[x]/k", "- 3\n", "s:\n- name: x\n  k:\n  - 3\n", 0},
    {"\xef\xbb\xbf"
     "a:\n- \xc3\xa4\n",
     "a", "- y\n",
     "\xef\xbb\xbf"
     "a:\n- \xc3\xa4\n- y\n",
     1},
};

static void test_append_and_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(APPENDS); i++) {
        KT_CLEANUP_BYTES struct kt_bytes after = {.data = NULL};
        KT_CLEANUP_BYTES struct kt_bytes again = {.data = NULL};
        struct kt_error err = KT_ERROR_INIT;
        const char *path[PATH_CAP];
        char text[64];
        (void)snprintf(text, sizeof(text), "%s", APPENDS[i].path);
        split(text, path);
        if (!kt_yaml_append(kt_slice_str(APPENDS[i].before), path, APPENDS[i].lines, &after, &err))
            fail_msg("append %zu: %s", i, err.message);
        if (!kt_slice_equal(kt_bytes_view(&after), kt_slice_str(APPENDS[i].after)))
            fail_msg("append %zu:\n%.*s", i, (int)after.len, (const char *)after.data);
        if (APPENDS[i].cut == SIZE_MAX)
            continue;
        if (!kt_yaml_cut(kt_bytes_view(&after), path, APPENDS[i].cut, &again, &err))
            fail_msg("cut %zu: %s", i, err.message);
        if (!kt_slice_equal(kt_bytes_view(&again), kt_slice_str(APPENDS[i].before)))
            fail_msg("cut %zu:\n%.*s", i, (int)again.len, (const char *)again.data);
    }
}

static const struct {
    const char *before;
    const char *path;
    const char *lines;
    const char *words;
} REFUSED[] = {
    {"{\"a\": [1]}", "a", "- y\n", "block style"},
    {"a: [x]\n", "a", "- y\n", "line 1: expected a list or a mapping in block style"},
    {"b: 1\na: x\n", "a", "- y\n", "line 2"},
    {"a:\n- x\n", "a", "k: v\n", "expected a mapping, found a list"},
    {"a:\n  k: v\n", "a", "- y\n", "expected a list, found a mapping"},
    {"a: &z\n- x\nb: *z\n", "b", "- y\n", "line 3"},
    {"a:\n- name: x\n", "a/[y]/k", "- y\n", "[y]"},
    {"a: 1\n", "b/[y]/k", "- y\n", "b"},
    {"a:\n  b: []\n", "a/b/[y]/k", "- y\n", "line 2"},
    {"a:\n- x\n---\nb: 1\n", "a", "- y\n", "one document"},
    {"", "a", "- y\n", "one document"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(REFUSED); i++) {
        KT_CLEANUP_BYTES struct kt_bytes after = {.data = NULL};
        struct kt_error err = KT_ERROR_INIT;
        const char *path[PATH_CAP];
        char text[64];
        (void)snprintf(text, sizeof(text), "%s", REFUSED[i].path);
        split(text, path);
        if (kt_yaml_append(kt_slice_str(REFUSED[i].before), path, REFUSED[i].lines, &after, &err))
            fail_msg("%zu was taken:\n%.*s", i, (int)after.len, (const char *)after.data);
        if (err.code != KT_E_REFUSED || !strstr(err.message, REFUSED[i].words) || err.hint[0] == '\0')
            fail_msg("%zu: %s", i, err.message);
    }
}

static void test_cut(void **state)
{
    static const char *const list[] = {"a", NULL};
    static const char *const nothing[] = {"z", NULL};
    (void)state;
    KT_CLEANUP_BYTES struct kt_bytes after = {.data = NULL};
    struct kt_error err = KT_ERROR_INIT;
    assert_true(kt_yaml_cut(kt_slice_str("a:\n- x\n# about y\n- n: y\n  m: 1\n- z\n"), list, 1, &after, &err));
    assert_true(kt_slice_equal(kt_bytes_view(&after), kt_slice_str("a:\n- x\n# about y\n- z\n")));
    kt_bytes_done(&after);
    after = (struct kt_bytes){.data = NULL};
    assert_true(kt_yaml_cut(kt_slice_str("b: 1\na:\n- x\nc: 2\n"), list, 0, &after, &err));
    assert_true(kt_slice_equal(kt_bytes_view(&after), kt_slice_str("b: 1\nc: 2\n")));
    kt_bytes_done(&after);
    after = (struct kt_bytes){.data = NULL};
    assert_false(kt_yaml_cut(kt_slice_str("a:\n- x\n"), nothing, 0, &after, &err));
    assert_int_equal(err.code, KT_E_REFUSED);
    kt_error_clear(&err);
    assert_false(kt_yaml_cut(kt_slice_str("a: [x, y]\n"), list, 0, &after, &err));
    assert_int_equal(err.code, KT_E_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_cut),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
