/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage root key: the parent that a node's private half is sealed under (TCG TPM v2.0 Provisioning Guidance
 * §7.5.1; templates H-1 and L-1 of the EK credential profile with the attributes that systemd, Windows and go-tpm-tools
 * use).
 */
#pragma once

#include "keystore/tpm_blob.h"
#include "keystore/tpm_device.h"

struct kt_tpm_parent {
    ESYS_TR tr;
    uint32_t handle; /* 0: transient, to be flushed */
    enum kt_tpm_template template;
    bool rsa;
    uint8_t name[KT_TPM_NAME_LEN]; /* recomputed from the public part that sessions are salted with */
};

/* The key whose name is pinned in blob: at its handle, at the two usual ones, else made again from the templates. It is
 * compared before anything is encrypted to it. KT_E_NODE_KEY_LOST if this TPM has no such key. */
bool kt_tpm_parent_find(struct kt_tpm *tpm, const struct kt_tpm_blob *blob, struct kt_tpm_parent *ret,
                        struct kt_error *err) KT_MUST_CHECK;
/* For a first sealing: the one that is there, else one is made (ECC P-256; RSA-2048 where the TPM cannot do that) and
 * made persistent. */
bool kt_tpm_parent_obtain(struct kt_tpm *tpm, struct kt_tpm_parent *ret, struct kt_error *err) KT_MUST_CHECK;
void kt_tpm_parent_release(struct kt_tpm *tpm, struct kt_tpm_parent *parent);

/* Shared with tpm_ek.c. A primary key of a hierarchy without a password. */
TSS2_RC kt_tpm_create_primary(struct kt_tpm *tpm, ESYS_TR hierarchy, const TPM2B_PUBLIC *wanted,
                              ESYS_TR *ret) KT_MUST_CHECK;
/* The name of an object, recomputed from its public part. */
bool kt_tpm_read_name(struct kt_tpm *tpm, enum kt_tpm_step step, ESYS_TR tr,
                      uint8_t ret[KT_TPM_NAME_LEN]) KT_MUST_CHECK;
/* A TPM without P-256 refuses a template with such a code; whatever else is wrong shows with RSA as well. */
bool kt_tpm_lacks_p256(uint32_t rc) KT_MUST_CHECK;
