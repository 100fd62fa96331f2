/* SPDX-License-Identifier: Apache-2.0 */
/* Under what an API server writes: an object through it, read back from the store, or its own metric of writes. */
#include "admin/look.h"
#include "base/clock.h"
#include "cluster/storage_key.h"
#include "cluster/storage_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What it was written under; for a listed key, which. */
struct found {
    int ref;
    const char *key_id;
};

static struct found stored_under(const struct kt_look *look, struct kt_slice bytes)
{
    struct kt_storage_value value;
    struct kt_storage_name names[KT_KEYS_MAX + 1];
    const struct kt_keyring_info *info = look->info;
    size_t n = 0;
    names[n++] = (struct kt_storage_name){.provider = KT_STORAGE_KMS_V2, .name = look->provider};
    for (size_t i = 0; i < info->n_keys && i < KT_KEYS_MAX; i++) {
        for (enum kt_storage_provider p = KT_STORAGE_AESCBC; p <= KT_STORAGE_SECRETBOX; p++) {
            if (kt_stored_key_type(p) == info->keys[i].type)
                names[n++] = (struct kt_storage_name){.provider = p, .name = info->keys[i].name};
        }
    }
    kt_storage_value_read(bytes, names, n, &value);
    const struct kt_stored_as as = {.provider = value.provider, .name = value.name, .key_id = value.key_id};
    int ref = kt_stored_ref(info, look->provider, &as);
    if (ref < KT_REF_KEYS)
        return (struct found){.ref = ref};
    return (struct found){.ref = KT_REF_KEYS, .key_id = info->keys[ref - KT_REF_KEYS].id};
}

/* Very object that was written, not what somebody wrote over it. */
static bool read_back(struct kt_look *look, const struct kt_canary *canary, struct found *ret, struct kt_error *err)
{
    char key[KT_STORAGE_KEY_MAX], revision[32];
    struct kt_storage_resource resource;
    struct kt_etcd_value value = {.found = false};
    const char *kind = canary->kind == KT_CANARY_SECRET ? "secrets" : "configmaps";
    if (!kt_storage_resource_parse(kind, &resource, err) ||
        !kt_storage_key(look->store->prefix, &resource, canary->namespace, canary->name, key, err) ||
        !kt_etcd_get(look->store->parts[kt_store_part_of(look->store, &resource)].etcd, kt_slice_str(key), &value, err))
        return false;
    snprintf(revision, sizeof(revision), "%" PRId64, value.mod_revision);
    bool same = value.found && strcmp(revision, canary->resource_version) == 0;
    if (same)
        *ret = stored_under(look, kt_bytes_view(&value.bytes));
    else
        kt_fail(err, KT_E_INCOMPLETE,
                value.found ? "expected in the store the canary as it was written, found it changed meanwhile"
                            : "expected the canary in the store, found nothing under its name");
    if (!same && !value.found)
        kt_error_hint(err, "is that the store of this cluster, and its prefix? --etcd-endpoints, --etcd-prefix");
    kt_etcd_value_done(&value);
    return same;
}

static double written(const struct kt_metrics *metrics, const char *provider, const char *hash)
{
    const struct kt_metrics_key *key = kt_metrics_find(metrics, provider, hash);
    return key ? key->written_total : 0;
}

/* The key whose count went up; another one than the active where several did. */
static void counted_under(const struct kt_look *look, const struct kt_metrics *before, const struct kt_metrics *after,
                          struct found *ret)
{
    const struct kt_keyring_info *info = look->info;
    for (size_t i = 0; i < after->n_keys; i++) {
        const struct kt_metrics_key *key = &after->keys[i];
        struct found found = {.ref = KT_REF_STRANGER};
        if (strcmp(key->provider, look->provider) != 0 ||
            key->written_total <= written(before, look->provider, key->key_id_hash))
            continue;
        for (size_t k = 0; k < info->n_keys && !info->keys[k].superseded; k++) {
            if (info->keys[k].type == KT_KEY_KMS && kt_look_is_key(key->key_id_hash, info->keys[k].id))
                found = (struct found){.ref = KT_REF_KEYS, .key_id = info->keys[k].id};
        }
        bool active = found.key_id && strcmp(found.key_id, info->keys[0].id) == 0;
        if (ret->ref == KT_REF_UNKNOWN || !active)
            *ret = found;
    }
}

static bool count(struct kt_look *look, size_t index, const struct kt_metrics *before, struct found *ret,
                  struct kt_error *err)
{
    if (!kt_apiservers_ask(look->kube, look->servers, KT_APISERVER_TIMEOUT, err))
        return false;
    const struct kt_apiserver *server = &look->servers->list[index];
    if (!server->has_metrics || server->metrics.process_start != before->process_start)
        return kt_fail(err, KT_E_INCOMPLETE, "expected the metrics of the API server, found none, or another process");
    counted_under(look, before, &server->metrics, ret);
    return ret->ref != KT_REF_UNKNOWN ||
           kt_fail(err, KT_E_INCOMPLETE, "expected a write in the metrics of the API server, found none there");
}

static void remember(struct kt_look *look, size_t index, const struct found *found, uint64_t begun)
{
    struct kt_seen *seen = kt_look_seen(look, &look->servers->list[index]);
    const char *key_id = found->key_id ? found->key_id : "";
    bool same = seen->writes_mono > 0 && seen->writes_ref == found->ref && strcmp(seen->writes_key, key_id) == 0;
    seen->writes_ref = found->ref;
    snprintf(seen->writes_key, sizeof(seen->writes_key), "%s", key_id);
    if (!same)
        seen->writes_mono = begun;
}

static bool write_and_find(struct kt_look *look, size_t index, struct found *ret, struct kt_error *err)
{
    struct kt_apiserver *server = &look->servers->list[index];
    const struct kt_kube_way way = {.kube = look->kube, .peer = &server->peer, .timeout_ms = KT_APISERVER_TIMEOUT};
    struct kt_canary canary;
    KT_CLEANUP(kt_free_p) struct kt_metrics *before = malloc(sizeof(*before));
    if (!before)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    *before = server->metrics;
    if (!kt_canary_init(&canary, look->canary_kind, NULL, server->id, err) || !kt_canary_write(&canary, &way, err))
        return false;
    return look->store ? read_back(look, &canary, ret, err) : count(look, index, before, ret, err);
}

bool kt_look_canary(struct kt_look *look, size_t index, struct kt_error *err)
{
    struct found found = {.ref = KT_REF_UNKNOWN};
    uint64_t begun = kt_clock_monotonic_ns();
    kt_error_clear(&look->no_canary);
    if (!look->servers || index >= look->servers->n)
        return kt_fail(err, KT_E_INTERNAL, "a canary for an API server that was not seen");
    if (!look->canary_possible) {
        kt_fail(err, KT_E_UNSUPPORTED,
                "the config file encrypts neither secrets nor configmaps with keys of the "
                "keyring: there is nothing to prove it with");
        return kt_error_hint(err, "have secrets encrypted, too");
    }
    if (write_and_find(look, index, &found, &look->no_canary))
        remember(look, index, &found, begun);
    else
        (void)kt_error_prefix(&look->no_canary, "canary through %.100s", look->servers->list[index].id);
    return true;
}
