/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's events say where nodes are, but not where their indicators are. */
#include "encconfig/source_tree.h"

#include <string.h>

#define BLANKS " \t\r\n"

struct scan {
    const uint8_t *text;
    size_t len;
    size_t at;
};

/* A line break beyond ASCII (NEL, LS, PS), in UTF-8. */
static size_t wide_blank(const struct scan *s)
{
    static const char *const blanks[] = {"\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t i = 0; i < KT_ARRAY_LEN(blanks); i++) {
        size_t len = strlen(blanks[i]);
        if (s->len - s->at >= len && memcmp(s->text + s->at, blanks[i], len) == 0)
            return len;
    }
    return 0;
}

static void skip_comment(struct scan *s)
{
    while (s->at < s->len && s->text[s->at] != '\n' && s->text[s->at] != '\r' && wide_blank(s) == 0)
        s->at++;
}

/* White space and comments; a `#` that starts none cannot stand between two nodes. */
static void skip_between(struct scan *s, const char *blanks)
{
    while (s->at < s->len) {
        uint8_t c = s->text[s->at];
        size_t wide = wide_blank(s);
        if (c == '#')
            skip_comment(s);
        else if (c != '\0' && strchr(blanks, c))
            s->at++;
        else if (wide > 0)
            s->at += wide;
        else
            return;
    }
}

size_t kt_source_skip_blanks(const struct kt_source *source, size_t offset)
{
    struct scan s = {.text = source->text, .len = source->text_len, .at = offset};
    skip_between(&s, BLANKS);
    return s.at;
}

static bool is_property(const struct scan *s)
{
    return s->at < s->len && (s->text[s->at] == '&' || s->text[s->at] == '!');
}

/* A tag ends at white space; without <>, flow indicators belong to it. An anchor ends at them too. */
static void skip_property(struct scan *s)
{
    const char *ends = s->text[s->at] == '!' ? BLANKS : BLANKS ",[]{}";
    while (s->at < s->len && !strchr(ends, s->text[s->at]) && wide_blank(s) == 0)
        s->at++;
}

size_t kt_source_property_end(const struct kt_source *source, size_t offset)
{
    struct scan s = {.text = source->text, .len = source->text_len, .at = offset};
    skip_property(&s);
    return s.at;
}

size_t kt_source_skip_properties(const struct kt_source *source, size_t offset, unsigned max)
{
    struct scan s = {.text = source->text, .len = source->text_len, .at = offset};
    for (; max > 0 && is_property(&s); max--) {
        skip_property(&s);
        skip_between(&s, BLANKS);
    }
    return s.at;
}

/* next: what stands behind the node; NULL: nothing. A plain scalar may begin with the character too. */
static bool is_indicator(const struct scan *s, char c, const struct kt_source_node *node,
                         const struct kt_source_node *next)
{
    if (s->at >= s->len || s->text[s->at] != (uint8_t)c)
        return false;
    if (node->span.start == node->span.end)
        return !next || next->span.start != s->at;
    return s->at < node->span.start;
}

static bool is_empty(const struct kt_source_node *node)
{
    return node->kind == KT_SOURCE_SCALAR && node->style == KT_SOURCE_PLAIN && node->span.start == node->span.end;
}

static void move_empty(struct kt_source_node *node, size_t at)
{
    node->span = (struct kt_span){.start = at, .end = at};
    node->body = node->span;
}

static void take_indicator(struct scan *s, char c, struct kt_source_node *node, const struct kt_source_node *next)
{
    size_t behind = s->at;
    skip_between(s, c == '?' ? BLANKS "," : BLANKS);
    if (is_indicator(s, c, node, next)) {
        node->lead = s->at++;
        behind = s->at;
    }
    if (is_empty(node))
        move_empty(node, behind);
    s->at = node->span.end > behind ? node->span.end : behind;
}

static void take_item(struct scan *s, const struct kt_source_node *parent, struct kt_source_node *node,
                      const struct kt_source_node *next)
{
    if (parent->kind == KT_SOURCE_MAPPING)
        take_indicator(s, node->index % 2 == 0 ? '?' : ':', node, next);
    else if (parent->style == KT_SOURCE_BLOCK)
        take_indicator(s, '-', node, next);
    else
        s->at = node->span.end;
}

void kt_source_lay_out(const struct kt_source *source, struct kt_source_node *node, struct kt_source_node **items,
                       size_t n_items, size_t end)
{
    struct scan s = {.text = source->text, .len = source->text_len, .at = node->body.start + (end > 0)};
    for (size_t i = 0; i < n_items; i++)
        take_item(&s, node, items[i], i + 1 < n_items ? items[i + 1] : NULL);
    node->span.end = end > 0 ? end : s.at;
    node->body.end = node->span.end;
}
