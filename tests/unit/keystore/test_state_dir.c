/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory with made-up documents: order and durability of an install, and what is refused when read. */
#include "base/file.h"
#include "keystore/state_dir.h"
#include "tests/unit/base/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define OLD "an old keyring\n"
#define NEW "a new keyring\n"
/* What they bring of the audit log. */
#define LINE_OLD "the line of the old keyring"
#define LINE_NEW "the line of the new keyring"

static struct kt_state_dir *take(const struct scratch *s)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_state_dir *dir = kt_state_dir_open(s->path, &err);

    if (!dir)
        fail_msg("%s", err.message);
    return dir;
}

static void read_state(const struct kt_state_dir *dir, struct kt_state *ret)
{
    struct kt_error err = KT_ERROR_INIT;

    if (!kt_state_dir_read(dir, ret, &err))
        fail_msg("%s", err.message);
}

static void expect_unreadable(const struct kt_state_dir *dir, enum kt_code code, const char *part)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_state state = {.n_superseded = 0};

    assert_false(kt_state_dir_read(dir, &state, &err));
    expect_error(&err, code, part);
}

/* An answer for a keyring of membership 1 and that generation. */
static void answer_of(uint64_t generation, struct kt_opener_answer *ret)
{
    *ret = (struct kt_opener_answer){.info = calloc(1, sizeof(*ret->info))};
    assert_non_null(ret->info);
    ret->info->membership = 1;
    ret->info->generation = generation;
    memset(ret->info->hash, (int)generation, KT_HASH_LEN);
    if (generation > 1)
        ret->current = (struct kt_floor){.membership = 1, .generation = generation - 1};
    memset(ret->current.hash, (int)generation - 1, KT_HASH_LEN);
}

/* Installs text over what is there. */
static void install(struct kt_state_dir *dir, const char *text, struct kt_opener_answer *answer)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_state_done) struct kt_state state = {.n_superseded = 0};

    read_state(dir, &state);
    if (!kt_state_dir_install(dir, &state, kt_slice_str(text), answer, &err))
        fail_msg("%s", err.message);
}

static void test_empty(void **state_)
{
    const struct scratch *s = *state_;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);
    KT_CLEANUP(kt_state_done) struct kt_state state = {.n_superseded = 0};
    struct kt_opener_request request = {.op = 0};

    read_state(dir, &state);
    assert_null(state.current.data);
    assert_int_equal(state.floor.membership, 0);
    assert_int_equal(state.n_superseded, 0);
    kt_state_request(&state, KT_SLICE(NULL, 0), &request);
    assert_int_equal(request.op, KT_OPENER_OPEN);
    assert_null(request.offered.data);
    assert_null(request.current.data);
}

static void test_lock(void **state_)
{
    const struct scratch *s = *state_;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *view = kt_state_dir_view(s->path, &err);
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *second = NULL;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    const struct kt_state none = {.n_superseded = 0};

    assert_non_null(view);
    assert_null(kt_state_dir_open(s->path, &err));
    assert_int_equal(err.code, KT_E_BUSY);
    answer_of(1, &answer);
    assert_false(kt_state_dir_install(view, &none, kt_slice_str(NEW), &answer, &err));
    scratch_expect(s, "keyring.yaml", NULL);
    kt_state_dir_free(KT_TAKE_PTR(dir));
    second = take(s);
    assert_non_null(second);
}

static int open_as_other(void *arg)
{
    const struct scratch *s = arg;
    struct kt_error err = KT_ERROR_INIT;

    return kt_state_dir_open(s->path, &err) ? 1 : err.code == KT_E_PERMISSION ? 0 : 2;
}

static void test_directory_refused(void **state_)
{
    struct scratch *s = *state_;
    struct kt_error err = KT_ERROR_INIT;

    assert_null(kt_state_dir_view(scratch_name(s, "none"), &err));
    scratch_put(s, "file", "", 0600);
    assert_null(kt_state_dir_view(scratch_name(s, "file"), &err));
    assert_int_equal(err.code, KT_E_PERMISSION);
    assert_int_equal(symlinkat(".", s->dir, "link"), 0);
    assert_null(kt_state_dir_view(scratch_name(s, "link"), &err));
    assert_int_equal(err.code, KT_E_PERMISSION);
    assert_int_equal(fchmod(s->dir, 0775), 0);
    assert_null(kt_state_dir_view(s->path, &err));
    expect_error(&err, KT_E_PERMISSION, "must not be writable by group or others");
    assert_int_equal(fchmod(s->dir, 0755), 0);
    if (!am_root())
        return;
    assert_int_equal(fchown(s->dir, 12345, 12345), 0);
    assert_int_equal(in_child(FOREIGN_UID, open_as_other, s), 0);
}

