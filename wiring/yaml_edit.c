/* SPDX-License-Identifier: Apache-2.0 */
#include "wiring/yaml_edit.h"

#include "encconfig/edit_text.h"

#include <string.h>

#define EDITED_MAX ((size_t)4 * 1024 * 1024)
#define INDENT     2u

static const char hint[] = "change it by hand: keyturn doctor shows the lines";

static const struct kt_source_node *named(const struct kt_source_node *list, const char *name)
{
    for (size_t i = 0; list->kind == KT_SOURCE_SEQUENCE && i < list->n_items; i++) {
        const struct kt_source_node *item = kt_source_follow(list->items[i]);
        const struct kt_source_node *value =
            item && item->kind == KT_SOURCE_MAPPING ? kt_source_get(item, "name") : NULL;
        size_t len = strlen(name) - 2; /* without brackets */
        if (value && value->kind == KT_SOURCE_SCALAR && value->len == len && strncmp(value->text, name + 1, len) == 0)
            return item;
    }
    return NULL;
}

static const struct kt_source_node *step(const struct kt_source_node *node, const char *name)
{
    if (name[0] == '[')
        return named(node, name);
    return node->kind == KT_SOURCE_MAPPING ? kt_source_get(node, name) : NULL;
}

const struct kt_source_node *kt_yaml_find(const struct kt_source *source, kt_yaml_path path)
{
    const struct kt_source_node *node = kt_source_root(source);
    for (; node && *path; path++)
        node = step(kt_source_follow(node), *path);
    return node ? kt_source_follow(node) : NULL;
}

/* ---- what may be edited ---- */

static bool refuse(const struct kt_source *source, const struct kt_source_node *node, const char *expected,
                   struct kt_error *err)
{
    struct kt_place place = kt_source_place(source, node ? node->span.start : 0);
    kt_fail(err, KT_E_REFUSED, "line %zu: expected %s", place.line, expected);
    return kt_error_hint(err, "%s", hint);
}

static struct kt_source *parse(struct kt_slice text, struct kt_error *err)
{
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = kt_source_parse(text, NULL, err);
    if (!source)
        return NULL;
    struct kt_slice rest = kt_source_text(source);
    size_t end = kt_source_document_end(source);
    bool one = kt_edit_skip_spaces(rest, end) == rest.len || kt_source_text(source).len - end <= strlen("...\n");
    if (!kt_source_root(source) || kt_source_is_json(source) || kt_source_encoding(source) == KT_SOURCE_UTF16 || !one) {
        (void)refuse(source, NULL, "one document of YAML in UTF-8, in block style", err);
        return NULL;
    }
    return KT_TAKE_PTR(source);
}

