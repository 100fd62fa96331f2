/* SPDX-License-Identifier: Apache-2.0 */
/* The API servers as the state machine sees them, and what this run remembers of each. */
#include "admin/look.h"
#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kt_seen *kt_look_seen(struct kt_look *look, const struct kt_apiserver *server)
{
    for (size_t i = 0; i < look->n_seen; i++) {
        struct kt_seen *seen = &look->seen[i];
        if (strcmp(seen->id, server->id) == 0 && strcmp(seen->address, server->address) == 0)
            return seen;
    }
    /* More than there can be at a time came and went: the first ones are seen anew. */
    if (look->n_seen == KT_ARRAY_LEN(look->seen))
        look->n_seen = 0;
    struct kt_seen *seen = &look->seen[look->n_seen++];
    *seen = (struct kt_seen){.process_start = 0};
    snprintf(seen->id, sizeof(seen->id), "%s", server->id);
    snprintf(seen->address, sizeof(seen->address), "%s", server->address);
    return seen;
}

static bool is_remembered(const struct kt_look *look, const char *id)
{
    for (size_t i = 0; i < look->info->n_api_servers; i++) {
        if (strcmp(look->info->api_servers[i], id) == 0)
            return true;
    }
    return false;
}

/* Another process has loaded its file and makes its seeds anew. */
static void see_process(struct kt_seen *seen, const struct kt_apiserver *server, uint64_t now)
{
    const uint64_t gap = UINT64_C(1000000000) * KT_ROTATION_LOOK_S;
    double start = server->metrics.process_start;
    bool same = start == seen->process_start || (start <= 0 && !server->has_metrics);
    if (!same) {
        seen->hash_mono = 0;
        seen->writes_mono = 0;
        seen->writes_ref = KT_REF_UNKNOWN;
        seen->process_start = start;
    }
    if (!same || seen->alive_mono == 0 || now - seen->look_mono > gap)
        seen->alive_mono = now;
    seen->look_mono = now;
}

static void see_hash(struct kt_seen *seen, const struct kt_apiserver *server, struct kt_facts_api *api, uint64_t now)
{
    api->hash_known = kt_hash_parse(server->metrics.config_hash, api->hash);
    if (!api->hash_known)
        return;
    if (seen->hash_mono == 0 || memcmp(seen->hash, api->hash, KT_HASH_LEN) != 0)
        seen->hash_mono = now;
    memcpy(seen->hash, api->hash, KT_HASH_LEN);
    api->hash_mono = seen->hash_mono;
}

static int ref_of_hash(const struct kt_look *look, const char *key_id_hash)
{
    const struct kt_keyring_info *info = look->info;
    for (size_t i = 0; i < info->n_keys && !info->keys[i].superseded; i++) {
        if (info->keys[i].type == KT_KEY_KMS && kt_look_is_key(key_id_hash, info->keys[i].id))
            return KT_REF_KEY(i);
    }
    for (size_t i = 0; i < info->n_archive; i++) {
        if (info->archive[i].id[0] != '\0' && kt_look_is_key(key_id_hash, info->archive[i].id))
            return KT_REF_ARCHIVED;
    }
    return KT_REF_STRANGER;
}

/* Its last write under another key than the active one, or, where a file may decide, the time at which it loaded it. */
static uint64_t changed_at(const struct kt_look *look, const struct kt_metrics *metrics)
{
    double at = 0;
    for (size_t i = 0; i < metrics->n_keys; i++) {
        const struct kt_metrics_key *key = &metrics->keys[i];
        bool ours = strcmp(key->provider, look->provider) == 0;
        if (ours && !kt_look_is_key(key->key_id_hash, look->info->keys[0].id) && key->written_at > at)
            at = key->written_at;
    }
    for (size_t i = 0; i < look->info->n_keys && !look->info->keys[i].superseded; i++) {
        if (look->info->keys[i].type != KT_KEY_KMS && metrics->reload_good.at > at)
            at = metrics->reload_good.at;
    }
    return at > 0 ? (uint64_t)ceil(at) : 0;
}

/* kube-apiserver says it in its log alone. A file that it refuses is refused here in the same words (tests/oracle); of
 * its plugins it tells what it found at the last check. */
static const char *reload_reason(const struct kt_look *look, const struct kt_apiserver *server)
{
    if (look->no_config.code != KT_OK)
        return look->no_config.message;
    if (server->kms == KT_VERDICT_BAD && server->kms_words[0] != '\0')
        return server->kms_words;
    return "its log says why (encryption config file)";
}

