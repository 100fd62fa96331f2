/* SPDX-License-Identifier: Apache-2.0 */
/* What every command of keyturn shares: its row in the table, the common options, how it prints. */
#pragma once

#include "base/error.h"
#include "keystore/config.h"

#include <argp.h>
#include <jansson.h>

/* Options that are a text each: cluster_options.def. */
enum kt_cluster_option {
#define CLUSTER(field, option, argument, text) KT_CLUSTER_##field,
#include "admin/cluster_options.def"
#undef CLUSTER
    KT_CLUSTER_COUNT,
};

/* Options that more than one command takes (keyturn(1), COMMON OPTIONS). */
struct kt_options {
    const char *command;                   /* "node approve" */
    const char *config;                    /* --config; NULL: not given */
    const char *key_file;                  /* --key-file FILE or - */
    bool json;                             /* -o json */
    bool yes;                              /* --yes */
    bool dry_run;                          /* --dry-run */
    bool force;                            /* --force */
    bool verbose;                          /* -v */
    unsigned timeout_s;                    /* --timeout; default 30 */
    const char *fingerprint;               /* --fingerprint HEX */
    const char *wrong;                     /* what was wrong with them; NULL: nothing that has words */
    const char *cluster[KT_CLUSTER_COUNT]; /* NULL: not given */
    const char *api_servers[KT_API_SERVERS_MAX];
    size_t n_api_servers;
};
extern const struct argp kt_options_argp;
/* Of common options and of those to come, abbreviated or in a cluster too: whether it takes the next word as a value.
 */
bool kt_option_takes_value(const char *word) KT_MUST_CHECK;

struct kt_command {
    const char *name;      /* "status", "key list" */
    const char *arguments; /* "FILE", or "" */
    const char *summary;   /* one line, for keyturn --help and the man page */
    /* argv[0] is "keyturn NAME". Returns the exit status; prints its own results, and its error by kt_print_error. */
    int (*run)(int argc, char **argv);
};
extern const struct kt_command kt_commands[];
/* Commands that a later release brings: they exit with status 2 and say so. Ends with NULL. */
extern const char *const kt_commands_to_come[];

int kt_command_init(int argc, char **argv);
int kt_command_status(int argc, char **argv);
int kt_command_probe(int argc, char **argv);
int kt_command_prepare(int argc, char **argv);
int kt_command_rotate(int argc, char **argv);
int kt_command_reencrypt(int argc, char **argv);
int kt_command_rotate_keys(int argc, char **argv);
int kt_command_retire(int argc, char **argv);
int kt_command_migrate(int argc, char **argv);
int kt_command_enable(int argc, char **argv);
int kt_command_disable(int argc, char **argv);
int kt_command_config_apply(int argc, char **argv);
int kt_command_config_rollback(int argc, char **argv);
int kt_command_key_list(int argc, char **argv);
int kt_command_key_import(int argc, char **argv);
int kt_command_key_restore(int argc, char **argv);
int kt_command_keyring_show(int argc, char **argv);
int kt_command_keyring_offer(int argc, char **argv);
int kt_command_node_check(int argc, char **argv);
int kt_command_node_reseal(int argc, char **argv);
int kt_command_node_sign_pcrs(int argc, char **argv);
int kt_command_node_suspend(int argc, char **argv);
int kt_command_node_verify(int argc, char **argv);
int kt_command_recovery_verify(int argc, char **argv);
int kt_command_recovery_use(int argc, char **argv);
int kt_command_recovery_replace(int argc, char **argv);
int kt_command_node_request(int argc, char **argv);
int kt_command_node_approve(int argc, char **argv);
int kt_command_node_install(int argc, char **argv);
int kt_command_node_list(int argc, char **argv);
int kt_command_node_remove(int argc, char **argv);
int kt_command_config_show(int argc, char **argv);
int kt_command_audit(int argc, char **argv);
int kt_command_audit_show(int argc, char **argv);
int kt_command_audit_verify(int argc, char **argv);
int kt_command_config_check(int argc, char **argv);
int kt_command_config_diff(int argc, char **argv);
int kt_command_config_wire(int argc, char **argv);
int kt_command_config_unwire(int argc, char **argv);
int kt_command_doctor(int argc, char **argv);
int kt_command_census(int argc, char **argv);
int kt_command_version(int argc, char **argv);

/* A command's own options, arguments and help, over the common options. */
struct kt_command_line {
    const struct kt_command *command;
    const struct argp_option *own; /* NULL, or rows ending with {0} */
    /* Called for each of `own` (key) and for arguments (key ARGP_KEY_ARG). ARGP_ERR_UNKNOWN: too many. */
    error_t (*take)(int key, char *arg, void *closure);
    void *closure;
    unsigned timeout_s; /* where --timeout is not given; 0: 30 */
    struct kt_options options;
};
/* Whether they ask for JSON, where they cannot be parsed, or not yet: the last -o counts, as it does when parsed. */
bool kt_command_wants_json(int argc, char **argv);
/* Exits with status 2 on wrong use, 0 after --help, as argp does; the error is JSON where that was asked for. */
void kt_command_parse(struct kt_command_line *line, int argc, char **argv);
const struct kt_command *kt_command_find(const char *name);

/* "keyturn: message" and the hint on standard error, or one JSON object with -o json; both made printable
 * (base/printable.h). Returns the exit status, which is never 0. */
int kt_print_error(const struct kt_options *options, const struct kt_error *err);
/* {"apiVersion":"keyturn.dev/v1","kind":KIND}, to be filled and printed; steals nothing, NULL only out of memory. */
json_t *kt_json_new(const char *kind);
/* Text that is not ours, made printable, as json_string() would refuse it; NULL only out of memory. */
json_t *kt_json_text(const char *text);
/* Prints and frees. Fails where standard output does. */
bool kt_json_print(json_t *value, struct kt_error *err) KT_MUST_CHECK;
/* Flushes standard output: a result that did not arrive (closed pipe, full disk) is a failure. */
bool kt_output_done(struct kt_error *err) KT_MUST_CHECK;

/* Loads keyturn.yaml; heap. */
struct kt_config *kt_options_config(const struct kt_options *options, struct kt_error *err) KT_MUST_CHECK;
