/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "keyring_fixture.h"
#include "keystore/recipient.h"
#include "keystore/recovery_key.h"

#include <fcntl.h>
#include <sys/stat.h>

struct folder {
    char path[64];
    int fd;
};

static int setup(void **state)
{
    struct folder *d = calloc(1, sizeof *d);
    assert_non_null(d);
    snprintf(d->path, sizeof d->path, "/tmp/keyturn-recipient-XXXXXX");
    assert_non_null(mkdtemp(d->path));
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(d->fd >= 0);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct folder *d = *state;
    unlinkat(d->fd, "node.key", 0);
    unlinkat(d->fd, "elsewhere", 0);
    close(d->fd);
    assert_int_equal(rmdir(d->path), 0);
    free(d);
    return 0;
}

static void test_table(void **state)
{
    (void)state;
    assert_ptr_equal(kt_recipient_find(KT_RECIPIENT_FILE), &kt_recipient_file);
    assert_ptr_equal(kt_recipient_find(KT_RECIPIENT_RECOVERY), &kt_recipient_recovery);
    assert_ptr_equal(kt_recipient_find(KT_RECIPIENT_TPM2), &kt_recipient_tpm2);
    assert_null(kt_recipient_find((enum kt_recipient_kind)0));
    assert_null(kt_recipient_recovery.make);
}

static void test_recovery(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_recipient_source source = {.dirfd = -1};
    uint8_t a[KT_P256_PUBLIC] = {0};
    uint8_t b[KT_P256_PUBLIC] = {0};
    (void)state;
    assert_null(kt_recipient_recovery.load(&source, &err));
    assert_int_equal(err.code, KT_E_RECOVERY_KEY);
    assert_true(err.hint[0]);
    struct kt_secret *key = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, NULL);
    source.recovery_key = key;
    struct kt_p256 *pair = kt_recipient_recovery.load(&source, NULL);
    struct kt_p256 *same = kt_recovery_key_recipient(key, NULL);
    assert_true(pair && same);
    kt_p256_public(pair, a);
    kt_p256_public(same, b);
    assert_memory_equal(a, b, sizeof a);
    kt_p256_free(pair);
    kt_p256_free(same);
    kt_secret_free(key);
}

static void test_file_made_and_loaded(void **state)
{
    const struct folder *d = *state;
    const struct kt_recipient_source source = {.dirfd = d->fd};
    struct kt_error err = KT_ERROR_INIT;
    uint8_t a[KT_P256_PUBLIC] = {0};
    uint8_t b[KT_P256_PUBLIC] = {0};
    struct stat st = {0};
    struct kt_p256 *made = kt_recipient_file.make(&source, &err);
    struct kt_p256 *loaded = kt_recipient_file.load(&source, &err);
    assert_true(made && loaded);
    kt_p256_public(made, a);
    kt_p256_public(loaded, b);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(fstatat(d->fd, "node.key", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(st.st_size, 44);
    /* A second one would lock the node out of what was wrapped for the first. */
    assert_null(kt_recipient_file.make(&source, &err));
    assert_int_equal(err.code, KT_E_EXISTS);
    kt_p256_free(loaded);
    loaded = kt_recipient_file.load(&source, &err);
    assert_non_null(loaded);
    kt_p256_public(loaded, b);
    assert_memory_equal(a, b, sizeof a);
    kt_p256_free(made);
    kt_p256_free(loaded);
}

static void put_file(const struct folder *d, const uint8_t *bytes, size_t len, mode_t mode)
{
    unlinkat(d->fd, "node.key", 0);
    int fd = openat(d->fd, "node.key", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void expect_unusable(const struct folder *d, enum kt_code code, const char *says)
{
    const struct kt_recipient_source source = {.dirfd = d->fd};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_p256 *pair = kt_recipient_file.load(&source, &err);
    if (pair || err.code != code || !strstr(err.message, says))
        fail_msg("expected %s, %s; got %s: %s", kt_code_name(code), says, kt_code_name(err.code), err.message);
    assert_true(err.hint[0]);
}

static void test_file_absent(void **state)
{
    expect_unusable(*state, KT_E_NODE_KEY_LOST, "cannot be read");
}

static void test_file_damaged(void **state)
{
    static const uint8_t good[44] = {'k', 'e', 'y', 't', 'u', 'r', 'n', 1, 1, 0, 0, 0, [43] = 1};
    static const struct {
        size_t at;
        uint8_t byte;
        const char *says;
    } cases[] = {
        {0, 'K', "first 8 bytes"}, {7, 2, "first 8 bytes"},     {8, 2, "kind file"},
        {9, 1, "three zero"},      {11, 1, "three zero bytes"}, {43, 0, "a private key of P-256"},
    };
    const struct folder *d = *state;
    const struct kt_recipient_source source = {.dirfd = d->fd};
    uint8_t bytes[45] = {0};
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        memcpy(bytes, good, sizeof good);
        bytes[cases[i].at] = cases[i].byte;
        put_file(d, bytes, sizeof good, 0600);
        expect_unusable(d, KT_E_NODE_KEY_LOST, cases[i].says);
    }
    memset(bytes + 12, 0xff, 32); /* above the order */
    memcpy(bytes, good, 12);
    put_file(d, bytes, sizeof good, 0600);
    expect_unusable(d, KT_E_NODE_KEY_LOST, "a private key of P-256");
    for (size_t len = 1; len < sizeof good; len++) {
        put_file(d, good, len, 0600);
        expect_unusable(d, KT_E_NODE_KEY_LOST, "44 bytes");
    }
    put_file(d, bytes, 45, 0600);
    expect_unusable(d, KT_E_NODE_KEY, "larger");
    put_file(d, good, 0, 0600);
    expect_unusable(d, KT_E_NODE_KEY_LOST, "");
    put_file(d, good, sizeof good, 0600);
    struct kt_p256 *pair = kt_recipient_file.load(&source, NULL);
    assert_non_null(pair);
    kt_p256_free(pair);
}

static void test_file_that_others_may_read(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0644};
    static const uint8_t good[44] = {'k', 'e', 'y', 't', 'u', 'r', 'n', 1, 1, 0, 0, 0, [43] = 1};
    for (size_t i = 0; i < KT_ARRAY_LEN(modes); i++) {
        put_file(*state, good, sizeof good, modes[i]);
        expect_unusable(*state, KT_E_PERMISSION, "mode");
    }
}

static void test_file_that_is_a_link(void **state)
{
    const struct folder *d = *state;
    static const uint8_t good[44] = {'k', 'e', 'y', 't', 'u', 'r', 'n', 1, 1, 0, 0, 0, [43] = 1};
    put_file(d, good, sizeof good, 0600);
    assert_int_equal(renameat(d->fd, "node.key", d->fd, "elsewhere"), 0);
    assert_int_equal(symlinkat("elsewhere", d->fd, "node.key"), 0);
    expect_unusable(d, KT_E_PERMISSION, "link");
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),   cmocka_unit_test(test_recovery), EACH(test_file_made_and_loaded),
        EACH(test_file_absent),         EACH(test_file_damaged),         EACH(test_file_that_others_may_read),
        EACH(test_file_that_is_a_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
