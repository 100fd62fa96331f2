/* SPDX-License-Identifier: Apache-2.0 */
/* What Go prints and reads; tests/oracle holds it against Go. */
#include "encconfig/gotext.h"
#include "encconfig/gourl.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static const struct {
    const char *text;
    size_t len; /* 0: strlen */
    const char *quoted;
    const char *json;
} QUOTED[] = {
    {"", 0, "\"\"", "\"\""},
    {"a\"\\b", 0, "\"a\\\"\\\\b\"", "\"a\\\"\\\\b\""},
    {"\a\b\f\n\r\t\v", 0, "\"\\a\\b\\f\\n\\r\\t\\v\"", "\"\\u0007\\b\\f\\n\\r\\t\\u000b\""},
    {"a\0b", 3, "\"a\\x00b\"", "\"a\\u0000b\""},
    {"\x1b\x7f", 0, "\"\\x1b\\x7f\"", "\"\\u001b\x7f\""},
    {"<&>", 0, "\"<&>\"", "\"\\u003c\\u0026\\u003e\""},
    {"\xc3\xa9\xf0\x9f\x98\x80", 0, "\"\xc3\xa9\xf0\x9f\x98\x80\"", "\"\xc3\xa9\xf0\x9f\x98\x80\""},
    {"\xc2\x85\xc2\xad\xe2\x80\xa8\xf3\xa0\x80\x81", 0, "\"\\u0085\\u00ad\\u2028\\U000e0001\"",
     "\"\xc2\x85\xc2\xad\\u2028\xf3\xa0\x80\x81\""},
    {"\xff\xc3", 0, "\"\\xff\\xc3\"", "\"\\ufffd\\ufffd\""},
};

static void text_is_quoted(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(QUOTED); i++) {
        KT_CLEANUP(kt_text_done) struct kt_text quoted = {.data = NULL}, json = {.data = NULL};
        size_t len = QUOTED[i].len ? QUOTED[i].len : strlen(QUOTED[i].text);
        kt_text_init(&quoted, 256);
        kt_text_init(&json, 256);
        kt_go_quote(&quoted, QUOTED[i].text, len);
        kt_go_json(&json, QUOTED[i].text, len);
        assert_string_equal(quoted.data, QUOTED[i].quoted);
        assert_string_equal(json.data, QUOTED[i].json);
    }
}

static void capitals_are_found(void **state)
{
    (void)state;
    static const char *const capitals[] = {"aB", "\xc3\x89", "\xc4\xb0", "\xc7\x85", "\xf0\x90\x90\x80", "\xff"};
    static const char *const none[] = {"", "ab.c-1", "\xc3\xa9", "\xc3\x9f", "\xe4\xb8\xad", "*"};
    for (size_t i = 0; i < KT_ARRAY_LEN(capitals); i++)
        assert_true(kt_go_has_capital(capitals[i], strlen(capitals[i])));
    for (size_t i = 0; i < KT_ARRAY_LEN(none); i++)
        assert_false(kt_go_has_capital(none[i], strlen(none[i])));
}

static const struct {
    const char *text;
    int64_t nanoseconds;
    const char *printed; /* NULL: refused */
} DURATIONS[] = {
    {"0", 0, "0s"},
    {"-0", 0, "0s"},
    {"3s", 3000000000, "3s"},
    {"1h", 3600000000000, "1h0m0s"},
    {"90s", 90000000000, "1m30s"},
    {"-1m30.5s", -90500000000, "-1m30.5s"},
    {".5s", 500000000, "500ms"},
    {"1500us", 1500000, "1.5ms"},
    {"1.5\xc2\xb5s", 1500, "1.5\xc2\xb5s"},
    {"2\xce\xbcs", 2000, "2\xc2\xb5s"},
    {"1ns", 1, "1ns"},
    {"1h1m1s1ms1us1ns", 3661001001001, "1h1m1.001001001s"},
    {"1m1m", 120000000000, "2m0s"},
    {"9223372036854775807ns", INT64_MAX, "2562047h47m16.854775807s"},
    {"-9223372036854775808ns", INT64_MIN, "-2562047h47m16.854775808s"},
    {"9223372036854775808ns", 0, NULL},
    {"2562048h", 0, NULL},
    {"99999999999999999999s", 0, NULL},
    {"", 0, NULL},
    {"-", 0, NULL},
    {"3", 0, NULL},
    {"s", 0, NULL},
    {".s", 0, NULL},
    {"3x", 0, NULL},
    {"3 s", 0, NULL},
    {"1m-3s", 0, NULL},
    {"0x1s", 0, NULL},
};

