/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole audit log, as verify reads it: its first line is taken for the one that the keyring in force names, where it
 * is one. A line that is taken is written again as it was; a log of which nothing is found is one that has only that
 * line's chain in it.
 */
#include "fuzz.h"
#include "keystore/audit_log.h"
#include "keystore/audit_verify.h"

#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void try_line(struct kt_slice text, struct kt_audit_line *line)
{
    struct kt_audit_prefix prefix;
    struct kt_text again = {0};
    bool begins = kt_audit_prefix_parse(text, &prefix, NULL);
    if (!kt_audit_parse(text, line, NULL))
        return;
    must(begins && prefix.seq == line->seq);
    kt_text_init(&again, KT_AUDIT_LINE_MAX);
    kt_audit_emit(line, &again);
    must(!again.bad && kt_slice_equal(text, KT_SLICE(again.data, again.len)));
    kt_text_done(&again);
}

static void try_log(struct kt_slice log, struct kt_audit_tail *tail, struct kt_audit_report *report)
{
    struct kt_audit_evidence evidence = {.log = log, .absent = log.len == 0, .node = "node-2", .tail = tail};
    struct kt_slice rest = log;
    struct kt_audit_row first = {.whole = false};
    struct kt_audit_prefix prefix;
    evidence.keyring.which = (struct kt_floor){.membership = 1, .generation = 9};
    if (kt_audit_row_next(&rest, &first) && kt_audit_prefix_parse(first.text, &prefix, NULL) &&
        kt_audit_tail_add(tail, first.text))
        must(kt_audit_hash(first.text, evidence.keyring.head, NULL));
    must(kt_audit_verify(&evidence, report, NULL));
    must(report->n_findings > 0 || report->rows <= 1);
    must(report->rows <= log.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_audit_line *line = calloc(1, sizeof *line);
    struct kt_audit_tail *tail = calloc(1, sizeof *tail);
    struct kt_audit_report *report = calloc(1, sizeof *report);
    struct kt_slice rest = KT_SLICE(data, size);
    struct kt_audit_row row;
    must(line && tail && report);
    while (kt_audit_row_next(&rest, &row))
        try_line(row.text, line);
    try_log(KT_SLICE(data, size), tail, report);
    free(line);
    free(tail);
    free(report);
    return 0;
}
