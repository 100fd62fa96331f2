/* SPDX-License-Identifier: Apache-2.0 */
/* The private half that a node has already, and the one that it asks a member to let in: steps of admin/join.h. */
#pragma once

#include "admin/join.h"
#include "keystore/enrolment.h"

/* Before a new private half is made for a node that has one: where the present one does not open, but may again (a
 * TPM that is locked out, other PCRs, no signature, no TPM), KT_E_REFUSED unless --force, which asks. */
bool kt_join_check_present(const struct kt_join *join, struct kt_error *err) KT_MUST_CHECK;
/* Without --tpm-policy, a tpm2 node that rejoins keeps the policy that its present private half is sealed under. */
bool kt_join_keep_policy(struct kt_join *join, struct kt_error *err) KT_MUST_CHECK;

/* Of an earlier run's request, its text: whether it can be given again. *ret false: a new private half is to be made.
 * KT_E_EXISTS: it is for another kind of private half, policy or TCTI than this run's options say, unless --force,
 * which asks. Then join has what the earlier run planned. */
bool kt_join_waiting(struct kt_join *join, const struct kt_node_request *earlier, bool *ret,
                     struct kt_error *err) KT_MUST_CHECK;
/* The policy of the private half in STATE.join; "" of one in a file. */
bool kt_join_policy_text(const struct kt_join *join, char ret[KT_TPM_POLICY_TEXT], struct kt_error *err) KT_MUST_CHECK;
