/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/audit_verify.h"

#include "keystore/audit_log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    enum kt_audit_damage damage;
    const char *text;
} DAMAGES[] = {
    {KT_AUDIT_MISSING, "missing"},
    {KT_AUDIT_NOT_A_LINE, "not-a-line"},
    {KT_AUDIT_FOREIGN, "foreign"},
    {KT_AUDIT_BEGINNING_CUT, "beginning-cut"},
    {KT_AUDIT_LINES_MISSING, "lines-missing"},
    {KT_AUDIT_ALTERED, "altered"},
    {KT_AUDIT_OUT_OF_ORDER, "out-of-order"},
    {KT_AUDIT_TAIL_CUT, "tail-cut"},
    {KT_AUDIT_REWRITTEN, "rewritten"},
    {KT_AUDIT_NOT_VOUCHED_FOR, "not-vouched-for"},
    {KT_AUDIT_CUT_LINE, "cut-line"},
    {KT_AUDIT_SUPERSEDED, "superseded"},
    {KT_AUDIT_OLDER_KEYRING, "older-keyring"},
};

const char *kt_audit_damage_text(enum kt_audit_damage damage)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(DAMAGES); i++)
        if (DAMAGES[i].damage == damage)
            return DAMAGES[i].text;
    return "unknown";
}

/* One row, as far as it could be read. */
struct row {
    uint64_t number; /* 0: none */
    bool readable;
    struct kt_audit_prefix prefix;
    uint8_t hash[KT_HASH_LEN];
};

struct walk {
    const struct kt_audit_evidence *evidence;
    struct kt_audit_report *report;
    struct kt_audit_line *line; /* of the present row, where it is of this version */
    bool has_line;
    struct kt_floor begins; /* the generation of the first line that could be read; membership 0: none */
    struct row before;
    struct row row;
    uint64_t head_row; /* where the line is that the keyring names; 0: nowhere yet */
    bool head_seq_seen;
    uint64_t head_seq;    /* its number; 0: unknown */
    struct kt_slice torn; /* behind the last LF */
    bool seen[KT_AUDIT_ANCHORS_MAX];
};

static KT_PRINTF(3, 4) void find(struct walk *w, enum kt_audit_damage damage, const char *fmt, ...)
{
    struct kt_audit_report *report = w->report;
    va_list args;
    if (report->n_findings++ >= KT_AUDIT_FINDINGS_MAX)
        return;
    struct kt_audit_finding *finding = &report->findings[report->n_findings - 1];
    *finding = (struct kt_audit_finding){
        .damage = damage, .row = w->row.number, .seq = w->row.readable ? w->row.prefix.seq : 0};
    va_start(args, fmt);
    (void)vsnprintf(finding->message, sizeof finding->message, fmt, args);
    va_end(args);
}

/* A log may begin with line 1, or with the line that let this node in. */
static void check_beginning(struct walk *w)
{
    const struct kt_audit_line *line = w->line;
    uint64_t seq = w->row.prefix.seq;
    static const uint8_t zeros[KT_HASH_LEN];
    if (seq == 1 && memcmp(w->row.prefix.prev, zeros, KT_HASH_LEN) == 0)
        return;
    bool joins = w->has_line && (line->event == KT_AUDIT_NODE_ADDED || line->event == KT_AUDIT_NODE_REPLACED) &&
                 strcmp(line->subject, w->evidence->node) == 0;
    if (!joins)
        find(w, KT_AUDIT_BEGINNING_CUT,
             "the log begins with line %" PRIu64 ": expected line 1, or the one that let node %s in", seq,
             w->evidence->node);
}

static void check_link(struct walk *w)
{
    const struct row *before = &w->before;
    uint64_t expected = before->prefix.seq + 1;
    uint64_t seq = w->row.prefix.seq;
    if (seq == expected && memcmp(w->row.prefix.prev, before->hash, KT_HASH_LEN) == 0)
        return;
    if (seq == expected)
        find(w, KT_AUDIT_ALTERED,
             "line %" PRIu64 " was written after another line %" PRIu64 " than stands before it: one of the two was "
             "altered or put there",
             seq, before->prefix.seq);
    else if (seq > expected)
        find(w, KT_AUDIT_LINES_MISSING, "lines %" PRIu64 " to %" PRIu64 " are missing before this one", expected,
             seq - 1);
    else
        find(w, KT_AUDIT_OUT_OF_ORDER,
             "line %" PRIu64 " stands after line %" PRIu64 ": inserted, repeated or moved, or of a generation that "
             "another one took the place of",
             seq, before->prefix.seq);
}

static bool is_of(const struct kt_audit_state *state, const struct kt_floor *which)
{
    return state->membership == which->membership && state->generation == which->generation;
}

