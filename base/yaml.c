/* SPDX-License-Identifier: Apache-2.0 */
/* Events become a tree here; nothing recurses, so that depth costs a stranger nothing but an error. */
#include "base/yaml_tree.h"

#include <stdarg.h>
#include <string.h>
#include <yaml.h>

struct frame {
    struct kt_yaml_node *node; /* an open container */
    struct kt_yaml_node *key;  /* of a mapping: read, and its value is not */
};

#define ANCHOR_NAME_MAX 64u

struct anchor {
    char name[ANCHOR_NAME_MAX];
    const struct kt_yaml_node *node;
};

struct builder {
    yaml_parser_t parser;
    struct kt_yaml *yaml;
    struct kt_slice text;
    struct frame stack[KT_YAML_DEPTH_MAX];
    size_t depth;
    bool has_document;
    bool foreign;
    struct anchor anchors[KT_YAML_ANCHORS_MAX];
    size_t n_anchors;
};

static void delete_event(yaml_event_t *event)
{
    yaml_event_delete(event);
}

static bool fail_at(const struct kt_yaml *yaml, size_t line, size_t column, struct kt_error *err, const char *problem)
{
    struct kt_yaml_node place = {.line = line, .column = column};
    return kt_yaml_fail(yaml, &place, err, "%s", problem);
}

/* The reader of libyaml knows only the offset of a byte that is no UTF-8. */
static bool fail_at_offset(const struct builder *b, struct kt_error *err)
{
    size_t offset = b->parser.problem_offset < b->text.len ? b->parser.problem_offset : b->text.len;
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < offset; i++) {
        bool breaks = b->text.data[i] == '\n';
        bool continues = (b->text.data[i] & 0xc0) == 0x80;
        line += breaks;
        column = breaks ? 1 : column + !continues;
    }
    return fail_at(b->yaml, line, column, err,
                   "expected text in UTF-8, found a byte that is none or a control character");
}

/* libyaml's own words are fixed texts: they never quote the input. */
static bool fail_syntax(const struct builder *b, struct kt_error *err)
{
    const yaml_parser_t *p = &b->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", b->yaml->what);
    if (p->error == YAML_READER_ERROR)
        return fail_at_offset(b, err);
    struct kt_yaml_node place = {.line = p->problem_mark.line + 1, .column = p->problem_mark.column + 1};
    return kt_yaml_fail(b->yaml, &place, err, "expected YAML: %s%s%s", p->context ? p->context : "",
                        p->context ? ", " : "", p->problem ? p->problem : "not valid");
}

static bool fail_event(const struct builder *b, const yaml_event_t *event, struct kt_error *err, const char *problem)
{
    return fail_at(b->yaml, event->start_mark.line + 1, event->start_mark.column + 1, err, problem);
}

static struct kt_yaml_node *make_node(struct builder *b, const yaml_event_t *event, enum kt_yaml_kind kind,
                                      struct kt_error *err)
{
    if (b->yaml->n_made >= KT_YAML_NODES_MAX) {
        (void)fail_event(b, event, err, "expected fewer values, found too many");
        return NULL;
    }
    struct kt_yaml_node *node = calloc(1, sizeof(*node));
    if (!node) {
        (void)kt_fail(err, KT_E_NOMEM, "%s: out of memory", b->yaml->what);
        return NULL;
    }
    node->kind = kind;
    node->line = event->start_mark.line + 1;
    node->column = event->start_mark.column + 1;
    node->next_made = b->yaml->made;
    b->yaml->made = node;
    b->yaml->n_made++;
    return node;
}

static struct kt_yaml_node *make_scalar(struct builder *b, const yaml_event_t *event, struct kt_error *err)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (memchr(value, '\0', len)) {
        (void)fail_event(b, event, err, "expected text, found a NUL character in it");
        return NULL;
    }
    struct kt_yaml_node *node = make_node(b, event, KT_YAML_SCALAR, err);
    if (!node)
        return NULL;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->len = len;
    node->text = strndup(value, len);
    if (!node->text) {
        (void)kt_fail(err, KT_E_NOMEM, "%s: out of memory", b->yaml->what);
        return NULL;
    }
    return node;
}

static bool has_key(const struct kt_yaml_node *map, const struct kt_yaml_node *key)
{
    for (const struct kt_yaml_node *item = map->first; item; item = item->next)
        if (strcmp(item->key->text, key->text) == 0)
            return true;
    return false;
}

static bool take_key(struct builder *b, struct frame *top, struct kt_yaml_node *key, struct kt_error *err)
{
    const struct kt_yaml *yaml = b->yaml;
    if (key->kind != KT_YAML_SCALAR || !(key->plain || b->foreign) || kt_yaml_is_nothing(key))
        return kt_yaml_fail(yaml, key, err, "expected a plain key, found %s", kt_yaml_kind_name(key));
    if (b->foreign && key->plain && strcmp(key->text, "<<") == 0)
        return kt_yaml_fail(yaml, key, err, "expected a key, found a merge key (<<), which is not read here");
    if (top->node->n_items >= KT_YAML_KEYS_MAX)
        return kt_yaml_fail(yaml, key, err, "expected at most %u keys in a mapping, found more", KT_YAML_KEYS_MAX);
    if (has_key(top->node, key))
        return kt_yaml_fail(yaml, key, err, "expected each key once, found one twice");
    top->key = key;
    return true;
}

