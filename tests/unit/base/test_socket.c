/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/ipc.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MS UINT64_C(1000000)

static const struct kt_listen_options plain = {.mode = 0660, .uid = (uid_t)-1, .gid = (gid_t)-1, .backlog = 8};

static uint64_t in_ms(uint64_t ms)
{
    return kt_clock_monotonic_ns() + ms * MS;
}

/* A connection from end to end. */
static void expect_answers(int listener, const char *path)
{
    struct kt_error err = KT_ERROR_INIT;
    char byte = 0;
    int client = kt_socket_connect(path, in_ms(2000), &err);

    assert_true(client >= 0);
    assert_int_equal(fcntl(client, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
    assert_int_equal(send(client, "x", 1, 0), 1);
    int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    assert_int_equal(read(server, &byte, 1), 1);
    kt_fd_close(server);
    kt_fd_close(client);
}

static void test_mode_and_owner(void **state)
{
    static const mode_t modes[] = {0600, 0660, 0666, 0700, 0};
    static const mode_t masks[] = {0, 022, 0777};
    const struct scratch *s = *state;

    for (size_t i = 0; i < KT_ARRAY_LEN(modes) * KT_ARRAY_LEN(masks); i++) {
        struct kt_listen_options options = plain;
        struct kt_error err = KT_ERROR_INIT;
        struct stat st;
        mode_t mask = masks[i / KT_ARRAY_LEN(modes)];
        options.mode = modes[i % KT_ARRAY_LEN(modes)];
        options.uid = am_root() ? FOREIGN_UID : geteuid();
        options.gid = am_root() ? FOREIGN_GID : getegid();
        (void)umask(mask);
        int fd = kt_socket_listen(scratch_name(s, "s"), &options, &err);
        assert_true(fd >= 0);
        assert_int_equal(umask(022), mask);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        assert_int_equal(lstat(scratch_name(s, "s"), &st), 0);
        assert_int_equal(st.st_mode, S_IFSOCK | options.mode);
        assert_int_equal(st.st_uid, options.uid);
        assert_int_equal(st.st_gid, options.gid);
        kt_fd_close(fd);
        assert_int_equal(unlinkat(s->dir, "s", 0), 0);
    }
}

static void test_owner_that_cannot_be_given(void **state)
{
    const struct scratch *s = *state;
    struct kt_listen_options options = plain;
    struct kt_error err = KT_ERROR_INIT;

    options.uid = 0;
    options.gid = 0;
    int fd = kt_socket_listen(scratch_name(s, "s"), &options, &err);
    assert_int_equal(fd >= 0, am_root());
    if (!am_root()) {
        expect_error(&err, KT_E_PERMISSION, "cannot give it another owner");
        scratch_expect(s, "s", NULL);
    }
    kt_fd_close(fd);
}

static void test_stale_is_replaced(void **state)
{
    const struct scratch *s = *state;
    const char *path = scratch_name(s, "s");
    struct kt_error err = KT_ERROR_INIT;

    for (int round = 0; round < 3; round++) {
        int fd = kt_socket_listen(path, &plain, &err);
        assert_true(fd >= 0);
        expect_answers(fd, path);
        kt_fd_close(fd); /* the name stays: stale */
    }
    assert_int_equal(scratch_count(s, ""), 2); /* it, and its lock */
}

static void test_live_is_left(void **state)
{
    const struct scratch *s = *state;
    struct kt_listen_options options = plain;
    struct kt_error err = KT_ERROR_INIT;
    const char *path = scratch_name(s, "s");

    options.backlog = 0;
    int fd = kt_socket_listen(path, &options, &err);
    for (int round = 0; round < 4; round++) { /* the last ones find the queue full */
        assert_int_equal(kt_socket_listen(path, &plain, &err), -1);
        expect_error(&err, KT_E_BUSY, path);
    }
    int queued = -1;
    while ((queued = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        kt_fd_close(queued);
    expect_answers(fd, path);
    kt_fd_close(fd);
}

static int bind_other(const char *path, int type)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    (void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%.100s", path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
    return fd;
}

static void test_live_of_another_type(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    int fd = bind_other(scratch_name(s, "s"), SOCK_DGRAM);

    assert_int_equal(kt_socket_listen(scratch_name(s, "s"), &plain, &err), -1);
    expect_error(&err, KT_E_BUSY, scratch_name(s, "s"));
    kt_fd_close(fd);
}

static void test_refused(void **state)
{
    static const struct {
        const char *name;
        enum kt_code code;
        const char *part;
    } table[] = {
        {"f", KT_E_PERMISSION, "f: is a regular file, expected a socket"},
        {"dir", KT_E_PERMISSION, "dir: is a directory, expected a socket"},
        {"link", KT_E_PERMISSION, "link: is a symbolic link, expected a socket"},
        {"none/s", KT_E_IO, "none/s"},
        {"f/s", KT_E_IO, "f/s"},
    };
    const struct scratch *s = *state;
    int stale = bind_other(scratch_name(s, "stale"), SOCK_STREAM);

    kt_fd_close(stale);
    scratch_put(s, "f", "text", 0600);
    assert_int_equal(mkdirat(s->dir, "dir", 0700), 0);
    assert_int_equal(symlinkat("stale", s->dir, "link"), 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_error err = KT_ERROR_INIT;
        assert_int_equal(kt_socket_listen(scratch_name(s, table[i].name), &plain, &err), -1);
        expect_error(&err, table[i].code, table[i].part);
    }
    scratch_expect(s, "f", "text");
}

static void test_names(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    char path[200];

    (void)snprintf(path, sizeof(path), "%s/", s->path);
    memset(path + strlen(path), 'n', sizeof(path) - strlen(path));
    path[108] = '\0';
    assert_int_equal(kt_socket_listen(path, &plain, &err), -1);
    expect_error(&err, KT_E_CONFIG, "has 108 bytes, and the path of a socket may have 107");
    assert_int_equal(kt_socket_connect(path, in_ms(1000), &err), -1);
    assert_int_equal(err.code, KT_E_CONFIG);
    path[107] = '\0';
    int fd = kt_socket_listen(path, &plain, &err);
    assert_true(fd >= 0);
    expect_answers(fd, path);
    kt_fd_close(fd);
    assert_int_equal(kt_socket_listen("s", &plain, &err), -1);
    expect_error(&err, KT_E_CONFIG, "expected an absolute path");
    assert_int_equal(kt_socket_listen("", &plain, &err), -1);
    assert_int_equal(kt_socket_listen("@", &plain, &err), -1);
    assert_int_equal(kt_socket_listen("/", &plain, &err), -1);
}

static void test_abstract(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    char path[100];

    (void)snprintf(path, sizeof(path), "@%s", s->path + 1);
    int fd = kt_socket_listen(path, &plain, &err);
    assert_true(fd >= 0);
    expect_answers(fd, path);
    assert_int_equal(kt_socket_listen(path, &plain, &err), -1);
    expect_error(&err, KT_E_BUSY, path);
    kt_fd_close(fd);
    assert_int_equal(kt_socket_connect(path, in_ms(1000), &err), -1);
    assert_int_equal(err.code, KT_E_UNREACHABLE);
    fd = kt_socket_listen(path, &plain, &err);
    assert_true(fd >= 0);
    kt_fd_close(fd);
    assert_int_equal(scratch_count(s, ""), 0);
}

/* Status 0: it is ours, until the parent closes `stop`; 1: taken. */
static int start_one(const char *path, int start, int stop, int done)
{
    struct kt_error err = KT_ERROR_INIT;
    char byte = 0;

    if (read(start, &byte, 1) != 0)
        return 3;
    int fd = kt_socket_listen(path, &plain, &err);
    if (write(done, "x", 1) != 1 || read(stop, &byte, 1) != 0)
        return 4;
    if (fd >= 0)
        return 0;
    return err.code == KT_E_BUSY ? 1 : 2;
}

static void race_to_listen(const char *path)
{
    pid_t pids[6];
    int start[2] = {-1, -1};
    int stop[2] = {-1, -1};
    int done[2] = {-1, -1};
    int winners = 0;
    char byte = 0;

    assert_true(pipe2(start, O_CLOEXEC) == 0 && pipe2(stop, O_CLOEXEC) == 0 && pipe2(done, O_CLOEXEC) == 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(pids); i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            (void)close(start[1]);
            (void)close(stop[1]);
            _exit(start_one(path, start[0], stop[0], done[1]));
        }
    }
    (void)close(start[0]);
    (void)close(start[1]);
    for (size_t i = 0; i < KT_ARRAY_LEN(pids); i++)
        assert_int_equal(read(done[0], &byte, 1), 1);
    int client = kt_socket_connect(path, in_ms(2000), NULL); /* the name leads to the winner */
    assert_true(client >= 0);
    kt_fd_close(client);
    (void)close(stop[0]);
    (void)close(stop[1]);
    (void)close(done[0]);
    (void)close(done[1]);
    for (size_t i = 0; i < KT_ARRAY_LEN(pids); i++) {
        int status = wait_for(pids[i]);
        assert_in_range(status, 0, 1);
        winners += status == 0;
    }
    assert_int_equal(winners, 1);
}

static void test_one_of_several_starters(void **state)
{
    const struct scratch *s = *state;

    for (int round = 0; round < 20; round++) /* from the second on, over a stale socket */
        race_to_listen(scratch_name(s, "s"));
}

static int connect_forbidden(void *arg)
{
    const struct scratch *s = arg;
    struct kt_error err = KT_ERROR_INIT;

    if (kt_socket_connect(scratch_name(s, "s"), in_ms(1000), &err) >= 0 || err.code != KT_E_UNREACHABLE ||
        err.sys_errno != EACCES || !strstr(err.message, "may not connect") || err.hint[0] == '\0')
        return 1;
    if (kt_socket_listen(scratch_name(s, "s"), &plain, &err) >= 0 || err.code != KT_E_PERMISSION)
        return 2;
    return 0;
}

static void test_connect_fails(void **state)
{
    const struct scratch *s = *state;
    struct kt_listen_options options = plain;
    struct kt_error err = KT_ERROR_INIT;

    assert_int_equal(kt_socket_connect(scratch_name(s, "s"), in_ms(1000), &err), -1);
    expect_error(&err, KT_E_UNREACHABLE, "there is no such socket");
    assert_non_null(strstr(err.hint, "systemctl start keyturnd"));
    kt_fd_close(kt_socket_listen(scratch_name(s, "s"), &plain, &err));
    assert_int_equal(kt_socket_connect(scratch_name(s, "s"), in_ms(1000), &err), -1);
    expect_error(&err, KT_E_UNREACHABLE, "nobody listens there any more");
    assert_non_null(strstr(err.hint, "systemctl start keyturnd"));
    scratch_put(s, "f", "text", 0666);
    assert_int_equal(kt_socket_connect(scratch_name(s, "f"), in_ms(1000), &err), -1);
    assert_int_equal(err.code, KT_E_UNREACHABLE);
    options.mode = 0;
    int fd = kt_socket_listen(scratch_name(s, "s"), &options, &err);
    assert_int_equal(fchmodat(s->dir, "s.lock", am_root() ? 0600 : 0, 0), 0);
    assert_int_equal(as_plain_user(connect_forbidden, *state), 0);
    kt_fd_close(fd);
}

/* A daemon that is alive but does not accept: its queue fills. */
static int fill_queue(const char *path, int fds[16])
{
    struct kt_error err = KT_ERROR_INIT;
    int n = 0;

    do
        fds[n] = kt_socket_connect(path, in_ms(50), &err);
    while (fds[n] >= 0 && ++n < 16);
    assert_int_equal(err.code, KT_E_TIMEOUT);
    return n;
}

static void *accept_later(void *arg)
{
    const int *listener = arg;
    const struct timespec later = {.tv_nsec = 50000000};

    (void)nanosleep(&later, NULL);
    kt_fd_close(accept4(*listener, NULL, NULL, SOCK_CLOEXEC));
    return NULL;
}

static void test_full_queue(void **state)
{
    const struct scratch *s = *state;
    struct kt_listen_options options = plain;
    struct kt_error err = KT_ERROR_INIT;
    const char *path = scratch_name(s, "s");
    pthread_t thread;
    int fds[16] = {0};

    options.backlog = 1;
    int listener = kt_socket_listen(path, &options, &err);
    int n = fill_queue(path, fds);
    uint64_t start = kt_clock_monotonic_ns();
    assert_int_equal(kt_socket_connect(path, start + 100 * MS, &err), -1);
    uint64_t took = kt_clock_monotonic_ns() - start;
    expect_error(&err, KT_E_TIMEOUT, "did not accept the connection in time");
    assert_true(took >= 90 * MS && took < 5000 * MS);
    assert_int_equal(kt_socket_connect(path, 1, &err), -1); /* a deadline long ago */
    assert_int_equal(err.code, KT_E_TIMEOUT);
    assert_int_equal(pthread_create(&thread, NULL, accept_later, &listener), 0);
    int late = kt_socket_connect(path, UINT64_MAX, &err);
    assert_true(late >= 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    kt_fd_close(late);
    while (n > 0)
        kt_fd_close(fds[--n]);
    kt_fd_close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_mode_and_owner),
        SCRATCH_TEST(test_owner_that_cannot_be_given),
        SCRATCH_TEST(test_stale_is_replaced),
        SCRATCH_TEST(test_live_is_left),
        SCRATCH_TEST(test_live_of_another_type),
        SCRATCH_TEST(test_refused),
        SCRATCH_TEST(test_names),
        SCRATCH_TEST(test_abstract),
        SCRATCH_TEST(test_one_of_several_starters),
        SCRATCH_TEST(test_connect_fails),
        SCRATCH_TEST(test_full_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
