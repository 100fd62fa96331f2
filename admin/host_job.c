/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/host_job.h"

#include "admin/opener_local.h"
#include "admin/text_diff.h"
#include "base/printable.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KUBEADM       "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"
#define ASK_MS        10000u
#define SHOWN_MAX     ((size_t)4 * 1024 * 1024)
#define SOCKET        "/run/keyturn/kms/kms.sock"
#define OPTION_ROOT   0x200
#define OPTION_DISTRO 0x201

const struct argp_option kt_host_options[] = {
    {.name = "root",
     .key = OPTION_ROOT,
     .arg = "DIR",
     .doc = "The host whose file system is mounted there, not this one"},
    {.name = "distro",
     .key = OPTION_DISTRO,
     .arg = "NAME",
     .doc = "kubeadm, k3s or rke2, where more than one is found"},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of kt_command_line.take */
static error_t take(int key, char *arg, void *closure)
{
    struct kt_host_job *job = closure;
    if (key == OPTION_ROOT)
        job->root = arg;
    else if (key == OPTION_DISTRO)
        job->distro = arg;
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

void kt_host_job_parse(struct kt_host_job *job, int argc, char **argv)
{
    job->root = "";
    job->line.own = kt_host_options;
    job->line.take = take;
    job->line.closure = job;
    kt_command_parse(&job->line, argc, argv);
}

void kt_host_job_done(struct kt_host_job *job)
{
    kt_bytes_done(&job->kubeadm_after);
    json_decref(job->kubeadm);
    kt_host_free(job->host);
    kt_look_free(job->look);
    kt_opener_answer_done(&job->described);
    free(job->config);
    free(job->real_root);
}

/* ---- the host ---- */

static bool find_host(struct kt_host_job *job, struct kt_error *err)
{
    if (!job->distro)
        return kt_host_find(job->root, &job->host, err);
    for (enum kt_distro_id id = 0; id < KT_DISTRO_COUNT; id++) {
        if (strcmp(job->distro, kt_distro_facts(id)->name) == 0) {
            job->host = kt_host_read(job->root, id, err);
            return job->host != NULL;
        }
    }
    return kt_fail(err, KT_E_USAGE, "expected --distro kubeadm, k3s or rke2, found %.64s", job->distro);
}

/* ---- the keyring ---- */

static bool describe(struct kt_host_job *job, struct kt_error *err)
{
    KT_CLEANUP(kt_member_done) struct kt_member_job member = {.config = NULL};
    struct kt_opener_request request = {.op = KT_OPENER_DESCRIBE};
    if (!kt_member_start(&job->line.options, &member, err))
        return false;
    request.offered = kt_bytes_view(&member.state->current);
    return kt_opener_local(job->config, job->config->path, &request, &job->described, err);
}

/* Where nothing is known of the keys, as if one were of type kms. */
static const char *socket_of(const struct kt_host_job *job)
{
    const struct kt_keyring_info *info = job->described.info;
    bool has_kms = !info;
    for (size_t i = 0; info && i < info->n_keys; i++)
        has_kms = has_kms || info->keys[i].type == KT_KEY_KMS;
    if (!has_kms)
        return NULL;
    const char *socket = job->config ? job->config->kms_socket : SOCKET;
    size_t root = strlen(job->root);
    /* As that host sees it. */
    return strncmp(socket, job->root, root) == 0 && socket[root] == '/' ? socket + root : socket;
}

/* Without slashes at the end, links followed; "/" is this host. */
static bool find_root(struct kt_host_job *job, struct kt_error *err)
{
    if (job->root[0] == '\0')
        return true;
    job->real_root = realpath(job->root, NULL);
    if (!job->real_root)
        return kt_fail_errno(err, errno == ENOENT ? KT_E_USAGE : KT_E_IO, "--root %s", job->root);
    job->root = strcmp(job->real_root, "/") == 0 ? "" : job->real_root;
    return true;
}

/* ---- the cluster ---- */

/* Of another root than this host's only where it is named. */
static bool find_cluster(struct kt_host_job *job, struct kt_error *err)
{
    struct kt_http_answer answer = {.detail = ""};
    bool named = job->line.options.cluster[KT_CLUSTER_KUBECONFIG] != NULL;
    if (!job->config || (job->root[0] != '\0' && !named))
        return true;
    job->look = kt_look_open(&job->line.options, job->config, err);
    if (!job->look)
        return false;
    if (!job->look->kube)
        return kt_error_copy(&job->no_kubeadm, &job->look->no_servers) || true;
    job->way =
        (struct kt_kube_way){.kube = job->look->kube, .peer = kt_kube_peer(job->look->kube), .timeout_ms = ASK_MS};
    if (!job->host || job->host->id != KT_DISTRO_KUBEADM)
        return true;
    if (!kt_kube_get(&job->way, KUBEADM, &job->kubeadm, &answer, &job->no_kubeadm)) {
        kt_http_answer_done(&answer);
        return true;
    }
    if (!job->kubeadm)
        (void)kt_http_answer_fail(&answer, &job->no_kubeadm);
    kt_http_answer_done(&answer);
    return true;
}

bool kt_host_job_refresh(struct kt_host_job *job, struct kt_error *err)
{
    kt_opener_answer_done(&job->described);
    job->described = (struct kt_opener_answer){.info = NULL};
    if (!describe(job, err))
        return false;
    job->kms_socket = socket_of(job);
    return true;
}

const struct kt_config *kt_host_job_config(struct kt_host_job *job)
{
    if (!job->config && job->no_config.code == KT_OK)
        job->config = kt_options_config(&job->line.options, &job->no_config);
    return job->config;
}

bool kt_host_job_open(struct kt_host_job *job, struct kt_error *err)
{
    if (!find_root(job, err))
        return false;
    if (!kt_host_job_config(job))
        (void)kt_error_copy(&job->no_keyring, &job->no_config);
    else if (!describe(job, &job->no_keyring))
        kt_opener_answer_done(&job->described);
    job->kms_socket = socket_of(job);
    return find_host(job, err) && find_cluster(job, err);
}

bool kt_host_job_answers(const struct kt_host_job *job)
{
    const struct kt_static_pod *pod = &job->host->pod;
    if (!job->kms_socket || !job->config || !pod->has_user || job->config->kms_gids.n > 0)
        return true;
    for (size_t i = 0; i < job->config->kms_uids.n; i++) {
        if (job->config->kms_uids.ids[i] == pod->user)
            return true;
    }
    return false;
}

/* ---- kubeadm's configuration ---- */

const char *kt_host_job_kubeadm_text(const struct kt_host_job *job)
{
    return job->kubeadm ? kt_kube_text(job->kubeadm, "data", "ClusterConfiguration") : NULL;
}

bool kt_host_job_kubeadm(struct kt_host_job *job, const struct kt_wiring *wiring, bool in, struct kt_error *err)
{
    const char *text = kt_host_job_kubeadm_text(job);
    if (!text)
        return true;
    struct kt_slice before = kt_slice_str(text);
    kt_bytes_done(&job->kubeadm_after);
    job->kubeadm_after = (struct kt_bytes){.data = NULL};
    bool made = in ? kt_wiring_kubeadm(wiring, before, &job->kubeadm_after, err)
                   : kt_wiring_kubeadm_out(wiring, before, &job->kubeadm_after, err);
    if (!made)
        return kt_error_prefix(err, "ConfigMap kubeadm-config");
    job->kubeadm_differs = !kt_slice_equal(before, kt_bytes_view(&job->kubeadm_after));
    return true;
}

bool kt_host_job_kubeadm_write(const struct kt_host_job *job, struct kt_slice text, struct kt_error *err)
{
    struct kt_http_answer answer = {.detail = ""};
    const char *version = kt_kube_text(job->kubeadm, "metadata", "resourceVersion");
    KT_CLEANUP_JSON json_t *patch =
        json_pack("{s:{s:s},s:{s:s%}}", "metadata", "resourceVersion", version ? version : "", "data",
                  "ClusterConfiguration", text.data, text.len);
    KT_CLEANUP(kt_free_p) char *body = patch ? json_dumps(patch, JSON_COMPACT) : NULL;
    if (!body)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    const struct kt_http_request request = {.peer = job->way.peer,
                                            .method = "PATCH",
                                            .path = KUBEADM,
                                            .accept = "application/json",
                                            .content_type = KT_KUBE_MERGE_PATCH,
                                            .body = kt_slice_str(body),
                                            .timeout_ms = ASK_MS,
                                            .answer_max = KT_KUBE_JSON_MAX,
                                            .discard = true};
    bool written = kt_kube_call(job->way.kube, &request, &answer, err);
    if (written && answer.status == 409) {
        written = kt_fail(err, KT_E_BUSY, "ConfigMap kubeadm-config: another one changed it at the same time");
        kt_error_hint(err, "run it again");
    } else if (written && answer.outcome != KT_HTTP_OK) {
        written = kt_http_answer_fail(&answer, err);
    }
    kt_http_answer_done(&answer);
    return written;
}

bool kt_host_job_diff(const char *name, const char *as, struct kt_slice before, struct kt_slice after, FILE *out,
                      struct kt_error *err)
{
    struct kt_text shown;
    kt_text_init(&shown, SHOWN_MAX);
    bool told = kt_text_diff(before, after, &shown) && !shown.bad;
    if (told && shown.len > 0)
        fprintf(out, "--- %s\n+++ %s, %s\n%s", KT_PRINTABLE(name), KT_PRINTABLE(name), as, shown.data);
    kt_text_done(&shown);
    return told || kt_fail(err, KT_E_NOMEM, "out of memory");
}
