/* SPDX-License-Identifier: Apache-2.0 */
/* What the audit log proves of the past, for who goes on from there. */
#pragma once

#include "keystore/audit.h"

/* What a command's claim ends with in the line of a generation that is written when every API server was seen to
 * encrypt and a census had found nothing in clear. */
#define KT_AUDIT_ENCRYPTED ", nothing in clear"

/* When the newest such line was written since encryption was last enabled; 0: there is none. tail: the lines that the
 * keyring carries, which vouch for those before them, in the log of the state directory. A log that is cut or altered
 * proves nothing. */
bool kt_audit_encrypted_since(const struct kt_audit_tail *tail, const char *state_dir, uint64_t *ret,
                              struct kt_error *err) KT_MUST_CHECK;
