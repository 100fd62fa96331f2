/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer that is killed before and after each of its calls, and one each of whose calls fails: the old content is
 * there, or the new, and a failure says which. The writer is this program again, under tests/fault/kill_at_write.c.
 */
#include "base/file.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define OLD_TEXT "the old content"
#define NEW_TEXT "the new content, which is longer"

/* How the writer ends: it succeeded; it failed and says that nothing changed; that the new state is in place; neither.
 */
enum writer_status { WRITER_DONE = 0, WRITER_UNCHANGED = 10, WRITER_IN_PLACE = 11, WRITER_FAILED = 12 };

static const struct kt_file_attrs attrs = {.mode = 0640, .uid = KT_ANY_UID, .gid = (gid_t)-1};

static bool do_replace(const char *path, struct kt_error *err)
{
    return kt_file_replace(AT_FDCWD, path, kt_slice_str(NEW_TEXT), &attrs, err);
}

static bool do_create(const char *path, struct kt_error *err)
{
    return kt_file_create(AT_FDCWD, path, kt_slice_str(NEW_TEXT), &attrs, err);
}

static bool do_remove(const char *path, struct kt_error *err)
{
    return kt_file_remove(AT_FDCWD, path, err);
}

static bool do_dir(const char *path, struct kt_error *err)
{
    return kt_dir_make(AT_FDCWD, path, &attrs, err);
}

static const struct operation {
    const char *name;
    bool (*run)(const char *path, struct kt_error *err);
    const char *after;
    bool had_old; /* there is a file before */
    bool is_dir;
} operations[] = {
    {"replace", do_replace, NEW_TEXT, true, false},
    {"new", do_replace, NEW_TEXT, false, false},
    {"create", do_create, NEW_TEXT, false, false},
    {"remove", do_remove, NULL, true, false},
    {"dir", do_dir, NULL, false, true},
};

static int writer(const char *name, const char *path)
{
    struct kt_error err = KT_ERROR_INIT;

    for (size_t i = 0; i < KT_ARRAY_LEN(operations); i++) {
        if (strcmp(operations[i].name, name) != 0)
            continue;
        if (operations[i].run(path, &err))
            return WRITER_DONE;
        if (strstr(err.message, "still in place") || strstr(err.message, "there is none still") ||
            strstr(err.message, "cannot remove"))
            return WRITER_UNCHANGED;
        return strstr(err.message, "is in place") || strstr(err.message, "is removed") ? WRITER_IN_PLACE
                                                                                       : WRITER_FAILED;
    }
    return WRITER_FAILED;
}

static int run_writer(const struct scratch *s, const struct operation *op, const char *what, long at)
{
    char name[32];
    char path[128];
    char env_do[64];
    char env_at[64];
    char env_count[160];
    const char *self = strrchr(program_invocation_name, '/');
    char env_program[256];
    char preload[] = "LD_PRELOAD=" KT_FAULT_LIBRARY;
    /* The sanitizer's runtime wants to be the first library; here it need not be. */
    char asan[] = "ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0";
    char program[] = "writer";

    (void)snprintf(name, sizeof(name), "%s", op->name);
    (void)snprintf(path, sizeof(path), "%s/f", s->path);
    (void)snprintf(env_do, sizeof(env_do), "KEYTURN_FAULT_DO=%s", what);
    (void)snprintf(env_at, sizeof(env_at), "KEYTURN_FAULT_AT=%ld", at);
    (void)snprintf(env_count, sizeof(env_count), "KEYTURN_FAULT_COUNT_FILE=%s/count", s->path);
    (void)snprintf(env_program, sizeof(env_program), "KEYTURN_FAULT_PROGRAM=other,%s",
                   self ? self + 1 : program_invocation_name);
    return run_self((char *[]){program, name, path, NULL},
                    (char *[]){preload, asan, env_do, env_at, env_count, env_program, NULL});
}

static void prepare(const struct scratch *s, const struct operation *op)
{
    struct kt_error err = KT_ERROR_INIT;

    (void)unlinkat(s->dir, "f", AT_REMOVEDIR);
    assert_true(kt_file_remove(s->dir, "f", &err));
    if (op->had_old) {
        scratch_put(s, "f", OLD_TEXT, 0600);
        (void)setxattr(scratch_name(s, "f"), "user.keyturn", "x", 1, 0);
    }
    assert_int_equal(scratch_count(s, ""), op->had_old ? 1 : 0);
}

