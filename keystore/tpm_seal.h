/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing 32 bytes under the SRK and unsealing them. Both go over an HMAC session that is salted with the parent, after
 * its name was compared, and whose parameters are encrypted with AES-128-CFB: the wire shows no secret, and answers are
 * authenticated.
 */
#pragma once

#include "keystore/tpm_srk.h"

/* What TPM2_Create returned, and where: everything of a blob but a suspension. */
struct kt_tpm_sealed {
    struct kt_bytes public_part;
    struct kt_bytes private_part;
    struct kt_tpm_blob blob; /* its slices point into the two above */
};
void kt_tpm_sealed_done(struct kt_tpm_sealed *sealed);

/* PCR policies are sealed to the present values, which end up in ret->blob.policy. */
bool kt_tpm_seal(struct kt_tpm *tpm, const struct kt_secret *secret, const struct kt_tpm_policy *policy,
                 struct kt_tpm_sealed *ret, struct kt_error *err) KT_MUST_CHECK;

/* A signature file, for signed policies. */
struct kt_tpm_signature_source {
    struct kt_slice file;
    const char *what; /* its name, for messages */
};
/* NULL on failure; KT_E_NODE_KEY, KT_E_NODE_KEY_LOST etc. by tpm_errors.def. */
struct kt_secret *kt_tpm_unseal(struct kt_tpm *tpm, const struct kt_tpm_blob *blob,
                                const struct kt_tpm_signature_source *signature, struct kt_error *err) KT_MUST_CHECK;

/* Fills the digests of pcrs->mask. */
bool kt_tpm_read_pcrs(struct kt_tpm *tpm, struct kt_tpm_pcrs *pcrs, struct kt_error *err) KT_MUST_CHECK;
/* How often the TPM was reset, once for each boot of the machine (TPMS_CLOCK_INFO). */
bool kt_tpm_reset_count(struct kt_tpm *tpm, uint32_t *ret, struct kt_error *err) KT_MUST_CHECK;
/* Whether the blob's parent is there, without unsealing anything. */
bool kt_tpm_check_parent(struct kt_tpm *tpm, const struct kt_tpm_blob *blob, struct kt_error *err) KT_MUST_CHECK;
