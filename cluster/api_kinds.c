/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/api_kinds.h"

#include "base/printable.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS_MAX 4096u
#define PATH_LEN  640u

struct kept {
    char group[256];
    char resource[256];
    bool found;
    struct kt_api_kind kind;
};

struct kt_api_kinds {
    struct kt_kube_way way;
    size_t n;
    struct kept **items;
};

struct kt_api_kinds *kt_api_kinds_new(const struct kt_kube_way *way, struct kt_error *err)
{
    struct kt_api_kinds *kinds = calloc(1, sizeof(*kinds));
    if (!kinds) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    kinds->way = *way;
    return kinds;
}

void kt_api_kinds_free(struct kt_api_kinds *kinds)
{
    if (!kinds)
        return;
    for (size_t i = 0; i < kinds->n; i++)
        free(kinds->items[i]);
    free(kinds->items);
    free(kinds);
}

/* *ret_document NULL: there is nothing. */
static bool ask(struct kt_api_kinds *kinds, const char *path, json_t **ret_document, struct kt_error *err)
{
    KT_CLEANUP_ANSWER struct kt_http_answer answer = {.detail = ""};
    *ret_document = NULL;
    if (!kt_kube_get(&kinds->way, path, ret_document, &answer, err))
        return false;
    return *ret_document || answer.outcome == KT_HTTP_NOT_FOUND || kt_http_answer_fail(&answer, err);
}

static bool can_patch(const json_t *resource)
{
    const json_t *verbs = json_object_get(resource, "verbs");
    for (size_t i = 0; i < json_array_size(verbs); i++) {
        const char *verb = json_string_value(json_array_get(verbs, i));
        if (verb && strcmp(verb, "patch") == 0)
            return true;
    }
    return false;
}

static bool fill_kind(const char *base, const json_t *resource, struct kt_api_kind *ret)
{
    const char *name = json_string_value(json_object_get(resource, "name"));
    if (!name || strlen(name) >= sizeof(ret->resource) || strchr(name, '/'))
        return false; /* or a subresource */
    (void)snprintf(ret->base, sizeof(ret->base), "%s", base);
    (void)snprintf(ret->resource, sizeof(ret->resource), "%s", name);
    ret->namespaced = json_is_true(json_object_get(resource, "namespaced"));
    ret->patched = can_patch(resource);
    return true;
}

/* In the version that lies at base. */
static bool find_in(struct kt_api_kinds *kinds, const char *base, struct kept *ret, struct kt_error *err)
{
    json_t *document = NULL;
    if (!ask(kinds, base, &document, err))
        return false;
    const json_t *resources = json_object_get(document, "resources");
    for (size_t i = 0; i < json_array_size(resources); i++) {
        struct kt_api_kind kind;
        if (ret->found || !fill_kind(base, json_array_get(resources, i), &kind) ||
            strcmp(kind.resource, ret->resource) != 0)
            continue;
        ret->found = true;
        ret->kind = kind;
    }
    json_decref(document);
    return true;
}

static bool find_version(struct kt_api_kinds *kinds, const char *version, struct kept *ret, struct kt_error *err)
{
    char base[384];
    int n = snprintf(base, sizeof(base), "/apis/%s", version ? version : "");
    return ret->found || !version || n >= (int)sizeof(base) || strchr(version, '?') || find_in(kinds, base, ret, err);
}

/* The version that the API prefers, then the others. */
static bool find_in_group(struct kt_api_kinds *kinds, struct kept *ret, struct kt_error *err)
{
    char path[PATH_LEN];
    json_t *group = NULL;
    (void)snprintf(path, sizeof(path), "/apis/%s", ret->group);
    if (!ask(kinds, path, &group, err))
        return false;
    bool asked = find_version(kinds, kt_kube_text(group, "preferredVersion", "groupVersion"), ret, err);
    const json_t *versions = json_object_get(group, "versions");
    for (size_t i = 0; asked && i < json_array_size(versions); i++)
        asked = find_version(kinds, kt_kube_text(json_array_get(versions, i), "groupVersion"), ret, err);
    json_decref(group);
    return asked;
}

static bool is_name(const char *text, size_t max)
{
    return strlen(text) < max &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == strlen(text);
}

