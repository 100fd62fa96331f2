/* SPDX-License-Identifier: Apache-2.0 */
/* Which bytes belong to each item of a sequence, and how its items are put together anew. */
#include "encconfig/edit_parts.h"

#include <string.h>

struct layout {
    const struct kt_encconfig *config;
    size_t entry;
    struct kt_slice text;
    const struct kt_splice *splice;
    struct kt_error *err;
};

static bool refuse(const struct layout *l, const struct kt_source_node *node, const char *text)
{
    kt_edit_refuse(l->config, l->entry, node, l->err, text);
    return kt_error_hint(l->err, "%s", kt_edit_by_hand);
}

static bool is_comment(struct kt_slice text, size_t line)
{
    size_t at = kt_edit_skip_spaces(text, line);
    return at < text.len && text.data[at] == '#';
}

static size_t next_line(struct kt_slice text, size_t offset)
{
    size_t end = kt_edit_line_end(text, offset);
    return end + kt_edit_break_len(text, end);
}

/* Behind the item's last line, and behind the comments below it that are deeper than its dash. */
static bool item_end(const struct layout *l, const struct kt_source_node *item, size_t *ret)
{
    size_t dash = kt_edit_column(l->text, item->lead);
    size_t end = item->span.end > item->lead ? item->span.end : item->lead + 1;
    if (kt_edit_break_before(l->text, end) == 0) {
        while (end < l->text.len && (l->text.data[end] == ' ' || l->text.data[end] == '\t'))
            end++;
        if (end < l->text.len && l->text.data[end] != '#' && kt_edit_break_len(l->text, end) == 0)
            return refuse(l, item, "expected the end of the line behind an item, found more");
        end = next_line(l->text, end);
    }
    while (is_comment(l->text, end) && kt_edit_column(l->text, kt_edit_skip_spaces(l->text, end)) > dash)
        end = next_line(l->text, end);
    *ret = end;
    return true;
}

/* The comments right above the first item are its own. */
static size_t first_start(const struct layout *l, size_t line)
{
    while (line > 0) {
        size_t above = kt_edit_line_start(l->text, line - kt_edit_break_before(l->text, line));
        if (!is_comment(l->text, above))
            break;
        line = above;
    }
    return line;
}

static bool lay_out_block(const struct layout *l, struct kt_span *regions)
{
    const struct kt_source_node *seq = l->splice->seq;
    size_t end = 0;
    for (size_t i = 0; i < seq->n_items; i++) {
        const struct kt_source_node *item = seq->items[i];
        size_t line = kt_edit_line_start(l->text, item->lead);
        if (kt_edit_skip_spaces(l->text, line) != item->lead || line < end)
            return refuse(l, item, "expected each item on lines of its own, found more on one line");
        regions[i].start = i == 0 ? first_start(l, line) : end;
        if (!item_end(l, item, &end))
            return false;
        regions[i].end = end - kt_edit_break_before(l->text, end);
    }
    return true;
}

static bool has_comment(const struct layout *l, size_t start, size_t end)
{
    return memchr(l->text.data + start, '#', end - start);
}

static bool lay_out_flow(const struct layout *l, struct kt_span *regions)
{
    const struct kt_source_node *seq = l->splice->seq;
    size_t end = seq->body.start;
    for (size_t i = 0; i <= seq->n_items; i++) {
        size_t next = i < seq->n_items ? seq->items[i]->span.start : seq->body.end;
        if (has_comment(l, end, next)) {
            kt_edit_refuse(l->config, l->entry, seq, l->err,
                           "expected no comment between items in brackets, found one");
            return kt_error_hint(l->err, "write the list without brackets, one item a line, or without comments");
        }
        if (i == seq->n_items)
            break;
        regions[i] = seq->items[i]->span;
        end = regions[i].end;
    }
    return true;
}

static bool lay_out_one(const struct kt_edit_plan *plan, size_t entry, struct kt_splice *splice, struct kt_error *err)
{
    const struct layout l = {.config = plan->config,
                             .entry = entry,
                             .text = kt_source_text(plan->config->source),
                             .splice = splice,
                             .err = err};
    const struct kt_source_node *seq = splice->seq;
    struct kt_span *regions = kt_pool_alloc(plan->pool, seq->n_items * sizeof(*regions));
    if (!regions)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!(seq->style == KT_SOURCE_BLOCK ? lay_out_block(&l, regions) : lay_out_flow(&l, regions)))
        return false;
    splice->regions = regions;
    splice->span = (struct kt_span){.start = regions[0].start, .end = regions[seq->n_items - 1].end};
    return true;
}

bool kt_splice_lay_out(const struct kt_edit_plan *plan, size_t entry, struct kt_splice *splice, struct kt_error *err)
{
    for (size_t i = 0; i < splice->n_slots; i++)
        if (splice->slots[i].inner && !lay_out_one(plan, entry, splice->slots[i].inner, err))
            return false;
    return lay_out_one(plan, entry, splice, err);
}

static void put_range(struct kt_slice text, size_t start, size_t end, struct kt_render_out *out)
{
    kt_render_put_bytes(out, text.data + start, end - start);
}

static void put_slot(const struct kt_source *source, const struct kt_splice *splice, const struct kt_slot *slot,
                     struct kt_render_out *out)
{
    struct kt_slice text = kt_source_text(source);
    if (slot->old == KT_SOURCE_NONE) {
        kt_splice_write_new(source, splice, slot, out);
        return;
    }
    struct kt_span region = splice->regions[slot->old];
    if (slot->inner) {
        put_range(text, region.start, slot->inner->span.start, out);
        kt_splice_write(source, slot->inner, out);
        region.start = slot->inner->span.end;
    }
    put_range(text, region.start, region.end, out);
}

static void put_line_break(const struct kt_source *source, const struct kt_splice *splice, const struct kt_slot *slot,
                           struct kt_render_out *out)
{
    struct kt_slice text = kt_source_text(source);
    size_t end = slot->old == KT_SOURCE_NONE ? text.len : splice->regions[slot->old].end;
    size_t len = kt_edit_break_len(text, end);
    if (len > 0)
        put_range(text, end, end + len, out);
    else
        kt_render_put(out, kt_edit_line_break(source));
}

/* Between items in brackets, by place: what stands there now, or as between the last two, or as before the only one. */
static void put_comma(const struct kt_source *source, const struct kt_splice *splice, size_t i,
                      struct kt_render_out *out)
{
    struct kt_slice text = kt_source_text(source);
    const struct kt_source_node *seq = splice->seq;
    if (seq->n_items > 1) {
        size_t k = i + 1 < seq->n_items ? i : seq->n_items - 2;
        put_range(text, splice->regions[k].end, splice->regions[k + 1].start, out);
        return;
    }
    size_t start = seq->body.start + 1;
    kt_render_put(out, ",");
    if (kt_edit_line_end(text, start) < splice->regions[0].start)
        put_range(text, start, splice->regions[0].start, out);
    else if (kt_splice_has_blanks(source, splice))
        kt_render_put(out, " ");
}

void kt_splice_write(const struct kt_source *source, const struct kt_splice *splice, struct kt_render_out *out)
{
    for (size_t i = 0; i < splice->n_slots; i++) {
        put_slot(source, splice, &splice->slots[i], out);
        if (i + 1 == splice->n_slots)
            break;
        if (splice->seq->style == KT_SOURCE_BLOCK)
            put_line_break(source, splice, &splice->slots[i], out);
        else
            put_comma(source, splice, i, out);
    }
}
