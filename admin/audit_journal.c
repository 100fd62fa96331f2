/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/audit_journal.h"

#include "admin/audit_claim.h"
#include "base/printable.h"

#include <stdio.h>
#include <syslog.h>

static void begin(void)
{
    openlog("keyturn", LOG_PID, LOG_AUTHPRIV);
}

void kt_audit_journal(const struct kt_audit_tail *tail, const struct kt_audit_appended *appended)
{
    begin();
    for (size_t i = appended->first; tail && i < appended->n; i++) {
        struct kt_slice line = kt_audit_tail_line(tail, i);
        syslog(LOG_NOTICE, "audit %.*s", (int)line.len, (const char *)line.data);
    }
    if (appended->gap)
        syslog(LOG_WARNING, "audit log: this node does not have all lines (keyturn audit verify)");
    if (appended->trouble.code != KT_OK) {
        syslog(LOG_ERR, "audit log: %s", appended->trouble.message);
        fprintf(stderr,
                "keyturn: warning: the keyring is in force, but the audit log of this node lacks its line: %s\n",
                KT_PRINTABLE(appended->trouble.message));
    }
    closelog();
}

void kt_audit_journal_local(const struct kt_options *options, const struct kt_config *config)
{
    struct kt_audit_claim claim;
    kt_audit_claim_fill(options->command, &claim);
    begin();
    syslog(LOG_NOTICE, "%s on %s by uid %u (%s), login %s, sudo %s", claim.command, config->node, claim.who.uid,
           claim.who.user, claim.who.login, claim.who.sudo);
    closelog();
}
