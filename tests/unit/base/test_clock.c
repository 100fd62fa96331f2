/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "unit.h"

#include <string.h>
#include <time.h>

static void monotonic_does_not_go_back(void **state)
{
    (void)state;
    uint64_t last = kt_clock_monotonic_ns();
    assert_true(last > 0);
    for (int i = 0; i < 10000; i++) {
        uint64_t now = kt_clock_monotonic_ns();
        assert_true(now >= last);
        last = now;
    }
}

static void real_time_is_libc_s(void **state)
{
    (void)state;
    uint64_t before = (uint64_t)time(NULL);
    uint64_t now = kt_clock_real_s();
    /* time(2) may lag a tick behind clock_gettime(2). */
    assert_in_range(now, before, (uint64_t)time(NULL) + 1);
}

static const struct {
    uint64_t seconds;
    const char *text;
} TIMES[] = {
    {0, "1970-01-01T00:00:00Z"},          {86399, "1970-01-01T23:59:59Z"},
    {951782400, "2000-02-29T00:00:00Z"},  {951868800, "2000-03-01T00:00:00Z"},
    {1709164800, "2024-02-29T00:00:00Z"}, {1795424400, "2026-11-23T09:00:00Z"},
    {2147483648, "2038-01-19T03:14:08Z"}, {4102444800, "2100-01-01T00:00:00Z"},
    {4107542400, "2100-03-01T00:00:00Z"}, {253402300799, "9999-12-31T23:59:59Z"},
};

static void times_have_one_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(TIMES); i++) {
        char text[KT_TIME_LEN];
        uint64_t seconds = 99;
        kt_time_format(TIMES[i].seconds, text);
        assert_string_equal(text, TIMES[i].text);
        assert_true(kt_time_parse(text, &seconds));
        assert_int_equal(seconds, TIMES[i].seconds);
    }
}

static void times_beyond_the_form_are_capped(void **state)
{
    (void)state;
    char text[KT_TIME_LEN];
    kt_time_format(UINT64_C(253402300800), text);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
    kt_time_format(UINT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
}

static void calendar_agrees_with_libc(void **state)
{
    (void)state;
    /* A step of 7 hours less a second meets every day and every hour from 1970 to 2400. */
    for (uint64_t t = 0; t < UINT64_C(13569465600); t += 7 * 3600 * 11 - 1) {
        time_t seconds = (time_t)t;
        struct tm tm = {0};
        char want[64];
        char got[KT_TIME_LEN];
        uint64_t back = 0;
        assert_non_null(gmtime_r(&seconds, &tm));
        strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%SZ", &tm);
        kt_time_format(t, got);
        assert_string_equal(got, want);
        assert_true(kt_time_parse(got, &back));
        assert_int_equal(back, t);
    }
}

static void times_refused(void **state)
{
    (void)state;
    static const char *const HOSTILE[] = {
        "",
        "Z",
        "2026-11-23",
        "2026-11-23T09:00:00",
        "2026-11-23T09:00:00z",
        "2026-11-23t09:00:00Z",
        "2026-11-23 09:00:00Z",
        "2026-11-23T09:00:00+00:00",
        "2026-11-23T09:00:00.0Z",
        "2026-11-23T09:00:00Z\n",
        " 2026-11-23T09:00:00Z",
        "2026-11-23T09:00:60Z",
        "2026-11-23T09:60:00Z",
        "2026-11-23T24:00:00Z",
        "2026-00-23T09:00:00Z",
        "2026-13-23T09:00:00Z",
        "2026-11-00T09:00:00Z",
        "2026-11-31T09:00:00Z",
        "2026-02-29T09:00:00Z",
        "2100-02-29T09:00:00Z",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "2026-1a-23T09:00:00Z",
        "12026-11-23T09:00:0Z",
        "2026-11-23T09:00:0\xd9\xa3Z",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(HOSTILE); i++) {
        uint64_t seconds = 99;
        assert_false(kt_time_parse(HOSTILE[i], &seconds));
        assert_int_equal(seconds, 99);
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint64_t seconds;
    } CASES[] = {
        {"90s", true, 90},
        {"15m", true, 900},
        {"24h", true, 86400},
        {"7d", true, 604800},
        {"0s", true, 0},
        {"18446744073709551615s", true, UINT64_MAX},
        {"18446744073709551616s", false, 0},
        {"18446744073709551615m", false, 0},
        {"213503982334602d", false, 0},
        {"99999999999999999999999999999999s", false, 0},
        {"", false, 0},
        {"s", false, 0},
        {"90", false, 0},
        {"090s", false, 0},
        {"00s", false, 0},
        {"-1s", false, 0},
        {"+1s", false, 0},
        {" 1s", false, 0},
        {"1s ", false, 0},
        {"1 s", false, 0},
        {"1S", false, 0},
        {"1w", false, 0},
        {"1ms", false, 0},
        {"1h30m", false, 0},
        {"1.5h", false, 0},
        {"0x1s", false, 0},
        {"1e3s", false, 0},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(CASES); i++) {
        uint64_t seconds = 99;
        assert_int_equal(kt_duration_parse(CASES[i].text, &seconds), CASES[i].good);
        assert_int_equal(seconds, CASES[i].good ? CASES[i].seconds : 99);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_does_not_go_back),
        cmocka_unit_test(real_time_is_libc_s),
        cmocka_unit_test(times_have_one_form),
        cmocka_unit_test(times_beyond_the_form_are_capped),
        cmocka_unit_test(calendar_agrees_with_libc),
        cmocka_unit_test(times_refused),
        cmocka_unit_test(durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
