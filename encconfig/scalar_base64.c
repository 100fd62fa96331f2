/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/scalar.h"

#include <string.h>

static bool is_break(char c)
{
    return c == '\n' || c == '\r';
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* How many `=` end the text, and nothing else; -1: there is something else. */
static int padding(const char *text, size_t len)
{
    int n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '=' && !is_break(text[i]))
            return -1;
        n += text[i] == '=';
    }
    return n;
}

static void put(uint8_t *ret, size_t *at, uint32_t byte)
{
    if (ret)
        ret[*at] = (uint8_t)byte;
    (*at)++;
}

bool kt_scalar_base64(const char *text, size_t len, uint8_t *ret, size_t *ret_len)
{
    uint32_t bits = 0;
    unsigned n = 0;
    size_t at = 0;
    size_t i = 0;
    for (; i < len && text[i] != '='; i++) {
        int value = value_of(text[i]);
        if (is_break(text[i]))
            continue;
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (++n % 4 != 0)
            continue;
        put(ret, &at, bits >> 16);
        put(ret, &at, bits >> 8);
        put(ret, &at, bits);
    }
    int pads = padding(text + i, len - i);
    if (pads != (int)((4 - n % 4) % 4) || pads > 2)
        return false;
    if (pads > 0)
        put(ret, &at, bits >> (pads == 1 ? 10 : 4));
    if (pads == 1)
        put(ret, &at, bits >> 2);
    *ret_len = at;
    return true;
}
