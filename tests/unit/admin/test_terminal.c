/* SPDX-License-Identifier: Apache-2.0 */
/* A line typed without echo, on a pseudo-terminal whose tcsetattr(3) fails, and is interrupted, as told (--wrap). */
#include "admin/terminal.h"
#include "tests/unit/base/scratch.h"

#include <errno.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define PATIENCE_S 60

int __real_tcsetattr(int fd, int when, const struct termios *to);
int __wrap_tcsetattr(int fd, int when, const struct termios *to);

/* What happens at the calls of one test, in order: an errno instead of the call, or 0; behind it, a signal, and what is
 * typed. */
struct step {
    int number;
    int signal;
    const char *typed;
};

static struct terminal {
    int master, slave;
    const struct step *steps;
    size_t n_steps, n_calls;
} terminal;

int __wrap_tcsetattr(int fd, int when, const struct termios *to)
{
    struct step step = {0};
    if (terminal.n_calls < terminal.n_steps)
        step = terminal.steps[terminal.n_calls];
    terminal.n_calls++;
    int rc = step.number ? -1 : __real_tcsetattr(fd, when, to);
    if (step.signal)
        assert_int_equal(raise(step.signal), 0);
    if (step.typed)
        assert_int_equal(write(terminal.master, step.typed, strlen(step.typed)), strlen(step.typed));
    errno = step.number;
    return rc;
}

static int open_terminal(void **state)
{
    (void)state;
    terminal = (struct terminal){0};
    (void)alarm(PATIENCE_S);
    return openpty(&terminal.master, &terminal.slave, NULL, NULL, NULL);
}

static int close_terminal(void **state)
{
    (void)state;
    (void)alarm(0);
    (void)close(terminal.master);
    (void)close(terminal.slave);
    return 0;
}

static bool echoes(void)
{
    struct termios now;
    assert_int_equal(tcgetattr(terminal.slave, &now), 0);
    return now.c_lflag & ECHO;
}

static struct kt_secret *ask(const struct step *steps, size_t n, struct kt_error *err)
{
    terminal.steps = steps;
    terminal.n_steps = n;
    return kt_terminal_read_secret(terminal.slave, "Key: ", err);
}
#define ASK(steps, err) ask((steps), KT_ARRAY_LEN(steps), (err))

/* The line came, and was not shown. */
static void expect_line(struct kt_secret *line, const char *text)
{
    char shown[64] = "";
    assert_non_null(line);
    assert_int_equal(kt_secret_len(line), strlen(text));
    assert_memory_equal(kt_secret_view(line), text, strlen(text));
    kt_secret_free(line);
    assert_true(read(terminal.master, shown, sizeof(shown) - 1) > 0);
    assert_non_null(strstr(shown, "Key: "));
    assert_null(strstr(shown, text));
    assert_true(echoes());
}

static void a_line_is_read_and_not_shown(void **state)
{
    (void)state;
    static const struct step steps[] = {{.typed = "abcd\n"}};
    expect_line(ASK(steps, NULL), "abcd");
    assert_int_equal(terminal.n_calls, 2);
}

static void what_is_interrupted_is_done_again(void **state)
{
    (void)state;
    static const struct step steps[] = {{.number = EINTR}, {.typed = "abcd\n"}, {.number = EINTR}, {0}};
    expect_line(ASK(steps, NULL), "abcd");
    assert_int_equal(terminal.n_calls, 4);
}

static void nothing_is_asked_while_echo_is_on(void **state)
{
    (void)state;
    static const struct step steps[] = {{.number = EIO, .typed = "abcd\n"}};
    struct kt_error err = KT_ERROR_INIT;
    char shown[64] = "";
    assert_null(ASK(steps, &err));
    expect_error(&err, KT_E_IO, "cannot be turned off");
    assert_true(read(terminal.master, shown, sizeof(shown) - 1) > 0);
    assert_null(strstr(shown, "Key: "));
}

static void an_echo_that_stays_off_is_told(void **state)
{
    (void)state;
    static const struct step steps[] = {{.typed = "abcd\n"}, {.number = EIO}};
    struct kt_error err = KT_ERROR_INIT;
    assert_null(ASK(steps, &err));
    expect_error(&err, KT_E_IO, "cannot be turned on again");
    assert_non_null(strstr(err.hint, "stty echo"));
}

static volatile sig_atomic_t seen;
static volatile sig_atomic_t seen_echo;

static void note(int number)
{
    seen = number;
    seen_echo = echoes();
}

/* Comes after it was looked for, and before the read: it may not wait for a key. */
static void a_signal_that_comes_early_is_not_slept_through(void **state)
{
    (void)state;
    static const int numbers[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < KT_ARRAY_LEN(numbers); i++) {
        const struct step steps[] = {{.signal = numbers[i]}};
        const struct sigaction mine = {.sa_handler = note};
        struct sigaction before, after;
        seen = 0;
        terminal.n_calls = 0;
        assert_int_equal(sigaction(numbers[i], &mine, &before), 0);
        assert_null(ASK(steps, NULL));
        assert_int_equal(sigaction(numbers[i], &before, &after), 0);
        assert_int_equal(seen, numbers[i]);
        assert_true(seen_echo);
        assert_ptr_equal(after.sa_handler, note);
    }
}

static void a_signal_that_was_ignored_stays_so(void **state)
{
    (void)state;
    static const struct step steps[] = {{.signal = SIGHUP, .typed = "abcd\n"}};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before, after;
    assert_int_equal(sigaction(SIGHUP, &ignore, &before), 0);
    expect_line(ASK(steps, NULL), "abcd");
    assert_int_equal(sigaction(SIGHUP, &before, &after), 0);
    assert_ptr_equal(after.sa_handler, SIG_IGN);
}

/* A handler stands in for the stop, of which only a shell could wake us. */
static void after_a_stop_it_asks_again(void **state)
{
    (void)state;
    static const int numbers[] = {SIGTSTP, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < KT_ARRAY_LEN(numbers); i++) {
        const struct step steps[] = {{.signal = numbers[i]}, {0}, {.typed = "abcd\n"}};
        const struct sigaction mine = {.sa_handler = note};
        struct sigaction before;
        seen = 0;
        terminal.n_calls = 0;
        assert_int_equal(sigaction(numbers[i], &mine, &before), 0);
        expect_line(ASK(steps, NULL), "abcd");
        assert_int_equal(sigaction(numbers[i], &before, NULL), 0);
        assert_int_equal(seen, numbers[i]);
        assert_true(seen_echo);
    }
}

#define TERMINAL_TEST(f) cmocka_unit_test_setup_teardown(f, open_terminal, close_terminal)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TERMINAL_TEST(a_line_is_read_and_not_shown),
        TERMINAL_TEST(what_is_interrupted_is_done_again),
        TERMINAL_TEST(nothing_is_asked_while_echo_is_on),
        TERMINAL_TEST(an_echo_that_stays_off_is_told),
        TERMINAL_TEST(a_signal_that_comes_early_is_not_slept_through),
        TERMINAL_TEST(a_signal_that_was_ignored_stays_so),
        TERMINAL_TEST(after_a_stop_it_asks_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
