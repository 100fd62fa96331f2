/* SPDX-License-Identifier: Apache-2.0 */
/* A stranger's keyring, all the way: split, scan, signatures, parse, open. */
#include "fuzz.h"
#include "keystore/kdf.h"
#include "keystore/keyring.h"
#include "seed_keys.h"

static struct kt_p256 *node;
static uint8_t owner[KT_HASH_LEN];

static void make_keys(void)
{
    uint8_t public_key[KT_P256_PUBLIC] = {0};
    const struct kt_slice part = KT_SLICE(public_key, sizeof public_key);
    struct kt_secret *recovery_key = seed_recovery_key();
    struct kt_p256 *pair = kt_recovery_key_owner(recovery_key, NULL);
    if (!pair)
        abort();
    kt_p256_public(pair, public_key);
    if (!kt_sha256(&part, 1, owner, NULL))
        abort();
    kt_p256_free(pair);
    kt_secret_free(recovery_key);
    node = seed_node();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_error err = KT_ERROR_INIT;
    if (!node)
        make_keys();
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = kt_keyring_verify(KT_SLICE(data, size), owner, &err);
    if (!keyring) {
        if (err.code == KT_OK || !err.message[0])
            abort();
        return 0;
    }
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = kt_keyring_open(keyring, node, &err);
    if (!keys && (err.code == KT_OK || !err.message[0]))
        abort();
    return 0;
}
