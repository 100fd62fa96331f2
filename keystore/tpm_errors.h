/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a TPM's answer means to an operator: tpm_errors.def as a table, by the command and the code. The one wrapper of
 * TSS2_RC (tss2_common.h; TPM 2.0 Library Part 2 §6.6). Messages have at most KT_TPM_MESSAGE_MAX bytes and hints
 * KT_TPM_HINT_MAX, so that healthz shows them whole.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

#define KT_TPM_MESSAGE_MAX 140u
#define KT_TPM_HINT_MAX    110u

/* What was being done. Its text and its TPM command are in tpm_errors.c. */
enum kt_tpm_step {
    KT_TPM_STEP_ANY, /* in the table: whatever it was */
    KT_TPM_STEP_OPEN,
    KT_TPM_STEP_READ_SRK,
    KT_TPM_STEP_MAKE_SRK,
    KT_TPM_STEP_KEEP_SRK,
    KT_TPM_STEP_SESSION,
    KT_TPM_STEP_SEAL,
    KT_TPM_STEP_LOAD,
    KT_TPM_STEP_READ_PCRS,
    KT_TPM_STEP_POLICY_PCR,
    KT_TPM_STEP_LOAD_KEY,
    KT_TPM_STEP_VERIFY,
    KT_TPM_STEP_AUTHORIZE,
    KT_TPM_STEP_UNSEAL,
    KT_TPM_STEP_CLOCK,
    KT_TPM_STEP_MAKE_EK,
    KT_TPM_STEP_COUNT,
};

struct kt_tpm_failure {
    enum kt_tpm_step step;
    uint32_t rc;     /* TSS2_RC; 0: none */
    uint32_t handle; /* of the SRK; 0: not known, or not persistent */
};

/* Without session, handle and parameter numbers, and without the layer of a resource manager: 0x9d for 0x99d. Codes of
 * the TCTI and ESYS layers stay as they are. */
uint32_t kt_tpm_rc_base(uint32_t rc);

enum kt_tpm_retry {
    KT_TPM_RETRY_NEVER,
    KT_TPM_RETRY_LATER,  /* transient: with back-off */
    KT_TPM_RETRY_REOPEN, /* the connection is lost: likewise, over a new one */
    KT_TPM_RETRY_POLICY, /* a PCR was extended meanwhile: at once, with new sessions */
};
enum kt_tpm_retry kt_tpm_rc_retry(uint32_t rc);

/* Fills *err. Returns false. */
bool kt_tpm_error(const struct kt_tpm_failure *failure, struct kt_error *err) KT_COLD;
/* The same of a device that could not even be opened (sys_errno from open(2)); path is shown. */
bool kt_tpm_error_device(const char *path, int sys_errno, struct kt_error *err) KT_COLD;
