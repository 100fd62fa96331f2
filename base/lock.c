/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define TAKE_TRIES 16

/* A line of /proc/locks: "1: FLOCK  ADVISORY  WRITE 2188 fe:00:1835074 0 EOF" (proc_locks(5)). With "->" after the
 * number it stands for one that waits. 0: not this lock, or a holder in another pid namespace. */
static long line_holder(char *line, const char *file)
{
    char *at = strstr(line, file);

    if (!at || strstr(line, "->") || !strstr(line, " FLOCK "))
        return 0;
    *at = '\0';
    char *pid = strrchr(line, ' ');
    return pid ? strtol(pid + 1, NULL, 10) : 0;
}

long kt_lock_holder(int fd)
{
    KT_CLEANUP(fclose_p) FILE *locks = fopen("/proc/locks", "re");
    KT_CLEANUP(kt_free_p) char *line = NULL;
    char file[64];
    size_t cap = 0;
    long pid = 0;
    struct stat st;

    if (!locks || fstat(fd, &st) < 0)
        return 0;
    (void)snprintf(file, sizeof(file), " %02x:%02x:%" PRIu64 " ", major(st.st_dev), minor(st.st_dev),
                   (uint64_t)st.st_ino);
    while (pid <= 0 && getline(&line, &cap, locks) > 0)
        pid = line_holder(line, file);
    return pid;
}

static bool fail_held(int fd, const char *shown, struct kt_error *err)
{
    long pid = kt_lock_holder(fd);

    if (pid > 0)
        return kt_fail(err, KT_E_BUSY, "%s: is locked by process %ld", shown, pid);
    return kt_fail(err, KT_E_BUSY, "%s: is locked by another process", shown);
}

static bool lock(int fd, const char *shown, struct kt_error *err)
{
    int rc;

    do
        rc = flock(fd, LOCK_EX | LOCK_NB);
    while (rc < 0 && errno == EINTR);
    if (rc == 0)
        return true;
    if (errno == EWOULDBLOCK)
        return fail_held(fd, shown, err);
    return kt_fail_errno(err, KT_E_IO, "%s: cannot lock it", shown);
}

static int open_lock(int dirfd, const char *path, struct kt_error *err)
{
    int fd = openat(dirfd, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EROFS) /* what can be read there can be served: a file that is there can be locked */
        fd = openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        (void)kt_path_fail_open(dirfd, path, S_IFREG, err);
    return fd;
}

static int take_once(int dirfd, const char *path, const char *shown, struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p) int fd = open_lock(dirfd, path, err);
    struct stat st;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0) {
        (void)kt_fail_errno(err, KT_E_IO, "%s: cannot look at it", shown);
        return -1;
    }
    if (!S_ISREG(st.st_mode)) {
        (void)kt_path_fail_kind(dirfd, path, st.st_mode, S_IFREG, err);
        return -1;
    }
    if ((st.st_mode & 0600) != 0600) /* a umask took from us what the next one needs */
        (void)fchmod(fd, 0600);
    return lock(fd, shown, err) ? KT_TAKE_FD(fd) : -1;
}

int kt_lock_take(int dirfd, const char *path, struct kt_error *err)
{
    struct kt_path_text shown;

    (void)kt_path_show(dirfd, path, &shown);
    for (int i = 0; i < TAKE_TRIES; i++) {
        int fd = take_once(dirfd, path, shown.text, err);
        if (fd < 0 || kt_fd_is_at(fd, dirfd, path))
            return fd;
        kt_fd_close(fd); /* its last holder has removed it between our opening and our locking it */
    }
    (void)kt_fail(err, KT_E_BUSY, "%s: other processes make and remove it at this moment", shown.text);
    return -1;
}
