/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/tpm_srk.h"

#include <string.h>

#define RC_HANDLE      0x8bu
#define RC_NV_DEFINED  0x14cu
#define RSA_UNIQUE_LEN 256u
#define ECC_UNIQUE_LEN 32u

static const uint32_t handles[] = {0x81000001u, 0x81000002u};

#define STORAGE_ATTRIBUTES                                                                                       \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_RESTRICTED | \
     TPMA_OBJECT_DECRYPT)

#define USABLE_ATTRIBUTES (STORAGE_ATTRIBUTES | TPMA_OBJECT_NODA)

static bool is_rsa(enum kt_tpm_template template)
{
    return template == KT_TPM_TEMPLATE_RSA || template == KT_TPM_TEMPLATE_RSA_ZERO;
}

static bool is_zero(enum kt_tpm_template template)
{
    return template == KT_TPM_TEMPLATE_ECC_ZERO || template == KT_TPM_TEMPLATE_RSA_ZERO;
}

static void fill_ecc(TPMT_PUBLIC *area, const TPMT_SYM_DEF_OBJECT *symmetric, bool zero)
{
    TPMS_ECC_PARMS *detail = &area->parameters.eccDetail;

    area->type = TPM2_ALG_ECC;
    detail->symmetric = *symmetric;
    detail->scheme.scheme = TPM2_ALG_NULL;
    detail->curveID = TPM2_ECC_NIST_P256;
    detail->kdf.scheme = TPM2_ALG_NULL;
    area->unique.ecc.x.size = area->unique.ecc.y.size = zero ? ECC_UNIQUE_LEN : 0;
}

static void fill_rsa(TPMT_PUBLIC *area, const TPMT_SYM_DEF_OBJECT *symmetric, bool zero)
{
    TPMS_RSA_PARMS *detail = &area->parameters.rsaDetail;

    area->type = TPM2_ALG_RSA;
    detail->symmetric = *symmetric;
    detail->scheme.scheme = TPM2_ALG_NULL;
    detail->keyBits = 2048;
    area->unique.rsa.size = zero ? RSA_UNIQUE_LEN : 0;
}

static void template_fill(enum kt_tpm_template template, TPM2B_PUBLIC *ret)
{
    const TPMT_SYM_DEF_OBJECT symmetric = {
        .algorithm = TPM2_ALG_AES, .keyBits = {.aes = 128}, .mode = {.aes = TPM2_ALG_CFB}};
    TPMT_PUBLIC *area = &ret->publicArea;

    *ret = (TPM2B_PUBLIC){.size = 0};
    area->nameAlg = TPM2_ALG_SHA256;
    area->objectAttributes = STORAGE_ATTRIBUTES | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA;
    if (is_rsa(template))
        fill_rsa(area, &symmetric, is_zero(template));
    else
        fill_ecc(area, &symmetric, is_zero(template));
}

/* The name that tpm2-tss keeps is what the TPM, or somebody on the wire, said; Esys_TR_GetName computes it from the
 * public part, and that is what a session is salted with. */
bool kt_tpm_read_name(struct kt_tpm *tpm, enum kt_tpm_step step, ESYS_TR tr, uint8_t ret[KT_TPM_NAME_LEN])
{
    TPM2B_NAME *name = NULL;
    bool good = kt_tpm_step(tpm, step, Esys_TR_GetName(tpm->esys, tr, &name));

    if (good && name->size != KT_TPM_NAME_LEN)
        good = kt_tpm_step(tpm, step, TSS2_ESYS_RC_MALFORMED_RESPONSE);
    if (good)
        memcpy(ret, name->name, KT_TPM_NAME_LEN);
    Esys_Free(name);
    return good;
}

static void close_handle(struct kt_tpm *tpm, ESYS_TR tr)
{
    if (tr != ESYS_TR_NONE && tpm->esys)
        (void)Esys_TR_Close(tpm->esys, &tr);
}

void kt_tpm_parent_release(struct kt_tpm *tpm, struct kt_tpm_parent *parent)
{
    if (parent->handle == 0)
        kt_tpm_flush(tpm, parent->tr);
    else
        close_handle(tpm, parent->tr);
    parent->tr = ESYS_TR_NONE;
}

