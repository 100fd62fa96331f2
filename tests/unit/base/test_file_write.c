/* SPDX-License-Identifier: Apache-2.0 */
/* Writing files: what the new one looks like, what is refused, and what is left behind. */
#include "base/file.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#define ACL "system.posix_acl_access"

static const struct kt_file_attrs ours = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};

static bool replace(const struct scratch *s, const char *path, const char *text, struct kt_error *err)
{
    return kt_file_replace(s->dir, path, kt_slice_str(text), &ours, err);
}

static void expect_mode(const struct scratch *s, const char *name, mode_t mode)
{
    struct stat st;

    assert_int_equal(fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_mode, mode);
}

static void expect_owner(const struct scratch *s, const char *name, uid_t uid, gid_t gid)
{
    struct stat st;

    assert_int_equal(fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_uid, uid);
    assert_int_equal(st.st_gid, gid);
}

static void test_new_file(void **state)
{
    static const mode_t masks[] = {0, 022, 077, 0777};
    static const mode_t modes[] = {0600, 0640, 0644, 0400, 0444, 0777};
    const struct scratch *s = *state;

    for (size_t i = 0; i < KT_ARRAY_LEN(masks) * KT_ARRAY_LEN(modes); i++) {
        struct kt_file_attrs attrs = ours;
        struct kt_error err = KT_ERROR_INIT;
        attrs.mode = modes[i % KT_ARRAY_LEN(modes)];
        (void)umask(masks[i / KT_ARRAY_LEN(modes)]);
        assert_true(kt_file_replace(s->dir, "a", kt_slice_str("text"), &attrs, &err));
        assert_true(kt_file_create(AT_FDCWD, scratch_name(s, "b"), kt_slice_str(""), &attrs, &err));
        expect_mode(s, "a", S_IFREG | attrs.mode);
        expect_mode(s, "b", S_IFREG | attrs.mode);
        assert_int_equal(scratch_count(s, ""), 2);
        assert_true(kt_file_remove(s->dir, "a", &err) && kt_file_remove(s->dir, "b", &err));
    }
}

static void test_new_file_for_another_owner(void **state)
{
    const struct scratch *s = *state;
    const struct kt_file_attrs attrs = {.mode = 0640, .uid = FOREIGN_UID, .gid = FOREIGN_GID};
    struct kt_error err = KT_ERROR_INIT;

    if (am_root()) {
        assert_true(kt_file_create(s->dir, "f", kt_slice_str("text"), &attrs, &err));
        expect_owner(s, "f", FOREIGN_UID, FOREIGN_GID);
        expect_mode(s, "f", S_IFREG | 0640);
        return;
    }
    assert_false(kt_file_create(s->dir, "f", kt_slice_str("text"), &attrs, &err));
    expect_error(&err, KT_E_PERMISSION, "cannot give it the owner 54321:54322");
    assert_int_equal(scratch_count(s, ""), 0);
}

static void test_replace_content(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_BYTES struct kt_bytes big = {.data = malloc(3000000), .len = 3000000};
    struct stat st;

    scratch_put(s, "f", "a much longer old content", 0644);
    assert_true(replace(s, "f", "new", &err));
    scratch_expect(s, "f", "new");
    expect_mode(s, "f", S_IFREG | 0644);
    memset(big.data, 'x', big.len);
    assert_true(kt_file_replace(s->dir, "f", kt_bytes_view(&big), &ours, &err));
    assert_int_equal(fstatat(s->dir, "f", &st, 0), 0);
    assert_int_equal(st.st_size, 3000000);
    assert_true(replace(s, "f", "", &err));
    scratch_expect(s, "f", "");
    assert_int_equal(scratch_count(s, ""), 1);
}

/* A reader that opened the old file goes on reading the old file. */
static void test_replace_does_not_touch_old_inode(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    char text[8] = {0};

    scratch_put(s, "f", "old", 0600);
    int fd = openat(s->dir, "f", O_RDONLY | O_CLOEXEC);
    assert_true(replace(s, "f", "new", &err));
    assert_int_equal(read(fd, text, sizeof(text)), 3);
    assert_string_equal(text, "old");
    assert_int_equal(close(fd), 0);
}

