/* SPDX-License-Identifier: Apache-2.0 */
/* What init refuses before it makes anything, asks anything, or shows a recovery key. */
#include "admin/init.h"
#include "base/file.h"
#include "base/printable.h"
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* As root, two accounts get something of what is made. */
static bool check_accounts(const struct kt_init *init, struct kt_error *err)
{
    const char *accounts[] = {init->config->account_keeper, init->config->account_opener};
    struct kt_account found;
    for (size_t i = 0; i < KT_ARRAY_LEN(accounts); i++) {
        if (geteuid() == 0 && accounts[i][0] != '\0' && !kt_account_find(accounts[i], &found, err))
            return false;
    }
    return true;
}

/* The directory of path, in which it will be made. */
static bool check_parent(const char *path, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *copy = strdup(path);
    if (!copy)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    const char *dir = dirname(copy);
    KT_CLEANUP(kt_fd_close_p) int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == 0)
        return true;
    bool absent = fd < 0 && errno == ENOENT;
    kt_fail_errno(err, absent ? KT_E_IO : KT_E_PERMISSION, "%s: uid %u cannot make anything in %s", path,
                  (unsigned)geteuid(), dir);
    return absent ? kt_error_hint(err, "mkdir -p %s", KT_SHELL(dir)) : false;
}

/* The directory of DIR itself, where that is not there yet. */
static bool check_parents(const struct kt_init *init, struct kt_error *err)
{
    struct stat st;
    if (init->home[0] && lstat(init->home, &st) != 0)
        return check_parent(init->home, err);
    return check_parent(init->config_path, err) && check_parent(init->config->state_dir, err);
}

static bool is_mount_point(const char *dir, const struct stat *st)
{
    char above[KT_INIT_PATH_MAX];
    struct statx more;
    struct stat st_above;
    snprintf(above, sizeof(above), "%.4096s/..", dir);
    if (stat(above, &st_above) == 0 && st_above.st_dev != st->st_dev)
        return true;
    /* One file system may be mounted on itself. */
    return statx(AT_FDCWD, dir, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &more) == 0 &&
           (more.stx_attributes & more.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT);
}

static bool check_empty(const char *path, struct kt_error *err)
{
    KT_CLEANUP(closedir_p) DIR *dir = opendir(path);
    if (!dir)
        return kt_fail_errno(err, errno == EACCES ? KT_E_PERMISSION : KT_E_IO, "%s: cannot look into it", path);
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        kt_fail(err, KT_E_EXISTS, "%s is not empty", path);
        return kt_error_hint(err, "init puts a new directory in its place: move what is in it away");
    }
    return true;
}

/* rename(2) replaces an empty directory of the same file system, and nothing else. */
static bool check_state_dir(const char *path, struct kt_error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT || kt_fail_errno(err, KT_E_IO, "%s: cannot look at it", path);
    if (!S_ISDIR(st.st_mode)) {
        kt_fail(err, KT_E_REFUSED, "%s is %s, expected an empty directory or nothing", path,
                S_ISLNK(st.st_mode) ? "a symbolic link" : "not a directory");
        return kt_error_hint(err, "init puts a new directory in its place: move it away");
    }
    if (is_mount_point(path, &st)) {
        kt_fail(err, KT_E_REFUSED, "%s is a mount point, expected an empty directory or nothing", path);
        return kt_error_hint(err, "init puts a new directory in its place: mount the file system on the one above, or "
                                  "keep everything in it with --dir");
    }
    return check_empty(path, err);
}

/* The path itself, or something below it. */
static bool is_at_or_below(const char *place, const char *path)
{
    KT_CLEANUP(kt_free_p) char *resolved = kt_init_place(path);
    const char *real = resolved ? resolved : path;
    size_t len = strlen(real);
    return strncmp(place, real, len) == 0 && (place[len] == '\0' || place[len] == '/');
}

