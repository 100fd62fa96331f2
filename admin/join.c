/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/join.h"

#include "admin/join_exchange.h"
#include "admin/opener_local.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

error_t kt_join_take(int key, const char *arg, struct kt_join *join)
{
    switch (key) {
    case KT_JOIN_OPTION_DIR:
        join->init.dir = arg;
        return arg[0] ? 0 : EINVAL;
    case KT_JOIN_OPTION_NODE:
        join->init.node = arg;
        return 0;
    case KT_JOIN_OPTION_ALLOW_UID:
        return kt_init_take_uid(&join->init.allow_uids, arg);
    default:
        return kt_init_take_tpm(&join->init, key, arg);
    }
}

void kt_join_done(struct kt_join *join)
{
    if (join->rejoins && join->init.config)
        kt_init_release(&join->init);
    free(KT_TAKE_PTR(join->init.policy));
    kt_state_dir_free(KT_TAKE_PTR(join->init.staged));
    free(KT_TAKE_PTR(join->init.config));
}

/* keyturn.yaml as it would be found: in --dir, by --config, or where the system has it. */
static bool find_config(const struct kt_init *init, char ret[4096])
{
    struct stat st;
    char path[4096];
    int len = init->dir ? snprintf(path, sizeof(path), "%s/keyturn.yaml", init->dir)
                        : snprintf(path, sizeof(path), "%s", kt_config_path(init->options->config));
    if (len < 0 || (size_t)len >= sizeof(path) || lstat(path, &st) != 0)
        return false;
    KT_CLEANUP(kt_free_p) char *real = realpath(path, NULL);
    snprintf(ret, 4096, "%.4095s", real ? real : path);
    return true;
}

static bool plan_rejoin(struct kt_init *init, struct kt_error *err)
{
    init->config = calloc(1, sizeof(*init->config));
    if (!init->config)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!kt_config_load(init->config_path, init->config, err) || !kt_config_need_owner(init->config, err))
        return false;
    if (init->node && strcmp(init->node, init->config->node) != 0) {
        kt_fail(err, KT_E_USAGE, "--node: %s says that this node is %s", init->config_path, init->config->node);
        return kt_error_hint(err, "leave it out; a node keeps its name");
    }
    return kt_init_plan_tpm(init, err);
}

/* What `node request` had written for the time until now. */
static void remove_leftovers(const struct kt_init *init)
{
    static const char *const names[] = {"request", "plan.yaml"};
    KT_CLEANUP(kt_fd_close_p) int fd = kt_dir_open(AT_FDCWD, init->config->state_dir, NULL);
    for (size_t i = 0; fd >= 0 && i < KT_ARRAY_LEN(names); i++)
        if (!kt_file_remove(fd, names[i], NULL))
            return;
}

bool kt_join_plan(struct kt_join *join, struct kt_error *err)
{
    struct kt_init *init = &join->init;
    join->rejoins = find_config(init, init->config_path);
    if (join->rejoins ? !plan_rejoin(init, err) : !kt_init_plan(init, err))
        return false;
    snprintf(init->staging, sizeof(init->staging), "%.4095s.join", init->config->state_dir);
    if (!join->rejoins && !kt_init_check(init, err))
        return false;
    if (init->finished_earlier)
        remove_leftovers(init);
    return true;
}

bool kt_join_open(struct kt_join *join, struct kt_error *err)
{
    return (!join->rejoins || kt_init_make_state_dir(&join->init, err)) && kt_init_stage_open(&join->init, err);
}

bool kt_join_state(const struct kt_join *join, struct kt_state **ret, struct kt_error *err)
{
    struct stat st;
    KT_CLEANUP(kt_free_p) struct kt_state *state = calloc(1, sizeof(*state));
    if (!state)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (join->rejoins && (lstat(join->init.config->state_dir, &st) == 0 || errno != ENOENT)) {
        KT_CLEANUP(kt_state_dir_free_p)
        struct kt_state_dir *dir = kt_state_dir_view(join->init.config->state_dir, err);
        if (!dir || !kt_state_dir_read(dir, state, err))
            return false;
    }
    *ret = KT_TAKE_PTR(state);
    return true;
}

/* The files of the opener's folder, whatever kinds of recipients keep there. */
static bool empty_folder(const char *path, struct kt_error *err)
{
    KT_CLEANUP(closedir_p) DIR *entries = opendir(path);
    if (!entries)
        return errno == ENOENT || kt_fail_errno(err, KT_E_IO, "%s", path);
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries))
        if (entry->d_name[0] != '.' && unlinkat(dirfd(entries), entry->d_name, 0) != 0 && errno != ENOENT)
            return kt_fail_errno(err, KT_E_IO, "%s/%s: cannot be removed", path, entry->d_name);
    return true;
}

/* The request goes first: without it, nobody takes what is left for something to go on with. */
static bool clear(const struct kt_join *join, struct kt_error *err)
{
    char path[KT_INIT_PATH_MAX + 64];
    kt_init_staged(&join->init, "request", path);
    if (!kt_file_remove(AT_FDCWD, path, err))
        return false;
    kt_init_staged(&join->init, "opener", path);
    return empty_folder(path, err) && kt_init_clear(&join->init, err);
}

