/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/distro.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct kt_distro DISTROS[] = {
#define KT_DISTRO(name, ...) [KT_DISTRO_##name] = {__VA_ARGS__},
#include "cluster/distros.def"
#undef KT_DISTRO
};

const struct kt_distro *kt_distro_facts(enum kt_distro_id id)
{
    return &DISTROS[id];
}

/* In the order in which systemd looks. */
static const char *const UNIT_FOLDERS[] = {"/etc/systemd/system", "/run/systemd/system",
                                           "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
                                           "/lib/systemd/system"};
static const char *const ENVIRONMENTS[] = {"/etc/default/%s", "/etc/sysconfig/%s", "/etc/systemd/system/%s.service.env",
                                           "/usr/local/lib/systemd/system/%s.env"};

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* ret: root, and the path with %D replaced; "" for none. False if it does not fit. */
static bool place(const struct kt_host *host, const char *path, char ret[PATH_MAX])
{
    const char *data = path ? strstr(path, "%D") : NULL;
    int len = !path  ? snprintf(ret, PATH_MAX, "%s", "")
              : data ? snprintf(ret, PATH_MAX, "%.*s%s%s", (int)(data - path), path, host->data_dir, data + 2)
                     : snprintf(ret, PATH_MAX, "%s%s", host->root, path);
    return len >= 0 && len < PATH_MAX;
}

void kt_host_free(struct kt_host *host)
{
    if (!host)
        return;
    kt_apiserver_flags_done(&host->flags);
    kt_apiserver_flags_done(&host->wanted);
    kt_static_pod_done(&host->pod);
    kt_rancher_config_done(&host->rancher);
    free(host);
}

/* ---- what k3s and RKE2 are told ---- */

#define DROP_INS_MAX 32u

struct unit_files {
    char unit[PATH_MAX];
    char drop_ins[DROP_INS_MAX][PATH_MAX];
    const char *drop_in_list[DROP_INS_MAX + 1];
    size_t n_drop_ins;
    char environments[KT_ARRAY_LEN(ENVIRONMENTS)][PATH_MAX];
    const char *list[KT_ARRAY_LEN(ENVIRONMENTS) + 1];
};

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool has_drop_in(const struct unit_files *files, const char *name)
{
    for (size_t i = 0; i < files->n_drop_ins; i++) {
        if (strcmp(base_of(files->drop_ins[i]), name) == 0)
            return true;
    }
    return false;
}

static bool is_drop_in(const char *name)
{
    size_t len = strlen(name);
    return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(base_of(*(const char *const *)a), base_of(*(const char *const *)b));
}

/* Of one name, that of the folder that comes first counts; then they are read in the order of their names. */
static void find_drop_ins(const struct kt_host *host, struct unit_files *ret)
{
    char name[PATH_MAX];
    char folder[PATH_MAX];
    for (size_t i = 0; i < KT_ARRAY_LEN(UNIT_FOLDERS); i++) {
        (void)snprintf(name, sizeof(name), "%s/%s.service.d", UNIT_FOLDERS[i], host->distro->service);
        KT_CLEANUP(closedir_p) DIR *dir = place(host, name, folder) ? opendir(folder) : NULL;
        for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
            if (ret->n_drop_ins == DROP_INS_MAX || !is_drop_in(entry->d_name) || has_drop_in(ret, entry->d_name) ||
                snprintf(ret->drop_ins[ret->n_drop_ins], PATH_MAX, "%.3500s/%s", folder, entry->d_name) >= PATH_MAX)
                continue;
            ret->drop_in_list[ret->n_drop_ins] = ret->drop_ins[ret->n_drop_ins];
            ret->n_drop_ins++;
        }
    }
    qsort(ret->drop_in_list, ret->n_drop_ins, sizeof(ret->drop_in_list[0]), compare_names);
}

static void find_unit(const struct kt_host *host, struct unit_files *ret)
{
    char name[PATH_MAX];
    for (size_t i = 0; i < KT_ARRAY_LEN(UNIT_FOLDERS); i++) {
        (void)snprintf(name, sizeof(name), "%s/%s.service", UNIT_FOLDERS[i], host->distro->service);
        if (place(host, name, ret->unit) && exists(ret->unit))
            break;
        ret->unit[0] = '\0';
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(ENVIRONMENTS); i++) {
        size_t cut = strcspn(ENVIRONMENTS[i], "%");
        (void)snprintf(name, sizeof(name), "%.*s%s%s", (int)cut, ENVIRONMENTS[i], host->distro->service,
                       ENVIRONMENTS[i] + cut + 2);
        (void)place(host, name, ret->environments[i]);
        ret->list[i] = ret->environments[i];
    }
    ret->list[KT_ARRAY_LEN(ENVIRONMENTS)] = NULL;
}

