/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three calls of KMS v2 (k8s.io/kms/apis/v2/api.proto), between protobuf and the keeper's requests. Knows nothing
 * of HTTP/2: bytes in, bytes out, and a gRPC status.
 */
#pragma once

#include "kmsplugin/counters.h"
#include "kmsplugin/front_decode.h"
#include "kmsplugin/keeper_wire.h"

#include <grpc/status.h>

/* A whole answer: body if status is GRPC_STATUS_OK, else text, which never repeats what the caller sent. */
#define KT_FRONT_BODY_MAX (KT_KMS_CIPHERTEXT_MAX + 128u)
struct kt_front_reply {
    grpc_status_code status;
    char text[384];
    size_t len;
    uint8_t body[KT_FRONT_BODY_MAX];
};
void kt_front_refuse(struct kt_front_reply *ret, grpc_status_code status, const char *fmt, ...) KT_PRINTF(3, 4);

/* What the keeper said last. key_id is empty until a keeper named one, be it in its page before this front was started;
 * after that Status never answers without. */
struct kt_front_known {
    char key_id[KT_KEY_ID_LEN + 1];
};

/* Of a scratch that takes the largest message that gets past the limit of limit bytes. */
size_t kt_front_scratch_size(size_t limit);

/* The caller's message as a request to the keeper, all but its tag. False: *ret_refusal is the answer. Wipes scratch.
 */
bool kt_front_decode(enum kt_method method, struct kt_slice message, struct kt_scratch *scratch,
                     struct kt_keeper_request *ret, struct kt_front_reply *ret_refusal) KT_MUST_CHECK;
/* The keeper's answer as the caller's. Takes over the key_id into known. */
void kt_front_encode(enum kt_method method, const struct kt_keeper_answer *answer, struct kt_front_known *known,
                     struct kt_front_reply *ret);
/* The answer where the keeper gave none; words: why, for an operator. Status answers from what is known. */
void kt_front_encode_away(enum kt_method method, const char *words, const struct kt_front_known *known,
                          struct kt_front_reply *ret);
