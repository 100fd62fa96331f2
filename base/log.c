/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/clock.h"
#include "base/printable.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_LEN 4096u
/* Kept free for the end of a line that was cut: `,"truncated":true}` and the newline. */
#define LINE_RESERVE 20u

static struct {
    const char *role;
    bool to_journal;
    _Atomic int format;
    _Atomic int least;
} logger = {.role = "", .format = KT_LOG_TEXT, .least = KT_LOG_INFO};

/* A line in the making. Once `cut`, it takes nothing more. */
struct line {
    char data[LINE_MAX_LEN];
    size_t len;
    enum kt_log_format format;
    bool has_field;
    bool cut;
};

static const struct {
    const char *name;
    enum kt_log_level level;
} LEVELS[] = {
    {"error", KT_LOG_ERROR}, {"warning", KT_LOG_WARNING}, {"notice", KT_LOG_NOTICE},
    {"info", KT_LOG_INFO},   {"debug", KT_LOG_DEBUG},
};

static const char *level_name(enum kt_log_level level)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(LEVELS); i++)
        if (LEVELS[i].level == level)
            return LEVELS[i].name;
    return "error";
}

/* All or nothing, and `spare` bytes behind it still free. */
static bool put(struct line *line, const char *bytes, size_t n, size_t spare)
{
    if (line->cut || n + spare > LINE_MAX_LEN - LINE_RESERVE - line->len) {
        line->cut = true;
        return false;
    }
    memcpy(line->data + line->len, bytes, n);
    line->len += n;
    return true;
}

/* One character of a quoted value: as it is, or escaped as in JSON, which logfmt has taken over. */
static bool put_character(struct line *line, const char *s, size_t n, uint32_t v)
{
    char escape[KT_ESCAPE_MAX];
    size_t escaped = kt_control_escape(v, escape);
    if (escaped > 0)
        return put(line, escape, escaped, 1);
    if (v == '"' || v == '\\')
        return put(line, (const char[]){'\\', (char)v}, 2, 1);
    if (v == KT_NOT_UTF8)
        return put(line, "\\ufffd", 6, 1);
    return put(line, s, n, 1);
}

static void put_quoted(struct line *line, const char *text)
{
    if (!put(line, "\"", 1, 1))
        return;
    for (const char *s = text; *s != '\0';) {
        uint32_t v = 0;
        size_t n = kt_utf8_decode(s, &v);
        if (!put_character(line, s, n, v))
            break;
        s += n;
    }
    line->data[line->len++] = '"'; /* the spare byte of every put above */
}

static bool is_bare(const char *text)
{
    for (const char *s = text; *s != '\0'; s++)
        if (*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || *s > '~')
            return false;
    return text[0] != '\0';
}

static void put_text(struct line *line, const char *text)
{
    size_t n = strlen(text);
    bool fits = n <= LINE_MAX_LEN - LINE_RESERVE - line->len;
    if (line->format == KT_LOG_TEXT && fits && is_bare(text))
        (void)put(line, text, n, 0);
    else
        put_quoted(line, text);
}

static void put_unsigned(struct line *line, uint64_t v, bool negative)
{
    char digits[24];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    if (negative)
        digits[--at] = '-';
    (void)put(line, digits + at, sizeof(digits) - at, 0);
}

static void put_value(struct line *line, const struct kt_log_field *field)
{
    switch (field->kind) {
    case KT_FIELD_TEXT:
        put_text(line, field->text ? field->text : "");
        return;
    case KT_FIELD_UNSIGNED:
        put_unsigned(line, field->number, false);
        return;
    case KT_FIELD_SIGNED: {
        bool negative = (int64_t)field->number < 0;
        put_unsigned(line, negative ? 0 - field->number : field->number, negative);
        return;
    }
    case KT_FIELD_BOOL:
        (void)put(line, field->number ? "true" : "false", field->number ? 4 : 5, 0);
        return;
    }
}

/* A value may be cut, inside its quotes; a field of which no value fits is left out. */
static void put_field(struct line *line, const struct kt_log_field *field)
{
    bool json = line->format == KT_LOG_JSON;
    size_t start = line->len;
    if (line->has_field)
        (void)put(line, json ? "," : " ", 1, 0);
    if (json)
        (void)put(line, "\"", 1, 0);
    (void)put(line, field->key, strlen(field->key), 0);
    if (put(line, json ? "\":" : "=", json ? 2 : 1, 0)) {
        size_t value = line->len;
        put_value(line, field);
        if (line->len > value) {
            line->has_field = true;
            return;
        }
    }
    line->len = start;
}

