/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/command.h"
#include "admin/config_file.h"
#include "base/printable.h"
#include "encconfig/validate.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PRINTED_MAX ((size_t)64 * 1024 * 1024)

struct check {
    const char *file;
    bool taken;
    struct kt_findings findings;
    struct kt_text printed; /* as kube-apiserver prints it; empty if it takes the file */
};

static void check_done(struct check *check)
{
    kt_findings_done(&check->findings);
    kt_text_done(&check->printed);
}

static bool has_keys(const struct kt_encconfig *config)
{
    for (size_t i = 0; i < config->n_entries; i++)
        for (size_t k = 0; k < config->entries[i].n_providers; k++)
            for (size_t type = KT_ENCCONFIG_AESGCM; type <= KT_ENCCONFIG_SECRETBOX; type++)
                if (config->entries[i].providers[k].keys[type].n > 0)
                    return true;
    return false;
}

static bool check_file(struct check *check, struct kt_error *err)
{
    KT_CLEANUP_CONFIG_FILE struct kt_bytes bytes = {.data = NULL};
    mode_t mode = 0;
    if (!kt_config_file_read(check->file, &bytes, &mode, err))
        return false;
    KT_CLEANUP(kt_encconfig_free_p)
    struct kt_encconfig *config = kt_encconfig_parse(kt_bytes_view(&bytes), &check->findings, err);
    if (!config && err->code != KT_E_CONFIG)
        return false;
    kt_error_clear(err);
    check->taken = config && kt_encconfig_validate(config, true, &check->findings);
    if (config && has_keys(config) && (mode & S_IRWXO))
        kt_findings_add(&check->findings, KT_FINDING_WARNING, kt_encconfig_place(config, NULL), "",
                        "the file holds keys, and every user may open it",
                        "chmod o= FILE, and think of its keys as known");
    kt_text_init(&check->printed, PRINTED_MAX);
    kt_findings_print(&check->findings, check->file, &check->printed);
    return (!check->findings.out_of_memory && !check->printed.bad) || kt_fail(err, KT_E_NOMEM, "out of memory");
}

static void print_text(const struct check *check)
{
    const char *file = KT_PRINTABLE(check->file);
    for (size_t i = 0; i < check->findings.n; i++) {
        const struct kt_finding *finding = &check->findings.items[i];
        printf("%s:%zu:%zu: %s%s%s%s\n", file, finding->place.line, finding->place.column,
               finding->kind == KT_FINDING_WARNING ? "warning: " : "", finding->path, finding->path[0] ? ": " : "",
               finding->text);
        if (finding->advice)
            printf("  %s\n", finding->advice);
    }
    if (check->findings.n_more > 0)
        printf("and %zu more\n", check->findings.n_more);
    if (check->taken)
        printf("%s: kube-apiserver takes it\n", file);
    else
        printf("kube-apiserver would say:\n  %s\n", check->printed.data ? check->printed.data : "");
}

static json_t *findings_json(const struct kt_findings *findings)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < findings->n; i++) {
        const struct kt_finding *finding = &findings->items[i];
        json_t *item = json_pack("{s:s,s:s,s:s,s:I,s:I,s:s}", "severity",
                                 finding->kind == KT_FINDING_WARNING ? "warning" : "error", "path", finding->path,
                                 "message", finding->text, "line", (json_int_t)finding->place.line, "column",
                                 (json_int_t)finding->place.column, "advice", finding->advice ? finding->advice : "");
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static bool print_json(const struct check *check, struct kt_error *err)
{
    json_t *value = kt_json_new("ConfigCheck");
    if (value) {
        json_object_set_new(value, "file", kt_json_text(check->file));
        json_object_set_new(value, "valid", json_boolean(check->taken));
        json_object_set_new(value, "message", json_string(check->printed.data ? check->printed.data : ""));
        json_object_set_new(value, "findings", findings_json(&check->findings));
        json_object_set_new(value, "more", json_integer((json_int_t)check->findings.n_more));
    }
    return kt_json_print(value, err);
}

static bool tell(const struct kt_options *options, const struct check *check, struct kt_error *err)
{
    const size_t n = kt_findings_count(&check->findings);
    if (!options->json)
        print_text(check);
    if (options->json ? !print_json(check, err) : !kt_output_done(err))
        return false;
    if (check->taken)
        return true;
    kt_fail(err, KT_E_FOUND, "%s: kube-apiserver would refuse it: %zu finding%s", check->file, n, n == 1 ? "" : "s");
    return kt_error_hint(err, "an API server that runs keeps what it has loaded; it would not start with this file");
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of kt_command_line.take */
static error_t take_file(int key, char *arg, void *closure)
{
    const char **file = closure;
    if (key != ARGP_KEY_ARG || *file)
        return ARGP_ERR_UNKNOWN;
    *file = arg;
    return 0;
}

int kt_command_config_check(int argc, char **argv)
{
    KT_CLEANUP(check_done) struct check check = {.file = NULL};
    struct kt_command_line line = {
        .command = kt_command_find("config check"), .take = take_file, .closure = &check.file};
    struct kt_error err = KT_ERROR_INIT;
    kt_command_parse(&line, argc, argv);
    if (!check.file) {
        kt_fail(&err, KT_E_USAGE, "a file is needed");
        kt_error_hint(&err, "keyturn config check FILE, the one of --encryption-provider-config");
        return kt_print_error(&line.options, &err);
    }
    if (!check_file(&check, &err) || !tell(&line.options, &check, &err))
        return kt_print_error(&line.options, &err);
    return 0;
}
