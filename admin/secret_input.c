/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/secret_input.h"

#include "base/file.h"
#include "keystore/recovery_key.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

#define TYPED_MAX 256u

int kt_terminal_open(struct kt_error *err)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        kt_fail(err, KT_E_USAGE, "there is no terminal to ask on");
        kt_error_hint(err, "in a script, give the recovery key with --key-file FILE, or - for standard input");
    }
    return fd;
}

/* The signal that ended the reading; 0: none. */
static volatile sig_atomic_t caught;

/* Reads up to a line end or end of file; *ret_len without it. */
static bool read_line(int fd, uint8_t *to, size_t cap, size_t *ret_len, struct kt_error *err)
{
    size_t len = 0;
    for (;;) {
        uint8_t byte = 0;
        ssize_t got = read(fd, &byte, 1);
        if (got < 0 && errno == EINTR && caught == 0)
            continue;
        if (got < 0)
            return kt_fail_errno(err, KT_E_IO, "reading the recovery key");
        if (got == 0 || byte == '\n')
            break;
        if (len == cap)
            return kt_fail(err, KT_E_RECOVERY_KEY, "that is too long for a recovery key: it has 14 groups of 4");
        to[len++] = byte;
    }
    *ret_len = len;
    return true;
}

/* A line as long as it is; one that is empty is one NUL, which is no recovery key either. */
static struct kt_secret *trimmed(const struct kt_secret *line, size_t len, struct kt_error *err)
{
    return kt_secret_new_copy(kt_secret_view(line), len > 0 ? len : 1, err);
}

/* With echo off, a ^C must not leave the terminal like that: the signal only interrupts the reading, and is raised
 * again once the terminal is as it was. */
static const int ends[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};

static void catch_signal(int number)
{
    caught = number;
}

static void catch_all(struct sigaction ret_before[KT_ARRAY_LEN(ends)])
{
    const struct sigaction catcher = {.sa_handler = catch_signal};
    caught = 0;
    for (size_t i = 0; i < KT_ARRAY_LEN(ends); i++)
        (void)sigaction(ends[i], &catcher, &ret_before[i]);
}

static void catch_none(const struct sigaction before[KT_ARRAY_LEN(ends)])
{
    for (size_t i = 0; i < KT_ARRAY_LEN(ends); i++)
        (void)sigaction(ends[i], &before[i], NULL);
    if (caught != 0)
        (void)raise(caught);
}

/* The prompt comes when echo is off: what is typed after it is neither shown nor flushed away. */
static bool read_quietly(int fd, const char *prompt, struct kt_secret *typed, size_t *ret_len, struct kt_error *err)
{
    struct sigaction actions[KT_ARRAY_LEN(ends)];
    struct termios before;
    if (tcgetattr(fd, &before) != 0) {
        (void)!write(fd, prompt, strlen(prompt));
        return read_line(fd, kt_secret_bytes(typed), TYPED_MAX - 1, ret_len, err);
    }
    struct termios quiet = before;
    quiet.c_lflag &= (tcflag_t)~ECHO;
    catch_all(actions);
    (void)tcsetattr(fd, TCSAFLUSH, &quiet);
    (void)!write(fd, prompt, strlen(prompt));
    bool done = read_line(fd, kt_secret_bytes(typed), TYPED_MAX - 1, ret_len, err);
    (void)tcsetattr(fd, TCSAFLUSH, &before);
    (void)!write(fd, "\n", 1);
    catch_none(actions);
    return done;
}

struct kt_secret *kt_terminal_read_secret(int fd, const char *prompt, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *typed = kt_secret_new(TYPED_MAX, err);
    size_t len = 0;
    if (!typed)
        return NULL;
    if (!read_quietly(fd, prompt, typed, &len, err))
        return NULL;
    return trimmed(typed, len, err);
}

/* A link, or what a shell makes of <(...), is no file that only we may read. */
static struct kt_secret *read_file(const char *key_file, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = TYPED_MAX, .owner = geteuid(), .forbidden_mode = 0077};
    struct kt_error why = KT_ERROR_INIT;
    struct kt_secret *text = kt_file_read_secret(AT_FDCWD, key_file, &rules, &why);
    if (text)
        return text;
    if (why.code == KT_E_PERMISSION && why.hint[0] == '\0')
        kt_error_hint(&why, "--key-file - reads the recovery key from standard input, whatever that is");
    if (err)
        *err = why;
    return NULL;
}

static struct kt_secret *read_from(const char *key_file, const char *prompt, struct kt_error *err)
{
    if (!key_file) {
        KT_CLEANUP(kt_fd_close_p) int fd = kt_terminal_open(err);
        return fd < 0 ? NULL : kt_terminal_read_secret(fd, prompt, err);
    }
    if (strcmp(key_file, "-") == 0) {
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *typed = kt_secret_new(TYPED_MAX, err);
        size_t len = 0;
        if (!typed || !read_line(STDIN_FILENO, kt_secret_bytes(typed), TYPED_MAX - 1, &len, err))
            return NULL;
        return trimmed(typed, len, err);
    }
    return read_file(key_file, err);
}

struct kt_secret *kt_recovery_key_ask(const char *key_file, const char *prompt, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *text = read_from(key_file, prompt, err);
    return text ? kt_recovery_key_parse(text, err) : NULL;
}
