/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#define NO_DIGIT 0xffu

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char BASE16[] = "0123456789abcdef";

size_t kt_base64_len(size_t n)
{
    return n / 3 * 4 + (n % 3 > 0 ? 4 : 0);
}

void kt_base64_encode(struct kt_slice bytes, char *ret)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= n > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= n > 2 ? (uint32_t)bytes.data[i + 2] : 0;
        *ret++ = BASE64[group >> 18];
        *ret++ = BASE64[group >> 12 & 63];
        *ret++ = n > 1 ? BASE64[group >> 6 & 63] : '=';
        *ret++ = n > 2 ? BASE64[group & 63] : '=';
    }
    *ret = '\0';
}

static uint32_t base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)c - 'A';
    if (c >= 'a' && c <= 'z')
        return (uint32_t)c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : NO_DIGIT;
}

/* Only digits, and the bits that no byte uses are zero: each string of bytes has one spelling. */
static bool base64_digits_fit(const uint8_t *digits, size_t n)
{
    uint32_t last = 0;
    for (size_t i = 0; i < n; i++) {
        last = base64_digit(digits[i]);
        if (last == NO_DIGIT)
            return false;
    }
    return n % 4 == 0 || (last & (n % 4 == 2 ? 0x0fu : 0x03u)) == 0;
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
