/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature files in systemd's form (systemd-measure(1), tpm2-pcr-signature.json): for each set of PCR values that a
 * key has signed, {"sha256":[{"pcrs":[11],"pkfp":HEX,"pol":HEX,"sig":BASE64}, ...]}. pkfp is kt_tpm_key_fingerprint,
 * pol kt_tpm_pcr_digest, sig RSASSA-PKCS1-v1_5 or ECDSA (DER) with SHA-256 over the 32 bytes of pol.
 */
#pragma once

#include "keystore/tpm_policy.h"

#define KT_TPM_SIGNATURE_FILE_MAX ((size_t)1024 * 1024)
#define KT_TPM_SIGNATURE_MAX      512u /* RSA-4096 */

struct kt_tpm_signature {
    uint8_t bytes[KT_TPM_SIGNATURE_MAX];
    size_t len;
};

enum kt_tpm_signature_found {
    KT_TPM_SIGNATURE_NONE,      /* no entry for this bank, these PCRs and this key */
    KT_TPM_SIGNATURE_OTHER,     /* entries, but not for these values */
    KT_TPM_SIGNATURE_THERE,     /* *ret holds it */
    KT_TPM_SIGNATURE_NOT_VALID, /* an entry for these values, but not signed by this key */
};
/* Looks for the signature over pcrs (with digests) by the key of policy. KT_E_CONFIG, prefixed with what, if the file
 * is not of that form. */
bool kt_tpm_signature_find(struct kt_slice file, const char *what, const struct kt_tpm_policy *policy,
                           const struct kt_tpm_pcrs *pcrs, struct kt_tpm_signature *ret,
                           enum kt_tpm_signature_found *ret_found, struct kt_error *err) KT_MUST_CHECK;

/* The file (empty: none yet) with an entry more, or the same entry signed anew. private_pem: a private key without a
 * pass phrase. */
bool kt_tpm_signature_add(struct kt_slice file, const char *what, struct kt_slice private_pem,
                          const struct kt_tpm_pcrs *pcrs, struct kt_bytes *ret, struct kt_error *err) KT_MUST_CHECK;
