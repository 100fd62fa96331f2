/* SPDX-License-Identifier: Apache-2.0 */
/* What p256.c and p256_sign.c share. */
#pragma once

#include "keystore/p256.h"

#include <openssl/evp.h>

struct kt_p256 {
    EVP_PKEY *pkey;
    bool has_private;
    uint8_t public_key[KT_P256_PUBLIC];
};

/* Fails with KT_E_INTERNAL where a private key is needed and only the public one is there. */
bool kt_p256_need_private(const struct kt_p256 *key, struct kt_error *err) KT_MUST_CHECK;
