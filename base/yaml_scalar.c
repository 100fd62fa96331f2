/* SPDX-License-Identifier: Apache-2.0 */
/* What is read from the tree: keys, items, scalars. */
#include "base/yaml_tree.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_LEN  64u
#define DISTANCE_MOST 2u

bool kt_yaml_is_nothing(const struct kt_yaml_node *node)
{
    static const char *const NULLS[] = {"", "~", "null", "Null", "NULL"};
    if (node->kind != KT_YAML_SCALAR || !node->plain)
        return false;
    for (size_t i = 0; i < KT_ARRAY_LEN(NULLS); i++)
        if (strcmp(node->text, NULLS[i]) == 0)
            return true;
    return false;
}

const char *kt_yaml_kind_name(const struct kt_yaml_node *node)
{
    if (!node)
        return "nothing";
    switch (node->kind) {
    case KT_YAML_SEQUENCE:
        return "a sequence";
    case KT_YAML_MAPPING:
        return "a mapping";
    case KT_YAML_SCALAR:
        break;
    }
    return kt_yaml_is_nothing(node) ? "nothing" : node->plain ? "text" : "quoted text";
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein, one row; both at most NAME_MAX_LEN long. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LEN + 1];
    size_t len = strlen(b);
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= len; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[len];
}

static const char *find_nearest(const char *key, const char *const *known)
{
    const char *nearest = NULL;
    size_t nearest_distance = DISTANCE_MOST + 1;
    if (strlen(key) > NAME_MAX_LEN)
        return NULL;
    for (; *known; known++) {
        if (strlen(*known) > NAME_MAX_LEN)
            continue;
        size_t d = distance(key, *known);
        if (d < nearest_distance && d < strlen(*known)) {
            nearest = *known;
            nearest_distance = d;
        }
    }
    return nearest;
}

/* A name that may be shown: from a file that the admin writes, and made of letters that a terminal takes well. */
static bool is_showable(const struct kt_yaml *yaml, const char *key)
{
    static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./";
    return yaml->code == KT_E_CONFIG && strlen(key) <= NAME_MAX_LEN && key[strspn(key, LETTERS)] == '\0';
}

static bool fail_unknown(const struct kt_yaml *yaml, const struct kt_yaml_node *key, const char *const *known,
                         struct kt_error *err)
{
    const char *nearest = find_nearest(key->text, known);
    char shown[NAME_MAX_LEN + 3] = "another";
    char meant[NAME_MAX_LEN + 32] = "";
    if (is_showable(yaml, key->text))
        snprintf(shown, sizeof(shown), "\"%s\"", key->text);
    if (nearest)
        snprintf(meant, sizeof(meant), " (did you mean \"%s\"?)", nearest);
    (void)kt_yaml_fail(yaml, key, err, "expected a known key, found %s%s", shown, meant);

    char names[256] = "";
    size_t len = 0;
    for (const char *const *name = known; *name && len < sizeof(names); name++) {
        int n = snprintf(names + len, sizeof(names) - len, "%s%s", len > 0 ? ", " : "", *name);
        len += n > 0 ? (size_t)n : 0;
    }
    if (len > 0 && len < sizeof(names))
        return kt_error_hint(err, "known here: %s", names);
    return false;
}

static bool is_known(const char *key, const char *const *known)
{
    for (; *known; known++)
        if (strcmp(key, *known) == 0)
            return true;
    return false;
}

bool kt_yaml_keys(const struct kt_yaml *yaml, const struct kt_yaml_node *map, const char *const *known,
                  struct kt_error *err)
{
    if (!map || map->kind != KT_YAML_MAPPING)
        return kt_yaml_fail(yaml, map, err, "expected a mapping, found %s", kt_yaml_kind_name(map));
    for (size_t i = 0; i < map->n_items; i++)
        if (!is_known(map->items[i]->key->text, known))
            return fail_unknown(yaml, map->items[i]->key, known, err);
    return true;
}

const struct kt_yaml_node *kt_yaml_get(const struct kt_yaml_node *map, const char *key)
{
    if (!map || map->kind != KT_YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < map->n_items; i++)
        if (strcmp(map->items[i]->key->text, key) == 0)
            return map->items[i];
    return NULL;
}

