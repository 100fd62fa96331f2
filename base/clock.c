/* SPDX-License-Identifier: Apache-2.0 */
/* Own calendar arithmetic: libc's takes the time zone's lock, and the log must work where locks may not be taken. */
#include "base/clock.h"

#include <string.h>
#include <time.h>

#define DAY       UINT64_C(86400)
#define LAST_TIME UINT64_C(253402300799) /* 9999-12-31T23:59:59Z */

struct date {
    unsigned year, month, day;
};

uint64_t kt_clock_monotonic_ns(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t kt_clock_real_s(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec > 0 ? (uint64_t)now.tv_sec : 0;
}

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in(unsigned year, unsigned month)
{
    static const uint8_t DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return DAYS[month - 1] + (month == 2 && is_leap(year) ? 1u : 0u);
}

/* Days from 0000-03-01 to the date, so that leap days end a year; Gregorian, years 1970 to 9999. */
static unsigned day_number(struct date d)
{
    unsigned year = d.month > 2 ? d.year : d.year - 1;
    unsigned month = d.month > 2 ? d.month - 3 : d.month + 9;
    return year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + d.day - 1;
}

static unsigned epoch_days(struct date d)
{
    return day_number(d) - day_number((struct date){1970, 1, 1});
}

static struct date date_of(unsigned days)
{
    struct date d = {.year = 1970 + days / 366, .month = 1, .day = 1};
    while (epoch_days((struct date){d.year + 1, 1, 1}) <= days)
        d.year++;
    while (d.month < 12 && epoch_days((struct date){d.year, d.month + 1, 1}) <= days)
        d.month++;
    d.day = days - epoch_days(d) + 1;
    return d;
}

static void put_digits(char *at, size_t n, unsigned v)
{
    for (size_t i = n; i > 0; i--, v /= 10)
        at[i - 1] = (char)('0' + v % 10);
}

void kt_time_format(uint64_t seconds, char ret[KT_TIME_LEN])
{
    uint64_t t = seconds < LAST_TIME ? seconds : LAST_TIME;
    struct date d = date_of((unsigned)(t / DAY));
    unsigned s = (unsigned)(t % DAY);
    memcpy(ret, "0000-00-00T00:00:00Z", KT_TIME_LEN);
    put_digits(ret, 4, d.year);
    put_digits(ret + 5, 2, d.month);
    put_digits(ret + 8, 2, d.day);
    put_digits(ret + 11, 2, s / 3600);
    put_digits(ret + 14, 2, s / 60 % 60);
    put_digits(ret + 17, 2, s % 60);
}

/* Digits where the pattern has a 0, the pattern's own character elsewhere. */
static bool has_form(const char *text, const char *pattern)
{
    if (strlen(text) != strlen(pattern))
        return false;
    for (size_t i = 0; pattern[i] != '\0'; i++)
        if (pattern[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != pattern[i])
            return false;
    return true;
}

static unsigned get_digits(const char *at, size_t n)
{
    unsigned v = 0;
    for (size_t i = 0; i < n; i++)
        v = v * 10 + (unsigned)(at[i] - '0');
    return v;
}

bool kt_time_parse(const char *text, uint64_t *ret)
{
    if (!has_form(text, "0000-00-00T00:00:00Z"))
        return false;
    struct date d = {get_digits(text, 4), get_digits(text + 5, 2), get_digits(text + 8, 2)};
    uint64_t hour = get_digits(text + 11, 2);
    uint64_t minute = get_digits(text + 14, 2);
    uint64_t second = get_digits(text + 17, 2);
    if (d.year < 1970 || d.month < 1 || d.month > 12 || d.day < 1 || d.day > days_in(d.year, d.month))
        return false;
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    *ret = epoch_days(d) * DAY + hour * 3600 + minute * 60 + second;
    return true;
}

static uint64_t seconds_in(char unit)
{
    switch (unit) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return DAY;
    default:
        return 0;
    }
}

bool kt_duration_parse(const char *text, uint64_t *ret_seconds)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || (digits > 1 && text[0] == '0') || strlen(text) != digits + 1)
        return false;
    uint64_t unit = seconds_in(text[digits]);
    uint64_t v = 0;
    for (size_t i = 0; i < digits; i++)
        if (__builtin_mul_overflow(v, UINT64_C(10), &v) || __builtin_add_overflow(v, (uint64_t)(text[i] - '0'), &v))
            return false;
    if (unit == 0 || __builtin_mul_overflow(v, unit, &v))
        return false;
    *ret_seconds = v;
    return true;
}
