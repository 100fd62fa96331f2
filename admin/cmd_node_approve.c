/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/fingerprint_ask.h"
#include "admin/member.h"
#include "admin/opener_local.h"
#include "admin/secret_input.h"
#include "base/file.h"
#include "base/printable.h"
#include "keystore/enrolment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_REPLACE = 0x200, OPTION_OUT };

static const struct argp_option own_options[] = {
    {.name = "replace",
     .key = OPTION_REPLACE,
     .arg = "NAME",
     .doc = "The node NAME is there already: it gets this key"},
    {.name = "out", .key = OPTION_OUT, .arg = "FILE", .doc = "Write the bundle to FILE (default: NODE.bundle)"},
    {0},
};

struct approval {
    const char *file;
    const char *replace;
    const char *out;
    char default_out[KT_NAME_MAX + 16];
    struct kt_member_job job;
    struct kt_bytes text; /* of the request */
    struct kt_node_request request;
    uint8_t fingerprint[KT_HASH_LEN];
    struct kt_secret *recovery_key;
    bool changed;
    struct kt_outcome outcome;
    uint8_t owner[KT_HASH_LEN]; /* the present one */
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of kt_command_line.take */
static error_t take(int key, char *arg, void *closure)
{
    struct approval *a = closure;
    switch (key) {
    case OPTION_REPLACE:
        a->replace = arg;
        return arg[0] ? 0 : EINVAL;
    case OPTION_OUT:
        a->out = arg;
        return arg[0] ? 0 : EINVAL;
    case ARGP_KEY_ARG:
        if (a->file)
            return ARGP_ERR_UNKNOWN;
        a->file = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool read_request(struct approval *a, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_REQUEST_MAX, .owner = KT_ANY_UID};
    if (!a->file) {
        kt_fail(err, KT_E_USAGE, "no request was named");
        return kt_error_hint(err, "keyturn node approve REQUEST; the new node writes it: keyturn node request");
    }
    if (!kt_file_read(AT_FDCWD, a->file, &rules, &a->text, err))
        return false;
    if (!kt_node_request_parse(kt_bytes_view(&a->text), &a->request, err))
        return kt_error_prefix(err, "%s", a->file);
    if (!a->out) {
        snprintf(a->default_out, sizeof(a->default_out), "%s.bundle", a->request.node);
        a->out = a->default_out;
    }
    return kt_node_request_fingerprint(kt_bytes_view(&a->text), a->fingerprint, err) &&
           kt_member_file_check(a->out, "NodeBundle", err);
}

static bool confirm(const struct approval *a, struct kt_error *err)
{
    char what[256], where[160];
    snprintf(what, sizeof(what), "The request of node %s (%s) has", a->request.node,
             kt_recipient_kind_text(a->request.kind));
    snprintf(where, sizeof(where), "Does %s show the same fingerprint?", a->request.node);
    const struct kt_fingerprint_question question = {
        .what = what, .where = where, .fingerprint = a->fingerprint, .otherwise = KT_E_REQUEST_ALTERED};
    return kt_fingerprint_confirm(a->job.options, &question, err);
}

static void fill(const struct approval *a, enum kt_opener_op op, struct kt_opener_request *ret)
{
    kt_member_request(&a->job, op, ret);
    ret->recovery_key = a->recovery_key;
    ret->member.request = kt_bytes_view(&a->text);
    ret->member.name = a->replace ? a->replace : "";
    ret->member.provider = a->job.config->provider;
}

/* The node becomes a recipient; or is one with that very key, after an approval that was cut short. */
static bool let_in(struct approval *a, struct kt_error *err)
{
    struct kt_opener_request request;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    fill(a, KT_OPENER_APPROVE, &request);
    if (!kt_opener_local(a->job.config, a->job.config->path, &request, &answer, err))
        return false;
    a->changed = !answer.same;
    a->outcome = (struct kt_outcome){.membership = answer.info->membership, .generation = answer.info->generation};
    memcpy(a->owner, answer.info->owner, KT_HASH_LEN);
    if (a->changed)
        return kt_member_install(&a->job, kt_bytes_view(&answer.document), &a->outcome, err);
    /* What an install that was cut short has left to do is done. */
    return kt_offer_run(a->job.options, a->job.config, kt_bytes_view(&a->job.state->current), &a->outcome, err);
}

static bool write_bundle(struct approval *a, struct kt_error *err)
{
    struct kt_opener_request request;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    KT_CLEANUP(kt_text_done) struct kt_text bundle = {0};
    if (!kt_member_refresh(&a->job, err))
        return false;
    fill(a, KT_OPENER_SIGN_BUNDLE, &request);
    if (!kt_opener_local(a->job.config, a->job.config->path, &request, &answer, err))
        return false;
    kt_text_init(&bundle, KT_BUNDLE_MAX);
    kt_text_add_bytes(&bundle, answer.header.data, answer.header.len);
    kt_text_add_bytes(&bundle, request.current.data, request.current.len);
    if (bundle.bad)
        return kt_fail(err, KT_E_NOMEM, "out of memory for the bundle");
    return kt_member_file_write(a->out, "NodeBundle", KT_SLICE(bundle.data, bundle.len), err);
}

static bool run(struct approval *a, const struct kt_options *options, struct kt_error *err)
{
    if (!kt_member_start(options, &a->job, err) || !read_request(a, err) || !confirm(a, err))
        return false;
    a->recovery_key = kt_recovery_key_ask(options->key_file, "Recovery key: ", err);
    if (!a->recovery_key || !let_in(a, err))
        return false;
    if (options->dry_run || write_bundle(a, err))
        return true;
    if (a->changed && err && err->code != KT_E_KEYRING_STALE)
        err->code = KT_E_INCOMPLETE;
    return a->changed ? kt_error_hint(err, "%s is in the keyring, but the bundle is not written: approve it again",
                                      a->request.node)
                      : false;
}

static void print_text(const struct approval *a)
{
    if (a->job.options->dry_run) {
        printf("Node %s %s the keyring.\n", a->request.node, a->changed ? "would come into" : "is already in");
        return;
    }
    printf("Node %s %s in the keyring: membership %" PRIu64 ", generation %" PRIu64 "%s.\n", a->request.node,
           a->changed ? "is now" : "was already", a->outcome.membership, a->outcome.generation,
           a->outcome.served ? ", served here" : "");
    printf("%s: the bundle for it. The owner's fingerprint, to be compared where it is installed:\n",
           KT_PRINTABLE(a->out));
    kt_fingerprint_print(a->owner);
    printf("\nNext, on %s:\n  keyturn node install %s\n", a->request.node, KT_SHELL(a->out));
    printf("and on the other nodes, with %s/keyring.yaml of this one:\n  keyturn keyring offer FILE\n",
           KT_PRINTABLE(a->job.config->state_dir));
}

static bool print(const struct approval *a, struct kt_error *err)
{
    if (!a->job.options->json) {
        print_text(a);
        return kt_output_done(err);
    }
    json_t *value = kt_json_new("NodeApproval");
    if (value) {
        const bool dry_run = a->job.options->dry_run;
        json_object_set_new(value, "node", kt_json_text(a->request.node));
        json_object_set_new(value, "changed", json_boolean(a->changed && !dry_run));
        json_object_set_new(value, "membership", json_integer((json_int_t)a->outcome.membership));
        json_object_set_new(value, "generation", json_integer((json_int_t)a->outcome.generation));
        json_object_set_new(value, "bundle", kt_json_text(dry_run ? "" : a->out));
        kt_fingerprint_json(value, a->owner);
    }
    return kt_json_print(value, err);
}

int kt_command_node_approve(int argc, char **argv)
{
    struct approval approval = {.file = NULL};
    struct kt_command_line line = {
        .command = kt_command_find("node approve"), .own = own_options, .take = take, .closure = &approval};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    bool done = run(&approval, &line.options, &err) && print(&approval, &err);
    kt_secret_free(approval.recovery_key);
    kt_bytes_done(&approval.text);
    kt_member_done(&approval.job);
    return done ? 0 : kt_print_error(&line.options, &err);
}
