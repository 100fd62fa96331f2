/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/config.h"

#include "base/file.h"
#include "base/yaml.h"
#include "keystore/config_fields.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES_MAX 40u
#define GROUP_MAX 24u

void kt_config_defaults(struct kt_config *ret)
{
    size_t n = 0;
    const struct kt_config_field *fields = kt_config_fields(&n);

    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < n; i++) {
        bool empty_list = fields[i].kind == KT_CONFIG_IDS && fields[i].fallback[0] == '\0';
        bool set = !fields[i].fallback || empty_list || kt_config_set(&fields[i], fields[i].fallback, ret);

        assert(set);
        (void)set;
    }
}

/* The names that may stand in the root (group NULL) or in a group, for kt_yaml_keys. */
struct names {
    const char *list[NAMES_MAX + 1];
    char groups[NAMES_MAX][GROUP_MAX];
    size_t n;
};

static void names_add(struct names *names, const char *name, size_t len)
{
    assert(names->n < NAMES_MAX && len < GROUP_MAX);
    memcpy(names->groups[names->n], name, len);
    names->list[names->n] = names->groups[names->n];
    names->n++;
}

static void names_of_root(struct names *names)
{
    size_t n = 0;
    const struct kt_config_field *fields = kt_config_fields(&n);

    names_add(names, "apiVersion", strlen("apiVersion"));
    names_add(names, "kind", strlen("kind"));
    for (size_t i = 0; i < n; i++) {
        size_t len = kt_config_group_len(&fields[i]);

        if (len == 0)
            names_add(names, fields[i].path, strlen(fields[i].path));
        else if (i == 0 || strncmp(fields[i - 1].path, fields[i].path, len + 1) != 0)
            names_add(names, fields[i].path, len);
    }
}

static void names_of_group(struct names *names, const char *group)
{
    size_t n = 0;
    const struct kt_config_field *fields = kt_config_fields(&n);

    for (size_t i = 0; i < n; i++) {
        size_t len = kt_config_group_len(&fields[i]);

        if (len == strlen(group) && strncmp(fields[i].path, group, len) == 0)
            names_add(names, fields[i].path + len + 1, strlen(fields[i].path + len + 1));
    }
}

static bool check_names(const struct kt_yaml *yaml, struct kt_error *err)
{
    const struct kt_yaml_node *root = kt_yaml_root(yaml);
    struct names all = {.n = 0};

    names_of_root(&all);
    if (!kt_yaml_keys(yaml, root, all.list, err))
        return false;
    for (size_t i = 0; i < all.n; i++) {
        const struct kt_yaml_node *node = kt_yaml_get(root, all.list[i]);
        struct names group = {.n = 0};

        names_of_group(&group, all.list[i]);
        if (node && group.n > 0 && !kt_yaml_keys(yaml, node, group.list, err))
            return false;
    }
    return true;
}

static bool check_constant(const struct kt_yaml *yaml, const char *name, const char *value, struct kt_error *err)
{
    const struct kt_yaml_node *node = kt_yaml_need(yaml, kt_yaml_root(yaml), name, err);
    const char *text = NULL;

    if (!node || !kt_yaml_text(yaml, node, KT_NAME_MAX, &text, err))
        return false;
    return strcmp(text, value) == 0 || kt_yaml_fail(yaml, node, err, "%s must be %s", name, value);
}

static bool refuse(const struct kt_yaml *yaml, const struct kt_yaml_node *node, const struct kt_config_field *field,
                   struct kt_error *err)
{
    char expects[KT_CONFIG_EXPECTS_MAX];

    kt_config_expects(field, expects);
    return kt_yaml_fail(yaml, node, err, "%s must be %s", field->path, expects);
}

static bool set_list(const struct kt_yaml *yaml, const struct kt_yaml_node *node, const struct kt_config_field *field,
                     struct kt_config *config, struct kt_error *err)
{
    size_t n = 0;

    memset((uint8_t *)config + field->offset, 0, field->size);
    if (!kt_yaml_items(yaml, node, KT_CONFIG_IDS_MAX, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct kt_yaml_node *item = kt_yaml_item(node, i);
        const char *text = NULL;

        if (!kt_yaml_text(yaml, item, KT_NAME_MAX, &text, err))
            return false;
        if (!kt_config_set(field, text, config))
            return refuse(yaml, item, field, err);
    }
    return true;
}

static const struct kt_yaml_node *find(const struct kt_yaml *yaml, const struct kt_config_field *field)
{
    const struct kt_yaml_node *map = kt_yaml_root(yaml);
    size_t len = kt_config_group_len(field);
    char group[GROUP_MAX] = "";

    assert(len < sizeof(group));
    memcpy(group, field->path, len);
    if (len > 0)
        map = kt_yaml_get(map, group);
    return map ? kt_yaml_get(map, kt_config_field_name(field)) : NULL;
}

static bool set_field(const struct kt_yaml *yaml, const struct kt_config_field *field, struct kt_config *config,
                      struct kt_error *err)
{
    const struct kt_yaml_node *node = find(yaml, field);
    const char *text = NULL;

