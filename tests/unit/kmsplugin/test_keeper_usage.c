/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "kmsplugin/keeper_usage.h"
#include "tests/unit/base/unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

struct fixture {
    char path[32];
    int dir;
    struct kt_usage usage;
};

static int make(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    (void)snprintf(f.path, sizeof(f.path), "/tmp/usage.XXXXXX");
    if (!mkdtemp(f.path))
        return -1;
    f.dir = open(f.path, O_DIRECTORY | O_CLOEXEC);
    *state = &f;
    return 0;
}

static int drop(void **state)
{
    struct fixture *f = *state;
    (void)unlinkat(f->dir, KT_USAGE_FILE, 0);
    (void)unlinkat(f->dir, KT_USAGE_FILE, AT_REMOVEDIR);
    (void)rmdir(f->path);
    return close(f->dir);
}

static void put(struct fixture *f, const char *text)
{
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    assert_true(kt_file_replace(f->dir, KT_USAGE_FILE, kt_slice_str(text), &attrs, NULL));
}

static void expect(struct fixture *f, const char *text)
{
    const struct kt_file_rules rules = {.max = 4096, .owner = KT_ANY_UID};
    struct kt_bytes found = {.data = NULL};
    assert_true(kt_file_read(f->dir, KT_USAGE_FILE, &rules, &found, NULL));
    assert_string_equal((const char *)found.data, text);
    kt_bytes_done(&found);
}

static void take(struct fixture *f, const char *id, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_true(kt_usage_take(&f->usage, id, NULL));
}

static void reserves_ahead_and_ends_exactly(void **state)
{
    struct fixture *f = *state;
    kt_usage_load(&f->usage, f->dir);
    assert_int_equal(f->usage.trouble.code, KT_OK);
    take(f, A, 1);
    expect(f, "keyturn-usage 1\n" A " 256\n");
    take(f, A, 255);
    expect(f, "keyturn-usage 1\n" A " 256\n");
    take(f, A, 1);
    expect(f, "keyturn-usage 1\n" A " 65792\n");
    assert_int_equal(kt_usage_count(&f->usage, A), 257);
    kt_usage_close(&f->usage);
    expect(f, "keyturn-usage 1\n" A " 257\n");
}

static void next_block_comes_ahead_of_need(void **state)
{
    struct fixture *f = *state;
    put(f, "keyturn-usage 1\n" B " 5000\n");
    kt_usage_load(&f->usage, f->dir);
    kt_usage_ahead(&f->usage);
    take(f, A, 127);
    kt_usage_ahead(&f->usage);
    expect(f, "keyturn-usage 1\n" B " 5000\n" A " 256\n");
    take(f, A, 1);
    kt_usage_ahead(&f->usage);
    expect(f, "keyturn-usage 1\n" B " 5000\n" A " 65664\n");
    assert_int_equal(unlinkat(f->dir, KT_USAGE_FILE, 0), 0); /* to see whether it is written again */
    take(f, A, KT_USAGE_BLOCK / 2 - 1);
    kt_usage_ahead(&f->usage);
    assert_int_equal(faccessat(f->dir, KT_USAGE_FILE, F_OK, 0), -1);
    take(f, A, 1);
    kt_usage_ahead(&f->usage);
    expect(f, "keyturn-usage 1\n" B " 5000\n" A " 98432\n");
}

/* It is not tried at each turn, and what is not reserved is not counted on. */
static void ahead_of_need_that_fails_is_left_until_the_need(void **state)
{
    struct fixture *f = *state;
    kt_usage_load(&f->usage, f->dir);
    take(f, A, 128);
    assert_int_equal(unlinkat(f->dir, KT_USAGE_FILE, 0), 0);
    assert_int_equal(mkdirat(f->dir, KT_USAGE_FILE, 0700), 0);
    kt_usage_ahead(&f->usage);
    assert_int_not_equal(f->usage.trouble.code, KT_OK);
    assert_int_equal(unlinkat(f->dir, KT_USAGE_FILE, AT_REMOVEDIR), 0);
    kt_usage_ahead(&f->usage);
    take(f, A, 128);
    kt_usage_ahead(&f->usage);
    assert_int_equal(faccessat(f->dir, KT_USAGE_FILE, F_OK, 0), -1);
    take(f, A, 1);
    expect(f, "keyturn-usage 1\n" A " 65792\n");
    assert_int_equal(f->usage.trouble.code, KT_OK);
}

static void kill_loses_no_encryption(void **state)
{
    struct fixture *f = *state;
    kt_usage_load(&f->usage, f->dir);
    take(f, A, 10);
    kt_usage_load(&f->usage, f->dir); /* as after a kill: the bound counts */
    assert_int_equal(kt_usage_count(&f->usage, A), 256);
}

static void limit_is_kept(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = KT_ERROR_INIT;
    put(f, "keyturn-usage 1\n" A " 4294967295\n");
    kt_usage_load(&f->usage, f->dir);
    take(f, A, 1);
    assert_false(kt_usage_take(&f->usage, A, &err));
    assert_int_equal(err.code, KT_E_KMS_EXHAUSTED);
    take(f, B, 1);
}

