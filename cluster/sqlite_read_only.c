/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/sqlite_read_only.h"

#include "base/attrs.h"
#include "cluster/snapshot.h"

#include <string.h>

#define VFS_NAME "keyturn-read-only"

/* sqlite's own file of the host stands behind it. */
struct file {
    sqlite3_file base;
    sqlite3_file *real; /* NULL: there is none, and it reads as empty */
};

static sqlite3_vfs *host(void)
{
    return sqlite3_vfs_find(NULL);
}

static struct file *as_file(sqlite3_file *file)
{
    return (struct file *)file;
}

/* ---- a file ---- */

static int file_close(sqlite3_file *file)
{
    struct file *own = as_file(file);
    return own->real ? own->real->pMethods->xClose(own->real) : SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *ret, int n, sqlite3_int64 at)
{
    struct file *own = as_file(file);
    if (own->real)
        return own->real->pMethods->xRead(own->real, ret, n, at);
    memset(ret, 0, (size_t)n);
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
    (void)file, (void)bytes, (void)n, (void)at;
    return SQLITE_READONLY;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    (void)file, (void)size;
    return SQLITE_READONLY;
}

static int file_sync(sqlite3_file *file, int flags)
{
    (void)file, (void)flags;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    struct file *own = as_file(file);
    *ret = 0;
    return own->real ? own->real->pMethods->xFileSize(own->real, ret) : SQLITE_OK;
}

static int file_lock(sqlite3_file *file, int level)
{
    (void)file, (void)level;
    return SQLITE_OK;
}

static int file_check_lock(sqlite3_file *file, int *ret)
{
    (void)file;
    *ret = 0;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int what, void *argument)
{
    (void)file, (void)what, (void)argument;
    return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *file)
{
    struct file *own = as_file(file);
    return own->real ? own->real->pMethods->xSectorSize(own->real) : 4096;
}

static int file_traits(sqlite3_file *file)
{
    (void)file;
    return 0;
}

static const sqlite3_io_methods METHODS = {
    .iVersion = 1, /* no shared memory, no mapping */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_lock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
};

/* ---- the VFS ---- */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct file *own = as_file(file);
    bool is_log = (flags & SQLITE_OPEN_WAL) != 0;
    int wanted = SQLITE_OPEN_READONLY | (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL));
    (void)vfs;
    *own = (struct file){.real = (sqlite3_file *)(own + 1)};
    if ((wanted & ~SQLITE_OPEN_READONLY) == 0)
        return SQLITE_CANTOPEN; /* what it would write */
    memset(own->real, 0, (size_t)host()->szOsFile);
    int result = host()->xOpen(host(), name, own->real, wanted, NULL);
    int there = 1;
    if (result != SQLITE_OK && is_log && host()->xAccess(host(), name, SQLITE_ACCESS_EXISTS, &there) == SQLITE_OK &&
        !there) {
        own->real = NULL; /* a copy may say that it has a log, and have none any more */
        result = SQLITE_OK;
    }
    if (result == SQLITE_OK)
        own->base.pMethods = &METHODS;
    if (ret_flags)
        *ret_flags = wanted;
    return result;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs, (void)name, (void)sync;
    return SQLITE_READONLY;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    (void)vfs;
    return host()->xAccess(host(), name, flags, ret);
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
    (void)vfs;
    return host()->xFullPathname(host(), name, size, ret);
}

static int vfs_random(sqlite3_vfs *vfs, int n, char *ret)
{
    (void)vfs;
    return host()->xRandomness(host(), n, ret);
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return host()->xSleep(host(), microseconds);
}

static int vfs_time(sqlite3_vfs *vfs, double *ret)
{
    (void)vfs;
    return host()->xCurrentTime(host(), ret);
}

static bool register_vfs(void)
{
    static sqlite3_vfs own = {
        .iVersion = 1,
        .zName = VFS_NAME,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_random,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
    };
    if (!host())
        return false;
    own.mxPathname = host()->mxPathname;
    own.szOsFile = (int)sizeof(struct file) + host()->szOsFile;
    return sqlite3_vfs_register(&own, 0) == SQLITE_OK;
}

/* ---- a database ---- */

bool kt_sqlite_failed(struct kt_error *err, sqlite3 *db, const char *what, const char *where)
{
    return kt_error_set(err, KT_E_IO, 0, where, "%s: sqlite says: %s", what, sqlite3_errmsg(db));
}

/* Statements that tell nothing. locking_mode: without shared memory the log can be read so alone. */
static const char SETTINGS[] = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA temp_store=MEMORY; PRAGMA query_only=ON;"
                               "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0;";

static bool set_up(sqlite3 *db, struct kt_error *err)
{
    static const struct {
        int what;
        int to;
    } CONFIG[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},
                  {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                  {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                  {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                  {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1}};
    for (size_t i = 0; i < KT_ARRAY_LEN(CONFIG); i++)
        (void)sqlite3_db_config(db, CONFIG[i].what, CONFIG[i].to, NULL);
    (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, (int)KT_SNAPSHOT_VALUE_MAX);
    return sqlite3_exec(db, SETTINGS, NULL, NULL, NULL) == SQLITE_OK || kt_fail_sqlite(err, db, "opening it");
}

sqlite3 *kt_sqlite_open(const char *path, struct kt_error *err)
{
    KT_CLEANUP(sqlite3_close_p) sqlite3 *db = NULL;
    if (!register_vfs() ||
        sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_PRIVATECACHE, VFS_NAME) != SQLITE_OK) {
        (void)kt_fail_sqlite(err, db, "opening it");
        return NULL;
    }
    return set_up(db, err) ? KT_TAKE_PTR(db) : NULL;
}
