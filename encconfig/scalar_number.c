/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/scalar_parts.h"

#include <string.h>

struct prefix {
    unsigned base;
    size_t len;
};

static struct prefix prefix_of(const char *digits)
{
    if (digits[0] != '0')
        return (struct prefix){.base = 10};
    if (digits[1] != '\0' && digits[2] != '\0') {
        static const char letters[] = "bBoOxX";
        static const unsigned bases[] = {2, 2, 8, 8, 16, 16};
        const char *found = strchr(letters, digits[1]);
        if (found)
            return (struct prefix){.base = bases[found - letters], .len = 2};
    }
    return (struct prefix){.base = 8, .len = 1};
}

static unsigned digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
}

static bool parse_digits(const char *digits, unsigned base, uint64_t *ret)
{
    uint64_t value = 0;
    for (; *digits; digits++) {
        unsigned digit = digit_of(*digits);
        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *ret = value;
    return true;
}

static bool give_sign(uint64_t value, char sign, int64_t *ret)
{
    if (value > (uint64_t)INT64_MAX + (sign == '-' ? 1u : 0u))
        return false;
    *ret = sign == '-' ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

static char sign_of(const char *text)
{
    return *text == '-' || *text == '+' ? *text : '\0';
}

bool kt_scalar_int(const char *plain, int64_t *ret)
{
    char sign = sign_of(plain);
    const char *digits = plain + (sign != '\0');
    const struct prefix prefix = prefix_of(digits);
    uint64_t value = 0;
    if (*digits && parse_digits(digits + prefix.len, prefix.base, &value))
        return give_sign(value, sign, ret);
    /* go-yaml's own: the sign behind the prefix. */
    if (strncmp(plain, "0b", 2) != 0 || sign_of(plain + 2) == '\0' || plain[3] == '\0')
        return false;
    return parse_digits(plain + 3, 2, &value) && give_sign(value, plain[2], ret);
}

bool kt_scalar_is_uint(const char *plain)
{
    const struct prefix prefix = prefix_of(plain);
    uint64_t value = 0;
    return sign_of(plain) == '\0' && parse_digits(plain + prefix.len, prefix.base, &value) && value > INT64_MAX;
}

static const char *skip_digits(const char *text)
{
    return text + strspn(text, "0123456789");
}

bool kt_scalar_is_yaml_float(const char *plain)
{
    const char *at = plain + (sign_of(plain) != '\0');
    const char *end = skip_digits(at);
    bool has_digits = end > at;
    if (*end == '.') {
        at = end + 1;
        end = skip_digits(at);
        has_digits = has_digits || end > at;
    }
    if (!has_digits)
        return false;
    if (*end == 'e' || *end == 'E') {
        at = end + 1;
        at += sign_of(at) != '\0';
        end = skip_digits(at);
        if (end == at)
            return false;
    }
    return *end == '\0';
}

/* Underscores stand between digits alone. */
static bool underscores_fit(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '_')
            continue;
        if (i == 0 || i + 1 == len || !strchr("0123456789", text[i - 1]) || !strchr("0123456789", text[i + 1]))
            return false;
    }
    return true;
}

bool kt_scalar_is_point_float(const char *text, size_t len)
{
    size_t i = 1;
    while (i < len && strchr("0123456789_", text[i]))
        i++;
    if (i == 1)
        return false;
    if (i < len && (text[i] == 'e' || text[i] == 'E')) {
        i++;
        i += i < len && sign_of(text + i) != '\0';
        size_t digits = i;
        while (i < len && strchr("0123456789_", text[i]))
            i++;
        if (i == digits)
            return false;
    }
    return i == len && underscores_fit(text, len);
}
