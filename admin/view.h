/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this node knows of its keyring and its daemon: from keyturnd over the control socket, or, where that does not
 * answer, from the file on disk (verified, not opened).
 */
#pragma once

#include "admin/command.h"
#include "admin/control_client.h"
#include "admin/opener_local.h"

struct kt_view {
    struct kt_config *config;
    /* NULL: the daemon did not answer; then `unreachable` says why. */
    Keyturn__Control__V1__Reply *reply;
    struct kt_error unreachable;
    /* What the keyring says; from the daemon or from disk. NULL: neither could tell; then `unknown` says why. */
    struct kt_keyring_info *info;
    struct kt_error unknown;
};
/* Fails only where there is no configuration. wait_s > 0: asks again until the daemon serves, or the time is over. */
bool kt_view_get(const struct kt_options *options, unsigned wait_s, struct kt_view *ret,
                 struct kt_error *err) KT_MUST_CHECK;
void kt_view_done(struct kt_view *view);

/* A command that shows what is known of the keyring, as text or as JSON, and has no options of its own: all of it, from
 * the command line to the exit status. */
struct kt_view_command {
    const char *name;
    bool (*text)(const struct kt_view *view, struct kt_error *err);
    bool (*json)(const struct kt_view *view, struct kt_error *err);
};
int kt_view_run(const struct kt_view_command *command, int argc, char **argv);

/* The daemon's status; NULL if it did not answer. */
const Keyturn__Control__V1__Status *kt_view_status(const struct kt_view *view);
/* 0, or the exit status for what is wrong: 7 no daemon, 6 no keyring open, 8 a finding. Fills *err with the first
 * problem. */
bool kt_view_healthy(const struct kt_view *view, struct kt_error *err) KT_MUST_CHECK;

/* What a command says that opened the keyring and changed nothing; what: "The recovery key". */
struct kt_opened {
    const char *kind; /* of the JSON */
    const char *what;
};
bool kt_view_print_opened(const struct kt_options *options, const struct kt_opened *opened,
                          const struct kt_keyring_info *info, struct kt_error *err) KT_MUST_CHECK;

/* The parts that several commands print as JSON; NULL out of memory. */
json_t *kt_view_json_keys(const struct kt_view *view);
json_t *kt_view_json_keyring(const struct kt_view *view);
json_t *kt_view_json_daemon(const struct kt_view *view);
/* "KMS-v2 kmskey", as k3s names keys in its JSON. */
void kt_view_key_title(const struct kt_key_info *key, char *ret, size_t cap);
