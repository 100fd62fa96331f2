/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/tpm_session.h"

#include "keystore/kdf.h"
#include "keystore/tpm_signature.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#define POINT_LEN 32

KT_DEFINE_CLEANUP(ECDSA_SIG *, ECDSA_SIG_free);

static const TPMT_SYM_DEF aes = {.algorithm = TPM2_ALG_AES, .keyBits = {.aes = 128}, .mode = {.aes = TPM2_ALG_CFB}};

bool kt_tpm_session_start(struct kt_tpm *tpm, const struct kt_tpm_parent *parent, ESYS_TR *ret)
{
    const TPMA_SESSION attributes = TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT;
    ESYS_TR session = ESYS_TR_NONE;

    if (!kt_tpm_step(tpm, KT_TPM_STEP_SESSION,
                     Esys_StartAuthSession(tpm->esys, parent->tr, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                           ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &aes, TPM2_ALG_SHA256, &session)))
        return false;
    if (!kt_tpm_step(tpm, KT_TPM_STEP_SESSION, Esys_TRSess_SetAttributes(tpm->esys, session, attributes, 0xff))) {
        kt_tpm_flush(tpm, session);
        return false;
    }
    *ret = session;
    return true;
}

static TPML_PCR_SELECTION selection_of(const struct kt_tpm_pcrs *pcrs, uint32_t mask)
{
    TPML_PCR_SELECTION selection = {.count = 1};

    selection.pcrSelections[0].hash = pcrs->bank;
    selection.pcrSelections[0].sizeofSelect = 3;
    for (unsigned i = 0; i < 3; i++)
        selection.pcrSelections[0].pcrSelect[i] = (BYTE)(mask >> 8 * i);
    return selection;
}

static uint32_t mask_of(const TPML_PCR_SELECTION *selection)
{
    uint32_t mask = 0;

    for (unsigned i = 0; selection->count == 1 && i < 3 && i < selection->pcrSelections[0].sizeofSelect; i++)
        mask |= (uint32_t)selection->pcrSelections[0].pcrSelect[i] << 8 * i;
    return mask;
}

/* Takes the digests that came for the PCRs of got, which are among those of left; false if they do not fit. */
static bool take_digests(const TPML_DIGEST *digests, uint32_t got, uint32_t left, struct kt_tpm_pcrs *pcrs)
{
    size_t len = kt_tpm_bank_len(pcrs->bank);
    uint32_t at = 0;

    if (got == 0 || (got & ~left) != 0)
        return false;
    for (unsigned i = 0; i < KT_TPM_PCRS; i++) {
        if (!(got >> i & 1))
            continue;
        if (at >= digests->count || digests->digests[at].size != len)
            return false;
        memcpy(pcrs->digests[i], digests->digests[at++].buffer, len);
    }
    return at == digests->count;
}

/* One TPM2_PCR_Read; it returns eight at most. *left: those that are missing. */
static bool read_some(struct kt_tpm *tpm, struct kt_tpm_pcrs *pcrs, uint32_t *left, struct kt_error *err)
{
    const TPML_PCR_SELECTION wanted = selection_of(pcrs, *left);
    TPML_PCR_SELECTION *got = NULL;
    TPML_DIGEST *digests = NULL;
    UINT32 counter = 0;
    bool good = kt_tpm_step(
        tpm, KT_TPM_STEP_READ_PCRS,
        Esys_PCR_Read(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &wanted, &counter, &got, &digests));

    if (good && mask_of(got) == 0) {
        good = kt_fail(err, KT_E_NODE_KEY, "the TPM has no bank %s, or not all of those PCRs in it",
                       kt_tpm_bank_text(pcrs->bank));
        (void)kt_error_hint(err, "tpm2_getcap pcrs lists banks: --tpm-policy with one; once sealed: keyturn "
                                 "recovery use --force --tpm-policy");
    } else if (good && !take_digests(digests, mask_of(got), *left, pcrs))
        good = kt_tpm_step(tpm, KT_TPM_STEP_READ_PCRS, TSS2_ESYS_RC_MALFORMED_RESPONSE);
    if (good)
        *left &= ~mask_of(got);
    Esys_Free(got);
    Esys_Free(digests);
    return good;
}

