/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file audit.log of a state directory (docs/audit-format.md §3): what is appended to it, and how what a kill has
 * cut short is finished. The lock of the directory is held.
 */
#pragma once

#include "base/file.h"
#include "keystore/audit.h"

#define KT_AUDIT_LOG "audit.log"

/* How an append went. */
struct kt_audit_appended {
    size_t first; /* lines first..n-1 of the tail were appended */
    size_t n;
    bool gap; /* the log does not go on with the line after its last one, or does not begin as it should */
    struct kt_error trouble; /* why it could not be written, or read; KT_OK */
};

struct kt_audit_place {
    int dir;
    struct kt_file_rules rules; /* what the file must be */
    struct kt_file_attrs attrs; /* what a new one becomes */
};
/* Appends the lines of the tail that the log lacks, durably; what is there already is made durable as well. from: the
 * first line of a log that is not there yet; whole: such a log lacks nothing. False: see ret->trouble. */
bool kt_audit_log_append(const struct kt_audit_place *place, const struct kt_audit_tail *tail, size_t from, bool whole,
                         struct kt_audit_appended *ret) KT_MUST_CHECK;
/* The file, whole. *ret_state: whether it is there. */
bool kt_audit_log_read(int dir, const struct kt_file_rules *rules, struct kt_bytes *ret, enum kt_file_state *ret_state,
                       struct kt_error *err) KT_MUST_CHECK;

/* The next row: up to the next LF, or to the end. *rest goes on behind it. False: there is none. */
struct kt_audit_row {
    struct kt_slice text;
    bool whole; /* it has its LF */
};
bool kt_audit_row_next(struct kt_slice *rest, struct kt_audit_row *ret) KT_MUST_CHECK;
