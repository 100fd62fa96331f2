/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions with a TPM, and PCRs, as steps of an operation (kt_tpm_run). Private to tpm_seal.c. */
#pragma once

#include "keystore/tpm_seal.h"

/* HMAC, salted with parent, encrypting both ways; authorises the parent and objects without a policy. */
bool kt_tpm_session_start(struct kt_tpm *tpm, const struct kt_tpm_parent *parent, ESYS_TR *ret) KT_MUST_CHECK;
/* A policy session in which policy has been fulfilled as far as the TPM is concerned. */
bool kt_tpm_policy_start(struct kt_tpm *tpm, const struct kt_tpm_policy *policy,
                         const struct kt_tpm_signature_source *signature, ESYS_TR *ret,
                         struct kt_error *err) KT_MUST_CHECK;
bool kt_tpm_pcrs_fill(struct kt_tpm *tpm, struct kt_tpm_pcrs *pcrs, struct kt_error *err) KT_MUST_CHECK;
