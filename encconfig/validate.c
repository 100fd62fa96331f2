/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/validate.h"

#include "encconfig/gotext.h"
#include "encconfig/validate_parts.h"

#include <search.h>
#include <string.h>

#define TEXT_MAX ((size_t)64 * 1024 * 1024)

size_t kt_validator_enter(struct kt_validator *v, const char *name)
{
    size_t len = v->path.len;
    kt_text_add(&v->path, "%s%s", len > 0 ? "." : "", name);
    return len;
}

size_t kt_validator_enter_item(struct kt_validator *v, size_t i)
{
    size_t len = v->path.len;
    kt_text_add(&v->path, "[%zu]", i);
    return len;
}

void kt_validator_leave(struct kt_validator *v, size_t len)
{
    v->path.len = len;
    if (v->path.data)
        v->path.data[len] = '\0';
}

static void add(struct kt_validator *v, enum kt_finding_kind kind, const struct kt_source_node *node, const char *text,
                const char *advice)
{
    kt_encconfig_find(v->config, v->findings, kind, node, v->path.data ? v->path.data : "", text, advice);
}

void kt_validator_required(struct kt_validator *v, const struct kt_source_node *node, const char *detail,
                           const char *advice)
{
    KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL};
    kt_text_init(&text, TEXT_MAX);
    kt_text_add(&text, "Required value: %s", detail);
    add(v, KT_FINDING_REQUIRED, node, text.data ? text.data : "", advice);
}

void kt_validator_invalid(struct kt_validator *v, const struct kt_source_node *node, const char *value,
                          const char *detail, const char *advice)
{
    KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL};
    kt_text_init(&text, TEXT_MAX);
    kt_text_add(&text, "Invalid value: %s: %s", value, detail);
    add(v, KT_FINDING_INVALID, node, text.data ? text.data : "", advice);
}

void kt_validator_invalid_text(struct kt_validator *v, const struct kt_encconfig_text *text, const char *detail,
                               const char *advice)
{
    KT_CLEANUP(kt_text_done) struct kt_text value = {.data = NULL};
    kt_text_init(&value, TEXT_MAX);
    kt_go_quote(&value, text->text, text->len);
    kt_validator_invalid(v, text->node, value.data ? value.data : "", detail, advice);
}

void kt_validator_warn(struct kt_validator *v, const struct kt_source_node *node, const char *text, const char *advice)
{
    add(v, KT_FINDING_WARNING, node, text, advice);
}

void kt_validator_add_raw(struct kt_text *out, const struct kt_encconfig_text *text)
{
    for (size_t i = 0; i < text->len; i++)
        if (text->text[i] == '\0')
            kt_text_add(out, "\\u0000");
        else
            kt_text_add_bytes(out, text->text + i, 1);
}

static void validate_entry(struct kt_validator *v, const struct kt_encconfig_entry *entry)
{
    kt_validate_resources(v, entry);
    size_t len = kt_validator_enter(v, "providers");
    if (entry->n_providers == 0) {
        KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL};
        kt_text_init(&text, TEXT_MAX);
        kt_text_add(&text, "at least one %s is required", v->path.data ? v->path.data : "");
        kt_validator_required(v, entry->providers_node ? entry->providers_node : entry->node,
                              text.data ? text.data : "",
                              "name a provider; identity: {} is the one that encrypts nothing");
    }
    for (size_t i = 0; i < entry->n_providers; i++) {
        size_t before = kt_validator_enter_item(v, i);
        kt_validate_provider(v, &entry->providers[i]);
        kt_validator_leave(v, before);
    }
    kt_validator_leave(v, len);
}

static void validate_fields(struct kt_validator *v)
{
    size_t len = kt_validator_enter(v, "resources");
    if (v->config->n_entries == 0)
        kt_validator_required(v, v->config->resources_node, "at least one resources is required",
                              "list what is to be encrypted, and the providers");
    for (size_t i = 0; i < v->config->n_entries; i++) {
        size_t before = kt_validator_enter_item(v, i);
        validate_entry(v, &v->config->entries[i]);
        kt_validator_leave(v, before);
    }
    kt_validator_leave(v, len);
}

bool kt_encconfig_validate(const struct kt_encconfig *config, bool reload, struct kt_findings *findings)
{
    struct kt_validator v = {.config = config, .findings = findings, .reload = reload};
    kt_text_init(&v.path, TEXT_MAX);
    validate_fields(&v);
    if (kt_findings_count(findings) == 0)
        kt_validate_build(&v);
    kt_validate_warnings(&v);
    tdestroy(v.kms_names, free);
    kt_text_done(&v.path);
    return kt_findings_count(findings) == 0 && !findings->out_of_memory;
}
