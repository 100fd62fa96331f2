/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/log.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define LINE_MOST 4096u

/* Standard error goes into one end of this; each write(2) is one datagram. */
static int capture[2] = {-1, -1};
static int real_stderr = -1;

static int redirect(void **state)
{
    (void)state;
    real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    return real_stderr >= 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, capture) == 0 ? 0
                                                                                                                   : -1;
}

static void point_stderr_at(int fd)
{
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
}

/* The bytes of one write. "" if nothing was written. */
static const char *written(void)
{
    static char line[2 * LINE_MOST];
    ssize_t n = recv(capture[0], line, sizeof(line) - 1, 0);
    line[n > 0 ? n : 0] = '\0';
    point_stderr_at(real_stderr);
    return line;
}

static void start(enum kt_log_format format, enum kt_log_level least)
{
    point_stderr_at(capture[1]);
    kt_log_init("front", format, least);
}

/* Past the time stamp, whose form is checked. */
static const char *after_time(const char *line)
{
    static const char FORM[] = "0000-00-00T00:00:00.000Z ";
    assert_true(strlen(line) > strlen(FORM));
    for (size_t i = 0; FORM[i] != '\0'; i++)
        assert_true(FORM[i] == '0' ? line[i] >= '0' && line[i] <= '9' : line[i] == FORM[i]);
    return line + strlen(FORM);
}

static const char *after_json_time(const char *line)
{
    static const char HEAD[] = "{\"time\":\"";
    assert_memory_equal(line, HEAD, strlen(HEAD));
    const char *end = strstr(line, "Z\",");
    assert_non_null(end);
    return end + 3;
}

