/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TPM through tpm2-tss: the connection, and how often something is tried. Private to the opener (the only program
 * that links tpm2-tss). Calls block; whoever started the opener enforces the deadline.
 */
#pragma once

#include "base/secret.h"
#include "keystore/tpm_errors.h"

#include <tss2/tss2_esys.h>

struct kt_tpm {
    const char *tcti; /* NAME:CONFIGURATION as tctildr takes it */
    TSS2_TCTI_CONTEXT *wire;
    ESYS_CONTEXT *esys;            /* NULL: not connected */
    struct kt_tpm_failure failure; /* of the last step that failed; rc 0: no TPM was to blame */
    uint32_t parent_handle;        /* for failure */
    uint64_t give_up_ns;           /* CLOCK_MONOTONIC: nothing is tried again after that */
};

/* Connects at the first operation. timeout_s: how long the whole request may take; retries use less than half of it. */
void kt_tpm_init(struct kt_tpm *tpm, const char *tcti, unsigned timeout_s);
void kt_tpm_done(struct kt_tpm *tpm);

/* Whether the step went well; remembers what failed. */
bool kt_tpm_step(struct kt_tpm *tpm, enum kt_tpm_step step, TSS2_RC rc) KT_MUST_CHECK;

/* Does op, from its beginning again where the code that it failed with says so (kt_tpm_rc_retry): so op leaves nothing
 * behind, in the TPM or in closure, when it fails. A failed step of op becomes *err, by kt_tpm_error; other failures
 * fill *err themselves. */
typedef bool kt_tpm_op(struct kt_tpm *tpm, void *closure, struct kt_error *err);
bool kt_tpm_run(struct kt_tpm *tpm, kt_tpm_op *op, void *closure, struct kt_error *err) KT_MUST_CHECK;

/* Flushes a session or a transient object; ESYS_TR_NONE is fine. */
void kt_tpm_flush(struct kt_tpm *tpm, ESYS_TR handle);
/* Esys_Free of what held a secret. */
void kt_tpm_free_wiped(void *memory, size_t len);
