/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/fingerprint_ask.h"
#include "admin/join_exchange.h"
#include "base/file.h"
#include "base/printable.h"
#include "keystore/enrolment.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct argp_option own_options[] = {KT_JOIN_ROW_DIR, {0}};

struct installation {
    const char *file;
    struct kt_join join;
    struct kt_bytes bundle;
    struct kt_bytes request; /* ours, as it was written */
    struct kt_slice header;
    struct kt_slice keyring;
    struct kt_bundle parsed;
    struct kt_opener_answer answer;
    struct kt_outcome outcome; /* no membership: all was done already */
    bool changed;
};

static error_t take(int key, char *arg, void *closure)
{
    struct installation *in = closure;
    if (key != ARGP_KEY_ARG)
        return key == KT_JOIN_OPTION_DIR ? kt_join_take(key, arg, &in->join) : ARGP_ERR_UNKNOWN;
    if (in->file)
        return ARGP_ERR_UNKNOWN;
    in->file = arg;
    return 0;
}

static bool read_bundle(struct installation *in, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_BUNDLE_MAX, .owner = KT_ANY_UID};
    if (!in->file) {
        kt_fail(err, KT_E_USAGE, "no bundle was named");
        return kt_error_hint(err, "keyturn node install BUNDLE; `keyturn node approve` writes it");
    }
    if (!kt_file_read(AT_FDCWD, in->file, &rules, &in->bundle, err))
        return false;
    return (kt_bundle_split(kt_bytes_view(&in->bundle), &in->header, &in->keyring, err) &&
            kt_bundle_parse(in->header, &in->parsed, err)) ||
           kt_error_prefix(err, "%s", in->file);
}

/* What this node has of an earlier life. */
static bool read_floor(const struct installation *in, struct kt_floor *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_state *state = NULL;
    if (!kt_join_state(&in->join, &state, err))
        return false;
    *ret = state->floor;
    kt_state_done(state);
    return true;
}

static bool check(struct installation *in, struct kt_error *err)
{
    struct kt_opener_request request = {
        .op = KT_OPENER_BUNDLE,
        .offered = in->keyring,
        .node = in->join.init.config->node,
        .member = {.request = kt_bytes_view(&in->request), .header = in->header},
    };
    if (!read_floor(in, &request.floor, err) || !kt_join_ask(&in->join, &request, &in->answer, err))
        return false;
    if (!in->join.rejoins || memcmp(in->join.init.config->owner, in->answer.owner, KT_HASH_LEN) == 0)
        return true;
    kt_fail(err, KT_E_BUNDLE_OWNER, "the bundle's keyring has another founding owner than `owner` in %s",
            in->join.init.config_path);
    return kt_error_hint(err, "if the recovery key was lost and replaced: write the new founding owner there, once you "
                              "have compared it (keyturn recovery replace --lost showed it)");
}

static bool confirm(const struct installation *in, struct kt_error *err)
{
    const struct kt_fingerprint_question question = {
        .what = "The owner of the bundle's keyring has",
        .where = "Does the node that approved show the same fingerprint?",
        .fingerprint = in->answer.info->owner,
        .otherwise = KT_E_BUNDLE_OWNER,
    };
    return kt_fingerprint_confirm(in->join.init.options, &question, err);
}

static void take_numbers(struct installation *in)
{
    in->outcome.membership = in->answer.info->membership;
    in->outcome.generation = in->answer.info->generation;
}

static bool install(struct installation *in, struct kt_error *err)
{
    const struct kt_join_result result = {
        .document = in->keyring, .owner = in->answer.owner, .provider = in->parsed.provider};
    if (in->join.init.options->dry_run)
        return true;
    in->changed = kt_join_finish(&in->join, &result, &in->outcome, err);
    return in->changed;
}

static bool run(struct installation *in, struct kt_error *err)
{
    struct kt_join *join = &in->join;
    if (!kt_join_plan(join, err))
        return false;
    if (join->init.finished_earlier) {
        in->changed = !join->init.options->dry_run;
        return true;
    }
    if (!read_bundle(in, err) || !kt_join_open(join, err))
        return false;
    if (kt_join_is_half_done(join, in->keyring))
        return install(in, err);
    if (kt_join_is_done(join, in->keyring))
        return join->init.options->dry_run || kt_join_tidy(join, err);
    if (!kt_join_resume(join, err) || !kt_join_read(join, "request", &in->request, err) || !check(in, err))
        return false;
    take_numbers(in);
    return confirm(in, err) && install(in, err);
}

static bool print_json(const struct installation *in, struct kt_error *err)
{
    const struct kt_config *config = in->join.init.config;
    json_t *value = kt_json_new("NodeInstallation");
    if (value) {
        json_object_set_new(value, "changed", json_boolean(in->changed));
        json_object_set_new(value, "node", kt_json_text(config->node));
        json_object_set_new(value, "config", kt_json_text(in->join.init.config_path));
        json_object_set_new(value, "stateDir", kt_json_text(config->state_dir));
        json_object_set_new(value, "served", json_boolean(in->outcome.served));
        if (in->outcome.membership) {
            json_object_set_new(value, "membership", json_integer((json_int_t)in->outcome.membership));
            json_object_set_new(value, "generation", json_integer((json_int_t)in->outcome.generation));
        }
    }
    return kt_json_print(value, err);
}

static void print_next(const struct kt_init *init)
{
    puts("\nNext:");
    if (init->dir || init->options->config)
        printf("  keyturnd --config %s &\n  keyturn config show --config %s --out encryption-config.yaml\n",
               KT_SHELL(init->config_path), KT_SHELL(init->config_path));
    else
        puts("  systemctl enable --now keyturnd-kms.socket keyturnd-control.socket keyturnd.service\n"
             "  mkdir -p /etc/kubernetes/enc && keyturn config show --out /etc/kubernetes/enc/encryption-config.yaml");
}

static bool print(const struct installation *in, struct kt_error *err)
{
    const struct kt_init *init = &in->join.init;
    if (init->options->json)
        return print_json(in, err);
    if (in->outcome.membership)
        printf("Node %s %s the cluster's keyring: membership %" PRIu64 ", generation %" PRIu64 "%s.\n",
               init->config->node, init->options->dry_run ? "would have" : "has", in->outcome.membership,
               in->outcome.generation, in->outcome.served ? ", served" : "");
    else
        printf("Node %s has the cluster's keyring; an install that was cut short %s.\n", init->config->node,
               init->options->dry_run ? "would be finished" : "is finished");
    if (!in->outcome.served && !init->options->dry_run)
        print_next(init);
    return kt_output_done(err);
}

int kt_command_node_install(int argc, char **argv)
{
    struct installation in = {.file = NULL};
    struct kt_command_line line = {
        .command = kt_command_find("node install"), .own = own_options, .take = take, .closure = &in};
    kt_command_parse(&line, argc, argv);
    in.join.init.options = &line.options;
    struct kt_error err = KT_ERROR_INIT;
    bool done = run(&in, &err) && print(&in, &err);
    kt_join_done(&in.join);
    kt_bytes_done(&in.bundle);
    kt_bytes_done(&in.request);
    kt_opener_answer_done(&in.answer);
    return done ? 0 : kt_print_error(&line.options, &err);
}
