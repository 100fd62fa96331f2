/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of kubeadm's static pod. */
#include "wiring/parts.h"

#include <stdio.h>
#include <string.h>

#define CONTAINER "spec", "containers", "[kube-apiserver]"

static const char *const command_path[] = {CONTAINER, "command", NULL};
static const char *const args_path[] = {CONTAINER, "args", NULL};
static const char *const mounts_path[] = {CONTAINER, "volumeMounts", NULL};
static const char *const volumes_path[] = {"spec", "volumes", NULL};

static kt_yaml_path words_path(const struct kt_source *source)
{
    return kt_yaml_find(source, args_path) ? args_path : command_path;
}

/* ---- in ---- */

static bool has_arg(const struct kt_host *host, const struct kt_wiring_arg *arg)
{
    const char *config = kt_apiserver_encryption_config(&host->flags);
    if (strcmp(arg->name, kt_apiserver_flag_name(KT_FLAG_ENCRYPTION_RELOAD)) == 0)
        return kt_apiserver_flag_on(&host->flags, KT_FLAG_ENCRYPTION_RELOAD);
    return config && strcmp(config, arg->value) == 0;
}

static bool has_mount(const struct kt_host *host, const struct kt_wiring_mount *mount)
{
    char inside[PATH_MAX];
    char file[PATH_MAX + 2];
    char expected[PATH_MAX + 2];
    (void)snprintf(file, sizeof(file), "%s/x", mount->host);
    (void)snprintf(expected, sizeof(expected), "%s/x", mount->inside);
    return strlen(file) < PATH_MAX && kt_host_inside(host, file, inside) == KT_HOST_PATH_FOLDER &&
           strcmp(inside, expected) == 0;
}

/* A volume of that name that is another one, or half of ours. */
static bool check_name(const struct kt_source *source, const char *name, struct kt_error *err)
{
    char item[64];
    const char *const mount[] = {CONTAINER, "volumeMounts", item, NULL};
    const char *const volume[] = {"spec", "volumes", item, NULL};
    (void)snprintf(item, sizeof(item), "[%s]", name);
    if (!kt_yaml_find(source, mount) && !kt_yaml_find(source, volume))
        return true;
    kt_fail(err, KT_E_REFUSED, "expected no volume of the name %s, or a whole one, found another", name);
    return kt_error_hint(err, "take it out of volumeMounts and volumes, and run it again");
}

static bool check_flags(const struct kt_host *host, struct kt_error *err)
{
    const struct kt_apiserver_flags *flags = &host->flags;
    if (flags->given[KT_FLAG_ENCRYPTION_CONFIG] + flags->given[KT_FLAG_ENCRYPTION_CONFIG_OLD] <= 1 &&
        flags->given[KT_FLAG_ENCRYPTION_CONFIG_OLD] == 0 &&
        (flags->given[KT_FLAG_ENCRYPTION_RELOAD] == 0 || kt_apiserver_flag_on(flags, KT_FLAG_ENCRYPTION_RELOAD)))
        return true;
    kt_fail(err, KT_E_REFUSED,
            "expected no flag that encrypts, or a good one, found several, an old one, or reload off");
    return kt_error_hint(err, "mend it first: keyturn doctor shows the lines");
}

static void add(const struct kt_host *host, const struct kt_wiring *wiring, kt_yaml_path words,
                struct kt_wiring_text *text)
{
    for (size_t i = 0; i < wiring->n_args; i++) {
        if (!has_arg(host, &wiring->args[i]))
            kt_wiring_append(text, words, "- --%s=%s\n", wiring->args[i].name, wiring->args[i].value);
    }
    for (size_t i = 0; i < wiring->n_mounts; i++) {
        const struct kt_wiring_mount *mount = &wiring->mounts[i];
        if (has_mount(host, mount))
            continue;
        kt_wiring_append(text, mounts_path, "- mountPath: %s\n  name: %s\n%s", mount->inside, mount->name,
                         mount->read_only ? "  readOnly: true\n" : "");
        kt_wiring_append(text, volumes_path, "- hostPath:\n    path: %s\n    type: Directory\n  name: %s\n",
                         mount->host, mount->name);
    }
}

static bool check_names(const struct kt_host *host, const struct kt_wiring *wiring, const struct kt_source *source,
                        struct kt_error *err)
{
    for (size_t i = 0; i < wiring->n_mounts; i++) {
        if (!has_mount(host, &wiring->mounts[i]) && !check_name(source, wiring->mounts[i].name, err))
            return false;
    }
    return true;
}

/* ---- what came of it ---- */

/* The host with another manifest. */
static bool read_again(const struct kt_host *host, const struct kt_bytes *text, struct kt_host *ret,
                       struct kt_error *err)
{
    *ret = *host;
    ret->flags = (struct kt_apiserver_flags){.values = {NULL}};
    ret->pod = (struct kt_static_pod){.words = NULL};
    return kt_static_pod_parse(kt_bytes_view(text), host->manifest, "kube-apiserver", &ret->pod, err) &&
           kt_apiserver_flags_read(ret->pod.words, ret->pod.n_words, &ret->flags, err);
}