static void test_replace_keeps_owner(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    uid_t uid = am_root() ? FOREIGN_UID : geteuid();
    gid_t gid = am_root() ? FOREIGN_GID : getegid();

    scratch_put(s, "f", "old", 0600);
    assert_int_equal(fchownat(s->dir, "f", uid, gid, 0), 0);
    assert_int_equal(fchmodat(s->dir, "f", 0640, 0), 0);
    assert_true(replace(s, "f", "new", &err));
    expect_owner(s, "f", uid, gid);
    expect_mode(s, "f", S_IFREG | 0640);
}

static void test_replace_keeps_attributes(void **state)
{
    static const char *const names[] = {"user.keyturn", "trusted.keyturn", "security.keyturn"};
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    const char *path = scratch_name(s, "f");
    bool set[KT_ARRAY_LEN(names)];
    char value[64];

    scratch_put(s, "f", "old", 0600);
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++)
        set[i] = setxattr(path, names[i], names[i], strlen(names[i]), 0) == 0;
    if (am_root())
        assert_true(set[1] && set[2]);
    else
        assert_false(set[1] || set[2]);
    assert_true(replace(s, "f", "new", &err));
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++) {
        ssize_t len = getxattr(path, names[i], value, sizeof(value));
        assert_int_equal(len, set[i] ? (ssize_t)strlen(names[i]) : -1);
        assert_true(len < 0 || memcmp(value, names[i], (size_t)len) == 0);
    }
}

/* acl(5) as the kernel keeps it: version 2, then tag, permissions, id: user::rw, user:54321:r, group::r, mask::r,
 * other::- */
static const uint8_t acl_for_foreign[] = {2,    0,    0,    0,    1,    0, 6, 0, 0xff, 0xff, 0xff, 0xff, 2,    0, 4, 0,
                                          0x31, 0xd4, 0,    0,    4,    0, 4, 0, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 4, 0,
                                          0xff, 0xff, 0xff, 0xff, 0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};

static void test_replace_keeps_acl(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    const char *path = scratch_name(s, "f");
    uint8_t found[128];

    scratch_put(s, "f", "old", 0600);
    if (setxattr(path, ACL, acl_for_foreign, sizeof(acl_for_foreign), 0) < 0) {
        assert_int_equal(errno, ENOTSUP); /* then there is nothing to keep */
        return;
    }
    expect_mode(s, "f", S_IFREG | 0640);
    assert_true(replace(s, "f", "new", &err));
    expect_mode(s, "f", S_IFREG | 0640);
    assert_int_equal(getxattr(path, ACL, found, sizeof(found)), sizeof(acl_for_foreign));
    assert_memory_equal(found, acl_for_foreign, sizeof(acl_for_foreign));
}

/* A default ACL that came to the directory later gives nobody access to a file that he had no access to. */
static void test_replace_takes_no_default_acl(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    uint8_t found[128];

    scratch_put(s, "f", "old", 0640);
    if (setxattr(s->path, "system.posix_acl_default", acl_for_foreign, sizeof(acl_for_foreign), 0) < 0) {
        assert_int_equal(errno, ENOTSUP);
        return;
    }
    assert_true(replace(s, "f", "new", &err));
    expect_mode(s, "f", S_IFREG | 0640);
    assert_int_equal(getxattr(scratch_name(s, "f"), ACL, found, sizeof(found)), -1);
}

