/* SPDX-License-Identifier: Apache-2.0 */
/* A KMS v2 client, as kube-apiserver is one: gRPC over the Unix socket, `:authority` localhost. For `probe`. */
#pragma once

#include "base/buf.h"
#include "base/secret.h"
#include "keystore/cipher.h"

struct kt_kms_client;

/* Connects lazily; each call below is bounded by timeout_s and fails with KT_E_UNREACHABLE, KT_E_TIMEOUT, or
 * KT_E_REFUSED with the server's words. */
struct kt_kms_client *kt_kms_client_new(const char *socket_path, unsigned timeout_s,
                                        struct kt_error *err) KT_MUST_CHECK;
void kt_kms_client_free(struct kt_kms_client *client);
KT_DEFINE_CLEANUP(struct kt_kms_client *, kt_kms_client_free);

struct kt_kms_status {
    char version[16];
    char key_id[1025];
    char healthz[512];
};
bool kt_kms_status(struct kt_kms_client *client, struct kt_kms_status *ret, struct kt_error *err) KT_MUST_CHECK;

struct kt_kms_wrapped {
    uint8_t data[KT_KMS_CIPHERTEXT_MAX];
    size_t len;
    char key_id[1025];
};
bool kt_kms_encrypt(struct kt_kms_client *client, const struct kt_secret *plaintext, struct kt_kms_wrapped *ret,
                    struct kt_error *err) KT_MUST_CHECK;
struct kt_secret *kt_kms_decrypt(struct kt_kms_client *client, const struct kt_kms_wrapped *wrapped,
                                 struct kt_error *err) KT_MUST_CHECK;
