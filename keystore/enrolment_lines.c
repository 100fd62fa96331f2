/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/enrolment_lines.h"

#include "keystore/keyring_internal.h"

#include <string.h>

bool kt_lines_fail(const struct kt_lines *l, const char *expected)
{
    kt_fail(l->err, l->code, "%s, line %u: expected %s, found something else", l->what, l->line, expected);
    return kt_error_hint(l->err, "it was damaged, or changed on its way, line ends included: carry it over again");
}

static bool take_line(struct kt_lines *l, struct kt_slice *ret)
{
    const uint8_t *lf = l->rest.len ? memchr(l->rest.data, '\n', l->rest.len) : NULL;
    l->line++;
    if (!lf)
        return false;
    *ret = KT_SLICE(l->rest.data, (size_t)(lf - l->rest.data));
    l->rest = KT_SLICE(lf + 1, l->rest.len - ret->len - 1);
    return true;
}

bool kt_lines_fixed(struct kt_lines *l, const char *text)
{
    struct kt_slice line = {0};
    return (take_line(l, &line) && kt_slice_equal(line, kt_slice_str(text))) || kt_lines_fail(l, text);
}

bool kt_lines_value(struct kt_lines *l, const char *label, struct kt_slice *ret)
{
    struct kt_slice line = {0};
    size_t n = strlen(label);
    if (!take_line(l, &line) || line.len < n + 2 || memcmp(line.data, label, n) != 0 ||
        memcmp(line.data + n, ": ", 2) != 0)
        return kt_lines_fail(l, label);
    *ret = KT_SLICE(line.data + n + 2, line.len - n - 2);
    return true;
}

bool kt_lines_text(struct kt_lines *l, const char *label, char *ret, size_t cap)
{
    struct kt_slice value = {0};
    if (!kt_lines_value(l, label, &value))
        return false;
    if (value.len == 0 || value.len >= cap || memchr(value.data, '\0', value.len))
        return kt_lines_fail(l, label);
    memcpy(ret, value.data, value.len);
    ret[value.len] = '\0';
    return true;
}

bool kt_lines_hex(struct kt_lines *l, const char *label, uint8_t *ret, size_t n)
{
    struct kt_slice value = {0};
    return kt_lines_value(l, label, &value) && (kt_hex_decode(value, ret, n) || kt_lines_fail(l, label));
}

bool kt_lines_hash(struct kt_lines *l, const char *label, uint8_t ret[KT_HASH_LEN])
{
    char text[KT_HASH_TEXT_LEN] = "";
    return kt_lines_text(l, label, text, sizeof text) && (kt_hash_parse(text, ret) || kt_lines_fail(l, label));
}

bool kt_lines_base64(struct kt_lines *l, const char *label, uint8_t *ret, size_t n)
{
    struct kt_slice value = {0};
    size_t len = 0;
    return kt_lines_value(l, label, &value) &&
           ((kt_base64_decode(value, ret, n, &len) && len == n) || kt_lines_fail(l, label));
}

bool kt_lines_node(struct kt_lines *l, char ret[KT_NAME_MAX + 1])
{
    if (!kt_lines_text(l, "node", ret, KT_NAME_MAX + 1))
        return false;
    return (kt_recipient_name_valid(ret) && strcmp(ret, KT_RECOVERY_NAME) != 0) || kt_lines_fail(l, "a node's name");
}

bool kt_lines_head(struct kt_lines *l, const char *kind)
{
    char line[64] = "";
    snprintf(line, sizeof line, "kind: %s", kind);
    return kt_lines_fixed(l, "apiVersion: " KT_API_VERSION) && kt_lines_fixed(l, line) &&
           kt_lines_fixed(l, "format: 1");
}
