/* SPDX-License-Identifier: Apache-2.0 */
/* From what a kube-apiserver is told to what lies on its host. */
#include "cluster/distro.h"

#include <stdio.h>
#include <string.h>

/* A path of the container, or of the service, on the host. */
static enum kt_host_path to_host(const struct kt_host *host, const char *path, char ret[PATH_MAX])
{
    const char *rest = NULL;
    ret[0] = '\0';
    if (!path || path[0] == '\0')
        return KT_HOST_PATH_NONE;
    if (host->pod.n_words == 0) {
        /* k3s has changed its working directory to this one. */
        int len = path[0] == '/' ? snprintf(ret, PATH_MAX, "%s%s", host->root, path)
                                 : snprintf(ret, PATH_MAX, "%s/server/%s", host->data_dir, path);
        return len < PATH_MAX ? KT_HOST_PATH_FOLDER : KT_HOST_PATH_UNMOUNTED;
    }
    const struct kt_pod_mount *mount = kt_static_pod_mount(&host->pod, path, true, &rest);
    if (!mount || snprintf(ret, PATH_MAX, "%s%s%s", host->root, mount->host, rest) >= PATH_MAX) {
        ret[0] = '\0';
        return KT_HOST_PATH_UNMOUNTED;
    }
    return rest[0] == '\0' ? KT_HOST_PATH_FILE : KT_HOST_PATH_FOLDER;
}

void kt_host_encryption(const struct kt_host *host, struct kt_host_encryption *ret)
{
    char own[PATH_MAX];
    memset(ret, 0, sizeof(*ret));
    ret->flag = kt_apiserver_encryption_config(&host->flags);
    ret->path = to_host(host, ret->flag, ret->file);
    ret->reload = kt_apiserver_flag_on(&host->flags, KT_FLAG_ENCRYPTION_RELOAD);
    if (!host->distro->own_encryption_config)
        return;
    (void)snprintf(own, sizeof(own), "%.3000s%s", host->data_dir, host->distro->own_encryption_config + strlen("%D"));
    ret->is_own = ret->file[0] != '\0' && strcmp(ret->file, own) == 0;
}

enum kt_host_path kt_host_inside(const struct kt_host *host, const char *path, char ret[PATH_MAX])
{
    const char *rest = NULL;
    size_t root = strlen(host->root);
    const char *plain = strncmp(path, host->root, root) == 0 ? path + root : path;
    ret[0] = '\0';
    if (host->pod.n_words == 0)
        return snprintf(ret, PATH_MAX, "%s", plain) < PATH_MAX ? KT_HOST_PATH_FOLDER : KT_HOST_PATH_UNMOUNTED;
    const struct kt_pod_mount *mount = kt_static_pod_mount(&host->pod, plain, false, &rest);
    if (!mount || snprintf(ret, PATH_MAX, "%s%s", mount->inside, rest) >= PATH_MAX) {
        ret[0] = '\0';
        return KT_HOST_PATH_UNMOUNTED;
    }
    return rest[0] == '\0' ? KT_HOST_PATH_FILE : KT_HOST_PATH_FOLDER;
}

/* ---- the store ---- */

static void copy_text(char *to, size_t cap, const char *from)
{
    (void)snprintf(to, cap, "%s", from ? from : "");
}

/* --etcd-servers with sockets where they lie on the host. */
static bool add_server(const struct kt_host *host, const char *server, struct kt_host_store *ret, struct kt_error *err)
{
    char path[PATH_MAX];
    size_t len = strlen(ret->endpoints);
    size_t scheme = strncmp(server, "unix://", 7) == 0 ? 7 : strncmp(server, "unixs://", 8) == 0 ? 8 : 0;
    if (scheme > 0) {
        enum kt_host_path found = to_host(host, server + scheme, path);
        if (found != KT_HOST_PATH_FILE && found != KT_HOST_PATH_FOLDER)
            return kt_fail(err, KT_E_CONFIG, "%s: the socket in --etcd-servers lies in no folder of the host",
                           host->manifest);
    }
    int n = snprintf(ret->endpoints + len, sizeof(ret->endpoints) - len, "%s%.*s%s", len > 0 ? "," : "", (int)scheme,
                     server, scheme > 0 ? path : server);
    return (size_t)n < sizeof(ret->endpoints) - len ||
           kt_fail(err, KT_E_CONFIG, "expected shorter --etcd-servers, found too long ones");
}

