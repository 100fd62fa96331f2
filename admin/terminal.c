/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/terminal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

#define LINE_MAX_LEN 255u

int kt_terminal_open(struct kt_error *err)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        kt_fail(err, KT_E_USAGE, "there is no terminal to ask on");
        kt_error_hint(err, "in a script, give the recovery key with --key-file FILE, or - for standard input");
    }
    return fd;
}

struct kt_secret *kt_line_read(int fd, ssize_t (*get)(int fd, uint8_t *ret), struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *line = kt_secret_new(LINE_MAX_LEN + 1, err);
    size_t len = 0;
    if (!line)
        return NULL;
    for (;;) {
        uint8_t byte = 0;
        ssize_t got = get(fd, &byte);
        if (got < 0) {
            kt_fail_errno(err, KT_E_IO, "reading the recovery key");
            return NULL;
        }
        if (got == 0 || byte == '\n')
            break;
        if (len == LINE_MAX_LEN) {
            kt_fail(err, KT_E_RECOVERY_KEY, "that is too long for a recovery key: it has 14 groups of 4");
            return NULL;
        }
        kt_secret_bytes(line)[len++] = byte;
    }
    return kt_secret_new_copy(kt_secret_view(line), len > 0 ? len : 1, err);
}

/* What follows is readpassphrase(3) with one more care: ppoll(2), so that no signal comes between a look and a wait. */

static const struct {
    int number;
    bool stops; /* and what we asked for is asked again when we go on */
} watched[] = {
    {SIGINT, false}, {SIGQUIT, false}, {SIGTERM, false}, {SIGHUP, false},
    {SIGTSTP, true}, {SIGTTIN, true},  {SIGTTOU, true},
};
static volatile sig_atomic_t caught[KT_ARRAY_LEN(watched)];

static void catch_signal(int number)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(watched); i++) {
        if (watched[i].number == number)
            caught[i] = 1;
    }
}

static bool is_caught(int number)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(watched); i++) {
        if (caught[i] && (number == 0 || watched[i].number == number))
            return true;
    }
    return false;
}

static void catch_all(struct sigaction ret_before[KT_ARRAY_LEN(watched)])
{
    const struct sigaction catcher = {.sa_handler = catch_signal};
    for (size_t i = 0; i < KT_ARRAY_LEN(watched); i++) {
        caught[i] = 0;
        (void)sigaction(watched[i].number, NULL, &ret_before[i]);
        if (ret_before[i].sa_handler != SIG_IGN) /* as nohup(1) wants it */
            (void)sigaction(watched[i].number, &catcher, NULL);
    }
}

/* Lets them do now what they were meant to do. True: one of them has stopped us for a while. */
static bool release_all(const struct sigaction before[KT_ARRAY_LEN(watched)])
{
    bool stopped = false;
    for (size_t i = 0; i < KT_ARRAY_LEN(watched); i++)
        (void)sigaction(watched[i].number, &before[i], NULL);
    for (size_t i = 0; i < KT_ARRAY_LEN(watched); i++) {
        if (!caught[i])
            continue;
        (void)raise(watched[i].number);
        stopped = stopped || watched[i].stops;
    }
    return stopped;
}

/* Until there is something to read, or a signal was caught. */
static void wait_for_input(int fd)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};
    sigset_t all, before;
    (void)sigemptyset(&all);
    for (size_t i = 0; i < KT_ARRAY_LEN(watched); i++)
        (void)sigaddset(&all, watched[i].number);
    (void)sigprocmask(SIG_BLOCK, &all, &before);
    while (!is_caught(0) && ppoll(&event, 1, NULL, &before) < 0 && errno == EINTR)
        continue;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
}

static ssize_t get_byte(int fd, uint8_t *ret)
{
    ssize_t got = -1;
    do {
        wait_for_input(fd);
        if (is_caught(0)) {
            errno = EINTR;
            return -1;
        }
        got = read(fd, ret, 1);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* In the background there is SIGTTOU, and nothing is changed: the terminal is somebody else's. */
static bool set_terminal(int fd, const struct termios *to)
{
    int rc = -1;
    do
        rc = tcsetattr(fd, TCSAFLUSH, to);
    while (rc < 0 && errno == EINTR && !is_caught(SIGTTOU));
    return rc == 0;
}

/* tcsetattr(3) is content when it could do anything of what it was asked for. */
static bool is_quiet(int fd)
{
    struct termios now;
    return tcgetattr(fd, &now) == 0 && !(now.c_lflag & ECHO);
}

/* The prompt comes when echo is off: what is typed after it is neither shown nor flushed away. */
static struct kt_secret *read_quietly(int fd, const struct termios *before, const char *prompt, struct kt_error *err)
{
    struct termios quiet = *before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    if (!set_terminal(fd, &quiet) || !is_quiet(fd)) {
        kt_fail_errno(err, KT_E_IO, "the terminal: its echo cannot be turned off");
        return NULL;
    }
    (void)!write(fd, prompt, strlen(prompt));
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *line = kt_line_read(fd, get_byte, err);
    if (!set_terminal(fd, before) && !is_caught(SIGTTOU)) {
        kt_fail_errno(err, KT_E_IO, "the terminal: its echo cannot be turned on again");
        kt_error_hint(err, "type, though it does not show: stty echo");
        return NULL;
    }
    (void)!write(fd, "\n", 1);
    return KT_TAKE_PTR(line);
}

struct kt_secret *kt_terminal_read_secret(int fd, const char *prompt, struct kt_error *err)
{
    struct kt_secret *line = NULL;
    bool stopped = false;
    do {
        struct sigaction actions[KT_ARRAY_LEN(watched)];
        struct termios before;
        if (tcgetattr(fd, &before) != 0) {
            kt_fail_errno(err, KT_E_IO, "the terminal");
            return NULL;
        }
        catch_all(actions);
        line = read_quietly(fd, &before, prompt, err);
        stopped = release_all(actions);
    } while (!line && stopped);
    return line;
}
