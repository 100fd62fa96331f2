/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file_temp.h"

#include "base/file.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define TEMP_RANDOM ((size_t)8)
#define TEMP_EXTRA  (1 + 1 + 2 * TEMP_RANDOM + 4)
#define TEMP_TRIES  16 /* each lost to another process that took the new one for a stray before it was held */

_Static_assert(KT_TEMP_NAME_LONGEST + TEMP_EXTRA == NAME_MAX, "a temporary name has at most NAME_MAX bytes");

static bool is_temp_of(const char *entry, const char *name)
{
    size_t len = strlen(name);

    if (strlen(entry) != len + TEMP_EXTRA || entry[0] != '.' || strncmp(entry + 1, name, len) != 0)
        return false;
    const char *random = entry + 1 + len + 1;
    return random[-1] == '.' && strspn(random, "0123456789abcdef") == 2 * TEMP_RANDOM &&
           strcmp(random + 2 * TEMP_RANDOM, ".tmp") == 0;
}

static bool name_temp(const char *name, char ret[NAME_MAX + 1])
{
    uint8_t bytes[TEMP_RANDOM] = {0};
    char hex[2 * TEMP_RANDOM + 1];
    struct kt_error why = KT_ERROR_INIT;

    if (!kt_random(bytes, sizeof(bytes), &why)) {
        errno = why.sys_errno;
        return false;
    }
    kt_hex_encode(KT_SLICE(bytes, sizeof(bytes)), hex);
    (void)snprintf(ret, NAME_MAX + 1, ".%.*s.%s.tmp", (int)KT_TEMP_NAME_LONGEST, name, hex);
    return true;
}

/* Not EWOULDBLOCK: where a file system knows no locks, all is as if nobody had one. */
static bool is_held_by_another(int fd)
{
    int rc;

    do
        rc = flock(fd, LOCK_EX | LOCK_NB);
    while (rc < 0 && errno == EINTR);
    return rc < 0 && errno == EWOULDBLOCK;
}

static void remove_any(int dir, const char *name)
{
    if (unlinkat(dir, name, 0) < 0 && (errno == EISDIR || errno == EPERM))
        (void)unlinkat(dir, name, AT_REMOVEDIR);
}

/* Under its lock, so that a process which has made it this moment cannot take it for its own meanwhile. */
static void remove_stray(int dir, const char *name)
{
    KT_CLEANUP(kt_fd_close_p)
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd < 0 || !is_held_by_another(fd))
        remove_any(dir, name);
}

void kt_temp_remove_strays(const struct kt_path_target *target)
{
    int fd = openat(target->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    KT_CLEANUP(closedir_p) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (!dir) {
        kt_fd_close(fd);
        return;
    }
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (is_temp_of(entry->d_name, target->name))
            remove_stray(target->dir, entry->d_name);
    }
}

static bool make_file(int dir, struct kt_temp *temp, const char **ret_doing)
{
    *ret_doing = "create a temporary file beside it";
    temp->fd = openat(dir, temp->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (temp->fd < 0)
        temp->name[0] = '\0';
    return temp->fd >= 0;
}

static bool make_dir(int dir, struct kt_temp *temp, const char **ret_doing)
{
    *ret_doing = "make a directory beside it";
    if (mkdirat(dir, temp->name, 0700) < 0) {
        temp->name[0] = '\0';
        return false;
    }
    *ret_doing = "open the new directory";
    if (fchmodat(dir, temp->name, 0700, 0) < 0) /* a umask may forbid it to us */
        return false;
    temp->fd = openat(dir, temp->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return temp->fd >= 0;
}

/* Made, but removed by another process before we could hold it. */
static bool is_lost(int dir, const struct kt_temp *temp)
{
    if (temp->name[0] == '\0')
        return false;
    if (temp->fd < 0)
        return errno == ENOENT;
    return is_held_by_another(temp->fd) || !kt_fd_is_at(temp->fd, dir, temp->name);
}

static bool make_once(const struct kt_path_target *target, mode_t kind, struct kt_temp *ret, const char **ret_doing)
{
    *ret_doing = "take random bytes for a name";
    if (!name_temp(target->name, ret->name)) {
        ret->name[0] = '\0';
        return false;
    }
    return kind == S_IFDIR ? make_dir(target->dir, ret, ret_doing) : make_file(target->dir, ret, ret_doing);
}

bool kt_temp_make(const struct kt_path_target *target, mode_t kind, struct kt_temp *ret, const char **ret_doing)
{
    kt_temp_remove_strays(target);
    for (int i = 0; i < TEMP_TRIES; i++) {
        struct kt_temp temp = KT_TEMP_INIT;
        bool made = make_once(target, kind, &temp, ret_doing);
        int saved = errno;
        if (!is_lost(target->dir, &temp)) {
            if (made)
                *ret = temp;
            else
                kt_temp_done(target, &temp);
            errno = saved;
            return made;
        }
        kt_temp_done(target, &temp);
    }
    errno = EALREADY;
    return false;
}

void kt_temp_done(const struct kt_path_target *target, struct kt_temp *temp)
{
    if (temp->name[0] != '\0')
        remove_any(target->dir, temp->name);
    temp->name[0] = '\0';
    kt_fd_close(temp->fd);
    temp->fd = -1;
}
