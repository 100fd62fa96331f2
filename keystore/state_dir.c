/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/state_dir.h"

#include "base/printable.h"
#include "keystore/state_dir_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

void kt_state_dir_free(struct kt_state_dir *dir)
{
    if (!dir)
        return;
    kt_fd_close(dir->lock);
    kt_fd_close(dir->fd);
    free(dir);
}

int kt_state_dir_fd(const struct kt_state_dir *dir)
{
    return dir->fd;
}

/* Whoever may write into the directory can put back an older keyring together with its floor. */
static bool check_dir(const char *path, const struct stat *st, struct kt_error *err)
{
    uid_t self = geteuid();

    if (self != 0 && st->st_uid != self && st->st_uid != 0) {
        (void)kt_fail(err, KT_E_PERMISSION, "%s: is owned by uid %u, must be owned by uid %u or root", path,
                      (unsigned)st->st_uid, (unsigned)self);
        return kt_error_hint(err, "run this as the account that owns it, or as root");
    }
    if (st->st_mode & (S_IWGRP | S_IWOTH)) {
        (void)kt_fail(err, KT_E_PERMISSION, "%s: has mode %04o, must not be writable by group or others", path,
                      (unsigned)(st->st_mode & 07777));
        return kt_error_hint(err, "chmod go-w %s", KT_SHELL(path));
    }
    return true;
}

struct kt_state_dir *kt_state_dir_view(const char *path, struct kt_error *err)
{
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = calloc(1, sizeof(*dir));
    struct stat st;

    if (!dir) {
        (void)kt_fail(err, KT_E_NOMEM, "no memory for the state directory");
        return NULL;
    }
    dir->lock = -1;
    dir->fd = kt_dir_open(AT_FDCWD, path, err);
    if (dir->fd < 0)
        return NULL;
    if (fstat(dir->fd, &st) < 0) {
        (void)kt_fail_errno(err, KT_E_IO, "%s: cannot look at it", path);
        return NULL;
    }
    if (!check_dir(path, &st, err))
        return NULL;
    dir->uid = st.st_uid;
    dir->gid = st.st_gid;
    return KT_TAKE_PTR(dir);
}

/* A lock file that root made would keep the daemon's account out for ever. */
static bool hand_over_lock(const struct kt_state_dir *dir, struct kt_error *err)
{
    if (geteuid() != 0 || dir->uid == 0 || fchown(dir->lock, dir->uid, dir->gid) == 0)
        return true;
    return kt_fail_errno(err, KT_E_IO, "cannot give the lock file to uid %u", (unsigned)dir->uid);
}

struct kt_state_dir *kt_state_dir_open(const char *path, struct kt_error *err)
{
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = kt_state_dir_view(path, err);

    if (!dir)
        return NULL;
    dir->lock = kt_lock_take(dir->fd, KT_STATE_LOCK, err);
    if (dir->lock < 0 || !hand_over_lock(dir, err))
        return NULL;
    return KT_TAKE_PTR(dir);
}

void kt_state_done(struct kt_state *state)
{
    kt_bytes_done(&state->current);
    for (size_t i = 0; i < state->n_superseded; i++)
        kt_bytes_done(&state->superseded[i]);
    state->n_superseded = 0;
}

struct kt_file_rules kt_state_dir_rules(const struct kt_state_dir *dir, size_t max)
{
    return (struct kt_file_rules){
        .max = max, .owner = geteuid() == 0 ? dir->uid : geteuid(), .forbidden_mode = S_IWGRP | S_IWOTH};
}

static bool read_floor(const struct kt_state_dir *dir, struct kt_floor *ret, struct kt_error *err)
{
    const struct kt_file_rules rules = kt_state_dir_rules(dir, KT_FLOOR_TEXT_MAX);
    KT_CLEANUP_BYTES struct kt_bytes text = {.data = NULL};
    enum kt_file_state state = KT_FILE_ABSENT;

    if (!kt_file_read_if(dir->fd, KT_STATE_FLOOR, &rules, &text, &state, err))
        return false;
    if (state == KT_FILE_ABSENT || kt_floor_parse(kt_bytes_view(&text), ret, err))
        return true;
    return kt_error_prefix(err, "%s in the state directory", KT_STATE_FLOOR);
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name);
    size_t suffix_len = strlen(suffix);

    return len > suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

static bool read_one_superseded(const struct kt_state_dir *dir, int folder, const char *name, struct kt_state *state,
                                struct kt_error *err)
{
    const struct kt_file_rules rules = kt_state_dir_rules(dir, KT_KEYRING_MAX);
    size_t n = state->n_superseded;

