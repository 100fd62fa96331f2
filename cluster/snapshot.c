/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/snapshot.h"

#include "cluster/snapshot_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BEGINNING 16u

static const char SQLITE[BEGINNING] = "SQLite format 3";

/* What a backup may be packed as: k3s does it with --etcd-snapshot-compress. */
static const struct {
    const char *bytes;
    size_t n;
    const char *unpack;
} PACKED[] = {{"PK\x03\x04", 4, "unzip"},
              {"\x1f\x8b", 2, "gunzip"},
              {"\x28\xb5\x2f\xfd", 4, "unzstd"},
              {"\xfd\x37zXZ", 5, "unxz"}};

static bool open_file(const char *path, int *ret_fd, struct stat *ret, struct kt_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return kt_fail_errno(err, errno == EACCES ? KT_E_PERMISSION : KT_E_IO, "opening it");
    *ret_fd = fd;
    if (fstat(fd, ret) != 0)
        return kt_fail_errno(err, KT_E_IO, "looking at it");
    return S_ISREG(ret->st_mode) || kt_fail(err, KT_E_PERMISSION, "expected a regular file, found another kind");
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* What belongs to the backup: the file, and what sqlite reads beside it. */
struct state {
    struct stat file;
    bool has_wal;
    struct stat wal;
};

static bool look(const char *path, struct state *ret, struct kt_error *err)
{
    char wal[PATH_MAX];
    *ret = (struct state){.has_wal = false};
    if (snprintf(wal, sizeof(wal), "%s-wal", path) >= (int)sizeof(wal))
        return kt_fail(err, KT_E_USAGE, "expected a path of at most %zu bytes", sizeof(wal) - 5);
    if (stat(path, &ret->file) != 0)
        return kt_fail_errno(err, KT_E_IO, "looking at it");
    ret->has_wal = stat(wal, &ret->wal) == 0;
    return true;
}

static bool refuse_packed(const uint8_t beginning[BEGINNING], struct kt_error *err)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(PACKED); i++) {
        if (memcmp(beginning, PACKED[i].bytes, PACKED[i].n) != 0)
            continue;
        kt_fail(err, KT_E_CONFIG, "expected a backup of etcd or of kine, found a packed file");
        kt_error_hint(err, "unpack it first (%s)", PACKED[i].unpack);
        return false;
    }
    return true;
}

static bool read_file(const struct kt_snapshot_order *order, int fd, struct kt_snapshot_told *ret, struct kt_error *err)
{
    uint8_t beginning[BEGINNING] = {0};
    ssize_t n = pread(fd, beginning, sizeof(beginning), 0);
    if (n < 0)
        return kt_fail_errno(err, KT_E_IO, "reading it");
    if (n < (ssize_t)sizeof(beginning))
        return kt_fail(err, KT_E_CONFIG, "expected a backup of etcd or of kine, found %zd bytes", n);
    if (!refuse_packed(beginning, err))
        return false;
    if (memcmp(beginning, SQLITE, sizeof(beginning)) == 0)
        return kt_snapshot_kine(order, ret, err);
    return kt_snapshot_etcd(order, fd, ret, err);
}

static bool read_unchanged(const struct kt_snapshot_order *order, struct kt_snapshot_told *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p) int fd = -1;
    struct stat opened = {.st_size = 0};
    struct state before = {.has_wal = false}, after = {.has_wal = false};
    struct kt_snapshot_told told = {.format = KT_SNAPSHOT_ETCD};
    if (!open_file(order->file, &fd, &opened, err) || !look(order->file, &before, err))
        return false;
    told.bytes = (uint64_t)opened.st_size;
    told.has_log = before.has_wal;
    bool read = read_file(order, fd, &told, err);
    struct kt_error ignored = KT_ERROR_INIT;
    bool same = look(order->file, &after, &ignored) && is_same(&opened, &before.file) &&
                is_same(&before.file, &after.file) && before.has_wal == after.has_wal &&
                (!before.has_wal || is_same(&before.wal, &after.wal));
    if (!same) {
        kt_fail(err, KT_E_IO, "it was written to while it was read");
        return kt_error_hint(err, "a store that is in use is counted without --snapshot; or make a copy of it first");
    }
    if (read)
        *ret = told;
    return read;
}

bool kt_snapshot_read(const struct kt_snapshot_order *order, struct kt_snapshot_told *ret, struct kt_error *err)
{
    /* sqlite's log lies beside the file that a link leads to. */
    char path[PATH_MAX];
    bool there = realpath(order->file, path) && access(path, F_OK) == 0;
    struct kt_snapshot_order real = *order;
    real.file = there ? path : order->file;
    return read_unchanged(&real, ret, err) || kt_error_prefix(err, "%s", order->file);
}
