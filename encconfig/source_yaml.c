/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's events become a tree; nothing recurses. */
#include "base/secret.h"
#include "encconfig/source_feed.h"
#include "encconfig/source_tree.h"

#include <search.h>
#include <string.h>

/* go-yaml reads so many bytes at once, and judges the encoding of all of them. So that a bad byte in a part which it
 * never comes to is as harmless here, libyaml gets no more at once. */
#define PORTION       512u
#define PORTION_UTF16 256u /* characters, of which most texts have one in a byte here */

struct anchor {
    const char *name;
    const struct kt_source_node *node;
};

struct yaml_builder {
    struct kt_source_builder *b;
    struct kt_feed *feed;
    yaml_parser_t parser;
    bool again; /* the feed has a new stand-in */
    /* libyaml's marks count characters; the last one that was asked for, and its byte. */
    size_t index;
    size_t offset;
    void *anchors; /* tsearch(3) */
};

static int compare_anchors(const void *a, const void *b)
{
    return strcmp(((const struct anchor *)a)->name, ((const struct anchor *)b)->name);
}

static void keep_anchor(void *anchor)
{
    (void)anchor; /* it lives in the tree's memory */
}

static void wipe(void *start, const void *end)
{
    if (start)
        kt_wipe(start, (size_t)((const uint8_t *)end - (const uint8_t *)start));
}

static void yaml_builder_done(struct yaml_builder *y)
{
    tdestroy(y->anchors, keep_anchor);
    wipe(y->parser.raw_buffer.start, y->parser.raw_buffer.end);
    wipe(y->parser.buffer.start, y->parser.buffer.end);
    yaml_parser_delete(&y->parser);
}

static void delete_event(yaml_event_t *event)
{
    if (event->type == YAML_SCALAR_EVENT)
        kt_wipe(event->data.scalar.value, event->data.scalar.length);
    yaml_event_delete(event);
}

/* The byte of the text at which the character of that number starts. */
static size_t offset_of(struct yaml_builder *y, size_t index)
{
    const struct kt_source *source = y->b->source;
    for (; y->index < index && y->offset < source->text_len; y->index++) {
        do
            y->offset++;
        while (y->offset < source->text_len && (source->text[y->offset] & 0xc0) == 0x80);
    }
    for (; y->index > index && y->offset > 0; y->index--) {
        do
            y->offset--;
        while (y->offset > 0 && (source->text[y->offset] & 0xc0) == 0x80);
    }
    return y->offset;
}

static struct kt_span span_of(struct yaml_builder *y, const yaml_event_t *event)
{
    size_t start = offset_of(y, event->start_mark.index);
    return (struct kt_span){.start = start, .end = offset_of(y, event->end_mark.index)};
}

static size_t problem_offset(struct yaml_builder *y)
{
    const struct kt_source *source = y->b->source;
    if (y->parser.error != YAML_READER_ERROR)
        return offset_of(y, y->parser.problem_mark.index);
    return y->parser.problem_offset < source->text_len ? y->parser.problem_offset : source->text_len;
}

/* libyaml stopped at a character that go-yaml would have taken into a tag or a plain scalar. */
static bool is_swap(struct yaml_builder *y)
{
    static const char *const problems[] = {
        "did not find expected whitespace or line break",
        "did not find expected tag URI",
        "found unexpected ':'",
        "found unknown escape character",
    };
    const uint8_t *text = y->b->source->text;
    for (size_t i = 0; y->parser.problem && i < KT_ARRAY_LEN(problems); i++) {
        size_t at = offset_of(y, y->parser.problem_mark.index);
        if (strcmp(y->parser.problem, problems[i]) == 0 && (text[at] != '\\' || text[at + 1] == '\''))
            y->again = kt_feed_swap(y->feed, at);
    }
    return y->again;
}

/* libyaml's own words are fixed texts: they never quote the input. */
static bool fail_syntax(struct yaml_builder *y, struct kt_error *err)
{
    const yaml_parser_t *p = &y->parser;
    char problem[256];
    if (is_swap(y))
        return false;
    if (p->error == YAML_MEMORY_ERROR)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    snprintf(problem, sizeof(problem), "expected YAML: %s%s%s", p->context ? p->context : "", p->context ? ", " : "",
             p->problem ? p->problem : "not valid");
    return kt_source_fail(y->b, problem_offset(y), err, problem);
}

