/* SPDX-License-Identifier: Apache-2.0 */
/* What `keyturn node check` says, as it comes from the opener. */
#pragma once

#include "keystore/tpm_blob.h"

struct kt_tpm_report {
    bool there;                  /* this node has a sealed key; else only `present` is filled, for the PCRs asked for */
    struct kt_tpm_policy policy; /* that it is sealed under; PCR: with the digests */
    bool suspended;
    bool booted;                 /* while suspended: the machine has booted since */
    struct kt_tpm_policy resume; /* while suspended: what comes next */
    uint32_t parent_handle;      /* 0: the SRK is not persistent */
    bool parent_rsa;
    uint8_t parent_name[KT_TPM_NAME_LEN];
    bool opens;                 /* the policy (resume, while suspended) is fulfilled by the present PCRs */
    char why[256];              /* why not, unless PCRs that differ say it all */
    struct kt_tpm_pcrs present; /* the PCRs that the policy names, as they are now; mask 0: none */
};
