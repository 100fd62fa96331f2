/* SPDX-License-Identifier: Apache-2.0 */
/* The real keyturn-opener: what it makes, opens, refuses and keeps, and what its clients see when it is hurt. */
#include "base/clock.h"
#include "base/ipc.h"
#include "tests/integration/keystore/opener_node.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NODE_KEY "state/opener/node.key"

static struct kt_opener_request open_request(const struct kt_bytes *offered, const struct kt_bytes *current)
{
    return (struct kt_opener_request){.op = KT_OPENER_OPEN,
                                      .offered = offered ? kt_bytes_view(offered) : KT_SLICE(NULL, 0),
                                      .current = current ? kt_bytes_view(current) : KT_SLICE(NULL, 0)};
}

static struct kt_bytes add_key(const struct node *n, const struct kt_bytes *from, const char *name)
{
    struct kt_edit edit = {.kind = KT_EDIT_ADD, .type = KT_KEY_KMS};

    (void)snprintf(edit.name, sizeof(edit.name), "%s", name);
    return node_edit(n, from, &edit, 1);
}

/* Likewise, and a rotation to that key is being prepared. */
static struct kt_bytes prepare_key(const struct node *n, const struct kt_bytes *from, const char *name)
{
    struct kt_edit edits[] = {{.kind = KT_EDIT_ADD, .type = KT_KEY_KMS},
                              {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_PREPARE}};

    (void)snprintf(edits[0].name, sizeof(edits[0].name), "%s", name);
    return node_edit(n, from, edits, 2);
}

/* The generation after, without the last key, which was prepared and never encrypted. */
static struct kt_bytes cancel_key(const struct node *n, const struct kt_bytes *from, size_t index)
{
    struct kt_edit edit = {.kind = KT_EDIT_ARCHIVE};

    node_key_id(n, from, index, edit.id);
    return node_edit(n, from, &edit, 1);
}

/* The generation after, with nothing new. */
static struct kt_bytes go_on(const struct node *n, const struct kt_bytes *from)
{
    const struct kt_edit edit = {.kind = KT_EDIT_ENABLED, .flag = true};

    return node_edit(n, from, &edit, 1);
}