static void test_refused_targets(void **state)
{
    static const struct {
        const char *name;
        const char *part;
    } table[] = {
        {"link", "link: is a symbolic link, expected a regular file"},
        {"dangling", "dangling: is a symbolic link, expected a regular file"},
        {"fifo", "fifo: is a named pipe, expected a regular file"},
        {"dir", "dir: is a directory, expected a regular file"},
    };
    const struct scratch *s = *state;

    scratch_put(s, "f", "text", 0600);
    assert_int_equal(symlinkat("f", s->dir, "link"), 0);
    assert_int_equal(symlinkat("none", s->dir, "dangling"), 0);
    assert_int_equal(mkfifoat(s->dir, "fifo", 0600), 0);
    assert_int_equal(mkdirat(s->dir, "dir", 0700), 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_error err = KT_ERROR_INIT;
        assert_false(replace(s, table[i].name, "new", &err));
        expect_error(&err, KT_E_PERMISSION, table[i].part);
        assert_false(kt_file_create(s->dir, table[i].name, kt_slice_str("new"), &ours, &err));
        expect_error(&err, KT_E_EXISTS, "exists already");
    }
    scratch_expect(s, "f", "text");
    assert_int_equal(scratch_count(s, ""), 5);
}

static void test_refused_names(void **state)
{
    static const char *const table[] = {"", "/", ".", "..", "dir/", "dir/.", "dir/..", "/tmp/"};
    const struct scratch *s = *state;
    char name[300];
    struct kt_error err = KT_ERROR_INIT;

    assert_int_equal(mkdirat(s->dir, "dir", 0700), 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        assert_false(replace(s, table[i], "new", &err));
        expect_error(&err, KT_E_USAGE, "does not name a file");
    }
    memset(name, 'n', sizeof(name));
    name[234] = '\0';
    assert_false(replace(s, name, "new", &err));
    expect_error(&err, KT_E_USAGE, "the name has 234 bytes, at most 233");
    name[233] = '\0';
    assert_true(replace(s, name, "new", &err));
    scratch_expect(s, name, "new");
    assert_false(replace(s, "none/f", "new", &err));
    expect_error(&err, KT_E_IO, "none");
    assert_true(replace(s, "dir/f", "new", &err));
    assert_false(replace(s, "dir/f/f", "new", &err));
    expect_error(&err, KT_E_IO, "dir/f");
    scratch_expect(s, "dir/f", "new");
}

static void test_strays_are_removed(void **state)
{
    static const char *const strays[] = {".f.0123456789abcdef.tmp", ".f.ffffffffffffffff.tmp"};
    static const char *const others[] = {".f.0123456789abcdeg.tmp",  ".f.0123456789abcdef.tmpx",
                                         ".g.0123456789abcdef.tmp",  "f.0123456789abcdef.tmp",
                                         ".f.0123456789abcdef0.tmp", ".ff0123456789abcdef.tmp"};
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;

    for (size_t i = 0; i < KT_ARRAY_LEN(others); i++)
        scratch_put(s, others[i], "x", 0600);
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < KT_ARRAY_LEN(strays); i++)
            scratch_put(s, strays[i], "x", 0600);
        if (round == 0)
            assert_true(kt_file_create(s->dir, "f", kt_slice_str("new"), &ours, &err));
        else if (round == 1)
            assert_true(replace(s, "f", "new", &err));
        else
            assert_true(kt_file_remove(s->dir, "f", &err)); /* the second time, of nothing */
        for (size_t i = 0; i < KT_ARRAY_LEN(strays); i++)
            scratch_expect(s, strays[i], NULL);
    }
    assert_int_equal(scratch_count(s, ""), KT_ARRAY_LEN(others));
}

static void test_create_leaves_what_exists(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;

    scratch_put(s, "f", "old", 0644);
    assert_false(kt_file_create(s->dir, "f", kt_slice_str("new"), &ours, &err));
    expect_error(&err, KT_E_EXISTS, scratch_name(s, "f"));
    scratch_expect(s, "f", "old");
    expect_mode(s, "f", S_IFREG | 0644);
    assert_int_equal(scratch_count(s, ""), 1);
}

/* Status 0: it was ours; 1: somebody else's, as one of the two codes says. */
static int create_one(const struct scratch *s, int start, int number)
{
    struct kt_error err = KT_ERROR_INIT;
    char text[32];
    char byte = 0;

    (void)snprintf(text, sizeof(text), "creator %d", number);
    if (read(start, &byte, 1) != 0)
        return 3;
    if (kt_file_create(s->dir, "f", kt_slice_str(text), &ours, &err))
        return 0;
    return err.code == KT_E_EXISTS || err.code == KT_E_BUSY ? 1 : 2;
}