bool kt_join_begin(struct kt_join *join, struct kt_error *err)
{
    char path[KT_INIT_PATH_MAX + 64];
    kt_init_staged(&join->init, "plan.yaml", path);
    return clear(join, err) && kt_init_stage_fill(&join->init, err) &&
           kt_init_write_config(&join->init, join->init.config->state_dir, path, err);
}

static bool no_request(const struct kt_join *join, struct kt_error *err)
{
    kt_fail(err, KT_E_REFUSED, "%s: no request of this node is there that a bundle could answer", join->init.staging);
    return kt_error_hint(err, "keyturn node request writes one");
}

bool kt_join_read_plan(const struct kt_join *join, struct kt_config *ret, struct kt_error *err)
{
    char path[KT_INIT_PATH_MAX + 64];
    struct stat st;
    kt_init_staged(&join->init, "plan.yaml", path);
    if (lstat(path, &st) != 0)
        return no_request(join, err);
    return kt_config_load(path, ret, err);
}

void kt_join_adopt(struct kt_join *join, const struct kt_config *plan)
{
    struct kt_config *config = join->init.config;
    if (!join->rejoins) {
        *config = *plan;
        snprintf(config->path, sizeof(config->path), "%s", join->init.config_path);
        return;
    }
    config->recipient = plan->recipient;
    memcpy(config->tpm_tcti, plan->tpm_tcti, sizeof(config->tpm_tcti));
    memcpy(config->tpm_pcr_signature, plan->tpm_pcr_signature, sizeof(config->tpm_pcr_signature));
}

static bool load_plan(struct kt_join *join, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *plan = calloc(1, sizeof(*plan));
    if (!plan)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!kt_join_read_plan(join, plan, err))
        return false;
    kt_join_adopt(join, plan);
    return true;
}

bool kt_join_resume(struct kt_join *join, struct kt_error *err)
{
    static const char *const names[] = {"keyring.yaml", "floor"};
    char path[KT_INIT_PATH_MAX + 64];
    if (kt_join_is_exchanged(join))
        return load_plan(join, err);
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++) {
        kt_init_staged(&join->init, names[i], path);
        if (unlink(path) != 0 && errno != ENOENT)
            return kt_fail_errno(err, KT_E_IO, "%s: cannot be removed", path);
    }
    return load_plan(join, err) && kt_init_stage_fill(&join->init, err);
}

bool kt_join_read(const struct kt_join *join, const char *name, struct kt_bytes *ret, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_KEYRING_MAX, .owner = geteuid(), .forbidden_mode = 0022};
    enum kt_file_state state = KT_FILE_ABSENT;
    return kt_file_read_if(kt_state_dir_fd(join->init.staged), name, &rules, ret, &state, err);
}

bool kt_join_write(const struct kt_join *join, const char *name, struct kt_slice bytes, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    return kt_file_replace(kt_state_dir_fd(join->init.staged), name, bytes, &attrs, err);
}

bool kt_join_ask(const struct kt_join *join, const struct kt_opener_request *request, struct kt_opener_answer *ret,
                 struct kt_error *err)
{
    char work[KT_INIT_PATH_MAX + 64];
    kt_init_staged(&join->init, "work.yaml", work);
    const char *config_path = kt_join_is_exchanged(join) ? join->init.config_path : work;
    return kt_opener_local(join->init.config, config_path, request, ret, err);
}

bool kt_join_is_done(const struct kt_join *join, struct kt_slice document)
{
    KT_CLEANUP_BYTES struct kt_bytes request = {0};
    KT_CLEANUP_BYTES struct kt_bytes installed = {0};
    return join->rejoins && kt_join_read(join, "request", &request, NULL) && !request.data &&
           kt_keyring_file_read(join->init.config, &installed, NULL) &&
           kt_slice_equal(kt_bytes_view(&installed), document);
}

bool kt_join_tidy(struct kt_join *join, struct kt_error *err)
{
    char path[KT_INIT_PATH_MAX + 64];
    if (!clear(join, err))
        return false;
    kt_init_staged(&join->init, "opener", path);
    if (rmdir(path) != 0 && errno != ENOENT)
        return kt_fail_errno(err, KT_E_IO, "%s: cannot be removed", path);
    kt_init_staged(&join->init, "lock", path);
    if (unlink(path) != 0 || rmdir(join->init.staging) != 0)
        return kt_fail_errno(err, KT_E_IO, "%s: cannot be removed", join->init.staging);
    remove_leftovers(&join->init);
    kt_join_remove_mark(join);
    return true;
}

static bool finish_new(struct kt_join *join, const struct kt_join_result *result, struct kt_error *err)
{
    struct kt_config *config = join->init.config;
    memcpy(config->owner, result->owner, KT_HASH_LEN);
    config->has_owner = true;
    if (result->provider)
        snprintf(config->provider, sizeof(config->provider), "%s", result->provider);
    if (!kt_init_stage_fill(&join->init, err) || !kt_init_commit(&join->init, result->document, err))
        return false;
    remove_leftovers(&join->init);
    return true;
}

bool kt_join_finish(struct kt_join *join, const struct kt_join_result *result, struct kt_outcome *ret,
                    struct kt_error *err)
{
    if (!join->rejoins)
        return finish_new(join, result, err);
    return kt_join_exchange(join, result->document, ret, err) && kt_join_tidy(join, err);
}
