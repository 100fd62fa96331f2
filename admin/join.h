/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a node gets a new private half and the keyring that goes with it: `node request` and `node install`, and
 * `recovery use`, which does both in one. Everything is made in STATE.join beside the state directory.
 *
 * A new node: STATE.join becomes the state directory by one rename, keyturn.yaml comes last, as with `init`. One that
 * had joined before (keyturn.yaml is there): its opener's folder and that of STATE.join change places, then the keyring
 * is offered to the daemon, or installed (admin/join_exchange.h); its old keyrings stay. Killed anywhere, the same
 * command brings it to its end.
 */
#pragma once

#include "admin/init.h"
#include "admin/offer.h"

struct kt_join {
    struct kt_init init; /* dir, node, allow_uids, options from the command; the rest by kt_join_plan */
    bool rejoins;        /* keyturn.yaml is there */
};

/* Options that the commands share, as rows of an argp table; a command's own keys begin at KT_JOIN_OPTION_OWN. */
enum { KT_JOIN_OPTION_DIR = 0x200, KT_JOIN_OPTION_NODE, KT_JOIN_OPTION_ALLOW_UID, KT_JOIN_OPTION_OWN };
#define KT_JOIN_ROW_DIR                                         \
    {                                                           \
        .name = "dir", .key = KT_JOIN_OPTION_DIR, .arg = "DIR", \
        .doc = "Keep everything in DIR, under the present user" \
    }
#define KT_JOIN_ROW_NODE                                                                                            \
    {                                                                                                               \
        .name = "node", .key = KT_JOIN_OPTION_NODE, .arg = "NAME", .doc = "Name of this node (default: the host's)" \
    }
#define KT_JOIN_ROW_ALLOW_UID                                               \
    {                                                                       \
        .name = "allow-uid", .key = KT_JOIN_OPTION_ALLOW_UID, .arg = "UID", \
        .doc = "This user may call the KMS socket too; may be repeated"     \
    }
/* Which private half: --tpm and what goes with it, --no-tpm (admin/init.h). */
#define KT_JOIN_ROWS_TPM \
    KT_INIT_ROW_TPM, KT_INIT_ROW_NO_TPM, KT_INIT_ROW_TCTI, KT_INIT_ROW_TPM_POLICY, KT_INIT_ROW_PCR_SIGNATURE
/* --dir, --node, --allow-uid, and those. */
error_t kt_join_take(int key, const char *arg, struct kt_join *join);

/* The configuration, there or planned, and the paths. init.finished_earlier: a killed run had only keyturn.yaml left to
 * write, which is done. KT_E_EXISTS: a keyring without a configuration. */
bool kt_join_plan(struct kt_join *join, struct kt_error *err) KT_MUST_CHECK;
/* Also removes STATE.join where a rejoin has put nothing into it. */
void kt_join_done(struct kt_join *join);

/* The lock of STATE.join (KT_E_BUSY), made where it is not there. */
bool kt_join_open(struct kt_join *join, struct kt_error *err) KT_MUST_CHECK;
/* What the node has of its life so far; empty for a new one, and for one that lost its state directory. Heap;
 * kt_state_done, free. */
bool kt_join_state(const struct kt_join *join, struct kt_state **ret, struct kt_error *err) KT_MUST_CHECK;
/* Whatever an earlier run has left is removed; then the opener's folder, work.yaml and plan.yaml. */
bool kt_join_begin(struct kt_join *join, struct kt_error *err) KT_MUST_CHECK;
/* What `node request` planned, and work.yaml again; keyring.yaml and floor of a killed run are removed, unless it had
 * exchanged the private halves (admin/join_exchange.h). */
bool kt_join_resume(struct kt_join *join, struct kt_error *err) KT_MUST_CHECK;
/* What the run that filled STATE.join planned (KT_E_REFUSED if none did), and taking that over: for a new node all of
 * it, else where the private half is kept. */
bool kt_join_read_plan(const struct kt_join *join, struct kt_config *ret, struct kt_error *err) KT_MUST_CHECK;
void kt_join_adopt(struct kt_join *join, const struct kt_config *plan);
/* A file of STATE.join; *ret is empty if it is not there. */
bool kt_join_read(const struct kt_join *join, const char *name, struct kt_bytes *ret,
                  struct kt_error *err) KT_MUST_CHECK;
bool kt_join_write(const struct kt_join *join, const char *name, struct kt_slice bytes,
                   struct kt_error *err) KT_MUST_CHECK;

/* Asks the opener, whose folder is the one with the new private half: in STATE.join, or exchanged already. */
bool kt_join_ask(const struct kt_join *join, const struct kt_opener_request *request, struct kt_opener_answer *ret,
                 struct kt_error *err) KT_MUST_CHECK;
/* That keyring is installed, and no request waits for another one. Then kt_join_tidy is left. */
bool kt_join_is_done(const struct kt_join *join, struct kt_slice document) KT_MUST_CHECK;
/* STATE.join, open, is removed with all that it holds. */
bool kt_join_tidy(struct kt_join *join, struct kt_error *err) KT_MUST_CHECK;
/* The keyring that the new private half opens comes into force; STATE.join is gone. owner, provider (NULL: as planned):
 * for a new node's keyturn.yaml. */
struct kt_join_result {
    struct kt_slice document;
    const uint8_t *owner;
    const char *provider;
};
bool kt_join_finish(struct kt_join *join, const struct kt_join_result *result, struct kt_outcome *ret,
                    struct kt_error *err) KT_MUST_CHECK;
