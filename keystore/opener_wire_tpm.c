/* SPDX-License-Identifier: Apache-2.0 */
/* What requests and answers about a TPM add to the frames. */
#include "keystore/opener_wire_parts.h"

#include <string.h>

void kt_wire_put_tpm(struct kt_writer *w, const struct kt_opener_request *request)
{
    kt_writer_u8(w, request->tpm_policy ? 1 : 0);
    if (request->tpm_policy)
        kt_tpm_policy_put(w, request->tpm_policy);
    kt_writer_u16(w, request->tpm_pcrs.bank);
    kt_writer_u32(w, request->tpm_pcrs.mask);
}

void kt_wire_get_tpm(struct kt_reader *r, struct kt_opener_storage *storage, struct kt_opener_request *ret)
{
    if (kt_wire_bool(r)) {
        kt_tpm_policy_get(r, &storage->tpm_policy);
        ret->tpm_policy = &storage->tpm_policy;
    }
    ret->tpm_pcrs.bank = kt_reader_u16(r);
    ret->tpm_pcrs.mask = kt_reader_u32(r);
    if (ret->tpm_pcrs.mask >> KT_TPM_PCRS || (ret->tpm_pcrs.mask && !kt_tpm_bank_len(ret->tpm_pcrs.bank)))
        r->bad = true;
}

static void put_report(struct kt_writer *w, const struct kt_tpm_report *report)
{
    kt_writer_u8(w, report->there ? 1 : 0);
    kt_tpm_policy_put(w, &report->policy);
    kt_writer_u8(w, report->suspended ? 1 : 0);
    kt_writer_u8(w, report->booted ? 1 : 0);
    kt_tpm_policy_put(w, &report->resume);
    kt_writer_u32(w, report->parent_handle);
    kt_writer_u8(w, report->parent_rsa ? 1 : 0);
    kt_writer_bytes(w, report->parent_name, sizeof(report->parent_name));
    kt_writer_u8(w, report->opens ? 1 : 0);
    kt_wire_put_text(w, report->why);
    kt_writer_u8(w, report->present.mask ? 1 : 0);
    if (report->present.mask)
        kt_tpm_pcrs_put(w, &report->present, true);
}

static void get_report(struct kt_reader *r, struct kt_tpm_report *ret)
{
    ret->there = kt_wire_bool(r);
    kt_tpm_policy_get(r, &ret->policy);
    ret->suspended = kt_wire_bool(r);
    ret->booted = kt_wire_bool(r);
    kt_tpm_policy_get(r, &ret->resume);
    ret->parent_handle = kt_reader_u32(r);
    ret->parent_rsa = kt_wire_bool(r);
    kt_wire_copy(r, ret->parent_name, sizeof(ret->parent_name));
    ret->opens = kt_wire_bool(r);
    kt_wire_text(r, ret->why, sizeof(ret->why));
    if (kt_wire_bool(r))
        kt_tpm_pcrs_get(r, true, &ret->present);
}

void kt_wire_put_tpm_answer(struct kt_writer *w, const struct kt_opener_answer *answer)
{
    kt_writer_u8(w, answer->tpm ? 1 : 0);
    if (answer->tpm)
        put_report(w, answer->tpm);
}

bool kt_wire_get_tpm_answer(struct kt_reader *r, struct kt_opener_answer *ret, struct kt_error *err)
{
    if (!kt_wire_bool(r))
        return true;
    ret->tpm = calloc(1, sizeof(*ret->tpm));
    if (!ret->tpm)
        return kt_fail(err, KT_E_NOMEM, "no memory for what the opener says of the TPM");
    get_report(r, ret->tpm);
    return true;
}
