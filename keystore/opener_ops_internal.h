/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of operations share: opener_ops.c, opener_ops_member.c, opener_ops_enrol.c. Private. */
#pragma once

#include "keystore/keyring_member.h"
#include "keystore/opener_ops.h"

/* opener_ops.c. This node's pair, from the opener's folder; a new one in it (KT_E_EXISTS if there is one). */
struct kt_p256 *kt_opener_load_own(struct kt_opener_ops *ops, struct kt_error *err) KT_MUST_CHECK;
struct kt_p256 *kt_opener_make_own(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                                   struct kt_error *err) KT_MUST_CHECK;
bool kt_opener_need_recovery_key(const struct kt_opener_request *request, struct kt_error *err) KT_MUST_CHECK;
struct kt_keyring_change kt_opener_change(const struct kt_opener_request *request);
/* Info of the document that was made. */
bool kt_opener_describe_made(const struct kt_opener_ops *ops, struct kt_opener_answer *answer,
                             struct kt_error *err) KT_MUST_CHECK;
bool kt_opener_copy_info(const struct kt_keyring *keyring, struct kt_opener_answer *answer,
                         struct kt_error *err) KT_MUST_CHECK;

/* opener_ops_audit.c: the lines that the keyring carries, and where a new log of this node begins. */
bool kt_opener_copy_audit(const struct kt_opener_ops *ops, const struct kt_keyring *keyring,
                          struct kt_opener_answer *answer, struct kt_error *err) KT_MUST_CHECK;

/* opener_ops_enrol.c: a new pair, or the one that an earlier run has left. */
struct kt_p256 *kt_opener_make_or_load(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                                       struct kt_error *err) KT_MUST_CHECK;

/* opener_ops_member.c: `current`, verified by that founder, and the newest of what the request knows. */
struct kt_keyring *kt_opener_newest(const struct kt_opener_request *request, const uint8_t founder[KT_HASH_LEN],
                                    struct kt_error *err) KT_MUST_CHECK;
/* Opened with the recovery key, which must be the present owner's. */
struct kt_keyring_keys *kt_opener_open_by_recovery(const struct kt_keyring *keyring,
                                                   const struct kt_opener_request *request,
                                                   struct kt_error *err) KT_MUST_CHECK;

#define KT_OPENER_OPERATION(name)                                                                                  \
    bool name(struct kt_opener_ops *ops, const struct kt_opener_request *request, struct kt_opener_answer *answer, \
              struct kt_error *err) KT_MUST_CHECK
KT_OPENER_OPERATION(kt_opener_op_request);
KT_OPENER_OPERATION(kt_opener_op_sign_bundle);
KT_OPENER_OPERATION(kt_opener_op_bundle);
KT_OPENER_OPERATION(kt_opener_op_approve);
KT_OPENER_OPERATION(kt_opener_op_remove);
KT_OPENER_OPERATION(kt_opener_op_recovery_use);
KT_OPENER_OPERATION(kt_opener_op_recovery_replace);
KT_OPENER_OPERATION(kt_opener_op_recovery_lost);
KT_OPENER_OPERATION(kt_opener_op_restore);
#undef KT_OPENER_OPERATION