/* What root installs stays readable for the account whose directory it is. */
static void test_root_writes_for_the_owner(void **state_)
{
    const struct scratch *s = *state_;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer first = {.info = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer second = {.info = NULL};
    static const char *const names[] = {"lock", "keyring.yaml", "floor", "superseded", "superseded/1-1.yaml"};
    struct stat st;

    if (!am_root())
        skip();
    assert_int_equal(fchown(s->dir, FOREIGN_UID, FOREIGN_GID), 0);
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);
    answer_of(1, &first);
    install(dir, OLD, &first);
    answer_of(2, &second);
    second.keep_current = true;
    install(dir, NEW, &second);
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++) {
        assert_int_equal(fstatat(s->dir, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_uid, FOREIGN_UID);
        assert_int_equal(st.st_mode & 0022, 0);
    }
}

static int install_as_owner(void *arg)
{
    const struct scratch *s = arg;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer two = {.info = NULL};
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);

    answer_of(2, &two);
    install(dir, NEW, &two);
    return 0;
}

/* Root has put files back from a backup: the account whose directory it is goes on. */
static void test_owner_writes_over_files_of_root(void **state_)
{
    struct scratch *s = *state_;
    static const char *const names[] = {"keyring.yaml", "floor"};
    char text[KT_FLOOR_TEXT_MAX] = "";
    struct stat st;

    if (!am_root())
        skip();
    assert_int_equal(fchown(s->dir, FOREIGN_UID, FOREIGN_GID), 0);
    kt_floor_format(&(struct kt_floor){.membership = 1, .generation = 1}, text);
    scratch_put(s, "keyring.yaml", OLD, 0644);
    scratch_put(s, "floor", text, 0644);
    assert_int_equal(in_child(FOREIGN_UID, install_as_owner, s), 0);
    scratch_expect(s, "keyring.yaml", NEW);
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++) {
        assert_int_equal(fstatat(s->dir, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_uid, FOREIGN_UID);
        assert_int_equal(st.st_mode & 07777, 0644);
    }
}

