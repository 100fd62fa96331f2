/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/join_exchange.h"

#include "admin/config_edit.h"
#include "admin/opener_local.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MARK "opener/exchanged"

static void in_state(const struct kt_join *join, const char *name, char ret[KT_INIT_PATH_MAX + 64])
{
    snprintf(ret, KT_INIT_PATH_MAX + 64, "%s/%s", join->init.config->state_dir, name);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static bool is_staged(const struct kt_join *join, const char *name)
{
    char path[KT_INIT_PATH_MAX + 64];
    kt_init_staged(&join->init, name, path);
    return exists(path);
}

bool kt_join_is_exchanged(const struct kt_join *join)
{
    char mark[KT_INIT_PATH_MAX + 64];
    in_state(join, MARK, mark);
    return join->rejoins && is_staged(join, "keyring.yaml") && exists(mark);
}

bool kt_join_is_half_done(const struct kt_join *join, struct kt_slice document)
{
    KT_CLEANUP_BYTES struct kt_bytes staged = {0};
    return kt_join_is_exchanged(join) && kt_join_read(join, "keyring.yaml", &staged, NULL) && staged.data &&
           kt_slice_equal(kt_bytes_view(&staged), document);
}

void kt_join_remove_mark(const struct kt_join *join)
{
    char mark[KT_INIT_PATH_MAX + 64];
    in_state(join, MARK, mark);
    (void)!kt_file_remove(AT_FDCWD, mark, NULL);
}

/* A mark that an earlier rejoin has left goes before there is a keyring beside which it would mean something. */
static bool mark(const struct kt_join *join, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    char old[KT_INIT_PATH_MAX + 64], new[KT_INIT_PATH_MAX + 64];
    in_state(join, MARK, old);
    kt_init_staged(&join->init, MARK, new);
    return kt_file_remove(AT_FDCWD, old, err) && kt_file_replace(AT_FDCWD, new, kt_slice_str("\n"), &attrs, err);
}

static bool sync_folder(const char *path, struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p) int fd = kt_dir_open(AT_FDCWD, path, err);
    return fd >= 0 && (fsync(fd) == 0 || kt_fail_errno(err, KT_E_IO, "%s: fsync", path));
}

static bool swap_folders(const struct kt_join *join, struct kt_error *err)
{
    char from[KT_INIT_PATH_MAX + 64], to[KT_INIT_PATH_MAX + 64];
    kt_init_staged(&join->init, "opener", from);
    in_state(join, "opener", to);
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) != 0 && (errno != ENOENT || rename(from, to) != 0))
        return kt_fail_errno(err, KT_E_IO, "%s: cannot take the place of %s", from, to);
    return sync_folder(join->init.config->state_dir, err) && sync_folder(join->init.staging, err);
}

/* keyturn.yaml follows what was planned; a file recipient leaves alone what it says of the TPM. */
static bool set_recipient(const struct kt_join *join, struct kt_error *err)
{
    const struct kt_config *planned = join->init.config;
    const char *path = join->init.config_path;
    KT_CLEANUP(kt_free_p) struct kt_config *now = calloc(1, sizeof(*now));
    if (!now)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!kt_config_load(path, now, err))
        return false;
    const char *changed[4] = {NULL};
    size_t n = 0;
    if (now->recipient != planned->recipient)
        changed[n++] = "recipient";
    if (planned->recipient == KT_RECIPIENT_TPM2 && strcmp(now->tpm_tcti, planned->tpm_tcti) != 0)
        changed[n++] = "tpm.tcti";
    if (planned->recipient == KT_RECIPIENT_TPM2 && strcmp(now->tpm_pcr_signature, planned->tpm_pcr_signature) != 0)
        changed[n++] = "tpm.pcrSignature";
    return n == 0 || kt_config_edit_from(path, changed, planned, err);
}

/* Whether the private half that is in use opens the keyring in force; its numbers. */
static bool opens_installed(const struct kt_join *join, struct kt_outcome *ret, struct kt_error *err)
{
    const struct kt_config *config = join->init.config;
    KT_CLEANUP_BYTES struct kt_bytes document = {0};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    if (!kt_keyring_file_read(config, &document, err))
        return false;
    const struct kt_opener_request request = {.op = KT_OPENER_NODE_VERIFY, .current = kt_bytes_view(&document)};
    if (!kt_opener_local(config, join->init.config_path, &request, &answer, err))
        return false;
    *ret = (struct kt_outcome){.membership = answer.info->membership, .generation = answer.info->generation};
    return true;
}

/* The kind of the old one is told by its file. First the configuration: what is cut between is done again. */
static bool put_back(struct kt_join *join, struct kt_error *err)
{
    const bool sealed = is_staged(join, "opener/node.tpm");
    if (!sealed && !is_staged(join, "opener/node.key"))
        return kt_fail(err, KT_E_NODE_KEY_LOST, "%s: the old private half is not there", join->init.staging);
    join->init.config->recipient = sealed ? KT_RECIPIENT_TPM2 : KT_RECIPIENT_FILE;
    return set_recipient(join, err) && swap_folders(join, err);
}

/* Something newer came into force while this was under way. The private half that opens it stays. */
static bool settle(struct kt_join *join, const struct kt_error *overtaken, struct kt_outcome *ret, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    if (opens_installed(join, ret, &why))
        return true;
    if (why.code != KT_E_KEYRING_RECIPIENT)
        return kt_error_copy(err, &why);
    (void)kt_error_copy(err, overtaken);
    if (!put_back(join, &why))
        return false;
    if (err)
        err->code = KT_E_KEYRING_STALE;
    (void)kt_error_prefix(err, "this node keeps its present private half, for another keyring came into force");
    return kt_error_hint(err, "offer this node's keyring.yaml to the node that approves, then approve again");
}

bool kt_join_exchange(struct kt_join *join, struct kt_slice document, struct kt_outcome *ret, struct kt_error *err)
{
    const bool exchanged = kt_join_is_exchanged(join);
    struct kt_error why = KT_ERROR_INIT;
    if ((!exchanged && !mark(join, err)) || !kt_join_write(join, "keyring.yaml", document, err) ||
        !set_recipient(join, err) || (!exchanged && !swap_folders(join, err)))
        return false;
    if (kt_offer_run(join->init.options, join->init.config, document, ret, &why))
        return true;
    if (why.code == KT_E_KEYRING_OLDER || why.code == KT_E_KEYRING_FORK)
        return settle(join, &why, ret, err);
    (void)kt_error_copy(err, &why);
    (void)kt_error_prefix(err, "this node has its new private half, but not the keyring");
    return false;
}

static bool finish(struct kt_join *join, struct kt_outcome *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *plan = calloc(1, sizeof(*plan));
    KT_CLEANUP_BYTES struct kt_bytes staged = {0};
    if (!plan)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!kt_join_read(join, "keyring.yaml", &staged, err) || !kt_join_read_plan(join, plan, err))
        return false;
    kt_join_adopt(join, plan);
    const struct kt_join_result result = {.document = kt_bytes_view(&staged)};
    return kt_join_finish(join, &result, ret, err);
}

bool kt_join_finish_earlier(struct kt_join *join, bool *ret_done, struct kt_outcome *ret, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    *ret_done = false;
    if (!kt_join_is_exchanged(join))
        return true;
    KT_CLEANUP(kt_free_p) struct kt_config *asked = malloc(sizeof(*asked));
    if (!asked)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    *asked = *join->init.config;
    *ret_done = finish(join, ret, &why);
    if (*ret_done)
        return true;
    *join->init.config = *asked;
    return why.code == KT_E_KEYRING_STALE || kt_error_copy(err, &why);
}
