/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/config_edit.h"

#include "base/file.h"

#include <fcntl.h>
#include <string.h>

/* Where the field's line begins; NULL: it has none. */
static const char *find_line(const char *text, const char *field)
{
    size_t len = strlen(field);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, field, len) == 0 && line[len] == ':')
            return line;
    return NULL;
}

static void put_changed(const struct kt_bytes *before, const char *field, const char *value, struct kt_text *t)
{
    const char *text = (const char *)before->data;
    const char *line = find_line(text, field);
    const char *rest = line ? strchr(line, '\n') : NULL;
    size_t head = line ? (size_t)(line - text) : before->len;
    kt_text_add_bytes(t, text, head);
    if (!line && before->len > 0 && text[before->len - 1] != '\n')
        kt_text_add(t, "\n");
    kt_text_add(t, "%s: %s\n", field, value);
    if (rest)
        kt_text_add_bytes(t, rest + 1, before->len - (size_t)(rest + 1 - text));
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
