/* SPDX-License-Identifier: Apache-2.0 */
/* Where the cluster is: the kubeconfig, the config file, the store. */
#include "admin/look.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STORE_TIMEOUT_MS 10000u

static const char *option(const struct kt_look *look, enum kt_cluster_option which)
{
    return look->options->cluster[which];
}

/* Of a host that is not set up as any distribution does it, nothing is known but what is named. */
static void find_host(struct kt_look *look)
{
    struct kt_error ignored = KT_ERROR_INIT;
    if (!kt_host_find("", &look->host, &ignored))
        look->host = NULL;
}

static bool is_there(const char *path)
{
    return path[0] != '\0' && access(path, R_OK) == 0;
}

/* NULL: the files that kubectl would read; "": there are none. */
static const char *kubeconfig_of(const struct kt_look *look, char home[PATH_MAX])
{
    const char *named = option(look, KT_CLUSTER_KUBECONFIG);
    const char *listed = getenv("KUBECONFIG");
    const char *user = getenv("HOME");
    if (named)
        return named;
    if (listed && listed[0] != '\0')
        return NULL;
    if (look->host && is_there(look->host->kubeconfig))
        return look->host->kubeconfig;
    snprintf(home, PATH_MAX, "%s/.kube/config", user ? user : "");
    return user && is_there(home) ? home : "";
}

static bool find_kube(struct kt_look *look, struct kt_error *err)
{
    char home[PATH_MAX];
    const char *file = kubeconfig_of(look, home);
    const struct kt_kubeconfig_options options = {.kubeconfig = file, .context = option(look, KT_CLUSTER_CONTEXT)};
    bool wanted = options.context || look->options->n_api_servers > 0;
    for (size_t i = 0; i < look->options->n_api_servers; i++) {
        struct kt_http_url url;
        if (!kt_http_url_parse(look->options->api_servers[i], "--api-server", &url, err))
            return false;
    }
    if (file && file[0] == '\0') {
        kt_fail(&look->no_servers, KT_E_CONFIG, "there is no kubeconfig, so no API server can be asked");
        kt_error_hint(&look->no_servers, "name one with --kubeconfig");
        return !wanted || kt_error_copy(err, &look->no_servers);
    }
    look->kube = kt_kube_open(&options, err);
    return look->kube != NULL;
}

static void find_config(struct kt_look *look)
{
    const char *named = option(look, KT_CLUSTER_ENCRYPTION_CONFIG);
    struct kt_host_encryption encryption = {.flag = NULL};
    if (look->host && !named)
        kt_host_encryption(look->host, &encryption);
    if (named || encryption.path == KT_HOST_PATH_FILE || encryption.path == KT_HOST_PATH_FOLDER)
        snprintf(look->config_file, sizeof(look->config_file), "%s", named ? named : encryption.file);
}

/* A store that was named may have the prefix of this host, too. */
static void find_prefix(struct kt_look *look)
{
    KT_CLEANUP(kt_free_p) struct kt_host_store *host = calloc(1, sizeof(*host));
    const char *named = option(look, KT_CLUSTER_ETCD_PREFIX);
    struct kt_error ignored = KT_ERROR_INIT;
    bool known = host && look->host && kt_host_store(look->host, host, &ignored);
    snprintf(look->prefix, sizeof(look->prefix), "%s", named ? named : known ? host->prefix : "");
}

void kt_look_find_files(struct kt_look *look)
{
    find_host(look);
    find_config(look);
    find_prefix(look);
}

bool kt_look_find_sources(struct kt_look *look, struct kt_error *err)
{
    return find_kube(look, err);
}

/* ---- the store ---- */

static const char *or_host(const struct kt_look *look, enum kt_cluster_option which, const char *host)
{
    const char *named = option(look, which);
    if (named)
        return named;
    /* What belongs to another store than the one that was named helps nothing. */
    bool own = !option(look, KT_CLUSTER_ETCD_ENDPOINTS);
    return own && host && host[0] != '\0' ? host : NULL;
}

static bool open_store(struct kt_look *look, const struct kt_host_store *host, struct kt_error *err)
{
    const struct kt_store_options options = {
        .endpoints = or_host(look, KT_CLUSTER_ETCD_ENDPOINTS, host->endpoints),
        .overrides = or_host(look, KT_CLUSTER_ETCD_OVERRIDES, host->overrides),
        .prefix = look->prefix[0] ? look->prefix : NULL,
        .tls.ca = or_host(look, KT_CLUSTER_ETCD_CACERT, host->ca),
        .tls.cert = or_host(look, KT_CLUSTER_ETCD_CERT, host->cert),
        .tls.key = or_host(look, KT_CLUSTER_ETCD_KEY, host->key),
        .timeout_ms = STORE_TIMEOUT_MS,
    };
    look->store = kt_store_open(&options, err);
    return look->store && kt_store_ask(look->store, err);
}

bool kt_look_find_store(struct kt_look *look, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_host_store *host = calloc(1, sizeof(*host));
    bool named = option(look, KT_CLUSTER_ETCD_ENDPOINTS) != NULL;
    if (!host)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    bool known = !look->host || kt_host_store(look->host, host, &look->no_store);
    if (!named && (!known || host->endpoints[0] == '\0')) {
        if (known)
            kt_fail(&look->no_store, KT_E_CONFIG, "no store was named, and none is known of this host");
        return true;
    }
    if (!open_store(look, host, &look->no_store)) {
        kt_store_free(look->store);
        look->store = NULL;
    }
    return look->store || !named || kt_error_copy(err, &look->no_store);
}
