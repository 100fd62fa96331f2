/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/fingerprint_ask.h"
#include "admin/member.h"
#include "admin/opener_local.h"
#include "admin/secret_input.h"
#include "base/printable.h"

#include <inttypes.h>
#include <stdio.h>

struct removal {
    const char *name;
    struct kt_member_job job;
    struct kt_outcome outcome;
    bool resting; /* no rotation was under way */
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of kt_command_line.take */
static error_t take(int key, char *arg, void *closure)
{
    struct removal *removal = closure;
    if (key != ARGP_KEY_ARG || removal->name)
        return ARGP_ERR_UNKNOWN;
    removal->name = arg;
    return 0;
}

static bool confirm(const struct removal *removal, struct kt_error *err)
{
    char question[256];
    snprintf(question, sizeof(question), "Take node %.63s out of the keyring?", removal->name);
    return removal->job.options->dry_run || kt_confirm(removal->job.options, question, err);
}

static bool make(struct removal *removal, struct kt_error *err)
{
    const struct kt_config *config = removal->job.config;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *key = kt_recovery_key_ask(removal->job.options->key_file, "Recovery key: ", err);
    struct kt_opener_request request;
    if (!key)
        return false;
    kt_member_request(&removal->job, KT_OPENER_REMOVE, &request);
    request.recovery_key = key;
    request.member.name = removal->name;
    if (!kt_opener_local(config, config->path, &request, &answer, err))
        return false;
    removal->resting = answer.info->stage == KT_STAGE_START || answer.info->stage == KT_STAGE_REENCRYPT_FINISHED;
    return kt_member_install(&removal->job, kt_bytes_view(&answer.document), &removal->outcome, err);
}

static bool run(struct removal *removal, const struct kt_options *options, struct kt_error *err)
{
    if (!removal->name) {
        kt_fail(err, KT_E_USAGE, "no node was named");
        return kt_error_hint(err, "keyturn node remove NAME; keyturn node list shows them");
    }
    return kt_member_start(options, &removal->job, err) && confirm(removal, err) && make(removal, err);
}

static void print_text(const struct removal *removal)
{
    if (removal->job.options->dry_run) {
        printf("Node %s would be taken out of the keyring.\n", KT_PRINTABLE(removal->name));
        return;
    }
    printf("Node %s is out of the keyring: membership %" PRIu64 ", generation %" PRIu64 "%s.\n",
           KT_PRINTABLE(removal->name), removal->outcome.membership, removal->outcome.generation,
           removal->outcome.served ? ", served here" : "");
    puts("It cannot open this keyring or any later one, and what it signs is not taken any more. But it may have kept "
         "the\n"
         "keys that it had: a rotation must follow, to the new key that was appended for it.");
    puts(removal->resting ? "\nNext:" : "\nNext (a rotation is under way: finish it, and rotate again):");
    printf("  on the other nodes, with %s/keyring.yaml of this one: keyturn keyring offer FILE\n",
           KT_PRINTABLE(removal->job.config->state_dir));
    puts("  then keyturn rotate, keyturn reencrypt");
}

static bool print(const struct removal *removal, struct kt_error *err)
{
    if (!removal->job.options->json) {
        print_text(removal);
        return kt_output_done(err);
    }
    json_t *value = kt_json_new("NodeRemoval");
    if (value) {
        json_object_set_new(value, "node", kt_json_text(removal->name));
        json_object_set_new(value, "changed", json_boolean(!removal->job.options->dry_run));
        json_object_set_new(value, "membership", json_integer((json_int_t)removal->outcome.membership));
        json_object_set_new(value, "generation", json_integer((json_int_t)removal->outcome.generation));
        json_object_set_new(value, "served", json_boolean(removal->outcome.served));
        json_object_set_new(value, "rotationNeeded", json_true());
    }
    return kt_json_print(value, err);
}

int kt_command_node_remove(int argc, char **argv)
{
    struct removal removal = {.name = NULL};
    struct kt_command_line line = {.command = kt_command_find("node remove"), .take = take, .closure = &removal};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    bool done = run(&removal, &line.options, &err) && print(&removal, &err);
    kt_member_done(&removal.job);
    return done ? 0 : kt_print_error(&line.options, &err);
}
