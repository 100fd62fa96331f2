/* SPDX-License-Identifier: Apache-2.0 */
/* audit.log on a disk: what is appended to which beginning, and a log that cannot be written. */
#include "keystore/audit_log.h"
#include "keystore/state_dir.h"
#include "tests/unit/base/scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINES 4u

/* Lines without a meaning, but with a chain. */
struct made {
    struct kt_audit_tail tail;
    char lines[LINES][256];
};

static struct made *make(void)
{
    struct made *made = calloc(1, sizeof *made);
    uint8_t head[KT_HASH_LEN] = {0};
    assert_non_null(made);
    for (size_t i = 0; i < LINES; i++) {
        char prev[KT_HASH_TEXT_LEN] = "";
        kt_hash_format(head, prev);
        snprintf(made->lines[i], sizeof made->lines[i], "{\"v\":1,\"seq\":%zu,\"prev\":\"%s\",}", i + 1, prev);
        assert_true(kt_audit_tail_add(&made->tail, kt_slice_str(made->lines[i])));
        assert_true(kt_audit_hash(kt_slice_str(made->lines[i]), head, NULL));
    }
    return made;
}

/* Those lines, A to D, with their LF; any other character stands for itself. */
static const char *text_of(const struct made *made, const char *which)
{
    static char texts[4][4096];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    size_t len = 0;
    for (const char *c = which; *c; c++)
        len += *c >= 'A' && *c <= 'D' ? (size_t)snprintf(text + len, 4096 - len, "%s\n", made->lines[*c - 'A'])
                                      : (size_t)snprintf(text + len, 4096 - len, "%c", *c);
    text[len] = '\0';
    return text;
}

static struct kt_audit_place place_of(const struct scratch *s)
{
    return (struct kt_audit_place){.dir = s->dir,
                                   .rules = {.max = KT_AUDIT_LOG_MAX, .owner = geteuid(), .forbidden_mode = 0022},
                                   .attrs = {.mode = 0640, .uid = KT_ANY_UID, .gid = (gid_t)-1}};
}

static struct kt_audit_appended append(const struct scratch *s, const struct made *made, size_t from, bool whole)
{
    struct kt_audit_appended ret = {.first = 99};
    const struct kt_audit_place place = place_of(s);
    bool done = kt_audit_log_append(&place, &made->tail, from, whole, &ret);
    assert_int_equal(done, ret.trouble.code == KT_OK);
    assert_int_equal(ret.n, LINES);
    return ret;
}

static void test_what_is_appended(void **state)
{
    const struct scratch *s = *state;
    struct made *made = make();
    static const struct {
        const char *before, *after;
        size_t first;
        bool gap;
    } cases[] = {
        {"A", "ABCD", 1, false},
        {"AB", "ABCD", 2, false},
        {"ABCD", "ABCD", 4, false},
        {"x\nAB", "x\nABCD", 2, false},
        {"", "ABCD", 0, true},
        {"x\n", "x\nABCD", 0, true},
        {"BC", "BCD", 3, false},
        {"ABx\n", "ABx\nCD", 2, false},
        /* A fork: the line of the other generation stays. */
        {"Ay\n", "Ay\nBCD", 1, false},
        /* Somebody has repeated an older line behind. */
        {"ABCA", "ABCAD", 3, false},
        /* What was cut short is gone on with; anything else gets an end. */
        {"AB{\"v\":1,\"seq\":3,", "ABCD", 2, false},
        {"AB{", "ABCD", 2, false},
        {"ABx", "ABx\nCD", 2, false},
        {"AB{\"v\":1,\"seq\":4,", "AB{\"v\":1,\"seq\":4,\nCD", 2, false},
        {"ABCD{", "ABCD{", 4, false},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        scratch_put(s, "audit.log", text_of(made, cases[i].before), 0640);
        struct kt_audit_appended ret = append(s, made, 0, true);
        if (ret.trouble.code != KT_OK)
            fail_msg("%zu: %s", i, ret.trouble.message);
        scratch_expect(s, "audit.log", text_of(made, cases[i].after));
        assert_int_equal(ret.first, cases[i].first);
        assert_int_equal(ret.gap, cases[i].gap);
        ret = append(s, made, 0, true);
        assert_int_equal(ret.first, LINES);
        scratch_expect(s, "audit.log", text_of(made, cases[i].after));
    }
    free(made);
}

