/* SPDX-License-Identifier: Apache-2.0 */
/* What keyturn itself has changed goes to the journal by syslog(3), facility authpriv; what the daemon installs, the
 * daemon logs. Where nobody takes it, it is lost. */
#pragma once

#include "admin/command.h"
#include "keystore/audit_log.h"

/* After an install without a daemon: the lines that were appended. Trouble with the log goes to standard error. */
void kt_audit_journal(const struct kt_audit_tail *tail, const struct kt_audit_appended *appended);
/* A change of this node alone, which is in no keyring: who did what. */
void kt_audit_journal_local(const struct kt_options *options, const struct kt_config *config);
