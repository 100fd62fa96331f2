/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/opener_ops_internal.h"

#include <string.h>

/* The line that let this node in, perhaps with another key. */
static bool is_joining(const struct kt_audit_line *line, const char *node)
{
    return (line->event == KT_AUDIT_NODE_ADDED || line->event == KT_AUDIT_NODE_REPLACED) &&
           strcmp(line->subject, node) == 0;
}

/* Whose lines this release cannot read may begin anywhere; verify says what is missing. */
static void find_beginning(const struct kt_audit_tail *tail, const char *node, struct kt_audit_line *line,
                           struct kt_opener_answer *answer)
{
    for (size_t i = 0; i < tail->n; i++) {
        if (!kt_audit_parse(kt_audit_tail_line(tail, i), line, NULL))
            continue;
        if (line->seq == 1 || is_joining(line, node)) {
            answer->audit_from = i;
            answer->audit_whole = true;
            return;
        }
    }
}

bool kt_opener_copy_audit(const struct kt_opener_ops *ops, const struct kt_keyring *keyring,
                          struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_audit_line *line = calloc(1, sizeof(*line));

    answer->audit = calloc(1, sizeof(*answer->audit));
    if (!line || !answer->audit)
        return kt_fail(err, KT_E_NOMEM, "no memory for lines of the audit log");
    *answer->audit = *kt_keyring_audit(keyring);
    find_beginning(answer->audit, ops->config->node, line, answer);
    return true;
}
