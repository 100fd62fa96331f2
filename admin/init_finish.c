/* SPDX-License-Identifier: Apache-2.0 */
/* From the keyring in its place to the end: keyturn.yaml, by the run that made the keyring or by one after it. */
#include "admin/init.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>

static void name_in_state(const struct kt_init *init, const char *name, char ret[KT_INIT_PATH_MAX + 64])
{
    snprintf(ret, KT_INIT_PATH_MAX + 64, "%s/%s", init->config->state_dir, name);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static bool exists_in_state(const struct kt_init *init, const char *name)
{
    char path[KT_INIT_PATH_MAX + 64];
    name_in_state(init, name, path);
    return exists(path);
}

static bool read_own(const char *path, struct kt_bytes *ret, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_CONFIG_FILE_MAX, .owner = geteuid(), .forbidden_mode = 0022};
    return kt_file_read(AT_FDCWD, path, &rules, ret, err);
}

/* Otherwise keyturn.yaml is not what that init wrote, or it has been edited since: the node is in use. */
static bool is_same(const char *pending, const char *config_path)
{
    KT_CLEANUP_BYTES struct kt_bytes a = {0};
    KT_CLEANUP_BYTES struct kt_bytes b = {0};
    return read_own(pending, &a, NULL) && read_own(config_path, &b, NULL) &&
           kt_slice_equal(kt_bytes_view(&a), kt_bytes_view(&b));
}

/* In the order in which they come and go, so that what is seen without a lock has been so at one moment. */
enum kt_init_earlier kt_init_find_earlier(const struct kt_init *init)
{
    char pending[KT_INIT_PATH_MAX + 64];
    name_in_state(init, KT_INIT_PENDING, pending);
    const bool keyring = exists_in_state(init, "keyring.yaml");
    const bool other = exists_in_state(init, "floor") || exists_in_state(init, "opener");
    const bool waits = exists(pending);
    const bool config = exists(init->config_path);
    if (keyring && waits && (!config || is_same(pending, init->config_path)))
        return KT_INIT_CUT_SHORT;
    if (config)
        return KT_INIT_WHOLE;
    return keyring || other ? KT_INIT_KEYRING_ONLY : KT_INIT_NONE;
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

static bool put_config(const struct kt_init *init, struct kt_slice text, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    if (exists(init->config_path))
        return kt_file_sync(AT_FDCWD, init->config_path, err);
    return kt_file_create(AT_FDCWD, init->config_path, text, &attrs, err);
}

/* One that is back after a loss of power does no harm, so nobody need run init again for its fsync. */
static bool remove_pending(const struct kt_init *init, struct kt_error *err)
{
    char pending[KT_INIT_PATH_MAX + 64];
    struct kt_error why = KT_ERROR_INIT;
    name_in_state(init, KT_INIT_PENDING, pending);
    return kt_file_remove(AT_FDCWD, pending, &why) || !exists(pending) || kt_error_copy(err, &why);
}

bool kt_init_complete(const struct kt_init *init, struct kt_slice text, struct kt_error *err)
{
    return (sync_parent(init->config->state_dir, err) && put_config(init, text, err) && remove_pending(init, err)) ||
           kt_init_fail_incomplete(err);
}

bool kt_init_fail_incomplete(struct kt_error *err)
{
    if (err)
        err->code = KT_E_INCOMPLETE;
    (void)kt_error_prefix(err, "the keyring is made, but not all around it");
    return kt_error_hint(err,
                         "keep the recovery key, it belongs to this keyring; mend this and run keyturn init again");
}

/* The lock of the staging directory, which has come along: whoever made the keyring has it until the end. */
static bool hold_state(const struct kt_init *init, struct kt_state_dir **ret, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    if (init->options->dry_run && !exists_in_state(init, "lock"))
        return true;
    *ret = kt_state_dir_open(init->config->state_dir, &why);
    if (*ret || kt_error_copy(err, &why))
        return true;
    return why.code == KT_E_BUSY ? false : kt_init_fail_incomplete(err);
}

/* It may be of another node's name than this run was given. */
static bool read_pending(struct kt_init *init, struct kt_bytes *ret, struct kt_error *err)
{
    char pending[KT_INIT_PATH_MAX + 64];
    name_in_state(init, KT_INIT_PENDING, pending);
    if (!read_own(pending, ret, err))
        return false;
    return kt_config_parse(kt_bytes_view(ret), init->config, err) || kt_error_prefix(err, "%s", pending);
}

bool kt_init_finish(struct kt_init *init, struct kt_error *err)
{
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *held = NULL;
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    if (!hold_state(init, &held, err))
        return false;
    if (kt_init_find_earlier(init) != KT_INIT_CUT_SHORT)
        return true;
    if (!read_pending(init, &text, err))
        return kt_init_fail_incomplete(err);
    init->finished_earlier = init->options->dry_run || kt_init_complete(init, kt_bytes_view(&text), err);
    return init->finished_earlier;
}