static void test_first_install(void **state_)
{
    const struct scratch *s = *state_;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    KT_CLEANUP(kt_state_done) struct kt_state state = {.n_superseded = 0};
    struct stat st;

    answer_of(1, &answer);
    install(dir, NEW, &answer);
    scratch_expect(s, "keyring.yaml", NEW);
    assert_int_equal(fstatat(s->dir, "keyring.yaml", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    read_state(dir, &state);
    assert_string_equal((const char *)state.current.data, NEW);
    assert_int_equal(state.floor.membership, 1);
    assert_int_equal(state.floor.generation, 1);
    assert_int_equal(scratch_count(s, ".keyring"), 0);
    assert_int_equal(scratch_count(s, "superseded"), 0);
}

static void test_keep_and_prune(void **state_)
{
    const struct scratch *s = *state_;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer one = {.info = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer two = {.info = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer three = {.info = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer four = {.info = NULL};

    answer_of(1, &one);
    install(dir, OLD, &one);
    answer_of(2, &two);
    two.keep_current = true;
    install(dir, NEW, &two);
    scratch_expect(s, "superseded/1-1.yaml", OLD);
    answer_of(3, &three);
    three.keep_superseded[0] = true;
    install(dir, "third\n", &three);
    scratch_expect(s, "superseded/1-1.yaml", OLD);
    scratch_expect(s, "superseded/1-2.yaml", NULL);
    answer_of(4, &four);
    install(dir, "fourth\n", &four);
    scratch_expect(s, "superseded/1-1.yaml", NULL);
    scratch_expect(s, "keyring.yaml", "fourth\n");
}

/* Another keyring of the same pair must not be written over, nor one that could not be verified. */
static void test_names_do_not_collide(void **state_)
{
    const struct scratch *s = *state_;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer two = {.info = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer three = {.info = NULL};

    assert_int_equal(mkdirat(s->dir, "superseded", 0750), 0);
    scratch_put(s, "superseded/1-1.yaml", "another of that pair\n", 0640);
    scratch_put(s, "keyring.yaml", OLD, 0640);
    answer_of(2, &two);
    two.keep_current = true;
    two.keep_superseded[0] = true;
    install(dir, NEW, &two);
    scratch_expect(s, "superseded/1-1.yaml", "another of that pair\n");
    scratch_expect(s, "superseded/1-1-0101010101010101.yaml", OLD);
    answer_of(3, &three);
    three.current.membership = 0;
    three.keep_current = true;
    three.keep_superseded[0] = true;
    three.keep_superseded[1] = true;
    install(dir, "third\n", &three);
    scratch_expect(s, "superseded/unverified-0202020202020202.yaml", NEW);
    scratch_expect(s, "superseded/1-1.yaml", "another of that pair\n");
}

/* An install that was cut after its copy is done again. */
static void test_copy_is_there_already(void **state_)
{
    const struct scratch *s = *state_;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer two = {.info = NULL};

    assert_int_equal(mkdirat(s->dir, "superseded", 0750), 0);
    scratch_put(s, "superseded/1-1.yaml", OLD, 0640);
    scratch_put(s, "keyring.yaml", OLD, 0640);
    answer_of(2, &two);
    two.keep_current = true;
    two.keep_superseded[0] = true;
    install(dir, NEW, &two);
    scratch_expect(s, "superseded/1-1.yaml", OLD);
    scratch_expect(s, "superseded/1-1-0101010101010101.yaml", NULL);
    scratch_expect(s, "keyring.yaml", NEW);
}

static void test_same_brings_up_the_floor(void **state_)
{
    const struct scratch *s = *state_;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    KT_CLEANUP(kt_state_done) struct kt_state state = {.n_superseded = 0};
    struct stat before;
    struct stat after;

    scratch_put(s, "keyring.yaml", OLD, 0640);
    assert_int_equal(fstatat(s->dir, "keyring.yaml", &before, 0), 0);
    answer_of(5, &answer);
    answer.same = true;
    install(dir, "", &answer);
    assert_int_equal(fstatat(s->dir, "keyring.yaml", &after, 0), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    read_state(dir, &state);
    assert_int_equal(state.floor.generation, 5);
}

static void test_below_floor_changes_nothing(void **state_)
{
    const struct scratch *s = *state_;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer high = {.info = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer low = {.info = NULL};
    KT_CLEANUP(kt_state_done) struct kt_state state = {.n_superseded = 0};
    const struct kt_state none = {.n_superseded = 0};

    answer_of(7, &high);
    install(dir, NEW, &high);
    scratch_put(s, "keyring.yaml", OLD, 0640);
    assert_int_equal(mkdirat(s->dir, "superseded", 0750), 0);
    scratch_put(s, "superseded/1-2.yaml", OLD, 0640);
    answer_of(3, &low);
    low.below_floor = true;
    low.same = true;
    install(dir, "", &low);
    read_state(dir, &state);
    assert_int_equal(state.floor.generation, 7);
    scratch_expect(s, "superseded/1-2.yaml", OLD);
    low.same = false;
    assert_false(kt_state_dir_install(dir, &none, kt_slice_str(NEW), &low, &err));
    assert_int_equal(err.code, KT_E_KEYRING_OLDER);
    scratch_expect(s, "keyring.yaml", OLD);
}

static void expect_left_out(struct kt_state_dir *dir, const char *words)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    KT_CLEANUP(kt_state_done) struct kt_state state = {.n_superseded = 0};

    read_state(dir, &state);
    assert_int_equal(state.n_left_out, 1);
    assert_non_null(strstr(state.left_out.message, words));
    assert_true(state.current.len > 0);
    answer_of(20, &answer);
    assert_false(kt_state_dir_install(dir, &state, kt_slice_str(NEW), &answer, &err));
    assert_int_equal(err.code, KT_E_REFUSED);
    assert_non_null(strstr(err.message, words));
}

static void test_too_many_superseded(void **state_)
{
    const struct scratch *s = *state_;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    KT_CLEANUP(kt_state_done) struct kt_state state = {.n_superseded = 0};
    char name[64];

    assert_int_equal(mkdirat(s->dir, "superseded", 0750), 0);
    scratch_put(s, "keyring.yaml", OLD, 0640);
    for (unsigned i = 1; i <= KT_SUPERSEDED_MAX; i++) {
        (void)snprintf(name, sizeof(name), "superseded/1-%u.yaml", i);
        scratch_put(s, name, name, 0640);
    }
    read_state(dir, &state);
    assert_int_equal(state.n_superseded, KT_SUPERSEDED_MAX);
    assert_string_equal(state.superseded_names[0], "1-16.yaml");
    assert_string_equal(state.superseded_names[7], "1-9.yaml");
    assert_string_equal(state.superseded_names[15], "1-1.yaml");
    answer_of(20, &answer);
    answer.keep_current = true;
    assert_false(kt_state_dir_install(dir, &state, kt_slice_str(NEW), &answer, &err));
    assert_int_equal(err.code, KT_E_REFUSED);
    scratch_expect(s, "keyring.yaml", OLD);
    scratch_put(s, "superseded/1-17.yaml", OLD, 0640);
    expect_left_out(dir, "more than 16");
}

/* Other files in superseded/ are let alone. */
static void test_other_names(void **state_)
{
    const struct scratch *s = *state_;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);
    KT_CLEANUP(kt_state_done) struct kt_state state = {.n_superseded = 0};
    struct kt_opener_request request = {.op = 0};

    assert_int_equal(mkdirat(s->dir, "superseded", 0750), 0);
    scratch_put(s, "superseded/.1-1.yaml.tmp", "x", 0600);
    scratch_put(s, "superseded/.hidden.yaml", "x", 0600);
    scratch_put(s, "superseded/README", "x", 0600);
    scratch_put(s, "superseded/1-1.yaml", OLD, 0600);
    read_state(dir, &state);
    assert_int_equal(state.n_superseded, 1);
    kt_state_request(&state, kt_slice_str(NEW), &request);
    assert_string_equal(request.superseded_names[0], "1-1.yaml");
    assert_true(kt_slice_equal(request.superseded[0], kt_slice_str(OLD)));
    assert_true(kt_slice_equal(request.offered, kt_slice_str(NEW)));
}

static void expect_bad_file(const struct scratch *s, const struct kt_state_dir *dir, const char *name)
{
    KT_CLEANUP(kt_state_done) struct kt_state state = {.n_superseded = 0};

    scratch_put(s, name, OLD, 0660);
    expect_unreadable(dir, KT_E_PERMISSION, name);
    assert_int_equal(fchmodat(s->dir, name, 0602, 0), 0);
    expect_unreadable(dir, KT_E_PERMISSION, name);
    assert_int_equal(fchmodat(s->dir, name, 0600, 0), 0);
    if (am_root()) {
        assert_int_equal(fchownat(s->dir, name, FOREIGN_UID, 0, 0), 0);
        expect_unreadable(dir, KT_E_PERMISSION, "must be owned by root");
    }
    assert_int_equal(renameat(s->dir, name, s->dir, "target"), 0);
    assert_int_equal(symlinkat(scratch_name(s, "target"), s->dir, name), 0);
    expect_unreadable(dir, KT_E_PERMISSION, "symbolic link");
    assert_int_equal(unlinkat(s->dir, name, 0), 0);
    assert_int_equal(mkdirat(s->dir, name, 0700), 0);
    expect_unreadable(dir, KT_E_PERMISSION, "directory");
    assert_int_equal(unlinkat(s->dir, name, AT_REMOVEDIR), 0);
    read_state(dir, &state);
}

static void test_bad_files(void **state_)
{
    const struct scratch *s = *state_;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);

    assert_int_equal(mkdirat(s->dir, "superseded", 0750), 0);
    expect_bad_file(s, dir, "keyring.yaml");
    expect_bad_file(s, dir, "floor");
}

/* What is bad in superseded/ is left out and told; the keyring is read all the same, and nothing is installed. */
static void test_bad_superseded(void **state_)
{
    const struct scratch *s = *state_;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);

    scratch_put(s, "keyring.yaml", OLD, 0640);
    scratch_put(s, "superseded", "no directory", 0640);
    expect_left_out(dir, "superseded");
    assert_int_equal(unlinkat(s->dir, "superseded", 0), 0);
    assert_int_equal(mkdirat(s->dir, "superseded", 0750), 0);
    scratch_put(s, "superseded/1-1.yaml", OLD, 0666);
    expect_left_out(dir, "1-1.yaml");
    assert_int_equal(unlinkat(s->dir, "superseded/1-1.yaml", 0), 0);
    assert_int_equal(mkdirat(s->dir, "superseded/1-1.yaml", 0750), 0);
    expect_left_out(dir, "1-1.yaml");
    assert_int_equal(unlinkat(s->dir, "superseded/1-1.yaml", AT_REMOVEDIR), 0);
    assert_int_equal(symlinkat("../keyring.yaml", s->dir, "superseded/1-1.yaml"), 0);
    expect_left_out(dir, "1-1.yaml");
}

static void test_bad_floor(void **state_)
{
    static const char *const texts[] = {"", "keyturn-floor 1\n", "keyturn-floor 2\nmembership 1\n", "\xff\xfe",
                                        "keyturn-floor 1\nmembership 1\ngeneration 1\nhash sha256:00\n"};
    const struct scratch *s = *state_;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);

    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_state state = {.n_superseded = 0};

        scratch_put(s, "floor", texts[i], 0640);
        assert_false(kt_state_dir_read(dir, &state, &err));
        assert_int_equal(kt_code_exit(err.code), 6);
        assert_non_null(strstr(err.message, "floor"));
        assert_true(strlen(err.hint) > 0);
    }
}

static void test_too_large(void **state_)
{
    const struct scratch *s = *state_;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);

    scratch_put(s, "keyring.yaml", "", 0640);
    assert_int_equal(truncate(scratch_name(s, "keyring.yaml"), KT_KEYRING_MAX), 0);
    KT_CLEANUP(kt_state_done) struct kt_state state = {.n_superseded = 0};
    read_state(dir, &state);
    assert_int_equal(state.current.len, KT_KEYRING_MAX);
    assert_int_equal(truncate(scratch_name(s, "keyring.yaml"), KT_KEYRING_MAX + 1), 0);
    expect_unreadable(dir, KT_E_IO, "keyring.yaml");
}

#define LINE_LACKING 2 /* exit status of an install that could not append to the audit log */

/* An install with a copy, a replace, a line of the log, a floor and a removal, in this program started again with the
 * fault library. */
static int install_for_fault(const char *path)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = kt_state_dir_open(path, &err);
    KT_CLEANUP(kt_state_done) struct kt_state state = {.n_superseded = 0};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};

    if (!dir || !kt_state_dir_read(dir, &state, &err))
        return 3;
    answer_of(2, &answer);
    answer.keep_current = true;
    answer.audit = calloc(1, sizeof(*answer.audit));
    if (!answer.audit || !kt_audit_tail_add(answer.audit, kt_slice_str(LINE_OLD)) ||
        !kt_audit_tail_add(answer.audit, kt_slice_str(LINE_NEW)))
        return 3;
    if (!kt_state_dir_install(dir, &state, kt_slice_str(NEW), &answer, &err))
        return 4;
    return kt_state_dir_audit(dir)->trouble.code == KT_OK ? 0 : LINE_LACKING;
}

