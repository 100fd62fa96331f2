/* SPDX-License-Identifier: Apache-2.0 */
/* keyturn audit, which is audit show too. */
#include "admin/audit_files.h"
#include "admin/audit_text.h"
#include "base/printable.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_SINCE = 0x200, OPTION_LOG };

static const struct argp_option own_options[] = {
    {.name = "since",
     .key = OPTION_SINCE,
     .arg = "WHEN",
     .doc = "Only what was written at or after that time (2026-11-23T09:00:00Z), or so long ago (90s, 15m, 24h, 7d)"},
    {.name = "log", .key = OPTION_LOG, .arg = "FILE", .doc = "Another log than the one of this node"},
    {0},
};

struct show {
    const char *file;
    uint64_t since;
    struct kt_audit_files files;
    struct kt_audit_line *line;
    uint64_t unreadable; /* rows */
    json_t *lines;       /* with -o json */
};

static bool parse_since(const char *text, uint64_t *ret)
{
    uint64_t now = kt_clock_real_s();
    uint64_t ago = 0;
    if (kt_time_parse(text, ret))
        return true;
    if (!kt_duration_parse(text, &ago))
        return false;
    *ret = now > ago ? now - ago : 0;
    return true;
}

static error_t take(int key, char *arg, void *closure)
{
    struct show *show = closure;
    switch (key) {
    case OPTION_SINCE:
        return parse_since(arg, &show->since) ? 0 : EINVAL;
    case OPTION_LOG:
        show->file = arg;
        return arg[0] ? 0 : EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool add_json(struct show *show, struct kt_slice text, struct kt_error *err)
{
    uint8_t hash[KT_HASH_LEN];
    char hash_text[KT_HASH_TEXT_LEN];
    if (!kt_audit_hash(text, hash, err))
        return false;
    kt_hash_format(hash, hash_text);
    json_t *value = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!value || json_object_set_new(value, "hash", json_string(hash_text)) != 0 ||
        json_array_append_new(show->lines, value) != 0)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    return true;
}

static bool show_row(struct show *show, uint64_t row, struct kt_slice text, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    if (!kt_audit_parse(text, show->line, &why)) {
        show->unreadable++;
        if (!show->lines)
            printf("row %" PRIu64 " cannot be read: %s\n", row, KT_PRINTABLE(why.message));
        return true;
    }
    if (show->line->time < show->since)
        return true;
    if (show->lines)
        return add_json(show, text, err);
    kt_audit_print(show->line);
    return true;
}

static bool show_rows(struct show *show, struct kt_error *err)
{
    struct kt_slice rest = kt_bytes_view(&show->files.log);
    struct kt_audit_row row;
    for (uint64_t n = 1; kt_audit_row_next(&rest, &row); n++)
        if (!show_row(show, n, row.text, err))
            return false;
    return true;
}

static bool print(struct show *show, struct kt_error *err)
{
    if (!show->lines)
        return kt_output_done(err);
    json_t *value = kt_json_new("AuditLog");
    if (value)
        json_object_set(value, "lines", show->lines);
    return kt_json_print(value, err);
}

/* What could be shown was shown. */
static bool judge(const struct show *show, struct kt_error *err)
{
    if (show->unreadable == 0)
        return true;
    kt_fail(err, KT_E_FOUND, "%" PRIu64 " row%s of the audit log cannot be read", show->unreadable,
            show->unreadable == 1 ? "" : "s");
    return kt_error_hint(err, "keyturn audit verify says what is wrong");
}

static bool run(struct show *show, const struct kt_options *options, struct kt_error *err)
{
    show->line = calloc(1, sizeof(*show->line));
    show->lines = options->json ? json_array() : NULL;
    if (!show->line || (options->json && !show->lines))
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    return kt_audit_files_read(options, show->file, &show->files, err) && show_rows(show, err) && print(show, err) &&
           judge(show, err);
}

static int show_log(const char *name, int argc, char **argv)
{
    struct show show = {.since = 0};
    struct kt_command_line line = {
        .command = kt_command_find(name), .own = own_options, .take = take, .closure = &show};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    bool done = run(&show, &line.options, &err);
    kt_audit_files_done(&show.files);
    free(show.line);
    json_decref(show.lines);
    return done ? 0 : kt_print_error(&line.options, &err);
}

int kt_command_audit(int argc, char **argv)
{
    return show_log("audit", argc, argv);
}

int kt_command_audit_show(int argc, char **argv)
{
    return show_log("audit show", argc, argv);
}
