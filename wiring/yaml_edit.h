/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds to, and takes from, lists and mappings of a YAML file that is somebody else's: a manifest, kubeadm's
 * ClusterConfiguration. No other byte of it changes. What cannot be done so is refused by name (KT_E_REFUSED): JSON and
 * flow style, aliases, UTF-16, several documents.
 */
#pragma once

#include "encconfig/source.h"

#define KT_YAML_EDIT_DEPTH 8u

/* Keys from the root down; "[NAME]" is the item of a list whose name is NAME. Ends with NULL. */
typedef const char *const *kt_yaml_path;

/* What the path leads to; NULL: nothing, or not without a merge key. */
const struct kt_source_node *kt_yaml_find(const struct kt_source *source, kt_yaml_path path);

/* One more item of the list there ("- name: a\n  value: b\n"), or pair of the mapping ("a: b\n"), as the last one. Keys
 * of the path that are missing or have no value are made. The caller frees *ret. */
bool kt_yaml_append(struct kt_slice text, kt_yaml_path path, const char *lines, struct kt_bytes *ret,
                    struct kt_error *err) KT_MUST_CHECK;
/* Without that item of a list (from 0), or pair of a mapping; with the only one goes the key. */
bool kt_yaml_cut(struct kt_slice text, kt_yaml_path path, size_t index, struct kt_bytes *ret,
                 struct kt_error *err) KT_MUST_CHECK;
