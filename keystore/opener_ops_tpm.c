/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on this node's sealed key, and the one that only looks whether it opens. */
#include "base/file.h"
#include "keystore/opener_ops.h"
#include "keystore/tpm_ek.h"
#include "keystore/tpm_node.h"
#include "keystore/tpm_report.h"
#include "keystore/tpm_signature.h"

#include <stdio.h>
#include <string.h>

static bool need_tpm2(const struct kt_opener_ops *ops, struct kt_error *err)
{
    if (ops->config->recipient == KT_RECIPIENT_TPM2)
        return true;
    (void)kt_fail(err, KT_E_CONFIG, "this node keeps its private half in a file, not in a TPM (recipient: file)");
    return kt_error_hint(
        err,
        "to move it into the TPM: keyturn node request --tpm, then keyturn node approve --replace on another node");
}

static struct kt_recipient_source source_of(const struct kt_opener_ops *ops)
{
    return (struct kt_recipient_source){.dirfd = ops->folder, .config = ops->config};
}

static struct kt_keyring *verify_current(const struct kt_opener_ops *ops, const struct kt_opener_request *request,
                                         struct kt_error *err)
{
    if (request->current.data)
        return kt_keyring_verify(request->current, ops->config->owner, err);
    (void)kt_fail(err, KT_E_KEYRING_MISSING, "there is no keyring to try the key on");
    return NULL;
}

/* The keyring opens with that private half; nothing is kept of it. */
static bool opens(const struct kt_keyring *keyring, const struct kt_secret *scalar, struct kt_error *err)
{
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *pair = kt_p256_from_scalar(scalar, err);
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = pair ? kt_keyring_open(keyring, pair, err) : NULL;

    return keys != NULL;
}

static bool has_policy(const struct kt_tpm_blob *blob, struct kt_error *err)
{
    if (blob->suspended || blob->policy.kind != KT_TPM_POLICY_NONE)
        return true;
    (void)kt_fail(err, KT_E_REFUSED, "this node's key is sealed under no policy: there is nothing to suspend");
    return kt_error_hint(err, "an update that changes PCRs does no harm; keyturn node check tells the policy");
}

/* What is in the TPM now must open the keyring, so that a mistake is not sealed anew; and so must what replaces it. */
static bool replace(struct kt_opener_ops *ops, const struct kt_opener_request *request, const struct kt_tpm_wish *wish,
                    struct kt_error *err)
{
    const struct kt_recipient_source source = source_of(ops);
    KT_CLEANUP(kt_tpm_node_done) struct kt_tpm_node node;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = NULL;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *scalar = NULL;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *proof = NULL;
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};

    kt_tpm_node_init(&node, &source);
    keyring = verify_current(ops, request, err);
    if (!keyring || !kt_tpm_node_read(&node, true, err) || (wish->suspend && !has_policy(&node.blob, err)))
        return false;
    scalar = kt_tpm_node_unseal(&node, err);
    if (!scalar || !opens(keyring, scalar, err) || !kt_tpm_node_seal(&node, scalar, wish, &bytes, &proof, err))
        return false;
    return opens(keyring, proof, err) && kt_tpm_node_replace(&node, kt_bytes_view(&bytes), err);
}

/* Fills report->present and ->opens by the policy that counts at the next boot. */
static bool judge_pcrs(struct kt_tpm_node *node, const struct kt_tpm_policy *policy, struct kt_tpm_report *report,
                       struct kt_error *err)
{
    report->opens = true;
    if (policy->kind == KT_TPM_POLICY_NONE)
        return true;
    report->present = (struct kt_tpm_pcrs){.bank = policy->pcrs.bank, .mask = policy->pcrs.mask};
    if (!kt_tpm_read_pcrs(&node->tpm, &report->present, err))
        return false;
    for (unsigned i = 0; policy->kind == KT_TPM_POLICY_PCR && i < KT_TPM_PCRS; i++)
        if ((policy->pcrs.mask >> i & 1) &&
            memcmp(policy->pcrs.digests[i], report->present.digests[i], kt_tpm_bank_len(policy->pcrs.bank)) != 0)
            report->opens = false;
    return true;
}

static bool judge_signature(struct kt_tpm_node *node, const struct kt_tpm_policy *policy, struct kt_tpm_report *report,
                            struct kt_error *err)
{
    static const char *const texts[] = {[KT_TPM_SIGNATURE_NONE] = "no signature for these PCRs by the policy's key",
                                        [KT_TPM_SIGNATURE_OTHER] = "no signature for the present values of the PCRs",
                                        [KT_TPM_SIGNATURE_THERE] = "",
                                        [KT_TPM_SIGNATURE_NOT_VALID] =
                                            "an entry for the present PCRs that the policy's key did not sign"};
    enum kt_tpm_signature_found found = KT_TPM_SIGNATURE_NONE;
    struct kt_tpm_signature_source source = {.what = ""};
    struct kt_tpm_signature signature = {.len = 0};
    struct kt_error why = KT_ERROR_INIT;

