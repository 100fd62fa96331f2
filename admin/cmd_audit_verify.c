/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/audit_files.h"
#include "base/printable.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { OPTION_LOG = 0x200 };

static const struct argp_option own_options[] = {
    {.name = "log",
     .key = OPTION_LOG,
     .arg = "FILE",
     .doc = "Another log than the one of this node, held against this node's keyring"},
    {0},
};

struct verification {
    const char *file;
    struct kt_audit_files files;
    struct kt_audit_evidence evidence;
    struct kt_audit_report report;
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of kt_command_line.take */
static error_t take(int key, char *arg, void *closure)
{
    struct verification *v = closure;
    if (key != OPTION_LOG)
        return ARGP_ERR_UNKNOWN;
    v->file = arg;
    return arg[0] ? 0 : EINVAL;
}

static size_t n_kept(const struct kt_audit_report *report)
{
    return report->n_findings < KT_AUDIT_FINDINGS_MAX ? report->n_findings : KT_AUDIT_FINDINGS_MAX;
}

static void print_finding(const struct kt_audit_finding *finding)
{
    if (finding->row > 0)
        printf("row %" PRIu64 ": ", finding->row);
    printf("%s: %s\n", kt_audit_damage_text(finding->damage), KT_PRINTABLE(finding->message));
}

static void print_notes(const struct kt_audit_report *report)
{
    if (report->due > 0)
        printf("%" PRIu64 " more %s due: an install was cut short; the next start of keyturnd, or the same command "
               "again, appends %s.\n",
               report->due, report->due == 1 ? "line is" : "lines are", report->due == 1 ? "it" : "them");
    if (report->newer > 0)
        printf("%" PRIu64 " %s of a newer release: only the chain was checked there.\n", report->newer,
               report->newer == 1 ? "line is" : "lines are");
}

static void print_text(const struct verification *v)
{
    const struct kt_audit_report *report = &v->report;
    char head[KT_HASH_TEXT_LEN];
    for (size_t i = 0; i < n_kept(report); i++)
        print_finding(&report->findings[i]);
    if (report->n_findings > 0)
        return;
    kt_hash_format(v->evidence.keyring.head, head);
    if (report->rows > 0)
        printf("The audit log verifies: %" PRIu64 " line%s, %" PRIu64 " to %" PRIu64 ".\n", report->rows,
               report->rows == 1 ? "" : "s", report->first, report->last);
    else
        puts("The audit log verifies: it has no lines yet.");
    print_notes(report);
    printf("Head: %s, as the keyring in force has it (membership %" PRIu64 ", generation %" PRIu64 ").\n", head,
           v->evidence.keyring.which.membership, v->evidence.keyring.which.generation);
}

static json_t *findings_json(const struct kt_audit_report *report)
{
    json_t *findings = json_array();
    for (size_t i = 0; findings && i < n_kept(report); i++) {
        const struct kt_audit_finding *finding = &report->findings[i];
        json_array_append_new(findings, json_pack("{s:s,s:I,s:I,s:o}", "kind", kt_audit_damage_text(finding->damage),
                                                  "row", (json_int_t)finding->row, "line", (json_int_t)finding->seq,
                                                  "message", kt_json_text(finding->message)));
    }
    return findings;
}

static bool print_json(const struct verification *v, struct kt_error *err)
{
    const struct kt_audit_report *report = &v->report;
    const struct kt_floor *which = &v->evidence.keyring.which;
    char head[KT_HASH_TEXT_LEN];
    json_t *value = kt_json_new("AuditVerification");
    kt_hash_format(v->evidence.keyring.head, head);
    if (value) {
        json_object_set_new(value, "verifies", json_boolean(report->n_findings == 0));
        json_object_set_new(value, "lines", json_integer((json_int_t)report->rows));
        json_object_set_new(value, "first", json_integer((json_int_t)report->first));
        json_object_set_new(value, "last", json_integer((json_int_t)report->last));
        json_object_set_new(value, "due", json_integer((json_int_t)report->due));
        json_object_set_new(value, "newer", json_integer((json_int_t)report->newer));
        json_object_set_new(value, "head", json_string(head));
        json_object_set_new(value, "membership", json_integer((json_int_t)which->membership));
        json_object_set_new(value, "generation", json_integer((json_int_t)which->generation));
        json_object_set_new(value, "findings", findings_json(report));
    }
    return kt_json_print(value, err);
}

static bool judge(const struct verification *v, struct kt_error *err)
{
    size_t n = v->report.n_findings;
    if (n == 0)
        return true;
    kt_fail(err, KT_E_FOUND, "the audit log does not verify: %zu finding%s, the first: %s", n, n == 1 ? "" : "s",
            v->report.findings[0].message);
    return kt_error_hint(err, "find out who did that; a copy of another node's audit.log mends it, once keyturn audit "
                              "verify --log FILE has taken it");
}

static bool run(struct verification *v, const struct kt_options *options, struct kt_error *err)
{
    if (!kt_audit_files_evidence(options, v->file, &v->files, &v->evidence, err) ||
        !kt_audit_verify(&v->evidence, &v->report, err))
        return false;
    if (options->json && !print_json(v, err))
        return false;
    if (!options->json)
        print_text(v);
    return kt_output_done(err) && judge(v, err);
}

int kt_command_audit_verify(int argc, char **argv)
{
    KT_CLEANUP(kt_free_p) struct verification *v = calloc(1, sizeof(*v));
    struct kt_command_line line = {
        .command = kt_command_find("audit verify"), .own = own_options, .take = take, .closure = v};
    struct kt_error err = KT_ERROR_INIT;
    if (!v) {
        kt_fail(&err, KT_E_NOMEM, "out of memory");
        return kt_print_error(&line.options, &err);
    }
    kt_command_parse(&line, argc, argv);
    bool done = run(v, &line.options, &err);
    kt_audit_files_done(&v->files);
    return done ? 0 : kt_print_error(&line.options, &err);
}
