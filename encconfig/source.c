/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"
#include "encconfig/source_tree.h"

#include <string.h>

static const uint8_t utf8_mark[] = {0xef, 0xbb, 0xbf};

void kt_source_free(struct kt_source *source)
{
    if (!source)
        return;
    kt_pool_done(&source->pool);
    if (source->text)
        kt_wipe(source->text, source->text_len);
    free(source->text);
    free(source);
}

bool kt_source_fail(const struct kt_source_builder *b, size_t offset, struct kt_error *err, const char *problem)
{
    struct kt_place place = kt_source_place(b->source, offset);
    if (b->ret_place)
        *b->ret_place = place;
    return kt_fail(err, KT_E_CONFIG, "line %zu, column %zu: %s", place.line, place.column, problem);
}

static bool hang(struct kt_source_builder *b, struct kt_source_node *node, struct kt_error *err)
{
    if (b->depth == 0) {
        b->source->root = node;
        return true;
    }
    if (b->n_pending == b->cap_pending) {
        size_t cap = b->cap_pending ? 2 * b->cap_pending : 64;
        struct kt_source_node **more = reallocarray(b->pending, cap, sizeof(struct kt_source_node *));
        if (!more)
            return kt_fail(err, KT_E_NOMEM, "out of memory");
        b->pending = more;
        b->cap_pending = cap;
    }
    node->parent = b->open[b->depth - 1];
    node->index = b->n_pending - b->first[b->depth - 1];
    b->pending[b->n_pending++] = node;
    return true;
}

struct kt_source_node *kt_source_add(struct kt_source_builder *b, enum kt_source_kind kind, struct kt_span span,
                                     struct kt_error *err)
{
    if (b->n_nodes == KT_SOURCE_NODES_MAX) {
        (void)kt_source_fail(b, span.start, err, "expected fewer values, found too many");
        return NULL;
    }
    struct kt_source_node *node = kt_pool_alloc(&b->source->pool, sizeof(*node));
    if (!node) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    b->n_nodes++;
    node->kind = kind;
    node->span = span;
    node->body = span;
    node->lead = KT_SOURCE_NONE;
    return hang(b, node, err) ? node : NULL;
}

bool kt_source_open(struct kt_source_builder *b, struct kt_source_node *node, struct kt_error *err)
{
    if (b->depth == KT_SOURCE_DEPTH_MAX)
        return kt_source_fail(b, node->span.start, err, "expected less nesting, found it too deep");
    b->open[b->depth] = node;
    b->first[b->depth++] = b->n_pending;
    return true;
}

bool kt_source_close(struct kt_source_builder *b, size_t end, struct kt_error *err)
{
    struct kt_source_node *node = b->open[--b->depth];
    size_t n = b->n_pending - b->first[b->depth];
    struct kt_source_node **items = n > 0 ? b->pending + b->first[b->depth] : NULL;
    b->n_pending = b->first[b->depth];
    if (n > 0) {
        struct kt_source_node **copy = kt_pool_alloc(&b->source->pool, n * sizeof(struct kt_source_node *));
        if (!copy)
            return kt_fail(err, KT_E_NOMEM, "out of memory");
        memcpy(copy, items, n * sizeof(struct kt_source_node *));
        node->items = (const struct kt_source_node *const *)copy;
        node->n_items = n;
    }
    if (b->source->is_json)
        node->span.end = node->body.end = end;
    else
        kt_source_lay_out(b->source, node, items, n, end);
    return true;
}

void kt_source_builder_reset(struct kt_source_builder *b)
{
    kt_pool_done(&b->source->pool);
    b->source->root = NULL;
    b->n_nodes = 0;
    b->n_pending = 0;
    b->depth = 0;
}

void kt_source_builder_done(struct kt_source_builder *b)
{
    free(b->pending);
    b->pending = NULL;
}

/* What Go's unicode.IsSpace takes for white space beyond ASCII, in UTF-8. */
static size_t wide_space(const uint8_t *at)
{
    static const char *const spaces[] = {
        "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83",
        "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a",
        "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(spaces); i++) {
        size_t len = strlen(spaces[i]);
        if (strncmp((const char *)at, spaces[i], len) == 0)
            return len;
    }
    return 0;
}

static bool looks_like_json(const uint8_t *text)
{
    while (*text) {
        size_t wide = (*text == ' ' || (*text >= '\t' && *text <= '\r')) ? 1 : wide_space(text);
        if (wide == 0)
            break;
        text += wide;
    }
    return *text == '{';
}

