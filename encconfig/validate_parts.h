/* SPDX-License-Identifier: Apache-2.0 */
/* How validate*.c share the work: private to them. */
#pragma once

#include "base/buf.h"
#include "encconfig/validate.h"

/* "resource.group", as Go's schema.ParseGroupResource splits it: at the first dot. */
struct kt_resource {
    struct kt_slice resource;
    struct kt_slice group;
};
struct kt_resource kt_resource_parse(const struct kt_encconfig_text *name);
bool kt_resource_is_any(const struct kt_resource *r);                              /* "*.*" */
bool kt_resource_is_wild(const struct kt_resource *r);                             /* "*.group" */
int kt_resource_compare(const struct kt_resource *a, const struct kt_resource *b); /* by group, then by resource */

struct kt_validator {
    const struct kt_encconfig *config;
    struct kt_findings *findings;
    bool reload;
    struct kt_text path;
    void *kms_names; /* tsearch(3) of struct kt_slice */
};

/* The path gets ".name" or "[i]"; returns its length before, for kt_validator_leave(). */
size_t kt_validator_enter(struct kt_validator *v, const char *name);
size_t kt_validator_enter_item(struct kt_validator *v, size_t i);
void kt_validator_leave(struct kt_validator *v, size_t len);

/* At the path, and where the node stands. */
void kt_validator_required(struct kt_validator *v, const struct kt_source_node *node, const char *detail,
                           const char *advice);
/* value: as printed behind "Invalid value: ". */
void kt_validator_invalid(struct kt_validator *v, const struct kt_source_node *node, const char *value,
                          const char *detail, const char *advice);
void kt_validator_invalid_text(struct kt_validator *v, const struct kt_encconfig_text *text, const char *detail,
                               const char *advice);
void kt_validator_warn(struct kt_validator *v, const struct kt_source_node *node, const char *text, const char *advice);

/* Adds text as Go's %s would, but for NULs, which are escaped. */
void kt_validator_add_raw(struct kt_text *out, const struct kt_encconfig_text *text);

/* The parts, in the order of kube-apiserver. */
void kt_validate_resources(struct kt_validator *v, const struct kt_encconfig_entry *entry);
void kt_validate_provider(struct kt_validator *v, const struct kt_encconfig_provider *provider);
void kt_validate_kms(struct kt_validator *v, const struct kt_encconfig_kms *kms, const struct kt_source_node *node);
/* What it does when all that is well: building the transformers. */
void kt_validate_build(struct kt_validator *v);
void kt_validate_warnings(struct kt_validator *v);
/* encoding/json of the internal ProviderConfiguration, with keys masked (kube-apiserver shows them). */
void kt_validate_print_provider(const struct kt_encconfig_provider *provider, struct kt_text *out);
