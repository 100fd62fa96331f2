/* SPDX-License-Identifier: Apache-2.0 */
/* A new item of a list, written as the items beside it are. */
#include "encconfig/edit_parts.h"

#include <string.h>

#define LEVELS_MAX     8u
#define INDENT_DEFAULT 2u
#define INDENT_MAX     32u

struct style {
    bool is_json;
    bool is_block;
    bool quotes_keys;
    enum kt_source_style scalars;
    /* In brackets. */
    bool has_blanks;     /* behind colons and commas */
    bool has_inner;      /* { so } */
    bool has_lines;      /* one member a line */
    struct kt_span base; /* the white space before the item's first line */
    struct kt_span unit; /* what each level adds; empty: two blanks */
    /* In block style. */
    const char *line_break;
    size_t gap;     /* from a dash to what it leads */
    size_t step;    /* from a key to the keys below it */
    size_t dash_in; /* from a key to the dashes below it */
};

struct level {
    size_t indent; /* block: the column of its keys or dashes */
    bool is_first;
};

struct writer {
    struct kt_slice text;
    const struct style *style;
    struct kt_render_out *out;
    struct level levels[LEVELS_MAX];
    size_t depth;
    bool after_dash;
};

/* The item that shows the style: one that holds more than identity does, or any. */
static const struct kt_source_node *pick_model(const struct kt_splice *splice)
{
    const struct kt_source_node *found = NULL;
    for (size_t i = 0; i < splice->seq->n_items; i++) {
        const struct kt_source_node *item = splice->seq->items[i];
        if (item->kind != KT_SOURCE_MAPPING || item->n_items < 2)
            continue;
        if (item->items[1]->n_items > 0 || splice->is_keys)
            return item;
        found = found ? found : item;
    }
    return found;
}

static size_t within(size_t value, size_t low, size_t fallback)
{
    return value >= low && value <= INDENT_MAX ? value : fallback;
}

static size_t distance(struct kt_slice text, const struct kt_source_node *from, const struct kt_source_node *to)
{
    return kt_edit_column(text, to->span.start) - kt_edit_column(text, from->span.start);
}

/* From the key of a list to its dashes. */
static size_t dash_distance(struct kt_slice text, const struct kt_source_node *seq)
{
    if (!seq || seq->style != KT_SOURCE_BLOCK || seq->n_items == 0 || !seq->parent ||
        seq->parent->kind != KT_SOURCE_MAPPING)
        return SIZE_MAX;
    const struct kt_source_node *key = seq->parent->items[seq->index - 1];
    return kt_edit_column(text, seq->items[0]->lead) - kt_edit_column(text, key->span.start);
}

/* A list of keys in block style within the list, or NULL. */
static const struct kt_source_node *find_keys(const struct kt_splice *splice)
{
    for (size_t i = 0; i < splice->seq->n_items; i++) {
        const struct kt_source_node *item = splice->seq->items[i];
        const struct kt_source_node *fields =
            item->kind == KT_SOURCE_MAPPING && item->n_items > 1 ? item->items[1] : NULL;
        if (fields && fields->kind == KT_SOURCE_MAPPING && fields->n_items > 1 &&
            fields->items[1]->kind == KT_SOURCE_SEQUENCE && fields->items[1]->style == KT_SOURCE_BLOCK)
            return fields->items[1];
    }
    return NULL;
}

static void style_block(struct kt_slice text, const struct kt_splice *splice, const struct kt_source_node *model,
                        struct style *style)
{
    const struct kt_source_node *fields = model && !splice->is_keys ? model->items[1] : NULL;
    bool has_fields = fields && fields->kind == KT_SOURCE_MAPPING && fields->style == KT_SOURCE_BLOCK;
    bool on_line = model && model->style == KT_SOURCE_BLOCK &&
                   kt_edit_line_end(text, model->lead) > model->span.start && model->span.start == model->body.start;
    style->gap = within(on_line ? model->span.start - model->lead - 1 : 0, 1, 1);
    style->step = within(has_fields ? distance(text, model, fields->items[0]) : 0, 1, INDENT_DEFAULT);
    style->dash_in =
        within(dash_distance(text, find_keys(splice)), 0, within(dash_distance(text, splice->seq), 0, INDENT_DEFAULT));
}

static struct kt_span indentation(struct kt_slice text, size_t offset)
{
    struct kt_span span = {.start = kt_edit_line_start(text, offset)};
    for (span.end = span.start; span.end < offset && (text.data[span.end] == ' ' || text.data[span.end] == '\t');)
        span.end++;
    return span;
}

