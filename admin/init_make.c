/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/audit_claim.h"
#include "admin/audit_journal.h"
#include "admin/init.h"
#include "admin/opener_local.h"
#include "admin/recovery_prove.h"
#include "base/file.h"
#include "keystore/key_name.h"
#include "keystore/recovery_key.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define STAGE_TRIES 32

/* uid and gid of one of accounts.*; KT_ANY_UID where all run under one uid. */
static bool account_attrs(const char *account, mode_t mode, struct kt_file_attrs *ret, struct kt_error *err)
{
    *ret = (struct kt_file_attrs){.mode = mode, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    if (account[0] == '\0' || geteuid() != 0)
        return true;
    struct kt_account found;
    if (!kt_account_find(account, &found, err))
        return false;
    ret->uid = found.uid;
    ret->gid = found.gid;
    return true;
}

bool kt_init_write_config(const struct kt_init *init, const char *state_dir, const char *path, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *config = malloc(sizeof(*config));
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    if (!config)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    *config = *init->config;
    if (state_dir != init->config->state_dir)
        snprintf(config->state_dir, sizeof(config->state_dir), "%.4095s", state_dir);
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    return kt_config_format(config, &text, err) && kt_file_replace(AT_FDCWD, path, kt_bytes_view(&text), &attrs, err);
}

static bool make_home(struct kt_init *init, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0755, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    struct stat st;
    if (init->home[0] == '\0' || (lstat(init->home, &st) == 0 && S_ISDIR(st.st_mode)))
        return true;
    return kt_init_make_dir(init, init->home, &attrs, err);
}

/* Another run may remove what it made, or give the directory its place, between any two of these. */
static bool stage_once(struct kt_init *init, const struct kt_file_attrs *attrs, struct kt_error *err)
{
    if (!make_home(init, err) || !kt_init_make_dir(init, init->staging, attrs, err))
        return false;
    init->staged = kt_state_dir_open(init->staging, err);
    return init->staged != NULL;
}

/* Whether the directory that is locked is not the one of that name any more: then the lock is nobody's. */
static bool is_gone(const struct kt_init *init)
{
    return !kt_fd_is_at(kt_state_dir_fd(init->staged), AT_FDCWD, init->staging);
}

bool kt_init_claim(struct kt_init *init, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    struct stat st;
    char path[KT_INIT_PATH_MAX + 64];
    kt_init_staged(init, "lock", path);
    if (lstat(init->options->dry_run ? path : init->staging, &st) != 0)
        return true;
    init->staged = kt_state_dir_open(init->staging, &why);
    if (init->staged && is_gone(init))
        kt_state_dir_free(KT_TAKE_PTR(init->staged));
    return init->staged || why.code == KT_OK || why.sys_errno == ENOENT || kt_error_copy(err, &why);
}

bool kt_init_stage_open(struct kt_init *init, struct kt_error *err)
{
    struct kt_file_attrs attrs;
    if (init->staged)
        return true;
    if (!account_attrs(init->config->account_keeper, 0711, &attrs, err))
        return false;
    for (int i = 0; i < STAGE_TRIES; i++) {
        struct kt_error why = KT_ERROR_INIT;
        if (stage_once(init, &attrs, &why) && !is_gone(init))
            return true;
        if (!init->staged && (why.sys_errno != ENOENT || i + 1 == STAGE_TRIES))
            return kt_error_copy(err, &why);
        kt_state_dir_free(KT_TAKE_PTR(init->staged));
    }
    return kt_fail(err, KT_E_BUSY, "%s: other processes make and remove it at this moment", init->staging);
}

bool kt_init_make_state_dir(const struct kt_init *init, struct kt_error *err)
{
    struct kt_file_attrs attrs;
    return account_attrs(init->config->account_keeper, 0711, &attrs, err) &&
           kt_dir_make(AT_FDCWD, init->config->state_dir, &attrs, err);
}

bool kt_init_stage_fill(const struct kt_init *init, struct kt_error *err)
{
    char path[KT_INIT_PATH_MAX + 64];
    struct kt_file_attrs attrs;
    kt_init_staged(init, "opener", path);
    if (!account_attrs(init->config->account_opener, 0700, &attrs, err) || !kt_dir_make(AT_FDCWD, path, &attrs, err))
        return false;
    kt_init_staged(init, "work.yaml", path);
    return kt_init_write_config(init, init->staging, path, err);
}

bool kt_init_found(struct kt_init *init, struct kt_bytes *ret_document, struct kt_secret **ret_recovery,
                   struct kt_error *err)
{
    char work[KT_INIT_PATH_MAX + 64];
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *recovery = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, err);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    if (!recovery)
        return false;
    struct kt_opener_request request = {
        .op = KT_OPENER_CREATE,
        .recovery_key = recovery,
        .node = init->config->node,
        .kind = init->config->recipient,
        .type = init->type,
        .key_name = kt_key_name_first(init->type),
        .now = kt_clock_real_s(),
        .tpm_policy = init->policy,
    };
    kt_audit_claim_fill(init->options->command, &request.claim);
    kt_init_staged(init, "work.yaml", work);
    if (!kt_opener_local(init->config, work, &request, &answer, err))
        return false;
    memcpy(init->config->owner, answer.owner, KT_HASH_LEN);
    init->config->has_owner = true;
    *ret_document = answer.document;
    answer.document = (struct kt_bytes){0};
    *ret_recovery = KT_TAKE_PTR(recovery);
    /* From here on the opener has an owner to hold the document against. */
    return kt_init_write_config(init, init->staging, work, err);
}

