/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/audit_since.h"

#include "keystore/state_dir.h"

#include <stdlib.h>
#include <string.h>

struct walk {
    kt_audit_visit *visit;
    void *context;
    struct kt_audit_line *line;
    uint8_t prev[KT_HASH_LEN]; /* of the oldest line that was looked at */
    bool over;
};

/* What is of a later version says nothing that this one could go by. */
static void look_at(struct walk *walk, struct kt_slice text)
{
    struct kt_error ignored = KT_ERROR_INIT;
    if (!kt_audit_parse(text, walk->line, &ignored)) {
        walk->over = true;
        return;
    }
    memcpy(walk->prev, walk->line->prev, KT_HASH_LEN);
    walk->over = !walk->visit(walk->context, walk->line);
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
static bool look_into_log(struct walk *walk, const struct kt_bytes *log, struct kt_error *err)
{
    bool joined = false;
    for (size_t end = log->len; end > 0 && !walk->over;) {
        struct kt_slice line = line_before(log, &end);
        uint8_t hash[KT_HASH_LEN];
        if (!kt_audit_hash(line, hash, err))
            return false;
        bool is_next = memcmp(hash, walk->prev, KT_HASH_LEN) == 0;
        if (!is_next && joined)
            return true;
        joined = joined || is_next;
        if (is_next)
            look_at(walk, line);
    }
    return true;
}

bool kt_audit_walk(const struct kt_audit_tail *tail, const char *state_dir, kt_audit_visit *visit, void *context,
                   struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_audit_line *line = malloc(sizeof(*line));
    KT_CLEANUP_BYTES struct kt_bytes log = {.data = NULL};
    struct walk walk = {.visit = visit, .context = context, .line = line};
    struct kt_error unread = KT_ERROR_INIT;
    enum kt_file_state state = KT_FILE_ABSENT;
    if (!line)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = tail ? tail->n : 0; i > 0 && !walk.over; i--)
        look_at(&walk, kt_audit_tail_line(tail, i - 1));
    if (!tail || tail->n == 0 || walk.over)
        return true;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = kt_state_dir_view(state_dir, err);
    if (!dir)
        return false;
    const struct kt_file_rules rules = kt_state_dir_rules(dir, KT_AUDIT_LOG_MAX);
    return !kt_audit_log_read(kt_state_dir_fd(dir), &rules, &log, &state, &unread) || look_into_log(&walk, &log, err);
}

/* ---- since when nothing is in clear ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    return len >= n && strcmp(text + len - n, end) == 0;
}

static bool find_encrypted(void *context, const struct kt_audit_line *line)
{
    uint64_t *found = context;
    bool proves = line->after.enabled && ends_with(line->claim.command, KT_AUDIT_ENCRYPTED);
    *found = proves ? line->time : 0;
    return !(proves || !line->after.enabled || (line->before.generation > 0 && !line->before.enabled) ||
             line->event == KT_AUDIT_FOUNDED);
}

bool kt_audit_encrypted_since(const struct kt_audit_tail *tail, const char *state_dir, uint64_t *ret,
                              struct kt_error *err)
{
    *ret = 0;
    return kt_audit_walk(tail, state_dir, find_encrypted, ret, err);
}
