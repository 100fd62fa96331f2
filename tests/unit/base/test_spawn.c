/* SPDX-License-Identifier: Apache-2.0 */
/* Starts this program again; the child says what it got. */
#include "base/cleanup.h"
#include "base/spawn.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

static char self[PATH_MAX];

/* In the child, by argv[1]. */

static int report_fds(void)
{
    char text[8] = {0};

    /* 3, 4, 5 have the texts; 6 is closed, and so is everything that the parent had besides. */
    for (int fd = 3; fd <= 5; fd++) {
        if (pread(fd, text, 1, 0) != 1 || text[0] != 'a' + fd - 3 || fcntl(fd, F_GETFD) != 0)
            return 10 + fd;
    }
    for (int fd = 6; fd < 1024; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            return 20;
    }
    return 0;
}

static int report_account(void)
{
    uid_t uid[3];
    gid_t gid[3];
    gid_t groups[8];

    if (getresuid(&uid[0], &uid[1], &uid[2]) < 0 || getresgid(&gid[0], &gid[1], &gid[2]) < 0)
        return 10;
    for (int i = 0; i < 3; i++) {
        if (uid[i] != FOREIGN_UID || gid[i] != FOREIGN_GID)
            return 11;
    }
    int n = getgroups((int)KT_ARRAY_LEN(groups), groups);
    if (n != 2 || groups[0] != 7001 || groups[1] != 7002)
        return 12;
    return setresuid(0, 0, 0) < 0 && errno == EPERM ? 0 : 13;
}

/* A sanitizer's runtime has handlers of its own in every program, before main. */
static bool is_default(const struct sigaction *action)
{
#ifdef KT_SANITIZED
    return action->sa_handler != SIG_IGN;
#else
    return action->sa_handler == SIG_DFL;
#endif
}

static int report_signals(void)
{
    sigset_t blocked;
    struct sigaction action;

    if (sigprocmask(SIG_BLOCK, NULL, &blocked) < 0)
        return 10;
    for (int number = 1; number < SIGRTMAX; number++) {
        if (number == 32 || number == 33) /* glibc's own */
            continue;
        if (sigismember(&blocked, number) == 1)
            return 11;
        bool ours = number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGUSR1 || number == SIGUSR2;
        if (sigaction(number, NULL, &action) == 0 && !(ours ? action.sa_handler == SIG_IGN : is_default(&action)))
            return 12;
    }
    return 0;
}

static int report_path(const char *relative)
{
    struct kt_error err = KT_ERROR_INIT;
    char path[PATH_MAX];

    if (kt_program_path(relative, path, sizeof(path), &err)) {
        return write(1, path, strlen(path)) > 0 ? 0 : 5;
    }
    return err.code == KT_E_CONFIG && err.hint[0] != '\0' ? 3 : 4;
}

static int report_tight_path(const char *relative)
{
    struct kt_error err = KT_ERROR_INIT;
    char path[8];

    return !kt_program_path(relative, path, sizeof(path), &err) && err.code == KT_E_CONFIG ? 0 : 1;
}

static int child(int argc, char **argv)
{
    if (strcmp(argv[1], "fds") == 0)
        return report_fds();
    if (strcmp(argv[1], "account") == 0)
        return report_account();
    if (strcmp(argv[1], "signals") == 0)
        return report_signals();
    if (strcmp(argv[1], "path") == 0 && argc == 3)
        return report_path(argv[2]);
    if (strcmp(argv[1], "tight-path") == 0 && argc == 3)
        return report_tight_path(argv[2]);
    return 99;
}

/* The parent's side. */

static int spawn_and_wait(const struct kt_spawn *what)
{
    struct kt_error err = KT_ERROR_INIT;
    pid_t pid = -1;

    if (!kt_spawn(what, &pid, &err))
        fail_msg("%s", err.message);
    assert_true(pid > 0);
    return wait_for(pid);
}

static struct kt_spawn plain(char *const *argv)
{
    return (struct kt_spawn){.path = self, .argv = argv, .account = {.uid = KT_SAME_UID}};
}