/* ESYS_TR_NONE in *ret: nothing is there. */
static bool at_handle(struct kt_tpm *tpm, uint32_t handle, struct kt_tpm_parent *ret)
{
    struct kt_tpm_parent parent = {.tr = ESYS_TR_NONE, .handle = handle};
    TSS2_RC rc = Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &parent.tr);

    tpm->parent_handle = handle;
    if (kt_tpm_rc_base(rc) == RC_HANDLE) {
        *ret = (struct kt_tpm_parent){.tr = ESYS_TR_NONE};
        return true;
    }
    if (!kt_tpm_step(tpm, KT_TPM_STEP_READ_SRK, rc))
        return false;
    if (!kt_tpm_read_name(tpm, KT_TPM_STEP_READ_SRK, parent.tr, parent.name)) {
        close_handle(tpm, parent.tr);
        return false;
    }
    *ret = parent;
    return true;
}

TSS2_RC kt_tpm_create_primary(struct kt_tpm *tpm, ESYS_TR hierarchy, const TPM2B_PUBLIC *wanted, ESYS_TR *ret)
{
    const TPM2B_SENSITIVE_CREATE sensitive = {.size = 0};
    const TPM2B_DATA outside = {.size = 0};
    const TPML_PCR_SELECTION pcrs = {.count = 0};
    TPM2B_PUBLIC *made = NULL;
    TPM2B_CREATION_DATA *data = NULL;
    TPM2B_DIGEST *hash = NULL;
    TPMT_TK_CREATION *ticket = NULL;
    TSS2_RC rc = TSS2_RC_SUCCESS;

    rc = Esys_CreatePrimary(tpm->esys, hierarchy, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, wanted,
                            &outside, &pcrs, ret, &made, &data, &hash, &ticket);
    Esys_Free(made);
    Esys_Free(data);
    Esys_Free(hash);
    Esys_Free(ticket);
    return rc;
}

static bool make_again(struct kt_tpm *tpm, enum kt_tpm_template template, struct kt_tpm_parent *ret)
{
    struct kt_tpm_parent parent = {.tr = ESYS_TR_NONE, .template = template, .rsa = is_rsa(template)};
    TPM2B_PUBLIC wanted;

    template_fill(template, &wanted);
    tpm->parent_handle = 0;
    if (!kt_tpm_step(tpm, KT_TPM_STEP_MAKE_SRK, kt_tpm_create_primary(tpm, ESYS_TR_RH_OWNER, &wanted, &parent.tr)))
        return false;
    if (!kt_tpm_read_name(tpm, KT_TPM_STEP_READ_SRK, parent.tr, parent.name)) {
        kt_tpm_flush(tpm, parent.tr);
        return false;
    }
    *ret = parent;
    return true;
}

static bool fail_other(const struct kt_tpm_blob *blob, bool found, struct kt_error *err)
{
    if (found)
        (void)kt_fail(err, KT_E_NODE_KEY_LOST,
                      "the SRK at 0x%x is not the one that this node's key was sealed under: another TPM, a cleared "
                      "one, or a swapped key",
                      blob->parent_handle ? blob->parent_handle : handles[0]);
    else
        (void)kt_fail(err, KT_E_NODE_KEY_LOST,
                      "this TPM cannot make the SRK (0x%x) that this node's key was sealed under: "
                      "another TPM, or a cleared one",
                      blob->parent_handle ? blob->parent_handle : handles[0]);
    return kt_error_hint(err,
                         "node.tpm of another node: restore this node's own; else keyturn recovery use; or keyturn "
                         "node request, then keyturn node approve --replace on another node");
}

static bool is_pinned(const struct kt_tpm_blob *blob, const struct kt_tpm_parent *parent)
{
    return memcmp(parent->name, blob->parent_name, KT_TPM_NAME_LEN) == 0;
}

enum found { FOUND_NOTHING, FOUND_OTHER, FOUND_PINNED };

