/* SPDX-License-Identifier: Apache-2.0 */
/* What a run of init makes beside the keyring, and how a run that fails takes it back. */
#include "admin/init.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* All that a staging directory ever holds, but for its lock and the opener's folder. */
static const char *const staged_files[] = {"opener/node.key", "opener/node.tpm", "opener/node.lock", "keyring.yaml",
                                           "audit.log",       "floor",           "work.yaml",        "request",
                                           "plan.yaml",       KT_INIT_PENDING};

bool kt_init_has_made(const struct kt_init *init, const char *path)
{
    for (size_t i = 0; i < init->n_made; i++) {
        if (strcmp(init->made[i], path) == 0)
            return true;
    }
    return false;
}

bool kt_init_make_dir(struct kt_init *init, const char *path, const struct kt_file_attrs *attrs, struct kt_error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0 && errno == ENOENT && !kt_init_has_made(init, path)) {
        if (init->n_made == KT_ARRAY_LEN(init->made))
            return kt_fail(err, KT_E_INTERNAL, "%s: one directory more than init makes", path);
        snprintf(init->made[init->n_made++], sizeof(init->made[0]), "%s", path);
    }
    return kt_dir_make(AT_FDCWD, path, attrs, err);
}

bool kt_init_clear(const struct kt_init *init, struct kt_error *err)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(staged_files); i++) {
        if (!kt_file_remove(kt_state_dir_fd(init->staged), staged_files[i], err))
            return false;
    }
    return true;
}

/* Under its lock, which goes last. */
static void remove_staging(const struct kt_init *init)
{
    int fd = kt_state_dir_fd(init->staged);
    if (!kt_init_clear(init, NULL))
        return;
    (void)unlinkat(fd, "opener", AT_REMOVEDIR);
    (void)unlinkat(fd, "lock", 0);
    (void)rmdir(init->staging);
}

static bool is_empty_but_for_lock(const struct kt_init *init)
{
    KT_CLEANUP(closedir_p) DIR *entries = opendir(init->staging);
    for (const struct dirent *entry = entries ? readdir(entries) : NULL; entry; entry = readdir(entries)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && strcmp(entry->d_name, "lock") != 0)
            return false;
    }
    return entries;
}

void kt_init_release(const struct kt_init *init)
{
    if (init->staged && !init->options->dry_run && is_empty_but_for_lock(init))
        remove_staging(init);
}

void kt_init_undo(const struct kt_init *init)
{
    if (init->committed)
        return;
    if (init->recovery_made)
        (void)!kt_file_remove(AT_FDCWD, init->recovery_out, NULL);
    if (init->staged)
        remove_staging(init);
    for (size_t i = init->n_made; i-- > 0;)
        (void)rmdir(init->made[i]); /* empty ones only */
}