/* A line that is there but for its LF. */
static void test_a_line_without_its_end(void **state)
{
    const struct scratch *s = *state;
    struct made *made = make();
    const char *whole = text_of(made, "ABCD");
    char torn[4096] = "";
    for (size_t len = strlen(text_of(made, "A")); len < strlen(whole); len++) {
        snprintf(torn, sizeof torn, "%.*s", (int)len, whole);
        scratch_put(s, "audit.log", torn, 0640);
        assert_int_equal(append(s, made, 0, true).trouble.code, KT_OK);
        scratch_expect(s, "audit.log", whole);
    }
    free(made);
}

static void test_a_log_that_is_not_there(void **state)
{
    const struct scratch *s = *state;
    struct made *made = make();
    struct stat st;
    struct kt_audit_appended ret = append(s, made, 2, true);
    assert_int_equal(ret.first, 2);
    assert_false(ret.gap);
    scratch_expect(s, "audit.log", text_of(made, "CD"));
    assert_int_equal(fstatat(s->dir, "audit.log", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(unlinkat(s->dir, "audit.log", 0), 0);
    assert_true(append(s, made, 0, false).gap);
    scratch_expect(s, "audit.log", text_of(made, "ABCD"));
    assert_int_equal(unlinkat(s->dir, "audit.log", 0), 0);
    struct kt_audit_tail none = {.n = 0};
    const struct kt_audit_place place = place_of(s);
    assert_true(kt_audit_log_append(&place, &none, 0, false, &ret));
    assert_int_equal(ret.first, ret.n);
    scratch_expect(s, "audit.log", NULL);
    free(made);
}

static void expect_trouble(const struct scratch *s, const struct made *made, enum kt_code code, const char *part)
{
    struct kt_audit_appended ret = append(s, made, 0, true);
    expect_error(&ret.trouble, code, part);
    assert_int_equal(ret.first, LINES);
}

static int append_as_other(void *arg)
{
    const struct scratch *s = arg;
    struct made *made = calloc(1, sizeof *made);
    struct kt_audit_appended ret;
    struct kt_audit_place place = place_of(s);
    uint8_t head[KT_HASH_LEN] = {0};
    char prev[KT_HASH_TEXT_LEN] = "";
    if (!made)
        return 3;
    kt_hash_format(head, prev);
    snprintf(made->lines[0], sizeof made->lines[0], "{\"v\":1,\"seq\":1,\"prev\":\"%s\",}", prev);
    if (!kt_audit_tail_add(&made->tail, kt_slice_str(made->lines[0])))
        return 4;
    place.rules.owner = KT_ANY_UID;
    bool done = kt_audit_log_append(&place, &made->tail, 0, true, &ret);
    free(made);
    return done ? 1 : ret.trouble.code == KT_E_PERMISSION ? 0 : 2;
}

static void test_trouble(void **state)
{
    struct scratch *s = *state;
    struct made *made = make();
    scratch_put(s, "audit.log", text_of(made, "AB"), 0662);
    expect_trouble(s, made, KT_E_PERMISSION, "must have none of the bits 0022");
    scratch_expect(s, "audit.log", text_of(made, "AB"));
    assert_int_equal(unlinkat(s->dir, "audit.log", 0), 0);
    scratch_put(s, "elsewhere", "", 0640);
    assert_int_equal(symlinkat("elsewhere", s->dir, "audit.log"), 0);
    expect_trouble(s, made, KT_E_PERMISSION, "link");
    scratch_expect(s, "elsewhere", "");
    assert_int_equal(unlinkat(s->dir, "audit.log", 0), 0);
    assert_int_equal(mkfifoat(s->dir, "audit.log", 0640), 0);
    expect_trouble(s, made, KT_E_PERMISSION, "audit.log");
    assert_int_equal(unlinkat(s->dir, "audit.log", 0), 0);
    assert_int_equal(mkdirat(s->dir, "audit.log", 0750), 0);
    expect_trouble(s, made, KT_E_PERMISSION, "audit.log");
    assert_int_equal(unlinkat(s->dir, "audit.log", AT_REMOVEDIR), 0);
    scratch_put(s, "audit.log", "x\n", 0440); /* readable for all, writable for nobody */
    assert_int_equal(fchmodat(s->dir, "audit.log", 0444, 0), 0);
    assert_int_equal(fchmod(s->dir, 0755), 0);
    assert_int_equal(as_plain_user(append_as_other, s), 0);
    scratch_expect(s, "audit.log", "x\n");
    if (am_root()) {
        assert_int_equal(fchmodat(s->dir, "audit.log", 0640, 0), 0);
        assert_int_equal(fchownat(s->dir, "audit.log", FOREIGN_UID, FOREIGN_GID, 0), 0);
        expect_trouble(s, made, KT_E_PERMISSION, "is owned by uid");
    }
    free(made);
}

static void test_a_log_that_is_full(void **state)
{
    const struct scratch *s = *state;
    struct made *made = make();
    scratch_put(s, "audit.log", text_of(made, "A"), 0640);
    int fd = openat(s->dir, "audit.log", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)KT_AUDIT_LOG_MAX), 0);
    expect_trouble(s, made, KT_E_REFUSED, "the most that there may be");
    assert_int_equal(ftruncate(fd, (off_t)KT_AUDIT_LOG_MAX + 1), 0);
    expect_trouble(s, made, KT_E_IO, "larger than");
    assert_int_equal(close(fd), 0);
    free(made);
}

