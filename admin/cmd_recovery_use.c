/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/audit_claim.h"
#include "admin/fingerprint_ask.h"
#include "admin/join_exchange.h"
#include "admin/join_key.h"
#include "admin/opener_local.h"
#include "admin/secret_input.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/printable.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OPTION_KEYRING KT_JOIN_OPTION_OWN

static const struct argp_option own_options[] = {
    KT_JOIN_ROW_DIR,
    KT_JOIN_ROW_NODE,
    KT_JOIN_ROW_ALLOW_UID,
    KT_JOIN_ROWS_TPM,
    {.name = "keyring",
     .key = OPTION_KEYRING,
     .arg = "FILE",
     .doc = "The cluster's newest keyring (default: the one of this node)"},
    {0},
};

struct use {
    const char *file; /* --keyring */
    struct kt_join join;
    struct kt_bytes keyring;
    struct kt_state *state;
    struct kt_opener_answer answer;
    struct kt_outcome outcome;
    bool finished; /* what an earlier run had begun */
};

static error_t take(int key, char *arg, void *closure)
{
    struct use *use = closure;
    if (key != OPTION_KEYRING)
        return kt_join_take(key, arg, &use->join);
    use->file = arg;
    return arg[0] ? 0 : EINVAL;
}

static bool no_keyring(const struct use *use, struct kt_error *err)
{
    kt_fail(err, KT_E_KEYRING_MISSING, "%s/keyring.yaml: there is no keyring", use->join.init.config->state_dir);
    return kt_error_hint(err, "bring the cluster's newest one from another node or a backup: --keyring FILE");
}

static bool read_keyring(struct use *use, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_KEYRING_MAX, .owner = KT_ANY_UID};
    if (!kt_join_state(&use->join, &use->state, err))
        return false;
    if (use->file)
        return kt_file_read(AT_FDCWD, use->file, &rules, &use->keyring, err);
    if (!use->state->current.data)
        return no_keyring(use, err);
    return kt_bytes_copy(kt_bytes_view(&use->state->current), &use->keyring, err);
}

static void fill(const struct use *use, const struct kt_secret *key, struct kt_opener_request *ret)
{
    const struct kt_config *config = use->join.init.config;
    kt_state_request(use->state, (struct kt_slice){0}, ret);
    ret->op = KT_OPENER_RECOVERY_USE;
    ret->offered = (struct kt_slice){0};
    ret->current = kt_bytes_view(&use->keyring);
    ret->recovery_key = key;
    ret->node = config->node;
    ret->kind = config->recipient;
    ret->tpm_policy = use->join.init.policy;
    ret->now = kt_clock_real_s();
    kt_audit_claim_fill(use->join.init.options->command, &ret->claim);
}

static bool make(struct use *use, const struct kt_secret *key, struct kt_error *err)
{
    struct kt_opener_request request = {.op = KT_OPENER_RECOVERY_USE};
    fill(use, key, &request);
    if (!kt_join_begin(&use->join, err) || !kt_join_ask(&use->join, &request, &use->answer, err))
        return false;
    const struct kt_join_result result = {.document = kt_bytes_view(&use->answer.document), .owner = use->answer.owner};
    use->outcome = (struct kt_outcome){.changed = true,
                                       .membership = use->answer.info->membership + 1,
                                       .generation = use->answer.info->generation + 1};
    return kt_join_finish(&use->join, &result, &use->outcome, err);
}

static bool confirm(const struct use *use, struct kt_error *err)
{
    char question[256];
    snprintf(question, sizeof(question), "Make a new private half for node %s, and a membership with it?",
             use->join.init.config->node);
    return kt_confirm(use->join.init.options, question, err);
}

static bool run(struct use *use, struct kt_error *err)
{
    const struct kt_options *options = use->join.init.options;
    if (!kt_join_plan(&use->join, err) || use->join.init.finished_earlier)
        return use->finished = use->join.init.finished_earlier;
    if (!read_keyring(use, err) || options->dry_run)
        return use->keyring.data && options->dry_run;
    if (!confirm(use, err) || !kt_join_open(&use->join, err) ||
        !kt_join_finish_earlier(&use->join, &use->finished, &use->outcome, err))
        return false;
    if (use->finished)
        return true;
    if (!kt_join_check_present(&use->join, err) || !kt_join_keep_policy(&use->join, err))
        return false;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = kt_recovery_key_ask(options->key_file, "Recovery key: ", err);
    return key && make(use, key, err);
}

static bool print_json(const struct use *use, struct kt_error *err)
{
    const struct kt_init *init = &use->join.init;
    json_t *value = kt_json_new("RecoveryUse");
    if (value) {
        json_object_set_new(value, "changed", json_boolean(!init->options->dry_run));
        json_object_set_new(value, "node", kt_json_text(init->config->node));
        json_object_set_new(value, "recipient", kt_json_text(kt_recipient_kind_text(init->config->recipient)));
        json_object_set_new(value, "config", kt_json_text(init->config_path));
        json_object_set_new(value, "membership", json_integer((json_int_t)use->outcome.membership));
        json_object_set_new(value, "generation", json_integer((json_int_t)use->outcome.generation));
        json_object_set_new(value, "served", json_boolean(use->outcome.served));
    }
    return kt_json_print(value, err);
}

static bool print(const struct use *use, struct kt_error *err)
{
    const struct kt_init *init = &use->join.init;
    if (init->options->json)
        return print_json(use, err);
    if (init->options->dry_run)
        printf("Would make a new private half for node %s and a membership with it.\n", init->config->node);
    else if (use->finished)
        printf("Node %s is back; a run that was cut short is finished.\n", init->config->node);
    else
        printf("Node %s is back: membership %" PRIu64 ", generation %" PRIu64 "%s.\n", init->config->node,
               use->outcome.membership, use->outcome.generation, use->outcome.served ? ", served" : "");
    if (!init->options->dry_run)
        printf("\nNext:\n  on the other nodes, with %s/keyring.yaml of this one: keyturn keyring offer FILE\n",
               KT_PRINTABLE(init->config->state_dir));
    return kt_output_done(err);
}

int kt_command_recovery_use(int argc, char **argv)
{
    struct use use = {.file = NULL};
    struct kt_command_line line = {
        .command = kt_command_find("recovery use"), .own = own_options, .take = take, .closure = &use};
    kt_command_parse(&line, argc, argv);
    use.join.init.options = &line.options;
    struct kt_error err = KT_ERROR_INIT;
    bool done = run(&use, &err) && print(&use, &err);
    kt_join_done(&use.join);
    kt_bytes_done(&use.keyring);
    if (use.state)
        kt_state_done(use.state);
    free(use.state);
    kt_opener_answer_done(&use.answer);
    return done ? 0 : kt_print_error(&line.options, &err);
}
