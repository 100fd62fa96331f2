/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files: what is opened, and what is refused. */
#include "base/file.h"
#include "base/secret.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static const struct kt_file_rules any = {.max = (size_t)1024 * 1024, .owner = KT_ANY_UID};

static void put_pattern(const struct scratch *s, const char *name, size_t len)
{
    FILE *f = fopen(scratch_name(s, name), "we");

    assert_non_null(f);
    for (size_t i = 0; i < len; i++)
        assert_int_not_equal(fputc((int)(i % 251), f), EOF);
    assert_int_equal(fclose(f), 0);
}

static void test_read_sizes(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 4095, 4096, 4097, 65536, 300001, (size_t)1024 * 1024};
    const struct scratch *s = *state;

    for (size_t i = 0; i < KT_ARRAY_LEN(sizes); i++) {
        struct kt_error err = KT_ERROR_INIT;
        KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
        put_pattern(s, "f", sizes[i]);
        assert_true(kt_file_read(s->dir, "f", &any, &bytes, &err));
        assert_int_equal(bytes.len, sizes[i]);
        assert_int_equal(bytes.data[bytes.len], 0);
        for (size_t at = 0; at < bytes.len; at++)
            assert_true(bytes.data[at] == at % 251);
    }
}

static void test_read_max(void **state)
{
    const struct scratch *s = *state;
    struct kt_file_rules rules = any;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};

    scratch_put(s, "f", "12345678", 0600);
    rules.max = 7;
    assert_false(kt_file_read(s->dir, "f", &rules, &bytes, &err));
    expect_error(&err, KT_E_IO, "larger than 7 bytes");
    assert_null(bytes.data);
    rules.max = 8;
    assert_true(kt_file_read(s->dir, "f", &rules, &bytes, &err));
    assert_int_equal(bytes.len, 8);
    kt_bytes_done(&bytes);
    rules.max = SIZE_MAX;
    assert_true(kt_file_read(s->dir, "f", &rules, &bytes, &err));
}

/* Files of the kernel's have no size in their stat. */
static void test_read_without_size(void **state)
{
    struct kt_file_rules rules = any;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};

    (void)state;
    assert_true(kt_file_read(AT_FDCWD, "/proc/self/status", &rules, &bytes, &err));
    assert_true(bytes.len > 100 && strlen((const char *)bytes.data) == bytes.len);
    rules.max = 10;
    assert_false(kt_file_read(AT_FDCWD, "/proc/self/status", &rules, &bytes, &err));
    expect_error(&err, KT_E_IO, "larger than 10 bytes");
    assert_null(kt_file_read_secret(AT_FDCWD, "/proc/self/status", &any, &err));
}

static void test_read_absent(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    enum kt_file_state found = KT_FILE_READ;
    struct kt_bytes bytes = {.data = NULL};

    assert_true(kt_file_read_if(s->dir, "none", &any, &bytes, &found, &err));
    assert_int_equal(found, KT_FILE_ABSENT);
    assert_true(kt_file_read_if(s->dir, "no/where", &any, &bytes, &found, &err));
    assert_int_equal(found, KT_FILE_ABSENT);
    assert_null(bytes.data);
    assert_false(kt_file_read(s->dir, "none", &any, &bytes, &err));
    expect_error(&err, KT_E_IO, scratch_name(s, "none"));
    assert_int_equal(err.sys_errno, ENOENT);
    assert_null(kt_file_read_secret(s->dir, "none", &any, &err));
    expect_error(&err, KT_E_IO, scratch_name(s, "none"));
    assert_false(kt_file_read(s->dir, "none", &any, &bytes, NULL));
}

