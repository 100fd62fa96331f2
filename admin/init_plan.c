/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/init.h"
#include "admin/tpm_option.h"
#include "base/ipc.h"
#include "base/printable.h"

#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int kt_init_take_uid(struct kt_ids *ids, const char *arg)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(arg, &end, 10);
    if (errno || end == arg || *end || arg[0] == '-' || value >= UINT32_MAX || ids->n == KT_CONFIG_IDS_MAX)
        return EINVAL;
    ids->ids[ids->n++] = (uint32_t)value;
    return 0;
}

int kt_init_take_tpm(struct kt_init *init, int key, const char *arg)
{
    const char **values[] = {&init->tcti, &init->tpm_policy, &init->signature};
    if (key < KT_INIT_OPTION_TPM || key > KT_INIT_OPTION_PCR_SIGNATURE)
        return ARGP_ERR_UNKNOWN;
    if (key >= KT_INIT_OPTION_TCTI)
        *values[key - KT_INIT_OPTION_TCTI] = arg;
    *(key == KT_INIT_OPTION_NO_TPM ? &init->no_tpm : &init->tpm) = true;
    return 0;
}

static bool join(char *ret, size_t cap, const char *dir, const char *name, struct kt_error *err)
{
    int len = snprintf(ret, cap, "%s/%s", dir, name);
    if (len < 0 || (size_t)len >= cap) {
        kt_fail(err, KT_E_USAGE, "%s: too long a path: %s would have more than %zu bytes", dir, name, cap - 1);
        return kt_error_hint(err, "a Unix socket's path has at most 107 bytes: choose a shorter --dir");
    }
    return true;
}

char *kt_init_place(const char *path)
{
    KT_CLEANUP(kt_free_p) char *copy = strdup(path);
    KT_CLEANUP(kt_free_p) char *real = copy ? realpath(dirname(copy), NULL) : NULL;
    const char *slash = strrchr(path, '/');
    char *ret = NULL;
    if (!real || asprintf(&ret, "%s/%s", strcmp(real, "/") == 0 ? "" : real, slash ? slash + 1 : path) < 0)
        return NULL;
    return ret;
}

/* One that is not there yet: kt_dir_make will want its directory, and nothing of its name, not even a link. */
static char *place_new(const char *dir, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *name = strdup(dir);
    struct stat st;
    for (size_t len = name ? strlen(name) : 0; len > 1 && name[len - 1] == '/'; len--)
        name[len - 1] = '\0';
    if (name && lstat(name, &st) == 0) {
        kt_fail(err, KT_E_PERMISSION, "%s: is a link that leads nowhere, expected a directory", dir);
        return NULL;
    }
    char *place = name ? kt_init_place(name) : NULL;
    if (!place) {
        kt_fail_errno(err, KT_E_IO, "--dir %s: the directory in which it is to be made", dir);
        kt_error_hint(err, "mkdir -p %s", KT_SHELL(dir));
    }
    return place;
}

static bool plan_home(struct kt_init *init, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *real = realpath(init->dir, NULL);
    struct stat st;
    if (!real && errno != ENOENT)
        return kt_fail_errno(err, KT_E_IO, "--dir %s", init->dir);
    if (!real)
        real = place_new(init->dir, err);
    else if (stat(real, &st) != 0 || !S_ISDIR(st.st_mode))
        return kt_fail(err, KT_E_PERMISSION, "%s: is not a directory", init->dir);
    if (!real)
        return false;
    snprintf(init->home, sizeof(init->home), "%s", real);
    return true;
}

/* By the rules of keyturn.yaml itself, before anything is made by that name. */
static bool check_config(const struct kt_config *config, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *back = malloc(sizeof(*back));
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    if (!back)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    return kt_config_format(config, &text, err) && kt_config_parse(kt_bytes_view(&text), back, err);
}

/* A directory of one's own: everything in it, all processes under one uid. */
static bool plan_dir(struct kt_init *init, struct kt_error *err)
{
    struct kt_config *config = init->config;
    if (!plan_home(init, err))
        return false;
    const char *real = strcmp(init->home, "/") == 0 ? "" : init->home;
    config->account_front[0] = config->account_keeper[0] = '\0';
    config->account_opener[0] = config->account_exporter[0] = '\0';
    config->kms_uids = (struct kt_ids){.ids = {geteuid()}, .n = 1};
    if (!join(init->config_path, sizeof(init->config_path), real, "keyturn.yaml", err) ||
        !join(config->state_dir, sizeof(config->state_dir), real, "state", err) ||
        !join(config->kms_socket, sizeof(config->kms_socket), real, "run/kms/kms.sock", err) ||
        !join(config->control_socket, sizeof(config->control_socket), real, "run/control.sock", err) ||
        !join(config->metrics_listen, sizeof(config->metrics_listen), real, "run/metrics.sock", err))
        return false;
    if (check_config(config, err))
        return true;
    return kt_error_hint(err, "choose another --dir: the paths of its sockets begin with it");
}