/* An install whose log cannot be written is an install all the same. */
static void test_an_install_goes_on(void **state)
{
    const struct scratch *s = *state;
    struct made *made = make();
    struct kt_error err = KT_ERROR_INIT;
    struct kt_state empty = {.n_superseded = 0};
    struct kt_keyring_info *info = calloc(1, sizeof *info);
    assert_non_null(info);
    info->membership = 1;
    info->generation = 1;
    struct kt_opener_answer answer = {.info = info, .audit = &made->tail, .audit_whole = true};
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = kt_state_dir_open(s->path, &err);
    assert_non_null(dir);
    assert_int_equal(mkdirat(s->dir, "audit.log", 0750), 0);
    assert_true(kt_state_dir_install(dir, &empty, kt_slice_str("a keyring\n"), &answer, &err));
    scratch_expect(s, "keyring.yaml", "a keyring\n");
    assert_int_equal(kt_state_dir_audit(dir)->trouble.code, KT_E_PERMISSION);
    assert_int_equal(unlinkat(s->dir, "audit.log", AT_REMOVEDIR), 0);
    KT_CLEANUP(kt_state_done) struct kt_state now = {.n_superseded = 0};
    assert_true(kt_state_dir_read(dir, &now, &err));
    assert_int_equal(now.floor.generation, 1);
    answer.same = true;
    assert_true(kt_state_dir_install(dir, &now, kt_slice_str("a keyring\n"), &answer, &err));
    assert_int_equal(kt_state_dir_audit(dir)->trouble.code, KT_OK);
    assert_int_equal(kt_state_dir_audit(dir)->first, 0);
    scratch_expect(s, "audit.log", text_of(made, "ABCD"));
    answer.below_floor = true; /* nothing is installed */
    assert_true(kt_state_dir_install(dir, &now, kt_slice_str("a keyring\n"), &answer, &err));
    assert_int_equal(kt_state_dir_audit(dir)->n, 0);
    free(info);
    free(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_what_is_appended),        SCRATCH_TEST(test_a_line_without_its_end),
        SCRATCH_TEST(test_a_log_that_is_not_there), SCRATCH_TEST(test_trouble),
        SCRATCH_TEST(test_a_log_that_is_full),      SCRATCH_TEST(test_an_install_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