static void race_to_create(const struct scratch *s)
{
    pid_t pids[6];
    int start[2];
    int winner = -1;
    char text[32];

    assert_int_equal(pipe2(start, O_CLOEXEC), 0);
    for (int i = 0; i < (int)KT_ARRAY_LEN(pids); i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            (void)close(start[1]);
            _exit(create_one(s, start[0], i));
        }
    }
    (void)close(start[0]);
    (void)close(start[1]);
    for (int i = 0; i < (int)KT_ARRAY_LEN(pids); i++) {
        int status = wait_for(pids[i]);
        assert_in_range(status, 0, 1);
        assert_true(status == 1 || winner == -1);
        winner = status == 0 ? i : winner;
    }
    assert_int_not_equal(winner, -1);
    (void)snprintf(text, sizeof(text), "creator %d", winner);
    scratch_expect(s, "f", text);
}

static void test_create_has_one_winner(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;

    for (int round = 0; round < 25; round++) {
        race_to_create(s);
        assert_int_equal(scratch_count(s, ""), 1);
        assert_true(kt_file_remove(s->dir, "f", &err));
    }
}

static void test_remove(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;

    scratch_put(s, "f", "text", 0600);
    assert_int_equal(symlinkat("f", s->dir, "link"), 0);
    assert_int_equal(mkdirat(s->dir, "dir", 0700), 0);
    assert_true(kt_file_remove(s->dir, "link", &err));
    scratch_expect(s, "f", "text");
    assert_true(kt_file_remove(s->dir, "f", &err));
    scratch_expect(s, "f", NULL);
    assert_true(kt_file_remove(s->dir, "f", &err));
    assert_true(kt_file_remove(s->dir, "none/f", &err));
    assert_false(kt_file_remove(s->dir, "dir", &err));
    expect_error(&err, KT_E_PERMISSION, "is a directory, expected a regular file");
    assert_int_equal(scratch_count(s, ""), 1);
}

static void test_dir_make(void **state)
{
    static const mode_t modes[] = {0700, 0755, 02770, 01777};
    const struct scratch *s = *state;
    struct kt_file_attrs attrs = ours;
    struct kt_error err = KT_ERROR_INIT;

    for (size_t i = 0; i < KT_ARRAY_LEN(modes); i++) {
        attrs.mode = modes[i];
        (void)umask(i % 2 ? 0777 : 0);
        assert_true(kt_dir_make(s->dir, "dir", &attrs, &err));
        expect_mode(s, "dir", S_IFDIR | modes[i]);
        attrs.mode = 0711;
        assert_true(kt_dir_make(s->dir, "dir", &attrs, &err)); /* left as it is */
        expect_mode(s, "dir", S_IFDIR | modes[i]);
        assert_int_equal(scratch_count(s, ""), 1);
        assert_int_equal(unlinkat(s->dir, "dir", AT_REMOVEDIR), 0);
    }
    attrs = (struct kt_file_attrs){.mode = 0750, .uid = FOREIGN_UID, .gid = FOREIGN_GID};
    assert_int_equal(kt_dir_make(s->dir, "theirs", &attrs, &err), am_root());
    assert_int_equal(scratch_count(s, ""), am_root() ? 1 : 0);
    if (am_root())
        expect_owner(s, "theirs", FOREIGN_UID, FOREIGN_GID);
    else
        expect_error(&err, KT_E_PERMISSION, "cannot give it the owner 54321:54322");
}