static bool read_rancher(struct kt_host *host, struct kt_error *err)
{
    char config[PATH_MAX];
    KT_CLEANUP(kt_free_p) struct unit_files *files = calloc(1, sizeof(*files));
    if (!files)
        return kt_fail(err, KT_E_NOMEM, "no memory to look at this host");
    find_unit(host, files);
    find_drop_ins(host, files);
    if (!place(host, host->distro->config, config))
        return kt_fail(err, KT_E_CONFIG, "the root is too long a name");
    const struct kt_rancher_places places = {.program = host->distro->name,
                                             .config = config,
                                             .root = host->root,
                                             .unit = files->unit[0] != '\0' ? files->unit : NULL,
                                             .unit_drop_ins = files->drop_in_list,
                                             .environments = files->list};
    if (!kt_rancher_config_read(&places, &host->rancher, err))
        return false;
    const char *data_dir = kt_rancher_text(&host->rancher, KT_RANCHER_DATA_DIR);
    if (!place(host, data_dir ? data_dir : host->distro->data_dir, host->data_dir))
        return kt_fail(err, KT_E_CONFIG, "the data directory is too long a name");
    const char *own = kt_rancher_text(&host->rancher, KT_RANCHER_SECRETS_ENCRYPTION);
    host->own_encryption = host->id == KT_DISTRO_RKE2 || (own && strcmp(own, "true") == 0);
    return true;
}

/* What the distribution itself tells kube-apiserver. Only what is asked for here; the store is kt_host_store's. */
static bool read_wanted(struct kt_host *host, struct kt_apiserver_flags *ret, struct kt_error *err)
{
    char own[PATH_MAX];
    char word[PATH_MAX + 64];
    const char *words[] = {word, "encryption-provider-config-automatic-reload=true", NULL};
    KT_CLEANUP(kt_rancher_list_done) struct kt_rancher_list all = {.items = NULL};
    /* As the service sees it: without the root. */
    if (!place(host, host->distro->own_encryption_config, own))
        return kt_fail(err, KT_E_CONFIG, "the data directory is too long a name");
    (void)snprintf(word, sizeof(word), "encryption-provider-config=%s", own + strlen(host->root));
    return kt_rancher_apiserver_words(host->own_encryption ? words : &words[2], &host->rancher, &all, err) &&
           kt_apiserver_flags_read(all.items, all.n, ret, err);
}

/* ---- manifests ---- */

static bool read_manifest(struct kt_host *host, struct kt_error *err)
{
    static const struct kt_file_rules rules = {.max = KT_POD_FILE_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP_BYTES struct kt_bytes text = {.data = NULL};
    if (!place(host, host->distro->manifest, host->manifest))
        return kt_fail(err, KT_E_CONFIG, "the data directory is too long a name");
    return kt_file_read(AT_FDCWD, host->manifest, &rules, &text, err) &&
           kt_static_pod_parse(kt_bytes_view(&text), host->manifest, "kube-apiserver", &host->pod, err) &&
           kt_apiserver_flags_read(host->pod.words, host->pod.n_words, &host->flags, err);
}

static bool is_here(const struct kt_host *host)
{
    char marker[PATH_MAX];
    return place(host, host->distro->marker, marker) && exists(marker);
}

/* All but what is_here needs. */
static bool fill(struct kt_host *host, struct kt_error *err)
{
    if (!place(host, host->distro->kubeconfig, host->kubeconfig))
        return kt_fail(err, KT_E_CONFIG, "the root is too long a name");
    if (!host->distro->manifest)
        return read_wanted(host, &host->flags, err);
    host->has_wanted = host->distro->config != NULL;
    return read_manifest(host, err) && (!host->has_wanted || read_wanted(host, &host->wanted, err));
}

/* NULL without an error if it is not here. */
static struct kt_host *look(const char *root, enum kt_distro_id id, struct kt_error *err)
{
    KT_CLEANUP(kt_host_free_p) struct kt_host *host = calloc(1, sizeof(*host));
    if (!host) {
        (void)kt_fail(err, KT_E_NOMEM, "no memory to look at this host");
        return NULL;
    }
    host->id = id;
    host->distro = &DISTROS[id];
    (void)snprintf(host->root, sizeof(host->root), "%s", root);
    if (host->distro->config && !read_rancher(host, err))
        return NULL;
    if (!is_here(host) || !fill(host, err))
        return NULL;
    return KT_TAKE_PTR(host);
}

struct kt_host *kt_host_read(const char *root, enum kt_distro_id id, struct kt_error *err)
{
    struct kt_error cause = KT_ERROR_INIT;
    struct kt_host *host = look(root, id, &cause);
    if (host)
        return host;
    if (cause.code != KT_OK)
        (void)kt_error_copy(err, &cause);
    else
        (void)kt_fail(err, KT_E_CONFIG, "expected a server of %s on this host, found none", DISTROS[id].name);
    return NULL;
}

bool kt_host_find(const char *root, struct kt_host **ret, struct kt_error *err)
{
    KT_CLEANUP(kt_host_free_p) struct kt_host *found = NULL;
    for (enum kt_distro_id id = 0; id < KT_DISTRO_COUNT; id++) {
        struct kt_error cause = KT_ERROR_INIT;
        KT_CLEANUP(kt_host_free_p) struct kt_host *host = look(root, id, &cause);
        if (cause.code != KT_OK)
            return kt_error_copy(err, &cause);
        if (host && found)
            return kt_fail(err, KT_E_CONFIG, "expected one distribution on this host, found %s and %s",
                           found->distro->name, host->distro->name);
        if (host)
            found = KT_TAKE_PTR(host);
    }
    *ret = KT_TAKE_PTR(found);
    return true;
}
