/* SPDX-License-Identifier: Apache-2.0 */
/* The private halves that the keyrings of the corpus are made with: no secrets, the same for ever. */
#pragma once

#include "keystore/p256.h"
#include "keystore/recovery_key.h"

#include <string.h>

static inline struct kt_secret *seed_bytes(uint8_t byte)
{
    struct kt_secret *bytes = kt_secret_new(KT_P256_SCALAR, NULL);
    if (!bytes)
        abort();
    memset(kt_secret_bytes(bytes), byte, KT_P256_SCALAR);
    return bytes;
}

/* The node's key pair. */
static inline struct kt_p256 *seed_node(void)
{
    struct kt_secret *scalar = seed_bytes(0x17);
    struct kt_p256 *node = kt_p256_from_scalar(scalar, NULL);
    kt_secret_free(scalar);
    if (!node)
        abort();
    return node;
}

static inline struct kt_secret *seed_recovery_key(void)
{
    return seed_bytes(0x42);
}
