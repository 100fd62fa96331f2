/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/storage_key.h"

#include "base/buf.h"

#include <ctype.h>
#include <string.h>

/* Kinds whose place is not their name. */
static const struct {
    const char *group;
    const char *resource;
    const char *place;
} PLACES[] = {
    {"", "replicationcontrollers", "controllers"},
    {"", "endpoints", "services/endpoints"},
    {"", "nodes", "minions"},
    {"", "services", "services/specs"},
    {"extensions", "ingresses", "ingress"},
    {"networking.k8s.io", "ingresses", "ingress"},
};

static const char *const GROUPS[] = {
#define KT_STORAGE_GROUP(name) name,
#include "cluster/storage_groups.def"
#undef KT_STORAGE_GROUP
};

bool kt_storage_group_is_built_in(const char *group)
{
    if (!strchr(group, '.'))
        return true;
    for (size_t i = 0; i < KT_ARRAY_LEN(GROUPS); i++)
        if (strcmp(group, GROUPS[i]) == 0)
            return true;
    return false;
}

bool kt_storage_resource_parse(const char *text, struct kt_storage_resource *ret, struct kt_error *err)
{
    size_t len = strcspn(text, ".");
    const char *group = text[len] == '.' ? text + len + 1 : "";
    if (len == 0 || len >= sizeof(ret->resource) || strlen(group) >= sizeof(ret->group) || strpbrk(text, "*/%"))
        return kt_fail(err, KT_E_USAGE,
                       "expected a resource such as secrets or deployments.apps, found something else");
    memcpy(ret->resource, text, len);
    ret->resource[len] = '\0';
    memcpy(ret->group, group, strlen(group) + 1);
    return true;
}

/* One part of a key, as kube-apiserver lets it in. */
static bool check_segment(const char *segment, const char *what, struct kt_error *err)
{
    if (segment[0] != '\0' && strlen(segment) < KT_STORAGE_SEGMENT_MAX && strcmp(segment, ".") != 0 &&
        strcmp(segment, "..") != 0 && !strpbrk(segment, "/%"))
        return true;
    return kt_fail(err, KT_E_USAGE, "expected the %s of an object, found one that Kubernetes does not allow", what);
}

/* path.Join("/", prefix) and one slash: no slash twice. */
static void add_prefix(struct kt_text *key, const char *prefix)
{
    for (const char *at = prefix ? prefix : KT_STORAGE_PREFIX; *at;) {
        size_t slashes = strspn(at, "/");
        size_t len = strcspn(at + slashes, "/");
        if (len > 0) {
            kt_text_add(key, "/");
            kt_text_add_bytes(key, at + slashes, len);
        }
        at += slashes + len;
    }
    kt_text_add(key, "/");
}

static void add_resource(struct kt_text *key, const struct kt_storage_resource *resource)
{
    char lower[KT_STORAGE_SEGMENT_MAX];
    size_t len = strlen(resource->resource);
    for (size_t i = 0; i < KT_ARRAY_LEN(PLACES); i++) {
        if (strcmp(PLACES[i].group, resource->group) == 0 && strcmp(PLACES[i].resource, resource->resource) == 0) {
            kt_text_add(key, "%s/", PLACES[i].place);
            return;
        }
    }
    for (size_t i = 0; i <= len; i++)
        lower[i] = (char)tolower((unsigned char)resource->resource[i]);
    if (!kt_storage_group_is_built_in(resource->group))
        kt_text_add(key, "%s/", resource->group);
    kt_text_add(key, "%s/", lower);
}

static bool finish(struct kt_text *key, char ret[KT_STORAGE_KEY_MAX], struct kt_error *err)
{
    bool fits = !key->bad;
    if (fits)
        memcpy(ret, key->data, key->len + 1);
    kt_text_done(key);
    return fits ||
           kt_fail(err, KT_E_USAGE, "expected a key of less than %u bytes, found a longer one", KT_STORAGE_KEY_MAX);
}

bool kt_storage_prefix(const char *prefix, char ret[KT_STORAGE_KEY_MAX], struct kt_error *err)
{
    struct kt_text key;
    kt_text_init(&key, KT_STORAGE_KEY_MAX - 1);
    add_prefix(&key, prefix);
    return finish(&key, ret, err);
}