static int put_letter(const struct scratch *s, char letter, int at)
{
    char name[2] = {letter, '\0'};
    int fd = openat(s->dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, name, 1), 1);
    if (fd != at) {
        assert_int_equal(dup3(fd, at, O_CLOEXEC), at);
        kt_fd_close(fd);
    }
    return at;
}

/* Sources anywhere: in order, reversed, in a ring, above and below; in a process that has others open, not O_CLOEXEC.
 */
static int spawn_with_fds(void *arg)
{
    static const int places[][3] = {{3, 4, 5}, {5, 4, 3}, {4, 5, 3}, {5, 3, 4}, {10, 11, 12}, {9, 3, 500}, {4, 3, 7}};
    char name[] = "test";
    char mode[] = "fds";
    struct scratch s = *(const struct scratch *)arg;

    s.dir = fcntl(s.dir, F_DUPFD_CLOEXEC, 600);
    for (size_t i = 0; i < KT_ARRAY_LEN(places); i++) {
        closefrom(601);
        for (int fd = 3; fd < 600; fd++)
            kt_fd_close(fd);
        for (int at = 0; at < 3; at++)
            (void)put_letter(&s, (char)('a' + at), places[i][at]);
        if (dup2(2, 700) != 700) /* leaks, unless closed */
            return 1;
        struct kt_spawn what = plain((char *[]){name, mode, NULL});
        what.fds = places[i];
        what.n_fds = 3;
        int status = spawn_and_wait(&what);
        if (status != 0) {
            print_error("places %zu: %d\n", i, status);
            return 2;
        }
    }
    return 0;
}

static void test_fds(void **state)
{
    assert_int_equal(in_child(0, spawn_with_fds, *state), 0);
}

static void test_no_fds(void **state)
{
    char name[] = "test";
    char mode[] = "fds";
    struct kt_spawn what = plain((char *[]){name, mode, NULL});

    (void)state;
    assert_int_equal(spawn_and_wait(&what), 13); /* not even 3 is there */
}

static void test_same_fd_thrice(void **state)
{
    const struct scratch *s = *state;
    char name[] = "test";
    char mode[] = "fds";
    int fd = put_letter(s, 'a', 20);
    const int fds[] = {fd, fd, fd};
    struct kt_spawn what = plain((char *[]){name, mode, NULL});

    what.fds = fds;
    what.n_fds = 3;
    assert_int_equal(spawn_and_wait(&what), 14); /* 3 has an "a", 4 has it too */
    kt_fd_close(fd);
}

/* Runs f with standard error in a file, and gives what was written. */
static void capture_stderr(const struct scratch *s, const struct kt_spawn *what, int expected, char text[256])
{
    int saved = fcntl(2, F_DUPFD_CLOEXEC, 100);
    int file = openat(s->dir, "stderr", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(dup2(file, 2), 2);
    int status = spawn_and_wait(what);
    assert_int_equal(dup2(saved, 2), 2);
    ssize_t len = pread(file, text, 255, 0);
    assert_true(len >= 0);
    text[len] = '\0';
    kt_fd_close(saved);
    kt_fd_close(file);
    assert_int_equal(status, expected);
}

/* A copy that every uid can run. */
static void copy_self(const char *to)
{
    KT_CLEANUP(kt_fd_close_p) int in = open(self, O_RDONLY | O_CLOEXEC);
    KT_CLEANUP(kt_fd_close_p) int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    ssize_t n = 0;

    assert_true(in >= 0 && out >= 0);
    while ((n = sendfile(out, in, NULL, (size_t)1024 * 1024)) > 0)
        ;
    assert_int_equal(n, 0);
    assert_int_equal(fchmod(out, 0755), 0);
}

static void test_account(void **state)
{
    const struct scratch *s = *state;
    char name[] = "test";
    char mode[] = "account";
    char text[256];
    struct kt_spawn what = plain((char *[]){name, mode, NULL});
    char copy[128];

    (void)snprintf(copy, sizeof(copy), "%s/child", s->path);
    copy_self(copy);
    what.path = copy;
    what.account = (struct kt_account){.uid = FOREIGN_UID, .gid = FOREIGN_GID, .groups = {7001, 7002}, .n_groups = 2};
    if (am_root()) {
        assert_int_equal(spawn_and_wait(&what), 0);
        return;
    }
    capture_stderr(s, &what, 127, text);
    assert_non_null(strstr(text, "account: Operation not permitted\n"));
}

static void test_signals(void **state)
{
    char name[] = "test";
    char mode[] = "signals";
    struct kt_spawn what = plain((char *[]){name, mode, NULL});
    sigset_t some;
    sigset_t before;
    sigset_t after;

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGALRM, SIG_IGN);
    (void)sigemptyset(&some);
    (void)sigaddset(&some, SIGTERM);
    (void)sigaddset(&some, SIGCHLD);
    assert_int_equal(sigprocmask(SIG_SETMASK, &some, &before), 0);
    assert_int_equal(spawn_and_wait(&what), 0);
    assert_int_equal(sigprocmask(SIG_SETMASK, &before, &after), 0);
    assert_true(sigismember(&after, SIGTERM) == 1 && sigismember(&after, SIGINT) == 0); /* ours are as before */
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGALRM, SIG_DFL);
}

