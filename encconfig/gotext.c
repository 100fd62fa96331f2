/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/gotext.h"

#include "base/printable.h"

#include <stdlib.h>
#include <string.h>

struct range {
    uint32_t first;
    uint32_t last;
    uint32_t step;
};

#define KT_HIDDEN(low, high) {low, high, 1},
static const struct range hidden[] = {
#include "encconfig/unicode.def"
};
#undef KT_HIDDEN

#define KT_CAPITAL(low, high, every) {low, high, every},
static const struct range capitals[] = {
#include "encconfig/unicode.def"
};
#undef KT_CAPITAL

static int compare(const void *key, const void *element)
{
    const struct range *range = element;
    uint32_t c = *(const uint32_t *)key;
    return c < range->first ? -1 : c > range->last;
}

static bool is_in(uint32_t character, const struct range *ranges, size_t n)
{
    const struct range *found = bsearch(&character, ranges, n, sizeof(*ranges), compare);
    return found && (character - found->first) % found->step == 0;
}

/* The next character; KT_NOT_UTF8 for a byte that is none. A NUL is a character here. */
static size_t next(const char *text, size_t len, uint32_t *ret)
{
    char room[5] = "";
    memcpy(room, text, len < 4 ? len : 4);
    if (room[0] == '\0') {
        *ret = 0;
        return 1;
    }
    return kt_utf8_decode(room, ret);
}

static const char *short_escape(uint32_t c, const char *letters, const char *meanings, char room[3])
{
    const char *found = c > 0 && c < 0x80 ? strchr(meanings, (char)c) : NULL;
    if (!found)
        return NULL;
    room[0] = '\\';
    room[1] = letters[found - meanings];
    room[2] = '\0';
    return room;
}

static void quote_one(struct kt_text *out, const char *at, size_t width, uint32_t c)
{
    char room[3];
    const char *escape = short_escape(c, "\"\\abfnrtv", "\"\\\a\b\f\n\r\t\v", room);
    if (escape)
        kt_text_add(out, "%s", escape);
    else if (c == KT_NOT_UTF8 || c < 0x20 || c == 0x7f)
        kt_text_add(out, "\\x%02x", (unsigned)(uint8_t)*at);
    else if (c < 0x80 || !is_in(c, hidden, KT_ARRAY_LEN(hidden)))
        kt_text_add_bytes(out, at, width);
    else
        kt_text_add(out, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
}

void kt_go_quote(struct kt_text *out, const char *text, size_t len)
{
    kt_text_add(out, "\"");
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        size_t width = next(text + i, len - i, &c);
        quote_one(out, text + i, width, c);
        i += width;
    }
    kt_text_add(out, "\"");
}

static void json_one(struct kt_text *out, const char *at, size_t width, uint32_t c)
{
    char room[3];
    const char *escape = short_escape(c, "\"\\bfnrt", "\"\\\b\f\n\r\t", room);
    if (escape)
        kt_text_add(out, "%s", escape);
    else if (c == KT_NOT_UTF8)
        kt_text_add(out, "\\ufffd");
    else if (c < 0x20 || c == '<' || c == '>' || c == '&' || c == 0x2028 || c == 0x2029)
        kt_text_add(out, "\\u%04x", (unsigned)c);
    else
        kt_text_add_bytes(out, at, width);
}

void kt_go_json(struct kt_text *out, const char *text, size_t len)
{
    kt_text_add(out, "\"");
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        size_t width = next(text + i, len - i, &c);
        json_one(out, text + i, width, c);
        i += width;
    }
    kt_text_add(out, "\"");
}

bool kt_go_has_capital(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        i += next(text + i, len - i, &c);
        if (c == KT_NOT_UTF8 || is_in(c, capitals, KT_ARRAY_LEN(capitals)))
            return true;
    }
    return false;
}