static bool set_text(struct yaml_builder *y, const char **ret, const yaml_char_t *text, struct kt_error *err)
{
    if (!text)
        return true;
    *ret = kt_pool_copy(&y->b->source->pool, text, strlen((const char *)text));
    return *ret || kt_fail(err, KT_E_NOMEM, "out of memory");
}

static bool set_anchor(struct yaml_builder *y, struct kt_source_node *node, const yaml_char_t *name,
                       struct kt_error *err)
{
    if (!name)
        return true;
    if (!set_text(y, &node->anchor, name, err))
        return false;
    struct anchor *anchor = kt_pool_alloc(&y->b->source->pool, sizeof(*anchor));
    if (!anchor)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    *anchor = (struct anchor){.name = node->anchor};
    struct anchor **found = tsearch(anchor, &y->anchors, compare_anchors);
    if (!found)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    (*found)->node = node; /* the last one counts */
    return true;
}

/* libyaml lets a tag end at a flow indicator. go-yaml goes on, or complains of the tag that its > has ended. */
static bool check_tag(struct yaml_builder *y, const struct kt_source_node *node, const yaml_char_t *tag,
                      struct kt_error *err)
{
    const struct kt_slice text = kt_source_text(y->b->source);
    size_t start = node->span.start;
    if (!tag)
        return true;
    if (text.data[start] != '!')
        start = kt_source_skip_properties(y->b->source, start, 1);
    const size_t end = kt_source_property_end(y->b->source, start);
    for (size_t i = start; i < end; i++) {
        bool ends_verbatim = text.data[start + 1] == '<' && text.data[i] == '>';
        if (ends_verbatim && i + 1 < end)
            return kt_source_fail(y->b, i + 1, err, "expected white space behind a tag");
        if (text.data[start + 1] != '<' && text.data[i] != ':' && kt_feed_swap(y->feed, i))
            y->again = true;
    }
    return !y->again;
}

static bool set_properties(struct yaml_builder *y, struct kt_source_node *node, const yaml_char_t *anchor,
                           const yaml_char_t *tag, struct kt_error *err)
{
    unsigned n = (anchor ? 1u : 0u) + (tag ? 1u : 0u);
    /* A block mapping may begin with properties of its first key; nothing else begins like one. libyaml keeps quiet
     * about the tag `!` of a scalar. */
    if (node->kind != KT_SOURCE_MAPPING || node->style == KT_SOURCE_FLOW)
        n = 2;
    node->body.start = kt_source_skip_properties(y->b->source, node->span.start, n);
    if (node->body.start > node->body.end)
        node->body.start = node->body.end;
    return check_tag(y, node, tag, err) && set_anchor(y, node, anchor, err) && set_text(y, &node->tag, tag, err);
}

static bool in_flow(const struct kt_source_node *node)
{
    while (node && node->style != KT_SOURCE_FLOW)
        node = node->parent;
    return node;
}

/* libyaml bears a `?` in a plain scalar in flow style, go-yaml takes it for the start of a key, and there cannot be
 * one. */
static bool check_question(struct yaml_builder *y, const struct kt_source_node *node, struct kt_error *err)
{
    const struct kt_slice text = kt_source_text(y->b->source);
    if (node->style != KT_SOURCE_PLAIN || !memchr(node->text, '?', node->len) || !in_flow(node->parent))
        return true;
    const uint8_t *mark = memchr(text.data + node->body.start, '?', node->body.end - node->body.start);
    return kt_source_fail(y->b, (size_t)(mark - text.data), err, "expected a comma or the end of a flow collection");
}

/* libyaml knows the escape \/ of JSON, go-yaml does not. */
static bool check_escapes(struct yaml_builder *y, const struct kt_source_node *node, struct kt_error *err)
{
    const struct kt_slice text = kt_source_text(y->b->source);
    for (size_t i = node->body.start; node->style == KT_SOURCE_DOUBLE && i + 1 < node->body.end; i++) {
        if (text.data[i] == '\\' && text.data[i + 1] == '/')
            return kt_source_fail(y->b, i, err, "expected an escape of YAML 1.1, found \\/");
        i += text.data[i] == '\\';
    }
    return true;
}