bool kt_init_prove(struct kt_init *init, struct kt_slice document, const struct kt_secret *recovery,
                   struct kt_error *err)
{
    char work[KT_INIT_PATH_MAX + 64];
    kt_init_staged(init, "work.yaml", work);
    const struct kt_recovery_proof proof = {
        .config = init->config, .config_path = work, .recovery_out = init->recovery_out, .document = document};
    return kt_recovery_prove(&proof, recovery, &init->recovery_made, err);
}

/* Made by root, to be replaced by the keeper. */
static bool hand_over(const struct kt_init *init, struct kt_error *err)
{
    struct kt_file_attrs attrs;
    if (!account_attrs(init->config->account_keeper, 0, &attrs, err))
        return false;
    static const char *const names[] = {"keyring.yaml", "floor", "lock"};
    for (size_t i = 0; attrs.uid != KT_ANY_UID && i < KT_ARRAY_LEN(names); i++) {
        if (fchownat(kt_state_dir_fd(init->staged), names[i], attrs.uid, attrs.gid, AT_SYMLINK_NOFOLLOW) != 0)
            return kt_fail_errno(err, KT_E_IO, "%s/%s: owner", init->staging, names[i]);
    }
    return true;
}

/* What is incomplete in the staging directory is not there at all. */
static bool install_staged(struct kt_init *init, const struct kt_state *state, struct kt_slice document,
                           const struct kt_opener_answer *answer, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    if (kt_state_dir_install(init->staged, state, document, answer, &why)) {
        why = kt_state_dir_audit(init->staged)->trouble;
        if (why.code == KT_OK)
            return true;
    }
    if (err)
        *err = why;
    if (why.code != KT_E_INCOMPLETE)
        return false;
    errno = why.sys_errno;
    return kt_fail_errno(err, KT_E_IO, "%s/floor: cannot be written, so nothing was made", init->staging);
}

static bool install_keyring(struct kt_init *init, struct kt_slice document, struct kt_opener_answer *ret,
                            struct kt_error *err)
{
    char work[KT_INIT_PATH_MAX + 64];
    KT_CLEANUP(kt_free_p) struct kt_state *state = calloc(1, sizeof(*state));
    if (!state)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    struct kt_opener_request request = {0};
    kt_state_request(state, document, &request);
    kt_init_staged(init, "work.yaml", work);
    /* The node's own key opens it too: the recovery key alone would not make a node serve. */
    if (!kt_opener_local(init->config, work, &request, ret, err) || !install_staged(init, state, document, ret, err))
        return false;
    return kt_file_remove(AT_FDCWD, work, err) && hand_over(init, err);
}

static bool make_run_dirs(struct kt_init *init, struct kt_error *err)
{
    char path[KT_INIT_PATH_MAX];
    const struct kt_file_attrs attrs = {.mode = 0755, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    if (!init->dir)
        return true;
    snprintf(path, sizeof(path), "%s", init->config->control_socket);
    if (!kt_init_make_dir(init, dirname(path), &attrs, err))
        return false;
    snprintf(path, sizeof(path), "%s", init->config->kms_socket);
    return kt_init_make_dir(init, dirname(path), &attrs, err);
}

bool kt_init_commit(struct kt_init *init, struct kt_slice document, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    char pending[KT_INIT_PATH_MAX + 64];
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    kt_init_staged(init, KT_INIT_PENDING, pending);
    if (!make_run_dirs(init, err) || !install_keyring(init, document, &answer, err) ||
        !kt_config_format(init->config, &text, err) ||
        !kt_file_replace(AT_FDCWD, pending, kt_bytes_view(&text), &attrs, err))
        return false;
    if (rename(init->staging, init->config->state_dir) != 0)
        return kt_fail_errno(err, KT_E_IO, "%s: cannot become %s", init->staging, init->config->state_dir);
    init->committed = true;
    kt_audit_journal(answer.audit, kt_state_dir_audit(init->staged));
    return kt_init_complete(init, kt_bytes_view(&text), err);
}
