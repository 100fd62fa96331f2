/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file_attrs.h"
#include "base/file_temp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>

struct writing {
    struct kt_path_target target;
    struct kt_path_text shown;
    struct kt_temp temp;
    int old; /* what is replaced, or -1 */
    struct stat old_st;
};

#define WRITING_INIT                                           \
    {                                                          \
        .target = {.dir = -1}, .temp = KT_TEMP_INIT, .old = -1 \
    }

static void writing_done(struct writing *w)
{
    kt_temp_done(&w->target, &w->temp);
    kt_fd_close(w->old);
    kt_fd_close(w->target.dir);
}

/* By errno: what was not done, and that nothing changed. */
static bool fail_unchanged(const struct writing *w, const char *doing, struct kt_error *err)
{
    int number = errno;
    enum kt_code code = number == EACCES || number == EPERM ? KT_E_PERMISSION
                        : number == EALREADY                ? KT_E_BUSY
                                                            : KT_E_IO;

    (void)kt_fail_errno(err, code, "%s: not written (%s): cannot %s", w->shown.text,
                        w->old >= 0 ? "the old content is still in place" : "there is none still", doing);
    if (number == ENOSPC || number == EDQUOT)
        return kt_error_hint(err, "free some space on the file system of %s and try again", w->shown.text);
    if (number == EROFS)
        return kt_error_hint(err, "the file system of %s is mounted read-only: mount -o remount,rw", w->shown.text);
    if (code == KT_E_PERMISSION && geteuid() == 0)
        return kt_error_hint(err,
                             "not even root may: see lsattr (immutable), the kind of file system, and what confines "
                             "this process");
    if (code == KT_E_PERMISSION)
        return kt_error_hint(err, "run it as root, or as the owner of the directory; now uid %u", (unsigned)geteuid());
    return false;
}

/* Likewise, for an error that base/file_attrs has described. */
static bool prefix_unchanged(const struct writing *w, struct kt_error *err)
{
    return kt_error_prefix(err, "%s: not written (%s)", w->shown.text,
                           w->old >= 0 ? "the old content is still in place" : "there is none still");
}

static bool sync_fd(int fd)
{
    int rc;

    do
        rc = fsync(fd);
    while (rc < 0 && errno == EINTR);
    return rc == 0;
}

/* EINVAL: a file system that has nothing to do for directories. */
static bool sync_dir(int dir)
{
    return sync_fd(dir) || errno == EINVAL;
}

static bool sync_published(const struct writing *w, struct kt_error *err)
{
    if (!sync_dir(w->target.dir))
        return kt_fail_errno(
            err, KT_E_IO, "%s: the new content is in place, but may not survive a loss of power: fsync", w->shown.text);
    return true;
}

static bool open_target(int dirfd, const char *path, struct writing *w, struct kt_error *err)
{
    (void)kt_path_show(dirfd, path, &w->shown);
    return kt_path_target(dirfd, path, KT_TEMP_NAME_LONGEST, &w->target, err);
}

/* The file that is there now, for its owner, mode and attributes. */
static bool open_old(int dirfd, const char *path, struct writing *w, struct kt_error *err)
{
    w->old = openat(w->target.dir, w->target.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (w->old < 0)
        return errno == ENOENT || kt_path_fail_open(dirfd, path, S_IFREG, err);
    if (fstat(w->old, &w->old_st) < 0)
        return fail_unchanged(w, "look at the old file", err);
    return S_ISREG(w->old_st.st_mode) || kt_path_fail_kind(dirfd, path, w->old_st.st_mode, S_IFREG, err);
}

static bool set_attrs(const struct writing *w, const struct kt_file_attrs *attrs, struct kt_error *err)
{
    struct kt_file_attrs kept = {.mode = w->old_st.st_mode, .uid = w->old_st.st_uid, .gid = w->old_st.st_gid};
    bool ok = false;

    if (w->old < 0) {
        ok = kt_file_attrs_set(w->temp.fd, attrs, err);
    } else {
        if (attrs->impose_owner) {
            kept.uid = attrs->uid;
            kept.gid = attrs->gid;
        }
        ok = kt_file_attrs_copy(w->old, &kept, w->temp.fd, err);
    }
    return ok || prefix_unchanged(w, err);
}

static bool write_all(int fd, struct kt_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes.data += n;
        bytes.len -= (size_t)n;
    }
    return true;
}

/* A temporary file with its final owner, mode and attributes before the first byte goes in, and all bytes on the disk.
 */
static bool write_temp(struct writing *w, struct kt_slice bytes, const struct kt_file_attrs *attrs,
                       struct kt_error *err)
{
    const char *doing = NULL;

    if (!kt_temp_make(&w->target, S_IFREG, &w->temp, &doing))
        return fail_unchanged(w, doing, err);
    if (!set_attrs(w, attrs, err))
        return false;
    if (!write_all(w->temp.fd, bytes))
        return fail_unchanged(w, "write", err);
    if (!sync_fd(w->temp.fd))
        return fail_unchanged(w, "bring it to the disk (fsync)", err);
    return true;
}

/* The temporary file is gone: another writer of that name took it for a stray. */
static bool fail_publish(const struct writing *w, const char *doing, struct kt_error *err)
{
    if (errno == ENOENT)
        return kt_fail(err, KT_E_BUSY, "%s: not written: another process writes it at this moment", w->shown.text);
    return fail_unchanged(w, doing, err);
}

bool kt_file_replace(int dirfd, const char *path, struct kt_slice bytes, const struct kt_file_attrs *attrs,
                     struct kt_error *err)
{
    KT_CLEANUP(writing_done) struct writing w = WRITING_INIT;