static void test_dir_refused(void **state)
{
    static const struct {
        const char *name;
        const char *part;
    } table[] = {{"f", "f: is a regular file, expected a directory"},
                 {"link", "link: is a symbolic link, expected a directory"},
                 {"dangling", "dangling: is a symbolic link, expected a directory"}};
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;

    scratch_put(s, "f", "text", 0600);
    assert_int_equal(symlinkat(".", s->dir, "link"), 0);
    assert_int_equal(symlinkat("none", s->dir, "dangling"), 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        assert_false(kt_dir_make(s->dir, table[i].name, &ours, &err));
        expect_error(&err, KT_E_PERMISSION, table[i].part);
        assert_int_equal(kt_dir_open(s->dir, table[i].name, &err), -1);
        expect_error(&err, KT_E_PERMISSION, table[i].part);
    }
    assert_int_equal(kt_dir_open(s->dir, "none", &err), -1);
    expect_error(&err, KT_E_IO, scratch_name(s, "none"));
    assert_false(kt_dir_make(s->dir, "none/dir", &ours, &err));
    int fd = kt_dir_open(AT_FDCWD, s->path, &err);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    kt_fd_close(fd);
}

/* In a directory that we may not write to. */
static int write_forbidden(void *arg)
{
    const struct scratch *s = arg;
    struct kt_error err = KT_ERROR_INIT;

    if (replace(s, "dir/f", "new", &err) || err.code != KT_E_PERMISSION ||
        !strstr(err.message, "the old content is still in place") || err.hint[0] == '\0')
        return 1;
    if (kt_file_create(s->dir, "dir/g", kt_slice_str("new"), &ours, &err) || err.code != KT_E_PERMISSION)
        return 2;
    if (kt_file_remove(s->dir, "dir/f", &err) || err.code != KT_E_PERMISSION)
        return 3;
    return kt_dir_make(s->dir, "dir/dir", &ours, &err) || err.code != KT_E_PERMISSION ? 4 : 0;
}

static void test_forbidden_directory(void **state)
{
    const struct scratch *s = *state;

    assert_int_equal(mkdirat(s->dir, "dir", 0755), 0);
    scratch_put(s, "dir/f", "old", 0644);
    assert_int_equal(fchmodat(s->dir, "dir", 0555, 0), 0);
    assert_int_equal(as_plain_user(write_forbidden, *state), 0);
    scratch_expect(s, "dir/f", "old");
    assert_int_equal(fchmodat(s->dir, "dir", 0755, 0), 0);
}

/* Root without its capabilities, as a container or a service may have it: to become root is no advice. */
static int write_as_powerless_root(void *arg)
{
    const struct scratch *s = arg;
    struct kt_error err = KT_ERROR_INIT;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}, {0}};

    if (syscall(SYS_capset, &head, none) < 0)
        return 1;
    if (replace(s, "dir/f", "new", &err) || err.code != KT_E_PERMISSION)
        return 2;
    return err.hint[0] == '\0' || !strstr(err.hint, "run it as root") == (geteuid() != 0) ? 3 : 0;
}

static void test_hint_fits_who_asks(void **state)
{
    const struct scratch *s = *state;

    assert_int_equal(mkdirat(s->dir, "dir", 0555), 0);
    assert_int_equal(in_child(0, write_as_powerless_root, *state), 0);
    assert_int_equal(fchmodat(s->dir, "dir", 0755, 0), 0);
}

/* In our own directory, but the group of the old file is one that we cannot give. */
static int replace_of_another_owner(void *arg)
{
    const struct scratch *s = arg;
    struct kt_error err = KT_ERROR_INIT;

    if (replace(s, "dir/f", "new", &err))
        return 1;
    return err.code == KT_E_PERMISSION && strstr(err.message, "cannot give it the owner 0:0") &&
                   strstr(err.message, "the old content is still in place")
               ? 0
               : 2;
}

static int create_for_another_owner(void *arg)
{
    const struct scratch *s = arg;
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = 0, .gid = 0};
    struct kt_error err = KT_ERROR_INIT;

    if (kt_file_create(s->dir, "dir/g", kt_slice_str("new"), &attrs, &err))
        return 1;
    return err.code == KT_E_PERMISSION && strstr(err.message, "cannot give it the owner 0:0") ? 0 : 2;
}

