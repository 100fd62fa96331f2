/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict reader for the small YAML that keyturn itself owns (keyturn.yaml, keyrings): one document, mappings with
 * unique plain keys, sequences, scalars. Refused: anchors, aliases, tags, directives, several documents, empty ones, a
 * byte order mark, NUL, invalid UTF-8, more than KT_YAML_NODES_MAX nodes (keys count) or KT_YAML_KEYS_MAX keys, deeper
 * than KT_YAML_DEPTH_MAX. Errors carry line and column (from 1): "expected ..., found ...", where what was found is
 * told by its kind, never by its text; only the names of unknown keys are shown, and only if the code is KT_E_CONFIG.
 * EncryptionConfiguration has a reader of its own (encconfig/), since it must take whatever kube-apiserver takes.
 *
 * kt_yaml_parse_foreign is for files of other programs (kubeconfigs), which need not keep to that: YAML or JSON, so
 * keys may be quoted; a byte order mark, anchors (KT_YAML_ANCHORS_MAX) and aliases are taken, an alias reads as its
 * anchor's value. Tags, directives, merge keys (<<) and second documents are still refused, and so is an alias inside
 * its own anchor. Unknown keys are the caller's affair, who need not call kt_yaml_keys.
 *
 * Texts are wiped when a tree is freed; libyaml's own buffers are not.
 */
#pragma once

#include "base/buf.h"

#define KT_YAML_NODES_MAX   32768u
#define KT_YAML_DEPTH_MAX   16u
#define KT_YAML_KEYS_MAX    256u /* in one mapping */
#define KT_YAML_ANCHORS_MAX 64u

struct kt_yaml;
struct kt_yaml_node;

/* what: a name for messages ("keyturn.yaml"). code: the code that its errors get (KT_E_CONFIG, KT_E_KEYRING_FORMAT);
 * it also serves all errors of the accessors below. */
struct kt_yaml *kt_yaml_parse(struct kt_slice text, const char *what, enum kt_code code,
                              struct kt_error *err) KT_MUST_CHECK;
struct kt_yaml *kt_yaml_parse_foreign(struct kt_slice text, const char *what, enum kt_code code,
                                      struct kt_error *err) KT_MUST_CHECK;
void kt_yaml_free(struct kt_yaml *yaml);
KT_DEFINE_CLEANUP(struct kt_yaml *, kt_yaml_free);
const struct kt_yaml_node *kt_yaml_root(const struct kt_yaml *yaml);

/* Every key of the mapping must be in `known` (ends with NULL); an unknown one is named with line, column and, if one
 * is close, the name that was probably meant. Fails too if the node is no mapping. */
bool kt_yaml_keys(const struct kt_yaml *yaml, const struct kt_yaml_node *map, const char *const *known,
                  struct kt_error *err) KT_MUST_CHECK;
/* NULL if absent (or the node is no mapping). */
const struct kt_yaml_node *kt_yaml_get(const struct kt_yaml_node *map, const char *key);
/* The same, but absence is an error. */
const struct kt_yaml_node *kt_yaml_need(const struct kt_yaml *yaml, const struct kt_yaml_node *map, const char *key,
                                        struct kt_error *err) KT_MUST_CHECK;
/* Sequences: number of items, item by index. Fails if the node is no sequence or longer than max. */
bool kt_yaml_items(const struct kt_yaml *yaml, const struct kt_yaml_node *seq, size_t max, size_t *ret,
                   struct kt_error *err) KT_MUST_CHECK;
const struct kt_yaml_node *kt_yaml_item(const struct kt_yaml_node *seq, size_t index);

/* Is the node null (empty, ~, null)? */
bool kt_yaml_is_nothing(const struct kt_yaml_node *node);

/* Scalars. A node that is absent (NULL) or null is an error, like one of the wrong kind. The text lives as long as the
 * tree and has no NUL inside; longer than max bytes is an error. Numbers are plain decimal digits without sign or
 * leading zeros; booleans are plain true or false. */
bool kt_yaml_text(const struct kt_yaml *yaml, const struct kt_yaml_node *node, size_t max, const char **ret,
                  struct kt_error *err) KT_MUST_CHECK;
bool kt_yaml_u64(const struct kt_yaml *yaml, const struct kt_yaml_node *node, uint64_t max, uint64_t *ret,
                 struct kt_error *err) KT_MUST_CHECK;
bool kt_yaml_bool(const struct kt_yaml *yaml, const struct kt_yaml_node *node, bool *ret,
                  struct kt_error *err) KT_MUST_CHECK;
/* base64 of at most cap bytes. */
bool kt_yaml_base64(const struct kt_yaml *yaml, const struct kt_yaml_node *node, uint8_t *ret, size_t cap,
                    size_t *ret_len, struct kt_error *err) KT_MUST_CHECK;
/* An error at that node: "what: line L, column C: ...". Returns false. */
#define kt_yaml_fail(yaml, node, err, ...) kt_yaml_error((yaml), (node), (err), __func__, __VA_ARGS__)
bool kt_yaml_error(const struct kt_yaml *yaml, const struct kt_yaml_node *node, struct kt_error *err, const char *where,
                   const char *fmt, ...) KT_PRINTF(5, 6) KT_COLD;