    if (!node && field->kind == KT_CONFIG_OWNER)
        return true;
    if (!node)
        return field->fallback != NULL || kt_yaml_need(yaml, kt_yaml_root(yaml), field->path, err) != NULL;
    if (field->kind == KT_CONFIG_IDS)
        return set_list(yaml, node, field, config, err);
    if (!kt_yaml_text(yaml, node, PATH_MAX, &text, err))
        return false;
    if (!kt_config_set(field, text, config))
        return refuse(yaml, node, field, err);
    if (field->kind == KT_CONFIG_OWNER)
        config->has_owner = true;
    return true;
}

/* What no single field can tell. */
static bool check_whole(const struct kt_config *config, struct kt_error *err)
{
    if (strcmp(config->kms_socket, config->control_socket) == 0)
        return kt_fail(err, KT_E_CONFIG, "keyturn.yaml: kms.socket and control.socket must be two different paths");
    if (strcmp(config->metrics_listen, config->kms_socket) == 0 ||
        strcmp(config->metrics_listen, config->control_socket) == 0)
        return kt_fail(err, KT_E_CONFIG, "keyturn.yaml: metrics.listen must be a socket of its own");
    return true;
}

bool kt_config_parse(struct kt_slice text, struct kt_config *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_yaml_free_p) struct kt_yaml *yaml = kt_yaml_parse(text, "keyturn.yaml", KT_E_CONFIG, err);
    KT_CLEANUP(kt_free_p) struct kt_config *config = calloc(1, sizeof(*config));
    size_t n = 0;
    const struct kt_config_field *fields = kt_config_fields(&n);

    if (!yaml)
        return false;
    if (!config)
        return kt_fail(err, KT_E_NOMEM, "no memory for the configuration");
    kt_config_defaults(config);
    if (!check_names(yaml, err) || !check_constant(yaml, "apiVersion", "keyturn.dev/v1", err) ||
        !check_constant(yaml, "kind", "Config", err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!set_field(yaml, &fields[i], config, err))
            return false;
    if (!check_whole(config, err))
        return false;
    *ret = *config;
    return true;
}

bool kt_config_need_owner(const struct kt_config *config, struct kt_error *err)
{
    if (config->has_owner)
        return true;
    (void)kt_fail(err, KT_E_CONFIG, "%s: owner is missing: this node does not know whose keyrings to trust",
                  config->path[0] ? config->path : "keyturn.yaml");
    return kt_error_hint(err, "`keyturn init` writes it when it founds a keyring; a node that joins gets it with its "
                              "bundle");
}

static bool make_absolute(const char *path, char ret[PATH_MAX], struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *cwd = NULL;
    int len = 0;

    if (path[0] != '/') {
        cwd = getcwd(NULL, 0);
        if (!cwd)
            return kt_fail_errno(err, KT_E_IO, "getcwd");
    }
    len = snprintf(ret, PATH_MAX, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", path);
    if (len < 0 || len >= PATH_MAX)
        return kt_fail(err, KT_E_CONFIG, "the path of the configuration file is longer than %d bytes", PATH_MAX - 1);
    return true;
}

bool kt_config_load(const char *path, struct kt_config *ret, struct kt_error *err)
{
    const struct kt_file_rules rules = {
        .max = KT_CONFIG_FILE_MAX, .owner = geteuid(), .forbidden_mode = S_IWGRP | S_IWOTH};
    KT_CLEANUP_BYTES struct kt_bytes text = {.data = NULL};
    char absolute[PATH_MAX] = "";

    _Static_assert(sizeof(ret->path) == sizeof(absolute), "kt_config.path holds PATH_MAX");
    enum kt_file_state state = KT_FILE_ABSENT;
    if (!make_absolute(path, absolute, err) || !kt_file_read_if(AT_FDCWD, absolute, &rules, &text, &state, err))
        return false;
    if (state == KT_FILE_ABSENT) {
        (void)kt_fail(err, KT_E_CONFIG, "%s: there is no such file", absolute);
        return kt_error_hint(err, "`keyturn init` makes one; --config or KEYTURN_CONFIG names one elsewhere");
    }
    if (!kt_config_parse(kt_bytes_view(&text), ret, err))
        return kt_error_prefix(err, "%s", absolute);
    memcpy(ret->path, absolute, sizeof(absolute));
    return true;
}

const char *kt_config_path(const char *option)
{
    const char *from_environment = getenv("KEYTURN_CONFIG");

    if (option)
        return option;
    return from_environment && from_environment[0] ? from_environment : KT_CONFIG_DEFAULT;
}