static void test_owner_that_cannot_be_kept(void **state)
{
    const struct scratch *s = *state;

    assert_int_equal(mkdirat(s->dir, "dir", 0755), 0);
    if (am_root()) {
        scratch_put(s, "dir/f", "old", 0644);
        assert_int_equal(fchownat(s->dir, "dir", FOREIGN_UID, FOREIGN_GID, 0), 0);
        assert_int_equal(as_plain_user(replace_of_another_owner, *state), 0);
        scratch_expect(s, "dir/f", "old");
        assert_int_equal(unlinkat(s->dir, "dir/f", 0), 0);
    }
    assert_int_equal(as_plain_user(create_for_another_owner, *state), 0);
    assert_int_equal(unlinkat(s->dir, "dir", AT_REMOVEDIR), 0); /* empty: nothing was left */
}

static bool put_proc(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    kt_fd_close(fd);
    return ok;
}

static bool enter_namespaces(void)
{
    char uids[32];
    char gids[32];

    (void)snprintf(uids, sizeof(uids), "0 %u 1", (unsigned)geteuid());
    (void)snprintf(gids, sizeof(gids), "0 %u 1", (unsigned)getegid());
    if (am_root())
        return unshare(CLONE_NEWNS) == 0;
    return unshare(CLONE_NEWNS | CLONE_NEWUSER) == 0 && put_proc("/proc/self/setgroups", "deny") &&
           put_proc("/proc/self/uid_map", uids) && put_proc("/proc/self/gid_map", gids);
}

/* A file system of 64 KiB, in a mount namespace of its own (and, for a plain user, a user namespace). */
static int write_to_full(void *arg)
{
    const struct scratch *s = arg;
    static uint8_t big[256 * 1024];
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes bytes = {.data = NULL};
    const struct kt_file_rules rules = {.max = 64, .owner = KT_ANY_UID};
    char file[128];

    (void)snprintf(file, sizeof(file), "%s/f", s->path);
    if (!enter_namespaces())
        return 77;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", s->path, "tmpfs", 0, "size=64k,mode=0777") < 0)
        return 77;
    if (!kt_file_create(AT_FDCWD, file, kt_slice_str("old"), &ours, &err))
        return 1;
    if (kt_file_replace(AT_FDCWD, file, KT_SLICE(big, sizeof(big)), &ours, &err) || err.sys_errno != ENOSPC ||
        err.code != KT_E_IO || !strstr(err.message, "the old content is still in place") ||
        !strstr(err.hint, "free some space"))
        return 2;
    if (scratch_count(s, "") != 1 || !kt_file_read(AT_FDCWD, file, &rules, &bytes, &err) || bytes.len != 3)
        return 3;
    kt_bytes_done(&bytes);
    /* the failed write gave its space back */
    return kt_file_replace(AT_FDCWD, file, KT_SLICE(big, (size_t)30 * 1024), &ours, &err) ? 0 : 4;
}

static int never_full(void *arg)
{
    (void)arg;
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? 0 : 1;
}

static void test_full_disk(void **state)
{
    int status = in_child(0, write_to_full, *state);

    if (status == 77) /* then test_file_fault alone shows it; but see that it really cannot be done here */
        status = in_child(0, never_full, NULL);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_new_file),
        SCRATCH_TEST(test_new_file_for_another_owner),
        SCRATCH_TEST(test_replace_content),
        SCRATCH_TEST(test_replace_does_not_touch_old_inode),
        SCRATCH_TEST(test_replace_keeps_owner),
        SCRATCH_TEST(test_replace_keeps_attributes),
        SCRATCH_TEST(test_replace_keeps_acl),
        SCRATCH_TEST(test_replace_takes_no_default_acl),
        SCRATCH_TEST(test_refused_targets),
        SCRATCH_TEST(test_refused_names),
        SCRATCH_TEST(test_strays_are_removed),
        SCRATCH_TEST(test_create_leaves_what_exists),
        SCRATCH_TEST(test_create_has_one_winner),
        SCRATCH_TEST(test_remove),
        SCRATCH_TEST(test_dir_make),
        SCRATCH_TEST(test_dir_refused),
        SCRATCH_TEST(test_forbidden_directory),
        SCRATCH_TEST(test_hint_fits_who_asks),
        SCRATCH_TEST(test_owner_that_cannot_be_kept),
        SCRATCH_TEST(test_full_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
