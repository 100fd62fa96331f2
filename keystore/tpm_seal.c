/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/tpm_seal.h"

#include "keystore/tpm_session.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#define PART_MAX 2048u

void kt_tpm_sealed_done(struct kt_tpm_sealed *sealed)
{
    kt_bytes_done(&sealed->public_part);
    kt_bytes_done(&sealed->private_part);
}

/* Sealing. */

struct seal_job {
    const struct kt_secret *secret;
    const struct kt_tpm_policy *policy;
    struct kt_tpm_sealed *ret;
};

static bool public_fill(const struct kt_tpm_policy *policy, TPM2B_PUBLIC *ret, struct kt_error *err)
{
    TPMT_PUBLIC *area = &ret->publicArea;
    bool free_to_use = policy->kind == KT_TPM_POLICY_NONE;

    *ret = (TPM2B_PUBLIC){.size = 0};
    area->type = TPM2_ALG_KEYEDHASH;
    area->nameAlg = TPM2_ALG_SHA256;
    area->objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA |
                             (free_to_use ? TPMA_OBJECT_USERWITHAUTH : TPMA_OBJECT_ADMINWITHPOLICY);
    area->parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
    if (free_to_use)
        return true;
    area->authPolicy.size = 32;
    return kt_tpm_policy_digest(policy, area->authPolicy.buffer, err);
}

static bool create(struct kt_tpm *tpm, const struct kt_tpm_parent *parent, ESYS_TR session,
                   const struct kt_secret *secret, const TPM2B_PUBLIC *public_area, TPM2B_PRIVATE **ret_private,
                   TPM2B_PUBLIC **ret_public)
{
    const TPM2B_DATA outside = {.size = 0};
    const TPML_PCR_SELECTION pcrs = {.count = 0};
    TPM2B_SENSITIVE_CREATE sensitive = {.size = 0};
    TPM2B_CREATION_DATA *data = NULL;
    TPM2B_DIGEST *hash = NULL;
    TPMT_TK_CREATION *ticket = NULL;
    bool good = false;

    sensitive.sensitive.data.size = (UINT16)kt_secret_len(secret);
    memcpy(sensitive.sensitive.data.buffer, kt_secret_view(secret), kt_secret_len(secret));
    good = kt_tpm_step(tpm, KT_TPM_STEP_SEAL,
                       Esys_Create(tpm->esys, parent->tr, session, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, public_area,
                                   &outside, &pcrs, ret_private, ret_public, &data, &hash, &ticket));
    kt_wipe(&sensitive, sizeof(sensitive));
    Esys_Free(data);
    Esys_Free(hash);
    Esys_Free(ticket);
    return good;
}

static bool marshal(const TPM2B_PRIVATE *private_part, const TPM2B_PUBLIC *public_part, struct kt_tpm_sealed *ret,
                    struct kt_error *err)
{
    uint8_t bytes[PART_MAX];
    size_t public_len = 0;
    size_t private_len = 0;

    if (Tss2_MU_TPM2B_PUBLIC_Marshal(public_part, bytes, sizeof(bytes), &public_len) != TSS2_RC_SUCCESS ||
        !kt_bytes_copy(KT_SLICE(bytes, public_len), &ret->public_part, err) ||
        Tss2_MU_TPM2B_PRIVATE_Marshal(private_part, bytes, sizeof(bytes), &private_len) != TSS2_RC_SUCCESS ||
        !kt_bytes_copy(KT_SLICE(bytes, private_len), &ret->private_part, err))
        return kt_fail(err, KT_E_INTERNAL, "what the TPM made cannot be written down");
    ret->blob.public_part = kt_bytes_view(&ret->public_part);
    ret->blob.private_part = kt_bytes_view(&ret->private_part);
    return true;
}

static bool seal_under(struct kt_tpm *tpm, const struct kt_tpm_parent *parent, const struct seal_job *job,
                       struct kt_error *err)
{
    struct kt_tpm_blob *blob = &job->ret->blob;
    ESYS_TR session = ESYS_TR_NONE;
    TPM2B_PUBLIC wanted;
    TPM2B_PRIVATE *private_part = NULL;
    TPM2B_PUBLIC *public_part = NULL;
    bool good = false;

