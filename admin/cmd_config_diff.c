/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/command.h"
#include "admin/config_file.h"
#include "admin/text_diff.h"
#include "admin/wanted.h"
#include "base/printable.h"
#include "encconfig/mask.h"

#include <stdio.h>

#define SHOWN_MAX ((size_t)16 * 1024 * 1024)

struct diff {
    const char *file;
    struct kt_wanted *wanted;
    size_t n_lists;
    bool differs;
    struct kt_text shown;
};

static void diff_done(struct diff *diff)
{
    kt_wanted_free(diff->wanted);
    kt_text_done(&diff->shown);
}

static struct kt_encconfig *parse(struct kt_slice bytes, struct kt_error *err)
{
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    struct kt_encconfig *file = kt_encconfig_parse(bytes, &findings, err);
    if (!file && err->code == KT_E_CONFIG)
        kt_error_hint(err, "keyturn config check FILE says why");
    return file;
}

static bool tell_difference(struct diff *diff, const struct kt_encconfig *file, const struct kt_secret *after,
                            struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text old = {.data = NULL};
    KT_CLEANUP(kt_text_done) struct kt_text new = {.data = NULL};
    KT_CLEANUP(kt_encconfig_free_p)
    struct kt_encconfig *made = parse(KT_SLICE(kt_secret_view(after), kt_secret_len(after)), err);
    if (!made)
        return false;
    kt_text_init(&old, SHOWN_MAX);
    kt_text_init(&new, SHOWN_MAX);
    kt_encconfig_mask(file, &old);
    kt_encconfig_mask(made, &new);
    kt_text_init(&diff->shown, SHOWN_MAX);
    bool told = kt_text_diff(KT_SLICE(old.data, old.len), KT_SLICE(new.data, new.len), &diff->shown);
    return (told && !old.bad && !new.bad && !diff->shown.bad) || kt_fail(err, KT_E_NOMEM, "out of memory");
}

static bool make(const struct kt_config *config, struct diff *diff, struct kt_error *err)
{
    KT_CLEANUP_CONFIG_FILE struct kt_bytes bytes = {.data = NULL};
    if (!kt_config_file_read(diff->file, &bytes, NULL, err))
        return false;
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *file = parse(kt_bytes_view(&bytes), err);
    if (!file) {
        (void)kt_error_prefix(err, "%s", diff->file);
        return false;
    }
    diff->wanted = kt_wanted_new(config, err);
    if (!diff->wanted)
        return false;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *after = kt_wanted_edit(diff->wanted, file, &diff->n_lists, err);
    if (!after) {
        (void)kt_error_prefix(err, "%s", diff->file);
        return false;
    }
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *before = kt_secret_new_copy(bytes.data, bytes.len, err);
    if (!before)
        return false;
    diff->differs = !kt_secret_equal(before, after);
    return !diff->differs || tell_difference(diff, file, after, err);
}

static bool print_json(const struct diff *diff, struct kt_error *err)
{
    const struct kt_opener_answer *answer = &diff->wanted->answer;
    json_t *value = kt_json_new("ConfigDiff");
    json_t *notes = json_array();
    for (size_t i = 0; notes && i < answer->n_notes; i++)
        json_array_append_new(notes, kt_json_text(answer->notes[i]));
    if (value) {
        json_object_set_new(value, "file", kt_json_text(diff->file));
        json_object_set_new(value, "differs", json_boolean(diff->differs));
        json_object_set_new(value, "diff", json_stringn(diff->differs ? diff->shown.data : "", diff->shown.len));
        json_object_set_new(value, "lists", json_integer((json_int_t)diff->n_lists));
        json_object_set_new(value, "membership", json_integer((json_int_t)answer->info->membership));
        json_object_set_new(value, "generation", json_integer((json_int_t)answer->info->generation));
    }
    if (value)
        json_object_set_new(value, "warnings", notes);
    return kt_json_print(value, err);
}

static bool print_text(const struct diff *diff, struct kt_error *err)
{
    const struct kt_opener_answer *answer = &diff->wanted->answer;
    const char *file = KT_PRINTABLE(diff->file);
    for (size_t i = 0; i < answer->n_notes; i++)
        fprintf(stderr, "keyturn: warning: %s\n", KT_PRINTABLE(answer->notes[i]));
    if (diff->differs)
        printf("--- %s\n+++ %s, as generation %llu of the keyring has it\n%s", file, file,
               (unsigned long long)answer->info->generation, diff->shown.data);
    else
        printf("%s: as the keyring has it\n", file);
    return kt_output_done(err);
}

static bool tell(const struct kt_options *options, const struct diff *diff, struct kt_error *err)
{
    if (options->json ? !print_json(diff, err) : !print_text(diff, err))
        return false;
    if (!diff->differs)
        return true;
    kt_fail(err, KT_E_FOUND, "%s: it is not as the keyring has it", diff->file);
    return kt_error_hint(err, "lines with + are the keyring's; keys are masked, nothing was changed");
}

int kt_command_config_diff(int argc, char **argv)
{
    KT_CLEANUP(diff_done) struct diff diff = {.file = NULL};
    struct kt_command_line line = {.command = kt_command_find("config diff")};
    struct kt_error err = KT_ERROR_INIT;
    kt_command_parse(&line, argc, argv);
    diff.file = line.options.cluster[KT_CLUSTER_ENCRYPTION_CONFIG];
    if (!diff.file || !diff.file[0]) {
        kt_fail(&err, KT_E_USAGE, "a file is needed");
        kt_error_hint(&err, "--encryption-config FILE, the one of kube-apiserver's --encryption-provider-config");
        return kt_print_error(&line.options, &err);
    }
    KT_CLEANUP(kt_free_p) struct kt_config *config = kt_options_config(&line.options, &err);
    if (!config || !make(config, &diff, &err) || !tell(&line.options, &diff, &err))
        return kt_print_error(&line.options, &err);
    return 0;
}
