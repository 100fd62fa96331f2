/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite's write-ahead log, looked at before sqlite reads it: sqlite takes what is good of it up to the first frame
 * that is not, as after a power cut, and says nothing. Of a backup that would be a shorter list.
 *
 * Source: sqlite.org/fileformat2.html, "The Write-Ahead Log".
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

/* fd: the log, of so many bytes. KT_E_IO: a frame of this log is damaged, the last one is cut, or belongs to a change
 * that was not finished. One that was cut where a change ends looks whole. */
bool kt_sqlite_log_check(int fd, uint64_t size, struct kt_error *err) KT_MUST_CHECK;
