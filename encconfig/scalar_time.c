/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/scalar_parts.h"

struct scan {
    const char *at;
    const char *end;
};

static bool is_digit(const struct scan *s, size_t i)
{
    return (size_t)(s->end - s->at) > i && s->at[i] >= '0' && s->at[i] <= '9';
}

static bool take(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool take_number(struct scan *s, size_t min, size_t max, unsigned most, unsigned *ret)
{
    size_t n = 0;
    for (*ret = 0; n < max && is_digit(s, 0); n++)
        *ret = *ret * 10 + (unsigned)(*s->at++ - '0');
    return n >= min && *ret <= most;
}

static unsigned days_in(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && is_leap ? 1u : 0u);
}

static bool take_date(struct scan *s)
{
    unsigned year = 0, month = 0, day = 0;
    return take_number(s, 4, 4, 9999, &year) && take(s, '-') && take_number(s, 1, 2, 12, &month) && month > 0 &&
           take(s, '-') && take_number(s, 1, 2, 31, &day) && day > 0 && day <= days_in(year, month);
}

static bool take_clock(struct scan *s)
{
    unsigned hour = 0, minute = 0, second = 0;
    if (!take_number(s, 1, 2, 23, &hour) || !take(s, ':') || !take_number(s, 1, 2, 59, &minute) || !take(s, ':') ||
        !take_number(s, 1, 2, 59, &second))
        return false;
    if (s->at < s->end && (*s->at == '.' || *s->at == ',') && is_digit(s, 1))
        for (s->at++; is_digit(s, 0);)
            s->at++;
    return true;
}

static bool take_zone(struct scan *s)
{
    unsigned hour = 0, minute = 0;
    if (take(s, 'Z'))
        return true;
    return (take(s, '+') || take(s, '-')) && take_number(s, 2, 2, 24, &hour) && take(s, ':') &&
           take_number(s, 2, 2, 60, &minute);
}

bool kt_scalar_is_timestamp(const char *text, size_t len)
{
    struct scan s = {.at = text, .end = text + len};
    if (!take_date(&s))
        return false;
    if (s.at == s.end)
        return true;
    if (take(&s, 'T') || take(&s, 't'))
        return take_clock(&s) && take_zone(&s) && s.at == s.end;
    if (!take(&s, ' '))
        return false;
    while (take(&s, ' '))
        ;
    return take_clock(&s) && s.at == s.end;
}
