/* SPDX-License-Identifier: Apache-2.0 */
/* The exec section of a user, read; kube_exec.c runs it. */
#include "cluster/kubeconfig_entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const VERSIONS[] = {"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"};

static const struct {
    const char *name;
    enum kt_kube_interactive mode;
} MODES[] = {{"Never", KT_KUBE_NEVER}, {"IfAvailable", KT_KUBE_IF_AVAILABLE}, {"Always", KT_KUBE_ALWAYS}};

static void free_words(char **words)
{
    for (; *words; words++) {
        kt_wipe(*words, strlen(*words));
        free(*words);
    }
}

void kt_kube_exec_free(struct kt_kube_exec *exec)
{
    if (!exec)
        return;
    free_words(exec->args);
    free_words(exec->env);
    free(exec->command);
    free(exec->install_hint);
    free(exec);
}

static bool read_version(const struct kt_kubeconfig_entry *entry, struct kt_kube_exec *exec, struct kt_error *err)
{
    const char *text = NULL;

    if (!kt_kubeconfig_text(entry, "apiVersion", KT_KUBECONFIG_NAME_MAX, &text, err))
        return false;
    for (size_t i = 0; text && i < KT_ARRAY_LEN(VERSIONS); i++)
        if (strcmp(text, VERSIONS[i]) == 0)
            exec->api_version = VERSIONS[i];
    if (exec->api_version)
        return true;
    (void)kt_yaml_fail(entry->yaml, entry->node, err, "expected apiVersion %s or %s, found another", VERSIONS[0],
                       VERSIONS[1]);
    return kt_error_hint(err, "update the program that makes the credentials, and this section");
}

/* v1 wants it written down, v1beta1 means IfAvailable without it. */
static bool read_mode(const struct kt_kubeconfig_entry *entry, struct kt_kube_exec *exec, struct kt_error *err)
{
    const char *text = NULL;

    if (!kt_kubeconfig_text(entry, "interactiveMode", KT_KUBECONFIG_NAME_MAX, &text, err))
        return false;
    if (!text && exec->api_version == VERSIONS[1])
        text = "IfAvailable";
    for (size_t i = 0; text && i < KT_ARRAY_LEN(MODES); i++) {
        if (strcmp(text, MODES[i].name) == 0) {
            exec->interactive = MODES[i].mode;
            return true;
        }
    }
    return kt_yaml_fail(entry->yaml, entry->node, err,
                        "expected interactiveMode Never, IfAvailable or Always, found another");
}

/* Only a command with a slash is a path. */
static bool read_command(const struct kt_kubeconfig_entry *entry, struct kt_kube_exec *exec, struct kt_error *err)
{
    const char *text = NULL;

    if (!kt_kubeconfig_text(entry, "command", KT_KUBECONFIG_TEXT_MAX, &text, err))
        return false;
    if (!text)
        return kt_yaml_fail(entry->yaml, entry->node, err, "expected a command, found none");
    exec->command = kt_kubeconfig_path(strchr(text, '/') ? entry->directory : ".", text, err);
    if (exec->command && !strchr(text, '/'))
        memmove(exec->command, exec->command + 2, strlen(exec->command) - 1);
    return exec->command != NULL;
}

/* Items of a list that may be absent. */
static bool get_list(const struct kt_kubeconfig_entry *entry, const char *key, const struct kt_yaml_node **ret,
                     size_t *ret_n, struct kt_error *err)
{
    *ret = kt_yaml_get(entry->node, key);
    *ret_n = 0;
    if (!*ret || kt_yaml_is_nothing(*ret))
        return true;
    return kt_yaml_items(entry->yaml, *ret, KT_KUBE_EXEC_WORDS_MAX, ret_n, err) || kt_error_prefix(err, "%s", key);
}

static bool read_args(const struct kt_kubeconfig_entry *entry, struct kt_kube_exec *exec, struct kt_error *err)
{
    const struct kt_yaml_node *list = NULL;
    size_t n = 0;

    if (!get_list(entry, "args", &list, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *text = NULL;
        if (!kt_yaml_text(entry->yaml, kt_yaml_item(list, i), KT_KUBECONFIG_TEXT_MAX, &text, err))
            return kt_error_prefix(err, "args");
        exec->args[i] = strdup(text);
        if (!exec->args[i])
            return kt_fail(err, KT_E_NOMEM, "out of memory");
    }
    return true;
}

static bool read_env(const struct kt_kubeconfig_entry *entry, struct kt_kube_exec *exec, struct kt_error *err)
{
    const struct kt_yaml_node *list = NULL;
    size_t n = 0;

    if (!get_list(entry, "env", &list, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct kt_kubeconfig_entry item = {.yaml = entry->yaml, .node = kt_yaml_item(list, i)};
        const char *name = NULL;
        const char *value = NULL;
        if (!kt_kubeconfig_text(&item, "name", KT_KUBECONFIG_TEXT_MAX, &name, err) ||
            !kt_kubeconfig_text(&item, "value", KT_KUBECONFIG_TEXT_MAX, &value, err))
            return kt_error_prefix(err, "env");
        if (!name || strchr(name, '='))
            return kt_yaml_fail(entry->yaml, item.node, err, "env: expected a name, found none");
        if (asprintf(&exec->env[i], "%s=%s", name, value ? value : "") < 0) {
            exec->env[i] = NULL;
            return kt_fail(err, KT_E_NOMEM, "out of memory");
        }
    }
    return true;
}

static bool read_rest(const struct kt_kubeconfig_entry *entry, struct kt_kube_exec *exec, struct kt_error *err)
{
    const struct kt_yaml_node *info = kt_yaml_get(entry->node, "provideClusterInfo");
    const char *hint = NULL;

    if (info && !kt_yaml_is_nothing(info) && !kt_yaml_bool(entry->yaml, info, &exec->cluster_info, err))
        return kt_error_prefix(err, "provideClusterInfo");
    if (!kt_kubeconfig_text(entry, "installHint", KT_KUBECONFIG_TEXT_MAX, &hint, err))
        return false;
    exec->install_hint = hint ? strdup(hint) : NULL;
    return !hint || exec->install_hint || kt_fail(err, KT_E_NOMEM, "out of memory");
}

struct kt_kube_exec *kt_kubeconfig_read_exec(const struct kt_kubeconfig_entry *entry, struct kt_error *err)
{
    KT_CLEANUP(kt_kube_exec_free_p) struct kt_kube_exec *exec = calloc(1, sizeof(*exec));

    if (!exec) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    if (!read_version(entry, exec, err) || !read_mode(entry, exec, err) || !read_command(entry, exec, err) ||
        !read_args(entry, exec, err) || !read_env(entry, exec, err) || !read_rest(entry, exec, err))
        return NULL;
    return KT_TAKE_PTR(exec);
}
