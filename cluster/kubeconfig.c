/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/kubeconfig.h"

#include "base/printable.h"
#include "cluster/kubeconfig_entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct file {
    char *path;
    char *directory;
    struct kt_yaml *yaml;
};

struct files {
    struct file list[KT_KUBECONFIG_FILES_MAX]; /* those that are there */
    size_t n;
    char *looked_at; /* all names, for messages */
};

static void files_done(struct files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        free(files->list[i].path);
        free(files->list[i].directory);
        kt_yaml_free(files->list[i].yaml);
    }
    free(files->looked_at);
}

static void bytes_wipe(struct kt_bytes *bytes)
{
    kt_wipe(bytes->data, bytes->len);
    kt_bytes_done(bytes);
}

static const struct kt_yaml_node *root_of(const struct file *file)
{
    return kt_yaml_root(file->yaml);
}

/* client-go takes a file without kind and apiVersion for one of these, too. */
static bool check_kind(const struct file *file, struct kt_error *err)
{
    static const char *const EXPECTED[][2] = {{"apiVersion", "v1"}, {"kind", "Config"}};
    const struct kt_kubeconfig_entry root = {.yaml = file->yaml, .node = root_of(file)};

    for (size_t i = 0; i < KT_ARRAY_LEN(EXPECTED); i++) {
        const char *text = NULL;
        if (!kt_kubeconfig_text(&root, EXPECTED[i][0], KT_KUBECONFIG_NAME_MAX, &text, err))
            return false;
        if (text && strcmp(text, EXPECTED[i][1]) != 0)
            return kt_yaml_fail(file->yaml, kt_yaml_get(root.node, EXPECTED[i][0]), err,
                                "expected %s: %s, found another: this is no kubeconfig", EXPECTED[i][0],
                                EXPECTED[i][1]);
    }
    return true;
}

static bool is_blank(const struct kt_bytes *text)
{
    return text->len == 0 || strspn((const char *)text->data, " \t\r\n") == text->len;
}

/* A link's target, and the file itself, lie elsewhere than the name that the user gave: relative paths in it are
 * relative to that name, as in client-go. */
static char *directory_of(const char *path, struct kt_error *err)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash == path ? strdup("/") : slash ? strndup(path, (size_t)(slash - path)) : strdup(".");

    if (!directory)
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
    return directory;
}

static bool add_file(struct files *files, const char *path, struct kt_error *err)
{
    KT_CLEANUP(bytes_wipe) struct kt_bytes text = {.data = NULL};

    if (files->n == KT_KUBECONFIG_FILES_MAX)
        return kt_fail(err, KT_E_CONFIG, "KUBECONFIG: expected at most %u files, found more", KT_KUBECONFIG_FILES_MAX);
    if (!kt_kubeconfig_read_file(path, KT_KUBECONFIG_FILE_MAX, &text, err))
        return false;
    if (is_blank(&text))
        return true;
    struct file *file = &files->list[files->n++];
    file->path = strdup(path);
    file->directory = directory_of(path, err);
    if (!file->path || !file->directory)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    file->yaml = kt_yaml_parse_foreign(kt_bytes_view(&text), path, KT_E_CONFIG, err);
    return file->yaml && check_kind(file, err);
}

