/* SPDX-License-Identifier: Apache-2.0 */
/* Several processes that write one name, or make one directory, at the same time: none is in the way of another. */
#include "base/file.h"
#include "scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define WRITERS 6
#define ROUNDS  200

static const struct kt_file_attrs ours = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};

static bool make_dir(const struct scratch *s, struct kt_error *err)
{
    return kt_dir_make(s->dir, "f", &ours, err);
}

static bool create(const struct scratch *s, struct kt_error *err)
{
    return kt_file_create(s->dir, "f", kt_slice_str("new"), &ours, err);
}

static bool replace(const struct scratch *s, struct kt_error *err)
{
    return kt_file_replace(s->dir, "f", kt_slice_str("new"), &ours, err);
}

static bool remove_file(const struct scratch *s, struct kt_error *err)
{
    return kt_file_remove(s->dir, "f", err);
}

/* As that of another process which has just made it. */
static void test_one_in_use_is_left(void **state)
{
    static const char *const in_use[] = {".f.0123456789abcdef.tmp", ".f.ffffffffffffffff.tmp"};
    static bool (*const calls[])(const struct scratch *, struct kt_error *) = {create, replace, remove_file, make_dir};
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;

    for (size_t i = 0; i < KT_ARRAY_LEN(calls); i++) {
        scratch_put(s, in_use[0], "", 0600);
        assert_int_equal(mkdirat(s->dir, in_use[1], 0700), 0);
        int file = openat(s->dir, in_use[0], O_WRONLY | O_CLOEXEC);
        int dir = openat(s->dir, in_use[1], O_RDONLY | O_CLOEXEC);
        assert_true(flock(file, LOCK_EX) == 0 && flock(dir, LOCK_EX) == 0);
        assert_true(calls[i](s, &err));
        assert_int_equal(scratch_count(s, ".f."), 2);
        kt_fd_close(file);
        kt_fd_close(dir);
        (void)unlinkat(s->dir, "f", AT_REMOVEDIR);
        assert_true(remove_file(s, &err));
        assert_int_equal(scratch_count(s, ".f."), 0);
    }
}

static int make_dirs(void *arg, int number)
{
    struct kt_error err = KT_ERROR_INIT;
    char name[16];

    (void)number;
    for (int i = 0; i < ROUNDS; i++) {
        (void)snprintf(name, sizeof(name), "d%d", i);
        if (kt_dir_make(((const struct scratch *)arg)->dir, name, &ours, &err))
            continue;
        print_error("%s: %s\n", name, err.message);
        return 1;
    }
    return 0;
}

static int replace_all(void *arg, int number)
{
    struct kt_error err = KT_ERROR_INIT;

    (void)number;
    for (int i = 0; i < ROUNDS; i++) {
        if (replace(arg, &err))
            continue;
        print_error("%d: %s\n", i, err.message);
        return 1;
    }
    return 0;
}

static void test_all_may_make_one_directory(void **state)
{
    const struct scratch *s = *state;
    struct stat st;

    assert_int_equal(in_children(WRITERS, make_dirs, *state), 0);
    assert_int_equal(scratch_count(s, ""), ROUNDS);
    assert_int_equal(fstatat(s->dir, "d0", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0600);
    for (int i = 0; i < ROUNDS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "d%d", i);
        assert_int_equal(unlinkat(s->dir, name, AT_REMOVEDIR), 0);
    }
}

static void test_all_may_write_one_file(void **state)
{
    const struct scratch *s = *state;

    assert_int_equal(in_children(WRITERS, replace_all, *state), 0);
    assert_int_equal(scratch_count(s, ""), 1);
    scratch_expect(s, "f", "new");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_one_in_use_is_left),
        SCRATCH_TEST(test_all_may_make_one_directory),
        SCRATCH_TEST(test_all_may_write_one_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
