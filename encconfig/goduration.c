/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/gotext.h"

#include <inttypes.h>
#include <string.h>

#define MOST ((uint64_t)1 << 63) /* of the smallest duration */

static const struct {
    const char *name;
    uint64_t nanoseconds;
} units[] = {
    {"ns", 1},       {"us", 1000},       {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
    {"ms", 1000000}, {"s", 1000000000u}, {"m", 60000000000u}, {"h", 3600000000000u},
};

struct scan {
    const char *at;
    const char *end;
};

static bool is_digit(const struct scan *s)
{
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

static bool take_whole(struct scan *s, uint64_t *ret)
{
    for (*ret = 0; is_digit(s); s->at++) {
        if (*ret > MOST / 10)
            return false;
        *ret = *ret * 10 + (uint64_t)(*s->at - '0');
        if (*ret > MOST)
            return false;
    }
    return true;
}

/* Digits beyond what fits are dropped. */
static void take_fraction(struct scan *s, uint64_t *ret, double *ret_scale)
{
    bool is_full = false;
    *ret = 0;
    for (*ret_scale = 1; is_digit(s); s->at++) {
        is_full = is_full || *ret > (MOST - 1) / 10 || *ret * 10 + (uint64_t)(*s->at - '0') > MOST;
        if (is_full)
            continue;
        *ret = *ret * 10 + (uint64_t)(*s->at - '0');
        *ret_scale *= 10;
    }
}

static uint64_t take_unit(struct scan *s)
{
    size_t len = 0;
    while (s->at + len < s->end && s->at[len] != '.' && (s->at[len] < '0' || s->at[len] > '9'))
        len++;
    for (size_t i = 0; i < KT_ARRAY_LEN(units); i++)
        if (strlen(units[i].name) == len && memcmp(s->at, units[i].name, len) == 0) {
            s->at += len;
            return units[i].nanoseconds;
        }
    return 0;
}

/* A number with a unit. */
static bool take_part(struct scan *s, uint64_t *ret)
{
    const char *start = s->at;
    uint64_t fraction = 0;
    double scale = 1;
    if (!take_whole(s, ret))
        return false;
    bool has_digits = s->at > start;
    if (s->at < s->end && *s->at == '.') {
        start = ++s->at;
        take_fraction(s, &fraction, &scale);
        has_digits = has_digits || s->at > start;
    }
    uint64_t unit = has_digits ? take_unit(s) : 0;
    if (unit == 0 || *ret > MOST / unit)
        return false;
    *ret *= unit;
    if (fraction > 0)
        *ret += (uint64_t)((double)fraction * ((double)unit / scale));
    return *ret <= MOST;
}

bool kt_go_duration_parse(const char *text, size_t len, int64_t *ret)
{
    struct scan s = {.at = text, .end = text + len};
    bool is_negative = len > 0 && *text == '-';
    uint64_t sum = 0;
    if (len > 0 && (*text == '-' || *text == '+'))
        s.at++;
    if (s.at == s.end)
        return false;
    if (s.end - s.at == 1 && *s.at == '0') {
        *ret = 0;
        return true;
    }
    while (s.at < s.end) {
        uint64_t part = 0;
        if (!take_part(&s, &part) || __builtin_add_overflow(sum, part, &sum) || sum > MOST)
            return false;
    }
    if (!is_negative && sum == MOST)
        return false;
    *ret = (int64_t)(is_negative ? 0 - sum : sum);
    return true;
}

/* value / 10^digits with the zeros at its end left out. */
static void print_fraction(struct kt_text *out, uint64_t value, unsigned digits)
{
    char text[32];
    uint64_t scale = 1;
    for (unsigned i = 0; i < digits; i++)
        scale *= 10;
    kt_text_add(out, "%" PRIu64, value / scale);
    if (value % scale == 0)
        return;
    int len = snprintf(text, sizeof(text), ".%0*" PRIu64, (int)digits, value % scale);
    while (text[len - 1] == '0')
        len--;
    kt_text_add_bytes(out, text, (size_t)len);
}

static void print_small(struct kt_text *out, uint64_t nanoseconds)
{
    static const struct {
        uint64_t below;
        unsigned digits;
        const char *unit;
    } scales[] = {{1, 0, "s"}, {1000, 0, "ns"}, {1000000, 3, "\xc2\xb5s"}, {1000000000, 6, "ms"}};
    size_t i = 0;
    while (nanoseconds >= scales[i].below)
        i++;
    print_fraction(out, nanoseconds, scales[i].digits);
    kt_text_add(out, "%s", scales[i].unit);
}

void kt_go_duration_print(struct kt_text *out, int64_t nanoseconds)
{
    const uint64_t second = 1000000000;
    uint64_t value = nanoseconds < 0 ? 0 - (uint64_t)nanoseconds : (uint64_t)nanoseconds;
    if (nanoseconds < 0)
        kt_text_add(out, "-");
    if (value < second) {
        print_small(out, value);
        return;
    }
    const uint64_t minutes = value / second / 60;
    if (minutes >= 60)
        kt_text_add(out, "%" PRIu64 "h", minutes / 60);
    if (minutes > 0)
        kt_text_add(out, "%" PRIu64 "m", minutes % 60);
    print_fraction(out, value - minutes * 60 * second, 9);
    kt_text_add(out, "s");
}