    if (blob->policy.kind == KT_TPM_POLICY_PCR && !kt_tpm_pcrs_fill(tpm, &blob->policy.pcrs, err))
        return false;
    if (!public_fill(&blob->policy, &wanted, err) || !kt_tpm_session_start(tpm, parent, &session))
        return false;
    good = create(tpm, parent, session, job->secret, &wanted, &private_part, &public_part) &&
           marshal(private_part, public_part, job->ret, err);
    Esys_Free(private_part);
    Esys_Free(public_part);
    kt_tpm_flush(tpm, session);
    return good;
}

static bool seal_once(struct kt_tpm *tpm, void *closure, struct kt_error *err)
{
    const struct seal_job *job = closure;
    struct kt_tpm_parent parent = {.tr = ESYS_TR_NONE};
    struct kt_tpm_blob *blob = &job->ret->blob;
    bool good = false;

    kt_tpm_sealed_done(job->ret);
    *blob = (struct kt_tpm_blob){.policy = *job->policy};
    if (!kt_tpm_parent_obtain(tpm, &parent, err))
        return false;
    memcpy(blob->parent_name, parent.name, KT_TPM_NAME_LEN);
    blob->parent_handle = parent.handle;
    blob->template = parent.template;
    blob->parent_rsa = parent.rsa;
    good = seal_under(tpm, &parent, job, err);
    kt_tpm_parent_release(tpm, &parent);
    return good;
}

bool kt_tpm_seal(struct kt_tpm *tpm, const struct kt_secret *secret, const struct kt_tpm_policy *policy,
                 struct kt_tpm_sealed *ret, struct kt_error *err)
{
    struct kt_tpm_sealed sealed = {.public_part = {.data = NULL}};
    struct seal_job job = {.secret = secret, .policy = policy, .ret = &sealed};

    if (!kt_tpm_run(tpm, seal_once, &job, err)) {
        kt_tpm_sealed_done(&sealed);
        return false;
    }
    *ret = sealed;
    return true;
}

/* Unsealing. */

struct unseal_job {
    const struct kt_tpm_blob *blob;
    const struct kt_tpm_signature_source *signature;
    TPM2B_PUBLIC public_part;
    TPM2B_PRIVATE private_part;
    struct kt_secret *ret;
};

static bool take_secret(TPM2B_SENSITIVE_DATA *data, struct kt_secret **ret, struct kt_error *err)
{
    *ret = data->size > 0 ? kt_secret_new_copy(data->buffer, data->size, err) : NULL;
    return *ret || (data->size == 0 && kt_fail(err, KT_E_NODE_KEY, "the TPM unsealed nothing"));
}

static bool unseal_object(struct kt_tpm *tpm, ESYS_TR object, ESYS_TR session, struct unseal_job *job,
                          struct kt_error *err)
{
    const struct kt_tpm_policy *policy = &job->blob->policy;
    bool without = policy->kind == KT_TPM_POLICY_NONE;
    TPM2B_SENSITIVE_DATA *data = NULL;
    ESYS_TR fulfilled = ESYS_TR_NONE;
    bool good = false;

    if (!without && !kt_tpm_policy_start(tpm, policy, job->signature, &fulfilled, err))
        return false;
    good = kt_tpm_step(tpm, KT_TPM_STEP_UNSEAL,
                       Esys_Unseal(tpm->esys, object, without ? session : fulfilled, without ? ESYS_TR_NONE : session,
                                   ESYS_TR_NONE, &data)) &&
           take_secret(data, &job->ret, err);
    kt_tpm_free_wiped(data, sizeof(*data));
    kt_tpm_flush(tpm, fulfilled);
    return good;
}

static bool load_and_unseal(struct kt_tpm *tpm, const struct kt_tpm_parent *parent, struct unseal_job *job,
                            struct kt_error *err)
{
    ESYS_TR session = ESYS_TR_NONE;
    ESYS_TR object = ESYS_TR_NONE;
    bool good = false;

