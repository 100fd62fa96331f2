/* SPDX-License-Identifier: Apache-2.0 */
/* The result is believed only as far as the parser reads it back. */
#include "encconfig/edit_parts.h"
#include "encconfig/validate.h"

#include <string.h>

struct verify {
    const struct kt_edit_plan *plan;
    const struct kt_encconfig *before;
    const struct kt_encconfig *after;
    struct kt_error *err;
};

static bool fail(struct kt_error *err, const char *text)
{
    kt_fail(err, KT_E_REFUSED, "the file cannot be edited safely: %s", text);
    return kt_error_hint(err, "%s", kt_edit_by_hand);
}

static bool same_text(const struct kt_encconfig_text *a, const struct kt_encconfig_text *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static bool same_keys(const struct kt_encconfig_keys *a, const struct kt_encconfig_keys *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = same_text(&a->items[i].name, &b->items[i].name) && same_text(&a->items[i].secret, &b->items[i].secret);
    return same;
}

static bool same_kms(const struct kt_encconfig_kms *a, const struct kt_encconfig_kms *b)
{
    return same_text(&a->api_version, &b->api_version) && same_text(&a->name, &b->name) &&
           same_text(&a->endpoint, &b->endpoint) && a->has_cachesize == b->has_cachesize &&
           a->cachesize == b->cachesize && a->timeout_ns == b->timeout_ns;
}

static bool same_provider(const struct kt_encconfig_provider *a, const struct kt_encconfig_provider *b)
{
    enum kt_encconfig_type type = kt_edit_type_of(a);
    if (kt_edit_type_of(b) != type)
        return false;
    if (type == KT_ENCCONFIG_KMS)
        return same_kms(&a->kms, &b->kms);
    return !kt_edit_is_inline(type) || same_keys(&a->keys[type], &b->keys[type]);
}

static bool same_resources(const struct kt_encconfig_entry *a, const struct kt_encconfig_entry *b)
{
    bool same = a->n_resources == b->n_resources;
    for (size_t i = 0; same && i < a->n_resources; i++)
        same = same_text(&a->resources[i], &b->resources[i]);
    return same;
}

static bool same_providers(const struct kt_encconfig_entry *a, const struct kt_encconfig_entry *b)
{
    bool same = a->n_providers == b->n_providers;
    for (size_t i = 0; same && i < a->n_providers; i++)
        same = same_provider(&a->providers[i], &b->providers[i]);
    return same;
}

/* One that was there has all its fields still, a new one those that it was given. */
static bool is_wanted_kms(const struct kt_encconfig_entry *before, const struct kt_encconfig_provider *provider,
                          const struct kt_encconfig_item *item)
{
    if (!kt_edit_is_kms(provider, item))
        return false;
    for (size_t i = 0; i < before->n_providers; i++)
        if (kt_edit_is_kms(&before->providers[i], item))
            return same_provider(&before->providers[i], provider);
    return kt_edit_is_text(&provider->kms.endpoint, item->endpoint) &&
           kt_edit_is_text(&provider->kms.api_version, "v2");
}

/* The items that a provider stands for are the next ones of the list. */
static bool takes_items(const struct kt_encconfig_entry *before, const struct kt_encconfig_provider *provider,
                        const struct kt_encconfig_list *list, size_t *next)
{
    enum kt_encconfig_type type = kt_edit_type_of(provider);
    size_t n = kt_edit_is_inline(type) ? provider->keys[type].n : 1;
    bool same = list->n_items - *next >= n;
    for (size_t i = 0; same && i < n; i++) {
        const struct kt_encconfig_item *item = &list->items[(*next)++];
        same = item->type == type;
        if (same && type == KT_ENCCONFIG_KMS)
            same = is_wanted_kms(before, provider, item);
        else if (same && kt_edit_is_inline(type))
            same = kt_edit_is_key(&provider->keys[type].items[i], type, item);
    }
    return same;
}

static bool reads_items(const struct kt_encconfig_entry *before, const struct kt_encconfig_entry *after,
                        const struct kt_encconfig_list *list, size_t *at)
{
    size_t next = 0;
    while (next < list->n_items && *at < after->n_providers)
        if (!takes_items(before, &after->providers[(*at)++], list, &next))
            return false;
    return next == list->n_items;
}

/* As they were, in their order. */
static bool reads_foreign(const struct kt_encconfig_entry *before, const struct kt_encconfig_entry *after,
                          const struct kt_encconfig_list *list, size_t *at)
{
    for (size_t k = 0; k < before->n_providers; k++)
        if (kt_edit_is_foreign(&before->providers[k], list) &&
            (*at == after->n_providers || !same_provider(&before->providers[k], &after->providers[(*at)++])))
            return false;
    return true;
}

/* First all that is wanted, then what is foreign; or the other way round. */
static bool is_wanted(const struct kt_encconfig_entry *before, const struct kt_encconfig_entry *after,
                      const struct kt_encconfig_list *list)
{
    size_t at = 0;
    bool read = list->behind_foreign ? reads_foreign(before, after, list, &at) && reads_items(before, after, list, &at)
                                     : reads_items(before, after, list, &at) && reads_foreign(before, after, list, &at);
    return read && at == after->n_providers;
}

static const struct kt_encconfig_list *find_list(const struct kt_encconfig_list *lists, size_t n_lists, size_t entry)
{
    for (size_t i = 0; i < n_lists; i++)
        if (lists[i].entry == entry)
            return &lists[i];
    return NULL;
}

static bool verify_meaning(const struct verify *v, const struct kt_encconfig_list *lists, size_t n_lists)
{
    if (v->before->n_entries != v->after->n_entries || v->before->is_first_form != v->after->is_first_form)
        return fail(v->err, "another part of it would mean something else");
    for (size_t i = 0; i < v->before->n_entries; i++) {
        const struct kt_encconfig_entry *before = &v->before->entries[i];
        const struct kt_encconfig_entry *after = &v->after->entries[i];
        const struct kt_encconfig_list *list = find_list(lists, n_lists, i);
        if (!same_resources(before, after) || (!list && !same_providers(before, after)))
            return fail(v->err, "another part of it would mean something else");
        if (list && !is_wanted(before, after, list))
            return fail(v->err, "the list would not be read back as it is wanted");
    }
    return true;
}

static bool same_bytes(struct kt_slice a, size_t a_start, struct kt_slice b, size_t b_start, size_t len)
{
    return a_start + len <= a.len && b_start + len <= b.len && memcmp(a.data + a_start, b.data + b_start, len) == 0;
}

/* From the end of each list to the colon before the next one, and to the end. */
static bool verify_bytes(const struct verify *v)
{
    struct kt_slice before = kt_source_text(v->before->source);
    struct kt_slice after = kt_source_text(v->after->source);
    size_t start = 0;
    bool same = true;
    for (size_t i = 0; same && i < v->before->n_entries; i++) {
        if (!v->plan->splices[i])
            continue;
        size_t colon = v->before->entries[i].providers_node->lead;
        size_t new_colon = v->after->entries[i].providers_node->lead;
        size_t len = colon - start;
        same = colon != KT_SOURCE_NONE && new_colon != KT_SOURCE_NONE && new_colon >= len &&
               same_bytes(before, start, after, new_colon - len, len);
        start = v->plan->splices[i]->span.end;
    }
    size_t rest = before.len - start;
    if (!same || after.len < rest || !same_bytes(before, start, after, after.len - rest, rest))
        return fail(v->err, "bytes outside of its lists would change");
    return true;
}

static bool verify_valid(const struct kt_encconfig *after, struct kt_findings *findings, struct kt_error *err)
{
    if (after && kt_encconfig_validate(after, true, findings))
        return true;
    for (size_t i = 0; i < findings->n; i++) {
        const struct kt_finding *finding = &findings->items[i];
        if (finding->kind == KT_FINDING_WARNING)
            continue;
        kt_fail(err, KT_E_REFUSED, "kube-apiserver would refuse the changed file: %.100s: %.200s", finding->path,
                finding->text);
        return kt_error_hint(err, "%s", kt_edit_by_hand);
    }
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

bool kt_edit_verify(const struct kt_edit_plan *plan, const struct kt_encconfig_list *lists, size_t n_lists,
                    const struct kt_secret *result, struct kt_error *err)
{
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    KT_CLEANUP(kt_encconfig_free_p)
    struct kt_encconfig *after =
        kt_encconfig_parse(KT_SLICE(kt_secret_view(result), kt_secret_len(result)), &findings, NULL);
    const struct verify v = {.plan = plan, .before = plan->config, .after = after, .err = err};
    return verify_valid(after, &findings, err) && verify_meaning(&v, lists, n_lists) && verify_bytes(&v);
}
