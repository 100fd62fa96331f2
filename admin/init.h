/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of `keyturn init`. Everything is made in STATE.init beside the state directory, proved there, and renamed into
 * place; keyturn.yaml comes last. Killed before the rename, the next init starts afresh (nothing was ever encrypted
 * with those keys); killed after it, the next init finishes.
 *
 * The lock of STATE.init, which the rename takes along, spans all of it: of several runs at once one goes on, and
 * whoever gets the lock looks again at what is there.
 */
#pragma once

#include "admin/command.h"
#include "base/file.h"
#include "keystore/state_dir.h"

#define KT_INIT_PATH_MAX 4200u

struct kt_init {
    const char *dir;          /* --dir, or NULL: the system's paths */
    const char *node;         /* --node, or NULL: the host's name */
    const char *recovery_out; /* --recovery-out, or NULL: the terminal */
    struct kt_ids allow_uids; /* --allow-uid */
    enum kt_key_type type;    /* --provider: of the first key */
    bool tpm;                 /* --tpm, or one of the three below */
    bool no_tpm;              /* --no-tpm, of nodes that join */
    const char *tcti;         /* --tcti, or NULL: the default */
    const char *tpm_policy;   /* --tpm-policy, or NULL: none */
    const char *signature;    /* --pcr-signature, or NULL */
    const struct kt_options *options;

    struct kt_tpm_policy *policy; /* parsed; NULL: none was given */
    struct kt_config *config;     /* the one to be written; owner set once founded */
    char home[KT_INIT_PATH_MAX];  /* where dir is or will be, absolute, without links; "": the system's paths */
    char config_path[4096];
    char staging[KT_INIT_PATH_MAX];
    char made[4][KT_INIT_PATH_MAX]; /* directories that were not there: dir, staging, and two for the sockets */
    size_t n_made;
    struct kt_state_dir *staged; /* holds the lock of the staging directory */
    bool recovery_made;          /* recovery_out was made by this run */
    bool committed;              /* the keyring has its place: from here on recovery_out is the only key to it */
    bool finished_earlier; /* a killed init had only keyturn.yaml left to write; in a dry run: it would be written */
};

/* Options about the TPM, as rows of an argp table. */
enum {
    KT_INIT_OPTION_TPM = 0x300,
    KT_INIT_OPTION_NO_TPM,
    KT_INIT_OPTION_TCTI,
    KT_INIT_OPTION_TPM_POLICY,
    KT_INIT_OPTION_PCR_SIGNATURE
};
#define KT_INIT_ROW_TPM                                                                             \
    {                                                                                               \
        .name = "tpm", .key = KT_INIT_OPTION_TPM, .doc = "Seal this node's private half to its TPM" \
    }
#define KT_INIT_ROW_NO_TPM                                                                               \
    {                                                                                                    \
        .name = "no-tpm", .key = KT_INIT_OPTION_NO_TPM, .doc = "Keep this node's private half in a file" \
    }
#define KT_INIT_ROW_TCTI                                             \
    {                                                                \
        .name = "tcti", .key = KT_INIT_OPTION_TCTI, .arg = "TCTI",   \
        .doc = "How the TPM is reached (default device:/dev/tpmrm0)" \
    }
#define KT_INIT_ROW_TPM_POLICY                                                   \
    {                                                                            \
        .name = "tpm-policy", .key = KT_INIT_OPTION_TPM_POLICY, .arg = "POLICY", \
        .doc = "none (default), pcr:BANK:N,N... or signed:BANK:N,N...:KEY.pem"   \
    }
#define KT_INIT_ROW_PCR_SIGNATURE                                                     \
    {                                                                                 \
        .name = "pcr-signature", .key = KT_INIT_OPTION_PCR_SIGNATURE, .arg = "FILE",  \
        .doc = "Signature file of a signed policy (keyturn node sign-pcrs makes one)" \
    }
/* ARGP_ERR_UNKNOWN if it is none of them. */
int kt_init_take_tpm(struct kt_init *init, int key, const char *arg);
/* Puts them into config and policy. KT_E_USAGE, KT_E_REFUSED. */
bool kt_init_plan_tpm(struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
/* One more --allow-uid; EINVAL if it is none, or one too many. */
int kt_init_take_uid(struct kt_ids *ids, const char *arg);
/* Fills config, paths, from the options; makes nothing. What keyturn.yaml could not have is refused. */
bool kt_init_plan(struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
/* "/real/directory/name", whether that name exists or not. Heap; NULL with errno: its directory does not. */
char *kt_init_place(const char *path) KT_MUST_CHECK;
/* Locks the staging directory that a killed run has left, if there is one (KT_E_BUSY: the run is at it still). */
bool kt_init_claim(struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
/* After a claim and a refusal: removes the staging directory if nothing is in it but the lock. */
void kt_init_release(const struct kt_init *init);
/* KT_E_EXISTS if there is a keyring or a configuration already; refuses all else that would fail later, as far as it
 * can be seen. Completes a killed init (kt_init_finish). Without the lock of the staging directory, it can only refuse:
 * once that is locked, it has to be asked again. */
bool kt_init_check(struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
/* kt_dir_make that is remembered for kt_init_undo. */
bool kt_init_make_dir(struct kt_init *init, const char *path, const struct kt_file_attrs *attrs,
                      struct kt_error *err) KT_MUST_CHECK;
bool kt_init_has_made(const struct kt_init *init, const char *path) KT_MUST_CHECK;
/* Removes every file from the staging directory that a run before this one may have left in it. */
bool kt_init_clear(const struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
/* After a failure: removes what this run has made, and what is in the staging directory. Once committed it does
 * nothing, since then the next run finishes what this one began, and the recovery key that was handed out is the
 * keyring's. */
void kt_init_undo(const struct kt_init *init);
/* The staging directory, locked (KT_E_BUSY); then, once it is cleared, the opener's folder and work.yaml in it. */
bool kt_init_stage_open(struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
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

/* What an earlier init has left in the state directory: nothing; all but keyturn.yaml, or but the removal of what
 * waited for it; all; a keyring without keyturn.yaml, which nobody can finish. */
enum kt_init_earlier { KT_INIT_NONE, KT_INIT_CUT_SHORT, KT_INIT_WHOLE, KT_INIT_KEYRING_ONLY };
enum kt_init_earlier kt_init_find_earlier(const struct kt_init *init) KT_MUST_CHECK;
/* The keyring has its place: keyturn.yaml with that text, and the end. Else KT_E_INCOMPLETE: running init again does
 * it. */
bool kt_init_complete(const struct kt_init *init, struct kt_slice text, struct kt_error *err) KT_MUST_CHECK;
/* Completes an init that was cut short, and sets config to what is in its keyturn.yaml and finished_earlier; in a dry
 * run only these. KT_E_BUSY: that init is at it still; finished_earlier not set: it is not any more. */
bool kt_init_finish(struct kt_init *init, struct kt_error *err) KT_MUST_CHECK;
/* Makes *err KT_E_INCOMPLETE: the keyring has its place, and the recovery key belongs to it. Returns false. */
bool kt_init_fail_incomplete(struct kt_error *err);
/* Path of NAME in the staging directory. */
void kt_init_staged(const struct kt_init *init, const char *name, char ret[KT_INIT_PATH_MAX + 64]);
/* The configuration that waits in the state directory for its place. */
#define KT_INIT_PENDING "keyturn.yaml.init"