static const char *const malformed[] = {
    "",
    "keyturn-usage 2\n",
    "keyturn-usage 1",
    "keyturn-usage 1\n" A,
    "keyturn-usage 1\n" A " \n",
    "keyturn-usage 1\n" A " -1\n",
    "keyturn-usage 1\n" A " 1 \n",
    "keyturn-usage 1\n" A " 99999999999999999999\n",
    "keyturn-usage 1\n" A " 1\n" A " 2\n",
    "keyturn-usage 1\nAAAA 1\n",
    "keyturn-usage 1\n\n",
};

static void malformed_file_counts_from_the_warning(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < KT_ARRAY_LEN(malformed); i++) {
        put(f, malformed[i]);
        kt_usage_load(&f->usage, f->dir);
        if (f->usage.trouble.code == KT_OK || kt_usage_count(&f->usage, A) != KT_USAGE_WARN)
            fail_msg("file %zu", i);
        take(f, A, 1);
        assert_int_equal(kt_usage_count(&f->usage, A), KT_USAGE_WARN + 1);
    }
}

static void unwritable_file_is_no_obstacle(void **state)
{
    struct fixture *f = *state;
    kt_usage_load(&f->usage, f->dir);
    assert_int_equal(mkdirat(f->dir, KT_USAGE_FILE, 0700), 0);
    take(f, A, 1000);
    assert_int_not_equal(f->usage.trouble.code, KT_OK);
    assert_int_equal(kt_usage_count(&f->usage, A), 1000);
    assert_int_equal(unlinkat(f->dir, KT_USAGE_FILE, AT_REMOVEDIR), 0);
    take(f, A, 300);
    assert_int_equal(f->usage.trouble.code, KT_OK);
}

static void many_keys_reserve_in_one_write(void **state)
{
    struct fixture *f = *state;
    static struct kt_keyring_info info;
    memset(&info, 0, sizeof(info));
    kt_usage_load(&f->usage, f->dir);
    memcpy(info.keys[0].id, A, sizeof(A));
    memcpy(info.keys[1].id, B, sizeof(B));
    info.keys[0].type = KT_KEY_KMS;
    info.keys[1].type = KT_KEY_AESCBC;
    info.n_keys = 2;
    kt_usage_reserve(&f->usage, &info);
    expect(f, "keyturn-usage 1\n" A " 256\n");
    kt_usage_reserve(&f->usage, &info);
    take(f, A, 256);
    expect(f, "keyturn-usage 1\n" A " 256\n");
}

static void table_is_bounded(void **state)
{
    struct fixture *f = *state;
    kt_usage_load(&f->usage, -1);
    for (unsigned i = 0; i < KT_USAGE_MAX + 10; i++) {
        char id[KT_KEY_ID_LEN + 1];
        (void)snprintf(id, sizeof(id), "%032x", i);
        take(f, id, 1);
    }
    assert_int_equal(f->usage.n, KT_USAGE_MAX);
}

/* A full file whose first line is a key that is in use: neither that nor a much used one makes room for another. */
static void full_table_forgets_no_key_in_use(void **state)
{
    struct fixture *f = *state;
    static struct kt_keyring_info info;
    char text[KT_USAGE_MAX * 64] = "keyturn-usage 1\n" A " 3\n" B " 5000\n";
    memset(&info, 0, sizeof(info));
    for (unsigned i = 2; i < KT_USAGE_MAX; i++)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%032x %u\n", i, 1000 + i);
    put(f, text);
    kt_usage_load(&f->usage, f->dir);
    assert_int_equal(f->usage.n, KT_USAGE_MAX);
    memcpy(info.keys[0].id, A, sizeof(A));
    info.keys[0].type = KT_KEY_KMS;
    memset(info.keys[1].id, 'c', KT_KEY_ID_LEN);
    info.keys[1].type = KT_KEY_KMS;
    info.n_keys = 2;
    kt_usage_reserve(&f->usage, &info);
    assert_int_equal(f->usage.n, KT_USAGE_MAX);
    assert_int_equal(kt_usage_count(&f->usage, A), 3);
    assert_int_equal(kt_usage_count(&f->usage, B), 5000);
    assert_int_equal(kt_usage_count(&f->usage, "00000000000000000000000000000002"), 0);
    assert_int_equal(kt_usage_count(&f->usage, "00000000000000000000000000000003"), 1003);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reserves_ahead_and_ends_exactly, make, drop),
        cmocka_unit_test_setup_teardown(next_block_comes_ahead_of_need, make, drop),
        cmocka_unit_test_setup_teardown(ahead_of_need_that_fails_is_left_until_the_need, make, drop),
        cmocka_unit_test_setup_teardown(kill_loses_no_encryption, make, drop),
        cmocka_unit_test_setup_teardown(limit_is_kept, make, drop),
        cmocka_unit_test_setup_teardown(malformed_file_counts_from_the_warning, make, drop),
        cmocka_unit_test_setup_teardown(unwritable_file_is_no_obstacle, make, drop),
        cmocka_unit_test_setup_teardown(many_keys_reserve_in_one_write, make, drop),
        cmocka_unit_test_setup_teardown(table_is_bounded, make, drop),
        cmocka_unit_test_setup_teardown(full_table_forgets_no_key_in_use, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