    if (!open_target(dirfd, path, &w, err) || !open_old(dirfd, path, &w, err) || !write_temp(&w, bytes, attrs, err))
        return false;
    if (renameat(w.target.dir, w.temp.name, w.target.dir, w.target.name) < 0)
        return fail_publish(&w, "rename the new file into its place", err);
    w.temp.name[0] = '\0';
    return sync_published(&w, err);
}

static bool fail_exists(const char *shown, struct kt_error *err)
{
    return kt_fail(err, KT_E_EXISTS, "%s: exists already, and is left as it is", shown);
}

/* Where there are no hard links (vfat), a rename that replaces nothing does the same. */
static bool link_temp(struct writing *w)
{
    int dir = w->target.dir;

    if (linkat(dir, w->temp.name, dir, w->target.name, 0) == 0)
        return true;
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
        return false;
    if (renameat2(dir, w->temp.name, dir, w->target.name, RENAME_NOREPLACE) < 0)
        return false;
    w->temp.name[0] = '\0';
    return true;
}

bool kt_file_create(int dirfd, const char *path, struct kt_slice bytes, const struct kt_file_attrs *attrs,
                    struct kt_error *err)
{
    KT_CLEANUP(writing_done) struct writing w = WRITING_INIT;
    struct stat st;

    if (!open_target(dirfd, path, &w, err))
        return false;
    if (fstatat(w.target.dir, w.target.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return fail_exists(w.shown.text, err);
    if (!write_temp(&w, bytes, attrs, err))
        return false;
    if (!link_temp(&w))
        return errno == EEXIST ? fail_exists(w.shown.text, err)
                               : fail_publish(&w, "link the new file into its place", err);
    if (w.temp.name[0] != '\0' && unlinkat(w.target.dir, w.temp.name, 0) == 0)
        w.temp.name[0] = '\0';
    return sync_published(&w, err);
}

bool kt_file_sync(int dirfd, const char *path, struct kt_error *err)
{
    KT_CLEANUP(writing_done) struct writing w = WRITING_INIT;

    if (!open_target(dirfd, path, &w, err))
        return false;
    KT_CLEANUP(kt_fd_close_p)
    int fd = openat(w.target.dir, w.target.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return kt_path_fail_open(dirfd, path, S_IFREG, err);
    if (!sync_dir(fd) || !sync_dir(w.target.dir))
        return kt_fail_errno(err, KT_E_IO, "%s: may not survive a loss of power: fsync", w.shown.text);
    return true;
}

bool kt_file_remove(int dirfd, const char *path, struct kt_error *err)
{
    KT_CLEANUP(writing_done) struct writing w = WRITING_INIT;
    struct kt_error why = KT_ERROR_INIT;

    if (!open_target(dirfd, path, &w, &why)) {
        if (why.sys_errno == ENOENT)
            return true;
        if (err)
            *err = why;
        return false;
    }
    kt_temp_remove_strays(&w.target);
    if (unlinkat(w.target.dir, w.target.name, 0) < 0 && errno != ENOENT) {
        if (errno == EISDIR)
            return kt_path_fail_kind(dirfd, path, S_IFDIR, S_IFREG, err);
        return kt_fail_errno(err, errno == EACCES || errno == EPERM ? KT_E_PERMISSION : KT_E_IO, "%s: cannot remove it",
                             w.shown.text);
    }
    if (!sync_dir(w.target.dir))
        return kt_fail_errno(err, KT_E_IO, "%s: is removed, but may be back after a loss of power: fsync",
                             w.shown.text);
    return true;
}

int kt_dir_open(int dirfd, const char *path, struct kt_error *err)
{
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        (void)kt_path_fail_open(dirfd, path, S_IFDIR, err);
    return fd;
}

/* Made beside its place, so that a directory of that name always has its owner and mode. */
static bool make_temp_dir(struct writing *w, const struct kt_file_attrs *attrs, struct kt_error *err)
{
    const char *doing = NULL;

    if (!kt_temp_make(&w->target, S_IFDIR, &w->temp, &doing))
        return fail_unchanged(w, doing, err);
    return kt_file_attrs_set(w->temp.fd, attrs, err) || prefix_unchanged(w, err);
}

static bool place_temp_dir(struct writing *w)
{
    int dir = w->target.dir;

    if (renameat2(dir, w->temp.name, dir, w->target.name, RENAME_NOREPLACE) == 0)
        return true;
    return (errno == EINVAL || errno == ENOSYS) && renameat(dir, w->temp.name, dir, w->target.name) == 0;
}

bool kt_dir_make(int dirfd, const char *path, const struct kt_file_attrs *attrs, struct kt_error *err)
{
    KT_CLEANUP(writing_done) struct writing w = WRITING_INIT;
    struct stat st;

    if (!open_target(dirfd, path, &w, err))
        return false;
    if (fstatat(w.target.dir, w.target.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return S_ISDIR(st.st_mode) || kt_path_fail_kind(dirfd, path, st.st_mode, S_IFDIR, err);
    if (!make_temp_dir(&w, attrs, err))
        return false;
    if (place_temp_dir(&w))
        w.temp.name[0] = '\0';
    else if (errno != EEXIST)
        return fail_publish(&w, "rename the new directory into its place", err);
    if (fstatat(w.target.dir, w.target.name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode))
        return kt_path_fail_kind(dirfd, path, st.st_mode, S_IFDIR, err);
    return sync_published(&w, err);
}
