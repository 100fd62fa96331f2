/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole store of a cluster: the servers of --etcd-servers, and those of --etcd-servers-overrides, which hold a few
 * kinds apart from the rest.
 */
#pragma once

#include "cluster/etcd.h"
#include "cluster/storage_key.h"

struct kt_store_options {
    const char *endpoints; /* --etcd-servers: with commas between them */
    const char *overrides; /* --etcd-servers-overrides; NULL: none */
    const char *prefix;    /* --etcd-prefix; NULL: the default */
    struct kt_etcd_tls_files tls;
    unsigned timeout_ms; /* as in struct kt_etcd_options */
};

/* One set of servers. */
struct kt_store_part {
    struct kt_etcd_endpoints servers;
    struct kt_etcd *etcd;
};

struct kt_store {
    char prefix[KT_STORAGE_KEY_MAX]; /* "/registry/" */
    struct kt_storage_overrides overrides;
    size_t n; /* 1, and one for each other set of servers */
    struct kt_store_part parts[KT_STORAGE_OVERRIDES_MAX + 1];
};

/* Connects to nothing yet. As kt_etcd_new, kt_storage_overrides_parse and kt_storage_prefix fail. */
struct kt_store *kt_store_open(const struct kt_store_options *options, struct kt_error *err) KT_MUST_CHECK;
void kt_store_free(struct kt_store *store);
KT_DEFINE_CLEANUP(struct kt_store *, kt_store_free);

/* Which of the parts holds a kind. */
size_t kt_store_part_of(const struct kt_store *store, const struct kt_storage_resource *resource);
/* Whether all of them answer, and us: to be known before anything is done that is to be proved by it. */
bool kt_store_ask(struct kt_store *store, struct kt_error *err) KT_MUST_CHECK;
