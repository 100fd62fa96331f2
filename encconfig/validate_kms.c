/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/gotext.h"
#include "encconfig/gourl.h"
#include "encconfig/validate_parts.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)64 * 1024 * 1024)

static bool is_version(const struct kt_encconfig_kms *kms, const char *version)
{
    return kt_slice_equal(KT_SLICE(kms->api_version.text, kms->api_version.len), kt_slice_str(version));
}

static int compare_names(const void *a, const void *b)
{
    const struct kt_slice *x = a, *y = b;
    int order = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static bool is_known(const struct kt_validator *v, const struct kt_encconfig_kms *kms)
{
    const struct kt_slice name = KT_SLICE(kms->name.text, kms->name.len);
    return tfind(&name, &v->kms_names, compare_names) != NULL;
}

static void remember(struct kt_validator *v, const struct kt_encconfig_kms *kms)
{
    struct kt_slice *name = malloc(sizeof(*name));
    if (name)
        *name = KT_SLICE(kms->name.text, kms->name.len);
    struct kt_slice **found = name ? tsearch(name, &v->kms_names, compare_names) : NULL;
    if (!found)
        v->findings->out_of_memory = true;
    if (!found || *found != name)
        free(name);
}

/* The rules, in kube-apiserver's order. Each says what is wrong, if it is. */

struct kms_rule {
    const char *field;
    bool (*breaks)(const struct kt_validator *v, const struct kt_encconfig_kms *kms);
    /* %s stands for the name, if it is there. */
    const char *text;
    const char *advice;
    enum kt_finding_kind kind;
};

static bool name_is_empty(const struct kt_validator *v, const struct kt_encconfig_kms *kms)
{
    (void)v;
    return kms->name.len == 0;
}

static bool name_has_colon(const struct kt_validator *v, const struct kt_encconfig_kms *kms)
{
    (void)v;
    return !is_version(kms, "v1") && memchr(kms->name.text, ':', kms->name.len);
}

static bool name_is_taken(const struct kt_validator *v, const struct kt_encconfig_kms *kms)
{
    return (v->reload || !is_version(kms, "v1")) && is_known(v, kms);
}

static bool timeout_is_not_positive(const struct kt_validator *v, const struct kt_encconfig_kms *kms)
{
    (void)v;
    return kms->timeout_ns <= 0;
}

static bool cachesize_is_for_v1(const struct kt_validator *v, const struct kt_encconfig_kms *kms)
{
    (void)v;
    return !is_version(kms, "v1") && kms->has_cachesize;
}

static bool cachesize_is_zero(const struct kt_validator *v, const struct kt_encconfig_kms *kms)
{
    (void)v;
    return is_version(kms, "v1") && kms->cachesize == 0;
}

static bool version_is_unknown(const struct kt_validator *v, const struct kt_encconfig_kms *kms)
{
    (void)v;
    return !is_version(kms, "v1") && !is_version(kms, "v2");
}

static const struct kms_rule name_rules[] = {
    {"name", name_is_empty, "name is a mandatory field for a provider",
     "stored objects name their provider: never change the name of one that is in use", KT_FINDING_REQUIRED},
    {"name", name_has_colon, "invalid KMS provider name %s, must not contain ':'", NULL, KT_FINDING_INVALID},
    {"name", name_is_taken, "duplicate KMS provider name %s, names must be unique",
     "give each provider of the file a name of its own", KT_FINDING_INVALID},
    {"timeout", timeout_is_not_positive, "timeout should be a positive value", "write it with its unit, as 3s",
     KT_FINDING_INVALID},
};

static const struct kms_rule version_rules[] = {
    {"cachesize", cachesize_is_for_v1, "cachesize is not supported in v2", "take it out", KT_FINDING_INVALID},
    {"cachesize", cachesize_is_zero, "cachesize should be a positive value, or negative to disable", NULL,
     KT_FINDING_INVALID},
    {"apiVersion", version_is_unknown,
     "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported", "write apiVersion: v2",
     KT_FINDING_INVALID},
};

static void print_value(const struct kt_encconfig_kms *kms, const char *field, struct kt_text *out)
{
    if (strcmp(field, "timeout") == 0) {
        kt_text_add(out, "\"");
        kt_go_duration_print(out, kms->timeout_ns);
        kt_text_add(out, "\"");
    } else if (strcmp(field, "cachesize") == 0) {
        kt_text_add(out, "%d", kms->cachesize);
    } else if (strcmp(field, "name") == 0) {
        kt_go_quote(out, kms->name.text, kms->name.len);
    } else {
        kt_go_quote(out, kms->api_version.text, kms->api_version.len);
    }
}

static const struct kt_source_node *node_of(const struct kt_encconfig_kms *kms, const char *field)
{
    if (strcmp(field, "timeout") == 0)
        return kms->timeout_node;
    if (strcmp(field, "cachesize") == 0)
        return kms->cachesize_node;
    return strcmp(field, "name") == 0 ? kms->name.node : kms->api_version.node;
}

static void print_detail(const struct kt_encconfig_kms *kms, const char *text, struct kt_text *out)
{
    const char *name = strstr(text, "%s");
    if (!name) {
        kt_text_add(out, "%s", text);
        return;
    }
    kt_text_add_bytes(out, text, (size_t)(name - text));
    kt_validator_add_raw(out, &kms->name);
    kt_text_add(out, "%s", name + 2);
}

static void check(struct kt_validator *v, const struct kt_encconfig_kms *kms, const struct kt_source_node *node,
                  const struct kms_rule *rule)
{
    KT_CLEANUP(kt_text_done) struct kt_text value = {.data = NULL}, detail = {.data = NULL};
    if (!rule->breaks(v, kms))
        return;
    size_t len = kt_validator_enter(v, rule->field);
    const struct kt_source_node *at = node_of(kms, rule->field) ? node_of(kms, rule->field) : node;
    kt_text_init(&value, TEXT_MAX);
    kt_text_init(&detail, TEXT_MAX);
    print_value(kms, rule->field, &value);
    print_detail(kms, rule->text, &detail);
    if (rule->kind == KT_FINDING_REQUIRED)
        kt_validator_required(v, at, detail.data ? detail.data : "", rule->advice);
    else
        kt_validator_invalid(v, at, value.data ? value.data : "", detail.data ? detail.data : "", rule->advice);
    kt_validator_leave(v, len);
}

static void check_endpoint(struct kt_validator *v, const struct kt_encconfig_kms *kms,
                           const struct kt_source_node *node)
{
    static const char advice[] = "write unix:// and an absolute path, as unix:///run/keyturn/kms/kms.sock";
    KT_CLEANUP(kt_pool_done) struct kt_pool pool = {.chunks = NULL};
    KT_CLEANUP(kt_text_done) struct kt_text detail = {.data = NULL};
    struct kt_gourl url = {.scheme = ""};
    if (kms->endpoint.len == 0) {
        kt_validator_invalid(v, kms->endpoint.node ? kms->endpoint.node : node, "\"\"",
                             "endpoint is a mandatory field for a kms", advice);
        return;
    }
    kt_text_init(&detail, TEXT_MAX);
    kt_text_add(&detail, "invalid endpoint for kms provider, error: ");
    if (kt_gourl_parse(kms->endpoint.text, kms->endpoint.len, &pool, &url, &detail)) {
        if (strcmp(url.scheme, "unix") == 0)
            return;
        detail.len = 0;
        kt_text_add(&detail, "unsupported scheme ");
        kt_go_quote(&detail, url.scheme, strlen(url.scheme));
        kt_text_add(&detail, " for KMS provider, only unix is supported");
    }
    kt_validator_invalid_text(v, &kms->endpoint, detail.data ? detail.data : "", advice);
}

void kt_validate_kms(struct kt_validator *v, const struct kt_encconfig_kms *kms, const struct kt_source_node *node)
{
    size_t len = kt_validator_enter(v, "kms");
    for (size_t i = 0; i < KT_ARRAY_LEN(name_rules); i++)
        check(v, kms, node, &name_rules[i]);
    size_t endpoint_len = kt_validator_enter(v, "endpoint");
    check_endpoint(v, kms, node);
    kt_validator_leave(v, endpoint_len);
    for (size_t i = 0; i < KT_ARRAY_LEN(version_rules); i++)
        check(v, kms, node, &version_rules[i]);
    remember(v, kms);
    kt_validator_leave(v, len);
}