static void durations_are_read_and_printed(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(DURATIONS); i++) {
        KT_CLEANUP(kt_text_done) struct kt_text out = {.data = NULL};
        int64_t value = 0;
        bool taken = kt_go_duration_parse(DURATIONS[i].text, strlen(DURATIONS[i].text), &value);
        assert_int_equal(taken, DURATIONS[i].printed != NULL);
        if (!taken)
            continue;
        assert_int_equal(value, DURATIONS[i].nanoseconds);
        kt_text_init(&out, 256);
        kt_go_duration_print(&out, value);
        assert_string_equal(out.data, DURATIONS[i].printed);
    }
}

static const struct {
    const char *text;
    const char *scheme;
    const char *path; /* NULL: refused, and scheme is the complaint */
} URLS[] = {
    {"unix:///a%20b", "unix", "/a b"},
    {"UNIX:/a", "unix", "/a"},
    {"unix:a", "unix", ""},
    {"unix://h:1/a?%zz", "unix", "/a"},
    {"unix://u:p@h/a#%41", "unix", "/a"},
    {"unix://[::1]:1/a", "unix", "/a"},
    {"unix://[fe80::1%25eth0]/a", "unix", "/a"},
    {"", "", ""},
    {"///a", "", "///a"},
    {"*", "", "*"},
    {"http://a:1:2/", "invalid port \":1:2\" after host", NULL},
    {"unix://a:1:2/", "unix", "/"},
    {":a", "missing protocol scheme", NULL},
    {"1:a", "first path segment in URL cannot contain colon", NULL},
    {"unix:///a\n", "net/url: invalid control character in URL", NULL},
    {"unix:///%4", "invalid URL escape \"%4\"", NULL},
    {"unix:///%zzz", "invalid URL escape \"%zz\"", NULL},
    {"unix:///a#%zz", "invalid URL escape \"%zz\"", NULL},
    {"unix://%41/", "invalid URL escape \"%41\"", NULL},
    {"unix://a b/", "invalid character \" \" in host name", NULL},
    {"unix://u<@h/", "net/url: invalid userinfo", NULL},
    {"unix://a[b]/", "invalid IP-literal", NULL},
    {"unix://[1.2.3.4]/", "invalid IP-literal", NULL},
    {"unix://[::1/", "missing ']' in host", NULL},
    {"unix://[x]/", "invalid host: ParseAddr(\"x\"): unable to parse IP", NULL},
    {"unix://h:x/", "invalid port \":x\" after host", NULL},
};

static void urls_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(URLS); i++) {
        KT_CLEANUP(kt_pool_done) struct kt_pool pool = {.chunks = NULL};
        KT_CLEANUP(kt_text_done) struct kt_text out = {.data = NULL};
        struct kt_gourl url = {.scheme = ""};
        kt_text_init(&out, 4096);
        bool taken = kt_gourl_parse(URLS[i].text, strlen(URLS[i].text), &pool, &url, &out);
        if (taken != (URLS[i].path != NULL))
            fail_msg("%s: %s", URLS[i].text, taken ? "taken" : out.data);
        if (!taken) {
            assert_non_null(strstr(out.data, URLS[i].scheme));
            assert_int_equal(strncmp(out.data, "parse \"", 7), 0);
            continue;
        }
        assert_string_equal(url.scheme, URLS[i].scheme);
        assert_int_equal(url.path_len, strlen(URLS[i].path));
        assert_memory_equal(url.path, URLS[i].path, url.path_len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_quoted),
        cmocka_unit_test(capitals_are_found),
        cmocka_unit_test(durations_are_read_and_printed),
        cmocka_unit_test(urls_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
