/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int scratch_setup(void **state)
{
    struct scratch *s = calloc(1, sizeof(*s));

    if (!s)
        return -1;
    (void)umask(022);
    (void)snprintf(s->path, sizeof(s->path), "/tmp/keyturn-test-XXXXXX");
    if (!mkdtemp(s->path) || chmod(s->path, 0755) < 0)
        return -1;
    s->dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->fds = count_fds();
    *state = s;
    return s->dir < 0 ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

int scratch_teardown(void **state)
{
    struct scratch *s = *state;
    size_t fds = count_fds();
    bool leaked = fds != s->fds;

    if (leaked)
        print_error("%zu descriptors before the test, %zu after\n", s->fds, fds);
    (void)close(s->dir);
    (void)nftw(s->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(s);
    return leaked ? -1 : 0;
}

const char *scratch_name(const struct scratch *s, const char *name)
{
    static char names[4][512];
    static unsigned next;
    char *text = names[next++ % 4];

    (void)snprintf(text, sizeof(names[0]), "%s/%s", s->path, name);
    return text;
}

void scratch_put(const struct scratch *s, const char *name, const char *text, mode_t mode)
{
    (void)unlinkat(s->dir, name, 0);
    int fd = openat(s->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

void scratch_expect(const struct scratch *s, const char *name, const char *text)
{
    char found[65536];
    int fd = openat(s->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (!text) {
        assert_int_equal(fd, -1);
        return;
    }
    assert_true(fd >= 0);
    ssize_t len = read(fd, found, sizeof(found) - 1);
    assert_int_equal(close(fd), 0);
    assert_true(len >= 0);
    found[len] = '\0';
    assert_string_equal(found, text);
}

size_t scratch_count(const struct scratch *s, const char *prefix)
{
    KT_CLEANUP(closedir_p) DIR *dir = opendir(s->path);
    size_t n = 0;

    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strncmp(e->d_name, prefix, strlen(prefix)) == 0)
            n++;
    }
    return n;
}

size_t count_fds(void)
{
    KT_CLEANUP(closedir_p) DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    while (dir && readdir(dir))
        n++;
    return n;
}

bool am_root(void)
{
    return geteuid() == 0;
}

int wait_for(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int in_child(uid_t uid, int (*f)(void *arg), void *arg)
{
    pid_t pid = fork();

    if (pid == 0) {
        if (uid != 0 && (setgroups(0, NULL) < 0 || setresgid(FOREIGN_GID, FOREIGN_GID, FOREIGN_GID) < 0 ||
                         setresuid(uid, uid, uid) < 0))
            _exit(99);
        _exit(f(arg));
    }
    return pid < 0 ? -1 : wait_for(pid);
}

int in_children(int n, int (*f)(void *arg, int number), void *arg)
{
    pid_t pids[16];
    int start[2];
    int status = 0;
    char byte = 0;

    assert_in_range(n, 1, KT_ARRAY_LEN(pids));
    assert_int_equal(pipe2(start, O_CLOEXEC), 0);
    for (int i = 0; i < n; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            (void)close(start[1]);
            _exit(read(start[0], &byte, 1) == 0 ? f(arg, i) : 99);
        }
    }
    (void)close(start[0]);
    (void)close(start[1]);
    for (int i = 0; i < n; i++)
        status |= wait_for(pids[i]);
    return status;
}

int as_plain_user(int (*f)(void *arg), void *arg)
{
    return in_child(am_root() ? FOREIGN_UID : 0, f, arg);
}

int run_self(char *const *argv, char *const *env)
{
    pid_t pid = fork();

    if (pid == 0) {
        for (; env && *env; env++)
            (void)putenv(*env);
        (void)execv("/proc/self/exe", argv);
        _exit(126);
    }
    return pid < 0 ? -1 : wait_for(pid);
}

void expect_error(const struct kt_error *err, enum kt_code code, const char *part)
{
    if (err->code != code || !strstr(err->message, part))
        print_error("expected %s with \"%s\", found %s: %s\n", kt_code_name(code), part, kt_code_name(err->code),
                    err->message);
    assert_int_equal(err->code, code);
    assert_non_null(strstr(err->message, part));
}
