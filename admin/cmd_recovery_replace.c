/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/config_edit.h"
#include "admin/fingerprint_ask.h"
#include "admin/init.h"
#include "admin/member.h"
#include "admin/opener_local.h"
#include "admin/recovery_prove.h"
#include "admin/secret_input.h"
#include "admin/terminal.h"
#include "base/file.h"
#include "base/printable.h"
#include "keystore/recovery_key.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { OPTION_LOST = 0x200, OPTION_RECOVERY_OUT };

static const struct argp_option own_options[] = {
    {.name = "lost", .key = OPTION_LOST, .doc = "The present recovery key is gone: found a new owner"},
    {.name = "recovery-out",
     .key = OPTION_RECOVERY_OUT,
     .arg = "FILE",
     .doc = "Write the new recovery key to FILE (0600) instead of the terminal"},
    {0},
};

struct replacement {
    bool lost;
    const char *recovery_out;
    struct kt_member_job job;
    struct kt_init staging; /* --lost: config with the new owner, STATE.refound */
    struct kt_opener_answer answer;
    struct kt_outcome outcome;
    bool made;     /* recovery_out */
    bool offered;  /* from here on it may be the key of the keyring in force */
    bool finished; /* what an earlier run had begun */
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of kt_command_line.take */
static error_t take(int key, char *arg, void *closure)
{
    struct replacement *r = closure;
    if (key == OPTION_LOST)
        r->lost = true;
    else if (key == OPTION_RECOVERY_OUT)
        r->recovery_out = arg;
    else
        return ARGP_ERR_UNKNOWN;
    return key == OPTION_LOST || arg[0] ? 0 : EINVAL;
}

static bool check_out(const struct replacement *r, struct kt_error *err)
{
    struct stat st;
    if (r->recovery_out && lstat(r->recovery_out, &st) == 0) {
        kt_fail(err, KT_E_EXISTS, "%s exists", r->recovery_out);
        return kt_error_hint(err,
                             "a recovery key is never written over another file; if a run that was cut short left it: "
                             "keyturn recovery verify --key-file FILE tells whether it is in force");
    }
    KT_CLEANUP(kt_fd_close_p) int terminal = r->recovery_out || r->job.options->dry_run ? -1 : kt_terminal_open(err);
    if (r->recovery_out || r->job.options->dry_run || terminal >= 0)
        return true;
    return kt_error_hint(err, "without a terminal, name a file for the new one: --recovery-out FILE");
}

static bool confirm(const struct replacement *r, struct kt_error *err)
{
    const char *question =
        r->lost ? "A new founding owner: what the archive holds is lost with the old recovery key, and root has "
                  "to pin the new owner on each node. Go on?"
                : "Replace the recovery key of this cluster?";
    return r->job.options->dry_run || kt_confirm(r->job.options, question, err);
}

static bool ask_opener(struct replacement *r, const struct kt_secret *fresh, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *old =
        r->lost ? NULL : kt_recovery_key_ask(r->job.options->key_file, "Present recovery key: ", err);
    struct kt_opener_request request;
    if (!r->lost && !old)
        return false;
    kt_member_request(&r->job, r->lost ? KT_OPENER_RECOVERY_LOST : KT_OPENER_RECOVERY_REPLACE, &request);
    request.recovery_key = old;
    request.member.new_recovery_key = fresh;
    return kt_opener_local(r->job.config, r->job.config->path, &request, &r->answer, err);
}

static bool prove(struct replacement *r, const char *config_path, const struct kt_secret *fresh, struct kt_error *err)
{
    const struct kt_recovery_proof proof = {.config = r->job.config,
                                            .config_path = config_path,
                                            .recovery_out = r->recovery_out,
                                            .document = kt_bytes_view(&r->answer.document)};
    return kt_recovery_prove(&proof, fresh, &r->made, err);
}

static bool replace_known(struct replacement *r, const struct kt_secret *fresh, struct kt_error *err)
{
    if (!prove(r, r->job.config->path, fresh, err))
        return false;
    r->offered = true;
    return kt_member_install(&r->job, kt_bytes_view(&r->answer.document), &r->outcome, err);
}

/* STATE.refound: the keyring of the new founding owner, and a configuration that pins it; until it is in force. */
static bool open_staging(struct replacement *r, struct kt_error *err)
{
    r->staging.config = r->job.config;
    snprintf(r->staging.staging, sizeof(r->staging.staging), "%.4000s.refound", r->job.config->state_dir);
    return kt_init_stage_open(&r->staging, err);
}

static bool stage(struct replacement *r, char ret_work[KT_INIT_PATH_MAX + 64], struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    memcpy(r->job.config->owner, r->answer.owner, KT_HASH_LEN);
    kt_init_staged(&r->staging, "work.yaml", ret_work);
    return kt_init_clear(&r->staging, err) &&
           kt_init_write_config(&r->staging, r->job.config->state_dir, ret_work, err) &&
           kt_file_replace(kt_state_dir_fd(r->staging.staged), "keyring.yaml", kt_bytes_view(&r->answer.document),
                           &attrs, err);
}

static bool pin(const struct replacement *r, struct kt_error *err)
{
    char owner[KT_HASH_TEXT_LEN];
    kt_hash_format(r->answer.owner, owner);
    return kt_config_edit_line(r->job.config->path, "owner", owner, err);
}

static bool unstage(struct replacement *r, struct kt_error *err)
{
    char path[KT_INIT_PATH_MAX + 64];
    kt_init_staged(&r->staging, "lock", path);
    if (!kt_init_clear(&r->staging, err))
        return false;
    return (unlink(path) == 0 && rmdir(r->staging.staging) == 0) ||
           kt_fail_errno(err, KT_E_IO, "%s: cannot be removed", r->staging.staging);
}

static bool bring_in(struct replacement *r, struct kt_slice document, struct kt_error *err)
{
    r->offered = true;
    if (kt_offer_run(r->job.options, r->job.config, document, &r->outcome, err))
        return unstage(r, err);
    (void)kt_error_prefix(err, "the new owner is pinned in %s, but its keyring is not in force", r->job.config->path);
    return kt_error_hint(err, "mend this and run `keyturn recovery replace --lost` again: it goes on from here");
}

static bool replace_lost(struct replacement *r, const struct kt_secret *fresh, struct kt_error *err)
{
    char work[KT_INIT_PATH_MAX + 64];
    if (!stage(r, work, err) || !prove(r, work, fresh, err))
        return false;
    r->offered = true;
    return pin(r, err) && bring_in(r, kt_bytes_view(&r->answer.document), err);
}

/* A run that was killed after it had pinned the new owner: its keyring is the one that keyturn.yaml trusts. */
static bool finish_earlier(struct replacement *r, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_KEYRING_MAX, .owner = geteuid(), .forbidden_mode = 0022};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    KT_CLEANUP_BYTES struct kt_bytes staged = {0};
    enum kt_file_state state = KT_FILE_ABSENT;
    if (!open_staging(r, err) ||
        !kt_file_read_if(kt_state_dir_fd(r->staging.staged), "keyring.yaml", &rules, &staged, &state, err))
        return false;
    const struct kt_opener_request request = {.op = KT_OPENER_DESCRIBE, .offered = kt_bytes_view(&staged)};
    if (state == KT_FILE_ABSENT || !kt_opener_local(r->job.config, r->job.config->path, &request, &answer, NULL))
        return true;
    memcpy(r->answer.owner, answer.info->founder, KT_HASH_LEN);
    r->finished = bring_in(r, kt_bytes_view(&staged), err);
    return r->finished;
}

