/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of an EncryptionConfiguration as a tree in which every node knows the bytes of the file that it stands in.
 * It reads what kube-apiserver's decoder reads, and how: a text whose first character behind white space is `{` is JSON
 * and nothing else; any other is YAML (1.1, as go-yaml v2 has it), of which the first document counts and the rest is
 * not looked at. Anchors, aliases, merge keys, tags and duplicate keys are kept as they stand; what they mean is said
 * by encconfig/value.h.
 *
 * Where secrets are: the tree owns a copy of the file and of each scalar's content, in plain heap memory that is
 * wiped when the tree is freed. Nothing here prints any of it. libyaml's own buffers are wiped where it shows them;
 * what it leaves behind while it grows a long scalar it does not show. Who takes a key out of the tree puts it into a
 * struct kt_secret (encconfig/config.h does).
 *
 * Limits: KT_SOURCE_BYTES_MAX, KT_SOURCE_NODES_MAX (keys count), KT_SOURCE_DEPTH_MAX. kube-apiserver has none of them;
 * no file that means something comes near.
 */
#pragma once

#include "base/buf.h"

#define KT_SOURCE_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define KT_SOURCE_NODES_MAX 262144u
#define KT_SOURCE_DEPTH_MAX 128u

enum kt_source_kind {
    KT_SOURCE_SCALAR,
    KT_SOURCE_SEQUENCE,
    KT_SOURCE_MAPPING,
    KT_SOURCE_ALIAS,
};

enum kt_source_style {
    KT_SOURCE_PLAIN, /* scalars; in JSON numbers, true, false, null. Aliases too */
    KT_SOURCE_SINGLE,
    KT_SOURCE_DOUBLE, /* in JSON each string */
    KT_SOURCE_LITERAL,
    KT_SOURCE_FOLDED,
    KT_SOURCE_BLOCK, /* collections */
    KT_SOURCE_FLOW,  /* in JSON each one */
};

enum kt_source_encoding {
    KT_SOURCE_UTF8,
    KT_SOURCE_UTF8_BOM, /* the first three bytes are the byte order mark */
    KT_SOURCE_UTF16,    /* with a byte order mark; the text is the file in UTF-8, without the mark: not to be edited */
};

/* Bytes [start, end) of kt_source_text(). */
struct kt_span {
    size_t start;
    size_t end;
};

#define KT_SOURCE_NONE SIZE_MAX

struct kt_place {
    size_t line;
    size_t column;
};

struct kt_source_node {
    enum kt_source_kind kind;
    enum kt_source_style style;
    /* With anchor and tag, without indicator and comments. A flow collection: with its brackets. A block collection:
     * from the first indicator or key to the end of the last node in it. A block scalar (| or >): through the line
     * break of its last line, and through blank lines behind it. A node that is not there (a null without text): empty,
     * right behind its indicator, or behind its key where it has none. */
    struct kt_span span;
    struct kt_span body; /* without anchor and tag */
    /* Where the indicator of this node is: the `-` of an item of a block sequence, the `:` of a value, the `?` of a
     * key; KT_SOURCE_NONE: it has none. */
    size_t lead;
    /* A scalar's content, escapes and folds resolved; UTF-8. NUL-terminated, and may hold NULs. An alias: its name. */
    const char *text;
    size_t len;
    /* The scalar would be told by its content what it is (plain and without tag, or with the tag `!`). In JSON false
     * for strings. */
    bool implicit;
    const char *tag;    /* resolved ("tag:yaml.org,2002:str"); NULL: none. Those of collections mean nothing */
    const char *anchor; /* NULL: none */
    const struct kt_source_node *parent; /* NULL: the root */
    size_t index;                        /* in parent->items */
    const struct kt_source_node *target; /* of an alias: the node with that anchor; may be one it stands in */
    /* A sequence: its items. A mapping: key, value, key, value, ..., all that there are, in order. */
    const struct kt_source_node *const *items;
    size_t n_items;
};

struct kt_source;

/* Copies the bytes. On failure KT_E_CONFIG (or KT_E_NOMEM): "line L, column C: expected ...", never the text itself,
 * and *ret_place (may be NULL) is that place. An empty text parses, to no root. */
struct kt_source *kt_source_parse(struct kt_slice bytes, struct kt_place *ret_place,
                                  struct kt_error *err) KT_MUST_CHECK;
void kt_source_free(struct kt_source *source);
KT_DEFINE_CLEANUP(struct kt_source *, kt_source_free);

/* NULL: there is no document. */
const struct kt_source_node *kt_source_root(const struct kt_source *source);
/* What spans count in: the file itself, byte for byte, unless that is UTF-16. Lives as long as the tree. */
struct kt_slice kt_source_text(const struct kt_source *source);
bool kt_source_is_json(const struct kt_source *source);
enum kt_source_encoding kt_source_encoding(const struct kt_source *source);
/* Where the first document ends: before its end mark (`...`) or the `---` of a second one, else at the end of the text.
 * What comes behind was not parsed. */
size_t kt_source_document_end(const struct kt_source *source);
/* From 1. Lines end at \n, \r\n or \r, columns count characters. Walks the text. */
struct kt_place kt_source_place(const struct kt_source *source, size_t offset);

/* The next node in the order of the text, collections before their items; not through aliases. NULL: there is none. */
const struct kt_source_node *kt_source_next(const struct kt_source_node *node);
/* The node that an alias stands for, through aliases of aliases; any other node itself. */
const struct kt_source_node *kt_source_follow(const struct kt_source_node *node);
/* The value of the first key with that text in a mapping (or an alias of one); not through merge keys. NULL: none. */
const struct kt_source_node *kt_source_get(const struct kt_source_node *mapping, const char *key);
