/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite's file and what its log (-wal) has beside it, read without a write to anything: sqlite itself would make a
 * file of shared memory beside it, and write the log back. So it gets a VFS (sqlite.org/vfs.html) that opens those two
 * files alone, for reading, and holds no locks; the index of the log is in memory (sqlite.org/wal.html, "Use of WAL
 * Without Shared-Memory").
 */
#pragma once

#include "base/cleanup.h"
#include "base/error.h"

#include <sqlite3.h>

KT_DEFINE_CLEANUP(sqlite3 *, sqlite3_close);
KT_DEFINE_CLEANUP(sqlite3_stmt *, sqlite3_finalize);

/* As little as possible of what stands in the file is trusted: no triggers, no views with functions, no extensions. */
sqlite3 *kt_sqlite_open(const char *path, struct kt_error *err) KT_MUST_CHECK;
/* sqlite's result as an error: KT_E_IO with its text. Returns false. */
#define kt_fail_sqlite(err, db, what) kt_sqlite_failed((err), (db), (what), __func__)
bool kt_sqlite_failed(struct kt_error *err, sqlite3 *db, const char *what, const char *where) KT_COLD;
