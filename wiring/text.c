/* SPDX-License-Identifier: Apache-2.0 */
#include "wiring/parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINES_MAX (PATH_MAX * 3)

void kt_wiring_begin(struct kt_wiring_text *text, struct kt_slice bytes, struct kt_error *err)
{
    *text = (struct kt_wiring_text){.err = err};
    text->failed = !kt_bytes_copy(bytes, &text->bytes, err);
}

static void take(struct kt_wiring_text *text, bool changed, struct kt_bytes *bytes)
{
    text->failed = !changed;
    if (!changed)
        return;
    kt_bytes_done(&text->bytes);
    text->bytes = *bytes;
}

void kt_wiring_append(struct kt_wiring_text *text, kt_yaml_path path, const char *fmt, ...)
{
    struct kt_bytes after = {.data = NULL};
    char lines[LINES_MAX];
    va_list arguments;
    if (text->failed)
        return;
    va_start(arguments, fmt);
    int n = vsnprintf(lines, sizeof(lines), fmt, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= sizeof(lines)) {
        text->failed = !kt_fail(text->err, KT_E_CONFIG, "a path is too long to be written into a manifest");
        return;
    }
    take(text, kt_yaml_append(kt_bytes_view(&text->bytes), path, lines, &after, text->err), &after);
}

void kt_wiring_cut(struct kt_wiring_text *text, kt_yaml_path path, size_t index)
{
    struct kt_bytes after = {.data = NULL};
    if (!text->failed)
        take(text, kt_yaml_cut(kt_bytes_view(&text->bytes), path, index, &after, text->err), &after);
}

bool kt_wiring_end(struct kt_wiring_text *text, struct kt_bytes *ret)
{
    if (text->failed) {
        kt_bytes_done(&text->bytes);
        return false;
    }
    *ret = text->bytes;
    return true;
}