static void style_flow(struct kt_slice text, const struct kt_source_node *model, struct style *style)
{
    size_t first = model->items[0]->span.start;
    struct kt_span inner = indentation(text, first);
    style->has_blanks = model->items[1]->lead != KT_SOURCE_NONE && text.data[model->items[1]->lead + 1] == ' ';
    style->has_inner = text.data[model->body.start + 1] == ' ';
    style->has_lines = kt_edit_line_end(text, model->body.start) < model->body.end;
    style->base = indentation(text, model->span.start);
    size_t base = style->base.end - style->base.start;
    if (inner.end == first && inner.end - inner.start > base)
        style->unit = (struct kt_span){.start = inner.start + base, .end = inner.end};
}

/* The style of a name. */
static enum kt_source_style scalar_style(const struct kt_source_node *model, bool is_key)
{
    const struct kt_source_node *node = model && !is_key ? model->items[1] : model;
    const struct kt_source_node *keys = node ? kt_source_get(node, "keys") : NULL;
    if (keys && kt_source_follow(keys)->n_items > 0)
        node = kt_source_follow(keys)->items[0];
    node = node ? kt_source_get(node, "name") : NULL;
    bool is_quoted = node && (node->style == KT_SOURCE_SINGLE || node->style == KT_SOURCE_DOUBLE);
    return is_quoted ? node->style : KT_SOURCE_PLAIN;
}

static struct style find_style(const struct kt_source *source, const struct kt_splice *splice)
{
    struct kt_slice text = kt_source_text(source);
    const struct kt_source_node *model = pick_model(splice);
    struct style style = {.is_json = kt_source_is_json(source),
                          .is_block =
                              splice->seq->style == KT_SOURCE_BLOCK && (!model || model->style == KT_SOURCE_BLOCK),
                          .has_blanks = true,
                          .scalars = scalar_style(model, splice->is_keys),
                          .line_break = kt_edit_line_break(source)};
    style.quotes_keys = style.is_json || (model && model->items[0]->style == KT_SOURCE_DOUBLE);
    style_block(text, splice, model, &style);
    if (model && model->style == KT_SOURCE_FLOW && text.data[model->body.start] == '{')
        style_flow(text, model, &style);
    return style;
}

bool kt_splice_has_blanks(const struct kt_source *source, const struct kt_splice *splice)
{
    return find_style(source, splice).has_blanks;
}

static void put_span(const struct writer *w, struct kt_span span)
{
    kt_render_put_bytes(w->out, w->text.data + span.start, span.end - span.start);
}

static void put_blanks(const struct writer *w, size_t n)
{
    for (; n > 0; n--)
        kt_render_put(w->out, " ");
}

static void put_indented_line(const struct writer *w, size_t depth)
{
    const struct kt_span unit = w->style->unit;
    kt_render_put(w->out, w->style->line_break);
    put_span(w, w->style->base);
    for (; depth > 0; depth--) {
        if (unit.end > unit.start)
            put_span(w, unit);
        else
            put_blanks(w, INDENT_DEFAULT);
    }
}

static void begin_flow(struct writer *w, bool is_map)
{
    struct level *level = &w->levels[w->depth - 1];
    if (!level->is_first)
        kt_render_put(w->out, ",");
    if (w->style->has_lines)
        put_indented_line(w, w->depth);
    else if (level->is_first ? is_map && w->style->has_inner : w->style->has_blanks)
        kt_render_put(w->out, " ");
    level->is_first = false;
}

static void begin_block(struct writer *w)
{
    if (!w->after_dash) {
        kt_render_put(w->out, w->style->line_break);
        put_blanks(w, w->levels[w->depth - 1].indent);
    }
    w->after_dash = false;
}

static void begin(struct writer *w, bool is_map)
{
    if (w->style->is_block)
        begin_block(w);
    else
        begin_flow(w, is_map);
}

static void open_map(struct writer *w)
{
    const struct level *outer = &w->levels[w->depth > 0 ? w->depth - 1 : 0];
    size_t more = w->after_dash ? 1 + w->style->gap : w->style->step;
    w->levels[w->depth++] = (struct level){.indent = outer->indent + more, .is_first = true};
    if (!w->style->is_block)
        kt_render_put(w->out, "{");
}

static void open_list(struct writer *w)
{
    w->levels[w->depth] =
        (struct level){.indent = w->levels[w->depth - 1].indent + w->style->dash_in, .is_first = true};
    w->depth++;
    if (!w->style->is_block)
        kt_render_put(w->out, "[");
}

static void close_it(struct writer *w, char bracket)
{
    const char text[] = {bracket, '\0'};
    w->depth--;
    if (w->style->is_block)
        return;
    if (w->style->has_lines)
        put_indented_line(w, w->depth);
    else if (bracket == '}' && w->style->has_inner)
        kt_render_put(w->out, " ");
    kt_render_put(w->out, text);
}

