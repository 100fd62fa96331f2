/* SPDX-License-Identifier: Apache-2.0 */
/* What kube-apiserver finds only when it builds the transformers; it stops at the first. */
#include "encconfig/gotext.h"
#include "encconfig/gourl.h"
#include "encconfig/validate_parts.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)64 * 1024 * 1024)

struct build {
    struct kt_validator *v;
    void *groups; /* tsearch(3) of struct kt_resource: the wildcards of the entries so far */
    bool has_any; /* and *.* */
};

static void tell(struct kt_validator *v, const struct kt_source_node *node, const struct kt_text *text,
                 const char *advice)
{
    kt_encconfig_find(v->config, v->findings, KT_FINDING_BUILD, node, "", text->data ? text->data : "", advice);
}

/* gRPC takes the path of the endpoint for a URL of its own, so one with a % in it does not connect. */
static bool check_endpoint(struct kt_validator *v, const struct kt_encconfig_kms *kms)
{
    static const char prefix[] = "passthrough:///";
    KT_CLEANUP(kt_pool_done) struct kt_pool pool = {.chunks = NULL};
    KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL}, target = {.data = NULL};
    struct kt_gourl url = {.scheme = ""};
    kt_text_init(&text, TEXT_MAX);
    kt_text_init(&target, TEXT_MAX);
    bool is_v1 = kms->api_version.len == 2 && kms->api_version.text[1] == '1';
    if (!kt_gourl_parse(kms->endpoint.text, kms->endpoint.len, &pool, &url, &text)) {
        v->findings->out_of_memory = true; /* it parsed before */
        return false;
    }
    bool is_abstract = url.path_len >= 2 && memcmp(url.path, "/@", 2) == 0;
    kt_text_add(&target, "%s", prefix);
    kt_text_add_bytes(&target, url.path + is_abstract, url.path_len - is_abstract);
    kt_text_add(&text, "could not configure KMS%s-Plugin's probe ", is_v1 ? "v1" : "v2");
    kt_go_quote(&text, kms->name.text, kms->name.len);
    kt_text_add(&text, ", error: failed to create connection to ");
    kt_validator_add_raw(&text, &kms->endpoint);
    kt_text_add(&text, ", error: ");
    if (!target.data || kt_gourl_parse(target.data, target.len, &pool, &url, &text))
        return true;
    tell(v, kms->endpoint.node, &text, "give the socket a path without %, # and control characters");
    return false;
}

static bool check_endpoints(struct kt_validator *v, const struct kt_encconfig_entry *entry)
{
    for (size_t i = 0; i < entry->n_providers; i++)
        if (entry->providers[i].types[KT_ENCCONFIG_KMS] && !check_endpoint(v, &entry->providers[i].kms))
            return false;
    return true;
}

static int compare_groups(const void *a, const void *b)
{
    const struct kt_resource *x = a, *y = b;
    const struct kt_resource left = {.group = x->group, .resource = KT_SLICE("", 0)};
    const struct kt_resource right = {.group = y->group, .resource = KT_SLICE("", 0)};
    return kt_resource_compare(&left, &right);
}

static void print_resource(const struct kt_resource *r, struct kt_text *out)
{
    KT_CLEANUP(kt_text_done) struct kt_text name = {.data = NULL};
    kt_text_init(&name, TEXT_MAX);
    kt_text_add_bytes(&name, r->resource.data, r->resource.len);
    if (r->group.len > 0 || kt_resource_is_wild(r))
        kt_text_add(&name, ".");
    kt_text_add_bytes(&name, r->group.data, r->group.len);
    kt_go_quote(out, name.data ? name.data : "", name.len);
}

static bool tell_masked(struct build *b, const struct kt_encconfig_text *name, const struct kt_resource *r,
                        struct kt_slice group)
{
    KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL};
    const struct kt_resource mask = {.resource = KT_SLICE("*", 1), .group = group};
    kt_text_init(&text, TEXT_MAX);
    kt_text_add(&text, "resource ");
    print_resource(r, &text);
    kt_text_add(&text, " is masked by earlier rule ");
    print_resource(&mask, &text);
    tell(b->v, name->node, &text, "move this entry before the one with the wildcard");
    return false;
}

static bool remember(struct build *b, const struct kt_resource *r)
{
    b->has_any = b->has_any || kt_resource_is_any(r);
    if (!kt_resource_is_wild(r))
        return true;
    struct kt_resource *copy = malloc(sizeof(*copy));
    if (copy)
        *copy = *r;
    struct kt_resource **found = copy ? tsearch(copy, &b->groups, compare_groups) : NULL;
    if (!found) {
        free(copy);
        b->v->findings->out_of_memory = true;
    }
    return found;
}

static bool check_masks(struct build *b, const struct kt_encconfig_entry *entry)
{
    for (size_t i = 0; i < entry->n_resources; i++) {
        const struct kt_resource r = kt_resource_parse(&entry->resources[i]);
        if (tfind(&r, &b->groups, compare_groups))
            return tell_masked(b, &entry->resources[i], &r, r.group);
        if (b->has_any)
            return tell_masked(b, &entry->resources[i], &r, KT_SLICE("*", 1));
        if (!remember(b, &r))
            return false;
    }
    return true;
}

void kt_validate_build(struct kt_validator *v)
{
    struct build b = {.v = v};
    for (size_t i = 0; i < v->config->n_entries; i++)
        if (!check_endpoints(v, &v->config->entries[i]) || !check_masks(&b, &v->config->entries[i]))
            break;
    tdestroy(b.groups, free);
}
