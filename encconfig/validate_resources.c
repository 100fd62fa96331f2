/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/gotext.h"
#include "encconfig/validate_parts.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)64 * 1024 * 1024)

static bool equal(struct kt_slice text, const char *word)
{
    return kt_slice_equal(text, kt_slice_str(word));
}

struct kt_resource kt_resource_parse(const struct kt_encconfig_text *name)
{
    const char *dot = memchr(name->text, '.', name->len);
    size_t len = dot ? (size_t)(dot - name->text) : name->len;
    return (struct kt_resource){
        .resource = KT_SLICE(name->text, len),
        .group = dot ? KT_SLICE(dot + 1, name->len - len - 1) : KT_SLICE("", 0),
    };
}

bool kt_resource_is_any(const struct kt_resource *r)
{
    return equal(r->resource, "*") && equal(r->group, "*");
}

bool kt_resource_is_wild(const struct kt_resource *r)
{
    return equal(r->resource, "*");
}

static int compare_slices(struct kt_slice a, struct kt_slice b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

int kt_resource_compare(const struct kt_resource *a, const struct kt_resource *b)
{
    int order = compare_slices(a->group, b->group);
    return order != 0 ? order : compare_slices(a->resource, b->resource);
}

static int compare(const void *a, const void *b)
{
    return kt_resource_compare(a, b);
}

static bool same_group(const struct kt_resource *sorted, size_t n, size_t i, size_t k)
{
    return i < n && k < n && compare_slices(sorted[i].group, sorted[k].group) == 0;
}

/* Within one list: the same twice, and what a wildcard of the same list covers. */
static void find_overlaps(const struct kt_resource *sorted, size_t n, bool *ret_same, bool *ret_overlap)
{
    for (size_t i = 0; i < n; i++) {
        bool has_mate = same_group(sorted, n, i, i + 1) || same_group(sorted, n, i, i - 1);
        if (i + 1 < n && kt_resource_compare(&sorted[i], &sorted[i + 1]) == 0)
            *ret_same = true;
        if (kt_resource_is_any(&sorted[i]) || (kt_resource_is_wild(&sorted[i]) && has_mate))
            *ret_overlap = true;
    }
}

static void print_list(const struct kt_encconfig_entry *entry, struct kt_text *out)
{
    for (size_t i = 0; i < entry->n_resources; i++) {
        kt_text_add(out, i > 0 ? "," : "[");
        kt_go_json(out, entry->resources[i].text, entry->resources[i].len);
    }
    kt_text_add(out, "]");
}

static void validate_overlaps(struct kt_validator *v, const struct kt_encconfig_entry *entry)
{
    bool has_same = false;
    bool has_overlap = false;
    if (entry->n_resources < 2)
        return;
    KT_CLEANUP(kt_free_p) struct kt_resource *sorted = calloc(entry->n_resources, sizeof(*sorted));
    KT_CLEANUP(kt_text_done) struct kt_text list = {.data = NULL};
    if (!sorted) {
        v->findings->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < entry->n_resources; i++)
        sorted[i] = kt_resource_parse(&entry->resources[i]);
    qsort(sorted, entry->n_resources, sizeof(*sorted), compare);
    find_overlaps(sorted, entry->n_resources, &has_same, &has_overlap);
    kt_text_init(&list, TEXT_MAX);
    if (has_same || has_overlap)
        print_list(entry, &list);
    if (has_same)
        kt_validator_invalid(v, entry->resources_node, list.data ? list.data : "",
                             "the same resource cannot be specified multiple times", "name it once");
    if (has_overlap)
        kt_validator_invalid(v, entry->resources_node, list.data ? list.data : "",
                             "using overlapping resources such as 'secrets' and '*.' in the same resource list is not "
                             "allowed as they will be masked",
                             "move the wildcard into an entry of its own, behind this one");
}

/* Names: the first rule that is broken is told. */

static bool has_capital(const struct kt_encconfig_text *name, const struct kt_resource *r)
{
    (void)r;
    return kt_go_has_capital(name->text, name->len);
}

static bool is_star(const struct kt_encconfig_text *name, const struct kt_resource *r)
{
    return name->len == 1 && kt_resource_is_wild(r);
}

static bool has_no_api(const struct kt_encconfig_text *name, const struct kt_resource *r)
{
    static const char *const names[] = {"apiserveripinfo", "serviceipallocations", "servicenodeportallocations"};
    (void)r;
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++)
        if (equal(KT_SLICE(name->text, name->len), names[i]))
            return true;
    return false;
}

static bool is_events(const struct kt_encconfig_text *name, const struct kt_resource *r)
{
    (void)name;
    return equal(r->group, "events.k8s.io");
}

static bool is_extensions(const struct kt_encconfig_text *name, const struct kt_resource *r)
{
    (void)name;
    return equal(r->group, "extensions");
}

static bool is_across_groups(const struct kt_encconfig_text *name, const struct kt_resource *r)
{
    (void)name;
    return equal(r->group, "*") && !kt_resource_is_wild(r);
}

static const struct {
    bool (*breaks)(const struct kt_encconfig_text *name, const struct kt_resource *r);
    const char *text;
    const char *advice;
} name_rules[] = {
    {has_capital, "resource name should not contain capital letters",
     "write the plural in small letters, as kubectl api-resources shows it"},
    {is_star, "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources", NULL},
    {has_no_api, "resources which do not have REST API/s cannot be encrypted", "take it out"},
    {is_events,
     "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config "
     "file",
     NULL},
    {is_extensions, "'extensions' group has been removed and cannot be used for encryption",
     "name the group that has the resource now"},
    {is_across_groups, "encrypting the same resource across groups is not supported", "name each group"},
};

static void validate_name(struct kt_validator *v, const struct kt_encconfig_text *name)
{
    const struct kt_resource r = kt_resource_parse(name);
    for (size_t i = 0; i < KT_ARRAY_LEN(name_rules); i++)
        if (name_rules[i].breaks(name, &r)) {
            kt_validator_invalid_text(v, name, name_rules[i].text, name_rules[i].advice);
            return;
        }
}

void kt_validate_resources(struct kt_validator *v, const struct kt_encconfig_entry *entry)
{
    size_t len = kt_validator_enter(v, "resources");
    if (entry->n_resources == 0) {
        KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL};
        kt_text_init(&text, TEXT_MAX);
        kt_text_add(&text, "at least one %s is required", v->path.data ? v->path.data : "");
        kt_validator_required(v, entry->resources_node ? entry->resources_node : entry->node,
                              text.data ? text.data : "", "name a resource, as secrets, or *.* for all");
    }
    validate_overlaps(v, entry);
    for (size_t i = 0; i < entry->n_resources; i++) {
        size_t before = kt_validator_enter_item(v, i);
        validate_name(v, &entry->resources[i]);
        kt_validator_leave(v, before);
    }
    kt_validator_leave(v, len);
}