static void check_anchor(struct walk *w, size_t i)
{
    const struct kt_audit_anchor *anchor = &w->evidence->superseded[i];
    if (is_of(&w->line->after, &anchor->which) && memcmp(w->row.hash, anchor->head, KT_HASH_LEN) == 0)
        w->seen[i] = true;
    if (is_of(&w->line->before, &anchor->which) && memcmp(w->line->before.hash, anchor->which.hash, KT_HASH_LEN) != 0)
        find(w, KT_AUDIT_SUPERSEDED, "line %" PRIu64 " was not written over %s, though that has the same numbers",
             w->line->seq, anchor->name);
}

static void check_line(struct walk *w)
{
    if (!w->has_line)
        return;
    if (w->begins.membership == 0)
        w->begins = (struct kt_floor){.membership = w->line->after.membership, .generation = w->line->after.generation};
    if (memcmp(w->line->keyring_id, w->evidence->keyring.which.keyring_id, KT_KEYRING_ID_LEN) != 0)
        find(w, KT_AUDIT_FOREIGN, "line %" PRIu64 " is of another keyring", w->line->seq);
    for (size_t i = 0; i < w->evidence->n_superseded; i++)
        check_anchor(w, i);
}

static bool read_row(struct walk *w, const struct kt_audit_row *row, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    w->before = w->row;
    w->row = (struct row){.number = w->before.number + 1};
    w->has_line = false;
    if (!kt_audit_hash(row->text, w->row.hash, err))
        return false;
    if (!kt_audit_prefix_parse(row->text, &w->row.prefix, &why)) {
        find(w, KT_AUDIT_NOT_A_LINE, "not a line of an audit log: %.150s", why.message);
        return true;
    }
    if (w->row.prefix.version > KT_AUDIT_VERSION) {
        w->report->newer++;
    } else if (!kt_audit_parse(row->text, w->line, &why)) {
        find(w, KT_AUDIT_NOT_A_LINE, "not a line of an audit log: %.150s", why.message);
        return true;
    } else {
        w->has_line = true;
    }
    w->row.readable = true;
    return true;
}

/* What is wrong beside a row that cannot be read was told there. */
static bool check_row(struct walk *w, const struct kt_audit_row *row, struct kt_error *err)
{
    if (!read_row(w, row, err))
        return false;
    w->report->rows++;
    if (memcmp(w->row.hash, w->evidence->keyring.head, KT_HASH_LEN) == 0 && w->head_row == 0)
        w->head_row = w->row.number;
    if (!w->row.readable)
        return true;
    if (w->before.number == 0)
        check_beginning(w);
    else if (w->before.readable)
        check_link(w);
    check_line(w);
    if (w->report->first == 0)
        w->report->first = w->row.prefix.seq;
    w->report->last = w->row.prefix.seq;
    if (w->row.prefix.seq == w->head_seq)
        w->head_seq_seen = true;
    return true;
}

/* Is that line of the tail one whose generation is above the floor? Then an install was cut short before it. */
static bool is_above_floor(const struct walk *w, size_t i)
{
    const struct kt_floor *floor = &w->evidence->floor;
    if (!kt_audit_parse(kt_audit_tail_line(w->evidence->tail, i), w->line, NULL))
        return false;
    return floor->membership == 0 || kt_keyring_compare(w->line->after.membership, w->line->after.generation,
                                                        floor->membership, floor->generation) > 0;
}

/* How many lines at the end of the tail the log lacks; all, if it has none of them. */
static bool count_lacking(const struct walk *w, size_t *ret, struct kt_error *err)
{
    const struct kt_audit_tail *tail = w->evidence->tail;
    size_t n = 0;
    for (; n < tail->n; n++) {
        uint8_t hash[KT_HASH_LEN] = {0};
        if (!kt_audit_hash(kt_audit_tail_line(tail, tail->n - 1 - n), hash, err))
            return false;
        if (w->row.readable && memcmp(hash, w->row.hash, KT_HASH_LEN) == 0)
            break;
    }
    *ret = n;
    return true;
}

static bool is_beginning_of(struct kt_slice torn, struct kt_slice line)
{
    return torn.len <= line.len && memcmp(torn.data, line.data, torn.len) == 0;
}

/* A kill between keyring.yaml and floor: everything that is lacking, and nothing else, is still due. */
static bool is_due(const struct walk *w, size_t lacking)
{
    const struct kt_audit_tail *tail = w->evidence->tail;
    size_t first = tail->n - lacking;
    if (lacking == 0 || lacking > tail->n || (lacking == tail->n && !w->evidence->absent))
        return false;
    for (size_t i = first; i < tail->n; i++)
        if (!is_above_floor(w, i))
            return false;
    return w->torn.len == 0 || is_beginning_of(w->torn, kt_audit_tail_line(tail, first));
}