    if (n == KT_SUPERSEDED_MAX || strlen(name) >= KT_SOURCE_MAX) {
        (void)kt_fail(err, KT_E_REFUSED, "%s/: more than %u keyrings, or a name of more than %u bytes",
                      KT_STATE_SUPERSEDED, KT_SUPERSEDED_MAX, KT_SOURCE_MAX - 1);
        return kt_error_hint(err, "it holds keys that nothing else has: move files out only when `keyturn status` does "
                                  "not list their keys any more");
    }
    if (!kt_file_read(folder, name, &rules, &state->superseded[n], err))
        return kt_error_prefix(err, "%s", KT_STATE_SUPERSEDED);
    memcpy(state->superseded_names[n], name, strlen(name) + 1);
    state->n_superseded++;
    return true;
}

/* One bad entry must not keep the keyring from being served; it is told, and stands in the way of installs. */
static void leave_out(struct kt_state *state, const struct kt_error *why)
{
    if (state->n_left_out++ == 0)
        state->left_out = *why;
}

static DIR *list_superseded(const struct kt_state_dir *dir, int *ret_fd, struct kt_error *err)
{
    int fd = kt_dir_open(dir->fd, KT_STATE_SUPERSEDED, err);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !entries) {
        kt_fd_close(fd);
        (void)kt_fail_errno(err, KT_E_IO, "%s: cannot list it", KT_STATE_SUPERSEDED);
    }
    *ret_fd = fd;
    return entries;
}

static void read_superseded(const struct kt_state_dir *dir, struct kt_state *state)
{
    struct kt_error why = KT_ERROR_INIT;
    struct stat st;
    int fd = -1;

    if (fstatat(dir->fd, KT_STATE_SUPERSEDED, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return;
    KT_CLEANUP(closedir_p) DIR *entries = list_superseded(dir, &fd, &why);
    if (!entries) {
        leave_out(state, &why);
        return;
    }
    errno = 0;
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        if (entry->d_name[0] != '.' && has_suffix(entry->d_name, ".yaml") &&
            !read_one_superseded(dir, fd, entry->d_name, state, &why))
            leave_out(state, &why);
        errno = 0;
    }
    if (errno != 0) {
        (void)kt_fail_errno(&why, KT_E_IO, "%s: cannot list it", KT_STATE_SUPERSEDED);
        leave_out(state, &why);
    }
}

static void swap_superseded(struct kt_state *state, size_t a, size_t b)
{
    struct kt_bytes bytes = state->superseded[a];
    char name[KT_SOURCE_MAX];

    memcpy(name, state->superseded_names[a], sizeof(name));
    state->superseded[a] = state->superseded[b];
    memcpy(state->superseded_names[a], state->superseded_names[b], sizeof(name));
    state->superseded[b] = bytes;
    memcpy(state->superseded_names[b], name, sizeof(name));
}

/* Newest first, so that the newest bytes of a key come first; by name, of which there are few. */
static void sort_superseded(struct kt_state *state)
{
    for (size_t i = 1; i < state->n_superseded; i++)
        for (size_t j = i; j > 0 && strverscmp(state->superseded_names[j], state->superseded_names[j - 1]) > 0; j--)
            swap_superseded(state, j, j - 1);
}

static bool read_into(const struct kt_state_dir *dir, struct kt_state *state, struct kt_error *err)
{
    const struct kt_file_rules rules = kt_state_dir_rules(dir, KT_KEYRING_MAX);
    enum kt_file_state there = KT_FILE_ABSENT;

    if (!kt_file_read_if(dir->fd, KT_STATE_KEYRING, &rules, &state->current, &there, err) ||
        !read_floor(dir, &state->floor, err))
        return false;
    read_superseded(dir, state);
    return true;
}

bool kt_state_dir_read(const struct kt_state_dir *dir, struct kt_state *ret, struct kt_error *err)
{
    struct kt_state state = {.n_superseded = 0};

    if (!read_into(dir, &state, err)) {
        kt_state_done(&state);
        return false;
    }
    sort_superseded(&state);
    *ret = state;
    return true;
}

void kt_state_request(const struct kt_state *state, struct kt_slice offered, struct kt_opener_request *ret)
{
    struct kt_slice current = kt_bytes_view(&state->current);

    *ret = (struct kt_opener_request){.op = KT_OPENER_OPEN,
                                      .offered = offered.len > 0 ? offered : current,
                                      .current = current,
                                      .n_superseded = state->n_superseded,
                                      .floor = state->floor};
    for (size_t i = 0; i < state->n_superseded; i++) {
        ret->superseded[i] = kt_bytes_view(&state->superseded[i]);
        ret->superseded_names[i] = state->superseded_names[i];
    }
}
