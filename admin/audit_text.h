/* SPDX-License-Identifier: Apache-2.0 */
/* A line of the audit log for people: who did what, and what is different afterwards. */
#pragma once

#include "keystore/audit.h"

void kt_audit_print(const struct kt_audit_line *line);
