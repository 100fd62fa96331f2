/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under which policy a node's private half is sealed in its TPM: none, literal PCR values, or PCR values that a key has
 * signed (TPM 2.0 Library Part 1 §19, Part 3 TPM2_PolicyPCR and TPM2_PolicyAuthorize). As text: "none",
 * "pcr:BANK:N,N...", "signed:BANK:N,N...:KEY.pem"; BANK is sha256 or sha384. Policy digests are SHA-256, computed here
 * with OpenSSL alone, as the TPM computes them. No TPM is needed for anything in this file.
 */
#pragma once

#include "base/buf.h"

#define KT_TPM_PCRS        24u
#define KT_TPM_DIGEST_MAX  48u
#define KT_TPM_KEY_MAX     1024u /* a SubjectPublicKeyInfo; of RSA-4096 it has 550 bytes */
#define KT_TPM_POLICY_TEXT 160u
#define KT_TPM_SHA256      0x000bu /* TPM_ALG_SHA256, TPM_ALG_SHA384 */
#define KT_TPM_SHA384      0x000cu

enum kt_tpm_policy_kind { KT_TPM_POLICY_NONE, KT_TPM_POLICY_PCR, KT_TPM_POLICY_SIGNED };

struct kt_tpm_pcrs {
    uint16_t bank; /* KT_TPM_SHA256, KT_TPM_SHA384 */
    uint32_t mask; /* bit n: PCR n */
    uint8_t digests[KT_TPM_PCRS][KT_TPM_DIGEST_MAX];
};

struct kt_tpm_policy {
    enum kt_tpm_policy_kind kind;
    struct kt_tpm_pcrs pcrs; /* PCR, SIGNED: which; PCR: with the digests that it was sealed to */
    uint8_t key[KT_TPM_KEY_MAX];
    size_t key_len; /* SIGNED: the public key, as SubjectPublicKeyInfo in DER */
};

/* 0 for a bank that is none of ours. */
size_t kt_tpm_bank_len(uint16_t bank);
const char *kt_tpm_bank_text(uint16_t bank);
/* Digests in *pcrs stay as they are. KT_E_USAGE. "sha256:7,14". */
bool kt_tpm_pcrs_parse(const char *text, struct kt_tpm_pcrs *ret, struct kt_error *err) KT_MUST_CHECK;

/* KT_E_USAGE. *ret_key_file: of a signed policy, the rest of text: a PEM file that the caller reads
 * (kt_tpm_key_from_pem); else NULL. */
bool kt_tpm_policy_parse(const char *text, struct kt_tpm_policy *ret, const char **ret_key_file,
                         struct kt_error *err) KT_MUST_CHECK;
/* "none", "pcr:sha256:7,14", "signed:sha256:11 by SHA256-OF-THE-KEY". */
void kt_tpm_policy_format(const struct kt_tpm_policy *policy, char ret[KT_TPM_POLICY_TEXT]);
/* PCRs that change while a machine runs would lock out every later start: KT_E_REFUSED, unless force. *ret_warning:
 * static text, or NULL. */
bool kt_tpm_policy_check(const struct kt_tpm_policy *policy, bool force, const char **ret_warning,
                         struct kt_error *err) KT_MUST_CHECK;

/* A public key, or the public half of a private one, from PEM: RSA of 2048 to 4096 bits or P-256, else KT_E_USAGE. */
bool kt_tpm_key_from_pem(struct kt_slice pem, const char *what, struct kt_tpm_policy *ret,
                         struct kt_error *err) KT_MUST_CHECK;
/* SHA-256 of the DER: "pkfp" of a signature file. */
bool kt_tpm_key_fingerprint(const struct kt_tpm_policy *policy, uint8_t ret[32], struct kt_error *err) KT_MUST_CHECK;
/* The key as TPM2_LoadExternal takes it: TPMT_PUBLIC, marshalled, nameAlg SHA-256. */
#define KT_TPM_PUBLIC_MAX 640u
bool kt_tpm_key_public(const struct kt_tpm_policy *policy, uint8_t ret[KT_TPM_PUBLIC_MAX], size_t *ret_len,
                       struct kt_error *err) KT_MUST_CHECK;

/* The digest of a policy session after TPM2_PolicyPCR over these values: "pol" of a signature file. */
bool kt_tpm_pcr_digest(const struct kt_tpm_pcrs *pcrs, uint8_t ret[32], struct kt_error *err) KT_MUST_CHECK;
/* authPolicy of the sealed object; false for KT_TPM_POLICY_NONE, which has none. */
bool kt_tpm_policy_digest(const struct kt_tpm_policy *policy, uint8_t ret[32], struct kt_error *err) KT_MUST_CHECK;

/* The form in node.tpm and in the opener's frames (docs/keyring-format.md §11). get makes the reader bad on anything
 * else. */
void kt_tpm_policy_put(struct kt_writer *w, const struct kt_tpm_policy *policy);
void kt_tpm_policy_get(struct kt_reader *r, struct kt_tpm_policy *ret);
void kt_tpm_pcrs_put(struct kt_writer *w, const struct kt_tpm_pcrs *pcrs, bool digests);
void kt_tpm_pcrs_get(struct kt_reader *r, bool digests, struct kt_tpm_pcrs *ret);
