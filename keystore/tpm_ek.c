/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/tpm_ek.h"

#include <string.h>

#define ECC_LEN 32u
#define RSA_LEN 256u

/* TPM2_PolicySecret(TPM_RH_ENDORSEMENT), as the profile has it. */
static const uint8_t policy[] = {0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc,
                                 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52,
                                 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa};

static void fill_ecc(TPMT_PUBLIC *area, const TPMT_SYM_DEF_OBJECT *symmetric)
{
    area->type = TPM2_ALG_ECC;
    area->parameters.eccDetail.symmetric = *symmetric;
    area->parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
    area->parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
    area->parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
    area->unique.ecc.x.size = area->unique.ecc.y.size = ECC_LEN;
}

static void fill_rsa(TPMT_PUBLIC *area, const TPMT_SYM_DEF_OBJECT *symmetric)
{
    area->type = TPM2_ALG_RSA;
    area->parameters.rsaDetail.symmetric = *symmetric;
    area->parameters.rsaDetail.scheme.scheme = TPM2_ALG_NULL;
    area->parameters.rsaDetail.keyBits = 2048;
    area->unique.rsa.size = RSA_LEN;
}

static void template_fill(bool rsa, TPM2B_PUBLIC *ret)
{
    const TPMT_SYM_DEF_OBJECT symmetric = {
        .algorithm = TPM2_ALG_AES, .keyBits = {.aes = 128}, .mode = {.aes = TPM2_ALG_CFB}};
    TPMT_PUBLIC *area = &ret->publicArea;

    *ret = (TPM2B_PUBLIC){.size = 0};
    area->nameAlg = TPM2_ALG_SHA256;
    area->objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                             TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
    area->authPolicy.size = sizeof(policy);
    memcpy(area->authPolicy.buffer, policy, sizeof(policy));
    if (rsa)
        fill_rsa(area, &symmetric);
    else
        fill_ecc(area, &symmetric);
}

struct job {
    uint8_t name[KT_TPM_NAME_LEN];
    bool there;
};

static bool make(struct kt_tpm *tpm, bool rsa, ESYS_TR *ret)
{
    TPM2B_PUBLIC wanted;

    template_fill(rsa, &wanted);
    return kt_tpm_step(tpm, KT_TPM_STEP_MAKE_EK, kt_tpm_create_primary(tpm, ESYS_TR_RH_ENDORSEMENT, &wanted, ret));
}

/* What is not to be had by trying again is none of our business: the name is of use, not needed. */
static bool name_once(struct kt_tpm *tpm, void *closure, struct kt_error *err)
{
    struct job *job = closure;
    ESYS_TR key = ESYS_TR_NONE;

    (void)err;
    tpm->parent_handle = 0;
    job->there = make(tpm, false, &key) || (kt_tpm_lacks_p256(tpm->failure.rc) && make(tpm, true, &key));
    if (!job->there)
        return kt_tpm_rc_retry(tpm->failure.rc) == KT_TPM_RETRY_NEVER;
    job->there = kt_tpm_read_name(tpm, KT_TPM_STEP_MAKE_EK, key, job->name);
    kt_tpm_flush(tpm, key);
    return job->there;
}

bool kt_tpm_ek_name(struct kt_tpm *tpm, uint8_t ret[KT_TPM_NAME_LEN], bool *ret_there, struct kt_error *err)
{
    struct job job = {.there = false};

    if (!kt_tpm_run(tpm, name_once, &job, err))
        return false;
    memcpy(ret, job.name, KT_TPM_NAME_LEN);
    *ret_there = job.there;
    return true;
}
