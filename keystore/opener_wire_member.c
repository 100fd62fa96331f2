/* SPDX-License-Identifier: Apache-2.0 */
/* What the operations on members add to requests and answers. */
#include "keystore/opener_wire.h"
#include "keystore/opener_wire_parts.h"

void kt_wire_put_member(struct kt_writer *w, const struct kt_opener_member *member)
{
    kt_writer_blob(w, member->request);
    kt_writer_blob(w, member->header);
    kt_wire_put_text(w, member->name);
    kt_wire_put_text(w, member->provider);
}

void kt_wire_member(struct kt_reader *r, struct kt_opener_storage *storage, struct kt_opener_member *ret)
{
    ret->request = kt_reader_blob(r, KT_REQUEST_MAX);
    ret->header = kt_reader_blob(r, KT_BUNDLE_HEADER_MAX);
    kt_wire_text(r, storage->member_name, sizeof(storage->member_name));
    kt_wire_text(r, storage->provider, sizeof(storage->provider));
    ret->name = storage->member_name;
    ret->provider = storage->provider;
}

void kt_wire_put_member_answer(struct kt_writer *w, const struct kt_opener_answer *answer)
{
    kt_writer_blob(w, kt_bytes_view(&answer->header));
    kt_writer_u64(w, answer->n_lost);
}

bool kt_wire_member_answer(struct kt_reader *r, struct kt_opener_answer *ret, struct kt_error *err)
{
    struct kt_slice header = kt_reader_blob(r, KT_BUNDLE_HEADER_MAX);

    ret->n_lost = kt_wire_number(r);
    return r->bad || header.len == 0 || kt_bytes_copy(header, &ret->header, err);
}
