/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/command.h"
#include "base/arena.h"
#include "base/harden.h"

#include <stdio.h>
#include <string.h>

const struct kt_command kt_commands[] = {
    {"init", "", "Make a keyring, its first key, its recovery key and keyturn.yaml", kt_command_init},
    {"status", "", "Show stage, keys and what serves them", kt_command_status},
    {"probe", "", "Wrap and unwrap one random DEK seed over the KMS socket", kt_command_probe},
    {"prepare", "", "Append a new key, which decrypts and does not encrypt yet", kt_command_prepare},
    {"rotate", "", "Have every API server encrypt with the new key", kt_command_rotate},
    {"reencrypt", "", "Rewrite what is stored under the old keys, and prove it", kt_command_reencrypt},
    {"rotate-keys", "", "Prepare, rotate and reencrypt in one", kt_command_rotate_keys},
    {"migrate", "", "From one type of key to another, or from keys that others wrote", kt_command_migrate},
    {"retire", "", "Move old keys whose hold is over into the archive", kt_command_retire},
    {"enable", "", "Have every API server encrypt, and what is stored in clear too", kt_command_enable},
    {"disable", "", "Have every API server write in clear, and what is encrypted too", kt_command_disable},
    {"key list", "", "List the keys of the keyring, in order", kt_command_key_list},
    {"key import", "", "Take a key that comes from elsewhere into the keyring", kt_command_key_import},
    {"key restore", "ID...", "Bring archived keys back, for a backup that needs them", kt_command_key_restore},
    {"keyring show", "", "Show what the keyring says, without secrets", kt_command_keyring_show},
    {"keyring offer", "FILE", "Offer a newer keyring to this node", kt_command_keyring_offer},
    {"node request", "", "Ask to join: write a request for a member to approve", kt_command_node_request},
    {"node approve", "REQUEST", "Let a node join, and write the bundle for it", kt_command_node_approve},
    {"node install", "BUNDLE", "Join with the bundle that came back", kt_command_node_install},
    {"node list", "", "List who can open the keyring", kt_command_node_list},
    {"node remove", "NAME", "Take a node out of the keyring", kt_command_node_remove},
    {"node verify", "", "Prove that this node's key opens the keyring", kt_command_node_verify},
    {"node reseal", "", "Seal this node's key in its TPM anew, under another policy", kt_command_node_reseal},
    {"node suspend", "", "Seal without a policy for one boot, before a firmware update", kt_command_node_suspend},
    {"node sign-pcrs", "", "Sign PCR values for a signed policy", kt_command_node_sign_pcrs},
    {"node check", "", "Tell whether the next boot will open this node's sealed key", kt_command_node_check},
    {"recovery verify", "", "Prove that a recovery key opens the keyring", kt_command_recovery_verify},
    {"recovery use", "", "Bring this node back with the recovery key", kt_command_recovery_use},
    {"recovery replace", "", "Replace the recovery key, also one that is lost", kt_command_recovery_replace},
    {"config show", "", "Print or write the EncryptionConfiguration of the keyring", kt_command_config_show},
    {"config check", "FILE", "Tell what kube-apiserver makes of an EncryptionConfiguration", kt_command_config_check},
    {"config diff", "", "Show what the keyring would change in an EncryptionConfiguration", kt_command_config_diff},
    {"config apply", "", "Bring the EncryptionConfiguration to what the keyring has", kt_command_config_apply},
    {"config rollback", "", "Put the previous EncryptionConfiguration back", kt_command_config_rollback},
    {"config wire", "", "Tell this host's kube-apiserver to encrypt with keyturn's keys", kt_command_config_wire},
    {"config unwire", "", "Tell it to no longer", kt_command_config_unwire},
    {"doctor", "", "Find what is wrong in how this host's kube-apiserver is told to encrypt", kt_command_doctor},
    {"audit", "", "Show the audit log: who changed what, and when", kt_command_audit},
    {"audit show", "", "The same", kt_command_audit_show},
    {"audit verify", "", "Prove that nothing of the audit log was changed or cut off", kt_command_audit_verify},
    {"census", "", "Count what is stored under which key, and prove it", kt_command_census},
    {"version", "", "Print the release", kt_command_version},
    {NULL, NULL, NULL, NULL},
};

