/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An EncryptionConfiguration with all its fields, decoded and defaulted as kube-apiserver v1.36 does it; what it says
 * is judged by encconfig/validate.h. Both forms are read: apiVersion apiserver.config.k8s.io/v1, kind
 * EncryptionConfiguration; and the first one, apiVersion v1, kind EncryptionConfig. Names of fields are matched
 * exactly; one that is not known, or stands twice, is refused.
 *
 * Every part knows its node of the file (encconfig/source.h); NULL: it is not in the file. Texts live with the config
 * and may hold NULs. Inline keys stay in base64 in its memory, which is wiped when it is freed;
 * kt_encconfig_key_secret() takes one out.
 */
#pragma once

#include "base/secret.h"
#include "encconfig/findings.h"
#include "encconfig/source.h"

enum kt_encconfig_type {
    KT_ENCCONFIG_AESGCM,
    KT_ENCCONFIG_AESCBC,
    KT_ENCCONFIG_SECRETBOX,
    KT_ENCCONFIG_IDENTITY,
    KT_ENCCONFIG_KMS,
    KT_ENCCONFIG_TYPES,
};
/* "aesgcm" */
const char *kt_encconfig_type_text(enum kt_encconfig_type type);

struct kt_encconfig_text {
    const char *text; /* "" if it is not there or null */
    size_t len;
    const struct kt_source_node *node;
};

struct kt_encconfig_key {
    const struct kt_source_node *node;
    struct kt_encconfig_text name;
    struct kt_encconfig_text secret; /* base64, unchecked: not to be shown */
};

/* aesgcm, aescbc, secretbox */
struct kt_encconfig_keys {
    struct kt_encconfig_key *items;
    size_t n;
    bool is_null; /* no list at all */
    const struct kt_source_node *node;
};

struct kt_encconfig_kms {
    struct kt_encconfig_text api_version; /* "v1" if it is not in the file */
    struct kt_encconfig_text name;
    struct kt_encconfig_text endpoint;
    bool has_cachesize; /* also by default, with v1 */
    int32_t cachesize;
    const struct kt_source_node *cachesize_node;
    int64_t timeout_ns; /* 3 s by default */
    const struct kt_source_node *timeout_node;
};

/* One element of a list of providers. It should have one type; what it may not have, kt_encconfig_validate() says. */
struct kt_encconfig_provider {
    const struct kt_source_node *node;
    const struct kt_source_node *types[KT_ENCCONFIG_TYPES]; /* the value of that key; NULL: not this type */
    struct kt_encconfig_keys keys[KT_ENCCONFIG_SECRETBOX + 1];
    struct kt_encconfig_kms kms;
};

struct kt_encconfig_entry {
    const struct kt_source_node *node;
    struct kt_encconfig_text *resources;
    size_t n_resources;
    const struct kt_source_node *resources_node;
    struct kt_encconfig_provider *providers;
    size_t n_providers;
    const struct kt_source_node *providers_node;
};

struct kt_encconfig {
    struct kt_source *source;
    struct kt_pool pool;
    bool is_first_form; /* apiVersion v1, kind EncryptionConfig */
    struct kt_encconfig_entry *entries;
    size_t n_entries;
    const struct kt_source_node *resources_node;
};

/* On failure KT_E_CONFIG, and the reasons are in *findings; or KT_E_NOMEM. */
struct kt_encconfig *kt_encconfig_parse(struct kt_slice bytes, struct kt_findings *findings,
                                        struct kt_error *err) KT_MUST_CHECK;
void kt_encconfig_free(struct kt_encconfig *config);
KT_DEFINE_CLEANUP(struct kt_encconfig *, kt_encconfig_free);

/* Where in the file; the start of the file for NULL. Walks the file. */
struct kt_place kt_encconfig_place(const struct kt_encconfig *config, const struct kt_source_node *node);
/* kt_findings_add() at that node; the place of one that does not fit any more is not looked for. */
void kt_encconfig_find(const struct kt_encconfig *config, struct kt_findings *findings, enum kt_finding_kind kind,
                       const struct kt_source_node *node, const char *path, const char *text, const char *advice);
/* The bytes of a key. Fails if it is no base64, empty or longer than KT_SECRET_MAX; no rejected input in the message.
 */
struct kt_secret *kt_encconfig_key_secret(const struct kt_encconfig_key *key, struct kt_error *err) KT_MUST_CHECK;
