/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/static_pod.h"

#include "base/cleanup.h"
#include "base/yaml.h"

#include <stdio.h>
#include <string.h>

void kt_static_pod_done(struct kt_static_pod *pod)
{
    for (size_t i = 0; i < pod->n_words; i++)
        free(pod->words[i]);
    for (size_t i = 0; i < pod->n_mounts; i++) {
        free(pod->mounts[i].inside);
        free(pod->mounts[i].host);
        free(pod->mounts[i].type);
    }
    free(pod->words);
    free(pod->mounts);
    *pod = (struct kt_static_pod){.words = NULL};
}

/* ---- what a document may leave out ---- */

static const char *text_of(const struct kt_yaml *yaml, const struct kt_yaml_node *node)
{
    const char *text = NULL;
    return node && kt_yaml_text(yaml, node, KT_POD_TEXT_MAX, &text, NULL) ? text : "";
}

/* No list, or one that is absent, has no items. */
static size_t count(const struct kt_yaml *yaml, const struct kt_yaml_node *list, size_t max)
{
    size_t n = 0;
    return list && kt_yaml_items(yaml, list, max, &n, NULL) ? n : 0;
}

static const struct kt_yaml_node *find_named(const struct kt_yaml *yaml, const struct kt_yaml_node *list,
                                             const char *name)
{
    size_t n = count(yaml, list, KT_POD_WORDS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct kt_yaml_node *item = kt_yaml_item(list, i);
        if (strcmp(text_of(yaml, kt_yaml_get(item, "name")), name) == 0)
            return item;
    }
    return NULL;
}

/* ---- words ---- */