static void put_time(struct line *line)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    char text[KT_TIME_LEN + 4];
    kt_time_format(now.tv_sec > 0 ? (uint64_t)now.tv_sec : 0, text);
    unsigned ms = (unsigned)(now.tv_nsec / 1000000);
    const char tail[] = {'.', (char)('0' + ms / 100 % 10), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', 0};
    memcpy(text + KT_TIME_LEN - 2, tail, sizeof(tail));
    if (line->format == KT_LOG_JSON)
        put_field(line, &KT_TEXT("time", text));
    else
        line->has_field = put(line, text, strlen(text), 0);
}

static void begin(struct line *line, enum kt_log_level level)
{
    if (logger.to_journal)
        (void)put(line, (const char[]){'<', (char)('0' + (int)level), '>'}, 3, 0);
    if (line->format == KT_LOG_JSON)
        (void)put(line, "{", 1, 0);
    if (line->format == KT_LOG_JSON || !logger.to_journal)
        put_time(line);
    put_field(line, &KT_TEXT("level", level_name(level)));
    if (logger.role[0] != '\0')
        put_field(line, &KT_TEXT("role", logger.role));
}

/* Into LINE_RESERVE. */
static void end(struct line *line)
{
    static const char *const TAILS[2][2] = {
        [KT_LOG_TEXT] = {"\n", " truncated=true\n"},
        [KT_LOG_JSON] = {"}\n", ",\"truncated\":true}\n"},
    };
    const char *tail = TAILS[line->format][line->cut];
    memcpy(line->data + line->len, tail, strlen(tail));
    line->len += strlen(tail);
}

/* A line that standard error does not take is lost: there is nobody to tell. */
static void send(const struct line *line)
{
    ssize_t n = 0;
    do
        n = write(STDERR_FILENO, line->data, line->len);
    while (n < 0 && errno == EINTR);
}

void kt_log_fields(enum kt_log_level level, const char *event, const struct kt_log_field *fields)
{
    if ((int)level > atomic_load_explicit(&logger.least, memory_order_relaxed))
        return;
    int saved = errno;
    struct line line; /* 4 KiB that need no zeros */
    line.len = 0;
    line.has_field = false;
    line.cut = false;
    line.format = (enum kt_log_format)atomic_load_explicit(&logger.format, memory_order_relaxed);
    begin(&line, level);
    put_field(&line, &KT_TEXT("event", event));
    for (const struct kt_log_field *field = fields; field && field->key; field++)
        put_field(&line, field);
    end(&line);
    send(&line);
    errno = saved;
}

void kt_log_error(enum kt_log_level level, const char *event, const struct kt_error *err)
{
    const struct kt_log_field fields[] = {
        KT_TEXT("code", kt_code_name(err->code)),
        KT_TEXT("message", err->message[0] != '\0' ? err->message : kt_code_text(err->code)),
        err->hint[0] != '\0' ? KT_TEXT("hint", err->hint) : (struct kt_log_field){.key = NULL},
        {.key = NULL},
    };
    kt_log_fields(level, event, fields);
}

/* sd-daemon(3): JOURNAL_STREAM is "device:inode" of the stream; it is inherited by processes whose standard error went
 * elsewhere since. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st = {0};
    if (!stream || stream[0] < '0' || stream[0] > '9' || fstat(STDERR_FILENO, &st) < 0)
        return false;
    char *colon = NULL;
    char *rest = NULL;
    unsigned long long device = strtoull(stream, &colon, 10);
    if (*colon != ':')
        return false;
    unsigned long long inode = strtoull(colon + 1, &rest, 10);
    return rest != colon + 1 && *rest == '\0' && device == st.st_dev && inode == st.st_ino;
}

void kt_log_init(const char *role, enum kt_log_format format, enum kt_log_level least)
{
    logger.role = role ? role : "";
    logger.to_journal = stderr_is_journal();
    kt_log_set(format, least);
}

void kt_log_set(enum kt_log_format format, enum kt_log_level least)
{
    atomic_store_explicit(&logger.format, (int)format, memory_order_relaxed);
    atomic_store_explicit(&logger.least, (int)least, memory_order_relaxed);
}

bool kt_log_level_parse(const char *text, enum kt_log_level *ret)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(LEVELS); i++) {
        if (strcmp(text, LEVELS[i].name) == 0) {
            *ret = LEVELS[i].level;
            return true;
        }
    }
    return false;
}

bool kt_log_format_parse(const char *text, enum kt_log_format *ret)
{
    bool json = strcmp(text, "json") == 0;
    if (!json && strcmp(text, "text") != 0)
        return false;
    *ret = json ? KT_LOG_JSON : KT_LOG_TEXT;
    return true;
}
