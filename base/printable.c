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