    if (policy->kind != KT_TPM_POLICY_SIGNED)
        return true;
    report->opens = false;
    if (!kt_tpm_node_signature(node, policy, &source, &why) ||
        !kt_tpm_signature_find(source.file, source.what, policy, &report->present, &signature, &found, &why)) {
        (void)snprintf(report->why, sizeof(report->why), "%.250s", why.message);
        return why.code != KT_E_NOMEM || kt_error_copy(err, &why);
    }
    report->opens = found == KT_TPM_SIGNATURE_THERE;
    if (!report->opens)
        (void)snprintf(report->why, sizeof(report->why), "%.150s has %s", source.what, texts[found]);
    return true;
}

static bool fill_report(struct kt_tpm_node *node, struct kt_tpm_report *report, struct kt_error *err)
{
    const struct kt_tpm_blob *blob = &node->blob;
    const struct kt_tpm_policy *next = blob->suspended ? &blob->resume : &blob->policy;

    report->there = true;
    report->policy = blob->policy;
    report->suspended = blob->suspended;
    report->resume = blob->resume;
    report->parent_handle = blob->parent_handle;
    report->parent_rsa = blob->parent_rsa;
    memcpy(report->parent_name, blob->parent_name, sizeof(report->parent_name));
    if (blob->suspended && !kt_tpm_node_booted(node, &report->booted, err))
        return false;
    return kt_tpm_check_parent(&node->tpm, blob, err) && judge_pcrs(node, next, report, err) &&
           judge_signature(node, next, report, err);
}

static bool read_asked(struct kt_opener_ops *ops, const struct kt_opener_request *request, struct kt_tpm_report *report,
                       struct kt_error *err)
{
    const struct kt_recipient_source source = source_of(ops);
    KT_CLEANUP(kt_tpm_node_done) struct kt_tpm_node node;

    kt_tpm_node_init(&node, &source);
    report->present = request->tpm_pcrs;
    return kt_tpm_read_pcrs(&node.tpm, &report->present, err);
}

bool kt_opener_check(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                     struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_tpm_node_done) struct kt_tpm_node node;
    struct kt_recipient_source source = {.dirfd = -1};

    source = source_of(ops);
    kt_tpm_node_init(&node, &source);
    answer->tpm = calloc(1, sizeof(*answer->tpm));
    if (!answer->tpm)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (request->tpm_pcrs.mask)
        return read_asked(ops, request, answer->tpm, err);
    if (!need_tpm2(ops, err) || !kt_opener_open_folder(ops, err))
        return false;
    source.dirfd = ops->folder;
    return kt_tpm_node_read(&node, false, err) && fill_report(&node, answer->tpm, err);
}

bool kt_opener_node_policy(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                           struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_tpm_node_done) struct kt_tpm_node node;
    struct kt_recipient_source source = source_of(ops);

    (void)request;
    kt_tpm_node_init(&node, &source);
    answer->tpm = calloc(1, sizeof(*answer->tpm));
    if (!answer->tpm)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (ops->config->recipient != KT_RECIPIENT_TPM2)
        return true;
    if (!kt_opener_open_folder(ops, err))
        return false;
    source.dirfd = ops->folder;
    if (!kt_tpm_node_read(&node, false, err))
        return false;
    answer->tpm->there = true;
    answer->tpm->policy = *kt_tpm_node_policy(&node);
    return true;
}

bool kt_opener_tpm_names(struct kt_opener_ops *ops, struct kt_node_request *ret, struct kt_error *err)
{
    const struct kt_recipient_source source = source_of(ops);
    KT_CLEANUP(kt_tpm_node_done) struct kt_tpm_node node;
    bool there = false;

    kt_tpm_node_init(&node, &source);
    if (!kt_tpm_node_read(&node, false, err) || !kt_tpm_ek_name(&node.tpm, ret->tpm.bytes, &there, err))
        return false;
    ret->tpm.len = there ? KT_TPM_NAME_LEN : 0;
    ret->srk.len = KT_TPM_NAME_LEN;
    memcpy(ret->srk.bytes, node.blob.parent_name, KT_TPM_NAME_LEN);
    return true;
}

bool kt_opener_reseal(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                      struct kt_opener_answer *answer, struct kt_error *err)
{
    const struct kt_tpm_wish wish = {.policy = request->tpm_policy};

    (void)answer;
    return need_tpm2(ops, err) && kt_opener_open_folder(ops, err) && replace(ops, request, &wish, err);
}

bool kt_opener_suspend(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                       struct kt_opener_answer *answer, struct kt_error *err)
{
    const struct kt_tpm_wish wish = {.suspend = true};

    (void)answer;
    return need_tpm2(ops, err) && kt_opener_open_folder(ops, err) && replace(ops, request, &wish, err);
}

bool kt_opener_node_verify(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                           struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = NULL;
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = NULL;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *own = NULL;

    /* First: what is wrong with the private half must be heard also where the keyring is gone. */
    ops->look_only = true;
    own = kt_opener_load_own(ops, err);
    keyring = own ? verify_current(ops, request, err) : NULL;
    if (!keyring)
        return false;
    keys = kt_keyring_open(keyring, own, err);
    return keys && kt_opener_copy_info(keyring, answer, err);
}
