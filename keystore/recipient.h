/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of recipients. One file per kind (recipient_file.c, recipient_recovery.c, recipient_tpm2.c) behind this table,
 * which is linked by the opener alone. To wrap for a recipient its public half suffices, whatever its kind.
 */
#pragma once

#include "base/secret.h"
#include "keystore/config.h"
#include "keystore/key.h"
#include "keystore/p256.h"
#include "keystore/tpm_policy.h"

#define KT_RECIPIENT_NOTE_LEN 256u

/* Where a recipient's private half is found. */
struct kt_recipient_source {
    int dirfd;                            /* the opener's folder; for kinds that keep something on this node */
    const struct kt_secret *recovery_key; /* for kind recovery, where it was given */
    const struct kt_config *config;       /* for kind tpm2: tpm.*, opener.timeout */
    const struct kt_tpm_policy *policy;   /* make of kind tpm2: what it is sealed under; NULL: none */
    bool look_only;                       /* load: nothing on this node changes, a suspension stays */
    char *ret_note; /* load: what wants a human, KT_RECIPIENT_NOTE_LEN, "" at first; NULL: nobody asks */
};

struct kt_recipient_ops {
    enum kt_recipient_kind kind;
    const char *file; /* in the opener's folder, what make made; NULL: nothing */
    /* The key pair; its private half never leaves this process. KT_E_NODE_KEY, KT_E_NODE_KEY_LOST (it
     * will not open by itself again) or KT_E_RECOVERY_KEY with what to do. */
    struct kt_p256 *(*load)(const struct kt_recipient_source *source, struct kt_error *err);
    /* Makes a new private half for this node and keeps it (KT_E_EXISTS if there is one); NULL: this kind is made
     * elsewhere. */
    struct kt_p256 *(*make)(const struct kt_recipient_source *source, struct kt_error *err);
};

extern const struct kt_recipient_ops kt_recipient_file;
extern const struct kt_recipient_ops kt_recipient_recovery;
extern const struct kt_recipient_ops kt_recipient_tpm2;

/* NULL if this release has no such kind. */
const struct kt_recipient_ops *kt_recipient_find(enum kt_recipient_kind kind);
