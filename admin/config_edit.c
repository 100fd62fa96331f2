/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/config_edit.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define INDENT    2
#define LINES_LEN 320u

/* Where a field's line is, or where it would go. */
struct place {
    const char *line;  /* NULL: it has none */
    const char *group; /* the line of its group; NULL: none, or not in a group */
};

static const char *next_line(const char *line)
{
    const char *lf = strchr(line, '\n');
    return lf && lf[1] ? lf + 1 : NULL;
}

static const char *end_of(const char *line)
{
    const char *lf = strchr(line, '\n');
    return lf ? lf + 1 : line + strlen(line);
}

static bool is_named(const char *line, const char *name, size_t len)
{
    return strncmp(line, name, len) == 0 && line[len] == ':';
}

/* Within a group: blank, a comment, or set in. */
static bool is_inside(const char *line)
{
    return strchr(" #\n", line[0]) != NULL;
}

static const char *find_line(const char *text, const char *name, size_t len)
{
    const char *line = text[0] ? text : NULL;
    while (line && !is_named(line, name, len))
        line = next_line(line);
    return line;
}

static struct place find(const char *text, const char *field)
{
    const char *dot = strchr(field, '.');
    struct place place = {.line = NULL};
    if (!dot) {
        place.line = find_line(text, field, strlen(field));
        return place;
    }
    place.group = find_line(text, field, (size_t)(dot - field));
    const char *line = place.group ? next_line(place.group) : NULL;
    while (line && is_inside(line) && !is_named(line + strspn(line, " "), dot + 1, strlen(dot + 1)))
        line = next_line(line);
    place.line = line && is_inside(line) ? line : NULL;
    return place;
}

/* As deep as the group's other lines are. */
static int indent_of(const struct place *place)
{
    const char *line = place->line ? place->line : place->group ? next_line(place->group) : NULL;
    size_t depth = line ? strspn(line, " ") : 0;
    return depth > 0 && depth < 16 ? (int)depth : INDENT;
}

static void put_line(const struct place *place, const char *field, const char *value, struct kt_text *t)
{
    const char *dot = strchr(field, '.');
    if (dot && !place->line && !place->group)
        kt_text_add(t, "%.*s:\n", (int)(dot - field), field);
    kt_text_add(t, "%*s%s: %s\n", dot ? indent_of(place) : 0, "", dot ? dot + 1 : field, value);
}

static void put_changed(struct kt_slice before, const char *field, const char *value, struct kt_text *t)
{
    const char *text = (const char *)before.data;
    const char *end = text + before.len;
    const struct place place = find(text, field);
    const char *from = place.line ? place.line : place.group ? end_of(place.group) : end;
    const char *rest = place.line ? end_of(place.line) : from;
    kt_text_add_bytes(t, text, (size_t)(from - text));
    if (from > text && from[-1] != '\n')
        kt_text_add(t, "\n");
    put_line(&place, field, value, t);
    kt_text_add_bytes(t, rest, (size_t)(end - rest));
}

static bool change(struct kt_bytes *text, const char *field, const char *value, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text t = {0};
    KT_CLEANUP_BYTES struct kt_bytes after = {0};
    kt_text_init(&t, KT_CONFIG_FILE_MAX);
    put_changed(kt_bytes_view(text), field, value, &t);
    if (!kt_text_take(&t, &after, err))
        return false;
    kt_bytes_done(text);
    *text = after;
    after = (struct kt_bytes){0};
    return true;
}

static bool read_file(const char *path, struct kt_bytes *ret, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_CONFIG_FILE_MAX, .owner = geteuid(), .forbidden_mode = 0022};
    return kt_file_read(AT_FDCWD, path, &rules, ret, err);
}

/* lines: what has changed, for the hint. */
static bool replace(const char *path, struct kt_slice text, const char *lines, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    KT_CLEANUP(kt_free_p) struct kt_config *parsed = calloc(1, sizeof(*parsed));
    if (!parsed)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!kt_config_parse(text, parsed, err)) {
        (void)kt_error_prefix(err, "%s, changed", path);
        return kt_error_hint(err, "write this into it by hand, then run the command again: %s", lines);
    }
    return kt_file_replace(AT_FDCWD, path, text, &attrs, err);
}

bool kt_config_edit_line(const char *path, const char *field, const char *value, struct kt_error *err)
{
    char line[LINES_LEN];
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    snprintf(line, sizeof(line), "%s: %s", field, value);
    return read_file(path, &text, err) && change(&text, field, value, err) &&
           replace(path, kt_bytes_view(&text), line, err);
}

/* As it is written in a file that has every field. Heap. */
static char *value_of(const struct kt_bytes *all, const char *field, struct kt_error *err)
{
    const char *line = find((const char *)all->data, field).line;
    const char *value = line ? strchr(line, ':') + 2 : "";
    char *copy = strndup(value, strcspn(value, "\n"));
    if (!copy)
        kt_fail(err, KT_E_NOMEM, "out of memory");
    return copy;
}

static bool change_from(struct kt_bytes *text, const char *field, const struct kt_bytes *all, char lines[LINES_LEN],
                        struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *value = value_of(all, field, err);
    size_t len = strlen(lines);
    if (!value)
        return false;
    snprintf(lines + len, LINES_LEN - len, "%s%s: %s", len ? "; " : "", field, value);
    return change(text, field, value, err);
}

bool kt_config_edit_from(const char *path, const char *const *fields, const struct kt_config *config,
                         struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes all = {0};
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    char lines[LINES_LEN] = "";
    if (!kt_config_format(config, &all, err) || !read_file(path, &text, err))
        return false;
    for (; *fields; fields++) {
        if (!change_from(&text, *fields, &all, lines, err))
            return false;
    }
    return replace(path, kt_bytes_view(&text), lines, err);
}
