/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/tpm/simulator.h"

#include "base/clock.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_NS UINT64_C(30000000000)

extern char **environ;

static bool listens(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = false;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.107s", path);
    good = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return good;
}

static bool wait_until_it_listens(const char *path)
{
    const struct timespec step = {.tv_nsec = 10000000};
    uint64_t end = kt_clock_monotonic_ns() + PATIENCE_NS;

    while (!listens(path)) {
        if (kt_clock_monotonic_ns() > end)
            return false;
        (void)nanosleep(&step, NULL);
    }
    return true;
}

static bool start(struct simulator *tpm)
{
    char dir[128], server[160], control[160], path[128];
    char program[] = "swtpm", kind[] = "socket", two[] = "--tpm2", state[] = "--tpmstate", listen[] = "--server",
         ctrl[] = "--ctrl", flags[] = "--flags", clear[] = "not-need-init,startup-clear";
    char *argv[] = {program, kind, two, state, dir, listen, server, ctrl, control, flags, clear, NULL};

    (void)snprintf(dir, sizeof(dir), "dir=%s/tpm", tpm->s.path);
    (void)snprintf(path, sizeof(path), "%s/tpm/sock", tpm->s.path);
    (void)snprintf(server, sizeof(server), "type=unixio,path=%s", path);
    (void)snprintf(control, sizeof(control), "type=unixio,path=%s.ctrl", path);
    (void)snprintf(tpm->tcti, sizeof(tpm->tcti), "swtpm:path=%s", path);
    return posix_spawnp(&tpm->pid, program, NULL, NULL, argv, environ) == 0 && wait_until_it_listens(path);
}

int simulator_setup(void **state)
{
    struct simulator *tpm = calloc(1, sizeof(*tpm));
    void *scratch = NULL;

    /* What is sealed must not end up in a log, here either. */
    if (!tpm || setenv("TSS2_LOG", "all+NONE", 1) != 0 || scratch_setup(&scratch) != 0)
        return -1;
    tpm->s = *(struct scratch *)scratch;
    free(scratch);
    if (mkdirat(tpm->s.dir, "tpm", 0700) < 0 || !start(tpm))
        return -1;
    *state = tpm;
    return 0;
}

int simulator_teardown(void **state)
{
    struct simulator *tpm = *state;
    struct scratch *copy = malloc(sizeof(*copy));
    void *scratch = copy;

    (void)kill(tpm->pid, SIGKILL);
    (void)waitpid(tpm->pid, NULL, 0);
    if (!copy)
        return -1;
    *copy = tpm->s;
    free(tpm);
    return scratch_teardown(&scratch);
}

void simulator_faulty(const struct simulator *tpm, const char *options, char *ret, size_t cap)
{
    const char *build = getenv("KEYTURN_BUILD");

    (void)snprintf(ret, cap, "%s/tests/tcti_fault.so:%s;%s", build ? build : ".", options, tpm->tcti);
}
