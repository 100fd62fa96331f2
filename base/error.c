/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct code_facts {
    const char *name;
    const char *text;
    int exit;
    int grpc;
};

static const struct code_facts CODES[KT_CODE_COUNT] = {
    [KT_OK] = {"OK", "no error", 0, 0},
#define KT_ERROR(code, exit_status, grpc_status, meaning) \
    [KT_E_##code] = {.name = #code, .text = (meaning), .exit = (exit_status), .grpc = (grpc_status)},
#include "base/errors.def"
#undef KT_ERROR
};

static const struct code_facts UNKNOWN = {"UNKNOWN", "an error that this release does not know", 1, 13};

static const struct code_facts *find_code(enum kt_code code)
{
    unsigned number = (unsigned)code;
    return number < KT_CODE_COUNT ? &CODES[number] : &UNKNOWN;
}

/* A cut in the middle of a UTF-8 sequence would make the whole message invalid. */
static void drop_partial_character(char *text, size_t len)
{
    size_t start = len;
    while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xc0u) == 0x80u)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t want = lead >= 0xf0u ? 4 : lead >= 0xe0u ? 3 : lead >= 0xc0u ? 2 : 1;
    if (want > len - start + 1)
        text[start - 1] = '\0';
}

static void format(char *ret, size_t cap, const char *fmt, va_list args) KT_PRINTF(3, 0);
static void format(char *ret, size_t cap, const char *fmt, va_list args)
{
    int n = vsnprintf(ret, cap, fmt, args);
    if (n < 0)
        ret[0] = '\0';
    else if ((size_t)n >= cap)
        drop_partial_character(ret, cap - 1);
}

static void format_into(char *ret, size_t cap, const char *fmt, ...) KT_PRINTF(3, 4);
static void format_into(char *ret, size_t cap, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    format(ret, cap, fmt, args);
    va_end(args);
}

/* Everything is formatted on the stack first: callers pass err->message as an argument. */
bool kt_error_set(struct kt_error *err, enum kt_code code, int sys_errno, const char *where, const char *fmt, ...)
{
    if (!err)
        return false;
    int saved = errno;
    char number_text[64] = "";
    if (sys_errno != 0) {
        char buffer[64] = "";
        format_into(number_text, sizeof(number_text), ": %s", strerror_r(sys_errno, buffer, sizeof(buffer)));
    }
    char message[sizeof(err->message)] = "";
    va_list args;
    va_start(args, fmt);
    format(message, sizeof(message) - strlen(number_text), fmt, args);
    va_end(args);

    err->code = code;
    err->sys_errno = sys_errno;
    err->where = where;
    format_into(err->message, sizeof(err->message), "%s%s", message, number_text);
    err->hint[0] = '\0';
    errno = saved;
    return false;
}

bool kt_error_prefix(struct kt_error *err, const char *fmt, ...)
{
    if (!err)
        return false;
    char prefix[sizeof(err->message)] = "";
    char old[sizeof(err->message)] = "";
    va_list args;
    va_start(args, fmt);
    format(prefix, sizeof(prefix), fmt, args);
    va_end(args);
    memcpy(old, err->message, sizeof(old));
    format_into(err->message, sizeof(err->message), "%s: %s", prefix, old);
    return false;
}

bool kt_error_hint(struct kt_error *err, const char *fmt, ...)
{
    if (!err)
        return false;
    char hint[sizeof(err->hint)] = "";
    va_list args;
    va_start(args, fmt);
    format(hint, sizeof(hint), fmt, args);
    va_end(args);
    memcpy(err->hint, hint, sizeof(hint));
    return false;
}

bool kt_error_copy(struct kt_error *err, const struct kt_error *from)
{
    if (err)
        *err = *from;
    return false;
}

void kt_error_clear(struct kt_error *err)
{
    if (err)
        *err = (struct kt_error)KT_ERROR_INIT;
}

const char *kt_code_name(enum kt_code code)
{
    return find_code(code)->name;
}

const char *kt_code_text(enum kt_code code)
{
    return find_code(code)->text;
}

int kt_code_exit(enum kt_code code)
{
    return find_code(code)->exit;
}

int kt_code_grpc(enum kt_code code)
{
    return find_code(code)->grpc;
}

enum kt_code kt_code_from_number(unsigned number)
{
    return number < KT_CODE_COUNT ? (enum kt_code)number : KT_E_INTERNAL;
}
