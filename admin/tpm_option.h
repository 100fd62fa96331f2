/* SPDX-License-Identifier: Apache-2.0 */
/* What several commands share about a node's TPM. */
#pragma once

#include "admin/command.h"
#include "keystore/opener.h"
#include "keystore/tpm_policy.h"

/* --tpm-policy: parsed, its public key read, its PCRs judged (KT_E_REFUSED without force); a warning goes to standard
 * error. */
bool kt_tpm_policy_from_option(const char *text, bool force, struct kt_tpm_policy *ret,
                               struct kt_error *err) KT_MUST_CHECK;

/* Asks the opener, with the keyring on disk as `current`. */
bool kt_node_ask(const struct kt_config *config, struct kt_opener_request *request, struct kt_opener_answer *ret,
                 struct kt_error *err) KT_MUST_CHECK;
/* A daemon that runs opens its keyring again, so that what it says of this node's key is what is so now. It need not
 * run. */
void kt_node_reload(const struct kt_options *options, const struct kt_config *config);
