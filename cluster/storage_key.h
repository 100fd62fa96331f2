/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under which key of the store, and on which servers, kube-apiserver keeps an object:
 *
 *   PREFIX/RESOURCE[/NAMESPACE]/NAME              kinds that kube-apiserver has built in, whatever their group
 *   PREFIX/GROUP/RESOURCE[/NAMESPACE]/NAME        custom resources, apiextensions.k8s.io and apiregistration.k8s.io
 *
 * with a few names of their own (endpoints are services/endpoints). Built in is what has no group, no dot in its group,
 * or a group of storage_groups.def. Sources (Kubernetes v1.36): pkg/kubeapiserver/default_storage_factory_builder.go,
 * k8s.io/apiserver pkg/storage/etcd3/store.go, pkg/server/options/etcd.go (ParseEtcdServersOverrides).
 */
#pragma once

#include "cluster/etcd_endpoint.h"

#define KT_STORAGE_PREFIX      "/registry" /* what --etcd-prefix is if it is not given */
#define KT_STORAGE_KEY_MAX     2048u       /* bytes of a key, with the NUL */
#define KT_STORAGE_SEGMENT_MAX 512u        /* of its parts, with the NUL; Kubernetes allows 253 */

/* Group and resource as an API names them: {"", "secrets"}, {"apps", "deployments"}. */
struct kt_storage_resource {
    char group[KT_STORAGE_SEGMENT_MAX];
    char resource[KT_STORAGE_SEGMENT_MAX];
};
/* "secrets", "secrets.", "deployments.apps": the form of the EncryptionConfiguration, without wildcards. KT_E_USAGE. */
bool kt_storage_resource_parse(const char *text, struct kt_storage_resource *ret, struct kt_error *err) KT_MUST_CHECK;

/* Whether kinds of that group are stored without it. */
bool kt_storage_group_is_built_in(const char *group);

/* The key of one object. prefix: as --etcd-prefix has it; NULL: the default. namespace: NULL for kinds without. Refuses
 * empty parts, ".", ".." and parts with '/' or '%', as kube-apiserver does. KT_E_USAGE. */
bool kt_storage_key(const char *prefix, const struct kt_storage_resource *resource, const char *namespace,
                    const char *name, char ret[KT_STORAGE_KEY_MAX], struct kt_error *err) KT_MUST_CHECK;
/* --etcd-prefix as every key begins with it: "/registry/". NULL: the default. KT_E_USAGE if it is too long. */
bool kt_storage_prefix(const char *prefix, char ret[KT_STORAGE_KEY_MAX], struct kt_error *err) KT_MUST_CHECK;
/* What all keys of that resource begin with, with a slash at its end. */
bool kt_storage_key_prefix(const char *prefix, const struct kt_storage_resource *resource, char ret[KT_STORAGE_KEY_MAX],
                           struct kt_error *err) KT_MUST_CHECK;

/* --etcd-servers-overrides: "GROUP/RESOURCE#URL;URL,GROUP/RESOURCE#URL". They count for built-in kinds alone; the
 * resource "*" stands for a group. */
#define KT_STORAGE_OVERRIDES_MAX 64u
struct kt_storage_override {
    struct kt_storage_resource resource;
    struct kt_etcd_endpoints servers;
};
struct kt_storage_overrides {
    struct kt_storage_override *items;
    size_t n;
};
void kt_storage_overrides_done(struct kt_storage_overrides *overrides);
/* Empty text: none. KT_E_CONFIG, in kube-apiserver's own terms. */
bool kt_storage_overrides_parse(const char *text, struct kt_storage_overrides *ret, struct kt_error *err) KT_MUST_CHECK;
/* The servers that hold that resource; NULL: those of --etcd-servers. The exact one counts before that of the group,
 * the last one of the same name before earlier ones. */
const struct kt_etcd_endpoints *kt_storage_overrides_find(const struct kt_storage_overrides *overrides,
                                                          const struct kt_storage_resource *resource);