/* Hangs a node where it belongs: the root, an item of the open sequence, a key or a value of the open mapping. */
static bool place(struct builder *b, struct kt_yaml_node *node, struct kt_error *err)
{
    if (b->depth == 0) {
        b->yaml->root = node;
        return true;
    }
    struct frame *top = &b->stack[b->depth - 1];
    if (top->node->kind == KT_YAML_MAPPING && !top->key)
        return take_key(b, top, node, err);
    node->key = KT_TAKE_PTR(top->key);
    if (top->node->last)
        top->node->last->next = node;
    else
        top->node->first = node;
    top->node->last = node;
    top->node->n_items++;
    return true;
}

static bool take_scalar(struct builder *b, const yaml_event_t *event, struct kt_error *err)
{
    struct kt_yaml_node *node = make_scalar(b, event, err);
    return node && place(b, node, err);
}

static bool take_start(struct builder *b, const yaml_event_t *event, struct kt_error *err)
{
    bool is_map = event->type == YAML_MAPPING_START_EVENT;
    struct kt_yaml_node *node = make_node(b, event, is_map ? KT_YAML_MAPPING : KT_YAML_SEQUENCE, err);
    if (!node || !place(b, node, err))
        return false;
    if (b->depth == KT_YAML_DEPTH_MAX)
        return fail_event(b, event, err, "expected less nesting, found it too deep");
    b->stack[b->depth++] = (struct frame){.node = node};
    return true;
}

static bool take_end(struct builder *b, struct kt_error *err)
{
    struct kt_yaml_node *node = b->stack[--b->depth].node;
    if (node->n_items == 0)
        return true;
    node->items = calloc(node->n_items, sizeof(struct kt_yaml_node *));
    if (!node->items)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", b->yaml->what);
    size_t n = 0;
    for (struct kt_yaml_node *item = node->first; item; item = item->next)
        node->items[n++] = item;
    return true;
}

static bool take_document(struct builder *b, const yaml_event_t *event, struct kt_error *err)
{
    if (b->has_document)
        return fail_event(b, event, err, "expected one document, found a second");
    if (event->data.document_start.version_directive ||
        event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
        return fail_event(b, event, err, "expected no directives, found one");
    b->has_document = true;
    return true;
}

/* What stands before a value: NULL where there is none. */
struct properties {
    const yaml_char_t *anchor;
    const yaml_char_t *tag;
};

static struct properties get_properties(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return (struct properties){event->data.scalar.anchor, event->data.scalar.tag};
    case YAML_SEQUENCE_START_EVENT:
        return (struct properties){event->data.sequence_start.anchor, event->data.sequence_start.tag};
    case YAML_MAPPING_START_EVENT:
        return (struct properties){event->data.mapping_start.anchor, event->data.mapping_start.tag};
    default:
        return (struct properties){NULL, NULL};
    }
}

/* What YAML can do and these documents never need. */
static const char *find_extra(const struct builder *b, const yaml_event_t *event)
{
    struct properties found = get_properties(event);
    if (event->type == YAML_ALIAS_EVENT && !b->foreign)
        return "expected a value, found an alias";
    if (found.anchor && !b->foreign)
        return "expected a value, found an anchor";
    return found.tag ? "expected a value, found a tag" : NULL;
}

/* Of the node that the event has just made. */
static bool take_anchor(struct builder *b, const yaml_event_t *event, struct kt_error *err)
{
    const char *name = (const char *)get_properties(event).anchor;
    if (!name)
        return true;
    if (b->n_anchors == KT_YAML_ANCHORS_MAX || strlen(name) >= ANCHOR_NAME_MAX)
        return fail_event(b, event, err, "expected fewer or shorter anchors, found more");
    struct anchor *anchor = &b->anchors[b->n_anchors++];
    memcpy(anchor->name, name, strlen(name) + 1);
    anchor->node = b->yaml->made;
    return true;
}

static const struct kt_yaml_node *find_anchor(const struct builder *b, const char *name)
{
    for (size_t i = b->n_anchors; i > 0; i--)
        if (strcmp(b->anchors[i - 1].name, name) == 0)
            return b->anchors[i - 1].node;
    return NULL;
}

static bool is_open(const struct builder *b, const struct kt_yaml_node *node)
{
    for (size_t i = 0; i < b->depth; i++)
        if (b->stack[i].node == node)
            return true;
    return false;
}

/* Reads like the anchor's node, and hangs elsewhere; what is under it is not copied, so a tree of aliases stays small.
 */
