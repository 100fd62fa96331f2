/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two files of an enrolment (docs/enrolment-format.md): the request that a new node writes, and the bundle that
 * comes back, signed by the owner as a whole. Neither holds a secret. Fixed lines, read by a scanner of its own.
 */
#pragma once

#include "base/buf.h"
#include "keystore/key.h"
#include "keystore/p256.h"

#define KT_REQUEST_MAX       4096u /* bytes of a request */
#define KT_BUNDLE_HEADER_MAX 4096u /* of the lines before the keyring */
#define KT_BUNDLE_MAX        (KT_BUNDLE_HEADER_MAX + KT_KEYRING_MAX)
#define KT_NONCE_LEN         32u
#define KT_TPM_NAME_MAX      66u /* TPM2B_NAME: algorithm and digest, at most SHA-512 (TPM 2.0 Part 2, 10.5.3) */

#define KT_CONTEXT_BUNDLE "keyturn.dev/v1 node-bundle"

struct kt_tpm_name {
    size_t len; /* 0: none */
    uint8_t bytes[KT_TPM_NAME_MAX];
};

struct kt_node_request {
    char node[KT_NAME_MAX + 1];
    enum kt_recipient_kind kind; /* file or tpm2 */
    uint8_t public_key[KT_P256_PUBLIC];
    struct kt_tpm_name tpm; /* of the endorsement key's TPM and of its storage root key; none with kind
                               file; kind tpm2 has srk */
    struct kt_tpm_name srk;
    uint8_t nonce[KT_NONCE_LEN];
};
bool kt_node_request_format(const struct kt_node_request *request, struct kt_bytes *ret,
                            struct kt_error *err) KT_MUST_CHECK;
/* KT_E_REQUEST_FORMAT with the line. */
bool kt_node_request_parse(struct kt_slice text, struct kt_node_request *ret, struct kt_error *err) KT_MUST_CHECK;
/* Over every byte of the file. */
bool kt_node_request_fingerprint(struct kt_slice text, uint8_t ret[KT_HASH_LEN], struct kt_error *err) KT_MUST_CHECK;

struct kt_bundle {
    char node[KT_NAME_MAX + 1];   /* of the request */
    uint8_t request[KT_HASH_LEN]; /* its fingerprint */
    uint8_t nonce[KT_NONCE_LEN];  /* and its nonce */
    uint8_t founder[KT_HASH_LEN]; /* to be pinned */
    char provider[KT_NAME_MAX + 1];
    size_t keyring_len;
    uint8_t signature[KT_SIGNATURE_LEN]; /* by the last owner of the keyring */
};
/* The header with its signature; the keyring's bytes follow it in the file. owner: the pair that signs. */
bool kt_bundle_sign(const struct kt_bundle *bundle, struct kt_slice keyring, const struct kt_p256 *owner,
                    struct kt_bytes *ret, struct kt_error *err) KT_MUST_CHECK;
/* Header and keyring of a file, as it stands. KT_E_BUNDLE_FORMAT. */
bool kt_bundle_split(struct kt_slice file, struct kt_slice *ret_header, struct kt_slice *ret_keyring,
                     struct kt_error *err) KT_MUST_CHECK;
bool kt_bundle_parse(struct kt_slice header, struct kt_bundle *ret, struct kt_error *err) KT_MUST_CHECK;
/* Whether the owner signed these very bytes. KT_E_BUNDLE_OWNER. */
bool kt_bundle_verify(struct kt_slice header, struct kt_slice keyring, const uint8_t owner[KT_P256_PUBLIC],
                      struct kt_error *err) KT_MUST_CHECK;