static void test_create(void **state)
{
    const struct node *n = *state;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    const struct kt_opener_request request = node_create_request(n);
    struct stat st;

    node_expect(n, &request, &answer);
    assert_true(answer.document.len > 0);
    assert_int_equal(fstatat(n->s.dir, NODE_KEY, &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(st.st_size, 44);
    node_write_config(n, answer.owner);

    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer opened = {.info = NULL};
    const struct kt_opener_request open = open_request(&answer.document, NULL);
    node_expect(n, &open, &opened);
    assert_int_equal(opened.info->generation, 1);
    assert_int_equal(opened.info->n_keys, 1);
    assert_non_null(opened.keys[0]);
    assert_int_equal(kt_secret_len(opened.keys[0]), KT_KEY_BYTES);
    assert_false(opened.same || opened.below_floor || opened.keep_current);
    assert_int_equal(opened.n_notes, 0);
}

/* Nothing of a failed CREATE stays, and what was there before is not touched. */
static void test_create_refused(void **state)
{
    const struct node *n = *state;
    struct kt_opener_request request = node_create_request(n);
    struct stat before;
    struct stat after;

    request.recovery_key = NULL;
    node_expect_error(n, &request, KT_E_RECOVERY_KEY, "recovery key");
    request = node_create_request(n);
    request.key_name = "not\na name";
    node_expect_error(n, &request, KT_E_USAGE, "");
    scratch_expect(&n->s, NODE_KEY, NULL);
    request = node_create_request(n);
    request.kind = KT_RECIPIENT_TPM2;
    node_expect_error(n, &request, KT_E_CONFIG, "tpm2");
    request.kind = KT_RECIPIENT_RECOVERY;
    node_expect_error(n, &request, KT_E_CONFIG, "recipient");
    scratch_expect(&n->s, NODE_KEY, NULL);

    scratch_put(&n->s, NODE_KEY, "already here", 0600);
    assert_int_equal(fstatat(n->s.dir, NODE_KEY, &before, 0), 0);
    request = node_create_request(n);
    node_expect_error(n, &request, KT_E_EXISTS, "node.key");
    assert_int_equal(fstatat(n->s.dir, NODE_KEY, &after, 0), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    scratch_expect(&n->s, NODE_KEY, "already here");
}

static void test_needs_an_owner(void **state)
{
    const struct node *n = *state;
    const struct kt_bytes some = {.data = (uint8_t *)(uintptr_t) "x", .len = 1};
    struct kt_opener_request request = open_request(&some, NULL);

    for (request.op = KT_OPENER_OPEN; request.op <= KT_OPENER_EDIT; request.op++)
        node_expect_error(n, &request, KT_E_CONFIG, "owner");
}

static void test_describe_needs_no_folder(void **state)
{
    const struct node *n = *state;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_opener_request request = open_request(&n->first, NULL);

    assert_int_equal(renameat(n->s.dir, "state/opener", n->s.dir, "away"), 0);
    request.op = KT_OPENER_DESCRIBE;
    node_expect(n, &request, &answer);
    assert_int_equal(answer.info->n_keys, 1);
    assert_null(answer.keys[0]);
    request.op = KT_OPENER_OPEN;
    node_expect_error(n, &request, KT_E_IO, "opener");
}

static void test_recovery_verify(void **state)
{
    const struct node *n = *state;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *wrong = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, &err);
    struct kt_opener_request request = open_request(&n->first, NULL);

    request.op = KT_OPENER_RECOVERY_VERIFY;
    node_expect_error(n, &request, KT_E_RECOVERY_KEY, "");
    request.recovery_key = wrong;
    node_expect_error(n, &request, KT_E_KEYRING_RECIPIENT, "");
    request.recovery_key = n->recovery_key;
    assert_int_equal(renameat(n->s.dir, "state/opener", n->s.dir, "away"), 0);
    node_expect(n, &request, &answer);
    assert_int_equal(answer.info->generation, 1);
    assert_null(answer.keys[0]);
}

static void test_open_current(void **state)
{
    const struct node *n = *state;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_opener_request request = open_request(NULL, &n->first);

    node_expect(n, &request, &answer);
    assert_true(answer.same);
    assert_false(answer.keep_current);
    assert_int_equal(answer.current.generation, 1);
    request = open_request(NULL, NULL);
    node_expect_error(n, &request, KT_E_KEYRING_MISSING, "there is no keyring");
    request.current = KT_SLICE("", 0);
    node_expect_error(n, &request, KT_E_KEYRING_FORMAT, "");
}

/* The whole way of an install, by the state directory. */
static void test_install_over_state_dir(void **state)
{
    const struct node *n = *state;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = kt_state_dir_open(scratch_name(&n->s, "state"), &err);
    KT_CLEANUP_BYTES struct kt_bytes second = prepare_key(n, &n->first, "kmskey-2");
    /* A branch that never heard of the second's key; and the second's own, which archives it. */
    KT_CLEANUP_BYTES struct kt_bytes branch = go_on(n, &n->first);
    KT_CLEANUP_BYTES struct kt_bytes third = go_on(n, &branch);
    KT_CLEANUP_BYTES struct kt_bytes other = go_on(n, &second);
    KT_CLEANUP_BYTES struct kt_bytes archived = cancel_key(n, &other, 1);
    const struct kt_bytes *const order[] = {&n->first, &second, &third, NULL, &archived};
    static const size_t loaded[] = {1, 2, 2, 2, 1};
    static const size_t kept[] = {0, 0, 1, 1, 0};
    char id[KT_KEY_ID_LEN + 1];

    assert_non_null(dir);
    node_key_id(n, &second, 1, id);
    for (size_t i = 0; i < KT_ARRAY_LEN(order); i++) {
        KT_CLEANUP(kt_state_done) struct kt_state now = {.n_superseded = 0};
        KT_CLEANUP(kt_state_done) struct kt_state then = {.n_superseded = 0};
        KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
        struct kt_opener_request request = {.op = 0};
        struct kt_slice offered = order[i] ? kt_bytes_view(order[i]) : KT_SLICE(NULL, 0);

        assert_true(kt_state_dir_read(dir, &now, &err));
        kt_state_request(&now, offered, &request);
        node_expect(n, &request, &answer);
        assert_int_equal(answer.info->n_keys, loaded[i]);
        assert_int_equal(answer.n_notes, 0);
        assert_true(kt_state_dir_install(dir, &now, offered, &answer, &err));
        assert_true(kt_state_dir_read(dir, &then, &err));
        assert_int_equal(then.n_superseded, kept[i]);
        if (kept[i]) {
            assert_string_equal(then.superseded_names[0], "1-2.yaml");
            assert_true(answer.info->keys[1].superseded);
            assert_string_equal(answer.info->keys[1].id, id);
            assert_non_null(answer.keys[1]);
        }
    }
}

static void test_older_and_fork(void **state)
{
    const struct node *n = *state;
    KT_CLEANUP_BYTES struct kt_bytes second = add_key(n, &n->first, "kmskey-2");
    KT_CLEANUP_BYTES struct kt_bytes fork = add_key(n, &n->first, "kmskey-2");
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer older = {.info = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer forked = {.info = NULL};
    struct kt_opener_request request = open_request(&n->first, &second);

    node_expect_error(n, &request, KT_E_KEYRING_OLDER, "membership 1, generation 1; ");
    node_expect_error(n, &request, KT_E_KEYRING_OLDER, "membership 1, generation 2 already");
    request = open_request(&fork, &second);
    node_expect_error(n, &request, KT_E_KEYRING_FORK, "generation 2");
    /* The floor alone says so too, with a keyring on disk that was put back. */
    request = open_request(NULL, &n->first);
    request.floor = node_floor(n, &second);
    node_expect_error(n, &request, KT_E_KEYRING_OLDER, "generation 2");
    request.accept_older = true;
    node_expect(n, &request, &older);
    assert_true(older.below_floor);
    assert_true(older.same);
    assert_non_null(older.keys[0]);
    assert_int_equal(older.n_notes, 1);
    assert_non_null(strstr(older.notes[0], "older than"));
    request = open_request(NULL, &fork);
    request.floor = node_floor(n, &second);
    node_expect_error(n, &request, KT_E_KEYRING_FORK, "generation 2");
    request.accept_older = true;
    node_expect(n, &request, &forked);
    assert_true(forked.below_floor);
    assert_non_null(strstr(forked.notes[0], "fork"));
    /* A floor that a kill left behind the keyring is no hindrance. */
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer ahead = {.info = NULL};
    request = open_request(NULL, &second);
    request.floor = node_floor(n, &n->first);
    node_expect(n, &request, &ahead);
    assert_false(ahead.below_floor);
}

static void test_foreign(void **state)
{
    const struct node *n = *state;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *other_key = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, &err);
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *other_node = kt_p256_generate(&err);
    struct kt_keyring_founding founding = {.node = "node-1",
                                           .kind = KT_RECIPIENT_FILE,
                                           .own = other_node,
                                           .recovery_key = other_key,
                                           .type = KT_KEY_KMS,
                                           .key_name = "kmskey",
                                           .now = NODE_NOW};
    KT_CLEANUP_BYTES struct kt_bytes other_owner = {.data = NULL};
    KT_CLEANUP_BYTES struct kt_bytes same_owner = {.data = NULL};
    uint8_t owner[KT_HASH_LEN];
    struct kt_opener_request request;

    assert_true(kt_keyring_found(&founding, &other_owner, owner, &err));
    founding.recovery_key = n->recovery_key;
    assert_true(kt_keyring_found(&founding, &same_owner, owner, &err));
    request = open_request(&other_owner, &n->first);
    node_expect_error(n, &request, KT_E_KEYRING_OWNER, "");
    request = open_request(&same_owner, &n->first);
    node_expect_error(n, &request, KT_E_KEYRING_FOREIGN, "another cluster");
    request = open_request(&same_owner, NULL);
    node_expect_error(n, &request, KT_E_KEYRING_RECIPIENT, "");
}

static void harm_bytes(struct kt_keyring *keyring, struct kt_keyring_keys *keys)
{
    (void)keyring;
    kt_secret_bytes(keys->bytes[0])[31] ^= 1;
}

static void harm_type(struct kt_keyring *keyring, struct kt_keyring_keys *keys)
{
    (void)keys;
    keyring->info.keys[0].type = KT_KEY_AESGCM;
}

static void test_loses_key(void **state)
{
    const struct node *n = *state;
    const struct kt_edit edit = {.kind = KT_EDIT_ENABLED, .flag = true};
    KT_CLEANUP_BYTES struct kt_bytes bytes = node_forge(n, &n->first, harm_bytes, &edit, 1);
    KT_CLEANUP_BYTES struct kt_bytes type = node_forge(n, &n->first, harm_type, &edit, 1);
    char id[KT_KEY_ID_LEN + 1];
    struct kt_opener_request request = open_request(&bytes, &n->first);

    node_key_id(n, &n->first, 0, id);
    node_expect_error(n, &request, KT_E_KEYRING_LOSES_KEY, id);
    request = open_request(&type, &n->first);
    node_expect_error(n, &request, KT_E_KEYRING_LOSES_KEY, id);
    /* The same where only a superseded keyring knows the key. */
    request = open_request(&bytes, NULL);
    request.superseded[0] = kt_bytes_view(&n->first);
    request.superseded_names[0] = "1-1.yaml";
    request.n_superseded = 1;
    node_expect_error(n, &request, KT_E_KEYRING_LOSES_KEY, "superseded/1-1.yaml");
}

/* At a start there is nothing else to serve: what can be decrypted is, and every file stays. */
static void test_at_odds_with_an_old_one(void **state)
{
    const struct node *n = *state;
    const struct kt_edit edit = {.kind = KT_EDIT_ENABLED, .flag = true};
    KT_CLEANUP_BYTES struct kt_bytes bytes = node_forge(n, &n->first, harm_bytes, &edit, 1);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_opener_request request = open_request(NULL, &bytes);

    request.superseded[0] = kt_bytes_view(&n->first);
    request.superseded_names[0] = "1-1.yaml";
    request.n_superseded = 1;
    node_expect_error(n, &request, KT_E_KEYRING_LOSES_KEY, "superseded/1-1.yaml");
    request.accept_older = true;
    node_expect(n, &request, &answer);
    assert_true(answer.below_floor && answer.same && answer.keep_superseded[0]);
    assert_non_null(answer.keys[0]);
    assert_non_null(strstr(answer.notes[0], "would lose key"));
}

/* The floor remembers what keyring.yaml, gone or overwritten, cannot tell any more. */
static void test_floor_alone(void **state)
{
    const struct node *n = *state;
    KT_CLEANUP_BYTES struct kt_bytes second = add_key(n, &n->first, "kmskey-2");
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer repinned = {.info = NULL};
    struct kt_opener_request request = open_request(&second, NULL);

    request.floor = node_floor(n, &n->first);
    request.floor.keyring_id[0] ^= 1;
    node_expect_error(n, &request, KT_E_KEYRING_FOREIGN, "another cluster");
    request.floor = node_floor(n, &n->first);
    request.floor.owner[0] ^= 1;
    node_expect_error(n, &request, KT_E_KEYRING_OWNER, "an owner that was replaced");
    /* Root has pinned another founder since: the chain of before counts for nothing. */
    request.floor.founder[0] ^= 1;
    node_expect(n, &request, &repinned);
    assert_false(repinned.below_floor);
}

/* What is wrong with old files is told, and kept, and does not stop a good keyring. */
static void test_bad_old_ones(void **state)
{
    const struct node *n = *state;
    KT_CLEANUP_BYTES struct kt_bytes second = add_key(n, &n->first, "kmskey-2");
    KT_CLEANUP_BYTES struct kt_bytes broken = {.data = NULL};
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_opener_request request;

    assert_true(kt_bytes_copy(kt_bytes_view(&n->first), &broken, &err));
    broken.data[broken.len / 2] ^= 1;
    request = open_request(&second, &broken);
    request.superseded[0] = kt_bytes_view(&broken);
    request.superseded[1] = KT_SLICE("junk", 4);
    request.superseded[2] = kt_bytes_view(&n->first);
    request.superseded[3] = KT_SLICE("", 0);
    request.superseded_names[0] = "1-4.yaml";
    request.superseded_names[1] = "1-3.yaml";
    request.superseded_names[2] = "1-1.yaml";
    request.superseded_names[3] = "1-0.yaml";
    request.n_superseded = 4;
    node_expect(n, &request, &answer);
    assert_int_equal(answer.info->n_keys, 2);
    assert_true(answer.keep_current);
    assert_int_equal(answer.current.membership, 0);
    assert_true(answer.keep_superseded[0]);
    assert_true(answer.keep_superseded[1]);
    assert_false(answer.keep_superseded[2]);
    assert_false(answer.keep_superseded[3]);
    assert_int_equal(answer.n_notes, 4);
    assert_non_null(strstr(answer.notes[0], "keyring.yaml does not verify: "));
    assert_non_null(strstr(answer.notes[1], "superseded/1-4.yaml does not verify: "));
    assert_non_null(strstr(answer.notes[2], "superseded/1-3.yaml does not verify: "));
}

/* Signed by the same owner, but made for another node or of another cluster. */
static void test_old_of_another_cluster(void **state)
{
    const struct node *n = *state;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *other = kt_p256_generate(&err);
    const struct kt_keyring_founding founding = {.node = "node-1",
                                                 .kind = KT_RECIPIENT_FILE,
                                                 .own = other,
                                                 .recovery_key = n->recovery_key,
                                                 .type = KT_KEY_KMS,
                                                 .key_name = "kmskey",
                                                 .now = NODE_NOW};
    KT_CLEANUP_BYTES struct kt_bytes foreign = {.data = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_opener_request request = open_request(NULL, &n->first);
    uint8_t owner[KT_HASH_LEN];

    assert_true(kt_keyring_found(&founding, &foreign, owner, &err));
    request.superseded[0] = kt_bytes_view(&foreign);
    request.superseded_names[0] = "1-1.yaml";
    request.n_superseded = 1;
    node_expect(n, &request, &answer);
    assert_true(answer.keep_superseded[0]);
    assert_int_equal(answer.info->n_keys, 1);
    assert_non_null(strstr(answer.notes[0], "superseded/1-1.yaml does not open"));
}

/* More notes than there is room for. */
static void test_many_notes(void **state)
{
    const struct node *n = *state;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_opener_request request = open_request(NULL, &n->first);

    for (size_t i = 0; i < KT_SUPERSEDED_MAX; i++) {
        request.superseded[i] = KT_SLICE("junk", 4);
        request.superseded_names[i] = "1-1.yaml";
    }
    request.n_superseded = KT_SUPERSEDED_MAX;
    node_expect(n, &request, &answer);
    assert_int_equal(answer.n_notes, KT_NOTES_MAX);
    assert_string_equal(answer.notes[KT_NOTES_MAX - 1], "and more like these");
}

static void test_node_key(void **state)
{
    const struct node *n = *state;
    const struct kt_opener_request request = open_request(NULL, &n->first);
    uint8_t key[64];
    KT_CLEANUP(kt_fd_close_p) int fd = openat(n->s.dir, NODE_KEY, O_RDWR | O_CLOEXEC);
    ssize_t len = read(fd, key, sizeof(key));

    assert_int_equal(len, 44);
    assert_int_equal(fchmod(fd, 0640), 0);
    node_expect_error(n, &request, KT_E_PERMISSION, "node.key");
    assert_int_equal(fchmod(fd, 0600), 0);
    if (am_root()) {
        assert_int_equal(fchown(fd, FOREIGN_UID, FOREIGN_GID), 0);
        node_expect_error(n, &request, KT_E_PERMISSION, "node.key");
        assert_int_equal(fchown(fd, 0, 0), 0);
    }
    for (off_t cut = 0; cut < 44; cut += 11) {
        assert_int_equal(ftruncate(fd, cut), 0);
        node_expect_error(n, &request, KT_E_NODE_KEY_LOST, "private key");
    }
    assert_int_equal(pwrite(fd, key, 44, 0), 44);
    assert_int_equal(pwrite(fd, "x", 1, 0), 1);
    node_expect_error(n, &request, KT_E_NODE_KEY_LOST, "private key");
    assert_int_equal(renameat(n->s.dir, NODE_KEY, n->s.dir, "moved"), 0);
    node_expect_error(n, &request, KT_E_NODE_KEY_LOST, "private key");
    assert_int_equal(symlinkat(scratch_name(&n->s, "moved"), n->s.dir, NODE_KEY), 0);
    node_expect_error(n, &request, KT_E_PERMISSION, "link");
}

static void test_folder(void **state)
{
    const struct node *n = *state;
    const struct kt_opener_request request = open_request(NULL, &n->first);

    assert_int_equal(fchmodat(n->s.dir, "state/opener", 0750, 0), 0);
    node_expect_error(n, &request, KT_E_PERMISSION, "must have mode 0700");
    assert_int_equal(fchmodat(n->s.dir, "state/opener", 0700, 0), 0);
    if (am_root()) {
        assert_int_equal(fchownat(n->s.dir, "state/opener", FOREIGN_UID, FOREIGN_GID, 0), 0);
        node_expect_error(n, &request, KT_E_PERMISSION, "owned by");
        assert_int_equal(fchownat(n->s.dir, "state/opener", 0, 0, 0), 0);
    }
    assert_int_equal(renameat(n->s.dir, "state/opener", n->s.dir, "away"), 0);
    assert_int_equal(symlinkat("../away", n->s.dir, "state/opener"), 0);
    node_expect_error(n, &request, KT_E_PERMISSION, "link");
    assert_int_equal(unlinkat(n->s.dir, "state/opener", 0), 0);
    node_expect_error(n, &request, KT_E_IO, "opener");
}

/* As its own account, as keyturnd starts it. */
static void test_own_account(void **state)
{
    struct node *n = *state;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    const struct kt_opener_request request = open_request(NULL, &n->first);

    if (!am_root())
        skip();
    n->how.account = (struct kt_account){.uid = FOREIGN_UID, .gid = FOREIGN_GID};
    node_expect_error(n, &request, KT_E_PERMISSION, "opener");
    assert_int_equal(fchownat(n->s.dir, "state/opener", FOREIGN_UID, FOREIGN_GID, 0), 0);
    assert_int_equal(fchownat(n->s.dir, NODE_KEY, FOREIGN_UID, FOREIGN_GID, 0), 0);
    node_expect(n, &request, &answer);
    assert_non_null(answer.keys[0]);
}

static void test_edit_refused(void **state)
{
    const struct node *n = *state;
    struct kt_edit edit = {.kind = KT_EDIT_ACTIVATE, .id = "00000000000000000000000000000000"};
    struct kt_opener_request request = open_request(NULL, NULL);

    request.op = KT_OPENER_EDIT;
    request.node = "node-1";
    request.edits = &edit;
    request.n_edits = 1;
    request.now = NODE_NOW;
    node_expect_error(n, &request, KT_E_KEYRING_MISSING, "");
    request.current = kt_bytes_view(&n->first);
    node_expect_error(n, &request, KT_E_REFUSED, "");
}

static void test_bad_config(void **state)
{
    struct node *n = *state;
    const struct kt_opener_request request = open_request(NULL, &n->first);

    assert_int_equal(chmod(n->config, 0666), 0);
    node_expect_error(n, &request, KT_E_PERMISSION, "keyturn.yaml");
    scratch_put(&n->s, "keyturn.yaml", "kind: Nonsense\n", 0644);
    node_expect_error(n, &request, KT_E_CONFIG, "keyturn.yaml");
    assert_int_equal(unlink(n->config), 0);
    node_expect_error(n, &request, KT_E_CONFIG, "keyturn.yaml");
    n->how.program = "/nonexistent/keyturn-opener";
    node_expect_error(n, &request, KT_E_INTERNAL, "could not be started");
}

/* A stand-in that stops itself before it becomes the opener: hung, as on a TPM that does not answer. */
static void test_hanging(void **state)
{
    struct node *n = *state;
    const struct kt_opener_request request = open_request(NULL, &n->first);
    uint64_t before = kt_clock_monotonic_ns();
    char script[1024];

    (void)snprintf(script, sizeof(script), "#!/bin/sh\nkill -STOP $$\nexec %s \"$@\"\n", n->how.program);
    scratch_put(&n->s, "hangs", script, 0700);
    n->how.program = scratch_name(&n->s, "hangs");
    n->how.timeout_ms = 300;
    node_expect_error(n, &request, KT_E_TIMEOUT, "300 ms");
    assert_in_range((kt_clock_monotonic_ns() - before) / 1000000, 300, 20000);
}

static pid_t start_opener(const struct node *n, int *ret_fd)
{
    struct kt_error err = KT_ERROR_INIT;
    char name[] = "keyturn-opener";
    char option[] = "--config";
    char config[128];
    char *argv[] = {name, option, config, NULL};
    int pair[2] = {-1, -1};
    pid_t pid = -1;

    (void)snprintf(config, sizeof(config), "%s", n->config);
    assert_true(kt_ipc_pair(SOCK_STREAM, pair, &err));
    const struct kt_spawn what = {
        .path = n->how.program, .argv = argv, .account = {.uid = KT_SAME_UID}, .fds = &pair[1], .n_fds = 1};
    assert_true(kt_spawn(&what, &pid, &err));
    assert_int_equal(close(pair[1]), 0);
    *ret_fd = pair[0];
    return pid;
}

/* A field of /proc/PID/status, once it is what is expected; waits for it, with a bound. */
static void wait_for_status(pid_t pid, const char *line)
{
    uint64_t end = kt_clock_monotonic_ns() + UINT64_C(20000000000);
    char path[64];
    char text[8192];

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    while (kt_clock_monotonic_ns() < end) {
        KT_CLEANUP(fclose_p) FILE *f = fopen(path, "re");
        size_t len = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

        text[len] = '\0';
        if (strstr(text, line))
            return;
        (void)poll(NULL, 0, 5);
    }
    fail_msg("%s never said \"%s\":\n%s", path, line, text);
}

static bool step_to_the_end(struct kt_opener_call *call, struct kt_opener_answer *answer, struct kt_error *err)
{
    enum kt_opener_progress progress = KT_OPENER_WAITING;

    while (progress == KT_OPENER_WAITING) {
        struct pollfd p = {.fd = kt_opener_call_fd(call), .events = kt_opener_call_events(call)};

        assert_int_equal(poll(&p, 1, 20000), 1);
        if (!kt_opener_call_step(call, answer, &progress, err))
            return false;
    }
    return true;
}

/* Stopped or not, a killed one is a failed call; the client is told by the end of the stream. */
static void test_killed(void **state)
{
    static const int signals[] = {0, SIGSTOP};
    const struct node *n = *state;

    for (size_t i = 0; i < KT_ARRAY_LEN(signals); i++) {
        KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
        const struct kt_opener_request request = open_request(NULL, &n->first);
        struct kt_error err = KT_ERROR_INIT;
        enum kt_opener_progress progress = KT_OPENER_WAITING;
        int fd = -1;
        pid_t pid = start_opener(n, &fd);
        KT_CLEANUP(kt_opener_call_free_p) struct kt_opener_call *call = kt_opener_call_new(fd, &request, &err);

        assert_non_null(call);
        if (signals[i]) {
            assert_int_equal(kill(pid, signals[i]), 0);
            wait_for_status(pid, "State:\tT");
            assert_true(kt_opener_call_step(call, &answer, &progress, &err));
            assert_int_equal(progress, KT_OPENER_WAITING);
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(wait_for(pid), 1000 + SIGKILL);
        assert_false(step_to_the_end(call, &answer, &err));
        assert_int_equal(err.code, KT_E_TIMEOUT);
    }
}

/* Before a byte of the request is read. The filter and the dump flag are off under sanitizers. */
static void test_confined(void **state)
{
    const struct node *n = *state;
    int fd = -1;
    pid_t pid = start_opener(n, &fd);

    wait_for_status(pid, "NoNewPrivs:\t1");
#ifndef KT_SANITIZED
    wait_for_status(pid, "Seccomp:\t2");
#endif
    assert_int_equal(close(fd), 0);
    (void)wait_for(pid);
    expect_no_children();
}

/* Half a request, and then nothing or the end: no node key is made, and the opener ends. */
static void test_request_cut(void **state)
{
    static const char *const parts[] = {"", "\0\0", "\0\0\0\7abc", "\0\0\0\3abc", "\xff\xff\xff\xff"};
    static const size_t lens[] = {0, 2, 7, 7, 4};
    const struct node *n = *state;

    for (size_t i = 0; i < KT_ARRAY_LEN(parts); i++) {
        int fd = -1;
        pid_t pid = start_opener(n, &fd);

        assert_int_equal(send(fd, parts[i], lens[i], 0), lens[i]);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        assert_in_range(wait_for(pid), 0, 1);
        assert_int_equal(close(fd), 0);
    }
    scratch_expect(&n->s, NODE_KEY, NULL);
}

/* A client that goes away after its request: what was made for it is taken back. */
static void test_client_gone(void **state)
{
    const struct node *n = *state;
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_opener_request request = node_create_request(n);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    enum kt_opener_progress progress = KT_OPENER_WAITING;
    int fd = -1;
    pid_t pid = start_opener(n, &fd);
    struct kt_opener_call *call = kt_opener_call_new(fd, &request, &err);

    assert_non_null(call);
    assert_true(kt_opener_call_step(call, &answer, &progress, &err));
    kt_opener_call_free(call);
    (void)wait_for(pid);
    scratch_expect(&n->s, NODE_KEY, NULL);
}

static void test_wrong_use(void **state)
{
    const struct node *n = *state;
    struct kt_error err = KT_ERROR_INIT;
    char name[] = "keyturn-opener";
    char *argv[] = {name, NULL};
    const struct kt_spawn what = {.path = n->how.program, .argv = argv, .account = {.uid = KT_SAME_UID}};
    pid_t pid = -1;

    assert_true(kt_spawn(&what, &pid, &err));
    assert_int_equal(wait_for(pid), 1);
}

static void test_time_of_one_open(void **state)
{
    const struct node *n = *state;
    const struct kt_opener_request request = open_request(NULL, &n->first);
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 20; i++) {
        KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
        uint64_t before = kt_clock_monotonic_ns();
        uint64_t took = 0;

        node_expect(n, &request, &answer);
        took = kt_clock_monotonic_ns() - before;
        best = took < best ? took : best;
    }
    print_message("one OPEN: %.1f ms (best of 20, fork to exit)\n", (double)best / 1e6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY_TEST(test_create),
        EMPTY_TEST(test_create_refused),
        EMPTY_TEST(test_needs_an_owner),
        NODE_TEST(test_describe_needs_no_folder),
        NODE_TEST(test_recovery_verify),
        NODE_TEST(test_open_current),
        NODE_TEST(test_install_over_state_dir),
        NODE_TEST(test_older_and_fork),
        NODE_TEST(test_foreign),
        NODE_TEST(test_loses_key),
        NODE_TEST(test_at_odds_with_an_old_one),
        NODE_TEST(test_floor_alone),
        NODE_TEST(test_bad_old_ones),
        NODE_TEST(test_old_of_another_cluster),
        NODE_TEST(test_many_notes),
        NODE_TEST(test_node_key),
        NODE_TEST(test_folder),
        NODE_TEST(test_own_account),
        NODE_TEST(test_edit_refused),
        NODE_TEST(test_bad_config),
        NODE_TEST(test_hanging),
        NODE_TEST(test_killed),
        NODE_TEST(test_confined),
        EMPTY_TEST(test_request_cut),
        EMPTY_TEST(test_client_gone),
        EMPTY_TEST(test_wrong_use),
        NODE_TEST(test_time_of_one_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
