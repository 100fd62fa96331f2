/* SPDX-License-Identifier: Apache-2.0 */
/* keyturn node reseal, and node suspend, which is the same under no policy until the next boot. */
#include "admin/audit_journal.h"
#include "admin/tpm_option.h"

#include <stdio.h>

enum { OPTION_TPM_POLICY = 0x200 };

static const struct argp_option reseal_options[] = {
    {.name = "tpm-policy",
     .key = OPTION_TPM_POLICY,
     .arg = "POLICY",
     .doc = "none, pcr:BANK:N,N... or signed:BANK:N,N...:KEY.pem; default: the present one, anew"},
    {0},
};

static error_t take(int key, char *arg, void *closure)
{
    if (key != OPTION_TPM_POLICY)
        return ARGP_ERR_UNKNOWN;
    *(char **)closure = arg;
    return 0;
}

static bool run(const struct kt_options *options, enum kt_opener_op op, const char *text, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *config = kt_options_config(options, err);
    KT_CLEANUP(kt_free_p) struct kt_tpm_policy *policy = text ? calloc(1, sizeof(*policy)) : NULL;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    if (!config)
        return false;
    if (text && !policy)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (policy && !kt_tpm_policy_from_option(text, options->force, policy, err))
        return false;
    /* A run that would change nothing proves at least that the key opens now. */
    struct kt_opener_request request = {.op = options->dry_run ? KT_OPENER_NODE_VERIFY : op, .tpm_policy = policy};
    if (!kt_node_ask(config, &request, &answer, err))
        return false;
    if (options->dry_run)
        return true;
    kt_audit_journal_local(options, config);
    kt_node_reload(options, config);
    return true;
}

static bool print(const struct kt_options *options, enum kt_opener_op op, struct kt_error *err)
{
    bool suspend = op == KT_OPENER_SUSPEND;
    if (options->json) {
        json_t *value = kt_json_new(suspend ? "NodeSuspend" : "NodeReseal");
        if (value)
            json_object_set_new(value, "changed", json_boolean(!options->dry_run));
        return kt_json_print(value, err);
    }
    if (options->dry_run)
        puts("This node's key opens the keyring; it would be sealed anew.");
    else if (suspend)
        puts("This node's key is sealed without a policy until the next boot; the first start of keyturnd after it "
             "seals "
             "it under its policy again.");
    else
        puts("This node's key is sealed anew, and was proved to open the keyring.");
    return kt_output_done(err);
}

static int reseal(const struct kt_command_line *line, enum kt_opener_op op, const char *policy)
{
    struct kt_error err = KT_ERROR_INIT;
    if (!run(&line->options, op, policy, &err) || !print(&line->options, op, &err))
        return kt_print_error(&line->options, &err);
    return 0;
}

int kt_command_node_reseal(int argc, char **argv)
{
    char *policy = NULL;
    struct kt_command_line line = {
        .command = kt_command_find("node reseal"), .own = reseal_options, .take = take, .closure = &policy};
    kt_command_parse(&line, argc, argv);
    return reseal(&line, KT_OPENER_RESEAL, policy);
}

int kt_command_node_suspend(int argc, char **argv)
{
    struct kt_command_line line = {.command = kt_command_find("node suspend")};
    kt_command_parse(&line, argc, argv);
    return reseal(&line, KT_OPENER_SUSPEND, NULL);
}