static int run_fault(const struct scratch *s, const char *what, long at)
{
    const char *self = strrchr(program_invocation_name, '/');
    char program[] = "test_state_dir";
    char path[128] = "";
    char preload[] = "LD_PRELOAD=" KT_FAULT_LIBRARY;
    /* The sanitizer's runtime wants to be the first library; here it need not be. */
    char asan[] = "ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0";
    char names[256] = "";
    char action[64] = "";
    char number[64] = "";
    char count[160] = "";

    (void)snprintf(path, sizeof(path), "%s", s->path);
    (void)snprintf(names, sizeof(names), "KEYTURN_FAULT_PROGRAM=%s", self ? self + 1 : program_invocation_name);
    (void)snprintf(action, sizeof(action), "KEYTURN_FAULT_DO=%s", what);
    (void)snprintf(number, sizeof(number), "KEYTURN_FAULT_AT=%ld", at);
    (void)snprintf(count, sizeof(count), "KEYTURN_FAULT_COUNT_FILE=%s/count", s->path);
    return run_self((char *[]){program, path, NULL}, (char *[]){preload, asan, names, action, number, count, NULL});
}

static void lay_out(const struct scratch *s)
{
    struct kt_floor floor = {.membership = 1, .generation = 1};
    char text[KT_FLOOR_TEXT_MAX] = "";

    memset(floor.hash, 1, sizeof(floor.hash));
    kt_floor_format(&floor, text);
    (void)mkdirat(s->dir, "superseded", 0750);
    (void)unlinkat(s->dir, "superseded/1-1.yaml", 0);
    scratch_put(s, "keyring.yaml", OLD, 0640);
    scratch_put(s, "floor", text, 0640);
    scratch_put(s, "audit.log", LINE_OLD "\n", 0640);
    scratch_put(s, "superseded/1-0.yaml", "not needed\n", 0640);
}