static bool is_right(const struct kt_host *before, const struct kt_wiring *wiring, const struct kt_host *after, bool in)
{
    size_t n_words = 0, n_mounts = 0;
    for (size_t i = 0; i < wiring->n_args; i++) {
        n_words += has_arg(before, &wiring->args[i]) != in;
        if (has_arg(after, &wiring->args[i]) != in)
            return false;
    }
    for (size_t i = 0; in && i < wiring->n_mounts; i++) {
        n_mounts += !has_mount(before, &wiring->mounts[i]);
        if (!has_mount(after, &wiring->mounts[i]))
            return false;
    }
    return !in || (after->pod.n_words == before->pod.n_words + n_words &&
                   after->pod.n_mounts == before->pod.n_mounts + n_mounts);
}

static bool verify(const struct kt_host *host, const struct kt_wiring *wiring, bool in, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_host *after = calloc(1, sizeof(*after));
    if (!after)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    bool right = read_again(host, &wiring->after, after, err) &&
                 (is_right(host, wiring, after, in) ||
                  kt_fail(err, KT_E_INTERNAL, "%s: what would be written is not what was wanted", wiring->target));
    kt_apiserver_flags_done(&after->flags);
    kt_static_pod_done(&after->pod);
    return right;
}

bool kt_wiring_manifest(const struct kt_host *host, struct kt_wiring *wiring, struct kt_error *err)
{
    KT_CLEANUP(kt_source_free_p)
    struct kt_source *source = kt_source_parse(kt_bytes_view(&wiring->before), NULL, err);
    struct kt_wiring_text text;
    if (!source || !check_flags(host, err) || !check_names(host, wiring, source, err))
        return kt_error_prefix(err, "%s", wiring->target);
    kt_wiring_begin(&text, kt_bytes_view(&wiring->before), err);
    add(host, wiring, words_path(source), &text);
    if (!kt_wiring_end(&text, &wiring->after))
        return kt_error_prefix(err, "%s", wiring->target);
    return verify(host, wiring, true, err);
}

/* ---- out ---- */

/* "--encryption-provider-config=X", or its name alone, and the value in the next word. */
static bool is_encryption(const struct kt_source_node *word, bool *ret_two)
{
    static const enum kt_apiserver_flag flags[] = {KT_FLAG_ENCRYPTION_CONFIG, KT_FLAG_ENCRYPTION_CONFIG_OLD,
                                                   KT_FLAG_ENCRYPTION_RELOAD};
    for (size_t i = 0; word->kind == KT_SOURCE_SCALAR && i < KT_ARRAY_LEN(flags); i++) {
        const char *name = kt_apiserver_flag_name(flags[i]);
        size_t len = strlen(name);
        if (strncmp(word->text, "--", 2) != 0 || strncmp(word->text + 2, name, len) != 0)
            continue;
        *ret_two = word->text[len + 2] == '\0' && flags[i] != KT_FLAG_ENCRYPTION_RELOAD;
        if (word->text[len + 2] == '=' || word->text[len + 2] == '\0')
            return true;
    }
    return false;
}

/* From the last to the first, so that numbers stay right. */
static void cut_words(const struct kt_source *source, kt_yaml_path path, struct kt_wiring_text *text)
{
    const struct kt_source_node *list = kt_yaml_find(source, path);
    bool two = false;
    for (size_t i = list && list->kind == KT_SOURCE_SEQUENCE ? list->n_items : 0; i-- > 0;) {
        if (!is_encryption(list->items[i], &two))
            continue;
        if (two && i + 1 < list->n_items)
            kt_wiring_cut(text, path, i + 1);
        kt_wiring_cut(text, path, i);
    }
}

static void cut_named(const struct kt_source *source, kt_yaml_path path, const char *name, struct kt_wiring_text *text)
{
    const struct kt_source_node *list = kt_yaml_find(source, path);
    for (size_t i = list && list->kind == KT_SOURCE_SEQUENCE ? list->n_items : 0; i-- > 0;) {
        const struct kt_source_node *item = kt_source_follow(list->items[i]);
        const struct kt_source_node *value = item->kind == KT_SOURCE_MAPPING ? kt_source_get(item, "name") : NULL;
        if (value && value->kind == KT_SOURCE_SCALAR && strcmp(value->text, name) == 0) {
            kt_wiring_cut(text, path, i);
            return;
        }
    }
}

bool kt_wiring_manifest_out(const struct kt_host *host, struct kt_wiring *wiring, struct kt_error *err)
{
    static const char *const names[] = {"keyturn-config", "keyturn-socket"};
    KT_CLEANUP(kt_source_free_p)
    struct kt_source *source = kt_source_parse(kt_bytes_view(&wiring->before), NULL, err);
    struct kt_wiring_text text;
    if (!source)
        return kt_error_prefix(err, "%s", wiring->target);
    kt_wiring_begin(&text, kt_bytes_view(&wiring->before), err);
    cut_words(source, command_path, &text);
    cut_words(source, args_path, &text);
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++) {
        KT_CLEANUP(kt_source_free_p)
        struct kt_source *now = text.failed ? NULL : kt_source_parse(kt_bytes_view(&text.bytes), NULL, err);
        if (now) {
            cut_named(now, mounts_path, names[i], &text);
            cut_named(now, volumes_path, names[i], &text);
        }
    }
    if (!kt_wiring_end(&text, &wiring->after))
        return kt_error_prefix(err, "%s", wiring->target);
    return verify(host, wiring, false, err);
}
