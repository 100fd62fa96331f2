/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on requests and bundles (docs/enrolment-format.md). */
#include "keystore/opener_ops_internal.h"
#include "keystore/recovery_key.h"

#include <inttypes.h>
#include <string.h>

struct kt_p256 *kt_opener_make_or_load(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                                       struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    struct kt_p256 *own = kt_opener_make_own(ops, request, &why);

    if (own)
        return own;
    if (why.code == KT_E_EXISTS)
        return kt_opener_load_own(ops, err);
    (void)kt_error_copy(err, &why);
    return NULL;
}

bool kt_opener_op_request(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                          struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *own = kt_opener_make_or_load(ops, request, err);
    struct kt_node_request made = {.kind = request->kind};

    if (!own || !kt_random(made.nonce, sizeof(made.nonce), err))
        return false;
    memcpy(made.node, request->node, strlen(request->node) + 1);
    kt_p256_public(own, made.public_key);
    if (request->kind == KT_RECIPIENT_TPM2 && !kt_opener_tpm_names(ops, &made, err))
        return false;
    return kt_node_request_format(&made, &answer->header, err);
}

static bool check_joined(const struct kt_keyring *keyring, const struct kt_node_request *joining, struct kt_error *err)
{
    if (kt_keyring_has_recipient(keyring, joining->node, joining->public_key))
        return true;
    (void)kt_fail(err, KT_E_KEYRING_STALE,
                  "the keyring in force (membership %" PRIu64 ", generation %" PRIu64
                  ") does not have %s with the key of "
                  "its request: another one came in between",
                  kt_keyring_info(keyring)->membership, kt_keyring_info(keyring)->generation, joining->node);
    return kt_error_hint(err, "approve the request again");
}

static struct kt_p256 *owner_of(const struct kt_keyring *keyring, const struct kt_opener_request *request,
                                struct kt_error *err)
{
    uint8_t expected[KT_P256_PUBLIC] = {0};
    uint8_t found[KT_P256_PUBLIC] = {0};
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *owner = NULL;

    if (!kt_opener_need_recovery_key(request, err))
        return NULL;
    owner = kt_recovery_key_owner(request->recovery_key, err);
    if (!owner)
        return NULL;
    kt_p256_public(owner, found);
    kt_keyring_owner_key(keyring, expected);
    if (memcmp(found, expected, sizeof(found)) == 0)
        return KT_TAKE_PTR(owner);
    (void)kt_fail(err, KT_E_RECOVERY_KEY, "this recovery key is not the present owner's");
    return NULL;
}

bool kt_opener_op_sign_bundle(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                              struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = NULL;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *owner = NULL;
    struct kt_node_request joining = {.node = ""};
    struct kt_bundle bundle = {.node = ""};

    if (!kt_node_request_parse(request->member.request, &joining, err))
        return false;
    keyring = kt_opener_newest(request, ops->config->owner, err);
    if (!keyring || !check_joined(keyring, &joining, err))
        return false;
    owner = owner_of(keyring, request, err);
    if (!owner || !kt_node_request_fingerprint(request->member.request, bundle.request, err))
        return false;
    memcpy(bundle.node, joining.node, sizeof(bundle.node));
    memcpy(bundle.nonce, joining.nonce, sizeof(bundle.nonce));
    memcpy(bundle.founder, kt_keyring_info(keyring)->founder, KT_HASH_LEN);
    memcpy(bundle.provider, request->member.provider, strlen(request->member.provider) + 1);
    return kt_bundle_sign(&bundle, request->current, owner, &answer->header, err) &&
           kt_opener_copy_info(keyring, answer, err);
}

/* Is it the answer to what this node asked? */
static bool check_answers(const struct kt_bundle *bundle, const struct kt_opener_request *request, struct kt_error *err)
{
    struct kt_node_request asked = {.node = ""};
    uint8_t fingerprint[KT_HASH_LEN] = {0};

    if (!kt_node_request_parse(request->member.request, &asked, err) ||
        !kt_node_request_fingerprint(request->member.request, fingerprint, err))
        return false;
    if (memcmp(bundle->nonce, asked.nonce, KT_NONCE_LEN) != 0) {
        (void)kt_fail(err, KT_E_BUNDLE_REQUEST,
                      "the bundle answers another request than the one of this node: its nonce "
                      "is another");
        return kt_error_hint(err, "it is for another node, or for an earlier request: have the newest one approved");
    }
    if (memcmp(bundle->request, fingerprint, KT_HASH_LEN) == 0 && strcmp(bundle->node, asked.node) == 0)
        return true;
    (void)kt_fail(err, KT_E_REQUEST_ALTERED,
                  "what was approved is not what this node asked for: the request was altered "
                  "on its way");
    return kt_error_hint(err,
                         "find out who carried it; remove the recipient that was approved (keyturn node remove), and "
                         "compare the fingerprints when you approve again");
}

/* The owner is the last one of the keyring's chain, whose founding owner the bundle names; who signed the bundle as a
 * whole vouches for both. */
static struct kt_keyring *verify_bundle(const struct kt_bundle *bundle, const struct kt_opener_request *request,
                                        struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = NULL;
    uint8_t owner[KT_P256_PUBLIC] = {0};
    struct kt_error why = KT_ERROR_INIT;

    if (bundle->keyring_len != request->offered.len) {
        (void)kt_fail(err, KT_E_BUNDLE_FORMAT, "the bundle has a keyring of %zu bytes: expected %zu",
                      request->offered.len, bundle->keyring_len);
        (void)kt_error_hint(err, "it was cut short, or something was appended: carry it over again");
        return NULL;
    }
    keyring = kt_keyring_verify(request->offered, bundle->founder, &why);
    if (!keyring) {
        (void)kt_error_copy(err, &why);
        if (why.code == KT_E_KEYRING_OWNER && err)
            err->code = KT_E_BUNDLE_OWNER;
        (void)kt_error_prefix(err, "the keyring in the bundle");
        return NULL;
    }
    kt_keyring_owner_key(keyring, owner);
    if (!kt_bundle_verify(request->member.header, request->offered, owner, err))
        return NULL;
    return KT_TAKE_PTR(keyring);
}

/* What this node has of an earlier life must not be newer than what the approval was made over. */
static bool check_over(const struct kt_keyring *keyring, const struct kt_floor *known, struct kt_error *err)
{
    const struct kt_keyring_info *info = kt_keyring_info(keyring);

    if (!kt_floor_check_newest(known, keyring, err))
        return false;
    if (info->membership <= known->membership || kt_keyring_made_over(keyring) >= known->generation)
        return true;
    (void)kt_fail(err, KT_E_KEYRING_STALE,
                  "the approval was made over a keyring that is no longer the newest: over generation %" PRIu64
                  ", and this node knows generation %" PRIu64,
                  kt_keyring_made_over(keyring), known->generation);
    return kt_error_hint(err, "offer this node's keyring.yaml to the node that approves, then approve again");
}

bool kt_opener_op_bundle(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                         struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = NULL;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = NULL;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *own = NULL;
    struct kt_bundle bundle = {.node = ""};

    if (!kt_bundle_parse(request->member.header, &bundle, err) || !check_answers(&bundle, request, err))
        return false;
    keyring = verify_bundle(&bundle, request, err);
    if (!keyring || !check_over(keyring, &request->floor, err))
        return false;
    own = kt_opener_load_own(ops, err);
    keys = own ? kt_keyring_open(keyring, own, err) : NULL;
    if (!keys)
        return false;
    memcpy(answer->owner, bundle.founder, KT_HASH_LEN);
    return kt_opener_copy_info(keyring, answer, err);
}