static bool fail_node(struct kt_error *err)
{
    kt_fail(err, KT_E_USAGE, "the node's name is not one that Kubernetes takes, or is \"recovery\"");
    return kt_error_hint(err, "--node NAME: 1 to %u of a-z 0-9 . -, as `kubectl get nodes` shows it", KT_NAME_MAX);
}

/* With all else at its default, a configuration that is not valid has a wrong name. */
static bool plan_node(struct kt_init *init, struct kt_error *err)
{
    char host[256] = "";
    struct kt_error why = KT_ERROR_INIT;
    if (!init->node && gethostname(host, sizeof(host) - 1) != 0)
        return kt_fail_errno(err, KT_E_IO, "the host's name");
    const char *name = init->node ? init->node : host;
    size_t len = strlen(name);
    if (len > KT_NAME_MAX)
        return fail_node(err);
    for (size_t i = 0; i <= len; i++)
        init->config->node[i] = (char)tolower((unsigned char)name[i]);
    if (strcmp(init->config->node, "recovery") == 0)
        return fail_node(err);
    if (check_config(init->config, &why))
        return true;
    if (why.code == KT_E_CONFIG)
        return fail_node(err);
    if (err)
        *err = why;
    return false;
}

static bool is_listed(const struct kt_ids *ids, uint32_t id)
{
    for (size_t i = 0; i < ids->n; i++) {
        if (ids->ids[i] == id)
            return true;
    }
    return false;
}

static bool plan_uids(struct kt_init *init, struct kt_error *err)
{
    struct kt_ids *uids = &init->config->kms_uids;
    for (size_t i = 0; i < init->allow_uids.n; i++) {
        uint32_t id = init->allow_uids.ids[i];
        if (id == KT_OVERFLOW_ID) {
            kt_fail(err, KT_E_USAGE,
                    "--allow-uid %u: is nobody, as whom all count who have no number here; a caller who "
                    "looks like that is never answered",
                    KT_OVERFLOW_ID);
            return kt_error_hint(err, "give the caller an account with a number of its own");
        }
        if (is_listed(uids, id))
            continue;
        if (uids->n == KT_CONFIG_IDS_MAX)
            return kt_fail(err, KT_E_USAGE, "--allow-uid: at most %u users", KT_CONFIG_IDS_MAX);
        uids->ids[uids->n++] = id;
        /* Others must be able to connect before SO_PEERCRED can tell who they are. */
        init->config->kms_mode = 0666;
    }
    return true;
}

bool kt_init_plan_tpm(struct kt_init *init, struct kt_error *err)
{
    struct kt_config *config = init->config;
    if (init->tpm && init->no_tpm) {
        kt_fail(err, KT_E_USAGE, "--no-tpm does not go with --tpm, nor with --tcti, --tpm-policy and --pcr-signature");
        return kt_error_hint(err, "leave out one or the other");
    }
    if (init->no_tpm)
        config->recipient = KT_RECIPIENT_FILE;
    if (!init->tpm)
        return true;
    config->recipient = KT_RECIPIENT_TPM2;
    if (init->tcti && (strlen(init->tcti) == 0 || strlen(init->tcti) >= sizeof(config->tpm_tcti)))
        return kt_fail(err, KT_E_USAGE, "--tcti: expected NAME:CONFIGURATION of at most %zu bytes",
                       sizeof(config->tpm_tcti) - 1);
    if (init->tcti)
        snprintf(config->tpm_tcti, sizeof(config->tpm_tcti), "%s", init->tcti);
    if (init->signature && !realpath(init->signature, config->tpm_pcr_signature))
        return kt_fail_errno(err, KT_E_USAGE, "--pcr-signature: %s", init->signature);
    if (!init->tpm_policy)
        return true;
    init->policy = calloc(1, sizeof(*init->policy));
    if (!init->policy)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    return kt_tpm_policy_from_option(init->tpm_policy, init->options->force, init->policy, err);
}

bool kt_init_plan(struct kt_init *init, struct kt_error *err)
{
    init->config = calloc(1, sizeof(*init->config));
    if (!init->config)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    kt_config_defaults(init->config);
    snprintf(init->config_path, sizeof(init->config_path), "%s", kt_config_path(init->options->config));
    if (!plan_node(init, err) || (init->dir && !plan_dir(init, err)))
        return false;
    if (!init->dir && geteuid() != 0) {
        kt_fail(err, KT_E_USAGE, "only root can write %s and %s", init->config_path, init->config->state_dir);
        return kt_error_hint(err, "run it as root, or give it a directory of your own: keyturn init --dir D");
    }
    snprintf(init->config->path, sizeof(init->config->path), "%s", init->config_path);
    snprintf(init->staging, sizeof(init->staging), "%.4096s.init", init->config->state_dir);
    return plan_uids(init, err) && kt_init_plan_tpm(init, err);
}

void kt_init_staged(const struct kt_init *init, const char *name, char ret[KT_INIT_PATH_MAX + 64])
{
    snprintf(ret, KT_INIT_PATH_MAX + 64, "%s/%s", init->staging, name);
}
