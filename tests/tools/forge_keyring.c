/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: what the root of a node can write that opens a keyring, or once did. It opens the keyring of the node with
 * the node's own private half, wherever that is, and uses the signer in it for whatever it likes.
 *
 *   forge_keyring DIR OUT GENERATION                    the key list again as that generation, under its membership
 *   forge_keyring DIR OUT GENERATION --over FILE        ... under the membership of that keyring
 *   forge_keyring DIR OUT GENERATION --membership N     ... under a membership N of its own making
 *
 * GENERATION and N may be "last", the highest number that there can be. Wraps, keys and hashes are as they should be.
 * Exits with the code of keystore's error; 2: wrong use.
 */
#include "base/clock.h"
#include "base/file.h"
#include "keystore/kdf.h"
#include "keystore/keyring_internal.h"
#include "keystore/recipient.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct forging {
    struct kt_config config;
    struct kt_keyring *keyring;
    struct kt_keyring_keys *keys;
    struct kt_keyring *draft;
    struct kt_keyring_keys *next;
    struct kt_bytes membership; /* its part 1 */
};

static void forging_done(struct forging *f)
{
    kt_keyring_keys_free(f->keys);
    kt_keyring_keys_free(f->next);
    kt_keyring_free(f->keyring);
    kt_keyring_free(f->draft);
    kt_bytes_done(&f->membership);
}

static bool read_keyring(const char *path, const struct kt_config *config, struct kt_keyring **ret,
                         struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_KEYRING_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP_BYTES struct kt_bytes document = {.data = NULL};
    if (!kt_file_read(AT_FDCWD, path, &rules, &document, err))
        return false;
    *ret = kt_keyring_verify(kt_bytes_view(&document), config->owner, err);
    return *ret != NULL;
}

static bool open_own(struct forging *f, const char *dir, struct kt_error *err)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%.3900s/keyturn.yaml", dir);
    if (!kt_config_load(path, &f->config, err))
        return false;
    (void)snprintf(path, sizeof(path), "%.3900s/state/keyring.yaml", dir);
    if (!read_keyring(path, &f->config, &f->keyring, err))
        return false;
    (void)snprintf(path, sizeof(path), "%.3900s/state/opener", dir);
    KT_CLEANUP(kt_fd_close_p) int folder = kt_dir_open(AT_FDCWD, path, err);
    const struct kt_recipient_ops *kind = kt_recipient_find(f->config.recipient);
    if (folder < 0)
        return false;
    if (!kind)
        return kt_fail(err, KT_E_UNSUPPORTED, "no such kind of recipient");
    const struct kt_recipient_source source = {.dirfd = folder, .config = &f->config, .look_only = true};
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *own = kind->load(&source, err);
    f->keys = own ? kt_keyring_open(f->keyring, own, err) : NULL;
    return f->keys != NULL;
}

static bool begin(struct forging *f, uint64_t generation, struct kt_error *err)
{
    const struct kt_keyring_change change = {.writer = f->config.node, .now = kt_clock_real_s()};
    f->draft = kt_keyring_draft_next(f->keyring, &change, err);
    f->next = f->draft ? kt_keyring_keys_copy(f->keys, err) : NULL;
    if (!f->next)
        return false;
    f->draft->info.generation = generation;
    return kt_bytes_copy(f->keyring->parts.membership, &f->membership, err);
}

/* With the signatures that stand there. */
static bool take_membership(struct forging *f, const char *path, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *from = NULL;
    struct kt_keyring *draft = f->draft;
    if (!read_keyring(path, &f->config, &from, err))
        return false;
    draft->signatures = from->signatures;
    draft->made_over = from->made_over;
    draft->info.membership = from->info.membership;
    draft->info.n_recipients = from->info.n_recipients;
    memcpy(draft->info.recipients, from->info.recipients, sizeof(draft->info.recipients));
    memcpy(draft->recipients, from->recipients, sizeof(draft->recipients));
    memcpy(draft->owner, from->owner, sizeof(draft->owner));
    memcpy(draft->signer, from->signer, sizeof(draft->signer));
    memcpy(draft->membership_hash, from->membership_hash, sizeof(draft->membership_hash));
    memcpy(draft->list_membership_hash, from->membership_hash, sizeof(draft->list_membership_hash));
    kt_bytes_done(&f->membership);
    return kt_bytes_copy(from->parts.membership, &f->membership, err);
}

/* Signed with what it has, in the place of the owner. */
static bool make_membership(struct forging *f, uint64_t number, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text text = {0};
    struct kt_keyring *draft = f->draft;
    draft->info.membership = number;
    draft->made_over.generation = f->keyring->info.generation;
    memcpy(draft->made_over.hash, f->keyring->info.hash, KT_HASH_LEN);
    kt_text_init(&text, KT_KEYRING_MAX);
    kt_membership_emit(draft, &text);
    kt_bytes_done(&f->membership);
    if (!kt_text_take(&text, &f->membership, err))
        return false;
    const struct kt_slice part = kt_bytes_view(&f->membership);
    if (!kt_sha256(&part, 1, draft->membership_hash, err))
        return false;
    memcpy(draft->list_membership_hash, draft->membership_hash, KT_HASH_LEN);
    return kt_p256_sign(f->keys->signer, KT_CONTEXT_MEMBERSHIP, part, draft->signatures.membership, err);
}

static uint64_t number_of(const char *text)
{
    return strcmp(text, "last") == 0 ? KT_NUMBER_MAX : strtoull(text, NULL, 10);
}

static bool forge(struct forging *f, char **argv, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    KT_CLEANUP_BYTES struct kt_bytes document = {.data = NULL};
    if (!open_own(f, argv[0], err) || !begin(f, number_of(argv[2]), err))
        return false;
    if (argv[3] && !(strcmp(argv[3], "--over") == 0 ? take_membership(f, argv[4], err)
                                                    : make_membership(f, number_of(argv[4]), err)))
        return false;
    return kt_keyring_seal(f->draft, f->next, err) &&
           kt_keyring_assemble(f->draft, kt_bytes_view(&f->membership), f->next, &document, err) &&
           kt_file_replace(AT_FDCWD, argv[1], kt_bytes_view(&document), &attrs, err);
}

int main(int argc, char **argv)
{
    KT_CLEANUP(kt_free_p) struct forging *f = calloc(1, sizeof(*f));
    struct kt_error err = KT_ERROR_INIT;
    bool known = argc == 4 || (argc == 6 && (strcmp(argv[4], "--over") == 0 || strcmp(argv[4], "--membership") == 0));
    if (!f || !known) {
        (void)fprintf(stderr, "usage: forge_keyring DIR OUT GENERATION [--over FILE | --membership N]\n");
        return 2;
    }
    bool done = forge(f, argv + 1, &err);
    forging_done(f);
    if (done)
        return 0;
    (void)fprintf(stderr, "forge_keyring: %s: %s\n", kt_code_name(err.code), err.message);
    return kt_code_exit(err.code);
}
