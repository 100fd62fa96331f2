/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/fingerprint_ask.h"
#include "admin/join_exchange.h"
#include "admin/join_key.h"
#include "admin/member.h"
#include "base/printable.h"
#include "keystore/enrolment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REQUEST_NAME "request"
#define OPTION_OUT   KT_JOIN_OPTION_OWN

static const struct argp_option own_options[] = {
    KT_JOIN_ROW_DIR,
    KT_JOIN_ROW_NODE,
    KT_JOIN_ROW_ALLOW_UID,
    KT_JOIN_ROWS_TPM,
    {.name = "out", .key = OPTION_OUT, .arg = "FILE", .doc = "Write the request to FILE (default: NODE.request)"},
    {0},
};

struct arguments {
    struct kt_join join;
    const char *out;
    char default_out[KT_NAME_MAX + 16];
    struct kt_bytes text;
    uint8_t fingerprint[KT_HASH_LEN];
    char policy[KT_TPM_POLICY_TEXT]; /* "": the private half is in a file */
};

static error_t take(int key, char *arg, void *closure)
{
    struct arguments *arguments = closure;
    if (key != OPTION_OUT)
        return kt_join_take(key, arg, &arguments->join);
    arguments->out = arg;
    return arg[0] ? 0 : EINVAL;
}

/* A request that an earlier run made, for the same node: its private half is there, and it is asked again. */
static bool find_earlier(struct arguments *arguments, bool *ret_found, struct kt_error *err)
{
    struct kt_node_request earlier;
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    *ret_found = false;
    if (!kt_join_read(&arguments->join, REQUEST_NAME, &text, err))
        return false;
    if (!text.data || !kt_node_request_parse(kt_bytes_view(&text), &earlier, NULL) ||
        strcmp(earlier.node, arguments->join.init.config->node) != 0)
        return true;
    if (!kt_join_waiting(&arguments->join, &earlier, ret_found, err))
        return false;
    if (*ret_found) {
        arguments->text = text;
        text = (struct kt_bytes){0};
    }
    return true;
}

static bool make(struct arguments *arguments, struct kt_error *err)
{
    struct kt_join *join = &arguments->join;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    if (!kt_join_check_present(join, err) || !kt_join_keep_policy(join, err))
        return false;
    const struct kt_opener_request request = {.op = KT_OPENER_REQUEST,
                                              .node = join->init.config->node,
                                              .kind = join->init.config->recipient,
                                              .tpm_policy = join->init.policy};
    if (!kt_join_begin(join, err) || !kt_join_ask(join, &request, &answer, err) ||
        !kt_join_write(join, REQUEST_NAME, kt_bytes_view(&answer.header), err))
        return false;
    arguments->text = answer.header;
    answer.header = (struct kt_bytes){0};
    return true;
}

/* What waits for the end of an install, or of a recovery use, is not given up for a new request. */
static bool finish_earlier(struct arguments *arguments, struct kt_error *err)
{
    struct kt_outcome outcome = {0};
    bool done = false;
    if (!kt_join_finish_earlier(&arguments->join, &done, &outcome, err))
        return false;
    if (!done)
        return true;
    kt_fail(err, KT_E_EXISTS, "this node has its new private half: what was cut short is finished now");
    return kt_error_hint(err, "keyturn node verify proves it; for yet another one, run this again");
}

static bool run(struct arguments *arguments, struct kt_error *err)
{
    struct kt_init *init = &arguments->join.init;
    bool found = false;
    if (!kt_join_plan(&arguments->join, err))
        return false;
    if (init->finished_earlier)
        return kt_fail(err, KT_E_EXISTS, "this node has joined: an install that was cut short is finished now");
    if (!arguments->out) {
        snprintf(arguments->default_out, sizeof(arguments->default_out), "%s.request", init->config->node);
        arguments->out = arguments->default_out;
    }
    if (!kt_member_file_check(arguments->out, "NodeRequest", err) || init->options->dry_run)
        return init->options->dry_run;
    if (!kt_join_open(&arguments->join, err) || !finish_earlier(arguments, err) ||
        !find_earlier(arguments, &found, err) || (!found && !make(arguments, err)))
        return false;
    return kt_join_policy_text(&arguments->join, arguments->policy, err) &&
           kt_node_request_fingerprint(kt_bytes_view(&arguments->text), arguments->fingerprint, err) &&
           kt_member_file_write(arguments->out, "NodeRequest", kt_bytes_view(&arguments->text), err);
}

static void print_text(const struct arguments *arguments)
{
    const struct kt_init *init = &arguments->join.init;
    if (arguments->policy[0])
        printf("The private half is sealed in this node's TPM; policy: %s\n", arguments->policy);
    printf("%s: the request of node %s (%s). Its fingerprint, to be compared where it is approved:\n",
           KT_PRINTABLE(arguments->out), init->config->node, kt_recipient_kind_text(init->config->recipient));
    kt_fingerprint_print(arguments->fingerprint);
    printf("\nNext, on a node of the cluster, with the recovery key:\n  keyturn node approve %s\n",
           KT_SHELL(arguments->out));
    printf("then, with the bundle that comes back, here:\n  keyturn node install BUNDLE");
    if (init->dir)
        printf(" --dir %s", KT_SHELL(init->dir));
    else if (init->options->config)
        printf(" --config %s", KT_SHELL(init->options->config));
    puts("");
}

static bool print(const struct arguments *arguments, struct kt_error *err)
{
    const struct kt_config *config = arguments->join.init.config;
    const bool dry_run = arguments->join.init.options->dry_run;
    if (arguments->join.init.options->json) {
        json_t *value = kt_json_new("NodeRequest");
        if (value) {
            json_object_set_new(value, "changed", json_boolean(!dry_run));
            json_object_set_new(value, "node", kt_json_text(config->node));
            json_object_set_new(value, "recipient", kt_json_text(kt_recipient_kind_text(config->recipient)));
            json_object_set_new(value, "file", kt_json_text(arguments->out));
            json_object_set_new(value, "policy", kt_json_text(arguments->policy));
            if (!dry_run)
                kt_fingerprint_json(value, arguments->fingerprint);
        }
        return kt_json_print(value, err);
    }
    if (dry_run) {
        printf("Would make a private half (%s) for node %s, and write %s.\n", kt_recipient_kind_text(config->recipient),
               config->node, KT_PRINTABLE(arguments->out));
        return kt_output_done(err);
    }
    print_text(arguments);
    return kt_output_done(err);
}

int kt_command_node_request(int argc, char **argv)
{
    struct arguments arguments = {.out = NULL};
    struct kt_command_line line = {
        .command = kt_command_find("node request"), .own = own_options, .take = take, .closure = &arguments};
    kt_command_parse(&line, argc, argv);
    arguments.join.init.options = &line.options;
    struct kt_error err = KT_ERROR_INIT;
    bool done = run(&arguments, &err) && print(&arguments, &err);
    kt_join_done(&arguments.join);
    kt_bytes_done(&arguments.text);
    return done ? 0 : kt_print_error(&line.options, &err);
}
