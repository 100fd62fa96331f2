/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of keyturn-opener, one per enum kt_opener_op. */
#pragma once

#include "keystore/config.h"
#include "keystore/opener.h"

struct kt_opener_ops {
    const struct kt_config *config;
    int folder;    /* the opener's own, STATE/opener; -1 until an operation needs it */
    bool made_key; /* this run made the node's private half */
};

/* Where the private half is needed, STATE/opener must be a directory of ours with mode 0700 (KT_E_PERMISSION). What a
 * failed operation had made is removed again. */
bool kt_opener_perform(struct kt_opener_ops *ops, const struct kt_opener_request *request, struct kt_opener_answer *ret,
                       struct kt_error *err) KT_MUST_CHECK;
/* After an answer that could not be delivered: as if nothing had been made. */
void kt_opener_undo(struct kt_opener_ops *ops);
void kt_opener_ops_done(struct kt_opener_ops *ops);