const struct kt_yaml_node *kt_yaml_need(const struct kt_yaml *yaml, const struct kt_yaml_node *map, const char *key,
                                        struct kt_error *err)
{
    const struct kt_yaml_node *node = kt_yaml_get(map, key);
    if (!node && map && map->kind == KT_YAML_MAPPING)
        (void)kt_yaml_fail(yaml, map, err, "expected the key \"%s\" in this mapping, found none", key);
    else if (!node)
        (void)kt_yaml_fail(yaml, map, err, "expected a mapping with the key \"%s\", found %s", key,
                           kt_yaml_kind_name(map));
    return node;
}

bool kt_yaml_items(const struct kt_yaml *yaml, const struct kt_yaml_node *seq, size_t max, size_t *ret,
                   struct kt_error *err)
{
    if (!seq || seq->kind != KT_YAML_SEQUENCE)
        return kt_yaml_fail(yaml, seq, err, "expected a sequence, found %s", kt_yaml_kind_name(seq));
    if (seq->n_items > max)
        return kt_yaml_fail(yaml, seq, err, "expected at most %zu items, found %zu", max, seq->n_items);
    *ret = seq->n_items;
    return true;
}

const struct kt_yaml_node *kt_yaml_item(const struct kt_yaml_node *seq, size_t index)
{
    bool is_there = seq && seq->kind == KT_YAML_SEQUENCE && index < seq->n_items;
    return is_there ? seq->items[index] : NULL;
}

bool kt_yaml_text(const struct kt_yaml *yaml, const struct kt_yaml_node *node, size_t max, const char **ret,
                  struct kt_error *err)
{
    if (!node || node->kind != KT_YAML_SCALAR || kt_yaml_is_nothing(node))
        return kt_yaml_fail(yaml, node, err, "expected text, found %s", kt_yaml_kind_name(node));
    if (node->len > max)
        return kt_yaml_fail(yaml, node, err, "expected at most %zu bytes of text, found %zu", max, node->len);
    *ret = node->text;
    return true;
}

static bool parse_u64(const char *text, uint64_t *ret)
{
    uint64_t v = 0;
    if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
        return false;
    for (const char *s = text; *s != '\0'; s++)
        if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
            return false;
    *ret = v;
    return true;
}

bool kt_yaml_u64(const struct kt_yaml *yaml, const struct kt_yaml_node *node, uint64_t max, uint64_t *ret,
                 struct kt_error *err)
{
    uint64_t v = 0;
    bool is_plain = node && node->kind == KT_YAML_SCALAR && node->plain;
    bool is_digits = is_plain && node->len > 0 && strspn(node->text, "0123456789") == node->len;
    if (is_plain && parse_u64(node->text, &v) && v <= max) {
        *ret = v;
        return true;
    }
    const char *found = !is_digits                              ? kt_yaml_kind_name(node)
                        : node->text[0] == '0' && node->len > 1 ? "one with leading zeros"
                                                                : "a larger one";
    return kt_yaml_fail(yaml, node, err, "expected a whole number from 0 to %llu, found %s", (unsigned long long)max,
                        found);
}

bool kt_yaml_bool(const struct kt_yaml *yaml, const struct kt_yaml_node *node, bool *ret, struct kt_error *err)
{
    bool is_plain = node && node->kind == KT_YAML_SCALAR && node->plain;
    bool is_true = is_plain && strcmp(node->text, "true") == 0;
    if (!is_true && !(is_plain && strcmp(node->text, "false") == 0))
        return kt_yaml_fail(yaml, node, err, "expected true or false, found %s", kt_yaml_kind_name(node));
    *ret = is_true;
    return true;
}

bool kt_yaml_base64(const struct kt_yaml *yaml, const struct kt_yaml_node *node, uint8_t *ret, size_t cap,
                    size_t *ret_len, struct kt_error *err)
{
    const char *text = NULL;
    if (!node || node->kind != KT_YAML_SCALAR || kt_yaml_is_nothing(node))
        return kt_yaml_fail(yaml, node, err, "expected base64, found %s", kt_yaml_kind_name(node));
    if (!kt_yaml_text(yaml, node, kt_base64_len(cap), &text, err))
        return false;
    if (!kt_base64_decode(KT_SLICE(text, node->len), ret, cap, ret_len))
        return kt_yaml_fail(yaml, node, err, "expected base64 of at most %zu bytes, found other text", cap);
    return true;
}