/* Never a line without its keyring; where the floor has it, its line is there, or was told to be lacking. Written half,
 * it is only the floor that is missing. */
static void expect_log(const struct scratch *s, bool is_new, bool has_floor, bool told)
{
    const struct kt_file_rules rules = {.max = 4096, .owner = KT_ANY_UID};
    static const char whole[] = LINE_OLD "\n" LINE_NEW "\n";
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_BYTES struct kt_bytes log = {.data = NULL};

    if (!kt_file_read(s->dir, "audit.log", &rules, &log, &err))
        fail_msg("%s", err.message);
    assert_in_range(log.len, strlen(LINE_OLD) + 1, strlen(whole));
    assert_memory_equal(log.data, whole, log.len);
    assert_true(is_new || log.len == strlen(LINE_OLD) + 1);
    assert_true(!has_floor || told || log.len == strlen(whole));
}

/* Old or new, never neither; never new without the copy of the old; never a floor above the keyring. */
static bool expect_old_or_new(const struct scratch *s, bool told)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = take(s);
    KT_CLEANUP(kt_state_done) struct kt_state state = {.n_superseded = 0};
    bool is_new = false;

    if (!kt_state_dir_read(dir, &state, &err))
        fail_msg("%s", err.message);
    is_new = strcmp((const char *)state.current.data, NEW) == 0;
    assert_true(is_new || strcmp((const char *)state.current.data, OLD) == 0);
    assert_true(is_new || state.floor.generation == 1);
    expect_log(s, is_new, state.floor.generation == 2, told);
    if (is_new)
        scratch_expect(s, "superseded/1-1.yaml", OLD);
    else
        scratch_expect(s, "superseded/1-0.yaml", "not needed\n");
    return is_new;
}

