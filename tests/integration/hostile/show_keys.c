/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For test_memory.py: the secrets of a node in the clear, so that a test can look for them where they must not be.
 *
 *   show_keys CONFIG KEYRING NODE_KEY
 *
 * Opens KEYRING as the owner that CONFIG pins says, with the private half NODE_KEY, and prints lines of `NAME HEX`:
 * scalar, keyring-key, status-key, signer, and for each listed key key.ID, or inline.ID if it is not of type kms. Exits
 * with the code of keystore's error; 2: wrong use.
 */
#include "base/file.h"
#include "keystore/config.h"
#include "keystore/keyring_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE_KEY_HEADER 12u /* docs/keyring-format.md §10 */

static void print(const char *name, const struct kt_secret *secret)
{
    (void)printf("%s ", name);
    for (size_t i = 0; i < kt_secret_len(secret); i++)
        (void)printf("%02x", kt_secret_view(secret)[i]);
    (void)printf("\n");
}

static struct kt_p256 *load_own(const char *path, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = 4096, .owner = KT_ANY_UID};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *file = kt_file_read_secret(AT_FDCWD, path, &rules, err);
    if (!file)
        return NULL;
    if (kt_secret_len(file) != NODE_KEY_HEADER + KT_P256_SCALAR) {
        (void)kt_fail(err, KT_E_NODE_KEY, "%s: not a node's key", path);
        return NULL;
    }
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *scalar = kt_secret_new_copy(kt_secret_view(file) + NODE_KEY_HEADER, KT_P256_SCALAR, err);
    if (!scalar)
        return NULL;
    print("scalar", scalar);
    return kt_p256_from_scalar(scalar, err);
}

static bool print_all(const struct kt_keyring *keyring, const struct kt_p256 *own, struct kt_error *err)
{
    const struct kt_keyring_info *info = kt_keyring_info(keyring);
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = kt_keyring_open(keyring, own, err);
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *signer = keys ? kt_p256_scalar(keys->signer, err) : NULL;
    if (!signer)
        return false;
    print("keyring-key", keys->keyring_key);
    print("status-key", keys->status_key);
    print("signer", signer);
    for (size_t i = 0; i < info->n_keys; i++) {
        char name[KT_KEY_ID_LEN + 8];
        const char *kind = info->keys[i].type == KT_KEY_KMS ? "key" : "inline";
        (void)snprintf(name, sizeof(name), "%s.%s", kind, info->keys[i].id);
        print(name, kt_keyring_keys_bytes(keys, i));
    }
    return true;
}

static bool show(char **argv, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_KEYRING_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP(kt_free_p) struct kt_config *config = calloc(1, sizeof(*config));
    KT_CLEANUP_BYTES struct kt_bytes document = {.data = NULL};
    if (!config || !kt_config_load(argv[1], config, err) || !kt_file_read(AT_FDCWD, argv[2], &rules, &document, err))
        return false;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *own = load_own(argv[3], err);
    KT_CLEANUP(kt_keyring_free_p)
    struct kt_keyring *keyring = own ? kt_keyring_verify(kt_bytes_view(&document), config->owner, err) : NULL;
    return keyring && print_all(keyring, own, err);
}

int main(int argc, char **argv)
{
    struct kt_error error = KT_ERROR_INIT;
    if (argc != 4) {
        (void)fprintf(stderr, "usage: show_keys CONFIG KEYRING NODE_KEY\n");
        return 2;
    }
    if (show(argv, &error))
        return 0;
    (void)fprintf(stderr, "show_keys: %s: %s\n", kt_code_name(error.code), error.message);
    return kt_code_exit(error.code);
}
