/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log of this node, or a copy of another's, and what it is held against. */
#pragma once

#include "admin/command.h"
#include "keystore/audit_verify.h"
#include "keystore/opener.h"
#include "keystore/state_dir.h"

struct kt_audit_files {
    struct kt_config *config;
    struct kt_state *state;
    struct kt_bytes log;
    bool absent;
    struct kt_opener_answer keyring; /* kt_audit_files_evidence: the one in force, described */
};
/* The log; file: another one than this node's, or NULL. */
bool kt_audit_files_read(const struct kt_options *options, const char *file, struct kt_audit_files *ret,
                         struct kt_error *err) KT_MUST_CHECK;
void kt_audit_files_done(struct kt_audit_files *files);
/* With the keyrings of this node, which the opener verifies; a log and a keyring that belong together, also while the
 * daemon installs one. KT_E_BUSY if that cannot be had. */
bool kt_audit_files_evidence(const struct kt_options *options, const char *file, struct kt_audit_files *ret,
                             struct kt_audit_evidence *ret_evidence, struct kt_error *err) KT_MUST_CHECK;