static bool take_scalar(struct yaml_builder *y, const yaml_event_t *event, struct kt_error *err)
{
    static const enum kt_source_style styles[] = {
        [YAML_PLAIN_SCALAR_STYLE] = KT_SOURCE_PLAIN,          [YAML_SINGLE_QUOTED_SCALAR_STYLE] = KT_SOURCE_SINGLE,
        [YAML_DOUBLE_QUOTED_SCALAR_STYLE] = KT_SOURCE_DOUBLE, [YAML_LITERAL_SCALAR_STYLE] = KT_SOURCE_LITERAL,
        [YAML_FOLDED_SCALAR_STYLE] = KT_SOURCE_FOLDED,
    };
    struct kt_source_node *node = kt_source_add(y->b, KT_SOURCE_SCALAR, span_of(y, event), err);
    if (!node)
        return false;
    node->style = styles[event->data.scalar.style];
    node->implicit = event->data.scalar.plain_implicit;
    node->len = event->data.scalar.length;
    char *text = kt_pool_copy(&y->b->source->pool, event->data.scalar.value, node->len);
    if (!text)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    node->len = kt_feed_restore(y->feed, text, node->len);
    node->text = text;
    return set_properties(y, node, event->data.scalar.anchor, event->data.scalar.tag, err) &&
           check_question(y, node, err) && check_escapes(y, node, err);
}

static bool take_alias(struct yaml_builder *y, const yaml_event_t *event, struct kt_error *err)
{
    struct anchor wanted = {.name = (const char *)event->data.alias.anchor};
    struct anchor **found = tfind(&wanted, &y->anchors, compare_anchors);
    if (!found)
        return kt_source_fail(y->b, offset_of(y, event->start_mark.index), err,
                              "expected the name of an anchor before it, found an alias without one");
    struct kt_source_node *node = kt_source_add(y->b, KT_SOURCE_ALIAS, span_of(y, event), err);
    if (!node)
        return false;
    node->target = (*found)->node;
    node->len = strlen((*found)->name);
    node->text = (*found)->name;
    return true;
}

static bool take_sequence(struct yaml_builder *y, const yaml_event_t *event, struct kt_error *err)
{
    struct kt_source_node *node = kt_source_add(y->b, KT_SOURCE_SEQUENCE, span_of(y, event), err);
    if (!node)
        return false;
    node->style = event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE ? KT_SOURCE_FLOW : KT_SOURCE_BLOCK;
    return set_properties(y, node, event->data.sequence_start.anchor, event->data.sequence_start.tag, err) &&
           kt_source_open(y->b, node, err);
}

static bool take_mapping(struct yaml_builder *y, const yaml_event_t *event, struct kt_error *err)
{
    struct kt_source_node *node = kt_source_add(y->b, KT_SOURCE_MAPPING, span_of(y, event), err);
    if (!node)
        return false;
    node->style = event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE ? KT_SOURCE_FLOW : KT_SOURCE_BLOCK;
    return set_properties(y, node, event->data.mapping_start.anchor, event->data.mapping_start.tag, err) &&
           kt_source_open(y->b, node, err);
}

/* A collection without brackets ends by an event that has no width. */
static bool take_end(struct yaml_builder *y, const yaml_event_t *event, struct kt_error *err)
{
    bool has_bracket = event->end_mark.index > event->start_mark.index;
    return kt_source_close(y->b, has_bracket ? offset_of(y, event->end_mark.index) : 0, err);
}

static bool take_document(struct yaml_builder *y, const yaml_event_t *event, struct kt_error *err)
{
    const yaml_version_directive_t *version = event->data.document_start.version_directive;
    if (version && (version->major != 1 || version->minor != 1))
        return kt_source_fail(y->b, offset_of(y, event->start_mark.index), err,
                              "expected YAML 1.1, found a directive for another version");
    return true;
}

static bool has_any(struct kt_slice text, const char *characters)
{
    for (; *characters; characters++)
        if (text.len > 0 && memchr(text.data, *characters, text.len))
            return true;
    return false;
}

