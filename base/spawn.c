/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spawn.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define PASSWD_BUFFER 65536u
#define FIRST_FD      3

/* A number of one account, up to the character in end. 2^32-1 means "leave it" to the system, and is no id. */
static const char *parse_id(const char *text, char end, unsigned *ret)
{
    unsigned long long value = 0;

    if (!isdigit((unsigned char)*text))
        return NULL;
    for (; isdigit((unsigned char)*text) && value < UINT_MAX; text++)
        value = value * 10 + (unsigned long long)(*text - '0');
    if (*text != end || value >= UINT_MAX)
        return NULL;
    *ret = (unsigned)value;
    return text;
}

static bool find_by_numbers(const char *name, struct kt_account *ret, struct kt_error *err)
{
    unsigned uid = 0;
    unsigned gid = 0;
    const char *colon = parse_id(name, ':', &uid);

    if (!colon || !parse_id(colon + 1, '\0', &gid))
        return kt_fail(err, KT_E_CONFIG, "\"%s\" is no account: expected a name, or UID:GID in numbers", name);
    *ret = (struct kt_account){.uid = uid, .gid = gid};
    return true;
}

static bool find_groups(const char *name, struct kt_account *account, struct kt_error *err)
{
    int n = (int)KT_ARRAY_LEN(account->groups);

    if (getgrouplist(name, account->gid, account->groups, &n) < 0)
        return kt_fail(err, KT_E_CONFIG, "the account \"%s\" is in %d groups, at most %zu are possible", name, n,
                       KT_ARRAY_LEN(account->groups));
    account->n_groups = (size_t)n;
    return true;
}

bool kt_account_find(const char *name, struct kt_account *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *buffer = NULL;
    struct passwd *found = NULL;
    struct passwd entry;

    if (strchr(name, ':'))
        return find_by_numbers(name, ret, err);
    buffer = malloc(PASSWD_BUFFER);
    if (!buffer)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    int rc = getpwnam_r(name, &entry, buffer, PASSWD_BUFFER, &found);
    if (!found) {
        errno = rc;
        (void)(rc == 0 ? kt_fail(err, KT_E_CONFIG, "there is no account \"%s\"", name)
                       : kt_fail_errno(err, KT_E_CONFIG, "cannot find the account \"%s\"", name));
        return kt_error_hint(err, "create it (systemd-sysusers), or name another one as NAME or UID:GID");
    }
    struct kt_account account = {.uid = entry.pw_uid, .gid = entry.pw_gid};
    if (!find_groups(name, &account, err))
        return false;
    *ret = account;
    return true;
}

/* From here on up to execute(): in the child, where only async-signal-safe functions may be called. */

static struct iovec piece(const char *text)
{
    struct iovec iov = {.iov_len = strlen(text)};

    memcpy(&iov.iov_base, &text, sizeof(iov.iov_base));
    return iov;
}

static KT_NORETURN void give_up(const char *path, const char *what)
{
    const char *why = strerrordesc_np(errno);
    struct iovec line[] = {piece("keyturn: cannot start "),    piece(path), piece(": "), piece(what), piece(": "),
                           piece(why ? why : "unknown error"), piece("\n")};

    (void)!writev(STDERR_FILENO, line, (int)KT_ARRAY_LEN(line));
    _exit(127);
}

/* First above all targets, for a source may be another one's target. */
static bool place_fds(const int *fds, size_t n_fds)
{
    int parked[KT_SPAWN_FDS_MAX];
    int end = FIRST_FD + (int)n_fds;

    for (size_t i = 0; i < n_fds; i++) {
        parked[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, end);
        if (parked[i] < 0)
            return false;
    }
    for (size_t i = 0; i < n_fds; i++) {
        if (dup2(parked[i], FIRST_FD + (int)i) < 0)
            return false;
    }
    closefrom(end);
    return true;
}

/* Groups first, uid last: each step needs the right that the next one gives up. */
static bool become(const struct kt_account *account)
{
    if (account->uid == KT_SAME_UID)
        return true;
    return setgroups(account->n_groups, account->groups) == 0 &&
           setresgid(account->gid, account->gid, account->gid) == 0 &&
           setresuid(account->uid, account->uid, account->uid) == 0;
}

/* These are our parent's affair: a terminal or a service manager sends them to all of us, and a child that
 * ended by itself would cut off those whom it serves. Ignored from before the first instruction of the new program. */
static void reset_signals(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int number = 1; number <= SIGRTMAX; number++)
        (void)sigaction(number, &action, NULL);
    action.sa_handler = SIG_IGN;
    for (size_t i = 0; i < KT_ARRAY_LEN(ignored); i++)
        (void)sigaction(ignored[i], &action, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static KT_NORETURN void execute(const struct kt_spawn *what)
{
    reset_signals();
    if (!place_fds(what->fds, what->n_fds))
        give_up(what->path, "descriptors");
    if (!become(&what->account))
        give_up(what->path, "account");
    (void)execv(what->path, what->argv);
    give_up(what->path, "exec");
}

/* All signals are blocked around the fork, so that no handler of ours runs in the child. */
bool kt_spawn(const struct kt_spawn *what, pid_t *ret, struct kt_error *err)
{
    sigset_t all;
    sigset_t saved;

    if (what->n_fds > KT_SPAWN_FDS_MAX || what->path[0] != '/')
        return kt_fail(err, KT_E_INTERNAL, "cannot start %s with %zu descriptors", what->path, what->n_fds);
    (void)sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &saved) != 0)
        return kt_fail(err, KT_E_INTERNAL, "cannot block signals");
    pid_t pid = fork();
    int number = errno;
    if (pid == 0)
        execute(what);
    (void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
    errno = number;
    if (pid < 0)
        return kt_fail_errno(err, KT_E_IO, "cannot start %s", what->path);
    *ret = pid;
    return true;
}

static bool cut_last(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0;
}

/* We lie in PREFIX/bin, PREFIX/sbin or PREFIX/libexec/keyturn. */
bool kt_program_path(const char *relative, char *ret, size_t cap, struct kt_error *err)
{
    char prefix[PATH_MAX];
    char path[2 * PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", prefix, sizeof(prefix) - 1);

    if (len < 0)
        return kt_fail_errno(err, KT_E_IO, "cannot find out where this program lies: /proc/self/exe");
    prefix[len] = '\0';
    (void)cut_last(prefix);
    for (int up = 0; up < 2 && cut_last(prefix); up++) {
        int n = snprintf(path, sizeof(path), "%s/%s", prefix, relative);
        if (n < 0 || (size_t)n >= sizeof(path) || !is_program(path))
            continue;
        if ((size_t)n >= cap)
            return kt_fail(err, KT_E_CONFIG, "%s: this path is too long", path);
        memcpy(ret, path, (size_t)n + 1);
        return true;
    }
    (void)kt_fail(err, KT_E_CONFIG, "cannot find %s near this program", relative);
    return kt_error_hint(err, "install keyturn whole, under one prefix (cmake --install)");
}
