/* SPDX-License-Identifier: Apache-2.0 */
/* seed_keyring DIR: writes DIR/keyring and DIR/keyring_parse: founded, rotated, cut and spoilt keyrings. */
#include "base/file.h"
#include "keystore/keyring_internal.h"
#include "seed_keys.h"

#include <fcntl.h>
#include <stdio.h>

#define NOW UINT64_C(1795424400)

static void need(bool ok, const char *what, const struct kt_error *err)
{
    if (ok)
        return;
    fprintf(stderr, "seed_keyring: %s: %s\n", what, err->message);
    exit(EXIT_FAILURE);
}

static void put(int dir, const char *folder, const char *name, struct kt_slice bytes)
{
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    const struct kt_file_attrs dir_attrs = {.mode = 0755, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    struct kt_error err = KT_ERROR_INIT;
    char path[128] = "";
    snprintf(path, sizeof path, "%s/%s", folder, name);
    need(kt_dir_make(dir, folder, &dir_attrs, &err) && kt_file_replace(dir, path, bytes, &attrs, &err), path, &err);
}

static void put_keyring(int dir, const char *name, const struct kt_bytes *document)
{
    struct kt_keyring_parts parts = {0};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_slice all = kt_bytes_view(document);
    need(kt_keyring_split(all, &parts, &err), name, &err);
    put(dir, "keyring", name, all);
    put(dir, "keyring_parse", name,
        KT_SLICE(all.data, all.len - parts.signatures.len - sizeof KT_KEYRING_SEPARATOR + 1));
}

/* The next generation, in place of *document. */
static void write_next(struct kt_bytes *document, const uint8_t owner[KT_HASH_LEN], const struct kt_edit *edits,
                       size_t n)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes next = {0};
    struct kt_p256 *node = seed_node();
    const struct kt_keyring_change change = {.edits = edits, .n_edits = n, .writer = "node-1", .now = NOW + 60};
    struct kt_keyring *keyring = kt_keyring_verify(kt_bytes_view(document), owner, &err);
    need(keyring, "verify", &err);
    struct kt_keyring_keys *keys = kt_keyring_open(keyring, node, &err);
    need(keys && kt_keyring_write(keyring, keys, &change, &next, &err), "write", &err);
    kt_bytes_done(document);
    *document = next;
    kt_keyring_keys_free(keys);
    kt_keyring_free(keyring);
    kt_p256_free(node);
}

static void found(struct kt_bytes *ret, uint8_t ret_owner[KT_HASH_LEN])
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_secret *recovery_key = seed_recovery_key();
    struct kt_p256 *node = seed_node();
    const struct kt_keyring_founding founding = {
        .node = "node-1",
        .kind = KT_RECIPIENT_FILE,
        .own = node,
        .recovery_key = recovery_key,
        .type = KT_KEY_KMS,
        .key_name = "kmskey",
        .now = NOW,
    };
    need(kt_keyring_found(&founding, ret, ret_owner, &err), "found", &err);
    kt_p256_free(node);
    kt_secret_free(recovery_key);
}

static void edit_first(struct kt_edit *edit, const struct kt_bytes *document, const uint8_t owner[KT_HASH_LEN],
                       size_t i)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_keyring *keyring = kt_keyring_verify(kt_bytes_view(document), owner, &err);
    need(keyring, "verify", &err);
    memcpy(edit->id, keyring->info.keys[i].id, sizeof edit->id);
    kt_keyring_free(keyring);
}

int main(int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    uint8_t owner[KT_HASH_LEN] = {0};
    struct kt_bytes document = {0};
    int dir = argc == 2 ? kt_dir_open(AT_FDCWD, argv[1], &err) : -1;
    need(dir >= 0, "usage: seed_keyring DIR", &err);

    found(&document, owner);
    put_keyring(dir, "founded", &document);
    put(dir, "keyring", "cut", KT_SLICE(document.data, document.len / 2));
    put(dir, "keyring", "empty", KT_SLICE("", 0));
    document.data[document.len / 2] ^= 1;
    put(dir, "keyring", "spoilt", kt_bytes_view(&document));
    document.data[document.len / 2] ^= 1;

    struct kt_edit add[] = {
        {.kind = KT_EDIT_ADD, .type = KT_KEY_AESCBC, .name = "aescbckey-2022-04-21T23:01:02+02:00"},
        {.kind = KT_EDIT_ADD, .type = KT_KEY_AESGCM, .name = "two \"words\" \\ \xe5\xaf\x86\xe9\x92\xa5"},
        {.kind = KT_EDIT_ADD, .type = KT_KEY_SECRETBOX, .name = "null"},
        {.kind = KT_EDIT_API_SERVER, .name = "https://[::1]:6443"},
        {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_PREPARE},
    };
    write_next(&document, owner, add, KT_ARRAY_LEN(add));
    put_keyring(dir, "prepared", &document);

    struct kt_edit rotate[] = {
        {.kind = KT_EDIT_ACTIVATE},
        {.kind = KT_EDIT_STATE, .state = KT_KEY_RETIRING},
        {.kind = KT_EDIT_ARCHIVE},
    };
    edit_first(&rotate[0], &document, owner, 1);
    edit_first(&rotate[1], &document, owner, 0);
    edit_first(&rotate[2], &document, owner, 3);
    write_next(&document, owner, rotate, KT_ARRAY_LEN(rotate));
    put_keyring(dir, "rotated", &document);
    kt_bytes_done(&document);
    kt_fd_close(dir);
    return EXIT_SUCCESS;
}
