/* SPDX-License-Identifier: Apache-2.0 */
/* What the audit log adds to requests and answers. */
#include "keystore/opener_wire_parts.h"

#include <string.h>

void kt_wire_put_claim(struct kt_writer *w, const struct kt_audit_claim *claim)
{
    kt_wire_put_text(w, claim->command);
    kt_writer_u8(w, claim->has_who ? 1 : 0);
    kt_writer_u32(w, claim->who.uid);
    kt_wire_put_text(w, claim->who.user);
    kt_wire_put_text(w, claim->who.login);
    kt_wire_put_text(w, claim->who.sudo);
    kt_writer_u8(w, claim->has_config ? 1 : 0);
    kt_writer_bytes(w, claim->config_before, KT_HASH_LEN);
    kt_writer_bytes(w, claim->config_after, KT_HASH_LEN);
}

void kt_wire_claim(struct kt_reader *r, struct kt_audit_claim *ret)
{
    kt_wire_text(r, ret->command, sizeof(ret->command));
    ret->has_who = kt_wire_bool(r);
    ret->who.uid = kt_reader_u32(r);
    kt_wire_text(r, ret->who.user, sizeof(ret->who.user));
    kt_wire_text(r, ret->who.login, sizeof(ret->who.login));
    kt_wire_text(r, ret->who.sudo, sizeof(ret->who.sudo));
    ret->has_config = kt_wire_bool(r);
    kt_wire_copy(r, ret->config_before, KT_HASH_LEN);
    kt_wire_copy(r, ret->config_after, KT_HASH_LEN);
}

void kt_wire_put_audit(struct kt_writer *w, const struct kt_opener_answer *answer)
{
    kt_writer_u8(w, answer->audit ? 1 : 0);
    if (!answer->audit)
        return;
    kt_writer_u8(w, (uint8_t)answer->audit->n);
    for (size_t i = 0; i < answer->audit->n; i++)
        kt_writer_blob(w, kt_audit_tail_line(answer->audit, i));
    kt_writer_u8(w, (uint8_t)answer->audit_from);
    kt_writer_u8(w, answer->audit_whole ? 1 : 0);
}

static void get_tail(struct kt_reader *r, struct kt_audit_tail *ret)
{
    size_t n = kt_wire_enum(r, KT_AUDIT_LINES_MAX);
    for (size_t i = 0; i < n && !r->bad; i++) {
        struct kt_slice line = kt_reader_blob(r, KT_AUDIT_LINE_MAX);
        /* One that pushes others out is not what was put in. */
        if (!r->bad && (!kt_audit_tail_add(ret, line) || ret->n != i + 1))
            r->bad = true;
    }
}

bool kt_wire_audit(struct kt_reader *r, struct kt_opener_answer *ret, struct kt_error *err)
{
    if (!kt_wire_bool(r))
        return true;
    ret->audit = calloc(1, sizeof(*ret->audit));
    if (!ret->audit)
        return kt_fail(err, KT_E_NOMEM, "no memory for lines of the audit log");
    get_tail(r, ret->audit);
    ret->audit_from = kt_wire_enum(r, KT_AUDIT_LINES_MAX);
    ret->audit_whole = kt_wire_bool(r);
    if (ret->audit_from > ret->audit->n)
        r->bad = true;
    return true;
}
