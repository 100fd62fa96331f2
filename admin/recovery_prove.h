/* SPDX-License-Identifier: Apache-2.0 */
/* Handing a new recovery key to the admin, and the proof, from what the admin has then, that it opens the keyring. */
#pragma once

#include "base/buf.h"
#include "base/secret.h"
#include "keystore/config.h"

struct kt_recovery_proof {
    const struct kt_config *config;
    const char *config_path;  /* what the opener reads: it pins the document's founding owner */
    const char *recovery_out; /* NULL: shown on the terminal, and typed in again */
    struct kt_slice document;
};
/* *ret_made: recovery_out was made, also where the proof failed after that. */
bool kt_recovery_prove(const struct kt_recovery_proof *proof, const struct kt_secret *recovery, bool *ret_made,
                       struct kt_error *err) KT_MUST_CHECK;
