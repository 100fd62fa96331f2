/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/config_edit.h"

#include "base/file.h"

#include <fcntl.h>
#include <string.h>

#define INDENT 2

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

static void put_changed(const struct kt_bytes *before, const char *field, const char *value, struct kt_text *t)
{
    const char *text = (const char *)before->data;
    const char *end = text + before->len;
    const struct place place = find(text, field);
    const char *from = place.line ? place.line : place.group ? end_of(place.group) : end;
    const char *rest = place.line ? end_of(place.line) : from;
    kt_text_add_bytes(t, text, (size_t)(from - text));
    if (from > text && from[-1] != '\n')
        kt_text_add(t, "\n");
    put_line(&place, field, value, t);
    kt_text_add_bytes(t, rest, (size_t)(end - rest));
}

bool kt_config_edit_line(const char *path, const char *field, const char *value, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_CONFIG_FILE_MAX, .owner = geteuid(), .forbidden_mode = 0022};
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    KT_CLEANUP(kt_free_p) struct kt_config *parsed = calloc(1, sizeof(*parsed));
    KT_CLEANUP(kt_text_done) struct kt_text t = {0};
    KT_CLEANUP_BYTES struct kt_bytes before = {0};
    KT_CLEANUP_BYTES struct kt_bytes after = {0};
    if (!parsed)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!kt_file_read(AT_FDCWD, path, &rules, &before, err))
        return false;
    kt_text_init(&t, KT_CONFIG_FILE_MAX);
    put_changed(&before, field, value, &t);
    if (!kt_text_take(&t, &after, err))
        return false;
    if (!kt_config_parse(kt_bytes_view(&after), parsed, err)) {
        (void)kt_error_prefix(err, "%s with another line `%s`", path, field);
        return kt_error_hint(err, "write it by hand: %s: %s", field, value);
    }
    return kt_file_replace(AT_FDCWD, path, kt_bytes_view(&after), &attrs, err);
}

bool kt_config_edit_from(const char *path, const char *field, const struct kt_config *config, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    if (!kt_config_format(config, &text, err))
        return false;
    const char *line = find((const char *)text.data, field).line;
    const char *value = line ? strchr(line, ':') + 2 : "";
    KT_CLEANUP(kt_free_p) char *copy = strndup(value, strcspn(value, "\n"));
    if (!copy)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    return kt_config_edit_line(path, field, copy, err);
}