/* go-yaml has looked at the next tokens too when it ends a document, and finds errors there that libyaml does not: of
 * tags in flow style, and of a `?` in a plain scalar. */
static bool take_document_end(struct yaml_builder *y, const yaml_event_t *event, struct kt_error *err)
{
    struct kt_slice rest = kt_source_text(y->b->source);
    size_t end = offset_of(y, event->start_mark.index);
    y->b->source->document_end = end;
    size_t next = kt_source_skip_blanks(y->b->source, end);
    rest = KT_SLICE(rest.data + next, rest.len - next);
    bool has_mark = rest.len >= 3 && (memcmp(rest.data, "---", 3) == 0 || memcmp(rest.data, "...", 3) == 0);
    if (has_mark || (rest.len > 0 && rest.data[0] == '%') || !has_any(rest, "[{") || !has_any(rest, "!?"))
        return true;
    return kt_source_fail(y->b, next, err, "expected the end of the document, or --- before another one");
}

static bool take_event(struct yaml_builder *y, const yaml_event_t *event, struct kt_error *err)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return take_document(y, event, err);
    case YAML_SCALAR_EVENT:
        return take_scalar(y, event, err);
    case YAML_ALIAS_EVENT:
        return take_alias(y, event, err);
    case YAML_SEQUENCE_START_EVENT:
        return take_sequence(y, event, err);
    case YAML_MAPPING_START_EVENT:
        return take_mapping(y, event, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return take_end(y, event, err);
    case YAML_DOCUMENT_END_EVENT:
        return take_document_end(y, event, err);
    default:
        return true;
    }
}

static bool take_events(struct yaml_builder *y, struct kt_error *err)
{
    for (;;) {
        KT_CLEANUP(delete_event) yaml_event_t event = {.type = YAML_NO_EVENT};
        if (!yaml_parser_parse(&y->parser, &event))
            return fail_syntax(y, err);
        if (!take_event(y, &event, err))
            return false;
        if (event.type == YAML_DOCUMENT_END_EVENT || event.type == YAML_STREAM_END_EVENT)
            return true;
    }
}

/* go-yaml looks for the mark behind the byte order mark again at each line, and takes what it finds instead for a
 * blank. */
static bool check_marks(const struct kt_source_builder *b, struct kt_error *err)
{
    static const char marks[] = "\xef\xbb\xbf\xef\xbb\xbf";
    const struct kt_slice text = kt_source_text(b->source);
    if (text.len < 6 || memcmp(text.data, marks, 6) != 0)
        return true;
    for (size_t i = 6; i + 1 < text.len; i++)
        if ((text.data[i] == '\n' || text.data[i] == '\r') && !strchr(" \r\n", text.data[i + 1]))
            return kt_source_fail(b, 3, err, "expected one byte order mark, found two");
    return true;
}

static bool parse_once(struct kt_source_builder *b, struct kt_feed *feed, bool *ret_again, struct kt_error *err)
{
    KT_CLEANUP(yaml_builder_done) struct yaml_builder y = {.b = b, .feed = feed, .offset = feed->first};
    kt_source_builder_reset(b);
    if (!yaml_parser_initialize(&y.parser))
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    kt_feed_start(feed, &y.parser);
    bool done = take_events(&y, err);
    *ret_again = y.again;
    return done;
}

bool kt_source_parse_yaml(struct kt_source_builder *b, struct kt_error *err)
{
    const struct kt_source *source = b->source;
    KT_CLEANUP(kt_free_p) struct kt_feed *feed = malloc(sizeof(*feed));
    bool again = false;
    bool done = false;
    if (!feed)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!check_marks(b, err))
        return false;
    if (!kt_feed_init(feed, kt_source_text(source), source->encoding == KT_SOURCE_UTF8_BOM ? 3 : 0,
                      source->encoding == KT_SOURCE_UTF16 ? PORTION_UTF16 : PORTION))
        return kt_source_fail(b, 0, err, "expected fewer kinds of private characters");
    do
        done = parse_once(b, feed, &again, err);
    while (!done && again);
    return done;
}