static void make_socket(const struct scratch *s, const char *name)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%.20s", s->path, name);
    assert_int_equal(bind(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(close(fd), 0);
}

static void test_read_kinds(void **state)
{
    static const struct {
        const char *path;
        const char *part;
    } table[] = {
        {"link", "link: is a symbolic link, expected a regular file"},
        {"dangling", "dangling: is a symbolic link, expected a regular file"},
        {"loop", "loop: is a symbolic link, expected a regular file"},
        {"fifo", "fifo: is a named pipe, expected a regular file"},
        {"socket", "socket: is a socket, expected a regular file"},
        {".", "is a directory, expected a regular file"},
        {"/dev/null", "/dev/null: is a device, expected a regular file"},
    };
    const struct scratch *s = *state;

    scratch_put(s, "f", "text", 0600);
    assert_int_equal(symlinkat("f", s->dir, "link"), 0);
    assert_int_equal(symlinkat("none", s->dir, "dangling"), 0);
    assert_int_equal(symlinkat("loop", s->dir, "loop"), 0);
    assert_int_equal(mkfifoat(s->dir, "fifo", 0600), 0);
    make_socket(s, "socket");
    (void)alarm(10); /* a blocking open of the pipe would hang */
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_error err = KT_ERROR_INIT;
        enum kt_file_state found = KT_FILE_READ;
        struct kt_bytes bytes = {.data = NULL};
        assert_false(kt_file_read_if(s->dir, table[i].path, &any, &bytes, &found, &err));
        expect_error(&err, KT_E_PERMISSION, table[i].part);
        assert_null(kt_file_read_secret(s->dir, table[i].path, &any, &err));
        expect_error(&err, KT_E_PERMISSION, table[i].part);
    }
    (void)alarm(0);
}

/* Links in other components are followed: /var/run is one. */
static void test_read_through_linked_directory(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};

    scratch_put(s, "f", "text", 0600);
    assert_int_equal(symlinkat(".", s->dir, "here"), 0);
    assert_true(kt_file_read(s->dir, "here/f", &any, &bytes, &err));
    kt_bytes_done(&bytes);
    assert_true(kt_file_read(AT_FDCWD, scratch_name(s, "here/f"), &any, &bytes, &err));
    assert_string_equal((const char *)bytes.data, "text");
}

static bool read_as_owned_by(const struct scratch *s, const char *path, uid_t owner, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = 65536, .owner = owner};
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};

    return kt_file_read(s->dir, path, &rules, &bytes, err);
}

static void test_read_owner(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    char hint[256];
    uid_t owner = am_root() ? FOREIGN_UID : geteuid();

    scratch_put(s, "f", "text", 0644);
    if (am_root())
        assert_int_equal(fchownat(s->dir, "f", owner, 0, 0), 0);
    assert_true(read_as_owned_by(s, "f", owner, &err));
    assert_true(read_as_owned_by(s, "f", KT_ANY_UID, &err));
    assert_true(read_as_owned_by(s, "/etc/passwd", FOREIGN_UID + 1, &err)); /* root's is always right */
    assert_false(read_as_owned_by(s, "f", owner + 1, &err));
    (void)snprintf(hint, sizeof(hint), "is owned by uid %u, must be owned by uid %u or root", (unsigned)owner,
                   (unsigned)owner + 1);
    expect_error(&err, KT_E_PERMISSION, hint);
    assert_false(read_as_owned_by(s, "f", 0, &err));
    expect_error(&err, KT_E_PERMISSION, "must be owned by root");
    (void)snprintf(hint, sizeof(hint), "chown 0 %s", scratch_name(s, "f"));
    assert_string_equal(err.hint, hint);
}

static void test_read_mode(void **state)
{
    static const struct {
        mode_t mode;
        mode_t forbidden;
        const char *fix; /* NULL: fine */
    } table[] = {
        {0600, 0077, NULL},           {0400, 0077, NULL},
        {0644, 0022, NULL},           {0777, 0, NULL},
        {0640, 0077, "chmod 0600"},   {0604, 0077, "chmod 0600"},
        {0666, 0022, "chmod 0644"},   {0702, 0002, "chmod 0700"},
        {04755, 07000, "chmod 0755"},
    };
    const struct scratch *s = *state;

    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        const struct kt_file_rules rules = {.max = 64, .owner = KT_ANY_UID, .forbidden_mode = table[i].forbidden};
        struct kt_error err = KT_ERROR_INIT;
        KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
        char hint[256];
        scratch_put(s, "f", "text", table[i].mode);
        assert_int_equal(kt_file_read(s->dir, "f", &rules, &bytes, &err), table[i].fix == NULL);
        if (!table[i].fix)
            continue;
        (void)snprintf(hint, sizeof(hint), "%s %s", table[i].fix, scratch_name(s, "f"));
        assert_int_equal(err.code, KT_E_PERMISSION);
        assert_string_equal(err.hint, hint);
        (void)snprintf(hint, sizeof(hint), "has mode %04o", (unsigned)table[i].mode);
        assert_non_null(strstr(err.message, hint));
    }
}