static bool make(struct replacement *r, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *fresh = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, err);
    if (!fresh || !ask_opener(r, fresh, err))
        return false;
    if (r->job.options->dry_run)
        return true;
    if (r->lost ? replace_lost(r, fresh, err) : replace_known(r, fresh, err))
        return true;
    if (r->made && !r->offered)
        (void)unlink(r->recovery_out);
    return false;
}

static bool run(struct replacement *r, const struct kt_options *options, struct kt_error *err)
{
    if (!kt_member_start(options, &r->job, err))
        return false;
    if (r->lost && !options->dry_run && (!finish_earlier(r, err) || r->finished))
        return r->finished;
    return check_out(r, err) && confirm(r, err) && make(r, err);
}

static void print_lost(const struct replacement *r)
{
    puts("The recovery key was lost and is replaced: there is a new founding owner.");
    if (r->answer.n_lost > 0)
        printf("The archive is lost: %" PRIu64 " retired key%s can be opened only with the old recovery key.\n",
               r->answer.n_lost, r->answer.n_lost == 1 ? "" : "s");
    puts("Its fingerprint, which root pins on each other node (owner: in keyturn.yaml):");
    kt_fingerprint_print(r->answer.owner);
    printf("\nNext, there: owner: as above, then keyturn keyring offer FILE, with %s/keyring.yaml of this node\n",
           KT_PRINTABLE(r->job.config->state_dir));
}

static void print_known(const struct replacement *r)
{
    printf("The recovery key is replaced: membership %" PRIu64 ", generation %" PRIu64 "%s.\n", r->outcome.membership,
           r->outcome.generation, r->outcome.served ? ", served here" : "");
    if (r->answer.n_lost > 0)
        printf("%" PRIu64 " archived key%s can be opened only with a recovery key that was lost before.\n",
               r->answer.n_lost, r->answer.n_lost == 1 ? "" : "s");
    printf(
        "The old one opens and signs nothing from here on, once each node has this keyring:\n  keyturn keyring offer "
        "FILE, with %s/keyring.yaml of this one\n",
        KT_PRINTABLE(r->job.config->state_dir));
}

static bool print(const struct replacement *r, struct kt_error *err)
{
    const struct kt_options *options = r->job.options;
    if (options->json) {
        json_t *value = kt_json_new("RecoveryReplacement");
        if (value) {
            json_object_set_new(value, "changed", json_boolean(!options->dry_run));
            json_object_set_new(value, "lost", json_boolean(r->lost));
            json_object_set_new(value, "membership", json_integer((json_int_t)r->outcome.membership));
            json_object_set_new(value, "generation", json_integer((json_int_t)r->outcome.generation));
            json_object_set_new(value, "archivedKeysLost", json_integer((json_int_t)r->answer.n_lost));
            kt_fingerprint_json(value, r->answer.owner);
        }
        return kt_json_print(value, err);
    }
    if (options->dry_run)
        puts("The recovery key would be replaced.");
    else if (r->lost)
        print_lost(r);
    else
        print_known(r);
    return kt_output_done(err);
}

int kt_command_recovery_replace(int argc, char **argv)
{
    struct replacement replacement = {.lost = false};
    struct kt_command_line line = {
        .command = kt_command_find("recovery replace"), .own = own_options, .take = take, .closure = &replacement};
    kt_command_parse(&line, argc, argv);
    replacement.job.options = &line.options;
    struct kt_error err = KT_ERROR_INIT;
    bool done = run(&replacement, &line.options, &err) && print(&replacement, &err);
    kt_state_dir_free(replacement.staging.staged);
    kt_opener_answer_done(&replacement.answer);
    kt_member_done(&replacement.job);
    return done ? 0 : kt_print_error(&line.options, &err);
}
