/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/init.h"
#include "admin/key_type.h"
#include "admin/terminal.h"
#include "base/file.h"
#include "base/printable.h"
#include "keystore/key_name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_DIR = 0x200, OPTION_NODE, OPTION_PROVIDER, OPTION_ALLOW_AESGCM, OPTION_ALLOW_UID, OPTION_RECOVERY_OUT };

static const struct argp_option own_options[] = {
    {.name = "dir", .key = OPTION_DIR, .arg = "DIR", .doc = "Keep everything in DIR, under the present user"},
    {.name = "node", .key = OPTION_NODE, .arg = "NAME", .doc = "Name of this node (default: the host's)"},
    {.name = "provider", .key = OPTION_PROVIDER, .arg = "TYPE", .doc = "kms (default), aescbc or secretbox"},
    {.name = "allow-aesgcm", .key = OPTION_ALLOW_AESGCM, .doc = "Let --provider be aesgcm"},
    {.name = "allow-uid",
     .key = OPTION_ALLOW_UID,
     .arg = "UID",
     .doc = "This user may call the KMS socket too; may be repeated"},
    {.name = "recovery-out",
     .key = OPTION_RECOVERY_OUT,
     .arg = "FILE",
     .doc = "Write the recovery key to FILE (0600) instead of the terminal"},
    KT_INIT_ROW_TPM,
    KT_INIT_ROW_TCTI,
    KT_INIT_ROW_TPM_POLICY,
    KT_INIT_ROW_PCR_SIGNATURE,
    {0},
};

struct arguments {
    struct kt_init init;
    bool allow_aesgcm;
};

static error_t take(int key, char *arg, void *closure)
{
    struct arguments *arguments = closure;
    switch (key) {
    case OPTION_DIR:
        arguments->init.dir = arg;
        return arg[0] ? 0 : EINVAL;
    case OPTION_NODE:
        arguments->init.node = arg;
        return 0;
    case OPTION_PROVIDER:
        arguments->init.type = kt_key_type_parse(arg);
        return arguments->init.type ? 0 : EINVAL;
    case OPTION_ALLOW_AESGCM:
        arguments->allow_aesgcm = true;
        return 0;
    case OPTION_ALLOW_UID:
        return kt_init_take_uid(&arguments->init.allow_uids, arg);
    case OPTION_RECOVERY_OUT:
        arguments->init.recovery_out = arg;
        return arg[0] ? 0 : EINVAL;
    default:
        return kt_init_take_tpm(&arguments->init, key, arg);
    }
}

/* Whoever cannot be asked, or shown a recovery key, has to say so by options. */
static bool check_terminal(const struct kt_init *init, struct kt_error *err)
{
    if (init->options->dry_run || (init->recovery_out && init->options->yes))
        return true;
    KT_CLEANUP(kt_fd_close_p) int terminal = kt_terminal_open(err);
    if (terminal < 0)
        return kt_error_hint(err, "without a terminal: keyturn init --yes --recovery-out FILE");
    return true;
}

static bool confirm(const struct kt_init *init, struct kt_error *err)
{
    if (init->options->yes)
        return true;
    KT_CLEANUP(kt_fd_close_p) int terminal = kt_terminal_open(err);
    if (terminal < 0)
        return false;
    dprintf(terminal, "Make a keyring for node %s in %s, and %s? [y/N] ", init->config->node,
            KT_PRINTABLE(init->config->state_dir), KT_PRINTABLE(init->config_path));
    char answer[8] = "";
    ssize_t got = read(terminal, answer, sizeof(answer) - 1);
    if (got > 0 && (answer[0] == 'y' || answer[0] == 'Y'))
        return true;
    return kt_fail(err, KT_E_REFUSED, "not confirmed: nothing was made");
}

static bool make_keyring(struct kt_init *init, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes document = {0};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *recovery = NULL;
    return kt_init_clear(init, err) && kt_init_stage_fill(init, err) &&
           kt_init_found(init, &document, &recovery, err) &&
           kt_init_prove(init, kt_bytes_view(&document), recovery, err) &&
           kt_init_commit(init, kt_bytes_view(&document), err);
}

static bool make(struct kt_init *init, struct kt_error *err)
{
    bool done = kt_init_stage_open(init, err) && kt_init_check(init, err) &&
                (init->finished_earlier || make_keyring(init, err));
    kt_init_undo(init);
    return done;
}

static bool check(struct kt_init *init, struct kt_error *err)
{
    return kt_init_claim(init, err) && kt_init_check(init, err) &&
           (init->finished_earlier || init->options->dry_run || (check_terminal(init, err) && confirm(init, err)));
}

