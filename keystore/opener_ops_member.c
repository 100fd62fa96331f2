/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that need the recovery key: those that make a membership, and what comes back from the archive. */
#include "keystore/opener_ops_internal.h"
#include "keystore/recovery_key.h"

#include <string.h>

static bool check_known(const struct kt_opener_request *request, const uint8_t founder[KT_HASH_LEN],
                        const struct kt_keyring *keyring, struct kt_error *err)
{
    if (!kt_floor_check_newest(&request->floor, keyring, err))
        return false;
    for (size_t i = 0; i < request->n_superseded; i++) {
        KT_CLEANUP(kt_keyring_free_p)
        struct kt_keyring *old = kt_keyring_verify(request->superseded[i], founder, NULL);
        struct kt_floor known = {.membership = 0};

        if (!old)
            continue;
        kt_floor_of(kt_keyring_info(old), &known);
        if (!kt_floor_check_newest(&known, keyring, err))
            return kt_error_prefix(err, "superseded/%s", request->superseded_names[i]);
    }
    return true;
}

struct kt_keyring *kt_opener_newest(const struct kt_opener_request *request, const uint8_t founder[KT_HASH_LEN],
                                    struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = NULL;

    if (!request->current.data) {
        (void)kt_fail(err, KT_E_KEYRING_MISSING, "there is no keyring to make a membership over");
        return NULL;
    }
    keyring = kt_keyring_verify(request->current, founder, err);
    if (!keyring || !check_known(request, founder, keyring, err))
        return NULL;
    return KT_TAKE_PTR(keyring);
}

static struct kt_keyring_keys *not_this_one(struct kt_error *err)
{
    (void)kt_fail(err, KT_E_RECOVERY_KEY, "this recovery key is not the one of this keyring: it does not open it");
    (void)kt_error_hint(err, "it belongs to another cluster, or was replaced; `keyturn recovery verify` tries one");
    return NULL;
}

/* Anybody can name a recovery recipient; only its holder is the owner too. */
static bool is_owners(const struct kt_keyring *keyring, const struct kt_secret *recovery_key, bool *ret,
                      struct kt_error *err)
{
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *owner = kt_recovery_key_owner(recovery_key, err);
    uint8_t expected[KT_P256_PUBLIC] = {0};
    uint8_t found[KT_P256_PUBLIC] = {0};

    if (!owner)
        return false;
    kt_keyring_owner_key(keyring, expected);
    kt_p256_public(owner, found);
    *ret = memcmp(expected, found, sizeof(found)) == 0;
    return true;
}

struct kt_keyring_keys *kt_opener_open_by_recovery(const struct kt_keyring *keyring,
                                                   const struct kt_opener_request *request, struct kt_error *err)
{
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *own = NULL;
    struct kt_keyring_keys *keys = NULL;
    struct kt_error why = KT_ERROR_INIT;
    bool owners = false;

    if (!kt_opener_need_recovery_key(request, err) || !is_owners(keyring, request->recovery_key, &owners, err))
        return NULL;
    own = owners ? kt_recovery_key_recipient(request->recovery_key, err) : NULL;
    if (!own)
        return owners ? NULL : not_this_one(err);
    keys = kt_keyring_open(keyring, own, &why);
    if (keys)
        return keys;
    if (why.code != KT_E_KEYRING_RECIPIENT) {
        (void)kt_error_copy(err, &why);
        return NULL;
    }
    return not_this_one(err);
}

static bool write_member(const struct kt_keyring *keyring, const struct kt_keyring_keys *keys,
                         const struct kt_member_change *change, struct kt_opener_answer *answer, struct kt_error *err)
{
    struct kt_member_result result = {.n_lost = 0};

    if (!kt_opener_copy_info(keyring, answer, err) || !kt_keyring_member_write(keyring, keys, change, &result, err))
        return false;
    answer->document = result.document;
    answer->n_lost = result.n_lost;
    memcpy(answer->owner, result.founder, KT_HASH_LEN);
    return true;
}

static struct kt_member_change change_of(enum kt_member_kind kind, const struct kt_opener_request *request)
{
    return (struct kt_member_change){.kind = kind,
                                     .recovery_key = request->recovery_key,
                                     .new_recovery_key = request->member.new_recovery_key,
                                     .name = request->member.name,
                                     .writer = request->node,
                                     .now = request->now,
                                     .claim = &request->claim};
}

/* Nothing is left to do: whoever asks may go on. */
static bool leave(const struct kt_keyring *keyring, struct kt_opener_answer *answer, struct kt_error *err)
{
    answer->same = true;
    memcpy(answer->owner, kt_keyring_info(keyring)->founder, KT_HASH_LEN);
    return kt_opener_copy_info(keyring, answer, err);
}

