/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of one cluster and one user of a kubeconfig, and the files that they name. For kubeconfig.c. */
#pragma once

#include "base/yaml.h"
#include "cluster/kubeconfig.h"

/* Where an entry stands. */
struct kt_kubeconfig_entry {
    const struct kt_yaml *yaml;
    const struct kt_yaml_node *node; /* the mapping under "cluster" or "user"; NULL: empty */
    const char *directory;           /* of the file, absolute or relative to here */
};

/* *ret = NULL where the key is absent, null or empty. The text lives as long as the tree. */
bool kt_kubeconfig_text(const struct kt_kubeconfig_entry *entry, const char *key, size_t max, const char **ret,
                        struct kt_error *err) KT_MUST_CHECK;
bool kt_kubeconfig_read_cluster(const struct kt_kubeconfig_entry *entry, struct kt_kubeconfig *config,
                                struct kt_error *err) KT_MUST_CHECK;
bool kt_kubeconfig_read_user(const struct kt_kubeconfig_entry *entry, struct kt_kubeconfig *config,
                             struct kt_error *err) KT_MUST_CHECK;
/* kubeconfig_exec.c: of the mapping under "exec". NULL on failure. */
struct kt_kube_exec *kt_kubeconfig_read_exec(const struct kt_kubeconfig_entry *entry,
                                             struct kt_error *err) KT_MUST_CHECK;
void kt_kube_exec_free(struct kt_kube_exec *exec);
KT_DEFINE_CLEANUP(struct kt_kube_exec *, kt_kube_exec_free);

/* path itself if it is absolute, else below directory. NULL: out of memory. */
char *kt_kubeconfig_path(const char *directory, const char *path, struct kt_error *err) KT_MUST_CHECK;
/* Files of a kubeconfig: links are followed, as certificates that rotate are links; anybody may own them. */
bool kt_kubeconfig_read_file(const char *path, size_t max, struct kt_bytes *ret, struct kt_error *err) KT_MUST_CHECK;
struct kt_secret *kt_kubeconfig_read_secret(const char *path, struct kt_error *err) KT_MUST_CHECK;
