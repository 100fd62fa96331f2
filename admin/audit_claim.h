/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs keyturn, for the audit log (docs/audit-format.md): what this process can see of it, and nobody proves. */
#pragma once

#include "keystore/audit.h"

/* command: "node approve". Never fails: what cannot be found out is "". */
void kt_audit_claim_fill(const char *command, struct kt_audit_claim *ret);
