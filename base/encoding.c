/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#define NO_DIGIT 0xffu

static const char BASE16[] = "0123456789abcdef";

size_t kt_base64_len(size_t n)
{
    return n / 3 * 4 + (n % 3 > 0 ? 4 : 0);
}

/* Without a table and without a branch on the value: key bytes pass through here, and an index into memory, or a jump,
 * can be seen from beside. A difference that went below zero has all its high bits set. */
static char base64_char(uint32_t v)
{
    uint32_t c = v + 'A' + ((25 - v) >> 8 & 6) - ((51 - v) >> 8 & 75) - ((61 - v) >> 8 & 15) + ((62 - v) >> 8 & 3);
    return (char)(uint8_t)c;
}

void kt_base64_encode(struct kt_slice bytes, char *ret)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= n > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= n > 2 ? (uint32_t)bytes.data[i + 2] : 0;
        *ret++ = base64_char(group >> 18);
        *ret++ = base64_char(group >> 12 & 63);
        *ret++ = n > 1 ? base64_char(group >> 6 & 63) : '=';
        *ret++ = n > 2 ? base64_char(group & 63) : '=';
    }
    *ret = '\0';
}

/* All bits set where first <= c <= last. */
static uint32_t is_within(uint32_t c, uint32_t first, uint32_t last)
{
    return 0u - ((first - 1 - c) >> 31 & (c - last - 1) >> 31);
}

/* NO_DIGIT or more: it is none. */
static uint32_t base64_digit(uint8_t c)
{
    static const struct {
        uint32_t first;
        uint32_t last;
        uint32_t value;
    } ranges[] = {{'A', 'Z', 0}, {'a', 'z', 26}, {'0', '9', 52}, {'+', '+', 62}, {'/', '/', 63}};
    uint32_t digit = 0;
    uint32_t found = 0;
    for (size_t i = 0; i < KT_ARRAY_LEN(ranges); i++) {
        uint32_t in = is_within(c, ranges[i].first, ranges[i].last);
        digit |= in & (c - ranges[i].first + ranges[i].value);
        found |= in;
    }
    return digit | (~found & NO_DIGIT);
}

/* Only digits, and the bits that no byte uses are zero: each string of bytes has one spelling. */
static bool base64_digits_fit(const uint8_t *digits, size_t n)
{
    uint32_t all = 0;
    uint32_t last = 0;
    for (size_t i = 0; i < n; i++) {
        last = base64_digit(digits[i]);
        all |= last;
    }
    return all < 64 && (n % 4 == 0 || (last & (n % 4 == 2 ? 0x0fu : 0x03u)) == 0);
}

bool kt_base64_decode(struct kt_slice text, uint8_t *ret, size_t cap, size_t *ret_len)
{
    if (text.len % 4 != 0)
        return false;
    size_t digits = text.len;
    for (size_t i = 0; i < 2 && digits > 0 && text.data[digits - 1] == '='; i++)
        digits--;
    size_t len = digits / 4 * 3 + (digits % 4 > 0 ? digits % 4 - 1 : 0);
    if (len > cap || !base64_digits_fit(text.data, digits))
        return false;
    uint32_t bits = 0;
    size_t done = 0;
    for (size_t i = 0; i < digits; i++) {
        bits = bits << 6 | base64_digit(text.data[i]);
        if (i % 4 > 0)
            ret[done++] = (uint8_t)(bits >> (6 - i % 4 * 2));
    }
    *ret_len = len;
    return true;
}

void kt_hex_encode(struct kt_slice bytes, char *ret)
{
    for (size_t i = 0; i < bytes.len; i++) {
        *ret++ = BASE16[bytes.data[i] >> 4];
        *ret++ = BASE16[bytes.data[i] & 15];
    }
    *ret = '\0';
}

static uint32_t hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return (uint32_t)c - '0';
    return c >= 'a' && c <= 'f' ? (uint32_t)c - 'a' + 10 : NO_DIGIT;
}

bool kt_hex_decode(struct kt_slice text, uint8_t *ret, size_t n)
{
    if (text.len % 2 != 0 || text.len / 2 != n)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (hex_digit(text.data[i]) == NO_DIGIT)
            return false;
    for (size_t i = 0; i < n; i++)
        ret[i] = (uint8_t)(hex_digit(text.data[2 * i]) << 4 | hex_digit(text.data[2 * i + 1]));
    return true;
}
