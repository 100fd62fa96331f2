/* SPDX-License-Identifier: Apache-2.0 */
#include "base/printable.h"

#include "base/attrs.h"

#include <stdbool.h>
#include <string.h>

static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD */

size_t kt_utf8_decode(const char *s, uint32_t *ret)
{
    static const uint32_t LEAST[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *b = (const unsigned char *)s;
    size_t n = b[0] < 0x80 ? 1 : b[0] >= 0xf0 && b[0] <= 0xf4 ? 4 : b[0] >= 0xe0 && b[0] < 0xf0 ? 3 : 2;
    *ret = b[0];
    if (n == 1)
        return 1;
    uint32_t v = b[0] & (0x7fu >> n);
    bool good = b[0] >= 0xc2 && b[0] <= 0xf4;
    for (size_t i = 1; good && i < n; i++) {
        good = (b[i] & 0xc0u) == 0x80u; /* the NUL at the end is not */
        v = v << 6 | (b[i] & 0x3fu);
    }
    good = good && v >= LEAST[n] && v <= 0x10ffff && (v < 0xd800 || v > 0xdfff);
    *ret = good ? v : KT_NOT_UTF8;
    return good ? n : 1;
}

size_t kt_control_escape(uint32_t character, char ret[KT_ESCAPE_MAX])
{
    static const char SHORT[][2] = {{'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}};
    static const char DIGITS[] = "0123456789abcdef";
    if (character >= 0x20 && (character < 0x7f || character > 0x9f))
        return 0;
    for (size_t i = 0; i < KT_ARRAY_LEN(SHORT); i++) {
        if (character == (unsigned char)SHORT[i][0]) {
            memcpy(ret, (const char[]){'\\', SHORT[i][1]}, 2);
            return 2;
        }
    }
    memcpy(ret, (const char[]){'\\', 'u', '0', '0', DIGITS[character >> 4 & 15], DIGITS[character & 15]}, 6);
    return 6;
}

const char *kt_printable(const char *text, struct kt_printable *room)
{
    size_t len = 0;
    while (*text != '\0') {
        uint32_t character = 0;
        char escape[KT_ESCAPE_MAX];
        const char *from = text;
        size_t n = kt_utf8_decode(text, &character);
        text += n;
        size_t escaped = kt_control_escape(character, escape);
        if (escaped > 0) {
            from = escape;
            n = escaped;
        } else if (character == KT_NOT_UTF8) {
            from = REPLACEMENT;
            n = strlen(REPLACEMENT);
        }
        if (n >= sizeof(room->text) - len)
            break;
        memcpy(room->text + len, from, n);
        len += n;
    }
    room->text[len] = '\0';
    return room->text;
}

#define SHELL_PLAIN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+:,./-"

enum quoting { QUOTING_NONE, QUOTING_PLAIN, QUOTING_ESCAPED };

static enum quoting quoting_of(const char *text)
{
    char escape[KT_ESCAPE_MAX];
    uint32_t character = 0;
    for (const char *at = text; *at != '\0';) {
        at += kt_utf8_decode(at, &character);
        if (character == KT_NOT_UTF8 || kt_control_escape(character, escape) > 0)
            return QUOTING_ESCAPED;
    }
    return text[0] != '\0' && text[strspn(text, SHELL_PLAIN)] == '\0' ? QUOTING_NONE : QUOTING_PLAIN;
}

static bool add(struct kt_printable *room, size_t *len, const char *piece, size_t n)
{
    if (n >= sizeof(room->text) - *len)
        return false;
    memcpy(room->text + *len, piece, n);
    *len += n;
    return true;
}

/* Within '...', a quote ends it, stands for itself, and begins it again. */
static bool add_quoted(struct kt_printable *room, size_t *len, const char *text)
{
    for (; *text != '\0'; text++) {
        if (!(*text == '\'' ? add(room, len, "'\\''", 4) : add(room, len, text, 1)))
            return false;
    }
    return true;
}

static bool add_escaped(struct kt_printable *room, size_t *len, const char *text)
{
    while (*text != '\0') {
        uint32_t character = 0;
        char escape[KT_ESCAPE_MAX];
        size_t n = kt_utf8_decode(text, &character);
        bool octal = character == KT_NOT_UTF8 || kt_control_escape(character, escape) > 0;
        if ((*text == '\'' || *text == '\\') && !add(room, len, "\\", 1))
            return false;
        for (size_t i = 0; i < n; i++, text++) {
            unsigned char b = (unsigned char)*text;
            const char digits[] = {'\\', (char)('0' + (b >> 6)), (char)('0' + (b >> 3 & 7)), (char)('0' + (b & 7))};
            if (!(octal ? add(room, len, digits, sizeof(digits)) : add(room, len, text, 1)))
                return false;
        }
    }
    return true;
}

const char *kt_shell_word(const char *text, struct kt_printable *room)
{
    static const char *const begin[] = {[QUOTING_NONE] = "", [QUOTING_PLAIN] = "'", [QUOTING_ESCAPED] = "$'"};
    const enum quoting quoting = quoting_of(text);
    const char *end = quoting == QUOTING_NONE ? "" : "'";
    size_t len = 0;
    bool fits = add(room, &len, begin[quoting], strlen(begin[quoting])) && (text[0] != '-' || add(room, &len, "./", 2));
    fits = fits && (quoting == QUOTING_ESCAPED ? add_escaped(room, &len, text) : add_quoted(room, &len, text));
    if (fits && add(room, &len, end, strlen(end)))
        room->text[len] = '\0';
    else
        memcpy(room->text, "'...'", sizeof("'...'"));
    return room->text;
}
