/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between front and keeper: four fixed-layout requests over a SEQPACKET pair, answered in any order. The same layout
 * both ways; both ends are processes of one release on one machine, so it is a C struct, and both ends check every
 * length. A message holds one or more, one behind the other, each cut off behind the bytes in use: a burst costs one
 * system call, one buffer in the kernel, and few pages here. Wrap and unwrap may be asked again after the keeper died:
 * they change nothing but a counter.
 */
#pragma once

#include "keystore/cipher.h"

enum kt_keeper_op { KT_KEEPER_STATUS = 1, KT_KEEPER_WRAP, KT_KEEPER_UNWRAP, KT_KEEPER_STATE };

#define KT_HEALTHZ_MAX 256u

struct kt_keeper_request {
    uint32_t op;
    uint32_t len;                        /* bytes of data in use */
    uint64_t tag;                        /* comes back in the answer */
    char key_id[KT_KEY_ID_LEN];          /* UNWRAP; not NUL-terminated */
    uint8_t data[KT_KMS_CIPHERTEXT_MAX]; /* WRAP: plaintext; UNWRAP: ciphertext */
};

struct kt_keeper_answer {
    uint32_t op;
    uint32_t code; /* enum kt_code */
    uint64_t tag;
    uint64_t membership; /* of the keyring that answered; 0: none */
    uint64_t generation;
    uint32_t len;
    uint32_t flags;                      /* KT_KEEPER_* below */
    char key_id[KT_KEY_ID_LEN];          /* STATUS, STATE, WRAP; all zero: there is none */
    uint8_t data[KT_KMS_CIPHERTEXT_MAX]; /* WRAP: ciphertext; UNWRAP: plaintext; STATUS, STATE: healthz text */
};
#define KT_KEEPER_BELOW_FLOOR 1u /* decrypt only */
#define KT_KEEPER_LOADED      2u /* a keyring is open */

/* What one with len bytes of data takes of a message: up to 7 bytes of padding, for the next one's alignment. */
size_t kt_keeper_request_size(uint32_t len);
size_t kt_keeper_answer_size(uint32_t len);
/* The size of the one that begins here, where left bytes of the message are left; 0: malformed. */
size_t kt_keeper_request_first(const struct kt_keeper_request *request, size_t left);
size_t kt_keeper_answer_first(const struct kt_keeper_answer *answer, size_t left);
/* The size is that of this one alone. */
bool kt_keeper_request_valid(const struct kt_keeper_request *request, size_t size);
bool kt_keeper_answer_valid(const struct kt_keeper_answer *answer, size_t size);

/* At most so many in a message, and so many bytes of requests, so that it fits into any socket's buffer. */
#define KT_KEEPER_BATCH         64u
#define KT_KEEPER_REQUESTS_SIZE ((size_t)32 * 1024)
#define KT_KEEPER_ANSWERS_SIZE  (KT_KEEPER_BATCH * sizeof(struct kt_keeper_answer))