static bool add_servers(const struct kt_host *host, const char *servers, struct kt_host_store *ret,
                        struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *copy = strdup(servers);
    char *rest = copy;
    if (!copy)
        return kt_fail(err, KT_E_NOMEM, "no memory to look at this host");
    for (char *server; (server = strsep(&rest, ","));)
        if (server[0] != '\0' && !add_server(host, server, ret, err))
            return false;
    return true;
}

/* A certificate that cannot be seen from here is none. */
static void take_file(const struct kt_host *host, enum kt_apiserver_flag flag, char ret[PATH_MAX])
{
    (void)to_host(host, host->flags.values[flag], ret);
}

static void own_file(const struct kt_host *host, const char *path, char ret[PATH_MAX])
{
    (void)snprintf(ret, PATH_MAX, "%.3000s%s", host->data_dir, path + strlen("%D"));
}

static void own_certificates(const struct kt_host *host, struct kt_host_store *ret)
{
    own_file(host, host->distro->etcd_ca, ret->ca);
    own_file(host, host->distro->etcd_cert, ret->cert);
    own_file(host, host->distro->etcd_key, ret->key);
}

static bool is_etcd(const char *datastore)
{
    return strncmp(datastore, "http://", 7) == 0 || strncmp(datastore, "https://", 8) == 0;
}

/* k3s passes no --etcd-servers that could be read: what it does instead, pkg/cluster of k3s. */
static bool k3s_store(const struct kt_host *host, struct kt_host_store *ret, struct kt_error *err)
{
    static const enum kt_rancher_key files[] = {KT_RANCHER_DATASTORE_CAFILE, KT_RANCHER_DATASTORE_CERTFILE,
                                                KT_RANCHER_DATASTORE_KEYFILE};
    char *const places[] = {ret->ca, ret->cert, ret->key};
    char etcd_data[PATH_MAX];
    const char *datastore = kt_rancher_text(&host->rancher, KT_RANCHER_DATASTORE);
    const char *tls = kt_rancher_text(&host->rancher, KT_RANCHER_KINE_TLS);
    own_file(host, host->distro->etcd_data, etcd_data);
    if (datastore && is_etcd(datastore)) {
        for (size_t i = 0; i < KT_ARRAY_LEN(files); i++)
            (void)to_host(host, kt_rancher_text(&host->rancher, files[i]), places[i]);
        return add_servers(host, datastore, ret, err);
    }
    if (!datastore && access(etcd_data, F_OK) == 0) {
        own_certificates(host, ret);
        copy_text(ret->endpoints, sizeof(ret->endpoints), "https://127.0.0.1:2379");
        return true;
    }
    bool with_tls = tls && strcmp(tls, "true") == 0;
    (void)snprintf(ret->endpoints, sizeof(ret->endpoints), "%s%.3000s%s", with_tls ? "unixs://" : "unix://",
                   host->data_dir, host->distro->kine_socket + strlen("%D"));
    if (with_tls)
        own_certificates(host, ret);
    return true;
}

bool kt_host_store(const struct kt_host *host, struct kt_host_store *ret, struct kt_error *err)
{
    const char *servers = host->flags.values[KT_FLAG_ETCD_SERVERS];
    memset(ret, 0, sizeof(*ret));
    copy_text(ret->prefix, sizeof(ret->prefix), host->flags.values[KT_FLAG_ETCD_PREFIX]);
    ret->overrides = host->flags.values[KT_FLAG_ETCD_SERVERS_OVERRIDES];
    if (!servers && host->id == KT_DISTRO_K3S)
        return k3s_store(host, ret, err);
    take_file(host, KT_FLAG_ETCD_CAFILE, ret->ca);
    take_file(host, KT_FLAG_ETCD_CERTFILE, ret->cert);
    take_file(host, KT_FLAG_ETCD_KEYFILE, ret->key);
    return !servers || add_servers(host, servers, ret, err);
}
