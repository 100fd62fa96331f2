/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/init.h"
#include "admin/opener_local.h"
#include "admin/secret_input.h"
#include "admin/terminal.h"
#include "base/file.h"
#include "base/printable.h"
#include "keystore/recovery_key.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TYPING_TRIES 3

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

static bool write_config(const struct kt_init *init, const char *state_dir, const char *path, struct kt_error *err)
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

bool kt_init_stage(struct kt_init *init, struct kt_error *err)
{
    char path[KT_INIT_PATH_MAX + 64];
    struct kt_file_attrs state_attrs, opener_attrs;
    if (!account_attrs(init->config->account_keeper, 0711, &state_attrs, err) ||
        !account_attrs(init->config->account_opener, 0700, &opener_attrs, err) || !make_home(init, err) ||
        !kt_init_make_dir(init, init->staging, &state_attrs, err))
        return false;
    init->staged = kt_state_dir_open(init->staging, err);
    if (!init->staged || !kt_init_clear(init, err))
        return false;
    kt_init_staged(init, "opener", path);
    if (!kt_dir_make(AT_FDCWD, path, &opener_attrs, err))
        return false;
    kt_init_staged(init, "work.yaml", path);
    return write_config(init, init->staging, path, err);
}

bool kt_init_found(struct kt_init *init, struct kt_bytes *ret_document, struct kt_secret **ret_recovery,
                   struct kt_error *err)
{
    char work[KT_INIT_PATH_MAX + 64];
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *recovery = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, err);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    if (!recovery)
        return false;
    const struct kt_opener_request request = {
        .op = KT_OPENER_CREATE,
        .recovery_key = recovery,
        .node = init->config->node,
        .kind = init->config->recipient,
        .type = KT_KEY_KMS,
        .key_name = "kmskey",
        .now = kt_clock_real_s(),
        .tpm_policy = init->policy,
    };
    kt_init_staged(init, "work.yaml", work);
    if (!kt_opener_local(init->config, work, &request, &answer, err))
        return false;
    memcpy(init->config->owner, answer.owner, KT_HASH_LEN);
    init->config->has_owner = true;
    *ret_document = answer.document;
    answer.document = (struct kt_bytes){0};
    *ret_recovery = KT_TAKE_PTR(recovery);
    /* From here on the opener has an owner to hold the document against. */
    return write_config(init, init->staging, work, err);
}

static bool opens(struct kt_init *init, struct kt_slice document, const struct kt_secret *key, struct kt_error *err)
{
    char work[KT_INIT_PATH_MAX + 64];
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    const struct kt_opener_request request = {
        .op = KT_OPENER_RECOVERY_VERIFY, .offered = document, .recovery_key = key};
    kt_init_staged(init, "work.yaml", work);
    return kt_opener_local(init->config, work, &request, &answer, err);
}

/* Written by kt_file_create that failed behind it: only then it is ours to remove. */
static bool is_ours(const char *path, size_t len)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 07777) == 0600 &&
           (size_t)st.st_size == len;
}

static bool prove_by_file(struct kt_init *init, struct kt_slice document, const struct kt_secret *text,
                          struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    /* Its NUL becomes the line end, in locked memory. */
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *line = kt_secret_new_copy(kt_secret_view(text), kt_secret_len(text), err);
    if (!line)
        return false;
    kt_secret_bytes(line)[kt_secret_len(line) - 1] = '\n';
    struct kt_error why = KT_ERROR_INIT;
    const struct kt_slice bytes = KT_SLICE(kt_secret_view(line), kt_secret_len(line));
    bool created = kt_file_create(AT_FDCWD, init->recovery_out, bytes, &attrs, &why);
    init->recovery_made = created || (why.code != KT_E_EXISTS && is_ours(init->recovery_out, bytes.len));
    if (!created) {
        if (err)
            *err = why;
        return false;
    }
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *back = kt_recovery_key_ask(init->recovery_out, "", err);
    return back && opens(init, document, back, err);
}

static bool prove_by_typing(struct kt_init *init, struct kt_slice document, const struct kt_secret *text,
                            struct kt_error *err)
{
    static const char before[] =
        "\nThis is the recovery key. It is shown once, and it is the only way back when no node is "
        "left.\nWrite it down and keep it offline:\n\n    ";
    KT_CLEANUP(kt_fd_close_p) int terminal = kt_terminal_open(err);
    if (terminal < 0)
        return false;
    if (write(terminal, before, sizeof(before) - 1) < 0 ||
        write(terminal, kt_secret_view(text), kt_secret_len(text) - 1) < 0 || write(terminal, "\n\n", 2) < 0)
        return kt_fail_errno(err, KT_E_IO, "the terminal");
    for (int i = 0; i < TYPING_TRIES; i++) {
        KT_CLEANUP(kt_secret_free_p)
        struct kt_secret *typed = kt_terminal_read_secret(terminal, "Type it in, from your paper: ", err);
        if (!typed && err && err->code == KT_E_IO)
            return kt_error_prefix(err, "nothing was made");
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = typed ? kt_recovery_key_parse(typed, err) : NULL;
        if (key && opens(init, document, key, err))
            return true;
        if (i + 1 < TYPING_TRIES && err)
            dprintf(terminal, "%s\n", KT_PRINTABLE(err->message));
    }
    return kt_error_hint(err, "nothing was made, so the key above opens nothing: keyturn init shows a new one");
}