static void test_exec_fails(void **state)
{
    const struct scratch *s = *state;
    char name[] = "test";
    char text[256];
    char path[128];
    struct kt_spawn what = plain((char *[]){name, NULL});

    (void)snprintf(path, sizeof(path), "%s/none", s->path);
    what.path = path;
    capture_stderr(s, &what, 127, text);
    char expected[256];
    (void)snprintf(expected, sizeof(expected), "keyturn: cannot start %s: exec: No such file or directory\n", path);
    assert_string_equal(text, expected);
    (void)snprintf(path, sizeof(path), "%s", s->path);
    capture_stderr(s, &what, 127, text);
    assert_non_null(strstr(text, "exec: Permission denied\n"));
}

static void test_wrong_use(void **state)
{
    const int fds[KT_SPAWN_FDS_MAX + 1] = {0};
    char name[] = "test";
    struct kt_spawn what = plain((char *[]){name, NULL});
    struct kt_error err = KT_ERROR_INIT;
    pid_t pid = -7;

    (void)state;
    what.fds = fds;
    what.n_fds = KT_ARRAY_LEN(fds);
    assert_false(kt_spawn(&what, &pid, &err));
    assert_int_equal(err.code, KT_E_INTERNAL);
    what.n_fds = 0;
    what.path = "sh";
    assert_false(kt_spawn(&what, &pid, &err));
    assert_int_equal(pid, -7);
    what.path = self;
    what.fds = (const int[]){987654};
    what.n_fds = 1;
    assert_true(kt_spawn(&what, &pid, &err));
    assert_int_equal(wait_for(pid), 127);
}