static void find_tail(struct walk *w, size_t lacking)
{
    const struct kt_audit_tail *tail = w->evidence->tail;
    w->row = (struct row){.number = 0};
    if (w->evidence->absent)
        find(w, KT_AUDIT_MISSING, "there is no audit.log, but the keyring in force names line %" PRIu64, w->head_seq);
    else if (lacking < tail->n)
        find(w, KT_AUDIT_TAIL_CUT,
             "the log ends with line %" PRIu64 ", but the keyring in force names line %" PRIu64
             "; it carries what is missing: the next start of keyturnd appends it",
             w->report->last, w->head_seq);
    else if (w->head_seq_seen)
        find(w, KT_AUDIT_REWRITTEN,
             "line %" PRIu64 " is not the one that the keyring in force names: altered, or the log was made anew",
             w->head_seq);
    else
        find(w, KT_AUDIT_TAIL_CUT,
             "the log ends with line %" PRIu64 ", but the keyring in force names line %" PRIu64
             ": its end was cut off, or altered",
             w->report->last, w->head_seq);
}

static bool check_end(struct walk *w, struct kt_error *err)
{
    size_t lacking = 0;
    if (w->head_row > 0 || w->head_seq == 0) {
        if (w->row.number > w->head_row)
            find(w, KT_AUDIT_NOT_VOUCHED_FOR,
                 "the keyring in force vouches for the first %" PRIu64 " rows: what follows was put there, or "
                 "keyring.yaml is an older one",
                 w->head_row);
        return true;
    }
    if (!count_lacking(w, &lacking, err))
        return false;
    if (is_due(w, lacking)) {
        w->report->due = lacking;
        w->torn.len = 0;
    } else {
        find_tail(w, lacking);
    }
    return true;
}

static bool is_newer(const struct kt_floor *a, const struct kt_floor *b)
{
    return kt_keyring_compare(a->membership, a->generation, b->membership, b->generation) > 0;
}

static void check_keyring(struct walk *w)
{
    const struct kt_floor *floor = &w->evidence->floor;
    const struct kt_floor *which = &w->evidence->keyring.which;
    bool fork = floor->membership == which->membership && floor->generation == which->generation &&
                memcmp(floor->hash, which->hash, KT_HASH_LEN) != 0;
    w->row = (struct row){.number = 0};
    if (fork || is_newer(floor, which))
        find(w, KT_AUDIT_OLDER_KEYRING,
             "keyring.yaml is not the newest that this node had (generation %" PRIu64 "): the log cannot be held "
             "against it",
             floor->generation);
}

/* Those from before the log begins say nothing about it. */
static void check_superseded(struct walk *w)
{
    w->row = (struct row){.number = 0};
    for (size_t i = 0; i < w->evidence->n_superseded; i++) {
        const struct kt_audit_anchor *anchor = &w->evidence->superseded[i];
        static const uint8_t zeros[KT_HASH_LEN];
        if (!w->seen[i] && !is_newer(&w->begins, &anchor->which) && memcmp(anchor->head, zeros, KT_HASH_LEN) != 0)
            find(w, KT_AUDIT_SUPERSEDED, "the log does not have the line that %s names as the newest of its time",
                 anchor->name);
    }
}

static bool walk_log(struct walk *w, struct kt_error *err)
{
    struct kt_slice rest = w->evidence->log;
    check_keyring(w);
    struct kt_audit_row row = {.whole = false};
    while (kt_audit_row_next(&rest, &row)) {
        if (!row.whole) {
            w->torn = row.text;
            break;
        }
        if (!check_row(w, &row, err))
            return false;
    }
    if (!check_end(w, err))
        return false;
    w->row = (struct row){.number = w->report->rows + 1};
    if (w->torn.len > 0)
        find(w, KT_AUDIT_CUT_LINE, "the last line has no end: %zu bytes without a line feed", w->torn.len);
    check_superseded(w);
    return true;
}

bool kt_audit_verify(const struct kt_audit_evidence *evidence, struct kt_audit_report *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_audit_line *line = calloc(1, sizeof *line);
    struct walk w = {.evidence = evidence, .report = ret, .line = line};
    struct kt_audit_prefix last = {.seq = 0};
    if (!line)
        return kt_fail(err, KT_E_NOMEM, "out of memory for a line of the audit log");
    *ret = (struct kt_audit_report){.rows = 0};
    if (!kt_audit_tail_check(evidence->tail, evidence->keyring.head, &last, err))
        return false;
    w.head_seq = last.seq;
    return walk_log(&w, err);
}