static const struct {
    struct kt_log_field field;
    const char *text;
    const char *json;
} FIELDS[] = {
    {{"k", KT_FIELD_TEXT, "plain", 0}, "k=plain", "\"k\":\"plain\""},
    {{"k", KT_FIELD_TEXT, "", 0}, "k=\"\"", "\"k\":\"\""},
    {{"k", KT_FIELD_TEXT, NULL, 0}, "k=\"\"", "\"k\":\"\""},
    {{"k", KT_FIELD_TEXT, "two words", 0}, "k=\"two words\"", "\"k\":\"two words\""},
    {{"k", KT_FIELD_TEXT, "a=b", 0}, "k=\"a=b\"", "\"k\":\"a=b\""},
    {{"k", KT_FIELD_TEXT, "a>", 0}, "k=a>", "\"k\":\"a>\""},
    {{"k", KT_FIELD_TEXT, "{", 0}, "k={", "\"k\":\"{\""},
    {{"k", KT_FIELD_TEXT, "\"\\", 0}, "k=\"\\\"\\\\\"", "\"k\":\"\\\"\\\\\""},
    {{"k", KT_FIELD_TEXT, "a\nb\r\tc", 0}, "k=\"a\\nb\\r\\tc\"", "\"k\":\"a\\nb\\r\\tc\""},
    {{"k", KT_FIELD_TEXT, "\x01\x1b[31m\x7f", 0},
     "k=\"\\u0001\\u001b[31m\\u007f\"",
     "\"k\":\"\\u0001\\u001b[31m\\u007f\""},
    {{"k", KT_FIELD_TEXT, "\xc2\x9b", 0}, "k=\"\\u009b\"", "\"k\":\"\\u009b\""},
    {{"k", KT_FIELD_TEXT, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91", 0},
     "k=\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91\"",
     "\"k\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91\""},
    {{"k", KT_FIELD_TEXT, "\xff", 0}, "k=\"\\ufffd\"", "\"k\":\"\\ufffd\""},
    {{"k", KT_FIELD_TEXT, "\xc3(", 0}, "k=\"\\ufffd(\"", "\"k\":\"\\ufffd(\""},
    {{"k", KT_FIELD_TEXT, "\xf0\x9f\x94", 0}, "k=\"\\ufffd\\ufffd\\ufffd\"", "\"k\":\"\\ufffd\\ufffd\\ufffd\""},
    {{"k", KT_FIELD_TEXT, "\xc0\xaf", 0}, "k=\"\\ufffd\\ufffd\"", "\"k\":\"\\ufffd\\ufffd\""},
    {{"k", KT_FIELD_TEXT, "\xed\xa0\x80", 0}, "k=\"\\ufffd\\ufffd\\ufffd\"", "\"k\":\"\\ufffd\\ufffd\\ufffd\""},
    {{"k", KT_FIELD_TEXT, "\xe0\x80\x80", 0}, "k=\"\\ufffd\\ufffd\\ufffd\"", "\"k\":\"\\ufffd\\ufffd\\ufffd\""},
    {{"k", KT_FIELD_TEXT, "\xf4\x90\x80\x80", 0},
     "k=\"\\ufffd\\ufffd\\ufffd\\ufffd\"",
     "\"k\":\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
    {{"k", KT_FIELD_UNSIGNED, NULL, 0}, "k=0", "\"k\":0"},
    {{"k", KT_FIELD_UNSIGNED, NULL, UINT64_MAX}, "k=18446744073709551615", "\"k\":18446744073709551615"},
    {{"k", KT_FIELD_SIGNED, NULL, (uint64_t)-1}, "k=-1", "\"k\":-1"},
    {{"k", KT_FIELD_SIGNED, NULL, (uint64_t)INT64_MIN}, "k=-9223372036854775808", "\"k\":-9223372036854775808"},
    {{"k", KT_FIELD_SIGNED, NULL, 7}, "k=7", "\"k\":7"},
    {{"k", KT_FIELD_BOOL, NULL, 1}, "k=true", "\"k\":true"},
    {{"k", KT_FIELD_BOOL, NULL, 0}, "k=false", "\"k\":false"},
};

static void fields_are_quoted(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(FIELDS); i++) {
        char want[256];
        start(KT_LOG_TEXT, KT_LOG_INFO);
        kt_log(KT_LOG_NOTICE, "started", FIELDS[i].field, KT_NUM("n", 1));
        snprintf(want, sizeof(want), "level=notice role=front event=started %s n=1\n", FIELDS[i].text);
        assert_string_equal(after_time(written()), want);
        start(KT_LOG_JSON, KT_LOG_INFO);
        kt_log(KT_LOG_NOTICE, "started", FIELDS[i].field, KT_NUM("n", 1));
        snprintf(want, sizeof(want), "\"level\":\"notice\",\"role\":\"front\",\"event\":\"started\",%s,\"n\":1}\n",
                 FIELDS[i].json);
        assert_string_equal(after_json_time(written()), want);
    }
}

static void fields_may_be_missing(void **state)
{
    (void)state;
    start(KT_LOG_TEXT, KT_LOG_INFO);
    kt_log(KT_LOG_WARNING, "two words");
    assert_string_equal(after_time(written()), "level=warning role=front event=\"two words\"\n");
    start(KT_LOG_TEXT, KT_LOG_INFO);
    kt_log_fields(KT_LOG_ERROR, "x", NULL);
    assert_string_equal(after_time(written()), "level=error role=front event=x\n");
    point_stderr_at(capture[1]);
    kt_log_init(NULL, KT_LOG_JSON, KT_LOG_INFO);
    kt_log(KT_LOG_INFO, "x", KT_BOOL("b", true), KT_INT("i", -5), KT_TEXT("t", "v"));
    assert_string_equal(after_json_time(written()),
                        "\"level\":\"info\",\"event\":\"x\",\"b\":true,\"i\":-5,\"t\":\"v\"}\n");
}

static void lower_levels_are_silent(void **state)
{
    (void)state;
    static const enum kt_log_level LEVELS[] = {KT_LOG_ERROR, KT_LOG_WARNING, KT_LOG_NOTICE, KT_LOG_INFO, KT_LOG_DEBUG};
    for (size_t i = 0; i < KT_ARRAY_LEN(LEVELS); i++) {
        for (size_t j = 0; j < KT_ARRAY_LEN(LEVELS); j++) {
            start(KT_LOG_TEXT, KT_LOG_ERROR);
            kt_log_set(KT_LOG_TEXT, LEVELS[i]);
            kt_log(LEVELS[j], "x");
            assert_int_equal(written()[0] != '\0', j <= i);
        }
    }
}

static void errors_are_told(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    (void)kt_fail(&err, KT_E_KEYRING_FORK, "expected a, found b");
    start(KT_LOG_TEXT, KT_LOG_INFO);
    kt_log_error(KT_LOG_ERROR, "failed", &err);
    assert_string_equal(after_time(written()), "level=error role=front event=failed code=KEYRING_FORK "
                                               "message=\"expected a, found b\"\n");
    (void)kt_error_hint(&err, "do this");
    start(KT_LOG_JSON, KT_LOG_INFO);
    kt_log_error(KT_LOG_ERROR, "failed", &err);
    assert_non_null(strstr(written(), "\"message\":\"expected a, found b\",\"hint\":\"do this\"}\n"));
    kt_error_clear(&err);
    err.code = KT_E_KMS_UNKNOWN_KEY;
    start(KT_LOG_TEXT, KT_LOG_INFO);
    kt_log_error(KT_LOG_ERROR, "failed", &err);
    assert_non_null(strstr(written(), "code=KMS_UNKNOWN_KEY message=\"no key with that key_id\"\n"));
}

/* Well-formed: quotes are paired, nothing unescaped inside, one newline, at the end. */
static void check_form(const char *line, enum kt_log_format format, bool cut)
{
    size_t len = strlen(line);
    assert_in_range(len, 1, LINE_MOST);
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    bool quoted = false;
    for (const char *s = line; *s != '\n'; s++) {
        assert_true((unsigned char)*s >= ' ');
        if (quoted && *s == '\\')
            s += s[1] == 'u' ? 5 : 1;
        else if (*s == '"')
            quoted = !quoted;
    }
    assert_false(quoted);
    const char *tail = format == KT_LOG_JSON ? ",\"truncated\":true}\n" : " truncated=true\n";
    size_t tail_len = strlen(tail);
    assert_int_equal(len > tail_len && strcmp(line + len - tail_len, tail) == 0, cut);
    assert_true(format == KT_LOG_TEXT || line[len - 2] == '}');
}

static void long_lines_are_cut_well(void **state)
{
    (void)state;
    static const char *const UNITS[] = {
        "a", " ", "\"", "\n", "\x01", "\xff", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x94\x91"};
    static char text[2 * LINE_MOST];
    for (size_t u = 0; u < KT_ARRAY_LEN(UNITS); u++) {
        size_t unit = strlen(UNITS[u]);
        for (size_t shift = 0; shift < 16; shift++) {
            memset(text, 'b', shift);
            size_t len = shift;
            for (; len + unit < sizeof(text); len += unit)
                memcpy(text + len, UNITS[u], unit);
            text[len] = '\0';
            for (int f = 0; f < 2; f++) {
                enum kt_log_format format = f ? KT_LOG_JSON : KT_LOG_TEXT;
                start(format, KT_LOG_INFO);
                kt_log(KT_LOG_INFO, "x", KT_TEXT("k", text), KT_NUM("n", 1), KT_TEXT("m", text));
                const char *line = written();
                check_form(line, format, true);
                assert_true(strlen(line) > LINE_MOST - 32);
            }
        }
    }
}

static void every_length_has_form(void **state)
{
    (void)state;
    static char text[LINE_MOST];
    for (size_t len = LINE_MOST - 200; len < LINE_MOST - 40; len++) {
        memset(text, 'a', len);
        text[len] = '\0';
        for (int f = 0; f < 2; f++) {
            enum kt_log_format format = f ? KT_LOG_JSON : KT_LOG_TEXT;
            start(format, KT_LOG_INFO);
            kt_log(KT_LOG_INFO, "x", KT_TEXT("k", text), KT_NUM("number", UINT64_MAX), KT_BOOL("b", true));
            const char *line = written();
            bool whole = strstr(line, f ? "\"b\":true}" : "b=true\n") != NULL;
            check_form(line, format, !whole);
        }
    }
    start(KT_LOG_JSON, KT_LOG_INFO);
    kt_log_fields(KT_LOG_INFO, text, (const struct kt_log_field[]){KT_NUM(text, 1), {.key = NULL}});
    check_form(written(), KT_LOG_JSON, true);
}

static void the_journal_gets_priorities(void **state)
{
    (void)state;
    struct stat st = {0};
    char stream[64];
    assert_int_equal(fstat(capture[1], &st), 0);
    snprintf(stream, sizeof(stream), "%lu:%lu", (unsigned long)st.st_dev, (unsigned long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    start(KT_LOG_TEXT, KT_LOG_INFO);
    kt_log(KT_LOG_WARNING, "x");
    assert_string_equal(written(), "<4>level=warning role=front event=x\n");
    start(KT_LOG_JSON, KT_LOG_INFO);
    kt_log(KT_LOG_ERROR, "x");
    assert_memory_equal(written(), "<3>{\"time\":\"", 12);
    unsetenv("JOURNAL_STREAM");
}

static void a_journal_that_is_not_stderr_is_not_believed(void **state)
{
    (void)state;
    static const char *const STREAMS[] = {"", ":", "1:2", "1:", "-1:-1", "x", "18446744073709551616:1", "1 :2"};
    for (size_t i = 0; i < KT_ARRAY_LEN(STREAMS); i++) {
        setenv("JOURNAL_STREAM", STREAMS[i], 1);
        start(KT_LOG_TEXT, KT_LOG_INFO);
        kt_log(KT_LOG_INFO, "x");
        (void)after_time(written());
    }
    struct stat st = {0};
    char stream[64];
    assert_int_equal(fstat(capture[1], &st), 0);
    snprintf(stream, sizeof(stream), "%lu:%lux", (unsigned long)st.st_dev, (unsigned long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    start(KT_LOG_TEXT, KT_LOG_INFO);
    kt_log(KT_LOG_INFO, "x");
    (void)after_time(written());
    unsetenv("JOURNAL_STREAM");
}

static void a_full_or_closed_stderr_does_no_harm(void **state)
{
    (void)state;
    start(KT_LOG_TEXT, KT_LOG_INFO);
    errno = 42;
    for (int i = 0; i < 2000; i++)
        kt_log(KT_LOG_INFO, "x", KT_NUM("i", i));
    assert_int_equal(errno, 42);
    while (recv(capture[0], (char[16]){0}, 16, 0) > 0)
        ;
    close(STDERR_FILENO);
    errno = 42;
    kt_log(KT_LOG_INFO, "x");
    assert_int_equal(errno, 42);
    point_stderr_at(real_stderr);
}

static void names_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum kt_log_level level;
    } LEVELS[] = {{"error", KT_LOG_ERROR},
                  {"warning", KT_LOG_WARNING},
                  {"notice", KT_LOG_NOTICE},
                  {"info", KT_LOG_INFO},
                  {"debug", KT_LOG_DEBUG}};
    static const char *const HOSTILE[] = {"", "Error", "err", "7", "info ", "texts", "JSON"};
    enum kt_log_level level = KT_LOG_ERROR;
    enum kt_log_format format = KT_LOG_TEXT;
    for (size_t i = 0; i < KT_ARRAY_LEN(LEVELS); i++) {
        assert_true(kt_log_level_parse(LEVELS[i].name, &level));
        assert_int_equal(level, LEVELS[i].level);
    }
    assert_true(kt_log_format_parse("json", &format) && format == KT_LOG_JSON);
    assert_true(kt_log_format_parse("text", &format) && format == KT_LOG_TEXT);
    for (size_t i = 0; i < KT_ARRAY_LEN(HOSTILE); i++) {
        assert_false(kt_log_level_parse(HOSTILE[i], &level));
        assert_false(kt_log_format_parse(HOSTILE[i], &format));
    }
}

static void *log_much(void *arg)
{
    for (int i = 0; i < 500; i++) {
        kt_log(KT_LOG_INFO, "x", KT_NUM("thread", (uintptr_t)arg), KT_TEXT("t", "some words"));
        kt_log_set(i % 2 ? KT_LOG_JSON : KT_LOG_TEXT, KT_LOG_INFO);
    }
    return NULL;
}

static void *count_whole_lines(void *arg)
{
    size_t *whole = arg;
    char line[2 * LINE_MOST];
    for (ssize_t n = recv(capture[0], line, sizeof(line), 0); n > 0; n = recv(capture[0], line, sizeof(line), 0))
        *whole += line[n - 1] == '\n' && !memchr(line, '\n', (size_t)n - 1);
    return NULL;
}

static void threads_write_whole_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(fcntl(capture[i], F_SETFL, 0), 0);
    start(KT_LOG_TEXT, KT_LOG_INFO);
    pthread_t threads[4];
    pthread_t reader;
    size_t whole = 0;
    assert_int_equal(pthread_create(&reader, NULL, count_whole_lines, &whole), 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_much, (void *)(uintptr_t)i), 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    shutdown(capture[1], SHUT_WR);
    assert_int_equal(pthread_join(reader, NULL), 0);
    point_stderr_at(real_stderr);
    assert_int_equal(whole, KT_ARRAY_LEN(threads) * 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_quoted),
        cmocka_unit_test(fields_may_be_missing),
        cmocka_unit_test(lower_levels_are_silent),
        cmocka_unit_test(errors_are_told),
        cmocka_unit_test(long_lines_are_cut_well),
        cmocka_unit_test(every_length_has_form),
        cmocka_unit_test(the_journal_gets_priorities),
        cmocka_unit_test(a_journal_that_is_not_stderr_is_not_believed),
        cmocka_unit_test(a_full_or_closed_stderr_does_no_harm),
        cmocka_unit_test(names_are_parsed),
        cmocka_unit_test(threads_write_whole_lines), /* last: it shuts the socket */
    };
    return cmocka_run_group_tests(tests, redirect, NULL);
}