static void test_account_numbers(void **state)
{
    static const struct {
        const char *name;
        bool ok;
        uid_t uid;
        gid_t gid;
    } table[] = {
        {"0:0", true, 0, 0},
        {"1:2", true, 1, 2},
        {"0001:2", true, 1, 2},
        {"4294967294:4294967294", true, 4294967294u, 4294967294u},
        {"4294967295:0", false, 0, 0},
        {"0:4294967295", false, 0, 0},
        {"4294967296:0", false, 0, 0},
        {"18446744073709551617:0", false, 0, 0},
        {":", false, 0, 0},
        {"1:", false, 0, 0},
        {":1", false, 0, 0},
        {"-1:0", false, 0, 0},
        {"+1:0", false, 0, 0},
        {" 1:2", false, 0, 0},
        {"1:2 ", false, 0, 0},
        {"1:2:3", false, 0, 0},
        {"0x1:2", false, 0, 0},
        {"root:root", false, 0, 0},
        {"", false, 0, 0},
        {"no-such-account-here", false, 0, 0},
        {"12345", false, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_account account = {.uid = 42};
        assert_int_equal(kt_account_find(table[i].name, &account, &err), table[i].ok);
        assert_int_equal(account.uid, table[i].ok ? table[i].uid : 42);
        assert_int_equal(account.gid, table[i].gid);
        assert_int_equal(account.n_groups, 0);
        assert_int_equal(err.code, table[i].ok ? KT_OK : KT_E_CONFIG);
    }
}

static void test_account_name(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_account account = {.uid = 42};

    (void)state;
    assert_true(kt_account_find("root", &account, &err));
    assert_int_equal(account.uid, 0);
    assert_int_equal(account.gid, 0);
    assert_true(account.n_groups >= 1);
    assert_false(kt_account_find("no-such-account-here", &account, &err));
    expect_error(&err, KT_E_CONFIG, "there is no account \"no-such-account-here\"");
    assert_true(err.hint[0] != '\0');
}

/* What the program at P/from answers to "path relative"; its exit status. */
static int ask_path(const struct scratch *s, const char *from, char *mode, char *relative, char ret[PATH_MAX])
{
    char program[PATH_MAX];
    int fds[2];

    (void)snprintf(program, sizeof(program), "%s/P/%s/prog", s->path, from);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(fds[1], 1);
        (void)execv(program, (char *[]){program, mode, relative, NULL});
        _exit(126);
    }
    kt_fd_close(fds[1]);
    ssize_t len = read(fds[0], ret, PATH_MAX - 1);
    kt_fd_close(fds[0]);
    assert_true(len >= 0);
    ret[len] = '\0';
    return wait_for(pid);
}

/* A tree like the installed one, with this program in it. */
static void install(const struct scratch *s)
{
    static const char *const dirs[] = {"P", "P/bin", "P/sbin", "P/libexec", "P/libexec/keyturn"};

    for (size_t i = 0; i < KT_ARRAY_LEN(dirs); i++)
        assert_int_equal(mkdirat(s->dir, dirs[i], 0755), 0);
    copy_self(scratch_name(s, "P/bin/prog"));
    copy_self(scratch_name(s, "P/sbin/prog"));
    copy_self(scratch_name(s, "P/libexec/keyturn/prog"));
    scratch_put(s, "P/bin/plain", "text", 0644);
}

static void test_program_path(void **state)
{
    static const char *const places[] = {"bin", "sbin", "libexec/keyturn"};
    static const char *const wrong[] = {"libexec/keyturn/none", "libexec/keyturn", "bin/plain"};
    const struct scratch *s = *state;
    char mode[] = "path";
    char tight[] = "tight-path";
    char path[PATH_MAX];
    char expected[PATH_MAX];
    char relative[64];

    install(s);
    for (size_t i = 0; i < KT_ARRAY_LEN(places) * KT_ARRAY_LEN(places); i++) {
        const char *to = places[i % KT_ARRAY_LEN(places)];
        (void)snprintf(relative, sizeof(relative), "%s/prog", to);
        (void)snprintf(expected, sizeof(expected), "%s/P/%s/prog", s->path, to);
        assert_int_equal(ask_path(s, places[i / KT_ARRAY_LEN(places)], mode, relative, path), 0);
        assert_string_equal(path, expected);
        assert_int_equal(ask_path(s, places[i / KT_ARRAY_LEN(places)], tight, relative, path), 0);
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(wrong); i++) {
        (void)snprintf(relative, sizeof(relative), "%s", wrong[i]);
        assert_int_equal(ask_path(s, "bin", mode, relative, path), 3);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_fds),          SCRATCH_TEST(test_no_fds),          SCRATCH_TEST(test_same_fd_thrice),
        SCRATCH_TEST(test_account),      SCRATCH_TEST(test_signals),         SCRATCH_TEST(test_exec_fails),
        SCRATCH_TEST(test_wrong_use),    SCRATCH_TEST(test_account_numbers), SCRATCH_TEST(test_account_name),
        SCRATCH_TEST(test_program_path),
    };

    if (argc > 1)
        exit(child(argc, argv));
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
