/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rule of an EncryptionConfiguration kube-apiserver takes for a kind: by its own name, else by `*.GROUP`, else by
 * `*.*`. In a valid file no rule stands behind a wildcard that covers it, so it is the first that covers it at all.
 * Source: k8s.io/apiserver pkg/server/options/encryptionconfig (transformerFromOverrides), Kubernetes v1.36.
 */
#pragma once

#include "encconfig/config.h"

/* rule: an element of `resources`; group: "" for the core group. */
bool kt_rule_covers(struct kt_slice rule, struct kt_slice group, struct kt_slice resource);
/* One of config->entries; n_entries: none covers it, so it is stored in clear. */
size_t kt_encconfig_entry_of(const struct kt_encconfig *config, struct kt_slice group, struct kt_slice resource);
