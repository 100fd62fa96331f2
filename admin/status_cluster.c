/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/status_cluster.h"

#include "base/printable.h"
#include "rotation/texts.h"

#include <stdio.h>
#include <string.h>

static bool names_something(const struct kt_options *options)
{
    bool any = options->n_api_servers > 0;
    for (size_t i = 0; i < KT_CLUSTER_COUNT; i++)
        any = any || options->cluster[i];
    return any;
}

/* People know servers by their hosts. */
static void name_by_host(struct kt_look *look)
{
    for (size_t i = 0; look->servers && i < look->servers->n; i++) {
        if (look->servers->list[i].host[0] != '\0')
            look->apis[i].name = look->servers->list[i].host;
    }
}

bool kt_status_cluster_get(const struct kt_options *options, const struct kt_view *view, struct kt_status_cluster *ret,
                           struct kt_error *err)
{
    *ret = (struct kt_status_cluster){.hashes = KT_HASHES_UNKNOWN};
    snprintf(ret->text, sizeof(ret->text), "%s", KT_TEXT_HASHES_UNKNOWN);
    if (!view->info)
        return true;
    ret->look = kt_look_open(options, view->config, &ret->why);
    if (!ret->look)
        return !names_something(options) || kt_error_copy(err, &ret->why);
    if (!kt_look_take(ret->look, view->info, kt_view_status(view), err))
        return false;
    name_by_host(ret->look);
    ret->hashes = kt_rotation_hashes(&ret->look->facts, ret->text);
    (void)kt_error_copy(&ret->why, &ret->look->no_servers);
    return true;
}

void kt_status_cluster_done(struct kt_status_cluster *cluster)
{
    kt_look_free(cluster->look);
    cluster->look = NULL;
}

/* It has been told the active key, and has loaded the file as it is. */
static bool is_current(const struct kt_look *look, const struct kt_facts_api *api)
{
    const struct kt_keyring_info *info = look->info;
    const struct kt_facts_config *config = &look->facts.config;
    bool kms = info->enabled && info->keys[0].type == KT_KEY_KMS;
    bool loaded = config->present && api->hash_known && memcmp(api->hash, config->hash, KT_HASH_LEN) == 0;
    if (kms)
        return api->status_ref == KT_REF_KEY(0) && (loaded || !config->present || !api->hash_known);
    return loaded;
}

static const char *key_id_hash(const struct kt_look *look, size_t i)
{
    const struct kt_metrics_key *key = NULL;
    if (look->servers && i < look->servers->n && look->servers->list[i].has_metrics)
        key = kt_metrics_seen(&look->servers->list[i].metrics, look->provider);
    return key ? key->key_id_hash : "";
}

static const char *config_hash(const struct kt_look *look, size_t i)
{
    return look->servers && i < look->servers->n ? look->servers->list[i].metrics.config_hash : "";
}

static const char *address(const struct kt_look *look, size_t i)
{
    return look->servers && i < look->servers->n ? look->servers->list[i].address : "";
}

/* The key that it last wrote under, by its own count. */
static void print_written(const struct kt_look *look, size_t i)
{
    const struct kt_metrics_key *last = NULL;
    char at[KT_TIME_LEN];
    if (!look->servers || i >= look->servers->n)
        return;
    const struct kt_metrics *metrics = &look->servers->list[i].metrics;
    for (size_t k = 0; k < metrics->n_keys; k++) {
        const struct kt_metrics_key *key = &metrics->keys[k];
        bool newer = key->written_at > (last ? last->written_at : 0);
        if (strcmp(key->provider, look->provider) == 0 && newer)
            last = key;
    }
    if (!last)
        return;
    kt_time_format((uint64_t)last->written_at, at);
    printf("  wrote last at %s, under key_id %s\n", at, KT_PRINTABLE(last->key_id_hash));
}

void kt_status_cluster_print(const struct kt_status_cluster *cluster)
{
    const struct kt_look *look = cluster->look;
    for (size_t i = 0; look && i < look->facts.n_apis; i++) {
        const struct kt_facts_api *api = &look->apis[i];
        const char *key = key_id_hash(look, i);
        const char *config = config_hash(look, i);
        printf("API server: %s %s, %s, key_id %s, config %s\n", KT_PRINTABLE(api->name), KT_PRINTABLE(address(look, i)),
               !api->reachable         ? "does not answer"
               : is_current(look, api) ? "current"
                                       : "not current",
               key[0] ? KT_PRINTABLE(key) : "unknown", config[0] ? KT_PRINTABLE(config) : "unknown");
        print_written(look, i);
    }
    if (cluster->why.code != KT_OK)
        printf("API servers: %s\n", KT_PRINTABLE(cluster->why.message));
}

