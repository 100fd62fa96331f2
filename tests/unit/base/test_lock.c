/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

static void test_one_holder(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    struct stat st;

    (void)umask(0);
    int fd = kt_lock_take(s->dir, "lock", &err);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fstatat(s->dir, "lock", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(kt_lock_take(AT_FDCWD, scratch_name(s, "lock"), &err), -1);
    expect_error(&err, KT_E_BUSY, scratch_name(s, "lock"));
    assert_int_equal(kt_lock_take(s->dir, "lock", NULL), -1);
    kt_fd_close(fd);
    fd = kt_lock_take(s->dir, "lock", &err);
    assert_true(fd >= 0);
    kt_fd_close(fd);
    scratch_expect(s, "lock", "");
}

struct holder {
    pid_t pid;
    int ready;
};

static struct holder start_holder(const char *path)
{
    int fds[2];
    char byte = 0;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct holder holder = {.pid = fork(), .ready = fds[0]};
    if (holder.pid == 0) {
        int fd = kt_lock_take(AT_FDCWD, path, NULL);
        if (fd < 0 || write(fds[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(close(fds[1]), 0);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(close(fds[0]), 0);
    return holder;
}

/* In memory, where the device numbers of stat and of /proc/locks are the same. */
static void test_holder_is_named(void **state)
{
    char path[] = "/dev/shm/keyturn-test-lock-XXXXXX";
    struct kt_error err = KT_ERROR_INIT;
    char part[64];
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    struct holder holder = start_holder(path);
    assert_int_equal(kt_lock_take(AT_FDCWD, path, &err), -1);
    (void)snprintf(part, sizeof(part), "is locked by process %d", (int)holder.pid);
    expect_error(&err, KT_E_BUSY, part);
    assert_int_equal(kill(holder.pid, SIGKILL), 0);
    assert_int_equal(wait_for(holder.pid), 1000 + SIGKILL);
    fd = kt_lock_take(AT_FDCWD, path, &err); /* free as soon as its holder is dead */
    assert_true(fd >= 0);
    kt_fd_close(fd);
    assert_int_equal(unlink(path), 0);
}

static void test_refused(void **state)
{
    static const struct {
        const char *name;
        enum kt_code code;
        const char *part;
    } table[] = {
        {"link", KT_E_PERMISSION, "link: is a symbolic link, expected a regular file"},
        {"dangling", KT_E_PERMISSION, "dangling: is a symbolic link, expected a regular file"},
        {"dir", KT_E_PERMISSION, "dir: is a directory, expected a regular file"},
        {"fifo", KT_E_PERMISSION, "fifo: is a named pipe, expected a regular file"},
        {"none/lock", KT_E_IO, "none/lock: cannot open it"},
        {"f/lock", KT_E_IO, "f/lock: cannot open it"},
    };
    const struct scratch *s = *state;

    scratch_put(s, "f", "text", 0600);
    assert_int_equal(symlinkat("f", s->dir, "link"), 0);
    assert_int_equal(symlinkat("none", s->dir, "dangling"), 0);
    assert_int_equal(mkdirat(s->dir, "dir", 0700), 0);
    assert_int_equal(mkfifoat(s->dir, "fifo", 0600), 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_error err = KT_ERROR_INIT;
        assert_int_equal(kt_lock_take(s->dir, table[i].name, &err), -1);
        expect_error(&err, table[i].code, table[i].part);
    }
    scratch_expect(s, "none", NULL);
    scratch_expect(s, "f", "text");
}

static int take_foreign(void *arg)
{
    const struct scratch *s = arg;
    struct kt_error err = KT_ERROR_INIT;

    return kt_lock_take(s->dir, "lock", &err) < 0 && err.code == KT_E_PERMISSION && err.sys_errno == EACCES ? 0 : 1;
}

static void test_of_another_user(void **state)
{
    const struct scratch *s = *state;

    scratch_put(s, "lock", "", am_root() ? 0600 : 0000);
    assert_int_equal(as_plain_user(take_foreign, *state), 0);
}

/* A disk with errors is mounted read-only by the kernel; what is on it can still be served. */
static int take_read_only(void *arg)
{
    const struct scratch *s = arg;
    const char *dir = scratch_name(s, "");

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 77;
    if (mount(dir, dir, NULL, MS_BIND, NULL) < 0 || mount(NULL, dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
        return 77;
    int fd = kt_lock_take(AT_FDCWD, scratch_name(s, "lock"), NULL);
    if (fd < 0)
        return 1;
    if (kt_lock_take(AT_FDCWD, scratch_name(s, "lock"), NULL) >= 0)
        return 2;
    return kt_lock_take(AT_FDCWD, scratch_name(s, "none"), NULL) < 0 ? 0 : 3;
}

static void test_read_only(void **state)
{
    int status = 77;

    scratch_put(*state, "lock", "", 0600);
    if (am_root())
        status = in_child(0, take_read_only, *state);
    if (status == 77)
        skip();
    assert_int_equal(status, 0);
}

/* The lock goes with its directory, as that of a staging directory does: even so never two have it. */
static int take_and_remove(void *arg, int number)
{
    const struct scratch *s = arg;
    struct kt_error err = KT_ERROR_INIT;

    (void)number;
    for (int i = 0; i < 500; i++) {
        int fd = kt_lock_take(s->dir, "lock", &err);
        if (fd < 0 && err.code != KT_E_BUSY)
            return 1;
        if (fd < 0)
            continue;
        if (mkdirat(s->dir, "held", 0700) < 0 || unlinkat(s->dir, "held", AT_REMOVEDIR) < 0)
            return 2;
        if (unlinkat(s->dir, "lock", 0) < 0)
            return 4;
        kt_fd_close(fd);
    }
    return 0;
}

static void test_one_holder_of_what_is_removed(void **state)
{
    assert_int_equal(in_children(4, take_and_remove, *state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_one_holder), SCRATCH_TEST(test_holder_is_named),
        SCRATCH_TEST(test_refused),    SCRATCH_TEST(test_of_another_user),
        SCRATCH_TEST(test_read_only),  SCRATCH_TEST(test_one_holder_of_what_is_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