    if (!kt_tpm_session_start(tpm, parent, &session))
        return false;
    good = kt_tpm_step(tpm, KT_TPM_STEP_LOAD,
                       Esys_Load(tpm->esys, parent->tr, session, ESYS_TR_NONE, ESYS_TR_NONE, &job->private_part,
                                 &job->public_part, &object)) &&
           unseal_object(tpm, object, session, job, err);
    kt_tpm_flush(tpm, object);
    kt_tpm_flush(tpm, session);
    return good;
}

static bool unseal_once(struct kt_tpm *tpm, void *closure, struct kt_error *err)
{
    struct unseal_job *job = closure;
    struct kt_tpm_parent parent = {.tr = ESYS_TR_NONE};
    bool good = false;

    if (!kt_tpm_parent_find(tpm, job->blob, &parent, err))
        return false;
    good = load_and_unseal(tpm, &parent, job, err);
    kt_tpm_parent_release(tpm, &parent);
    return good;
}

static bool unmarshal(const struct kt_tpm_blob *blob, struct unseal_job *ret, struct kt_error *err)
{
    size_t at = 0;
    size_t private_at = 0;

    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(blob->public_part.data, blob->public_part.len, &at, &ret->public_part) ==
            TSS2_RC_SUCCESS &&
        at == blob->public_part.len &&
        Tss2_MU_TPM2B_PRIVATE_Unmarshal(blob->private_part.data, blob->private_part.len, &private_at,
                                        &ret->private_part) == TSS2_RC_SUCCESS &&
        private_at == blob->private_part.len)
        return true;
    (void)kt_fail(err, KT_E_NODE_KEY_LOST,
                  "this node's sealed key (" KT_TPM_FILE ") is damaged: expected a sealed object");
    return kt_error_hint(err, "restore " KT_TPM_FILE " from a copy of this node's, or keyturn recovery use");
}

struct kt_secret *kt_tpm_unseal(struct kt_tpm *tpm, const struct kt_tpm_blob *blob,
                                const struct kt_tpm_signature_source *signature, struct kt_error *err)
{
    struct unseal_job job = {.blob = blob, .signature = signature};

    if (!unmarshal(blob, &job, err) || !kt_tpm_run(tpm, unseal_once, &job, err))
        return NULL;
    return job.ret;
}

/* Looking. */

static bool read_pcrs_once(struct kt_tpm *tpm, void *closure, struct kt_error *err)
{
    return kt_tpm_pcrs_fill(tpm, closure, err);
}

bool kt_tpm_read_pcrs(struct kt_tpm *tpm, struct kt_tpm_pcrs *pcrs, struct kt_error *err)
{
    return kt_tpm_run(tpm, read_pcrs_once, pcrs, err);
}

static bool reset_count_once(struct kt_tpm *tpm, void *closure, struct kt_error *err)
{
    TPMS_TIME_INFO *info = NULL;

    (void)err;
    if (!kt_tpm_step(tpm, KT_TPM_STEP_CLOCK,
                     Esys_ReadClock(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &info)))
        return false;
    *(uint32_t *)closure = info->clockInfo.resetCount;
    Esys_Free(info);
    return true;
}

bool kt_tpm_reset_count(struct kt_tpm *tpm, uint32_t *ret, struct kt_error *err)
{
    return kt_tpm_run(tpm, reset_count_once, ret, err);
}

static bool check_parent_once(struct kt_tpm *tpm, void *closure, struct kt_error *err)
{
    struct kt_tpm_parent parent = {.tr = ESYS_TR_NONE};

    if (!kt_tpm_parent_find(tpm, closure, &parent, err))
        return false;
    kt_tpm_parent_release(tpm, &parent);
    return true;
}

bool kt_tpm_check_parent(struct kt_tpm *tpm, const struct kt_tpm_blob *blob, struct kt_error *err)
{
    struct kt_tpm_blob copy = *blob;

    return kt_tpm_run(tpm, check_parent_once, &copy, err);
}