static void put_dash(struct writer *w)
{
    kt_render_put(w->out, "-");
    put_blanks(w, w->style->gap);
    w->after_dash = true;
}

static void put_item(struct writer *w)
{
    begin(w, false);
    if (w->style->is_block)
        put_dash(w);
}

static void put_key(struct writer *w, const char *key)
{
    begin(w, true);
    if (w->style->quotes_keys)
        kt_render_put_json(w->out, key);
    else
        kt_render_put(w->out, key);
    kt_render_put(w->out, ":");
    if (!w->style->is_block && w->style->has_blanks)
        kt_render_put(w->out, " ");
}

static bool is_printable_ascii(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~' || *text == '\'')
            return false;
    return true;
}

static void put_single(struct kt_render_out *out, const char *text)
{
    kt_render_put(out, "'");
    kt_render_put(out, text);
    kt_render_put(out, "'");
}

/* Behind a key. A colon in a plain scalar may end it in brackets. */
static void put_text(struct writer *w, const char *text)
{
    const struct style *style = w->style;
    if (style->is_block)
        kt_render_put(w->out, " ");
    if (style->is_json)
        kt_render_put_json(w->out, text);
    else if (style->scalars == KT_SOURCE_SINGLE && is_printable_ascii(text))
        put_single(w->out, text);
    else if (style->scalars == KT_SOURCE_PLAIN && (style->is_block || !strchr(text, ':')))
        kt_render_put_yaml(w->out, text);
    else
        kt_render_put_quoted(w->out, text);
}

/* A word of ours that reads as text. */
static void put_word(struct writer *w, const char *word)
{
    if (w->style->is_json || w->style->scalars != KT_SOURCE_PLAIN) {
        put_text(w, word);
        return;
    }
    kt_render_put(w->out, w->style->is_block ? " " : "");
    kt_render_put(w->out, word);
}

/* Base64 that ends in = reads as a number in no version of YAML. */
static const char *secret_quote(const struct style *style, const struct kt_secret *bytes)
{
    if (style->scalars == KT_SOURCE_PLAIN && !style->is_json && kt_secret_len(bytes) % 3 != 0 &&
        kt_secret_len(bytes) > 3)
        return "";
    return style->scalars == KT_SOURCE_SINGLE ? "'" : "\"";
}

static void put_secret(struct writer *w, const struct kt_secret *bytes)
{
    const char *quote = secret_quote(w->style, bytes);
    if (w->style->is_block)
        kt_render_put(w->out, " ");
    kt_render_put(w->out, quote);
    kt_render_put_base64(w->out, bytes);
    kt_render_put(w->out, quote);
}

static void put_inline_key(struct writer *w, const struct kt_encconfig_item *item)
{
    open_map(w);
    put_key(w, "name");
    put_text(w, item->name);
    put_key(w, "secret");
    put_secret(w, item->bytes);
    close_it(w, '}');
}

static void put_keys(struct writer *w, const struct kt_slot *slot)
{
    open_map(w);
    put_key(w, "keys");
    open_list(w);
    for (size_t i = 0; i < slot->n_items; i++) {
        put_item(w);
        put_inline_key(w, &slot->items[i]);
    }
    close_it(w, ']');
    close_it(w, '}');
}

static void put_kms(struct writer *w, const struct kt_encconfig_item *item)
{
    open_map(w);
    put_key(w, "apiVersion");
    put_word(w, "v2");
    put_key(w, "name");
    put_text(w, item->name);
    put_key(w, "endpoint");
    put_text(w, item->endpoint);
    put_key(w, "timeout");
    put_word(w, "3s");
    close_it(w, '}');
}

static void put_provider(struct writer *w, const struct kt_slot *slot)
{
    open_map(w);
    put_key(w, kt_encconfig_type_text(slot->items[0].type));
    if (slot->items[0].type == KT_ENCCONFIG_IDENTITY)
        kt_render_put(w->out, w->style->is_block ? " {}" : "{}");
    else if (slot->items[0].type == KT_ENCCONFIG_KMS)
        put_kms(w, &slot->items[0]);
    else
        put_keys(w, slot);
    close_it(w, '}');
}

void kt_splice_write_new(const struct kt_source *source, const struct kt_splice *splice, const struct kt_slot *slot,
                         struct kt_render_out *out)
{
    const struct style style = find_style(source, splice);
    struct writer w = {.text = kt_source_text(source), .style = &style, .out = out};
    if (splice->seq->style == KT_SOURCE_BLOCK) {
        w.levels[0].indent = kt_edit_column(w.text, splice->seq->items[0]->lead);
        put_blanks(&w, w.levels[0].indent);
        put_dash(&w);
        w.after_dash = style.is_block;
    }
    if (splice->is_keys)
        put_inline_key(&w, slot->items);
    else
        put_provider(&w, slot);
}