bool kt_tpm_pcrs_fill(struct kt_tpm *tpm, struct kt_tpm_pcrs *pcrs, struct kt_error *err)
{
    uint32_t left = pcrs->mask;

    while (left != 0)
        if (!read_some(tpm, pcrs, &left, err))
            return false;
    return true;
}

static bool policy_pcr(struct kt_tpm *tpm, ESYS_TR session, const struct kt_tpm_pcrs *pcrs)
{
    const TPML_PCR_SELECTION selection = selection_of(pcrs, pcrs->mask);
    const TPM2B_DIGEST present = {.size = 0};

    return kt_tpm_step(
        tpm, KT_TPM_STEP_POLICY_PCR,
        Esys_PolicyPCR(tpm->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &present, &selection));
}

static bool fail_unsigned(const struct kt_tpm_signature_source *source, enum kt_tpm_signature_found found,
                          struct kt_error *err)
{
    static const char *const texts[] = {
        [KT_TPM_SIGNATURE_NONE] = "has no signature for these PCRs by the policy's key",
        [KT_TPM_SIGNATURE_OTHER] = "has no signature for the present values of the PCRs",
        [KT_TPM_SIGNATURE_NOT_VALID] = "has an entry for the present PCRs that the policy's key did not sign"};

    (void)kt_fail(err, KT_E_NODE_KEY, "%.60s: %s", source->what, texts[found]);
    return kt_error_hint(err, "keyturn node check names the PCRs; sign them: keyturn node sign-pcrs");
}

static bool find_signature(const struct kt_tpm_signature_source *source, const struct kt_tpm_policy *policy,
                           const struct kt_tpm_pcrs *pcrs, struct kt_tpm_signature *ret, struct kt_error *err)
{
    enum kt_tpm_signature_found found = KT_TPM_SIGNATURE_NONE;

    if (!kt_tpm_signature_find(source->file, source->what, policy, pcrs, ret, &found, err))
        return false;
    return found == KT_TPM_SIGNATURE_THERE || fail_unsigned(source, found, err);
}

static bool signature_fill(const struct kt_tpm_signature *signature, bool rsa, TPMT_SIGNATURE *ret)
{
    const uint8_t *in = signature->bytes;

    if (rsa) {
        TPMS_SIGNATURE_RSA *sig = &ret->signature.rsassa;
        ret->sigAlg = TPM2_ALG_RSASSA;
        sig->hash = TPM2_ALG_SHA256;
        sig->sig.size = (UINT16)signature->len;
        memcpy(sig->sig.buffer, signature->bytes, signature->len);
        return true;
    }
    KT_CLEANUP(ECDSA_SIG_free_p) ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &in, (long)signature->len);
    TPMS_SIGNATURE_ECC *sig = &ret->signature.ecdsa;
    ERR_clear_error();
    ret->sigAlg = TPM2_ALG_ECDSA;
    sig->hash = TPM2_ALG_SHA256;
    sig->signatureR.size = sig->signatureS.size = POINT_LEN;
    return parsed && BN_bn2binpad(ECDSA_SIG_get0_r(parsed), sig->signatureR.buffer, POINT_LEN) == POINT_LEN &&
           BN_bn2binpad(ECDSA_SIG_get0_s(parsed), sig->signatureS.buffer, POINT_LEN) == POINT_LEN;
}

/* What TPM2_PolicyAuthorize needs, put together without the TPM. */
struct approval {
    TPM2B_PUBLIC key;
    TPM2B_NAME name;
    TPM2B_DIGEST policy;    /* approved: the session's digest after PolicyPCR */
    TPM2B_DIGEST hash;      /* that the signature is over */
    TPMT_SIGNATURE signed_; /* by the key */
};