size_t kt_source_put_utf8(uint8_t *ret, uint32_t character)
{
    static const uint8_t leads[] = {0, 0xc0, 0xe0, 0xf0};
    if (character < 0x80) {
        ret[0] = (uint8_t)character;
        return 1;
    }
    size_t more = character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
    ret[0] = (uint8_t)(leads[more] | character >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        ret[i] = (uint8_t)(0x80 | (character >> (6 * (more - i)) & 0x3f));
    return more + 1;
}

/* What is no UTF-16 becomes a byte that is no UTF-8: whoever reads as far as that refuses it. */
static bool to_utf8(struct kt_source *source, struct kt_slice file, struct kt_error *err)
{
    const unsigned high = file.data[0] == 0xfe ? 0 : 1;
    source->encoding = KT_SOURCE_UTF16;
    source->text = malloc(file.len * 2 + 1);
    if (!source->text)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = 2; i < file.len; i += 2) {
        bool whole = i + 1 < file.len;
        bool has_next = i + 3 < file.len;
        uint32_t c = whole ? (uint32_t)file.data[i + high] << 8 | file.data[i + 1 - high] : 0xdc00;
        uint32_t next = has_next ? (uint32_t)file.data[i + 2 + high] << 8 | file.data[i + 3 - high] : 0;
        if ((c & 0xfc00) == 0xd800 && (next & 0xfc00) == 0xdc00) {
            c = 0x10000 + ((c & 0x3ff) << 10) + (next & 0x3ff);
            i += 2;
        }
        if ((c & 0xf800) == 0xd800)
            source->text[source->text_len++] = 0xff;
        else
            source->text_len += kt_source_put_utf8(source->text + source->text_len, c);
    }
    source->text[source->text_len] = '\0';
    return true;
}

static bool take_text(struct kt_source *source, struct kt_slice bytes, struct kt_error *err)
{
    const uint8_t *data = bytes.data;
    if (bytes.len >= 2 && ((data[0] == 0xff && data[1] == 0xfe) || (data[0] == 0xfe && data[1] == 0xff)))
        return to_utf8(source, bytes, err);
    source->text = malloc(bytes.len + 1);
    if (!source->text)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (bytes.len > 0)
        memcpy(source->text, data, bytes.len);
    source->text[bytes.len] = '\0';
    source->text_len = bytes.len;
    if (bytes.len >= sizeof(utf8_mark) && memcmp(data, utf8_mark, sizeof(utf8_mark)) == 0)
        source->encoding = KT_SOURCE_UTF8_BOM;
    return true;
}

static bool parse(struct kt_source *source, struct kt_place *ret_place, struct kt_error *err)
{
    KT_CLEANUP(kt_source_builder_done) struct kt_source_builder b = {.source = source, .ret_place = ret_place};
    source->document_end = source->text_len;
    source->is_json = source->encoding == KT_SOURCE_UTF8 && looks_like_json(source->text);
    return source->is_json ? kt_source_parse_json(&b, err) : kt_source_parse_yaml(&b, err);
}

struct kt_source *kt_source_parse(struct kt_slice bytes, struct kt_place *ret_place, struct kt_error *err)
{
    if (ret_place)
        *ret_place = (struct kt_place){.line = 1, .column = 1};
    if (bytes.len > KT_SOURCE_BYTES_MAX) {
        (void)kt_fail(err, KT_E_CONFIG, "expected a file of at most %zu bytes, found %zu", KT_SOURCE_BYTES_MAX,
                      bytes.len);
        return NULL;
    }
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = calloc(1, sizeof(*source));
    if (!source) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    if (!take_text(source, bytes, err) || !parse(source, ret_place, err))
        return NULL;
    return KT_TAKE_PTR(source);
}

const struct kt_source_node *kt_source_root(const struct kt_source *source)
{
    return source->root;
}

struct kt_slice kt_source_text(const struct kt_source *source)
{
    return KT_SLICE(source->text, source->text_len);
}

bool kt_source_is_json(const struct kt_source *source)
{
    return source->is_json;
}

enum kt_source_encoding kt_source_encoding(const struct kt_source *source)
{
    return source->encoding;
}

size_t kt_source_document_end(const struct kt_source *source)
{
    return source->document_end;
}

struct kt_place kt_source_place(const struct kt_source *source, size_t offset)
{
    const uint8_t *text = source->text;
    struct kt_place place = {.line = 1, .column = 1};
    size_t start = source->encoding == KT_SOURCE_UTF8_BOM ? sizeof(utf8_mark) : 0;
    for (size_t i = start; i < offset && i < source->text_len; i++) {
        if (text[i] == '\n' || (text[i] == '\r' && text[i + 1] != '\n')) {
            place.line++;
            place.column = 1;
        } else if ((text[i] & 0xc0) != 0x80 && text[i] != '\r') {
            place.column++;
        }
    }
    return place;
}

const struct kt_source_node *kt_source_next(const struct kt_source_node *node)
{
    if (node->n_items > 0)
        return node->items[0];
    while (node->parent && node->index + 1 == node->parent->n_items)
        node = node->parent;
    return node->parent ? node->parent->items[node->index + 1] : NULL;
}

const struct kt_source_node *kt_source_follow(const struct kt_source_node *node)
{
    /* An anchor names no alias, so one step is all there is. */
    return node->kind == KT_SOURCE_ALIAS ? node->target : node;
}

const struct kt_source_node *kt_source_get(const struct kt_source_node *mapping, const char *key)
{
    const struct kt_source_node *node = mapping ? kt_source_follow(mapping) : NULL;
    size_t len = strlen(key);
    for (size_t i = 0; node && node->kind == KT_SOURCE_MAPPING && i + 1 < node->n_items; i += 2) {
        const struct kt_source_node *found = kt_source_follow(node->items[i]);
        if (found->kind == KT_SOURCE_SCALAR && found->len == len && memcmp(found->text, key, len) == 0)
            return node->items[i + 1];
    }
    return NULL;
}
