/* SPDX-License-Identifier: Apache-2.0 */
/* What the audit log proves of the past, for who goes on from there. */
#pragma once

#include "keystore/audit.h"

/* Each line of the log, from the newest to older ones, until visit says that it has seen enough (false). tail: the
 * lines that the keyring carries, which vouch for those before them, in the log of the state directory; a log that is
 * cut or altered ends there, and so does what a later version wrote. */
typedef bool kt_audit_visit(void *context, const struct kt_audit_line *line);
bool kt_audit_walk(const struct kt_audit_tail *tail, const char *state_dir, kt_audit_visit *visit, void *context,
                   struct kt_error *err) KT_MUST_CHECK;

/* What a command's claim ends with in the line of a generation that is written when every API server was seen to
 * encrypt and a census had found nothing in clear. */
#define KT_AUDIT_ENCRYPTED ", nothing in clear"

/* When the newest such line was written since encryption was last enabled; 0: there is none. A log that is cut or
 * altered proves nothing. */
bool kt_audit_encrypted_since(const struct kt_audit_tail *tail, const char *state_dir, uint64_t *ret,
                              struct kt_error *err) KT_MUST_CHECK;