/* false: the TPM failed. */
static bool look_at(struct kt_tpm *tpm, uint32_t handle, const struct kt_tpm_blob *blob, struct kt_tpm_parent *ret,
                    enum found *found)
{
    struct kt_tpm_parent parent = {.tr = ESYS_TR_NONE};

    if (handle == 0 || *found == FOUND_PINNED)
        return true;
    if (!at_handle(tpm, handle, &parent))
        return false;
    if (parent.tr == ESYS_TR_NONE)
        return true;
    if (is_pinned(blob, &parent)) {
        *ret = parent;
        *found = FOUND_PINNED;
        return true;
    }
    kt_tpm_parent_release(tpm, &parent);
    *found = FOUND_OTHER;
    return true;
}

/* A name says which template made it where we made it; of another's key only the type is known. */
static bool may_have_made(enum kt_tpm_template template, const struct kt_tpm_blob *blob)
{
    if (blob->template != KT_TPM_TEMPLATE_ANY)
        return template == blob->template;
    return is_rsa(template) == blob->parent_rsa;
}

static bool look_for_template(struct kt_tpm *tpm, enum kt_tpm_template template, const struct kt_tpm_blob *blob,
                              struct kt_tpm_parent *ret, enum found *found)
{
    struct kt_tpm_parent parent = {.tr = ESYS_TR_NONE};

    if (*found == FOUND_PINNED || !may_have_made(template, blob))
        return true;
    if (!make_again(tpm, template, &parent))
        return false;
    if (is_pinned(blob, &parent)) {
        *ret = parent;
        *found = FOUND_PINNED;
        return true;
    }
    kt_tpm_parent_release(tpm, &parent);
    return true;
}

bool kt_tpm_parent_find(struct kt_tpm *tpm, const struct kt_tpm_blob *blob, struct kt_tpm_parent *ret,
                        struct kt_error *err)
{
    enum found found = FOUND_NOTHING;

    if (!look_at(tpm, blob->parent_handle, blob, ret, &found))
        return false;
    for (size_t i = 0; i < KT_ARRAY_LEN(handles); i++)
        if (handles[i] != blob->parent_handle && !look_at(tpm, handles[i], blob, ret, &found))
            return false;
    for (int t = KT_TPM_TEMPLATE_ECC; t < KT_TPM_TEMPLATE_COUNT; t++)
        if (!look_for_template(tpm, (enum kt_tpm_template)t, blob, ret, &found))
            return false;
    tpm->parent_handle = found == FOUND_PINNED ? ret->handle : 0;
    return found == FOUND_PINNED || fail_other(blob, found == FOUND_OTHER, err);
}

/* A storage key of a strength that we trust, whoever made it; with noDA, for else a few wrong passwords of somebody
 * else, or power losses, would lock us out. */
static bool is_usable(const TPMT_PUBLIC *area)
{
    const TPMT_SYM_DEF_OBJECT *symmetric =
        area->type == TPM2_ALG_RSA ? &area->parameters.rsaDetail.symmetric : &area->parameters.eccDetail.symmetric;
    bool strong = false;

    if (area->type == TPM2_ALG_RSA)
        strong = area->parameters.rsaDetail.keyBits >= 2048;
    else if (area->type == TPM2_ALG_ECC)
        strong = area->parameters.eccDetail.curveID == TPM2_ECC_NIST_P256;
    return strong && area->nameAlg == TPM2_ALG_SHA256 && symmetric->algorithm == TPM2_ALG_AES &&
           (area->objectAttributes & (USABLE_ATTRIBUTES | TPMA_OBJECT_SIGN_ENCRYPT)) == USABLE_ATTRIBUTES;
}

/* Sets *usable, and of what type it is. */
static bool inspect(struct kt_tpm *tpm, struct kt_tpm_parent *parent, bool *usable)
{
    TPM2B_PUBLIC *area = NULL;
    TPM2B_NAME *name = NULL;
    TPM2B_NAME *qualified = NULL;
    bool good = kt_tpm_step(
        tpm, KT_TPM_STEP_READ_SRK,
        Esys_ReadPublic(tpm->esys, parent->tr, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &area, &name, &qualified));

    if (good) {
        parent->rsa = area->publicArea.type == TPM2_ALG_RSA;
        *usable = is_usable(&area->publicArea);
    }
    Esys_Free(area);
    Esys_Free(name);
    Esys_Free(qualified);
    return good;
}

