/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a tree (encconfig/source.h) is built: private to source*.c. Nodes come in the order of the text.
 */
#pragma once

#include "encconfig/pool.h"
#include "encconfig/source.h"

struct kt_source {
    uint8_t *text; /* text[text_len] is NUL */
    size_t text_len;
    enum kt_source_encoding encoding;
    bool is_json;
    struct kt_source_node *root;
    size_t document_end;
    struct kt_pool pool;
};

struct kt_source_builder {
    struct kt_source *source;
    struct kt_source_node *open[KT_SOURCE_DEPTH_MAX];
    size_t first[KT_SOURCE_DEPTH_MAX]; /* of the children of open[i] in pending */
    size_t depth;
    struct kt_source_node **pending;
    size_t n_pending;
    size_t cap_pending;
    size_t n_nodes;
    struct kt_place *ret_place;
};

#define KT_REPLACEMENT 0xfffdu
/* Writes one character, at most 4 bytes; returns how many. */
size_t kt_source_put_utf8(uint8_t *ret, uint32_t character);

/* Makes a node and hangs it into the collection that is open, or makes it the root. NULL: *err is filled. */
struct kt_source_node *kt_source_add(struct kt_source_builder *b, enum kt_source_kind kind, struct kt_span span,
                                     struct kt_error *err) KT_MUST_CHECK;
/* The collection that was added last is open until kt_source_close(). */
bool kt_source_open(struct kt_source_builder *b, struct kt_source_node *node, struct kt_error *err) KT_MUST_CHECK;
/* Gives the collection its items, and them their places. end: where its closing bracket ends; 0: it has none. */
bool kt_source_close(struct kt_source_builder *b, size_t end, struct kt_error *err) KT_MUST_CHECK;
/* As it was before the first node. */
void kt_source_builder_reset(struct kt_source_builder *b);
void kt_source_builder_done(struct kt_source_builder *b);

/* "line L, column C: problem", at a place in the text. Returns false. */
bool kt_source_fail(const struct kt_source_builder *b, size_t offset, struct kt_error *err, const char *problem);

bool kt_source_parse_json(struct kt_source_builder *b, struct kt_error *err) KT_MUST_CHECK;
bool kt_source_parse_yaml(struct kt_source_builder *b, struct kt_error *err) KT_MUST_CHECK;

/* source_layout.c: finds the indicators (`-`, `?`, `:`) of the items of a YAML collection, and gives nodes without text
 * their place. */
void kt_source_lay_out(const struct kt_source *source, struct kt_source_node *node, struct kt_source_node **items,
                       size_t n_items, size_t end);
/* Behind the white space and comments that start there. */
size_t kt_source_skip_blanks(const struct kt_source *source, size_t offset);
/* Behind the properties (anchor, tag) that start there, at most so many, and behind what separates them from the node.
 */
size_t kt_source_skip_properties(const struct kt_source *source, size_t offset, unsigned max);
/* Where the property that starts there ends. */
size_t kt_source_property_end(const struct kt_source *source, size_t offset);
