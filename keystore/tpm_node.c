/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/tpm_node.h"

#include "base/file.h"
#include "keystore/tpm_signature.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

void kt_tpm_node_init(struct kt_tpm_node *node, const struct kt_recipient_source *source)
{
    *node = (struct kt_tpm_node){.source = source, .lock = -1};
    kt_tpm_init(&node->tpm, source->config->tpm_tcti, source->config->opener_timeout_s);
}

void kt_tpm_node_done(struct kt_tpm_node *node)
{
    kt_tpm_done(&node->tpm);
    kt_bytes_done(&node->file);
    kt_bytes_done(&node->signature);
    kt_fd_close(KT_TAKE_FD(node->lock));
}

static bool fail_read(const struct kt_error *failure, struct kt_error *err)
{
    const bool ours = failure->code == KT_E_PERMISSION || failure->code == KT_E_NOMEM;
    const enum kt_code gone =
        failure->sys_errno == 0 || failure->sys_errno == ENOENT ? KT_E_NODE_KEY_LOST : KT_E_NODE_KEY;

    (void)kt_error_set(err, ours ? failure->code : gone, 0, failure->where, "this node's sealed key cannot be read: %s",
                       failure->message);
    if (failure->sys_errno == ENOENT)
        return kt_error_hint(err, "there is no " KT_TPM_FILE ": restore this node's own, or keyturn recovery use");
    return kt_error_hint(err, "%s",
                         failure->hint[0] ? failure->hint
                                          : "restore this node's own " KT_TPM_FILE ", or keyturn recovery use");
}

bool kt_tpm_node_read(struct kt_tpm_node *node, bool lock, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_TPM_BLOB_MAX, .owner = geteuid(), .forbidden_mode = 0077};
    struct kt_error failure = KT_ERROR_INIT;
    struct kt_bytes bytes = {.data = NULL};

    if (lock && node->lock < 0) {
        node->lock = kt_lock_take(node->source->dirfd, KT_TPM_LOCK, err);
        if (node->lock < 0)
            return false;
    }
    if (!kt_file_read(node->source->dirfd, KT_TPM_FILE, &rules, &bytes, &failure))
        return fail_read(&failure, err);
    kt_bytes_done(&node->file);
    node->file = bytes;
    return kt_tpm_blob_decode(kt_bytes_view(&node->file), &node->blob, err);
}

bool kt_tpm_node_signature(struct kt_tpm_node *node, const struct kt_tpm_policy *policy,
                           struct kt_tpm_signature_source *ret, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_TPM_SIGNATURE_FILE_MAX, .owner = KT_ANY_UID, .forbidden_mode = 0};
    const char *path = node->source->config->tpm_pcr_signature;

    *ret = (struct kt_tpm_signature_source){.what = path};
    if (policy->kind != KT_TPM_POLICY_SIGNED || node->signature.data)
        goto done;
    if (path[0] == '\0') {
        (void)kt_fail(err, KT_E_NODE_KEY, "the policy wants signed PCRs, and tpm.pcrSignature names no signature file");
        return kt_error_hint(err, "tpm.pcrSignature in keyturn.yaml names it; keyturn node sign-pcrs makes one");
    }
    if (!kt_file_read(AT_FDCWD, path, &rules, &node->signature, err)) {
        if (err && err->code == KT_E_IO)
            err->code = KT_E_NODE_KEY;
        (void)kt_error_prefix(err, "the signature file of the policy");
        return kt_error_hint(err, "keyturn node sign-pcrs makes it; it must be readable by the opener's account");
    }
done:
    ret->file = kt_bytes_view(&node->signature);
    return true;
}

static struct kt_secret *unseal_blob(struct kt_tpm_node *node, const struct kt_tpm_blob *blob, struct kt_error *err)
{
    struct kt_tpm_signature_source signature = {.what = ""};

    if (!kt_tpm_node_signature(node, &blob->policy, &signature, err))
        return NULL;
    return kt_tpm_unseal(&node->tpm, blob, &signature, err);
}

struct kt_secret *kt_tpm_node_unseal(struct kt_tpm_node *node, struct kt_error *err)
{
    return unseal_blob(node, &node->blob, err);
}

bool kt_tpm_node_booted(struct kt_tpm_node *node, bool *ret, struct kt_error *err)
{
    uint32_t resets = 0;

    if (!kt_tpm_reset_count(&node->tpm, &resets, err))
        return false;
    *ret = resets != node->blob.suspended_at;
    return true;
}

const struct kt_tpm_policy *kt_tpm_node_policy(const struct kt_tpm_node *node)
{
    return node->blob.suspended ? &node->blob.resume : &node->blob.policy;
}

static bool suspend(struct kt_tpm_node *node, struct kt_tpm_blob *blob, struct kt_error *err)
{
    blob->suspended = true;
    blob->resume = *kt_tpm_node_policy(node);
    return kt_tpm_reset_count(&node->tpm, &blob->suspended_at, err);
}

static struct kt_secret *prove(struct kt_tpm_node *node, struct kt_slice bytes, const struct kt_secret *scalar,
                               struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_tpm_blob *blob = calloc(1, sizeof(*blob));
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *back = NULL;

    if (!blob) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    if (!kt_tpm_blob_decode(bytes, blob, err))
        return NULL;
    back = unseal_blob(node, blob, err);
    if (!back) {
        (void)kt_error_prefix(err, "the new sealed key does not open, so the old one stays");
        return NULL;
    }
    if (!kt_secret_equal(back, scalar)) {
        (void)kt_fail(err, KT_E_NODE_KEY, "the TPM unsealed something else than was sealed: the old sealed key stays");
        return NULL;
    }
    return KT_TAKE_PTR(back);
}

bool kt_tpm_node_seal(struct kt_tpm_node *node, const struct kt_secret *scalar, const struct kt_tpm_wish *wish,
                      struct kt_bytes *ret, struct kt_secret **ret_proof, struct kt_error *err)
{
    static const struct kt_tpm_policy none = {.kind = KT_TPM_POLICY_NONE};
    KT_CLEANUP(kt_tpm_sealed_done) struct kt_tpm_sealed sealed = {.public_part = {.data = NULL}};
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
    const struct kt_tpm_policy *policy = wish->policy ? wish->policy : kt_tpm_node_policy(node);

    if (!kt_tpm_seal(&node->tpm, scalar, wish->suspend ? &none : policy, &sealed, err))
        return false;
    if (wish->suspend && !suspend(node, &sealed.blob, err))
        return false;
    if (!kt_tpm_blob_encode(&sealed.blob, &bytes, err))
        return false;
    *ret_proof = prove(node, kt_bytes_view(&bytes), scalar, err);
    if (!*ret_proof)
        return false;
    *ret = bytes;
    bytes = (struct kt_bytes){.data = NULL};
    return true;
}

bool kt_tpm_node_replace(struct kt_tpm_node *node, struct kt_slice bytes, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};

    return kt_file_replace(node->source->dirfd, KT_TPM_FILE, bytes, &attrs, err);
}
