/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One log line per event, on standard error: key=value (logfmt, values quoted where needed), or one JSON object. When
 * standard error is the journal (JOURNAL_STREAM, sd-daemon(3)), each line starts with its priority <N>. Only the frame
 * that decides logs; libraries return errors. Never key bytes, plaintext, or what a stranger sent.
 * A line is at most 4 KiB and goes out in one write(2). No locks, no allocation.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

enum kt_log_level { KT_LOG_ERROR = 3, KT_LOG_WARNING = 4, KT_LOG_NOTICE = 5, KT_LOG_INFO = 6, KT_LOG_DEBUG = 7 };
enum kt_log_format { KT_LOG_TEXT, KT_LOG_JSON };

struct kt_log_field {
    const char *key; /* NULL ends the list */
    enum { KT_FIELD_TEXT, KT_FIELD_UNSIGNED, KT_FIELD_SIGNED, KT_FIELD_BOOL } kind;
    const char *text;
    uint64_t number;
};
#define KT_TEXT(k, v) ((struct kt_log_field){.key = (k), .kind = KT_FIELD_TEXT, .text = (v)})
#define KT_NUM(k, v)  ((struct kt_log_field){.key = (k), .kind = KT_FIELD_UNSIGNED, .number = (uint64_t)(v)})
#define KT_INT(k, v)  ((struct kt_log_field){.key = (k), .kind = KT_FIELD_SIGNED, .number = (uint64_t)(int64_t)(v)})
#define KT_BOOL(k, v) ((struct kt_log_field){.key = (k), .kind = KT_FIELD_BOOL, .number = (v) ? 1 : 0})

/* role: static text that stands in each line ("front"). Reads JOURNAL_STREAM once. */
void kt_log_init(const char *role, enum kt_log_format format, enum kt_log_level least);
void kt_log_set(enum kt_log_format format, enum kt_log_level least);
/* The first element only takes the comma away from an empty list. */
#define kt_log(level, event, ...) \
    kt_log_fields((level), (event), (const struct kt_log_field[]){{.key = ""}, ##__VA_ARGS__, {.key = NULL}} + 1)
void kt_log_fields(enum kt_log_level level, const char *event, const struct kt_log_field *fields);
/* The same with code, message and hint of err. */
void kt_log_error(enum kt_log_level level, const char *event, const struct kt_error *err);
/* "error" .. "debug", "text", "json"; false: unknown. */
bool kt_log_level_parse(const char *text, enum kt_log_level *ret) KT_MUST_CHECK;
bool kt_log_format_parse(const char *text, enum kt_log_format *ret) KT_MUST_CHECK;
