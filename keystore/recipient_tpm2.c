/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "keystore/tpm_node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

static KT_PRINTF(2, 3) void note(const struct kt_recipient_source *source, const char *fmt, ...)
{
    va_list args;

    if (!source->ret_note)
        return;
    va_start(args, fmt);
    (void)vsnprintf(source->ret_note, KT_RECIPIENT_NOTE_LEN, fmt, args);
    va_end(args);
}

/* Another opener may have replaced the file since it was read: then nothing is left to do. */
static bool seal_again(struct kt_tpm_node *node, const struct kt_secret *scalar, struct kt_error *err)
{
    const struct kt_tpm_wish wish = {.policy = NULL};
    KT_CLEANUP_BYTES struct kt_bytes before = {.data = NULL};
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *proof = NULL;

    if (!kt_bytes_copy(kt_bytes_view(&node->file), &before, err) || !kt_tpm_node_read(node, true, err))
        return false;
    if (!kt_slice_equal(kt_bytes_view(&before), kt_bytes_view(&node->file)))
        return true;
    return kt_tpm_node_seal(node, scalar, &wish, &bytes, &proof, err) &&
           kt_tpm_node_replace(node, kt_bytes_view(&bytes), err);
}

/* A suspension must not outlive the boot that it was made for; but what is wrong with that keeps nobody from serving.
 */
static void mind_suspension(struct kt_tpm_node *node, const struct kt_secret *scalar)
{
    const struct kt_recipient_source *source = node->source;
    struct kt_error why = KT_ERROR_INIT;
    char policy[KT_TPM_POLICY_TEXT];
    bool booted = false;

    if (!node->blob.suspended)
        return;
    kt_tpm_policy_format(&node->blob.resume, policy);
    if (!kt_tpm_node_booted(node, &booted, &why))
        note(source, "this node's key is suspended (sealed without a policy): %.120s", why.message);
    else if (!booted)
        note(source, "this node's key is suspended: sealed without a policy until the next boot, then under %s again",
             policy);
    else if (source->look_only)
        note(source, "this node's key is suspended; the next start of keyturnd seals it under %s again", policy);
    else if (!seal_again(node, scalar, &why))
        note(source, "this node's key is still suspended, it could not be sealed under its policy: %.140s",
             why.message);
}

static struct kt_p256 *load(const struct kt_recipient_source *source, struct kt_error *err)
{
    KT_CLEANUP(kt_tpm_node_done) struct kt_tpm_node node;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *scalar = NULL;
    struct kt_error why = KT_ERROR_INIT;
    struct kt_p256 *pair = NULL;

    kt_tpm_node_init(&node, source);
    if (!kt_tpm_node_read(&node, false, err))
        return NULL;
    scalar = kt_tpm_node_unseal(&node, err);
    if (!scalar)
        return NULL;
    pair = kt_p256_from_scalar(scalar, &why);
    if (!pair) {
        (void)kt_fail(err, why.code == KT_E_CRYPTO ? KT_E_NODE_KEY : why.code,
                      "what the TPM unsealed is no private key of P-256: %s", why.message);
        return NULL;
    }
    mind_suspension(&node, scalar);
    return pair;
}

static bool refuse_second(const struct kt_recipient_source *source, struct kt_error *err)
{
    struct stat st;

    if (fstatat(source->dirfd, KT_TPM_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return kt_fail(err, KT_E_EXISTS, KT_TPM_FILE " exists: this node has a sealed key");
    return errno == ENOENT || kt_fail_errno(err, KT_E_IO, KT_TPM_FILE);
}

static bool seal_new(struct kt_tpm_node *node, const struct kt_secret *scalar, struct kt_error *err)
{
    static const struct kt_tpm_policy none = {.kind = KT_TPM_POLICY_NONE};
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    const struct kt_tpm_wish wish = {.policy = node->source->policy ? node->source->policy : &none};
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *proof = NULL;

    return kt_tpm_node_seal(node, scalar, &wish, &bytes, &proof, err) &&
           kt_file_create(node->source->dirfd, KT_TPM_FILE, kt_bytes_view(&bytes), &attrs, err);
}

static struct kt_p256 *make(const struct kt_recipient_source *source, struct kt_error *err)
{
    KT_CLEANUP(kt_tpm_node_done) struct kt_tpm_node node;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *pair = NULL;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *scalar = NULL;

    kt_tpm_node_init(&node, source);
    if (!refuse_second(source, err))
        return NULL;
    pair = kt_p256_generate(err);
    scalar = pair ? kt_p256_scalar(pair, err) : NULL;
    if (!scalar || !seal_new(&node, scalar, err))
        return NULL;
    return KT_TAKE_PTR(pair);
}

const struct kt_recipient_ops kt_recipient_tpm2 = {
    .kind = KT_RECIPIENT_TPM2, .file = KT_TPM_FILE, .load = load, .make = make};
