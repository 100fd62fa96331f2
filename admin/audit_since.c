/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/audit_since.h"

#include "keystore/state_dir.h"

#include <stdlib.h>
#include <string.h>

struct search {
    struct kt_audit_line *line;
    uint8_t prev[KT_HASH_LEN]; /* of the oldest line that was looked at */
    bool over;
    uint64_t found;
};

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    return len >= n && strcmp(text + len - n, end) == 0;
}

/* From the newest line to older ones. What is of a later version says nothing that this one could go by. */
static void look_at(struct search *search, struct kt_slice text)
{
    struct kt_error ignored = KT_ERROR_INIT;
    if (!kt_audit_parse(text, search->line, &ignored)) {
        search->over = true;
        return;
    }
    const struct kt_audit_line *line = search->line;
    memcpy(search->prev, line->prev, KT_HASH_LEN);
    bool proves = line->after.enabled && ends_with(line->claim.command, KT_AUDIT_ENCRYPTED);
    search->found = proves ? line->time : 0;
    search->over = proves || !line->after.enabled || (line->before.generation > 0 && !line->before.enabled) ||
                   line->event == KT_AUDIT_FOUNDED;
}

/* The line before `end`, without its LF; *end becomes its beginning. */
static struct kt_slice line_before(const struct kt_bytes *log, size_t *end)
{
    size_t to = *end > 0 && log->data[*end - 1] == '\n' ? *end - 1 : *end;
    size_t from = to;
    while (from > 0 && log->data[from - 1] != '\n')
        from--;
    *end = from;
    return KT_SLICE(log->data + from, to - from);
}

/* Each line must be the one that the next one names. Those of the tail are passed over. */
static bool look_into_log(struct search *search, const struct kt_bytes *log, struct kt_error *err)
{
    bool joined = false;
    for (size_t end = log->len; end > 0 && !search->over;) {
        struct kt_slice line = line_before(log, &end);
        uint8_t hash[KT_HASH_LEN];
        if (!kt_audit_hash(line, hash, err))
            return false;
        bool is_next = memcmp(hash, search->prev, KT_HASH_LEN) == 0;
        if (!is_next && joined)
            return true;
        joined = joined || is_next;
        if (is_next)
            look_at(search, line);
    }
    return true;
}

bool kt_audit_encrypted_since(const struct kt_audit_tail *tail, const char *state_dir, uint64_t *ret,
                              struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_audit_line *line = malloc(sizeof(*line));
    KT_CLEANUP_BYTES struct kt_bytes log = {.data = NULL};
    struct search search = {.line = line};
    struct kt_error unread = KT_ERROR_INIT;
    enum kt_file_state state = KT_FILE_ABSENT;
    *ret = 0;
    if (!line)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = tail ? tail->n : 0; i > 0 && !search.over; i--)
        look_at(&search, kt_audit_tail_line(tail, i - 1));
    if (!tail || tail->n == 0 || search.over) {
        *ret = search.found;
        return true;
    }
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = kt_state_dir_view(state_dir, err);
    if (!dir)
        return false;
    const struct kt_file_rules rules = kt_state_dir_rules(dir, KT_AUDIT_LOG_MAX);
    if (kt_audit_log_read(kt_state_dir_fd(dir), &rules, &log, &state, &unread) && !look_into_log(&search, &log, err))
        return false;
    *ret = search.found;
    return true;
}
