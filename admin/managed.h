/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which lists of providers of an EncryptionConfiguration keyturn manages: those that hold something of ours; where none
 * does, the one that decides about secrets.
 */
#pragma once

#include "encconfig/config.h"

/* One of file->entries: the first that names secrets, by itself or by a wildcard, which is the one that kube-apiserver
 * takes for them (v1.36.2, pkg/server/options/encryptionconfig/config.go). n_entries: none does. */
size_t kt_managed_secrets(const struct kt_encconfig *file);

/* managed: file->n_entries of them, true for a list that holds something of ours. On return, true for those that are
 * managed. How many that are: 0, where nothing is ours and none is for secrets. */
size_t kt_managed_lists(const struct kt_encconfig *file, bool *managed);
