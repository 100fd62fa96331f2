/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/init.h"
#include "base/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
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

static bool join(char *ret, size_t cap, const char *dir, const char *name, struct kt_error *err)
{
    int len = snprintf(ret, cap, "%s/%s", dir, name);
    if (len < 0 || (size_t)len >= cap) {
        kt_fail(err, KT_E_USAGE, "%s: too long a path: %s would have more than %zu bytes", dir, name, cap - 1);
        return kt_error_hint(err, "a Unix socket's path has at most 107 bytes: choose a shorter --dir");
    }
    return true;
}

/* A directory of one's own: everything in it, all processes under one uid. */
static bool plan_dir(struct kt_init *init, struct kt_error *err)
{
    struct kt_config *config = init->config;
    char real[KT_INIT_PATH_MAX];
    const struct kt_file_attrs attrs = {.mode = 0755, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    if (!init->options->dry_run && !kt_dir_make(AT_FDCWD, init->dir, &attrs, err))
        return false;
    KT_CLEANUP(kt_free_p) char *resolved = realpath(init->dir, NULL);
    snprintf(real, sizeof(real), "%s", resolved ? resolved : init->dir);
    config->account_front[0] = config->account_keeper[0] = '\0';
    config->account_opener[0] = config->account_exporter[0] = '\0';
    config->kms_uids = (struct kt_ids){.ids = {geteuid()}, .n = 1};
    return join(init->config_path, sizeof(init->config_path), real, "keyturn.yaml", err) &&
           join(config->state_dir, sizeof(config->state_dir), real, "state", err) &&
           join(config->kms_socket, sizeof(config->kms_socket), real, "run/kms/kms.sock", err) &&
           join(config->control_socket, sizeof(config->control_socket), real, "run/control.sock", err) &&
           join(config->metrics_listen, sizeof(config->metrics_listen), real, "run/metrics.sock", err);
}

static bool plan_node(struct kt_init *init, struct kt_error *err)
{
    char host[256] = "";
    if (!init->node && gethostname(host, sizeof(host) - 1) != 0)
        return kt_fail_errno(err, KT_E_IO, "the host's name");
    const char *name = init->node ? init->node : host;
    size_t len = strlen(name);
    bool valid = len > 0 && len <= KT_NAME_MAX;
    for (size_t i = 0; valid && i < len; i++) {
        init->config->node[i] = (char)tolower((unsigned char)name[i]);
        valid = isalnum((unsigned char)name[i]) || ((name[i] == '-' || name[i] == '.') && i > 0 && i + 1 < len);
    }
    if (!valid || strcmp(init->config->node, "recovery") == 0) {
        kt_fail(err, KT_E_USAGE, "the node's name is not one that Kubernetes takes, or is \"recovery\"");
        return kt_error_hint(err, "--node NAME: 1 to %u of a-z 0-9 . -, as `kubectl get nodes` shows it", KT_NAME_MAX);
    }
    init->config->node[len] = '\0';
    return true;
}

static bool plan_uids(struct kt_init *init, struct kt_error *err)
{
    struct kt_ids *uids = &init->config->kms_uids;
    for (size_t i = 0; i < init->allow_uids.n; i++) {
        bool known = false;
        for (size_t k = 0; k < uids->n; k++)
            known = known || uids->ids[k] == init->allow_uids.ids[i];
        if (known)
            continue;
        if (uids->n == KT_CONFIG_IDS_MAX)
            return kt_fail(err, KT_E_USAGE, "--allow-uid: at most %u users", KT_CONFIG_IDS_MAX);
        uids->ids[uids->n++] = init->allow_uids.ids[i];
        /* Others must be able to connect before SO_PEERCRED can tell who they are. */
        init->config->kms_mode = 0666;
    }
    return true;
}

bool kt_init_plan(struct kt_init *init, struct kt_error *err)
{
    init->config = calloc(1, sizeof(*init->config));
    if (!init->config)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    kt_config_defaults(init->config);
    snprintf(init->config_path, sizeof(init->config_path), "%s", kt_config_path(init->options->config));
    if (init->dir && !plan_dir(init, err))
        return false;
    if (!init->dir && geteuid() != 0) {
        kt_fail(err, KT_E_USAGE, "only root can write %s and %s", init->config_path, init->config->state_dir);
        return kt_error_hint(err, "run it as root, or give it a directory of your own: keyturn init --dir D");
    }
    snprintf(init->config->path, sizeof(init->config->path), "%s", init->config_path);
    snprintf(init->staging, sizeof(init->staging), "%.4096s.init", init->config->state_dir);
    return plan_node(init, err) && plan_uids(init, err);
}

void kt_init_staged(const struct kt_init *init, const char *name, char ret[KT_INIT_PATH_MAX + 64])
{
    snprintf(ret, KT_INIT_PATH_MAX + 64, "%s/%s", init->staging, name);
}

static bool exists(const char *dir, const char *name)
{
    char path[KT_INIT_PATH_MAX + 64];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return lstat(path, &st) == 0;
}

static bool finish_earlier(struct kt_init *init, struct kt_error *err)
{
    char pending[KT_INIT_PATH_MAX + 64];
    snprintf(pending, sizeof(pending), "%s/" KT_INIT_PENDING, init->config->state_dir);
    const struct kt_file_rules rules = {.max = KT_CONFIG_FILE_MAX, .owner = geteuid(), .forbidden_mode = 0022};
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    if (!kt_file_read(AT_FDCWD, pending, &rules, &text, err) ||
        !kt_file_create(AT_FDCWD, init->config_path, kt_bytes_view(&text), &attrs, err))
        return false;
    init->finished_earlier = true;
    return kt_file_remove(AT_FDCWD, pending, err);
}

/* "/real/directory/name", whether that name exists or not; NULL: its directory does not. */
static char *resolve_place(const char *path)
{
    KT_CLEANUP(kt_free_p) char *copy = strdup(path);
    KT_CLEANUP(kt_free_p) char *real = copy ? realpath(dirname(copy), NULL) : NULL;
    const char *slash = strrchr(path, '/');
    char *ret = NULL;
    if (!real || asprintf(&ret, "%s/%s", strcmp(real, "/") == 0 ? "" : real, slash ? slash + 1 : path) < 0)
        return NULL;
    return ret;
}

/* The path itself, or something below it. */
static bool is_at_or_below(const char *place, const char *path)
{
    KT_CLEANUP(kt_free_p) char *resolved = resolve_place(path);
    size_t len = resolved ? strlen(resolved) : 0;
    return resolved && strncmp(place, resolved, len) == 0 && (place[len] == '\0' || place[len] == '/');
}

/* A recovery key in the place of something that init or keyturnd makes would be written over by it. */
static bool check_recovery_place(const struct kt_init *init, struct kt_error *err)
{
    const char *own[] = {init->config_path, init->config->state_dir, init->staging, init->config->kms_socket,
                         init->config->control_socket};
    KT_CLEANUP(kt_free_p) char *place = resolve_place(init->recovery_out);
    if (!place && init->options->dry_run && init->dir)
        return true; /* perhaps in the directory that is not made now */
    if (!place) {
        kt_fail_errno(err, KT_E_USAGE, "%s: its directory", init->recovery_out);
        return kt_error_hint(err, "--recovery-out FILE: in a directory that exists");
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(own); i++) {
        if (is_at_or_below(place, own[i])) {
            kt_fail(err, KT_E_USAGE, "%s: is the place of something else that init makes", init->recovery_out);
            return kt_error_hint(err, "--recovery-out FILE: outside of %s, better on a medium that you take away",
                                 init->config->state_dir);
        }
    }
    return true;
}

bool kt_init_check(struct kt_init *init, struct kt_error *err)
{
    struct stat st;
    const char *state_dir = init->config->state_dir;
    if (lstat(init->config_path, &st) == 0) {
        kt_fail(err, KT_E_EXISTS, "%s exists: this node has a keyring", init->config_path);
        return kt_error_hint(err, "keyturn status shows it; to start anew, move %s and %s away", init->config_path,
                             state_dir);
    }
    if (exists(state_dir, KT_INIT_PENDING) && exists(state_dir, "keyring.yaml"))
        return init->options->dry_run || finish_earlier(init, err);
    if (exists(state_dir, "keyring.yaml") || exists(state_dir, "floor") || exists(state_dir, "opener")) {
        kt_fail(err, KT_E_EXISTS, "%s holds a keyring, but there is no %s", state_dir, init->config_path);
        return kt_error_hint(err, "put that file back (its owner: line cannot be guessed), or move %s away", state_dir);
    }
    if (init->recovery_out && !check_recovery_place(init, err))
        return false;
    if (init->recovery_out && lstat(init->recovery_out, &st) == 0) {
        kt_fail(err, KT_E_EXISTS, "%s exists", init->recovery_out);
        return kt_error_hint(err, "a recovery key is never written over another file: name one that does not exist");
    }
    return true;
}
