/* SPDX-License-Identifier: Apache-2.0 */
/* A file of its own, so that a program that compares no secrets does not link OpenSSL, which costs each process 400 KiB
 * of relocations. */
#include "base/secret.h"

#include <openssl/crypto.h>

bool kt_secret_equal(const struct kt_secret *a, const struct kt_secret *b)
{
    const size_t len = kt_secret_len(a);
    return len == kt_secret_len(b) && CRYPTO_memcmp(kt_secret_view(a), kt_secret_view(b), len) == 0;
}
