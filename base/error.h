/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: one caller-owned value, no allocation, no globals. A fallible function returns bool (or a pointer), is marked
 * KT_MUST_CHECK, takes struct kt_error *err last and fills it where the failure starts. A message says what was
 * expected and what was found; the hint says what to type or do next. Neither ever holds key bytes, plaintext or
 * rejected input. err may be NULL where the caller only wants to know whether.
 */
#pragma once

#include "base/attrs.h"

#include <stdbool.h>
#include <stddef.h>

enum kt_code {
    KT_OK = 0,
#define KT_ERROR(name, exit, grpc, text) KT_E_##name,
#include "base/errors.def"
#undef KT_ERROR
    KT_CODE_COUNT,
};

struct kt_error {
    enum kt_code code;
    int sys_errno;     /* 0 if no system call failed */
    const char *where; /* function in which it started; static storage */
    char message[512];
    char hint[640]; /* may be empty */
};

#define KT_ERROR_INIT \
    {                 \
        .code = KT_OK \
    }

/* Fill *err and return false, so that a failing function ends in `return kt_fail(err, KT_E_IO, "...")`. */
#define kt_fail(err, code, ...) kt_error_set((err), (code), 0, __func__, __VA_ARGS__)
/* The same; appends ": " and the text of errno, and keeps errno's number. */
#define kt_fail_errno(err, code, ...) kt_error_set((err), (code), errno, __func__, __VA_ARGS__)

bool kt_error_set(struct kt_error *err, enum kt_code code, int sys_errno, const char *where, const char *fmt, ...)
    KT_PRINTF(5, 6) KT_COLD;
/* "prefix: message". Once, at a boundary (a file name, a peer). Returns false. */
bool kt_error_prefix(struct kt_error *err, const char *fmt, ...) KT_PRINTF(2, 3) KT_COLD;
/* Sets the hint. Returns false. */
bool kt_error_hint(struct kt_error *err, const char *fmt, ...) KT_PRINTF(2, 3) KT_COLD;
void kt_error_clear(struct kt_error *err);
/* *err becomes *from. Returns false. */
bool kt_error_copy(struct kt_error *err, const struct kt_error *from) KT_COLD;

/* "KEYRING_FORK" for KT_E_KEYRING_FORK; "OK"; "UNKNOWN" for a number out of range. */
const char *kt_code_name(enum kt_code code);
const char *kt_code_text(enum kt_code code);
int kt_code_exit(enum kt_code code);
int kt_code_grpc(enum kt_code code);
/* A number that came over a socket: anything out of range becomes KT_E_INTERNAL. */
enum kt_code kt_code_from_number(unsigned number);

/* Every foreign convention has one converter. OpenSSL: empties its error queue into the message, "what: reason". Only
 * the library's fixed texts, never the data that it attaches. */
#define kt_fail_openssl(err, code, what) kt_error_openssl((err), (code), __func__, (what))
bool kt_error_openssl(struct kt_error *err, enum kt_code code, const char *where, const char *what) KT_COLD;