static bool add_words(const struct kt_yaml *yaml, const struct kt_yaml_node *list, struct kt_static_pod *pod,
                      struct kt_error *err)
{
    size_t n = 0;
    if (!list)
        return true;
    if (!kt_yaml_items(yaml, list, KT_POD_WORDS_MAX, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *text = NULL;
        if (pod->n_words == KT_POD_WORDS_MAX)
            return kt_yaml_fail(yaml, list, err, "expected at most %u words, found more", KT_POD_WORDS_MAX);
        if (!kt_yaml_text(yaml, kt_yaml_item(list, i), KT_POD_TEXT_MAX, &text, err))
            return false;
        pod->words[pod->n_words] = strdup(text);
        if (!pod->words[pod->n_words])
            return kt_fail(err, KT_E_NOMEM, "no memory for a manifest");
        pod->n_words++;
    }
    return true;
}

/* ---- mounts ---- */

static char *join(const char *folder, const char *below)
{
    char *path = NULL;
    size_t len = strlen(folder);
    while (len > 1 && folder[len - 1] == '/')
        len--;
    if (asprintf(&path, "%.*s%s%s", (int)len, folder, below[0] != '\0' ? "/" : "", below) < 0)
        return NULL;
    return path;
}

static bool add_mount(const struct kt_yaml *yaml, const struct kt_yaml_node *mount, const struct kt_yaml_node *volumes,
                      struct kt_static_pod *pod, struct kt_error *err)
{
    const struct kt_yaml_node *volume = find_named(yaml, volumes, text_of(yaml, kt_yaml_get(mount, "name")));
    const struct kt_yaml_node *host = volume ? kt_yaml_get(volume, "hostPath") : NULL;
    const char *path = host ? text_of(yaml, kt_yaml_get(host, "path")) : "";
    bool read_only = false;
    if (path[0] != '/')
        return true; /* of another kind */
    const struct kt_yaml_node *flag = kt_yaml_get(mount, "readOnly");
    if (flag && !kt_yaml_bool(yaml, flag, &read_only, err))
        return false;
    struct kt_pod_mount *new_mount = &pod->mounts[pod->n_mounts++];
    new_mount->inside = join(text_of(yaml, kt_yaml_get(mount, "mountPath")), "");
    new_mount->host = join(path, text_of(yaml, kt_yaml_get(mount, "subPath")));
    new_mount->type = strdup(text_of(yaml, kt_yaml_get(host, "type")));
    new_mount->read_only = read_only;
    if (!new_mount->inside || !new_mount->host || !new_mount->type)
        return kt_fail(err, KT_E_NOMEM, "no memory for a manifest");
    return true;
}

static bool add_mounts(const struct kt_yaml *yaml, const struct kt_yaml_node *mounts,
                       const struct kt_yaml_node *volumes, struct kt_static_pod *pod, struct kt_error *err)
{
    size_t n = 0;
    if (mounts && !kt_yaml_items(yaml, mounts, KT_POD_MOUNTS_MAX, &n, err))
        return false;
    pod->mounts = calloc(n + 1, sizeof(*pod->mounts));
    if (!pod->mounts)
        return kt_fail(err, KT_E_NOMEM, "no memory for a manifest");
    for (size_t i = 0; i < n; i++)
        if (!add_mount(yaml, kt_yaml_item(mounts, i), volumes, pod, err))
            return false;
    return true;
}

/* The container's own runAsUser counts before the pod's. */
static bool read_user(const struct kt_yaml *yaml, const struct kt_yaml_node *holder, struct kt_static_pod *pod,
                      struct kt_error *err)
{
    const struct kt_yaml_node *context = kt_yaml_get(holder, "securityContext");
    const struct kt_yaml_node *user = context ? kt_yaml_get(context, "runAsUser") : NULL;
    uint64_t number = 0;
    if (!user)
        return true;
    if (!kt_yaml_u64(yaml, user, UINT32_MAX, &number, err))
        return false;
    pod->has_user = true;
    pod->user = (uid_t)number;
    return true;
}

static bool fill(const struct kt_yaml *yaml, const char *name, struct kt_static_pod *pod, struct kt_error *err)
{
    const struct kt_yaml_node *root = kt_yaml_root(yaml);
    if (strcmp(text_of(yaml, kt_yaml_get(root, "kind")), "Pod") != 0)
        return kt_yaml_fail(yaml, root, err, "expected kind: Pod, found something else");
    const struct kt_yaml_node *spec = kt_yaml_need(yaml, root, "spec", err);
    const struct kt_yaml_node *containers = spec ? kt_yaml_need(yaml, spec, "containers", err) : NULL;
    if (!containers)
        return false;
    if (count(yaml, containers, KT_POD_WORDS_MAX) == 0)
        return kt_yaml_fail(yaml, containers, err, "expected a list of containers, found none");
    const struct kt_yaml_node *container = find_named(yaml, containers, name);
    container = container ? container : kt_yaml_item(containers, 0);
    pod->words = calloc(KT_POD_WORDS_MAX + 1, sizeof(*pod->words));
    if (!pod->words)
        return kt_fail(err, KT_E_NOMEM, "no memory for a manifest");
    return add_words(yaml, kt_yaml_get(container, "command"), pod, err) &&
           add_words(yaml, kt_yaml_get(container, "args"), pod, err) &&
           add_mounts(yaml, kt_yaml_get(container, "volumeMounts"), kt_yaml_get(spec, "volumes"), pod, err) &&
           read_user(yaml, spec, pod, err) && read_user(yaml, container, pod, err);
}

bool kt_static_pod_parse(struct kt_slice text, const char *what, const char *container, struct kt_static_pod *ret,
                         struct kt_error *err)
{
    struct kt_static_pod pod = {.words = NULL};
    KT_CLEANUP(kt_yaml_free_p) struct kt_yaml *yaml = kt_yaml_parse_foreign(text, what, KT_E_CONFIG, err);
    if (!yaml)
        return false;
    if (!fill(yaml, container, &pod, err)) {
        kt_static_pod_done(&pod);
        return false;
    }
    *ret = pod;
    return true;
}

/* What follows the folder in a path that lies in it; NULL: it does not. */
static const char *below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    if (strcmp(folder, "/") == 0)
        return path;
    if (len == 0 || strncmp(path, folder, len) != 0 || (path[len] != '\0' && path[len] != '/'))
        return NULL;
    return path + len;
}

const struct kt_pod_mount *kt_static_pod_mount(const struct kt_static_pod *pod, const char *path, bool inside,
                                               const char **ret_rest)
{
    const struct kt_pod_mount *found = NULL;
    const char *found_rest = NULL;
    for (size_t i = 0; path && i < pod->n_mounts; i++) {
        const char *rest = below(path, inside ? pod->mounts[i].inside : pod->mounts[i].host);
        if (!rest || (found_rest && strlen(rest) >= strlen(found_rest)))
            continue;
        found = &pod->mounts[i];
        found_rest = rest;
    }
    if (found)
        *ret_rest = found_rest;
    return found;
}
