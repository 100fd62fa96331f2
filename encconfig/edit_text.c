/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/edit_text.h"

#include <string.h>

size_t kt_edit_break_len(struct kt_slice text, size_t offset)
{
    if (offset >= text.len || (text.data[offset] != '\n' && text.data[offset] != '\r'))
        return 0;
    return text.data[offset] == '\r' && offset + 1 < text.len && text.data[offset + 1] == '\n' ? 2 : 1;
}

size_t kt_edit_break_before(struct kt_slice text, size_t offset)
{
    if (offset >= 2 && kt_edit_break_len(text, offset - 2) == 2)
        return 2;
    return offset >= 1 && kt_edit_break_len(text, offset - 1) == 1;
}

size_t kt_edit_line_end(struct kt_slice text, size_t offset)
{
    while (offset < text.len && kt_edit_break_len(text, offset) == 0)
        offset++;
    return offset;
}

size_t kt_edit_line_start(struct kt_slice text, size_t offset)
{
    while (offset > 0 && kt_edit_break_before(text, offset) == 0)
        offset--;
    return offset;
}

size_t kt_edit_skip_spaces(struct kt_slice text, size_t offset)
{
    while (offset < text.len && text.data[offset] == ' ')
        offset++;
    return offset;
}

size_t kt_edit_column(struct kt_slice text, size_t offset)
{
    return offset - kt_edit_line_start(text, offset);
}

const char *kt_edit_line_break(const struct kt_source *source)
{
    struct kt_slice text = kt_source_text(source);
    size_t end = kt_edit_line_end(text, 0);
    size_t len = kt_edit_break_len(text, end);
    return len == 2 ? "\r\n" : len == 1 && text.data[end] == '\r' ? "\r" : "\n";
}
