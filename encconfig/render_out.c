/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/render_out.h"

#include "base/buf.h"
#include "base/printable.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void kt_render_put_bytes(struct kt_render_out *out, const void *bytes, size_t len)
{
    if (out->data)
        memcpy(out->data + out->len, bytes, len);
    out->len += len;
}

void kt_render_put(struct kt_render_out *out, const char *text)
{
    kt_render_put_bytes(out, text, strlen(text));
}

/* Whether a plain scalar reads back as this very string, in YAML 1.1 (which sigs.k8s.io/yaml reads) and 1.2. What
 * begins with a letter and goes on in these is no number, date, indicator or comment; then it is one of these words at
 * worst, and a colon only ends a key where a blank or the end comes next. */
static bool is_plain(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/:@~+-";
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    if (!isalpha((unsigned char)text[0]) || text[strspn(text, allowed)] != '\0' || text[strlen(text) - 1] == ':')
        return false;
    for (size_t i = 0; i < KT_ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i]) == 0)
            return false;
    }
    return true;
}

void kt_render_put_quoted(struct kt_render_out *out, const char *text)
{
    kt_render_put(out, "\"");
    while (*text != '\0') {
        char escape[16];
        uint32_t c = 0;
        text += kt_utf8_decode(text, &c);
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof(escape), "\\%c", (char)c);
        else if (c >= ' ' && c <= '~')
            snprintf(escape, sizeof(escape), "%c", (char)c);
        else
            snprintf(escape, sizeof(escape), "\\U%08x", (unsigned)(c == KT_NOT_UTF8 ? 0xfffdu : c));
        kt_render_put(out, escape);
    }
    kt_render_put(out, "\"");
}

void kt_render_put_yaml(struct kt_render_out *out, const char *text)
{
    if (is_plain(text))
        kt_render_put(out, text);
    else
        kt_render_put_quoted(out, text);
}

void kt_render_put_json(struct kt_render_out *out, const char *text)
{
    kt_render_put(out, "\"");
    while (*text != '\0') {
        char escape[8] = "";
        uint32_t c = 0;
        size_t n = kt_utf8_decode(text, &c);
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof(escape), "\\%c", (char)c);
        else if (c < ' ' || (c >= 0x7f && c <= 0xa0) || c == 0x2028 || c == 0x2029 || c == KT_NOT_UTF8)
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)(c == KT_NOT_UTF8 ? 0xfffdu : c));
        if (escape[0])
            kt_render_put(out, escape);
        else
            kt_render_put_bytes(out, text, n);
        text += n;
    }
    kt_render_put(out, "\"");
}

/* A group at a time, so that no other copy of the key is made. */
void kt_render_put_base64(struct kt_render_out *out, const struct kt_secret *key)
{
    size_t len = kt_secret_len(key);
    char group[5];
    for (size_t i = 0; i < len; i += 3) {
        kt_base64_encode(KT_SLICE(kt_secret_view(key) + i, len - i < 3 ? len - i : 3), group);
        kt_render_put_bytes(out, group, 4);
    }
    kt_wipe(group, sizeof(group));
}
