/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/sqlite_log.h"

#include "base/buf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER        32u
#define FRAME         24u         /* and a page behind it */
#define SUMMED        8u          /* of a frame's header: page number, size of the database */
#define MAGIC         0x377f0682u /* its last bit: the words that are summed are big-endian */
#define PAGE_SIZE_MIN 512u
#define PAGE_SIZE_MAX 65536u

struct log {
    bool big_endian;
    uint32_t page_size;
    uint8_t salt[8];
    uint32_t sum[2];
};

static uint32_t word_at(const uint8_t *at, bool big_endian)
{
    uint32_t v = 0;
    memcpy(&v, at, sizeof(v));
    return big_endian ? __builtin_bswap32(v) : v;
}

static void add(struct log *log, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i + 8 <= n; i += 8) {
        log->sum[0] += word_at(bytes + i, log->big_endian) + log->sum[1];
        log->sum[1] += word_at(bytes + i + 4, log->big_endian) + log->sum[0];
    }
}

static bool is_sum(const struct log *log, const uint8_t *at)
{
    return word_at(at, true) == log->sum[0] && word_at(at + 4, true) == log->sum[1];
}

static bool fail(struct kt_error *err, const char *what, uint64_t frame)
{
    kt_fail(err, KT_E_IO, "damaged: of its log (-wal) frame %" PRIu64 " %s", frame, what);
    return kt_error_hint(err,
                         "stop what writes it, then copy both files; or have sqlite make the copy: sqlite3 state.db "
                         "\".backup copy.db\"");
}

static bool read_header(int fd, struct log *ret, struct kt_error *err)
{
    uint8_t header[HEADER] = {0};
    if (pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
        return kt_fail_errno(err, KT_E_IO, "reading its log (-wal)");
    uint32_t magic = word_at(header, true);
    *ret = (struct log){.big_endian = (magic & 1) != 0, .page_size = word_at(header + 8, true)};
    memcpy(ret->salt, header + 16, sizeof(ret->salt));
    add(ret, header, 24);
    bool good = (magic & ~1u) == MAGIC && ret->page_size >= PAGE_SIZE_MIN && ret->page_size <= PAGE_SIZE_MAX &&
                is_sum(ret, header + 24);
    return good || kt_fail(err, KT_E_IO, "damaged: its log (-wal) does not begin as one of sqlite");
}

struct state {
    uint64_t good;  /* frames from the beginning */
    bool over;      /* the first that is not: what stands behind is of an earlier log */
    bool committed; /* the last good one ends a change */
};

static bool take_frame(struct log *log, const uint8_t *frame, uint64_t number, struct state *state,
                       struct kt_error *err)
{
    bool ours = memcmp(frame + SUMMED, log->salt, sizeof(log->salt)) == 0;
    if (ours && state->over)
        return fail(err, "stands behind one that is not of this log", number);
    state->over = !ours;
    if (!ours)
        return true;
    add(log, frame, SUMMED);
    add(log, frame + FRAME, log->page_size);
    if (!is_sum(log, frame + SUMMED + sizeof(log->salt)))
        return fail(err, "has another checksum", number);
    state->good++;
    state->committed = word_at(frame + 4, true) != 0;
    return true;
}

bool kt_sqlite_log_check(int fd, uint64_t size, struct kt_error *err)
{
    struct log log = {.page_size = 0};
    struct state state = {.committed = true};
    if (size == 0)
        return true;
    if (size < HEADER)
        return kt_fail(err, KT_E_IO, "damaged: its log (-wal) is cut");
    if (!read_header(fd, &log, err))
        return false;
    size_t length = FRAME + log.page_size;
    uint64_t frames = (size - HEADER) / length;
    KT_CLEANUP(kt_free_p) uint8_t *frame = malloc(length);
    if (!frame)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (uint64_t i = 0; i < frames; i++) {
        if (pread(fd, frame, length, (off_t)(HEADER + i * length)) != (ssize_t)length)
            return kt_fail_errno(err, KT_E_IO, "reading its log (-wal)");
        if (!take_frame(&log, frame, i + 1, &state, err))
            return false;
    }
    if ((size - HEADER) % length != 0)
        return fail(err, "is cut", frames + 1);
    return state.committed || fail(err, "is of a change that has no end", state.good);
}
