/* SPDX-License-Identifier: Apache-2.0 */
/* What an install did to the audit log, for the journal. The keeper reads no line: they are bytes that its opener gave.
 */
#include "kmsplugin/keeper.h"

#include <stdio.h>
#include <string.h>

static void tell_line(struct kt_slice line, bool late)
{
    uint8_t hash[KT_HASH_LEN] = {0};
    char hash_text[KT_HASH_TEXT_LEN] = "";
    char text[4096]; /* no log line takes more */
    if (kt_audit_hash(line, hash, NULL))
        kt_hash_format(hash, hash_text);
    (void)snprintf(text, sizeof(text), "%.*s", (int)line.len, (const char *)line.data);
    kt_log(KT_LOG_NOTICE, "audit", KT_TEXT("hash", hash_text), KT_BOOL("late", late), KT_TEXT("line", text));
}

static void tell_trouble(struct kt_keeper *k, const struct kt_error *trouble)
{
    bool news = trouble->code != k->audit_error.code || strcmp(trouble->message, k->audit_error.message) != 0;
    if (trouble->code != KT_OK && news)
        kt_log_error(KT_LOG_ERROR, "audit-log-not-written", trouble);
    k->audit_error = *trouble;
}

void kt_keeper_tell_audit(struct kt_keeper *k, const struct kt_opener_answer *answer)
{
    const struct kt_audit_appended *appended = kt_state_dir_audit(k->dir);
    for (size_t i = appended->first; answer->audit && i < appended->n; i++)
        tell_line(kt_audit_tail_line(answer->audit, i), answer->same);
    if (appended->gap)
        kt_log(KT_LOG_WARNING, "audit-log-gap",
               KT_TEXT("hint", "keyturn audit verify says which lines this node does not have"));
    tell_trouble(k, &appended->trouble);
}