bool kt_storage_key_prefix(const char *prefix, const struct kt_storage_resource *resource, char ret[KT_STORAGE_KEY_MAX],
                           struct kt_error *err)
{
    struct kt_text key;
    if (!check_segment(resource->resource, "resource", err))
        return false;
    kt_text_init(&key, KT_STORAGE_KEY_MAX - 1);
    add_prefix(&key, prefix);
    add_resource(&key, resource);
    return finish(&key, ret, err);
}

bool kt_storage_key(const char *prefix, const struct kt_storage_resource *resource, const char *namespace,
                    const char *name, char ret[KT_STORAGE_KEY_MAX], struct kt_error *err)
{
    struct kt_text key;
    if (!check_segment(resource->resource, "resource", err) || !check_segment(name, "name", err) ||
        (namespace && !check_segment(namespace, "namespace", err)))
        return false;
    kt_text_init(&key, KT_STORAGE_KEY_MAX - 1);
    add_prefix(&key, prefix);
    add_resource(&key, resource);
    if (namespace)
        kt_text_add(&key, "%s/", namespace);
    kt_text_add(&key, "%s", name);
    return finish(&key, ret, err);
}

void kt_storage_overrides_done(struct kt_storage_overrides *overrides)
{
    for (size_t i = 0; i < overrides->n; i++)
        kt_etcd_endpoints_done(&overrides->items[i].servers);
    free(overrides->items);
    *overrides = (struct kt_storage_overrides){.items = NULL};
}

static bool fail_override(struct kt_error *err)
{
    return kt_fail(err, KT_E_CONFIG,
                   "--etcd-servers-overrides invalid, must be of format: group/resource#servers, where servers are "
                   "URLs, semicolon separated");
}

/* text: one override; it is cut to pieces. */
static bool parse_override(char *text, struct kt_storage_override *ret, struct kt_error *err)
{
    char *servers = strchr(text, '#');
    char *resource = strchr(text, '/');
    if (!servers || strchr(servers + 1, '#') || !resource || resource > servers)
        return fail_override(err);
    *servers++ = '\0';
    *resource++ = '\0';
    if (resource[0] == '\0' || strchr(resource, '/') || strlen(text) >= sizeof(ret->resource.group) ||
        strlen(resource) >= sizeof(ret->resource.resource))
        return fail_override(err);
    if (!kt_etcd_endpoints_parse(servers, ';', &ret->servers, err))
        return kt_error_prefix(err, "--etcd-servers-overrides");
    (void)snprintf(ret->resource.group, sizeof(ret->resource.group), "%s", text);
    (void)snprintf(ret->resource.resource, sizeof(ret->resource.resource), "%s", resource);
    return true;
}

bool kt_storage_overrides_parse(const char *text, struct kt_storage_overrides *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_storage_overrides_done) struct kt_storage_overrides found = {.items = NULL};
    KT_CLEANUP(kt_free_p) char *copy = strdup(text);
    found.items = calloc(KT_STORAGE_OVERRIDES_MAX, sizeof(*found.items));
    if (!copy || !found.items)
        return kt_fail(err, KT_E_NOMEM, "no memory for --etcd-servers-overrides");
    char *rest = copy[0] != '\0' ? copy : NULL;
    while (rest) {
        char *one = strsep(&rest, ",");
        if (found.n == KT_STORAGE_OVERRIDES_MAX)
            return kt_fail(err, KT_E_CONFIG, "expected at most %u overrides in --etcd-servers-overrides, found more",
                           KT_STORAGE_OVERRIDES_MAX);
        if (!parse_override(one, &found.items[found.n], err))
            return false;
        found.n++;
    }
    *ret = found;
    found.items = NULL;
    found.n = 0;
    return true;
}

static const struct kt_etcd_endpoints *find_override(const struct kt_storage_overrides *overrides, const char *group,
                                                     const char *resource)
{
    for (size_t i = overrides->n; i > 0; i--) {
        const struct kt_storage_override *item = &overrides->items[i - 1];
        if (strcmp(item->resource.group, group) == 0 && strcmp(item->resource.resource, resource) == 0)
            return &item->servers;
    }
    return NULL;
}

const struct kt_etcd_endpoints *kt_storage_overrides_find(const struct kt_storage_overrides *overrides,
                                                          const struct kt_storage_resource *resource)
{
    /* Both groups of events are one kind, of which the store knows the older. */
    const char *group = strcmp(resource->group, "events.k8s.io") == 0 ? "" : resource->group;
    if (!kt_storage_group_is_built_in(group))
        return NULL;
    const struct kt_etcd_endpoints *exact = find_override(overrides, group, resource->resource);
    return exact ? exact : find_override(overrides, group, "*");
}
