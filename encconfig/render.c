/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/render.h"

#include "base/printable.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define RENDERED_MAX 4096u
#define ENDPOINT_MAX 512u

static const char head[] = "apiVersion: apiserver.config.k8s.io/v1\n"
                           "kind: EncryptionConfiguration\n"
                           "resources:\n"
                           "  - resources:\n"
                           "      - secrets\n"
                           "    providers:\n"
                           "      - kms:\n"
                           "          apiVersion: v2\n"
                           "          name: ";
static const char middle[] = "\n"
                             "          endpoint: ";
static const char tail[] = "\n"
                           "          timeout: 3s\n"
                           "      - identity: {}\n";

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
static void add_quoted(struct kt_text *out, const char *text)
{
    kt_text_add(out, "\"");
    while (*text != '\0') {
        uint32_t c = 0;
        text += kt_utf8_decode(text, &c);
        if (c == '"' || c == '\\')
            kt_text_add(out, "\\%c", (char)c);
        else if (c >= ' ' && c <= '~')
            kt_text_add(out, "%c", (char)c);
        else
            kt_text_add(out, "\\U%08x", (unsigned)(c == KT_NOT_UTF8 ? 0xfffdu : c));
    }
    kt_text_add(out, "\"");
}

static void add_scalar(struct kt_text *out, const char *text)
{
    if (is_plain(text))
        kt_text_add(out, "%s", text);
    else
        add_quoted(out, text);
}

bool kt_encconfig_render_fresh(const struct kt_encconfig_fresh *fresh, struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL};
    char endpoint[ENDPOINT_MAX];
    /* kube-apiserver's form of an abstract socket is unix:///@name. */
    int len =
        snprintf(endpoint, sizeof(endpoint), "unix://%s%s", fresh->kms_socket[0] == '@' ? "/" : "", fresh->kms_socket);
    if (len < 0 || (size_t)len >= sizeof(endpoint))
        return kt_fail(err, KT_E_USAGE, "the socket's path is too long");
    kt_text_init(&text, RENDERED_MAX);
    kt_text_add(&text, "%s", head);
    add_scalar(&text, fresh->provider);
    kt_text_add(&text, "%s", middle);
    add_scalar(&text, endpoint);
    kt_text_add(&text, "%s", tail);
    return kt_text_take(&text, ret, err);
}
