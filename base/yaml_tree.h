/* SPDX-License-Identifier: Apache-2.0 */
/* What yaml.c builds and yaml_scalar.c reads: private to these two. */
#pragma once

#include "base/yaml.h"

enum kt_yaml_kind { KT_YAML_SCALAR, KT_YAML_SEQUENCE, KT_YAML_MAPPING };

struct kt_yaml_node {
    enum kt_yaml_kind kind;
    bool plain; /* a scalar without quotes */
    size_t line;
    size_t column;
    char *text; /* of a scalar; NUL-terminated, no NUL inside */
    size_t len;
    struct kt_yaml_node *key; /* if this is a value in a mapping */
    struct kt_yaml_node *first;
    struct kt_yaml_node *last;
    struct kt_yaml_node *next; /* in the same container */
    struct kt_yaml_node **items;
    size_t n_items;
    bool borrowed;                  /* an alias: its items are those of the anchor's node */
    struct kt_yaml_node *next_made; /* all nodes of the tree, for freeing */
};

struct kt_yaml {
    char *what;
    enum kt_code code;
    struct kt_yaml_node *root;
    struct kt_yaml_node *made;
    size_t n_made;
};

/* "a sequence", "quoted text", "nothing": for messages, never the text itself. NULL: "nothing". */
const char *kt_yaml_kind_name(const struct kt_yaml_node *node);
