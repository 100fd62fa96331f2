/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of recipients. One file per kind (recipient_file.c, recipient_recovery.c; recipient_tpm2.c to come) behind this
 * table; a kind that is not in the table can stand in a membership (its public half suffices to wrap for it), but
 * cannot be this node's.
 */
#pragma once

#include "base/secret.h"
#include "keystore/key.h"
#include "keystore/p256.h"

/* Where a recipient's private half is found. */
struct kt_recipient_source {
    int dirfd;                            /* the opener's folder; for kinds that keep something on this node */
    const struct kt_secret *recovery_key; /* for kind recovery, where it was given */
};

struct kt_recipient_ops {
    enum kt_recipient_kind kind;
    /* The key pair; its private half never leaves this process. KT_E_NODE_KEY or KT_E_RECOVERY_KEY with what to do. */
    struct kt_p256 *(*load)(const struct kt_recipient_source *source, struct kt_error *err);
    /* Makes a new private half for this node and keeps it (KT_E_EXISTS if there is one); NULL: this kind is made
     * elsewhere. */
    struct kt_p256 *(*make)(const struct kt_recipient_source *source, struct kt_error *err);
};

extern const struct kt_recipient_ops kt_recipient_file;
extern const struct kt_recipient_ops kt_recipient_recovery;

/* NULL if this release has no such kind. */
const struct kt_recipient_ops *kt_recipient_find(enum kt_recipient_kind kind);