const char *const kt_commands_to_come[] = {
    "sync",
    NULL,
};

static const char usage_text[] = "Usage: keyturn COMMAND [OPTION...]\n"
                                 "Keys for Kubernetes data at rest, kept in the machines themselves.\n\n";

static void print_help(FILE *out)
{
    fputs(usage_text, out);
    for (const struct kt_command *c = kt_commands; c->name; c++) {
        char left[64];
        snprintf(left, sizeof(left), "%s %s", c->name, c->arguments);
        fprintf(out, "  %-22s %s\n", left, c->summary);
    }
    fputs("\n`keyturn COMMAND --help` shows the options of one command; keyturn(1) explains all of them.\n", out);
}

/* A command is one word or two: the longest row that fits the first arguments. */
static const struct kt_command *find(int argc, char **argv, int *ret_words)
{
    char two[128];
    const char *second = argc > 2 ? argv[2] : "";
    snprintf(two, sizeof(two), "%s %s", argv[1], second);
    *ret_words = 2;
    const struct kt_command *command = kt_command_find(two);
    if (command)
        return command;
    *ret_words = 1;
    return kt_command_find(argv[1]);
}

static bool to_come(int argc, char **argv)
{
    for (const char *const *name = kt_commands_to_come; *name; name++) {
        size_t first = strcspn(*name, " ");
        if (strlen(argv[1]) != first || strncmp(*name, argv[1], first) != 0)
            continue;
        if ((*name)[first] == '\0' || (argc > 2 && strcmp(*name + first + 1, argv[2]) == 0))
            return true;
    }
    return false;
}

/* leading: so many words of options stand before the command. */
static int refuse(int argc, char **argv, int leading)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_options options = {.json = kt_command_wants_json(argc, argv)};
    if (to_come(argc - leading, argv + leading)) {
        kt_fail(&err, KT_E_UNSUPPORTED, "this release does not have that command yet");
        kt_error_hint(&err, "keyturn --help lists the commands that it has");
    } else {
        kt_fail(&err, KT_E_USAGE, "there is no such command");
        kt_error_hint(&err, "keyturn --help lists the commands");
    }
    return kt_print_error(&options, &err);
}

/* Options before the command (keyturn --config F status) are handed to it, behind its name. */
static int leading_options(int argc, char **argv)
{
    int i = 1;
    while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0')
        i += kt_option_takes_value(argv[i]) ? 2 : 1;
    return i < argc ? i - 1 : 0;
}

static void rotate_left(char **argv, int from, int by, int words)
{
    for (int round = 0; round < by; round++) {
        char *first = argv[from];
        memmove(&argv[from], &argv[from + 1], (size_t)(by + words - 1) * sizeof(argv[0]));
        argv[from + by + words - 1] = first;
    }
}

static int dispatch(int argc, char **argv)
{
    int leading = leading_options(argc, argv);
    int words = 1;
    if (leading > 0) {
        const struct kt_command *command = find(argc - leading, argv + leading, &words);
        if (!command)
            return refuse(argc, argv, leading);
        rotate_left(argv, 1, leading, words);
    }
    const struct kt_command *command = find(argc, argv, &words);
    if (!command)
        return refuse(argc, argv, 0);
    char name[160];
    snprintf(name, sizeof(name), "keyturn %s", command->name);
    argv[words] = name;
    return command->run(argc - words, argv + words);
}

int main(int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_options options = {.json = kt_command_wants_json(argc, argv)};
    enum kt_memory_lock locked;
    if (argc < 2) {
        print_help(stderr);
        return kt_code_exit(KT_E_USAGE);
    }
    /* Help has no secrets, and is wanted most where memory cannot be locked. */
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return kt_output_done(&err) ? 0 : kt_print_error(&options, &err);
    }
    if (!kt_harden_process(&err) || !kt_arena_install((size_t)4 << 20, &err) || !kt_harden_memory(&locked, &err))
        return kt_print_error(&options, &err);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        char *version[] = {argv[0], NULL};
        return kt_command_version(1, version);
    }
    return dispatch(argc, argv);
}