static long count_calls(const struct scratch *s, const struct operation *op)
{
    char text[32] = {0};

    prepare(s, op);
    assert_int_equal(run_writer(s, op, "count", 0), WRITER_DONE);
    int fd = openat(s->dir, "count", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlinkat(s->dir, "count", 0), 0);
    return strtol(text, NULL, 10);
}

static bool is_new(const struct scratch *s, const struct operation *op)
{
    struct stat st;
    bool there = fstatat(s->dir, "f", &st, AT_SYMLINK_NOFOLLOW) == 0;

    if (op->is_dir) {
        assert_true(!there || st.st_mode == (S_IFDIR | attrs.mode));
        return there;
    }
    if (!op->after)
        return !there;
    if (!there) {
        assert_false(op->had_old);
        return false;
    }
    if (op->had_old && (size_t)st.st_size == strlen(OLD_TEXT)) {
        scratch_expect(s, "f", OLD_TEXT);
        return false;
    }
    scratch_expect(s, "f", op->after);
    assert_int_equal(st.st_mode, S_IFREG | (op->had_old ? 0600 : attrs.mode));
    return true;
}

/* However it ended, the next one works and leaves nothing else. */
static void expect_next_works(const struct scratch *s, const struct operation *op)
{
    struct kt_error err = KT_ERROR_INIT;

    if (op->run == do_create && is_new(s, op))
        assert_true(do_replace(scratch_name(s, "f"), &err));
    else
        assert_true(op->run(scratch_name(s, "f"), &err));
    assert_true(is_new(s, op));
    assert_int_equal(scratch_count(s, ".f."), 0);
}

static void test_killed(void **state)
{
    static const char *const ways[] = {"kill", "kill-after"};
    const struct scratch *s = *state;

    for (size_t i = 0; i < KT_ARRAY_LEN(operations) * KT_ARRAY_LEN(ways); i++) {
        const struct operation *op = &operations[i / KT_ARRAY_LEN(ways)];
        const char *way = ways[i % KT_ARRAY_LEN(ways)];
        long n = count_calls(s, op);
        bool was_new = false;
        assert_in_range(n, 2, 20);
        for (long at = 1; at <= n; at++) {
            prepare(s, op);
            assert_int_equal(run_writer(s, op, way, at), 1000 + SIGKILL);
            bool now_new = is_new(s, op);
            assert_true(now_new || !was_new); /* once a later kill finds the new one, all later ones do */
            was_new = now_new;
            expect_next_works(s, op);
        }
        assert_true(was_new);
    }
}

static void expect_told(const struct scratch *s, const struct operation *op, int status)
{
    bool now_new = is_new(s, op);

    switch (status) {
    case WRITER_DONE:
    case WRITER_IN_PLACE:
        assert_true(now_new);
        break;
    case WRITER_UNCHANGED:
        assert_false(now_new);
        break;
    default:
        fail_msg("%s: the writer did not say what is in place: %d", op->name, status);
    }
}

static void test_failed(void **state)
{
    static const char *const ways[] = {"enospc", "erofs", "eio"};
    const struct scratch *s = *state;

    for (size_t i = 0; i < KT_ARRAY_LEN(operations) * KT_ARRAY_LEN(ways); i++) {
        const struct operation *op = &operations[i / KT_ARRAY_LEN(ways)];
        long n = count_calls(s, op);
        long failures = 0;
        for (long at = 1; at <= n; at++) {
            prepare(s, op);
            int status = run_writer(s, op, ways[i % KT_ARRAY_LEN(ways)], at);
            failures += status != WRITER_DONE;
            expect_told(s, op, status);
            expect_next_works(s, op);
        }
        assert_true(failures >= n - 1); /* all but the removal of create's second name, of which nobody need know */
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_killed),
        SCRATCH_TEST(test_failed),
    };

    if (argc == 3)
        exit(writer(argv[1], argv[2]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
