/* SPDX-License-Identifier: Apache-2.0 */
/* What both halves of opener_wire share: bounded pieces that make a reader bad instead of failing. Private. */
#pragma once

#include "keystore/opener_wire.h"
#include "keystore/tpm_report.h"

#define KT_WIRE_VERSION 1u /* of the frames; client and opener are of one release */

bool kt_wire_alloc(size_t cap, struct kt_bytes *ret, struct kt_writer *w, struct kt_error *err) KT_MUST_CHECK;
/* Moves *bytes to *ret, or fails if w ran over. */
bool kt_wire_finish(struct kt_bytes *bytes, const struct kt_writer *w, struct kt_bytes *ret,
                    struct kt_error *err) KT_MUST_CHECK;

void kt_wire_put_text(struct kt_writer *w, const char *text); /* NULL is "" */
void kt_wire_text(struct kt_reader *r, char *ret, size_t cap);
/* One byte, 0..last. */
unsigned kt_wire_enum(struct kt_reader *r, unsigned last);
bool kt_wire_bool(struct kt_reader *r);
/* 0..KT_NUMBER_MAX. */
uint64_t kt_wire_number(struct kt_reader *r);
void kt_wire_copy(struct kt_reader *r, void *ret, size_t len);
void kt_wire_put_floor(struct kt_writer *w, const struct kt_floor *floor);
void kt_wire_floor(struct kt_reader *r, struct kt_floor *ret);

/* opener_wire_tpm.c: a part of requests and answers. */
void kt_wire_put_tpm(struct kt_writer *w, const struct kt_opener_request *request);
void kt_wire_get_tpm(struct kt_reader *r, struct kt_opener_storage *storage, struct kt_opener_request *ret);
void kt_wire_put_tpm_answer(struct kt_writer *w, const struct kt_opener_answer *answer);
bool kt_wire_get_tpm_answer(struct kt_reader *r, struct kt_opener_answer *ret, struct kt_error *err) KT_MUST_CHECK;

/* opener_wire_audit.c: likewise, behind all else. */
void kt_wire_put_claim(struct kt_writer *w, const struct kt_audit_claim *claim);
void kt_wire_claim(struct kt_reader *r, struct kt_audit_claim *ret);
void kt_wire_put_audit(struct kt_writer *w, const struct kt_opener_answer *answer);
bool kt_wire_audit(struct kt_reader *r, struct kt_opener_answer *ret, struct kt_error *err) KT_MUST_CHECK;

/* opener_wire_member.c: what stands at the end of requests and answers. */
void kt_wire_put_member(struct kt_writer *w, const struct kt_opener_member *member);
void kt_wire_member(struct kt_reader *r, struct kt_opener_storage *storage, struct kt_opener_member *ret);
void kt_wire_put_member_answer(struct kt_writer *w, const struct kt_opener_answer *answer);
bool kt_wire_member_answer(struct kt_reader *r, struct kt_opener_answer *ret, struct kt_error *err) KT_MUST_CHECK;