static int read_forbidden(void *arg)
{
    const struct scratch *s = arg;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes bytes = {.data = NULL};

    if (kt_file_read(s->dir, "f", &any, &bytes, &err))
        return 1;
    return err.code == KT_E_PERMISSION && err.sys_errno == EACCES && strstr(err.message, "may not open it") ? 0 : 2;
}

static void test_read_forbidden(void **state)
{
    const struct scratch *s = *state;

    scratch_put(s, "f", "text", 0000);
    assert_int_equal(as_plain_user(read_forbidden, *state), 0);
}

static void test_read_secret(void **state)
{
    const struct scratch *s = *state;
    const struct kt_file_rules rules = {.max = SIZE_MAX, .owner = KT_ANY_UID, .forbidden_mode = 0077};
    struct kt_error err = KT_ERROR_INIT;

    scratch_put(s, "f", "0123456789abcdef", 0600);
    struct kt_secret *secret = kt_file_read_secret(s->dir, "f", &rules, &err);
    assert_non_null(secret);
    assert_int_equal(kt_secret_len(secret), 16);
    assert_memory_equal(kt_secret_view(secret), "0123456789abcdef", 16);
    kt_secret_free(secret);

    scratch_put(s, "f", "0123456789abcdef", 0640);
    assert_null(kt_file_read_secret(s->dir, "f", &rules, &err));
    expect_error(&err, KT_E_PERMISSION, "has mode 0640");
    scratch_put(s, "f", "", 0600);
    assert_null(kt_file_read_secret(s->dir, "f", &rules, &err));
    expect_error(&err, KT_E_IO, "is empty");
    put_pattern(s, "big", KT_SECRET_MAX + 1);
    assert_int_equal(fchmodat(s->dir, "big", 0600, 0), 0);
    assert_null(kt_file_read_secret(s->dir, "big", &rules, &err));
    expect_error(&err, KT_E_IO, "larger than 131072 bytes");
}

/* A child appends and cuts all the while; what is read is bounded, and a secret is never one of two sizes mixed. */
static int change_for_ever(void *arg)
{
    const struct scratch *s = arg;
    int fd = openat(s->dir, "f", O_WRONLY | O_APPEND | O_CLOEXEC);

    for (unsigned i = 0;; i++) {
        if (write(fd, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", 32) != 32)
            return 1;
        if (i % 100 == 99 && ftruncate(fd, 32) < 0)
            return 2;
    }
}

static void test_read_while_it_changes(void **state)
{
    const struct scratch *s = *state;
    const struct kt_file_rules rules = {.max = 2000, .owner = KT_ANY_UID};
    size_t n_read = 0;

    scratch_put(s, "f", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", 0600);
    pid_t pid = fork();
    if (pid == 0)
        _exit(change_for_ever(*state));
    for (int i = 0; i < 2000; i++) {
        struct kt_error err = KT_ERROR_INIT;
        KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *secret = kt_file_read_secret(s->dir, "f", &rules, &err);
        assert_true(secret || err.code == KT_E_IO);
        assert_true(!secret || (kt_secret_len(secret) % 32 == 0 && kt_secret_len(secret) <= rules.max));
        if (kt_file_read(s->dir, "f", &rules, &bytes, &err)) {
            assert_true(bytes.len <= rules.max);
            n_read++;
        } else {
            expect_error(&err, KT_E_IO, "larger than 2000 bytes");
        }
    }
    assert_true(n_read > 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(wait_for(pid), 1000 + SIGKILL);
}

static void test_fd_close_keeps_errno(void **state)
{
    (void)state;
    errno = ENOSPC;
    kt_fd_close(-1);
    kt_fd_close(987654);
    assert_int_equal(errno, ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_read_sizes),
        SCRATCH_TEST(test_read_max),
        SCRATCH_TEST(test_read_without_size),
        SCRATCH_TEST(test_read_absent),
        SCRATCH_TEST(test_read_kinds),
        SCRATCH_TEST(test_read_through_linked_directory),
        SCRATCH_TEST(test_read_owner),
        SCRATCH_TEST(test_read_mode),
        SCRATCH_TEST(test_read_forbidden),
        SCRATCH_TEST(test_read_secret),
        SCRATCH_TEST(test_read_while_it_changes),
        SCRATCH_TEST(test_fd_close_keeps_errno),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
