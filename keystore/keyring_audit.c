/* SPDX-License-Identifier: Apache-2.0 */
/* The line that a generation brings: what changed, as the two keyrings tell, and who says to have changed it. */
#include "keystore/keyring_internal.h"

#include <string.h>

static void fill_state(const struct kt_keyring_info *info, struct kt_audit_state *ret)
{
    ret->membership = info->membership;
    ret->generation = info->generation;
    memcpy(ret->hash, info->hash, KT_HASH_LEN);
    ret->stage = info->stage;
    ret->enabled = info->enabled;
    ret->strict = info->strict;
    ret->hold = info->hold;
    ret->api_servers = info->n_api_servers;
    ret->archived = info->n_archive;
    ret->n_recipients = info->n_recipients;
    for (size_t i = 0; i < info->n_recipients; i++)
        memcpy(ret->recipients[i], info->recipients[i].name, sizeof ret->recipients[i]);
    ret->n_keys = info->n_keys;
    for (size_t i = 0; i < info->n_keys; i++) {
        const struct kt_key_info *key = &info->keys[i];
        ret->keys[i] = (struct kt_audit_key){.type = key->type, .state = key->state};
        memcpy(ret->keys[i].id, key->id, sizeof key->id);
        memcpy(ret->keys[i].name, key->name, sizeof key->name);
    }
}

static void fill_claim(const struct kt_audit_claim *claim, struct kt_audit_claim *ret)
{
    *ret = *claim;
    kt_audit_clean(claim->command, ret->command);
    kt_audit_clean(claim->who.user, ret->who.user);
    kt_audit_clean(claim->who.login, ret->who.login);
    kt_audit_clean(claim->who.sudo, ret->who.sudo);
}

/* Whoever wrote the last number that there is must not have the last word. */
static void begin_anew(struct kt_keyring *draft, struct kt_audit_prefix *last)
{
    draft->audit.n = 0;
    memset(draft->info.audit_head, 0, KT_HASH_LEN);
    last->seq = 0;
}

static bool fill(struct kt_keyring *draft, const struct kt_audit_change *change, struct kt_audit_line *ret,
                 struct kt_error *err)
{
    struct kt_audit_prefix last = {.seq = 0};
    /* The draft still carries what the keyring before it did. */
    if (!kt_audit_tail_check(&draft->audit, draft->info.audit_head, &last, err))
        return false;
    if (last.seq >= KT_NUMBER_MAX)
        begin_anew(draft, &last);
    ret->seq = last.seq + 1;
    memcpy(ret->prev, draft->info.audit_head, KT_HASH_LEN);
    ret->time = draft->info.written;
    memcpy(ret->keyring_id, draft->info.keyring_id, KT_KEYRING_ID_LEN);
    ret->event = change->event;
    if (change->subject)
        memcpy(ret->subject, change->subject, strnlen(change->subject, KT_NAME_MAX));
    memcpy(ret->node, draft->info.writer, sizeof ret->node);
    if (change->claim)
        fill_claim(change->claim, &ret->claim);
    if (change->before)
        fill_state(&change->before->info, &ret->before);
    fill_state(&draft->info, &ret->after);
    return true;
}

static bool put(struct kt_keyring *draft, const struct kt_audit_line *line, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text text = {0};
    kt_text_init(&text, KT_AUDIT_LINE_MAX);
    kt_audit_emit(line, &text);
    if (text.bad)
        return kt_fail(err, KT_E_NOMEM, "out of memory for a line of the audit log");
    return (kt_audit_tail_add(&draft->audit, KT_SLICE(text.data, text.len)) ||
            kt_fail(err, KT_E_INTERNAL, "an empty line of the audit log")) &&
           kt_audit_hash(KT_SLICE(text.data, text.len), draft->info.audit_head, err);
}

bool kt_keyring_announce(struct kt_keyring *draft, const struct kt_audit_change *change, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_audit_line *line = calloc(1, sizeof *line);
    if (!line)
        return kt_fail(err, KT_E_NOMEM, "out of memory for a line of the audit log");
    return fill(draft, change, line, err) && put(draft, line, err);
}