static bool approval_fill(const struct kt_tpm_policy *policy, const struct kt_tpm_pcrs *pcrs,
                          const struct kt_tpm_signature *signature, struct approval *ret, struct kt_error *err)
{
    uint8_t area[KT_TPM_PUBLIC_MAX];
    size_t len = 0;
    size_t at = 0;

    if (!kt_tpm_key_public(policy, area, &len, err) || !kt_tpm_pcr_digest(pcrs, ret->policy.buffer, err))
        return false;
    const struct kt_slice approved = KT_SLICE(ret->policy.buffer, 32);
    const struct kt_slice public_area = KT_SLICE(area, len);
    ret->policy.size = ret->hash.size = 32;
    ret->name.size = KT_TPM_NAME_LEN;
    ret->name.name[0] = KT_TPM_SHA256 >> 8;
    ret->name.name[1] = KT_TPM_SHA256 & 0xff;
    if (!kt_sha256(&approved, 1, ret->hash.buffer, err) || !kt_sha256(&public_area, 1, ret->name.name + 2, err))
        return false;
    if (Tss2_MU_TPMT_PUBLIC_Unmarshal(area, len, &at, &ret->key.publicArea) != TSS2_RC_SUCCESS ||
        !signature_fill(signature, ret->key.publicArea.type == TPM2_ALG_RSA, &ret->signed_))
        return kt_fail(err, KT_E_NODE_KEY, "the policy's key or signature is malformed");
    return true;
}

static bool authorize(struct kt_tpm *tpm, ESYS_TR session, const struct approval *approval)
{
    const TPM2B_NONCE reference = {.size = 0};
    ESYS_TR key = ESYS_TR_NONE;
    TPMT_TK_VERIFIED *ticket = NULL;
    bool good = false;

    if (!kt_tpm_step(tpm, KT_TPM_STEP_LOAD_KEY,
                     Esys_LoadExternal(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, &approval->key,
                                       ESYS_TR_RH_OWNER, &key)))
        return false;
    good = kt_tpm_step(tpm, KT_TPM_STEP_VERIFY,
                       Esys_VerifySignature(tpm->esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &approval->hash,
                                            &approval->signed_, &ticket)) &&
           kt_tpm_step(tpm, KT_TPM_STEP_AUTHORIZE,
                       Esys_PolicyAuthorize(tpm->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                            &approval->policy, &reference, &approval->name, ticket));
    Esys_Free(ticket);
    kt_tpm_flush(tpm, key);
    return good;
}

static bool fulfil_signed(struct kt_tpm *tpm, ESYS_TR session, const struct kt_tpm_policy *policy,
                          const struct kt_tpm_signature_source *source, struct kt_error *err)
{
    struct kt_tpm_pcrs pcrs = policy->pcrs;
    struct kt_tpm_signature signature = {.len = 0};
    struct approval approval = {.hash = {.size = 0}};

    return kt_tpm_pcrs_fill(tpm, &pcrs, err) && find_signature(source, policy, &pcrs, &signature, err) &&
           approval_fill(policy, &pcrs, &signature, &approval, err) && policy_pcr(tpm, session, &pcrs) &&
           authorize(tpm, session, &approval);
}

bool kt_tpm_policy_start(struct kt_tpm *tpm, const struct kt_tpm_policy *policy,
                         const struct kt_tpm_signature_source *signature, ESYS_TR *ret, struct kt_error *err)
{
    ESYS_TR session = ESYS_TR_NONE;
    bool good = false;

    /* Not salted: it authenticates nothing, the HMAC session beside it does. */
    if (!kt_tpm_step(tpm, KT_TPM_STEP_SESSION,
                     Esys_StartAuthSession(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                           ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &aes, TPM2_ALG_SHA256, &session)))
        return false;
    good = policy->kind == KT_TPM_POLICY_PCR ? policy_pcr(tpm, session, &policy->pcrs)
                                             : fulfil_signed(tpm, session, policy, signature, err);
    if (!good) {
        kt_tpm_flush(tpm, session);
        return false;
    }
    *ret = session;
    return true;
}