static bool run(struct kt_init *init, struct kt_error *err)
{
    if (!kt_init_plan(init, err))
        return false;
    bool checked = check(init, err);
    if (checked && !init->finished_earlier && !init->options->dry_run)
        return make(init, err);
    kt_init_release(init);
    return checked;
}

static void print_plan(const struct kt_init *init)
{
    if (init->finished_earlier)
        printf("Would write %s: all that is missing of an earlier init that was cut short.\n"
               "The recovery key that it gave out stays valid.\n",
               KT_PRINTABLE(init->config_path));
    else
        printf("Would make %s (keyring, first key, private half of %s) and %s.\n",
               KT_PRINTABLE(init->config->state_dir), init->config->node, KT_PRINTABLE(init->config_path));
}

/* An inline key is in the file, in the form that k3s and RKE2 give it. */
static void print_next(const struct kt_init *init)
{
    const char *file = init->type == KT_KEY_KMS ? "encryption-config.yaml" : "encryption-config.json";
    puts("\nNext:");
    if (!init->dir) {
        puts("  systemctl enable --now keyturnd-kms.socket keyturnd-control.socket keyturnd.service");
        if (init->allow_uids.n > 0)
            puts("  (systemctl edit keyturnd-kms.socket, [Socket] SocketMode=0666: so that the further users can "
                 "connect)");
        printf("  mkdir -p /etc/kubernetes/enc && keyturn config show --out /etc/kubernetes/enc/%s\n", file);
    } else {
        printf("  keyturnd --config %s &\n", KT_SHELL(init->config_path));
        printf("  keyturn config show --config %s --out %s\n", KT_SHELL(init->config_path), file);
    }
    puts("  kube-apiserver ... --encryption-provider-config=FILE --encryption-provider-config-automatic-reload=true");
}

static void print_text(const struct kt_init *init)
{
    if (init->options->dry_run) {
        print_plan(init);
        return;
    }
    if (init->finished_earlier) {
        printf("%s: keyring generation 1, for node %s and the recovery key.\n"
               "An earlier init made it and was cut short; now there is %s too. The recovery key is the one that\n"
               "the earlier init gave out; this one wrote none.\n",
               KT_PRINTABLE(init->config->state_dir), init->config->node, KT_PRINTABLE(init->config_path));
    } else {
        printf("%s: keyring generation 1 with one key (%s), for node %s and the recovery key.\n",
               KT_PRINTABLE(init->config->state_dir), kt_key_name_first(init->type), init->config->node);
        if (init->recovery_out)
            printf("%s: the recovery key. It was proved to open the keyring; move it off this machine.\n",
                   KT_PRINTABLE(init->recovery_out));
    }
    print_next(init);
}

static bool print(const struct kt_init *init, struct kt_error *err)
{
    if (!init->options->json) {
        print_text(init);
        return kt_output_done(err);
    }
    json_t *value = kt_json_new("Init");
    if (value) {
        const bool dry = init->options->dry_run;
        json_object_set_new(value, "changed", json_boolean(!dry));
        json_object_set_new(value, "finishedEarlier", json_boolean(init->finished_earlier && !dry));
        if (dry)
            json_object_set_new(value, "wouldFinishEarlier", json_boolean(init->finished_earlier));
        json_object_set_new(value, "config", kt_json_text(init->config_path));
        json_object_set_new(value, "stateDir", kt_json_text(init->config->state_dir));
        json_object_set_new(value, "node", kt_json_text(init->config->node));
        json_object_set_new(value, "kmsSocket", kt_json_text(init->config->kms_socket));
        json_object_set_new(value, "controlSocket", kt_json_text(init->config->control_socket));
        json_object_set_new(value, "recoveryKeyFile",
                            kt_json_text(init->recovery_out && !init->finished_earlier ? init->recovery_out : ""));
    }
    return kt_json_print(value, err);
}

int kt_command_init(int argc, char **argv)
{
    struct arguments arguments = {.init = {.type = KT_KEY_KMS}};
    struct kt_command_line line = {
        .command = kt_command_find("init"), .own = own_options, .take = take, .closure = &arguments};
    kt_command_parse(&line, argc, argv);
    arguments.init.options = &line.options;
    struct kt_error err = KT_ERROR_INIT;
    bool done = kt_key_type_allowed(arguments.init.type, arguments.allow_aesgcm, &err) && run(&arguments.init, &err) &&
                print(&arguments.init, &err);
    kt_state_dir_free(arguments.init.staged);
    free(arguments.init.config);
    free(arguments.init.policy);
    return done ? 0 : kt_print_error(&line.options, &err);
}
