/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/snapshot_parts.h"
#include "cluster/sqlite_log.h"
#include "cluster/sqlite_read_only.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Row after row of the index on (name, id): the last row of a name is what it is now. */
static const char NEWEST[] = "SELECT name, id FROM kine WHERE name >= ?1 AND name < ?2 ORDER BY name, id";
static const char ROW[] = "SELECT deleted, value FROM kine WHERE id = ?1";
static const char REVISION[] = "SELECT MAX(id) FROM kine";
static const char IS_KINE[] = "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'kine' AND type = 'table'";

struct reading {
    const struct kt_snapshot_order *order;
    sqlite3 *db;
    sqlite3_stmt *row;
    struct kt_bytes name; /* of the group of rows that is being read */
    int64_t id;           /* its last so far */
};

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql, struct kt_error *err)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        (void)kt_fail_sqlite(err, db, "reading it");
    return statement;
}

static bool read_number(sqlite3 *db, const char *sql, int64_t *ret, struct kt_error *err)
{
    KT_CLEANUP(sqlite3_finalize_p) sqlite3_stmt *statement = prepare(db, sql, err);
    if (!statement)
        return false;
    if (sqlite3_step(statement) != SQLITE_ROW)
        return kt_fail_sqlite(err, db, "reading it");
    *ret = sqlite3_column_int64(statement, 0);
    return true;
}

/* sqlite's check of pages, rows and indexes: of a file without a checksum it is what there is. */
static bool check(sqlite3 *db, struct kt_error *err)
{
    KT_CLEANUP(sqlite3_finalize_p) sqlite3_stmt *statement = prepare(db, "PRAGMA integrity_check(1)", err);
    if (!statement)
        return false;
    if (sqlite3_step(statement) != SQLITE_ROW)
        return kt_fail_sqlite(err, db, "checking it");
    const char *found = (const char *)sqlite3_column_text(statement, 0);
    return (found && strcmp(found, "ok") == 0) ||
           kt_fail(err, KT_E_IO, "damaged: sqlite's own check finds: %.200s", found ? found : "nothing");
}

/* Of a copy that has none, or whose own was written back, there is nothing to check. */
static bool check_log(const char *file, struct kt_error *err)
{
    char path[PATH_MAX];
    struct stat status;
    (void)snprintf(path, sizeof(path), "%s-wal", file);
    KT_CLEANUP(kt_fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0 || fstat(fd, &status) != 0)
        return kt_fail_errno(err, KT_E_IO, "opening its log (-wal)");
    return S_ISREG(status.st_mode) ? kt_sqlite_log_check(fd, (uint64_t)status.st_size, err)
                                   : kt_fail(err, KT_E_PERMISSION, "expected a log (-wal) that is a regular file");
}

static bool check_kine(sqlite3 *db, struct kt_error *err)
{
    int64_t tables = 0;
    if (!read_number(db, IS_KINE, &tables, err))
        return false;
    return tables == 1 || kt_fail(err, KT_E_CONFIG, "expected a table kine, as k3s keeps its store in it, found none");
}

static struct kt_slice blob_of(sqlite3_stmt *statement, int column)
{
    const void *bytes = sqlite3_column_blob(statement, column);
    return KT_SLICE(bytes, (size_t)sqlite3_column_bytes(statement, column));
}

static bool visit_row(struct reading *reading, struct kt_error *err)
{
    sqlite3_stmt *row = reading->row;
    (void)sqlite3_reset(row);
    if (sqlite3_bind_int64(row, 1, reading->id) != SQLITE_OK || sqlite3_step(row) != SQLITE_ROW)
        return kt_fail_sqlite(err, reading->db, "reading a row");
    if (sqlite3_column_int64(row, 0) != 0)
        return true;
    return reading->order->visit(reading->order->context, kt_bytes_view(&reading->name), blob_of(row, 1), err);
}

static bool begin_group(struct reading *reading, struct kt_slice name, struct kt_error *err)
{
    kt_bytes_done(&reading->name);
    return kt_bytes_copy(name, &reading->name, err);
}

static bool visit_groups(struct reading *reading, sqlite3_stmt *names, struct kt_error *err)
{
    int result = sqlite3_step(names);
    for (; result == SQLITE_ROW; result = sqlite3_step(names)) {
        struct kt_slice name = blob_of(names, 0);
        if (reading->name.data && !kt_slice_equal(kt_bytes_view(&reading->name), name) && !visit_row(reading, err))
            return false;
        if (!begin_group(reading, name, err))
            return false;
        reading->id = sqlite3_column_int64(names, 1);
    }
    if (result != SQLITE_DONE)
        return kt_fail_sqlite(err, reading->db, "reading it");
    return !reading->name.data || visit_row(reading, err);
}

/* Keys below a prefix that ends with a slash lie before the same with the character after it. */
static bool visit_all(const struct kt_snapshot_order *order, sqlite3 *db, struct kt_error *err)
{
    KT_CLEANUP(sqlite3_finalize_p) sqlite3_stmt *names = prepare(db, NEWEST, err);
    KT_CLEANUP(sqlite3_finalize_p) sqlite3_stmt *row = names ? prepare(db, ROW, err) : NULL;
    KT_CLEANUP_BYTES struct kt_bytes end = {.data = NULL};
    struct reading reading = {.order = order, .db = db, .row = row};
    if (!row || !kt_bytes_copy(order->prefix, &end, err))
        return false;
    end.data[end.len - 1]++;
    if (sqlite3_bind_text(names, 1, (const char *)order->prefix.data, (int)order->prefix.len, SQLITE_STATIC) !=
            SQLITE_OK ||
        sqlite3_bind_text(names, 2, (const char *)end.data, (int)end.len, SQLITE_STATIC) != SQLITE_OK)
        return kt_fail_sqlite(err, db, "reading it");
    bool visited = visit_groups(&reading, names, err);
    kt_bytes_done(&reading.name);
    return visited;
}

bool kt_snapshot_kine(const struct kt_snapshot_order *order, struct kt_snapshot_told *ret, struct kt_error *err)
{
    ret->format = KT_SNAPSHOT_KINE;
    if (!check_log(order->file, err))
        return false;
    KT_CLEANUP(sqlite3_close_p) sqlite3 *db = kt_sqlite_open(order->file, err);
    return db && check(db, err) && check_kine(db, err) && read_number(db, REVISION, &ret->revision, err) &&
           visit_all(order, db, err);
}