static bool check_replaced(const struct kt_opener_request *request, const struct kt_node_request *joining,
                           struct kt_error *err)
{
    if (request->member.name[0] == '\0' || strcmp(request->member.name, joining->node) == 0)
        return true;
    (void)kt_fail(err, KT_E_REFUSED, "the request is of node %s: expected one of %s, whose key is to be replaced",
                  joining->node, request->member.name);
    return kt_error_hint(err, "a node asks under its own name: keyturn node request --node %s", request->member.name);
}

bool kt_opener_op_approve(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                          struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = NULL;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = NULL;
    struct kt_node_request joining = {.node = ""};
    struct kt_member_change change = change_of(request->member.name[0] ? KT_MEMBER_REPLACE : KT_MEMBER_ADD, request);

    if (!kt_node_request_parse(request->member.request, &joining, err) || !check_replaced(request, &joining, err))
        return false;
    keyring = kt_opener_newest(request, ops->config->owner, err);
    keys = keyring ? kt_opener_open_by_recovery(keyring, request, err) : NULL;
    if (!keys)
        return false;
    if (kt_keyring_has_recipient(keyring, joining.node, joining.public_key))
        return leave(keyring, answer, err);
    change.name = joining.node;
    change.recipient = joining.kind;
    memcpy(change.public_key, joining.public_key, KT_P256_PUBLIC);
    return write_member(keyring, keys, &change, answer, err);
}

bool kt_opener_op_remove(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                         struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = NULL;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = NULL;
    const struct kt_member_change change = change_of(KT_MEMBER_REMOVE, request);

    if (strcmp(request->member.name, ops->config->node) == 0) {
        (void)kt_fail(err, KT_E_REFUSED, "%s is this node: it could not open what it would write", ops->config->node);
        return kt_error_hint(err, "remove it on another node");
    }
    keyring = kt_opener_newest(request, ops->config->owner, err);
    keys = keyring ? kt_opener_open_by_recovery(keyring, request, err) : NULL;
    return keys && write_member(keyring, keys, &change, answer, err);
}

static bool is_recipient(const struct kt_keyring *keyring, const char *name)
{
    const struct kt_keyring_info *info = kt_keyring_info(keyring);

    for (size_t i = 0; i < info->n_recipients; i++)
        if (strcmp(info->recipients[i].name, name) == 0)
            return true;
    return false;
}

/* Without a pin (the node is a new one) the recovery key itself is the trust: the membership must be by its owner. */
bool kt_opener_op_recovery_use(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                               struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = NULL;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = NULL;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *own = NULL;
    struct kt_member_change change = change_of(KT_MEMBER_ADD, request);
    uint8_t founder[KT_HASH_LEN] = {0};

    memcpy(founder, ops->config->owner, KT_HASH_LEN);
    if (!ops->config->has_owner && request->current.data && !kt_keyring_named_founder(request->current, founder, err))
        return false;
    keyring = kt_opener_newest(request, founder, err);
    keys = keyring ? kt_opener_open_by_recovery(keyring, request, err) : NULL;
    own = keys ? kt_opener_make_or_load(ops, request, err) : NULL;
    if (!own)
        return false;
    kt_p256_public(own, change.public_key);
    if (kt_keyring_has_recipient(keyring, request->node, change.public_key))
        return leave(keyring, answer, err);
    change.kind = is_recipient(keyring, request->node) ? KT_MEMBER_REPLACE : KT_MEMBER_ADD;
    change.name = request->node;
    change.recipient = request->kind;
    return write_member(keyring, keys, &change, answer, err);
}

bool kt_opener_op_recovery_replace(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                                   struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = NULL;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = kt_opener_newest(request, ops->config->owner, err);
    const struct kt_member_change change = change_of(KT_MEMBER_REPLACE_RECOVERY, request);

    keys = keyring ? kt_opener_open_by_recovery(keyring, request, err) : NULL;
    return keys && write_member(keyring, keys, &change, answer, err);
}

bool kt_opener_op_recovery_lost(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                                struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = NULL;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = kt_opener_newest(request, ops->config->owner, err);
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *own = keyring ? kt_opener_load_own(ops, err) : NULL;
    const struct kt_member_change change = change_of(KT_MEMBER_LOST_RECOVERY, request);

    keys = own ? kt_keyring_open(keyring, own, err) : NULL;
    return keys && write_member(keyring, keys, &change, answer, err);
}

static bool check_restore(const struct kt_opener_request *request, struct kt_error *err)
{
    for (size_t i = 0; i < request->n_edits; i++)
        if (request->edits[i].kind != KT_EDIT_RESTORE)
            return kt_fail(err, KT_E_REFUSED, "expected keys to restore and nothing else, found another edit");
    return true;
}

bool kt_opener_op_restore(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                          struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = NULL;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = NULL;
    const struct kt_keyring_change change = kt_opener_change(request);

    if (!check_restore(request, err))
        return false;
    keyring = kt_opener_newest(request, ops->config->owner, err);
    keys = keyring ? kt_opener_open_by_recovery(keyring, request, err) : NULL;
    return keys && kt_keyring_write(keyring, keys, &change, &answer->document, err) &&
           kt_opener_describe_made(ops, answer, err);
}
