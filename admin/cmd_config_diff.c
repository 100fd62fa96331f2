/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/command.h"
#include "admin/config_change.h"
#include "base/printable.h"

#include <stdio.h>

struct diff {
    const char *file;
    struct kt_wanted *wanted;
    struct kt_config_change change;
    struct kt_text shown;
};

static void diff_done(struct diff *diff)
{
    kt_config_change_done(&diff->change);
    kt_wanted_free(diff->wanted);
    kt_text_done(&diff->shown);
}

static bool make(const struct kt_config *config, struct diff *diff, struct kt_error *err)
{
    diff->wanted = kt_wanted_new(config, err);
    return diff->wanted && kt_config_change_make(diff->wanted, diff->file, &diff->change, err) &&
           (!diff->change.differs || kt_config_change_show(&diff->change, &diff->shown, err));
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
        json_object_set_new(value, "differs", json_boolean(diff->change.differs));
        json_object_set_new(value, "diff", json_stringn(diff->change.differs ? diff->shown.data : "", diff->shown.len));
        json_object_set_new(value, "lists", json_integer((json_int_t)diff->change.n_lists));
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
    if (diff->change.differs)
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
    if (!diff->change.differs)
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