bool kt_init_prove(struct kt_init *init, struct kt_slice document, const struct kt_secret *recovery,
                   struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *text = kt_recovery_key_format(recovery, err);
    if (!text)
        return false;
    return init->recovery_out ? prove_by_file(init, document, text, err) : prove_by_typing(init, document, text, err);
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
    if (kt_state_dir_install(init->staged, state, document, answer, &why))
        return true;
    if (err)
        *err = why;
    if (why.code != KT_E_INCOMPLETE)
        return false;
    errno = why.sys_errno;
    return kt_fail_errno(err, KT_E_IO, "%s/floor: cannot be written, so nothing was made", init->staging);
}

static bool install_keyring(struct kt_init *init, struct kt_slice document, struct kt_error *err)
{
    char work[KT_INIT_PATH_MAX + 64];
    KT_CLEANUP(kt_free_p) struct kt_state *state = calloc(1, sizeof(*state));
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    if (!state)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    struct kt_opener_request request = {0};
    kt_state_request(state, document, &request);
    kt_init_staged(init, "work.yaml", work);
    /* The node's own key opens it too: the recovery key alone would not make a node serve. */
    if (!kt_opener_local(init->config, work, &request, &answer, err) ||
        !install_staged(init, state, document, &answer, err))
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

static bool sync_parent(const char *path, struct kt_error *err)
{
    char parent[KT_INIT_PATH_MAX];
    snprintf(parent, sizeof(parent), "%s", path);
    KT_CLEANUP(kt_fd_close_p) int fd = kt_dir_open(AT_FDCWD, dirname(parent), err);
    if (fd < 0)
        return false;
    return fsync(fd) == 0 || kt_fail_errno(err, KT_E_IO, "%s: fsync", parent);
}

/* The keyring is in its place, keyturn.yaml and what waits for it are not yet. */
static bool write_pending(const struct kt_init *init, struct kt_error *err)
{
    char pending[KT_INIT_PATH_MAX + 64];
    snprintf(pending, sizeof(pending), "%s/" KT_INIT_PENDING, init->config->state_dir);
    return sync_parent(init->config->state_dir, err) &&
           write_config(init, init->config->state_dir, init->config_path, err) &&
           kt_file_remove(AT_FDCWD, pending, err);
}

bool kt_init_commit(struct kt_init *init, struct kt_slice document, struct kt_error *err)
{
    char pending[KT_INIT_PATH_MAX + 64];
    kt_init_staged(init, KT_INIT_PENDING, pending);
    if (!make_run_dirs(init, err) || !install_keyring(init, document, err) ||
        !write_config(init, init->config->state_dir, pending, err))
        return false;
    if (rename(init->staging, init->config->state_dir) != 0)
        return kt_fail_errno(err, KT_E_IO, "%s: cannot become %s", init->staging, init->config->state_dir);
    init->committed = true;
    return write_pending(init, err) || kt_init_fail_incomplete(err);
}

bool kt_init_fail_incomplete(struct kt_error *err)
{
    if (err)
        err->code = KT_E_INCOMPLETE;
    (void)kt_error_prefix(err, "the keyring is made, but not all around it");
    return kt_error_hint(err,
                         "keep the recovery key, it belongs to this keyring; mend this and run keyturn init again");
}

/* It may be of another node's name than this run was given. */
static bool read_pending(struct kt_init *init, const char *pending, struct kt_bytes *ret, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_CONFIG_FILE_MAX, .owner = geteuid(), .forbidden_mode = 0022};
    if (!kt_file_read(AT_FDCWD, pending, &rules, ret, err))
        return false;
    return kt_config_parse(kt_bytes_view(ret), init->config, err) || kt_error_prefix(err, "%s", pending);
}

bool kt_init_finish(struct kt_init *init, struct kt_error *err)
{
    char pending[KT_INIT_PATH_MAX + 64];
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    snprintf(pending, sizeof(pending), "%s/" KT_INIT_PENDING, init->config->state_dir);
    if (!read_pending(init, pending, &text, err))
        return false;
    init->finished_earlier = true;
    if (init->options->dry_run)
        return true;
    return sync_parent(init->config->state_dir, err) &&
           kt_file_create(AT_FDCWD, init->config_path, kt_bytes_view(&text), &attrs, err) &&
           kt_file_remove(AT_FDCWD, pending, err);
}
