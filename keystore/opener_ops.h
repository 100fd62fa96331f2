/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of keyturn-opener, one per enum kt_opener_op. */
#pragma once

#include "keystore/config.h"
#include "keystore/opener.h"
#include "keystore/recipient.h"

struct kt_opener_ops {
    const struct kt_config *config;
    int folder;       /* the opener's own, STATE/opener; -1 until an operation needs it */
    const char *made; /* the file in which this run has kept the node's private half; NULL: it made none */
    bool open_only;   /* started for the keeper: OPEN and nothing else */
    bool look_only;   /* a suspension of the sealed key stays as it is */
    char note[KT_RECIPIENT_NOTE_LEN]; /* what wants a human about the private half; "": nothing */
};

/* Where the private half is needed, STATE/opener must be a directory of ours with mode 0700 (KT_E_PERMISSION). What a
 * failed operation had made is removed again. */
bool kt_opener_perform(struct kt_opener_ops *ops, const struct kt_opener_request *request, struct kt_opener_answer *ret,
                       struct kt_error *err) KT_MUST_CHECK;
/* After an answer that could not be delivered: as if nothing had been made. */
void kt_opener_undo(struct kt_opener_ops *ops);
void kt_opener_ops_done(struct kt_opener_ops *ops);

/* For the files that have the operations: the folder, this node's key pair, what a keyring says. */
bool kt_opener_open_folder(struct kt_opener_ops *ops, struct kt_error *err) KT_MUST_CHECK;
struct kt_p256 *kt_opener_load_own(struct kt_opener_ops *ops, struct kt_error *err) KT_MUST_CHECK;
bool kt_opener_copy_info(const struct kt_keyring *keyring, struct kt_opener_answer *answer,
                         struct kt_error *err) KT_MUST_CHECK;

/* opener_ops_tpm.c */
bool kt_opener_reseal(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                      struct kt_opener_answer *answer, struct kt_error *err) KT_MUST_CHECK;
bool kt_opener_check(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                     struct kt_opener_answer *answer, struct kt_error *err) KT_MUST_CHECK;
bool kt_opener_suspend(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                       struct kt_opener_answer *answer, struct kt_error *err) KT_MUST_CHECK;
bool kt_opener_node_policy(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                           struct kt_opener_answer *answer, struct kt_error *err) KT_MUST_CHECK;
/* Of a tpm2 recipient: the names for its request. */
bool kt_opener_tpm_names(struct kt_opener_ops *ops, struct kt_node_request *ret, struct kt_error *err) KT_MUST_CHECK;
bool kt_opener_node_verify(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                           struct kt_opener_answer *answer, struct kt_error *err) KT_MUST_CHECK;