static struct kept *add(struct kt_api_kinds *kinds, const char *group, const char *resource, struct kt_error *err)
{
    struct kept **items = realloc(kinds->items, (kinds->n + 1) * sizeof(struct kept *));
    struct kept *kept = calloc(1, sizeof(*kept));
    if (items)
        kinds->items = items;
    if (!items || !kept || kinds->n == KINDS_MAX) {
        free(kept);
        (void)kt_fail(err, KT_E_NOMEM, "out of memory for the kinds of the API");
        return NULL;
    }
    (void)snprintf(kept->group, sizeof(kept->group), "%s", group);
    (void)snprintf(kept->resource, sizeof(kept->resource), "%s", resource);
    return items[kinds->n++] = kept;
}

bool kt_api_kinds_find(struct kt_api_kinds *kinds, const char *group, const char *resource,
                       const struct kt_api_kind **ret, struct kt_error *err)
{
    *ret = NULL;
    if (resource[0] == '\0' || !is_name(group, sizeof(kinds->items[0]->group)) ||
        !is_name(resource, sizeof(kinds->items[0]->resource)))
        return true; /* no kind of any API */
    for (size_t i = 0; i < kinds->n; i++) {
        const struct kept *kept = kinds->items[i];
        if (strcmp(kept->group, group) != 0 || strcmp(kept->resource, resource) != 0)
            continue;
        *ret = kept->found ? &kept->kind : NULL;
        return true;
    }
    struct kept kept = {.found = false};
    (void)snprintf(kept.group, sizeof(kept.group), "%s", group);
    (void)snprintf(kept.resource, sizeof(kept.resource), "%s", resource);
    if (group[0] != '\0' ? !find_in_group(kinds, &kept, err) : !find_in(kinds, "/api/v1", &kept, err))
        return false;
    struct kept *added = add(kinds, group, resource, err);
    if (!added)
        return false;
    *added = kept;
    *ret = added->found ? &added->kind : NULL;
    return true;
}

/* ---- all ---- */

static bool visit_version(struct kt_api_kinds *kinds, const char *group, const char *base, kt_api_kind_visit *visit,
                          void *context, struct kt_error *err)
{
    json_t *document = NULL;
    bool good = ask(kinds, base, &document, err);
    const json_t *resources = json_object_get(document, "resources");
    for (size_t i = 0; good && i < json_array_size(resources); i++) {
        struct kt_api_kind kind;
        if (fill_kind(base, json_array_get(resources, i), &kind) && kind.patched)
            good = visit(context, group, &kind, err);
    }
    json_decref(document);
    return good;
}

bool kt_api_kinds_all(struct kt_api_kinds *kinds, const char *group, kt_api_kind_visit *visit, void *context,
                      struct kt_error *err)
{
    json_t *groups = NULL;
    if ((!group || group[0] == '\0') && !visit_version(kinds, "", "/api/v1", visit, context, err))
        return false;
    if (group && group[0] == '\0')
        return true;
    bool good = ask(kinds, "/apis", &groups, err);
    const json_t *list = json_object_get(groups, "groups");
    for (size_t i = 0; good && i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *name = kt_kube_text(one, "name"), *version = kt_kube_text(one, "preferredVersion", "groupVersion");
        char base[384];
        if (!name || !version || (group && strcmp(group, name) != 0) || strpbrk(version, "?#%") ||
            snprintf(base, sizeof(base), "/apis/%s", version) >= (int)sizeof(base))
            continue;
        good = visit_version(kinds, name, base, visit, context, err);
    }
    json_decref(groups);
    return good;
}

/* One part of a path. */
static bool add_part(char *path, size_t *len, const char *part)
{
    static const char digits[] = "0123456789ABCDEF";
    if (*len + 1 >= KT_API_PATH_MAX)
        return false;
    path[(*len)++] = '/';
    for (const unsigned char *at = (const unsigned char *)part; *at; at++) {
        bool plain = isalnum(*at) || strchr("-._~", *at);
        if (*len + 4 > KT_API_PATH_MAX)
            return false;
        if (plain) {
            path[(*len)++] = (char)*at;
            continue;
        }
        path[(*len)++] = '%';
        path[(*len)++] = digits[*at >> 4];
        path[(*len)++] = digits[*at & 15];
    }
    path[*len] = '\0';
    return true;
}

bool kt_api_kind_path(const struct kt_api_kind *kind, const char *namespace, const char *name,
                      char ret[KT_API_PATH_MAX])
{
    size_t len = strlen(kind->base);
    if (name[0] == '\0' || kind->namespaced != (namespace[0] != '\0'))
        return false;
    memcpy(ret, kind->base, len + 1);
    return (!kind->namespaced || (add_part(ret, &len, "namespaces") && add_part(ret, &len, namespace))) &&
           add_part(ret, &len, kind->resource) && add_part(ret, &len, name);
}
