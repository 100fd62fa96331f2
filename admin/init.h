/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of `keyturn init`. Everything is made in STATE.init beside the state directory, proved there, and renamed into
 * place; keyturn.yaml comes last. Killed before the rename, the next init starts afresh (nothing was ever encrypted
 * with those keys); killed after it, the next init finishes.
 */
#pragma once

#include "admin/command.h"
#include "keystore/state_dir.h"

#define KT_INIT_PATH_MAX 4200u

struct kt_init {
    const char *dir;          /* --dir, or NULL: the system's paths */
    const char *node;         /* --node, or NULL: the host's name */
    const char *recovery_out; /* --recovery-out, or NULL: the terminal */
    struct kt_ids allow_uids; /* --allow-uid */
    const struct kt_options *options;

    struct kt_config *config; /* the one to be written; owner set once founded */
    char config_path[4096];
    char staging[KT_INIT_PATH_MAX];
    struct kt_state_dir *staged; /* holds the lock of the staging directory */
    bool recovery_made;          /* recovery_out was made by this run */
    bool committed;              /* the keyring has its place: from here on recovery_out is the only key to it */
    bool finished_earlier;       /* a killed init had only keyturn.yaml left to write */
};

/* One more --allow-uid; EINVAL if it is none, or one too many. */
int kt_init_take_uid(struct kt_ids *ids, const char *arg);
/* Fills config, paths, from the options. */
bool kt_init_plan(struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
/* KT_E_EXISTS if there is a keyring or a configuration already. Sets finished_earlier after completing a killed init.
 */
bool kt_init_check(struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
/* The staging directory, empty but for the opener's folder and work.yaml; locked. */
bool kt_init_stage(struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
/* Its parts, for nodes that join (admin/join.h): the directory and its lock; what it holds removed; the opener's folder
 * and work.yaml. */
bool kt_init_stage_open(struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
bool kt_init_stage_clear(const struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
bool kt_init_stage_fill(const struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
/* The state directory itself, of a node that has lost it. */
bool kt_init_make_state_dir(const struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
/* The planned configuration, with that state directory, as a file. */
bool kt_init_write_config(const struct kt_init *init, const char *state_dir, const char *path,
                          struct kt_error *err) KT_MUST_CHECK;
/* Founds the keyring. *ret_document: its bytes; *ret_recovery: the recovery key. */
bool kt_init_found(struct kt_init *init, struct kt_bytes *ret_document, struct kt_secret **ret_recovery,
                   struct kt_error *err) KT_MUST_CHECK;
/* Hands the recovery key to the admin and proves, from what the admin has then, that it opens the keyring. */
bool kt_init_prove(struct kt_init *init, struct kt_slice document, const struct kt_secret *recovery,
                   struct kt_error *err) KT_MUST_CHECK;
/* keyring.yaml, floor, the rename, keyturn.yaml. */
bool kt_init_commit(struct kt_init *init, struct kt_slice document, struct kt_error *err) KT_MUST_CHECK;
/* Path of NAME in the staging directory. */
void kt_init_staged(const struct kt_init *init, const char *name, char ret[KT_INIT_PATH_MAX + 64]);
/* The configuration that waits in the state directory for its place. */
#define KT_INIT_PENDING "keyturn.yaml.init"
