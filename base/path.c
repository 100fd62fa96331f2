/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

const char *kt_path_show(int dirfd, const char *path, struct kt_path_text *text)
{
    int saved = errno;
    size_t cap = sizeof(text->text);
    size_t len = 0;
    char link[64];

    if (dirfd != AT_FDCWD && path[0] != '/') {
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
        ssize_t n = readlink(link, text->text, cap - 2);
        len = n > 0 ? (size_t)n : 0;
        if (len > 0)
            text->text[len++] = '/';
    }
    for (; *path && len < cap - 1; path++)
        text->text[len++] = *path;
    text->text[len] = '\0';
    errno = saved;
    return text->text;
}

const char *kt_path_kind(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "a regular file";
    case S_IFDIR:
        return "a directory";
    case S_IFLNK:
        return "a symbolic link";
    case S_IFIFO:
        return "a named pipe";
    case S_IFSOCK:
        return "a socket";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    default:
        return "something unknown";
    }
}

bool kt_path_fail_kind(int dirfd, const char *path, mode_t found, mode_t expected, struct kt_error *err)
{
    struct kt_path_text shown;

    return kt_fail(err, KT_E_PERMISSION, "%s: is %s, expected %s", kt_path_show(dirfd, path, &shown),
                   kt_path_kind(found), kt_path_kind(expected));
}

/* The errnos by which open(2) says that the file is of another kind than the flags allow. */
static bool is_kind_errno(int number)
{
    return number == ELOOP || number == ENXIO || number == ENOTDIR || number == EISDIR;
}

bool kt_path_fail_open(int dirfd, const char *path, mode_t expected, struct kt_error *err)
{
    int number = errno;
    struct kt_path_text shown;
    struct stat st;

    if (is_kind_errno(number) && fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        (st.st_mode & S_IFMT) != (expected & S_IFMT))
        return kt_path_fail_kind(dirfd, path, st.st_mode, expected, err);
    errno = number;
    (void)kt_path_show(dirfd, path, &shown);
    if (number == EACCES || number == EPERM)
        return kt_fail_errno(err, KT_E_PERMISSION, "%s: uid %u may not open it", shown.text, (unsigned)geteuid());
    return kt_fail_errno(err, KT_E_IO, "%s: cannot open it", shown.text);
}

static bool is_file_name(const char *name)
{
    return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

bool kt_path_target(int dirfd, const char *path, size_t max_name, struct kt_path_target *ret, struct kt_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    KT_CLEANUP(kt_free_p) char *parent = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    struct kt_path_text shown;

    if (!parent)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!is_file_name(name))
        return kt_fail(err, KT_E_USAGE, "\"%s\" does not name a file", kt_path_show(dirfd, path, &shown));
    if (strlen(name) > max_name)
        return kt_fail(err, KT_E_USAGE, "%s: the name has %zu bytes, at most %zu are possible",
                       kt_path_show(dirfd, path, &shown), strlen(name), max_name);
    int dir = openat(dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return kt_path_fail_open(dirfd, parent, S_IFDIR, err);
    ret->dir = dir;
    (void)snprintf(ret->name, sizeof(ret->name), "%s", name);
    return true;
}