static bool take_alias(struct builder *b, const yaml_event_t *event, struct kt_error *err)
{
    const struct kt_yaml_node *target = find_anchor(b, (const char *)event->data.alias.anchor);
    if (!target || is_open(b, target))
        return fail_event(b, event, err, "expected the alias of a value before it, found another");
    struct kt_yaml_node *node = make_node(b, event, target->kind, err);
    if (!node)
        return false;
    node->plain = target->plain;
    node->len = target->len;
    node->text = target->text ? strdup(target->text) : NULL;
    if (target->text && !node->text)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", b->yaml->what);
    node->first = target->first;
    node->last = target->last;
    node->items = target->items;
    node->n_items = target->n_items;
    node->borrowed = true;
    return place(b, node, err);
}

static bool take_event(struct builder *b, const yaml_event_t *event, struct kt_error *err)
{
    const char *extra = find_extra(b, event);
    if (extra)
        return fail_event(b, event, err, extra);
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return take_alias(b, event, err);
    case YAML_DOCUMENT_START_EVENT:
        return take_document(b, event, err);
    case YAML_SCALAR_EVENT:
        return take_scalar(b, event, err) && take_anchor(b, event, err);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return take_start(b, event, err) && take_anchor(b, event, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return take_end(b, err);
    default:
        return true;
    }
}

static bool build(struct builder *b, struct kt_error *err)
{
    for (yaml_event_type_t type = YAML_NO_EVENT; type != YAML_STREAM_END_EVENT;) {
        KT_CLEANUP(delete_event) yaml_event_t event = {.type = YAML_NO_EVENT};
        if (!yaml_parser_parse(&b->parser, &event))
            return fail_syntax(b, err);
        type = event.type;
        if (!take_event(b, &event, err))
            return false;
    }
    const struct kt_yaml_node *root = b->yaml->root;
    if (!root || kt_yaml_is_nothing(root))
        return kt_fail(err, b->yaml->code, "%s: expected a document, found nothing: it is empty", b->yaml->what);
    return true;
}

static bool parse(struct kt_yaml *yaml, struct kt_slice text, bool foreign, struct kt_error *err)
{
    struct builder b = {.yaml = yaml, .text = text, .foreign = foreign};
    if (!foreign && text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0)
        return fail_at(yaml, 1, 1, err, "expected text, found a byte order mark");
    if (!yaml_parser_initialize(&b.parser))
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", yaml->what);
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, text.len > 0 ? text.data : (const uint8_t *)"", text.len);
    bool done = build(&b, err);
    yaml_parser_delete(&b.parser);
    return done;
}

static struct kt_yaml *make_tree(const char *what, enum kt_code code, struct kt_error *err)
{
    struct kt_yaml *yaml = calloc(1, sizeof(*yaml));
    char *name = strdup(what);
    if (!yaml || !name) {
        (void)kt_fail(err, KT_E_NOMEM, "%s: out of memory", what);
        free(name);
        free(yaml);
        return NULL;
    }
    yaml->what = name;
    yaml->code = code;
    return yaml;
}

static struct kt_yaml *make_parsed(struct kt_slice text, const char *what, enum kt_code code, bool foreign,
                                   struct kt_error *err)
{
    struct kt_yaml *yaml = make_tree(what, code, err);
    if (yaml && parse(yaml, text, foreign, err))
        return yaml;
    kt_yaml_free(yaml);
    return NULL;
}

struct kt_yaml *kt_yaml_parse(struct kt_slice text, const char *what, enum kt_code code, struct kt_error *err)
{
    return make_parsed(text, what, code, false, err);
}

struct kt_yaml *kt_yaml_parse_foreign(struct kt_slice text, const char *what, enum kt_code code, struct kt_error *err)
{
    return make_parsed(text, what, code, true, err);
}

void kt_yaml_free(struct kt_yaml *yaml)
{
    if (!yaml)
        return;
    for (struct kt_yaml_node *node = yaml->made; node;) {
        struct kt_yaml_node *next = node->next_made;
        if (node->text)
            explicit_bzero(node->text, node->len);
        free(node->text);
        if (!node->borrowed)
            free(node->items);
        free(node);
        node = next;
    }
    free(yaml->what);
    free(yaml);
}

const struct kt_yaml_node *kt_yaml_root(const struct kt_yaml *yaml)
{
    return yaml->root;
}

bool kt_yaml_error(const struct kt_yaml *yaml, const struct kt_yaml_node *node, struct kt_error *err, const char *where,
                   const char *fmt, ...)
{
    char problem[384] = "";
    va_list args;
    va_start(args, fmt);
    vsnprintf(problem, sizeof(problem), fmt, args);
    va_end(args);
    if (!node)
        return kt_error_set(err, yaml->code, 0, where, "%s: %s", yaml->what, problem);
    return kt_error_set(err, yaml->code, 0, where, "%s: line %zu, column %zu: %s", yaml->what, node->line, node->column,
                        problem);
}
