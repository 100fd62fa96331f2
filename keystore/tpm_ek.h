/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endorsement key, by which a TPM is told from all others: made from the TPM's endorsement seed and the template
 * L-2 (ECC P-256; where the TPM lacks that, L-1, RSA-2048) of the TCG EK Credential Profile, so that its name stays the
 * same when the TPM is cleared. Only its name is wanted: it goes into requests (docs/enrolment-format.md §2).
 */
#pragma once

#include "keystore/tpm_srk.h"

/* *ret_there: false where the endorsement hierarchy has a password or is off. */
bool kt_tpm_ek_name(struct kt_tpm *tpm, uint8_t ret[KT_TPM_NAME_LEN], bool *ret_there,
                    struct kt_error *err) KT_MUST_CHECK;
