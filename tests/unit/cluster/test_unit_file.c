/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "cluster/unit_file.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static const struct {
    const char *unit;
    const char *words; /* with '|' between them */
} UNITS[] = {
    {"[Service]\nExecStart=/bin/k3s server\n", "/bin/k3s|server"},
    {"[Service]\nExecStart = /bin/k3s   server  \n", "/bin/k3s|server"},
    {"ExecStart=/bin/k3s \\\n    server \\\n\t'--a=b c' \\\n\n", "/bin/k3s|server|--a=b c"},
    {"ExecStart=/bin/k3s \\\n# a comment\n; another\n  server\n", "/bin/k3s|server"},
    {"ExecStart=/bin/k3s \\\n", "/bin/k3s"},
    {"ExecStart=/bin/k3s \\", "/bin/k3s"},
    {"ExecStart=/bin/k3s \"a b\" 'c\"d' e\\ f g\\\\h ''\n", "/bin/k3s|a b|c\"d|e f|g\\h|"},
    {"ExecStart=/bin/k3s --a='b c'd\n", "/bin/k3s|--a=b cd"},
    {"ExecStart=/bin/k3s 'not closed\n", "/bin/k3s|not closed"},
    {"ExecStartPre=/bin/modprobe x\nExecStart=/bin/k3s\nExecStop=/bin/y\n", "/bin/k3s"},
    {"ExecStart=/bin/old\nExecStart=\nExecStart=/bin/new\n", "/bin/new"},
    {"#ExecStart=/bin/k3s\n", ""},
    {"ExecStart\n", ""},
    {"", ""},
};

static void test_exec_start(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(UNITS); i++) {
        KT_CLEANUP(kt_unit_words_done) struct kt_unit_words words = {.n = 0};
        char found[256] = "";
        struct kt_error err = KT_ERROR_INIT;
        assert_true(kt_unit_exec_start(kt_slice_str(UNITS[i].unit), &words, &err));
        for (size_t w = 0; w < words.n; w++)
            (void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", w > 0 ? "|" : "",
                           words.items[w]);
        if (strcmp(found, UNITS[i].words) != 0)
            fail_msg("unit %zu: %s", i, found);
    }
}

static void test_too_many_words(void **state)
{
    (void)state;
    char unit[2 * KT_UNIT_WORDS_MAX + 64] = "ExecStart=";
    struct kt_unit_words words = {.n = 0};
    struct kt_error err = KT_ERROR_INIT;
    for (size_t i = 0; i <= KT_UNIT_WORDS_MAX; i++)
        memcpy(unit + strlen(unit), "a ", 3);
    assert_false(kt_unit_exec_start(kt_slice_str(unit), &words, &err));
    assert_int_equal(err.code, KT_E_CONFIG);
    assert_int_equal(words.n, 0);
}

static void test_variables(void **state)
{
    (void)state;
    static const char text[] =
        "# K3S_A=comment\nK3S_A=1\nK3S_AB=other\n K3S_B=\"a b\" \nK3S_C='x'\nK3S_A=2\nK3S_D=\nK3S_E=\"x\n";
    static const struct {
        const char *name;
        const char *value;
    } cases[] = {{"K3S_A", "2"}, {"K3S_AB", "other"}, {"K3S_B", "a b"}, {"K3S_C", "x"},
                 {"K3S_D", ""},  {"K3S_E", "\"x"},    {"K3S", NULL},    {"", NULL}};
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        KT_CLEANUP(kt_free_p) char *value = kt_unit_variable(kt_slice_str(text), cases[i].name);
        if ((value == NULL) != (cases[i].value == NULL) || (value && strcmp(value, cases[i].value) != 0))
            fail_msg("%s: %s", cases[i].name, value ? value : "(none)");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec_start),
        cmocka_unit_test(test_too_many_words),
        cmocka_unit_test(test_variables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
