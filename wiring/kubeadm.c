/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kubeadm's ClusterConfiguration (kubeadm.k8s.io/v1beta3: apiServer.extraArgs is a mapping of texts; v1beta4: a list of
 * name and value), out of which `kubeadm upgrade` makes the manifest anew.
 */
#include "wiring/parts.h"

#include <stdio.h>
#include <string.h>

static const char *const args_path[] = {"apiServer", "extraArgs", NULL};
static const char *const volumes_path[] = {"apiServer", "extraVolumes", NULL};

enum form { FORM_MAPPING, FORM_LIST, FORM_UNKNOWN };

static enum form form_of(const struct kt_source *source)
{
    static const char *const path[] = {"apiVersion", NULL};
    const struct kt_source_node *version = kt_yaml_find(source, path);
    if (!version || version->kind != KT_SOURCE_SCALAR)
        return FORM_UNKNOWN;
    return strcmp(version->text, "kubeadm.k8s.io/v1beta3") == 0   ? FORM_MAPPING
           : strcmp(version->text, "kubeadm.k8s.io/v1beta4") == 0 ? FORM_LIST
                                                                  : FORM_UNKNOWN;
}

static struct kt_source *parse(struct kt_slice config, enum form *ret_form, struct kt_error *err)
{
    struct kt_source *source = kt_source_parse(config, NULL, err);
    if (!source)
        return NULL;
    *ret_form = form_of(source);
    if (*ret_form != FORM_UNKNOWN)
        return source;
    kt_source_free(source);
    kt_fail(err, KT_E_REFUSED, "expected apiVersion kubeadm.k8s.io/v1beta3 or v1beta4, found another");
    kt_error_hint(err, "kubeadm config migrate brings it up to date");
    return NULL;
}

static bool is_text(const struct kt_source_node *node, const char *text)
{
    node = node ? kt_source_follow(node) : NULL;
    return node && node->kind == KT_SOURCE_SCALAR && node->len == strlen(text) &&
           memcmp(node->text, text, node->len) == 0;
}

static const struct kt_source_node *field(const struct kt_source_node *item, const char *key)
{
    item = kt_source_follow(item);
    return item && item->kind == KT_SOURCE_MAPPING ? kt_source_get(item, key) : NULL;
}

/* The last of that name counts, as with flags. NULL: none; *ret_index is where it stands. */
static const struct kt_source_node *find_arg(const struct kt_source *source, enum form form, const char *name,
                                             size_t *ret_index)
{
    const struct kt_source_node *args = kt_yaml_find(source, args_path);
    size_t n = !args                                                     ? 0
               : form == FORM_LIST && args->kind == KT_SOURCE_SEQUENCE   ? args->n_items
               : form == FORM_MAPPING && args->kind == KT_SOURCE_MAPPING ? args->n_items / 2
                                                                         : 0;
    for (size_t i = n; i-- > 0;) {
        const struct kt_source_node *key = form == FORM_LIST ? field(args->items[i], "name") : args->items[2 * i];
        *ret_index = i;
        if (is_text(key, name))
            return form == FORM_LIST ? field(args->items[i], "value") : args->items[2 * i + 1];
    }
    return NULL;
}

static bool is_mount(const struct kt_source_node *item, const struct kt_wiring_mount *mount)
{
    return is_text(field(item, "hostPath"), mount->host) && is_text(field(item, "mountPath"), mount->inside);
}

/* SIZE_MAX: none. */
static size_t find_mount(const struct kt_source *source, const struct kt_wiring_mount *mount)
{
    const struct kt_source_node *volumes = kt_yaml_find(source, volumes_path);
    for (size_t i = 0; volumes && volumes->kind == KT_SOURCE_SEQUENCE && i < volumes->n_items; i++) {
        if (is_mount(volumes->items[i], mount))
            return i;
    }
    return SIZE_MAX;
}

static bool add_arg(const struct kt_source *source, enum form form, const struct kt_wiring_arg *arg,
                    struct kt_wiring_text *text, struct kt_error *err)
{
    size_t index = 0;
    const struct kt_source_node *value = find_arg(source, form, arg->name, &index);
    const char *quote = strcmp(arg->value, "true") == 0 ? "\"" : "";
    if (is_text(value, arg->value))
        return true;
    if (value) {
        kt_fail(err, KT_E_REFUSED, "expected extraArgs %s to be %.512s, found another value", arg->name, arg->value);
        return kt_error_hint(err, "kubectl -n kube-system edit configmap kubeadm-config");
    }
    if (form == FORM_LIST)
        kt_wiring_append(text, args_path, "- name: %s\n  value: %s%s%s\n", arg->name, quote, arg->value, quote);
    else
        kt_wiring_append(text, args_path, "%s: %s%s%s\n", arg->name, quote, arg->value, quote);
    return !text->failed;
}

bool kt_wiring_kubeadm(const struct kt_wiring *wiring, struct kt_slice config, struct kt_bytes *ret,
                       struct kt_error *err)
{
    enum form form = FORM_UNKNOWN;
    struct kt_wiring_text text;
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = parse(config, &form, err);
    if (!source)
        return false;
    kt_wiring_begin(&text, config, err);
    for (size_t i = 0; i < wiring->n_args && !text.failed; i++)
        text.failed = !add_arg(source, form, &wiring->args[i], &text, err);
    for (size_t i = 0; i < wiring->n_mounts; i++) {
        const struct kt_wiring_mount *mount = &wiring->mounts[i];
        if (find_mount(source, mount) == SIZE_MAX)
            kt_wiring_append(&text, volumes_path,
                             "- hostPath: %s\n  mountPath: %s\n  name: %s\n  pathType: Directory\n%s", mount->host,
                             mount->inside, mount->name, mount->read_only ? "  readOnly: true\n" : "");
    }
    return kt_wiring_end(&text, ret);
}

/* One after the other, since numbers change. */
static bool cut_one(const struct kt_wiring *wiring, enum form form, struct kt_wiring_text *text, struct kt_error *err)
{
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = kt_source_parse(kt_bytes_view(&text->bytes), NULL, err);
    size_t index = 0;
    if (!source) {
        text->failed = true;
        return false;
    }
    for (size_t i = 0; i < wiring->n_args; i++) {
        if (find_arg(source, form, wiring->args[i].name, &index)) {
            kt_wiring_cut(text, args_path, index);
            return true;
        }
    }
    for (size_t i = 0; i < wiring->n_mounts; i++) {
        index = find_mount(source, &wiring->mounts[i]);
        if (index != SIZE_MAX) {
            kt_wiring_cut(text, volumes_path, index);
            return true;
        }
    }
    return false;
}

bool kt_wiring_kubeadm_out(const struct kt_wiring *wiring, struct kt_slice config, struct kt_bytes *ret,
                           struct kt_error *err)
{
    enum form form = FORM_UNKNOWN;
    struct kt_wiring_text text;
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = parse(config, &form, err);
    if (!source)
        return false;
    kt_wiring_begin(&text, config, err);
    while (!text.failed && cut_one(wiring, form, &text, err))
        continue;
    return kt_wiring_end(&text, ret);
}