static bool is_there(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

/* list: names with ':' between them; it is cut up. */
static bool add_list(struct files *files, char *list, struct kt_error *err)
{
    char *rest = list;

    for (char *path = strsep(&rest, ":"); path; path = strsep(&rest, ":"))
        if (path[0] != '\0' && is_there(path) && !add_file(files, path, err))
            return false;
    return true;
}

static bool read_files(const char *kubeconfig, struct files *files, struct kt_error *err)
{
    const char *environment = getenv("KUBECONFIG");
    const char *home = getenv("HOME");
    int n = -1;

    if (kubeconfig)
        n = asprintf(&files->looked_at, "%s", kubeconfig);
    else if (environment && environment[0] != '\0')
        n = asprintf(&files->looked_at, "%s", environment);
    else
        n = asprintf(&files->looked_at, "%s/.kube/config", home ? home : "");
    if (n < 0) {
        files->looked_at = NULL;
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    }
    if (kubeconfig)
        return add_file(files, kubeconfig, err);
    KT_CLEANUP(kt_free_p) char *list = strdup(files->looked_at);
    if (!list)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    return add_list(files, list, err);
}

static bool fail_no_files(const struct files *files, struct kt_error *err)
{
    (void)kt_fail(err, KT_E_CONFIG, "expected a kubeconfig, found none: %s", KT_PRINTABLE(files->looked_at));
    return kt_error_hint(err, "name one: --kubeconfig or KUBECONFIG; on control-plane nodes it is "
                              "/etc/kubernetes/admin.conf, /etc/rancher/k3s/k3s.yaml or /etc/rancher/rke2/rke2.yaml");
}

/* One of the three kinds of named entries: contexts with "context", and so on. */
struct kind {
    const char *list;
    const char *entry;
};

/* In one file: *ret is NULL if it has none of that name. */
static bool find_in_file(const struct file *file, const struct kind *kind, const char *name,
                         const struct kt_yaml_node **ret, struct kt_error *err)
{
    const struct kt_yaml_node *list = kt_yaml_get(root_of(file), kind->list);
    size_t n = 0;

    *ret = NULL;
    if (!list || kt_yaml_is_nothing(list))
        return true;
    if (!kt_yaml_items(file->yaml, list, KT_KUBECONFIG_ITEMS_MAX, &n, err))
        return kt_error_prefix(err, "%s", kind->list);
    for (size_t i = 0; i < n; i++) {
        const struct kt_kubeconfig_entry entry = {.yaml = file->yaml, .node = kt_yaml_item(list, i)};
        const char *found = NULL;
        if (!kt_kubeconfig_text(&entry, "name", KT_KUBECONFIG_NAME_MAX - 1, &found, err))
            return false;
        if (!found || strcmp(found, name) != 0)
            continue;
        if (*ret)
            return kt_yaml_fail(file->yaml, entry.node, err, "expected each name in %s once, found one twice",
                                kind->list);
        *ret = entry.node;
    }
    return true;
}

static bool fail_absent(const struct files *files, const struct kind *kind, const char *name, struct kt_error *err)
{
    (void)kt_fail(err, KT_E_CONFIG, "expected the %s %s, found none of that name: %s", kind->entry, KT_PRINTABLE(name),
                  KT_PRINTABLE(files->looked_at));
    return kt_error_hint(err, "kubectl config get-contexts lists what there is; choose one with --context");
}

static bool find_entry(const struct files *files, const struct kind *kind, const char *name,
                       struct kt_kubeconfig_entry *ret, struct kt_error *err)
{
    for (size_t i = 0; i < files->n; i++) {
        const struct file *file = &files->list[i];
        const struct kt_yaml_node *found = NULL;
        if (!find_in_file(file, kind, name, &found, err))
            return false;
        if (!found)
            continue;
        *ret = (struct kt_kubeconfig_entry){
            .yaml = file->yaml, .node = kt_yaml_get(found, kind->entry), .directory = file->directory};
        return true;
    }
    return fail_absent(files, kind, name, err);
}

static bool find_current(const struct files *files, const char **ret, struct kt_error *err)
{
    for (size_t i = 0; i < files->n; i++) {
        const struct kt_kubeconfig_entry root = {.yaml = files->list[i].yaml, .node = root_of(&files->list[i])};
        if (!kt_kubeconfig_text(&root, "current-context", KT_KUBECONFIG_NAME_MAX - 1, ret, err))
            return false;
        if (*ret)
            return true;
    }
    (void)kt_fail(err, KT_E_CONFIG, "expected a current-context, found none: %s", KT_PRINTABLE(files->looked_at));
    return kt_error_hint(err, "choose a context with --context; kubectl config get-contexts lists them");
}

static bool read_context(const struct files *files, const char *name, struct kt_kubeconfig *config,
                         struct kt_error *err)
{
    static const struct kind CONTEXTS = {"contexts", "context"};
    static const struct kind CLUSTERS = {"clusters", "cluster"};
    static const struct kind USERS = {"users", "user"};
    struct kt_kubeconfig_entry entry;
    const char *cluster = NULL;
    const char *user = NULL;

    if (strlen(name) >= sizeof(config->context))
        return fail_absent(files, &CONTEXTS, name, err);
    memcpy(config->context, name, strlen(name) + 1);
    if (!find_entry(files, &CONTEXTS, name, &entry, err) ||
        !kt_kubeconfig_text(&entry, "cluster", KT_KUBECONFIG_NAME_MAX - 1, &cluster, err) ||
        !kt_kubeconfig_text(&entry, "user", KT_KUBECONFIG_NAME_MAX - 1, &user, err))
        return false;
    if (!cluster)
        return kt_fail(err, KT_E_CONFIG, "expected a cluster in the context %s, found none", KT_PRINTABLE(name));
    if (!find_entry(files, &CLUSTERS, cluster, &entry, err) || !kt_kubeconfig_read_cluster(&entry, config, err))
        return false;
    if (!user)
        return true;
    return find_entry(files, &USERS, user, &entry, err) && kt_kubeconfig_read_user(&entry, config, err);
}

static bool load(const struct kt_kubeconfig_options *options, struct kt_kubeconfig *config, struct kt_error *err)
{
    KT_CLEANUP(files_done) struct files files = {.n = 0};
    const char *context = options->context;

    if (!read_files(options->kubeconfig, &files, err))
        return false;
    if (files.n == 0)
        return fail_no_files(&files, err);
    if (!(context && context[0] != '\0') && !find_current(&files, &context, err))
        return false;
    return read_context(&files, context, config, err);
}

struct kt_kubeconfig *kt_kubeconfig_load(const struct kt_kubeconfig_options *options, struct kt_error *err)
{
    struct kt_kubeconfig *config = calloc(1, sizeof(*config));

    if (!config)
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
    else if (load(options, config, err))
        return config;
    kt_kubeconfig_free(config);
    return NULL;
}

void kt_kubeconfig_free(struct kt_kubeconfig *config)
{
    if (!config)
        return;
    kt_bytes_done(&config->ca);
    kt_bytes_done(&config->certificate);
    kt_secret_free(config->key);
    kt_secret_free(config->token);
    free(config->token_file);
    kt_kube_exec_free(config->exec);
    free(config);
}
