/* SPDX-License-Identifier: Apache-2.0 */
#include "base/printable.h"
#include "encconfig/render_parts.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

/* In double quotes, with \U for all that is not ASCII: some of it ends a line in YAML 1.1. */
static void put_quoted(struct kt_render_out *out, const char *text)
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

static void put_scalar(struct kt_render_out *out, const char *text)
{
    if (is_plain(text))
        kt_render_put(out, text);
    else
        put_quoted(out, text);
}

static void put_kms(const struct kt_render_plan *plan, struct kt_render_out *out)
{
    kt_render_put(out, "      - kms:\n          apiVersion: v2\n          name: ");
    put_scalar(out, plan->fresh->provider);
    kt_render_put(out, "\n          endpoint: ");
    put_scalar(out, plan->endpoint);
    kt_render_put(out, "\n          timeout: 3s\n");
}

void kt_render_yaml(const struct kt_render_plan *plan, struct kt_render_out *out)
{
    kt_render_put(out, "apiVersion: apiserver.config.k8s.io/v1\n"
                       "kind: EncryptionConfiguration\n"
                       "resources:\n"
                       "  - resources:\n"
                       "      - secrets\n"
                       "    providers:\n");
    for (size_t i = 0; i < plan->n_providers; i++) {
        if (plan->providers[i] == KT_RENDER_IDENTITY)
            kt_render_put(out, "      - identity: {}\n");
        else
            put_kms(plan, out);
    }
}
