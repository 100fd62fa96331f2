/* SPDX-License-Identifier: Apache-2.0 */
/* node.tpm in the opener's folder: this node's private half, sealed in its TPM (docs/keyring-format.md §11). */
#pragma once

#include "keystore/tpm_policy.h"

#define KT_TPM_FILE     "node.tpm"
#define KT_TPM_LOCK     "node.lock" /* whoever replaces node.tpm holds it */
#define KT_TPM_BLOB_MAX 8192u
#define KT_TPM_NAME_LEN 34u

/* Which of the four well-known templates the parent was made from; ANY: made by somebody else. */
enum kt_tpm_template {
    KT_TPM_TEMPLATE_ANY,
    KT_TPM_TEMPLATE_ECC,
    KT_TPM_TEMPLATE_ECC_ZERO,
    KT_TPM_TEMPLATE_RSA,
    KT_TPM_TEMPLATE_RSA_ZERO,
    KT_TPM_TEMPLATE_COUNT,
};

struct kt_tpm_blob {
    uint8_t parent_name[KT_TPM_NAME_LEN]; /* pinned: TPM_ALG_SHA256 and the digest of the SRK's public part */
    uint32_t parent_handle;               /* where it was found; 0: it is not persistent */
    enum kt_tpm_template template;
    bool parent_rsa;
    struct kt_slice public_part;  /* TPM2B_PUBLIC and TPM2B_PRIVATE as TPM2_Create returned them, marshalled */
    struct kt_slice private_part; /* point into the bytes that were decoded */
    struct kt_tpm_policy policy;  /* that it is sealed under; while suspended none */
    bool suspended;
    uint32_t suspended_at;       /* the TPM's resetCount then: another one means that it has booted since */
    struct kt_tpm_policy resume; /* while suspended: what it is sealed under again after the next boot */
};

bool kt_tpm_blob_encode(const struct kt_tpm_blob *blob, struct kt_bytes *ret, struct kt_error *err) KT_MUST_CHECK;
/* KT_E_NODE_KEY_LOST if it is not one, KT_E_NODE_KEY of a newer release. Slices of *ret point into bytes. */
bool kt_tpm_blob_decode(struct kt_slice bytes, struct kt_tpm_blob *ret, struct kt_error *err) KT_MUST_CHECK;