/* Like kt_init_place, also for what lies in the directory that is not made yet. */
static char *place_of_recovery(const struct kt_init *init)
{
    char *place = kt_init_place(init->recovery_out);
    if (place || !init->home[0])
        return place;
    int saved = errno;
    KT_CLEANUP(kt_free_p) char *copy = strdup(init->recovery_out);
    KT_CLEANUP(kt_free_p) char *dir = copy ? kt_init_place(dirname(copy)) : NULL;
    const char *slash = strrchr(init->recovery_out, '/');
    if (dir && slash && strcmp(dir, init->home) == 0 && asprintf(&place, "%s%s", init->home, slash) >= 0)
        return place;
    errno = saved;
    return NULL;
}

/* A recovery key in the place of something that init or keyturnd makes would be written over by it. */
static bool check_recovery_place(const struct kt_init *init, const char *place, struct kt_error *err)
{
    const char *own[] = {init->config_path, init->config->state_dir, init->staging, init->config->kms_socket,
                         init->config->control_socket};
    const char *name = strrchr(place, '/') + 1;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return kt_fail(err, KT_E_USAGE, "--recovery-out %s: does not name a file", init->recovery_out);
    for (size_t i = 0; i < KT_ARRAY_LEN(own); i++) {
        if (is_at_or_below(place, own[i])) {
            kt_fail(err, KT_E_USAGE, "%s: is the place of something else that init makes", init->recovery_out);
            return kt_error_hint(err, "--recovery-out FILE: outside of %s, better on a medium that you take away",
                                 init->config->state_dir);
        }
    }
    return true;
}

/* By an init that was killed, perhaps: one that is at it now would have the lock that we have. */
static bool fail_recovery_exists(const struct kt_init *init, struct kt_error *err)
{
    if (!init->staged || kt_init_has_made(init, init->staging)) {
        kt_fail(err, KT_E_EXISTS, "%s exists", init->recovery_out);
        return kt_error_hint(err, "a recovery key is never written over another file: name one that does not exist");
    }
    kt_fail(err, KT_E_EXISTS, "%s exists, and %s is what a killed init has left", init->recovery_out, init->staging);
    return kt_error_hint(err, "if that init wrote the file, the key in it opens nothing: move it away and run keyturn "
                              "init again");
}

static bool check_recovery(const struct kt_init *init, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *place = place_of_recovery(init);
    struct stat st;
    if (!place) {
        kt_fail_errno(err, KT_E_USAGE, "%s: its directory", init->recovery_out);
        return kt_error_hint(err, "--recovery-out FILE: in a directory that exists");
    }
    if (!check_recovery_place(init, place, err))
        return false;
    return lstat(place, &st) != 0 || fail_recovery_exists(init, err);
}

static bool fail_earlier(const struct kt_init *init, enum kt_init_earlier earlier, struct kt_error *err)
{
    const char *state_dir = init->config->state_dir;
    if (earlier == KT_INIT_WHOLE) {
        kt_fail(err, KT_E_EXISTS, "%s exists: this node has a keyring", init->config_path);
        return kt_error_hint(err, "keyturn status shows it; to start anew, move %s and %s away", init->config_path,
                             state_dir);
    }
    kt_fail(err, KT_E_EXISTS, "%s holds a keyring, but there is no %s", state_dir, init->config_path);
    return kt_error_hint(err, "put that file back (its owner: line cannot be guessed), or move %s away", state_dir);
}

bool kt_init_check(struct kt_init *init, struct kt_error *err)
{
    enum kt_init_earlier earlier = kt_init_find_earlier(init);
    if (earlier == KT_INIT_CUT_SHORT) {
        if (!check_parent(init->config_path, err))
            return kt_init_fail_incomplete(err);
        if (!kt_init_finish(init, err) || init->finished_earlier)
            return init->finished_earlier;
        earlier = kt_init_find_earlier(init);
    }
    if (earlier != KT_INIT_NONE)
        return fail_earlier(init, earlier, err);
    return check_accounts(init, err) && check_parents(init, err) && check_state_dir(init->config->state_dir, err) &&
           (!init->recovery_out || check_recovery(init, err));
}
