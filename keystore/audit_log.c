/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

bool kt_audit_row_next(struct kt_slice *rest, struct kt_audit_row *ret)
{
    if (rest->len == 0)
        return false;
    const uint8_t *lf = memchr(rest->data, '\n', rest->len);
    size_t len = lf ? (size_t)(lf - rest->data) : rest->len;
    size_t taken = lf ? len + 1 : len;
    *ret = (struct kt_audit_row){.text = KT_SLICE(rest->data, len), .whole = lf != NULL};
    *rest = KT_SLICE(rest->data + taken, rest->len - taken);
    return true;
}

bool kt_audit_log_read(int dir, const struct kt_file_rules *rules, struct kt_bytes *ret, enum kt_file_state *ret_state,
                       struct kt_error *err)
{
    struct kt_file_rules own = *rules;
    own.max = KT_AUDIT_LOG_MAX;
    return kt_file_read_if(dir, KT_AUDIT_LOG, &own, ret, ret_state, err);
}

/* What a log lacks of the tail. */
struct lack {
    size_t first;         /* line first of the tail is the next one; n: it lacks nothing */
    bool known;           /* one of the tail's lines is in the log */
    struct kt_slice torn; /* behind the last LF */
};

static bool hash_tail(const struct kt_audit_tail *tail, uint8_t ret[KT_AUDIT_LINES_MAX][KT_HASH_LEN],
                      struct kt_error *err)
{
    for (size_t i = 0; i < tail->n; i++)
        if (!kt_audit_hash(kt_audit_tail_line(tail, i), ret[i], err))
            return false;
    return true;
}

/* Lines of the tail are seldom more than the log's last; but somebody may have written behind them. */
static bool find_lack(struct kt_slice log, const struct kt_audit_tail *tail, struct lack *ret, struct kt_error *err)
{
    uint8_t hashes[KT_AUDIT_LINES_MAX][KT_HASH_LEN] = {{0}};
    struct kt_audit_row row = {.whole = false};
    struct lack lack = {.first = 0};
    if (!hash_tail(tail, hashes, err))
        return false;
    while (kt_audit_row_next(&log, &row)) {
        uint8_t hash[KT_HASH_LEN] = {0};
        if (!row.whole) {
            lack.torn = row.text;
            break;
        }
        if (!kt_audit_hash(row.text, hash, err))
            return false;
        for (size_t i = lack.known ? lack.first : 0; i < tail->n; i++)
            if (memcmp(hash, hashes[i], KT_HASH_LEN) == 0) {
                lack.known = true;
                lack.first = i + 1;
            }
    }
    *ret = lack;
    return true;
}

static void put_lines(const struct kt_audit_tail *tail, size_t first, struct kt_text *t)
{
    for (size_t i = first; i < tail->n; i++) {
        struct kt_slice line = kt_audit_tail_line(tail, i);
        kt_text_add_bytes(t, line.data, line.len);
        kt_text_add(t, "\n");
    }
}

/* The bytes to append. A line whose write was cut short is gone on with; anything else without its LF gets one. */
static void put_missing(const struct kt_audit_tail *tail, const struct lack *lack, struct kt_text *t)
{
    struct kt_slice torn = lack->torn;
    put_lines(tail, lack->first, t);
    if (torn.len == 0 || t->bad)
        return;
    if (torn.len < t->len && memcmp(t->data, torn.data, torn.len) == 0) {
        memmove(t->data, t->data + torn.len, t->len - torn.len);
        t->len -= torn.len;
        return;
    }
    kt_text_add(t, "\n");
    if (t->bad)
        return;
    memmove(t->data + 1, t->data, t->len - 1);
    t->data[0] = '\n';
}

static bool fail_write(struct kt_error *err)
{
    (void)kt_fail_errno(err, errno == EACCES || errno == EPERM ? KT_E_PERMISSION : KT_E_IO,
                        KT_AUDIT_LOG ": cannot be written");
    return kt_error_hint(err, "its lines are in keyring.yaml meanwhile; once it can be written, it is completed");
}

static bool write_whole(int fd, struct kt_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = KT_SLICE(bytes.data + n, bytes.len - (size_t)n);
    }
    return true;
}

static bool append(int dir, struct kt_slice bytes, struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p)
    int fd = openat(dir, KT_AUDIT_LOG, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return (fd >= 0 && write_whole(fd, bytes) && fsync(fd) == 0) || fail_write(err);
}

static bool append_missing(const struct kt_audit_place *place, const struct kt_audit_tail *tail, size_t log_len,
                           const struct lack *lack, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text text = {0};
    if (lack->first == tail->n) /* perhaps by an install that was killed before its fsync */
        return kt_file_sync(place->dir, KT_AUDIT_LOG, err);
    kt_text_init(&text, (size_t)2 * KT_AUDIT_TAIL_MAX);
    put_missing(tail, lack, &text);
    if (text.bad)
        return kt_fail(err, KT_E_NOMEM, "out of memory for lines of the audit log");
    if (log_len + text.len > KT_AUDIT_LOG_MAX)
        return kt_fail(err, KT_E_REFUSED, KT_AUDIT_LOG ": has %zu bytes, the most that there may be", log_len);
    return append(place->dir, KT_SLICE(text.data, text.len), err);
}

static bool create(const struct kt_audit_place *place, const struct kt_audit_tail *tail, size_t from,
                   struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text text = {0};
    kt_text_init(&text, (size_t)2 * KT_AUDIT_TAIL_MAX);
    put_lines(tail, from, &text);
    if (text.bad)
        return kt_fail(err, KT_E_NOMEM, "out of memory for lines of the audit log");
    return kt_file_create(place->dir, KT_AUDIT_LOG, KT_SLICE(text.data, text.len), &place->attrs, err);
}

bool kt_audit_log_append(const struct kt_audit_place *place, const struct kt_audit_tail *tail, size_t from, bool whole,
                         struct kt_audit_appended *ret)
{
    KT_CLEANUP_BYTES struct kt_bytes log = {.data = NULL};
    enum kt_file_state state = KT_FILE_ABSENT;
    struct lack lack = {.first = from};
    struct kt_error *err = &ret->trouble;
    *ret = (struct kt_audit_appended){.first = tail->n, .n = tail->n, .trouble = KT_ERROR_INIT};
    if (tail->n == 0)
        return true;
    if (!kt_audit_log_read(place->dir, &place->rules, &log, &state, err) ||
        (state == KT_FILE_READ && !find_lack(kt_bytes_view(&log), tail, &lack, err)))
        return false;
    ret->gap = state == KT_FILE_ABSENT ? !whole : !lack.known && lack.first < tail->n;
    if (state == KT_FILE_ABSENT ? !create(place, tail, from, err) : !append_missing(place, tail, log.len, &lack, err))
        return false;
    ret->first = lack.first;
    return true;
}