/* The problem of API server i, if it has one. */
static bool is_problem(const struct kt_look *look, size_t i, struct kt_error *ret)
{
    const struct kt_facts_api *api = &look->apis[i];
    if (!api->reload_failure)
        return false;
    kt_fail(ret, KT_E_FOUND, "API server %.100s: %.380s", api->name, api->reload_failure);
    return kt_error_hint(ret, "it goes on with the file that it has, and will not start again with this one: keyturn "
                              "config check FILE, keyturn config rollback") ||
           true;
}

static bool is_config_bad(const struct kt_look *look, struct kt_error *ret)
{
    if (look->no_config.code == KT_OK)
        return false;
    (void)kt_error_copy(ret, &look->no_config);
    ret->code = KT_E_FOUND;
    return true;
}

static void print_problem(const char *who, const struct kt_error *problem)
{
    printf("%s%s%s\n", who, who[0] ? ": " : "", KT_PRINTABLE(problem->message));
    if (problem->hint[0])
        printf("  %s\n", KT_PRINTABLE(problem->hint));
}

void kt_status_cluster_problems(const struct kt_status_cluster *cluster)
{
    const struct kt_look *look = cluster->look;
    struct kt_error problem = KT_ERROR_INIT;
    if (!look)
        return;
    if (is_config_bad(look, &problem))
        print_problem(look->config->node, &problem);
    for (size_t i = 0; i < look->facts.n_apis; i++) {
        kt_error_clear(&problem);
        if (is_problem(look, i, &problem))
            print_problem("", &problem);
        else if (look->servers && !look->apis[i].reachable)
            printf("API server %s: does not answer%s%s\n", KT_PRINTABLE(look->apis[i].name),
                   i < look->servers->n && look->servers->list[i].why.message[0] ? ": " : "",
                   i < look->servers->n ? KT_PRINTABLE(look->servers->list[i].why.message) : "");
    }
}

bool kt_status_cluster_healthy(const struct kt_status_cluster *cluster, struct kt_error *err)
{
    const struct kt_look *look = cluster->look;
    if (!look)
        return true;
    if (is_config_bad(look, err))
        return false;
    for (size_t i = 0; i < look->facts.n_apis; i++) {
        if (is_problem(look, i, err))
            return false;
    }
    return true;
}

void kt_status_cluster_json(json_t *value, const struct kt_status_cluster *cluster)
{
    const struct kt_look *look = cluster->look;
    json_t *servers = json_array();
    for (size_t i = 0; servers && look && i < look->facts.n_apis; i++)
        json_array_append_new(
            servers,
            json_pack(
                "{s:o,s:o,s:o,s:o,s:b,s:b,s:o}", "id",
                kt_json_text(look->servers && i < look->servers->n ? look->servers->list[i].id : look->apis[i].name),
                "address", kt_json_text(address(look, i)), "keyIdHash", kt_json_text(key_id_hash(look, i)),
                "configHash", kt_json_text(config_hash(look, i)), "current", is_current(look, &look->apis[i]),
                "reachable", look->apis[i].reachable, "reloadFailure",
                kt_json_text(look->apis[i].reload_failure ? look->apis[i].reload_failure : "")));
    const char *error = cluster->hashes == KT_HASHES_MATCH     ? ""
                        : cluster->hashes == KT_HASHES_UNKNOWN ? "no API server was seen"
                                                               : cluster->text;
    json_object_set_new(value, "hashmatch", json_boolean(cluster->hashes == KT_HASHES_MATCH));
    json_object_set_new(value, "hasherror", kt_json_text(error));
    json_object_set_new(value, "apiServers", servers);
}

static void print_table(const struct kt_keyring_info *info)
{
    size_t width = strlen("Key Type");
    for (size_t i = 0; i < info->n_keys; i++) {
        size_t len = strlen(kt_key_type_display(info->keys[i].type));
        width = len > width ? len : width;
    }
    printf("\nActive  %-*s  Name\n", (int)width, "Key Type");
    printf("------  %-*s  ----\n", (int)width, "--------");
    for (size_t i = 0; i < info->n_keys; i++) {
        const struct kt_key_info *key = &info->keys[i];
        bool active = info->enabled && key->state == KT_KEY_ACTIVE && !key->superseded;
        printf(" %s      %-*s  %s\n", active ? "*" : " ", (int)width, kt_key_type_display(key->type),
               KT_PRINTABLE(key->name));
    }
    putchar('\n');
}

void kt_status_print(const struct kt_keyring_info *info, const char *hashes)
{
    puts(info->enabled ? KT_TEXT_STATUS_ENABLED : KT_TEXT_STATUS_DISABLED);
    printf(KT_TEXT_STATUS_STAGE "\n", kt_stage_text(info->stage));
    printf(KT_TEXT_STATUS_HASHES "\n", KT_PRINTABLE(hashes));
    print_table(info);
}
