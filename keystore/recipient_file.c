/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "keystore/recipient.h"

#include <errno.h>
#include <string.h>

#define NODE_KEY_NAME "node.key"

/* docs/keyring-format.md §10: magic, kind, three zero bytes; then the scalar. */
static const uint8_t HEADER[] = {'k', 'e', 'y', 't', 'u', 'r', 'n', 0x01, 0x01, 0, 0, 0};
#define NODE_KEY_LEN (sizeof HEADER + KT_P256_SCALAR)

#define HINT_AGAIN "restore this node's " NODE_KEY_NAME " from where it was kept, or keyturn recovery use"

static struct kt_secret *read_node_key(int dirfd, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = NODE_KEY_LEN, .owner = geteuid(), .forbidden_mode = 0077};
    struct kt_error failure = KT_ERROR_INIT;
    struct kt_secret *file = kt_file_read_secret(dirfd, NODE_KEY_NAME, &rules, &failure);
    if (file)
        return file;
    const bool ours = failure.code == KT_E_PERMISSION || failure.code == KT_E_NOMEM;
    const enum kt_code gone =
        failure.sys_errno == 0 || failure.sys_errno == ENOENT ? KT_E_NODE_KEY_LOST : KT_E_NODE_KEY;
    kt_error_set(err, ours ? failure.code : gone, 0, failure.where, "this node's private key cannot be read: %s",
                 failure.message);
    if (failure.sys_errno == ENOENT)
        kt_error_hint(err, "there is no such file: " HINT_AGAIN);
    else
        kt_error_hint(err, "%s", failure.hint[0] ? failure.hint : HINT_AGAIN);
    return NULL;
}

static bool damaged(struct kt_error *err, const char *expected)
{
    kt_fail(err, KT_E_NODE_KEY_LOST, "this node's private key (" NODE_KEY_NAME ") is damaged: expected %s", expected);
    return kt_error_hint(err, HINT_AGAIN);
}

static bool check_form(const struct kt_secret *file, struct kt_error *err)
{
    const uint8_t *bytes = kt_secret_view(file);
    if (kt_secret_len(file) != NODE_KEY_LEN)
        return damaged(err, "44 bytes");
    if (memcmp(bytes, HEADER, 8) != 0)
        return damaged(err, "the first 8 bytes of version 1");
    if (bytes[8] != HEADER[8])
        return damaged(err, "a key of kind file");
    return memcmp(bytes + 9, HEADER + 9, 3) == 0 || damaged(err, "three zero bytes after the kind");
}

static struct kt_p256 *load(const struct kt_recipient_source *source, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *file = read_node_key(source->dirfd, err);
    if (!file || !check_form(file, err))
        return NULL;
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *scalar = kt_secret_new_copy(kt_secret_view(file) + sizeof HEADER, KT_P256_SCALAR, err);
    if (!scalar)
        return NULL;
    struct kt_error why = KT_ERROR_INIT;
    struct kt_p256 *pair = kt_p256_from_scalar(scalar, &why);
    if (!pair)
        (void)(why.code == KT_E_CRYPTO ? damaged(err, "a private key of P-256") : kt_error_copy(err, &why));
    return pair;
}

static bool write_node_key(int dirfd, const struct kt_secret *scalar, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *file = kt_secret_new(NODE_KEY_LEN, err);
    if (!file)
        return false;
    memcpy(kt_secret_bytes(file), HEADER, sizeof HEADER);
    memcpy(kt_secret_bytes(file) + sizeof HEADER, kt_secret_view(scalar), KT_P256_SCALAR);
    return kt_file_create(dirfd, NODE_KEY_NAME, KT_SLICE(kt_secret_view(file), NODE_KEY_LEN), &attrs, err);
}

static struct kt_p256 *make(const struct kt_recipient_source *source, struct kt_error *err)
{
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *pair = kt_p256_generate(err);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *scalar = pair ? kt_p256_scalar(pair, err) : NULL;
    if (!scalar || !write_node_key(source->dirfd, scalar, err))
        return NULL;
    return KT_TAKE_PTR(pair);
}

const struct kt_recipient_ops kt_recipient_file = {
    .kind = KT_RECIPIENT_FILE, .file = NODE_KEY_NAME, .load = load, .make = make};
