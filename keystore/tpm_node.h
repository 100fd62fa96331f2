/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This node's node.tpm: unsealing what is in it, and replacing it by the same key sealed under another policy. A
 * replacement is proved to unseal before it takes the old one's place, in one rename: a kill at any point leaves one
 * that opens. Whoever replaces holds node.lock.
 */
#pragma once

#include "keystore/recipient.h"
#include "keystore/tpm_seal.h"

struct kt_tpm_node {
    const struct kt_recipient_source *source;
    struct kt_tpm tpm;
    struct kt_bytes file;    /* node.tpm */
    struct kt_tpm_blob blob; /* points into it */
    struct kt_bytes signature;
    int lock; /* -1: not held */
};
void kt_tpm_node_init(struct kt_tpm_node *node, const struct kt_recipient_source *source);
void kt_tpm_node_done(struct kt_tpm_node *node);

/* Reads node.tpm; with lock, nobody replaces it meanwhile (KT_E_BUSY). */
bool kt_tpm_node_read(struct kt_tpm_node *node, bool lock, struct kt_error *err) KT_MUST_CHECK;
struct kt_secret *kt_tpm_node_unseal(struct kt_tpm_node *node, struct kt_error *err) KT_MUST_CHECK;
/* That it is sealed under; while suspended, what comes next. */
const struct kt_tpm_policy *kt_tpm_node_policy(const struct kt_tpm_node *node);
/* Whether the machine has booted since the key was suspended. */
bool kt_tpm_node_booted(struct kt_tpm_node *node, bool *ret, struct kt_error *err) KT_MUST_CHECK;

struct kt_tpm_wish {
    const struct kt_tpm_policy *policy; /* to be sealed under; NULL: the present one, or the suspended one */
    bool suspend;                       /* none until the next boot, then the present one */
};
/* The new node.tpm, not in place yet, and what it unseals to, which is the same as scalar. */
bool kt_tpm_node_seal(struct kt_tpm_node *node, const struct kt_secret *scalar, const struct kt_tpm_wish *wish,
                      struct kt_bytes *ret, struct kt_secret **ret_proof, struct kt_error *err) KT_MUST_CHECK;
bool kt_tpm_node_replace(struct kt_tpm_node *node, struct kt_slice bytes, struct kt_error *err) KT_MUST_CHECK;

/* The signature file of a signed policy into node->signature; *ret points to it. KT_E_NODE_KEY if there is none. */
bool kt_tpm_node_signature(struct kt_tpm_node *node, const struct kt_tpm_policy *policy,
                           struct kt_tpm_signature_source *ret, struct kt_error *err) KT_MUST_CHECK;