/* ~, null, nothing, {} or []: what kubeadm writes for "nothing set". */
static bool is_empty(const struct kt_source_node *node)
{
    if (node->kind == KT_SOURCE_SCALAR)
        return node->style == KT_SOURCE_PLAIN &&
               (node->len == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
    return (node->kind == KT_SOURCE_SEQUENCE || node->kind == KT_SOURCE_MAPPING) && node->n_items == 0;
}

static bool is_block(const struct kt_source_node *node)
{
    return (node->kind == KT_SOURCE_SEQUENCE || node->kind == KT_SOURCE_MAPPING) && node->style == KT_SOURCE_BLOCK &&
           node->n_items > 0;
}

/* ---- places ---- */

/* Behind the last line of a node. */
static size_t end_of(struct kt_slice text, const struct kt_source_node *node)
{
    size_t end = node->span.end;
    if (end > node->span.start && kt_edit_break_before(text, end) > 0)
        return end;
    end = kt_edit_line_end(text, end);
    return end + kt_edit_break_len(text, end);
}

/* Where the items of a block list, or the keys of a block mapping, begin in their lines. A byte order mark has no room.
 */
static size_t column_of(struct kt_slice text, const struct kt_source_node *node)
{
    static const uint8_t mark[] = {0xEF, 0xBB, 0xBF};
    const struct kt_source_node *first = node->items[0];
    size_t offset = first->lead != KT_SOURCE_NONE ? first->lead : first->span.start; /* "- item", "? key" */
    bool behind_mark =
        kt_edit_line_start(text, offset) == 0 && text.len >= sizeof(mark) && memcmp(text.data, mark, sizeof(mark)) == 0;
    return kt_edit_column(text, offset) - (behind_mark ? sizeof(mark) : 0);
}

static void add_lines(struct kt_text *out, const char *lines, size_t column, const char *line_break)
{
    while (*lines) {
        size_t len = strcspn(lines, "\n");
        kt_text_add(out, "%*s%.*s%s", (int)column, "", (int)len, lines, line_break);
        lines += len + (lines[len] == '\n');
    }
}

/* A change of the text: [cut.start, cut.end) goes, and at `at`, behind it, the lines come. */
struct change {
    struct kt_span cut;
    size_t at;
};

static bool write_change(const struct kt_source *source, const struct change *change, const struct kt_text *lines,
                         struct kt_bytes *ret, struct kt_error *err)
{
    struct kt_text out;
    struct kt_slice text = kt_source_text(source);
    kt_text_init(&out, EDITED_MAX);
    kt_text_add_bytes(&out, text.data, change->cut.start);
    kt_text_add_bytes(&out, text.data + change->cut.end, change->at - change->cut.end);
    if (lines && change->at > 0 && kt_edit_break_before(text, change->at) == 0)
        kt_text_add(&out, "%s", kt_edit_line_break(source)); /* the last line of the file had none */
    if (lines)
        kt_text_add_bytes(&out, lines->data, lines->len);
    kt_text_add_bytes(&out, text.data + change->at, text.len - change->at);
    bool taken = kt_text_take(&out, ret, err);
    kt_text_done(&out);
    return taken;
}

/* ---- append ---- */

/* path, from a key that is missing in the mapping, or has no value: that key and those below it, and the lines. */
static void add_keys(struct kt_text *out, kt_yaml_path path, size_t column, bool with_first, const char *lines,
                     const char *line_break)
{
    for (bool write = with_first; *path; path++, write = true) {
        if (write)
            kt_text_add(out, "%*s%s:%s", (int)column, "", *path, line_break);
        if (path[1])
            column += INDENT;
    }
    add_lines(out, lines, column + (lines[0] == '-' ? 0 : INDENT), line_break);
}

/* Keys can, items of a name cannot. */
static bool can_be_made(kt_yaml_path path)
{
    while (*path && (*path)[0] != '[')
        path++;
    return !*path;
}

static bool append_to(const struct kt_source *source, const struct kt_source_node *node, kt_yaml_path path,
                      const struct kt_source_node *empty, const char *lines, struct kt_bytes *ret, struct kt_error *err)
{
    struct kt_slice text = kt_source_text(source);
    struct change change = {.at = end_of(text, empty ? empty : node)};
    struct kt_text added;
    const char *line_break = kt_edit_line_break(source);
    if (empty)
        change.cut = (struct kt_span){.start = empty->lead + 1,
                                      .end = empty->span.end > empty->lead ? empty->span.end : empty->lead + 1};
    else
        change.cut = (struct kt_span){.start = change.at, .end = change.at};
    kt_text_init(&added, EDITED_MAX);
    if (*path)
        add_keys(&added, path, column_of(text, node), !empty, lines, line_break);
    else
        add_lines(&added, lines, column_of(text, node), line_break);
    bool written =
        (!added.bad || kt_fail(err, KT_E_NOMEM, "out of memory")) && write_change(source, &change, &added, ret, err);
    kt_text_done(&added);
    return written;
}

static bool append(const struct kt_source *source, kt_yaml_path path, const char *lines, struct kt_bytes *ret,
                   struct kt_error *err)
{
    const struct kt_source_node *node = kt_source_root(source);
    for (; is_block(node); path++) {
        const struct kt_source_node *child = *path ? step(node, *path) : NULL;
        if (!*path && (node->kind == KT_SOURCE_SEQUENCE) != (lines[0] == '-'))
            return refuse(source, node, lines[0] == '-' ? "a list, found a mapping" : "a mapping, found a list", err);
        if (!child && !can_be_made(path))
            return refuse(source, node, *path, err);
        if (!child)
            return append_to(source, node, path, NULL, lines, ret, err);
        if (is_empty(child) && child->lead != KT_SOURCE_NONE && node->kind == KT_SOURCE_MAPPING && can_be_made(path))
            return append_to(source, node, path, child, lines, ret, err);
        node = child;
    }
    return refuse(source, node, "a list or a mapping in block style, found something else", err);
}

/* How many items, or pairs, the path leads to. */
static size_t count(const struct kt_source *source, kt_yaml_path path)
{
    const struct kt_source_node *node = kt_yaml_find(source, path);
    return !node                              ? 0
           : node->kind == KT_SOURCE_SEQUENCE ? node->n_items
           : node->kind == KT_SOURCE_MAPPING  ? node->n_items / 2
                                              : 0;
}

/* What came out is read again: an item that stands elsewhere than it was meant to is no change. */
static bool verify(struct kt_slice after, kt_yaml_path path, size_t expected, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = kt_source_parse(after, NULL, &why);
    if (source && count(source, path) == expected)
        return true;
    kt_fail(err, KT_E_REFUSED, "it cannot be changed without a risk for what else stands there");
    return kt_error_hint(err, "%s", hint);
}

bool kt_yaml_append(struct kt_slice text, kt_yaml_path path, const char *lines, struct kt_bytes *ret,
                    struct kt_error *err)
{
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = parse(text, err);
    struct kt_bytes after = {.data = NULL};
    if (!source || !append(source, path, lines, &after, err))
        return false;
    if (!verify(kt_bytes_view(&after), path, count(source, path) + 1, err)) {
        kt_bytes_done(&after);
        return false;
    }
    *ret = after;
    return true;
}

/* ---- cut ---- */

static bool cut_lines(const struct kt_source *source, size_t start, size_t end, struct kt_bytes *ret,
                      struct kt_error *err)
{
    struct kt_slice text = kt_source_text(source);
    size_t line = kt_edit_line_start(text, start);
    struct change change = {.cut = {.start = line, .end = end}, .at = end};
    if (kt_edit_skip_spaces(text, line) != start)
        return refuse(source, NULL, "each item on lines of its own", err);
    return write_change(source, &change, NULL, ret, err);
}

static bool cut_item(const struct kt_source *source, const struct kt_source_node *node, size_t index,
                     struct kt_bytes *ret, struct kt_error *err)
{
    struct kt_slice text = kt_source_text(source);
    if (node->kind == KT_SOURCE_SEQUENCE)
        return cut_lines(source, node->items[index]->lead, end_of(text, node->items[index]), ret, err);
    const struct kt_source_node *key = node->items[2 * index], *value = node->items[2 * index + 1];
    return cut_lines(source, key->span.start, end_of(text, value->span.end > key->span.end ? value : key), ret, err);
}

static bool cut(const struct kt_source *source, kt_yaml_path path, size_t index, struct kt_bytes *ret,
                struct kt_error *err)
{
    const struct kt_source_node *node = kt_yaml_find(source, path);
    if (!node || !is_block(node))
        return refuse(source, node, "a list or a mapping in block style, found something else", err);
    size_t n = node->kind == KT_SOURCE_SEQUENCE ? node->n_items : node->n_items / 2;
    const struct kt_source_node *parent = node->parent;
    if (index >= n)
        return kt_fail(err, KT_E_INTERNAL, "no item %zu", index);
    if (n > 1 || !parent || parent->kind != KT_SOURCE_MAPPING)
        return cut_item(source, node, index, ret, err);
    return cut_item(source, parent, node->index / 2, ret, err);
}

bool kt_yaml_cut(struct kt_slice text, kt_yaml_path path, size_t index, struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = parse(text, err);
    struct kt_bytes after = {.data = NULL};
    if (!source || !cut(source, path, index, &after, err))
        return false;
    if (!verify(kt_bytes_view(&after), path, count(source, path) - 1, err)) {
        kt_bytes_done(&after);
        return false;
    }
    *ret = after;
    return true;
}
