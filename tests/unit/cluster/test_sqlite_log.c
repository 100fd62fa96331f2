/* SPDX-License-Identifier: Apache-2.0 */
/* A log that sqlite itself wrote, whole, and damaged at every place; and how its file is read with it. */
#include "base/file.h"
#include "cluster/snapshot.h"
#include "cluster/sqlite_log.h"
#include "tests/unit/base/scratch.h"
#include "tests/unit/base/unit.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* As kine makes it, with pages as small as can be. */
static const char SCHEMA[] =
    "PRAGMA page_size=512; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
    "CREATE TABLE kine(id INTEGER PRIMARY KEY AUTOINCREMENT, name INTEGER, created INTEGER, deleted INTEGER,"
    " create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB);"
    "CREATE INDEX kine_name_id_index ON kine (name, id);"
    "INSERT INTO kine(name, deleted, value) VALUES('compact_rev_key', 0, ''), ('/registry/a/1', 0, 'one');"
    "PRAGMA wal_checkpoint(TRUNCATE);";
static const char IN_THE_LOG[] = "INSERT INTO kine(name, deleted, value) VALUES('/registry/a/1', 0, 'two');"
                                 "INSERT INTO kine(name, deleted, value) VALUES('/registry/a/2', 0, 'three');"
                                 "INSERT INTO kine(name, deleted, value) VALUES('/registry/a/3', 0, 'x');"
                                 "INSERT INTO kine(name, deleted, value) VALUES('/registry/a/3', 1, 'x');";

static void take_file(const struct scratch *scratch, const char *name, struct kt_bytes *ret)
{
    const struct kt_file_rules rules = {.max = 1 << 20, .owner = KT_ANY_UID};
    struct kt_error err = KT_ERROR_INIT;
    if (!kt_file_read(AT_FDCWD, scratch_name(scratch, name), &rules, ret, &err))
        fail_msg("%s", err.message);
}

static void put_file(const struct scratch *scratch, const char *name, struct kt_slice bytes)
{
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    struct kt_error err = KT_ERROR_INIT;
    if (!kt_file_replace(AT_FDCWD, scratch_name(scratch, name), bytes, &attrs, &err))
        fail_msg("%s", err.message);
}

/* "live.db" is in use while it is copied to "copy.db", as somebody would who does not stop k3s. */
static void make(const struct scratch *scratch, struct kt_bytes *ret_log)
{
    sqlite3 *db = NULL;
    KT_CLEANUP_BYTES struct kt_bytes file = {.data = NULL};
    assert_int_equal(sqlite3_open(scratch_name(scratch, "live.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, SCHEMA, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, IN_THE_LOG, NULL, NULL, NULL), SQLITE_OK);
    take_file(scratch, "live.db", &file);
    take_file(scratch, "live.db-wal", ret_log);
    sqlite3_close(db);
    put_file(scratch, "copy.db", kt_bytes_view(&file));
}

static bool visit(void *context, struct kt_slice key, struct kt_slice value, struct kt_error *err)
{
    char *text = context;
    (void)err;
    size_t len = strlen(text);
    snprintf(text + len, 256 - len, "%.*s=%.*s ", (int)key.len, (const char *)key.data, (int)value.len,
             (const char *)value.data);
    return true;
}

static bool read_named(const char *file, char ret[256], struct kt_snapshot_told *told, struct kt_error *err)
{
    ret[0] = '\0';
    kt_error_clear(err);
    const struct kt_snapshot_order order = {
        .file = file, .prefix = kt_slice_str("/registry/"), .visit = visit, .context = ret};
    return kt_snapshot_read(&order, told, err);
}

static bool read_copy(const struct scratch *scratch, char ret[256], struct kt_snapshot_told *told, struct kt_error *err)
{
    return read_named(scratch_name(scratch, "copy.db"), ret, told, err);
}

/* What is in the log counts, nothing is written, and nothing is left beside the file. */
static void test_read(void **state)
{
    const struct scratch *scratch = *state;
    KT_CLEANUP_BYTES struct kt_bytes log = {.data = NULL}, before = {.data = NULL}, after = {.data = NULL};
    struct kt_snapshot_told told;
    struct kt_error err = KT_ERROR_INIT;
    char text[256];
    make(scratch, &log);
    put_file(scratch, "copy.db-wal", kt_bytes_view(&log));
    take_file(scratch, "copy.db", &before);
    if (!read_copy(scratch, text, &told, &err))
        fail_msg("%s", err.message);
    assert_string_equal(text, "/registry/a/1=two /registry/a/2=three ");
    assert_int_equal(told.revision, 6);
    assert_int_equal(told.format, KT_SNAPSHOT_KINE);
    assert_int_equal(scratch_count(scratch, "copy.db"), 2);
    take_file(scratch, "copy.db", &after);
    assert_true(kt_slice_equal(kt_bytes_view(&before), kt_bytes_view(&after)));
    assert_true(told.has_log);
    assert_int_equal(symlink("copy.db", scratch_name(scratch, "link.db")), 0);
    assert_true(read_named(scratch_name(scratch, "link.db"), text, &told, &err) && told.has_log);
    assert_string_equal(text, "/registry/a/1=two /registry/a/2=three ");
    /* The file alone says that it has a log; one that was written back and removed is no loss, and cannot be told. */
    assert_int_equal(unlink(scratch_name(scratch, "copy.db-wal")), 0);
    assert_true(read_copy(scratch, text, &told, &err));
    assert_string_equal(text, "/registry/a/1=one ");
    assert_false(told.has_log);
    assert_int_equal(scratch_count(scratch, "copy.db"), 1);
    /* sqlite's own copy, with all of it. */
    put_file(scratch, "copy.db-wal", KT_SLICE("", 0));
    assert_true(read_copy(scratch, text, &told, &err));
}

static bool check(const uint8_t *log, size_t n, struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p) int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0 && write(fd, log, n) == (ssize_t)n);
    kt_error_clear(err);
    return kt_sqlite_log_check(fd, n, err);
}

static void test_damaged(void **state)
{
    enum { HEADER = 32, FRAME = 24 + 512 };
    KT_CLEANUP_BYTES struct kt_bytes log = {.data = NULL};
    struct kt_error err = KT_ERROR_INIT;
    make(*state, &log);
    assert_true(log.len > HEADER + 4 * FRAME && (log.len - HEADER) % FRAME == 0);
    assert_true(check(log.data, log.len, &err));
    assert_true(check(log.data, 0, &err));
    for (size_t i = 0; i < log.len; i++) {
        log.data[i] ^= 0x20;
        bool good = check(log.data, log.len, &err);
        log.data[i] ^= 0x20;
        /* Those of the last frame that say whose it is: then it is of an earlier log. */
        size_t last = log.len - FRAME;
        if (good && !(i >= last + 8 && i < last + 16))
            fail_msg("byte %zu", i);
    }
    for (size_t n = 1; n < log.len; n++) {
        bool good = check(log.data, n, &err);
        /* Cut where a change ends, it is a whole one. */
        bool ends = n >= HEADER && (n - HEADER) % FRAME == 0 &&
                    (n == HEADER || memcmp(log.data + n - FRAME + 4, "\0\0\0\0", 4) != 0);
        if (good != ends)
            fail_msg("cut at %zu", n);
    }
    /* Behind it may stand an earlier log, as sqlite leaves it. */
    KT_CLEANUP(kt_free_p) uint8_t *more = calloc(1, log.len + FRAME);
    memcpy(more, log.data, log.len);
    assert_true(check(more, log.len + FRAME, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {SCRATCH_TEST(test_read), SCRATCH_TEST(test_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
