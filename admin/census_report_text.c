/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/census_report.h"
#include "admin/command.h"
#include "base/printable.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH_MAX 64
#define AGE_MAX   24u

struct cells {
    char kind[2 * KT_STORAGE_SEGMENT_MAX + 1];
    char key[KT_UNDER_MAX];
    char age[AGE_MAX];
    const char *state;
};

static void format_age(uint64_t created, uint64_t now, char ret[AGE_MAX])
{
    uint64_t age = now > created ? now - created : 0;
    if (created == 0)
        (void)snprintf(ret, AGE_MAX, "-");
    else if (age >= 86400)
        (void)snprintf(ret, AGE_MAX, "%" PRIu64 "d", age / 86400);
    else if (age >= 3600)
        (void)snprintf(ret, AGE_MAX, "%" PRIu64 "h", age / 3600);
    else
        (void)snprintf(ret, AGE_MAX, "%" PRIu64 "m", age / 60);
}

static void fill(const struct kt_look *look, const struct kt_tally_row *row, struct cells *ret)
{
    char kind[2 * KT_STORAGE_SEGMENT_MAX + 1];
    (void)snprintf(kind, sizeof(kind), "%s%s%s", row->resource, row->group[0] ? "." : "", row->group);
    (void)snprintf(ret->kind, sizeof(ret->kind), "%.1024s", KT_PRINTABLE(kind));
    kt_census_under(row, ret->key);
    if (row->problem)
        (void)snprintf(ret->key, sizeof(ret->key), "unknown: %s", row->problem);
    format_age(kt_census_created(look, row), look->census->at_real, ret->age);
    ret->state = kt_census_state(look, row);
}

static int wider(int width, const char *text)
{
    int len = (int)strlen(text);
    len = len < WIDTH_MAX ? len : WIDTH_MAX;
    return len > width ? len : width;
}

static bool print_table(const struct kt_look *look, struct kt_error *err)
{
    size_t n = 0;
    const struct kt_tally_row *const *rows = kt_tally_rows(look->census->tally, &n);
    KT_CLEANUP(kt_free_p) struct cells *cells = calloc(1, sizeof(*cells));
    int kind = (int)strlen("RESOURCE"), key = (int)strlen("STORED AS");
    if (!cells)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        fill(look, rows[i], cells);
        kind = wider(kind, cells->kind);
        key = wider(key, cells->key);
    }
    printf("%-*s  %-*s  %-10s  %5s  %10s\n", kind, "RESOURCE", key, "STORED AS", "STATE", "AGE", "OBJECTS");
    for (size_t i = 0; i < n; i++) {
        fill(look, rows[i], cells);
        printf("%-*s  %-*s  %-10s  %5s  %10" PRIu64 "\n", kind, cells->kind, key, cells->key, cells->state, cells->age,
               rows[i]->count);
    }
    return true;
}

/* ---- a backup ---- */

static const char *checked(const struct kt_snapshot_told *told)
{
    if (told->format == KT_SNAPSHOT_KINE && !told->has_log)
        return "a database of kine; sqlite's own check finds it whole (it has no checksum); no log (-wal) lies beside "
               "it: "
               "what one had is not counted";
    if (told->format == KT_SNAPSHOT_KINE)
        return "a database of kine; sqlite's own check finds it whole (it has no checksum)";
    return told->summed ? "a backup of etcd; its SHA-256 is right"
                        : "a file of etcd without a checksum; its pages are whole, what they hold was not verified";
}

const char *kt_census_can_be_read(const struct kt_census_report *report)
{
    if (report->needs->objects[KT_HELD_MISSING] > 0 || report->found->objects[KT_CENSUS_UNKNOWN] > 0)
        return "no";
    return report->needs->objects[KT_HELD_ARCHIVE] > 0 ? "archive" : "yes";
}

static void print_needs(const struct kt_census_report *report)
{
    char under[KT_UNDER_MAX];
    const struct kt_needs *needs = report->needs;
    int key = (int)strlen("NEEDED KEY");
    for (size_t i = 0; i < needs->n; i++) {
        kt_census_under(needs->items[i].row, under);
        key = wider(key, under);
    }
    if (needs->n > 0)
        printf("\n%-*s  %-11s  %10s\n", key, "NEEDED KEY", "IS IN", "OBJECTS");
    for (size_t i = 0; i < needs->n; i++) {
        const struct kt_need *need = &needs->items[i];
        kt_census_under(need->row, under);
        printf("%-*s  %-11s  %10" PRIu64 "\n", key, under, kt_held_text(need->held), need->count);
    }
}

static void print_verdict(const struct kt_census_report *report)
{
    const uint64_t *objects = report->needs->objects;
    uint64_t unknown = report->found->objects[KT_CENSUS_UNKNOWN];
    if (objects[KT_HELD_MISSING] > 0)
        printf("\nit cannot be read whole: the keys of %" PRIu64 " objects are missing\n", objects[KT_HELD_MISSING]);
    else if (unknown > 0)
        printf("\nit is not known whether it can be read: %" PRIu64
               " objects are stored as nothing that is understood\n",
               unknown);
    else if (objects[KT_HELD_ARCHIVE] > 0)
        printf("\nit cannot be read with the keys that are served: %" PRIu64
               " objects need keys that are in the archive\n"
               "alone; they come back with: keyturn key restore --for-snapshot FILE\n",
               objects[KT_HELD_ARCHIVE]);
    else
        printf("\nit can be read with the keys that are served\n");
}

static void print_backup(const struct kt_census_report *report)
{
    const struct kt_census *census = report->look->census;
    if (!census->file)
        return;
    printf("%s: %s\n", KT_PRINTABLE(census->file), checked(&census->saved));
    print_needs(report);
    print_verdict(report);
}

bool kt_census_print_text(const struct kt_census_report *report, struct kt_error *err)
{
    const struct kt_look *look = report->look;
    const struct kt_census *census = look->census;
    if (!print_table(look, err))
        return false;
    printf("\n%" PRIu64 " objects below %.*s at revision %" PRId64 ": all of them\n", kt_tally_objects(census->tally),
           (int)kt_tally_prefix(census->tally).len, (const char *)kt_tally_prefix(census->tally).data,
           kt_census_revision(census));
    if (census->live.astray > 0)
        printf("%" PRIu64 " more are on servers where kube-apiserver does not look for them\n", census->live.astray);
    if (!look->rules.known)
        printf("no EncryptionConfiguration is known (--encryption-config): nothing says what should be encrypted\n");
    for (enum kt_census_kind kind = 0; kind < KT_CENSUS_KINDS; kind++)
        if (report->found->objects[kind] > 0)
            printf("%s: %" PRIu64 " %s\n", kt_census_kind_word(kind), report->found->objects[kind],
                   kt_census_kind_text(kind));
    print_backup(report);
    if (report->objects) {
        putchar('\n');
        if (!kt_census_objects_print(report->objects, err))
            return false;
    }
    return kt_output_done(err);
}