static long count_calls(const struct scratch *s)
{
    char text[32] = "";
    int fd = -1;

    lay_out(s);
    assert_int_equal(run_fault(s, "count", 0), 0);
    fd = openat(s->dir, "count", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlinkat(s->dir, "count", 0), 0);
    return strtol(text, NULL, 10);
}

static void try_faults(const struct scratch *s, const char *what, bool killed)
{
    long n = count_calls(s);
    bool saw_old = false;
    bool saw_new = false;

    assert_in_range(n, 10, 100);
    for (long at = 1; at <= n; at++) {
        int status = 0;

        lay_out(s);
        status = run_fault(s, what, at);
        if (killed)
            assert_int_equal(status, 1000 + SIGKILL);
        else
            assert_in_range(status, 0, 4);
        if (expect_old_or_new(s, status == LINE_LACKING))
            saw_new = true;
        else
            saw_old = true;
    }
    assert_true(saw_old && saw_new);
}

static void test_killed_at_every_write(void **state_)
{
    try_faults(*state_, "kill", true);
}

static void test_killed_after_every_write(void **state_)
{
    try_faults(*state_, "kill-after", true);
}

static void test_full_disk_at_every_write(void **state_)
{
    try_faults(*state_, "enospc", false);
}

static void test_read_only_disk_at_every_write(void **state_)
{
    try_faults(*state_, "erofs", false);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_empty),
        SCRATCH_TEST(test_lock),
        SCRATCH_TEST(test_directory_refused),
        SCRATCH_TEST(test_root_writes_for_the_owner),
        SCRATCH_TEST(test_owner_writes_over_files_of_root),
        SCRATCH_TEST(test_first_install),
        SCRATCH_TEST(test_keep_and_prune),
        SCRATCH_TEST(test_names_do_not_collide),
        SCRATCH_TEST(test_copy_is_there_already),
        SCRATCH_TEST(test_same_brings_up_the_floor),
        SCRATCH_TEST(test_below_floor_changes_nothing),
        SCRATCH_TEST(test_too_many_superseded),
        SCRATCH_TEST(test_other_names),
        SCRATCH_TEST(test_bad_files),
        SCRATCH_TEST(test_bad_superseded),
        SCRATCH_TEST(test_bad_floor),
        SCRATCH_TEST(test_too_large),
        SCRATCH_TEST(test_killed_at_every_write),
        SCRATCH_TEST(test_killed_after_every_write),
        SCRATCH_TEST(test_full_disk_at_every_write),
        SCRATCH_TEST(test_read_only_disk_at_every_write),
    };

    if (argc == 2)
        return install_for_fault(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