/* What is there already; ESYS_TR_NONE: nothing that can be used, and *free_handle is where one may go (0: nowhere). */
static bool look_for_any(struct kt_tpm *tpm, struct kt_tpm_parent *ret, uint32_t *free_handle)
{
    *ret = (struct kt_tpm_parent){.tr = ESYS_TR_NONE};
    *free_handle = 0;
    for (size_t i = 0; i < KT_ARRAY_LEN(handles); i++) {
        bool usable = false;

        if (!at_handle(tpm, handles[i], ret))
            return false;
        if (ret->tr == ESYS_TR_NONE) {
            *free_handle = *free_handle ? *free_handle : handles[i];
            continue;
        }
        if (!inspect(tpm, ret, &usable)) {
            kt_tpm_parent_release(tpm, ret);
            return false;
        }
        if (usable)
            return true;
        kt_tpm_parent_release(tpm, ret);
    }
    return true;
}

bool kt_tpm_lacks_p256(uint32_t rc)
{
    switch (kt_tpm_rc_base(rc)) {
    case TPM2_RC_CURVE:
    case TPM2_RC_VALUE:
    case TPM2_RC_TYPE:
    case TPM2_RC_ASYMMETRIC:
        return true;
    default:
        return false;
    }
}

static bool make_new(struct kt_tpm *tpm, struct kt_tpm_parent *ret)
{
    if (make_again(tpm, KT_TPM_TEMPLATE_ECC, ret))
        return true;
    if (!kt_tpm_lacks_p256(tpm->failure.rc))
        return false;
    tpm->failure.rc = TSS2_RC_SUCCESS;
    return make_again(tpm, KT_TPM_TEMPLATE_RSA, ret);
}

/* Where the TPM has no room for it, the key stays transient: it is made again at each start. Somebody else may have
 * taken the handle meanwhile; his key is looked at then. */
static bool make_persistent(struct kt_tpm *tpm, uint32_t handle, struct kt_tpm_parent *parent, bool *ret_raced)
{
    ESYS_TR kept = ESYS_TR_NONE;
    TSS2_RC rc = TSS2_RC_SUCCESS;

    *ret_raced = false;
    if (handle == 0)
        return true;
    tpm->parent_handle = handle;
    rc = Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, parent->tr, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                           handle, &kept);
    if (kt_tpm_rc_base(rc) == RC_NV_DEFINED) {
        *ret_raced = true;
        return true;
    }
    if (kt_tpm_rc_base(rc) == TPM2_RC_NV_SPACE)
        return true;
    if (!kt_tpm_step(tpm, KT_TPM_STEP_KEEP_SRK, rc))
        return false;
    kt_tpm_flush(tpm, parent->tr);
    parent->tr = kept;
    parent->handle = handle;
    return true;
}

bool kt_tpm_parent_obtain(struct kt_tpm *tpm, struct kt_tpm_parent *ret, struct kt_error *err)
{
    struct kt_tpm_parent parent = {.tr = ESYS_TR_NONE};
    uint32_t handle = 0;
    bool raced = true;

    for (int round = 0; raced && round < 2; round++) {
        if (!look_for_any(tpm, &parent, &handle))
            return false;
        if (parent.tr != ESYS_TR_NONE)
            break;
        if (!make_new(tpm, &parent))
            return false;
        if (!make_persistent(tpm, handle, &parent, &raced)) {
            kt_tpm_flush(tpm, parent.tr);
            return false;
        }
        if (raced)
            kt_tpm_parent_release(tpm, &parent);
    }
    if (parent.tr == ESYS_TR_NONE)
        return kt_fail(err, KT_E_BUSY, "somebody else uses the handles of the SRK (0x81000001) at the same time");
    tpm->parent_handle = parent.handle;
    *ret = parent;
    return true;
}
