/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/look.h"

#include "admin/census.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

struct kt_look *kt_look_open_files(const struct kt_options *options, const struct kt_config *config,
                                   struct kt_error *err)
{
    struct kt_look *look = calloc(1, sizeof(*look));
    if (!look) {
        kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    look->options = options;
    look->config = config;
    memcpy(look->provider, config->provider, sizeof(look->provider));
    kt_look_find_files(look);
    return look;
}

struct kt_look *kt_look_open(const struct kt_options *options, const struct kt_config *config, struct kt_error *err)
{
    KT_CLEANUP(kt_look_free_p) struct kt_look *look = kt_look_open_files(options, config, err);
    if (!look || !kt_look_find_sources(look, err) || !kt_look_find_store(look, err))
        return NULL;
    return KT_TAKE_PTR(look);
}

void kt_look_free(struct kt_look *look)
{
    if (!look)
        return;
    free(look->servers);
    kt_census_free(look->census);
    kt_stored_rules_done(&look->rules);
    kt_store_free(look->store);
    kt_kube_free(look->kube);
    kt_host_free(look->host);
    free(look);
}

/* Another membership than the keyring's: 0, or UINT64_MAX if it is newer. */
static uint64_t generation_of(const struct kt_look *look, const Keyturn__Control__V1__Status *status)
{
    if (status->generation == 0 || status->membership < look->info->membership)
        return 0;
    return status->membership > look->info->membership ? UINT64_MAX : status->generation;
}

static uint64_t served_by(const struct kt_look *look, const Keyturn__Control__V1__Status *status)
{
    uint64_t serves = 0;
    for (size_t i = 0; i < look->info->n_keys && i < KT_KEYS_MAX; i++) {
        for (size_t j = 0; j < status->n_keys; j++) {
            if (strcmp(status->keys[j]->id, look->info->keys[i].id) == 0)
                serves |= UINT64_C(1) << i;
        }
    }
    return serves;
}

/* Without a daemon, what is on disk is what this node has installed; it serves nothing. */
void kt_look_nodes(struct kt_look *look, const Keyturn__Control__V1__Status *status)
{
    size_t n = 0;
    look->nodes[n++] = (struct kt_facts_node){
        .name = look->config->node,
        .local = true,
        .reachable = true,
        .generation = status ? generation_of(look, status) : look->info->generation,
        .stage = status ? kt_stage_parse(status->stage) : look->info->stage,
        .serves = status ? served_by(look, status) : 0,
    };
    for (size_t i = 0; i < look->info->n_recipients && n < KT_RECIPIENTS_MAX; i++) {
        const struct kt_recipient_info *recipient = &look->info->recipients[i];
        if (recipient->kind != KT_RECIPIENT_RECOVERY && strcmp(recipient->name, look->config->node) != 0)
            look->nodes[n++] = (struct kt_facts_node){.name = recipient->name};
    }
    look->facts.nodes = look->nodes;
    look->facts.n_nodes = n;
}

bool kt_look_take(struct kt_look *look, const struct kt_keyring_info *info, const Keyturn__Control__V1__Status *status,
                  struct kt_error *err)
{
    look->info = info;
    look->facts = (struct kt_facts){
        .keyring = info,
        .rewrite = look->rewrite,
        .now = kt_clock_real_s(),
        .now_mono = kt_clock_monotonic_ns(),
    };
    kt_look_nodes(look, status);
    if (!kt_look_config(look, err))
        return false;
    kt_look_servers(look);
    kt_census_facts(look, &look->facts.store);
    return true;
}

bool kt_look_is_key(const char *key_id_hash, const char *key_id)
{
    char hash[KT_METRICS_HASH_MAX];
    return kt_metrics_hash(kt_slice_str(key_id), hash, NULL) && strcmp(hash, key_id_hash) == 0;
}