/* Of the file as it is now: not of one that was there before, nor where it has loaded this one, or another, since. */
static void see_reload(const struct kt_look *look, struct kt_seen *seen, const struct kt_apiserver *server,
                       struct kt_facts_api *api)
{
    const struct kt_metrics_reload *bad = &server->metrics.reload_bad;
    const struct kt_metrics_reload *good = &server->metrics.reload_good;
    const struct kt_facts_config *config = &look->facts.config;
    bool has_it = config->present && api->hash_known && memcmp(api->hash, config->hash, KT_HASH_LEN) == 0;
    char at[KT_TIME_LEN];
    if (!bad->is_known || bad->at <= 0 || (uint64_t)bad->at < look->config_time || has_it ||
        (good->is_known && good->at > bad->at))
        return;
    kt_time_format((uint64_t)bad->at, at);
    snprintf(seen->reload_failure, sizeof(seen->reload_failure), "it could not load the file at %s: %.400s", at,
             reload_reason(look, server));
    api->reload_failure = seen->reload_failure;
}

/* The key that it wrote with, by the place that it has in the list now. */
static int ref_now(const struct kt_look *look, const struct kt_seen *seen)
{
    if (seen->writes_ref != KT_REF_KEYS)
        return seen->writes_ref;
    for (size_t i = 0; i < look->info->n_keys && !look->info->keys[i].superseded; i++) {
        if (strcmp(look->info->keys[i].id, seen->writes_key) == 0)
            return KT_REF_KEY(i);
    }
    return KT_REF_ARCHIVED;
}

static void take_server(struct kt_look *look, const struct kt_apiserver *server, struct kt_facts_api *ret)
{
    struct kt_seen *seen = kt_look_seen(look, server);
    *ret = (struct kt_facts_api){
        .name = server->id,
        .remembered = is_remembered(look, server->id),
        .reachable = server->state == KT_APISERVER_ASKED,
        .last_seen = server->state == KT_APISERVER_ASKED ? server->asked_s : server->renewed_s,
    };
    if (!ret->reachable)
        return;
    see_process(seen, server, look->facts.now_mono);
    ret->alive_mono = seen->alive_mono;
    if (server->has_metrics) {
        const struct kt_metrics_key *status = kt_metrics_seen(&server->metrics, look->provider);
        see_hash(seen, server, ret, look->facts.now_mono);
        ret->status_ref = status ? ref_of_hash(look, status->key_id_hash) : KT_REF_UNKNOWN;
        ret->changed = changed_at(look, &server->metrics);
        see_reload(look, seen, server, ret);
    }
    ret->writes_ref = ref_now(look, seen);
    ret->writes_mono = seen->writes_mono;
}

/* None could be asked: those that are remembered are still there. */
static void take_remembered(struct kt_look *look)
{
    for (size_t i = 0; i < look->info->n_api_servers && i < KT_APISERVERS_MAX; i++)
        look->apis[look->facts.n_apis++] =
            (struct kt_facts_api){.name = look->info->api_servers[i], .remembered = true};
}

static struct kt_apiservers *find(struct kt_look *look)
{
    struct kt_apiserver_known known[KT_API_SERVERS_MAX];
    const unsigned timeout_ms = look->options->timeout_s * 1000;
    struct kt_apiservers_options options = {
        .timeout_ms = timeout_ms < KT_APISERVER_TIMEOUT ? timeout_ms : KT_APISERVER_TIMEOUT,
        .urls = look->options->api_servers,
        .n_urls = look->options->n_api_servers,
        .known = known,
        .n_known = look->info->n_api_servers,
    };
    for (size_t i = 0; i < options.n_known; i++) {
        const char *id = look->info->api_servers[i];
        known[i] = (struct kt_apiserver_known){.id = id, .address = strncmp(id, "https://", 8) == 0 ? id : ""};
    }
    return kt_apiservers_find(look->kube, &options, &look->no_servers);
}

void kt_look_servers(struct kt_look *look)
{
    free(look->servers);
    look->servers = NULL;
    look->facts.apis = look->apis;
    if (look->kube) {
        kt_error_clear(&look->no_servers);
        look->servers = find(look);
    }
    if (!look->servers) {
        take_remembered(look);
        return;
    }
    if (!look->servers->is_complete)
        (void)kt_error_copy(&look->no_servers, &look->servers->why);
    look->facts.apis_complete = look->servers->is_complete;
    for (size_t i = 0; i < look->servers->n; i++)
        take_server(look, &look->servers->list[i], &look->apis[look->facts.n_apis++]);
}
