/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for keyturn-opener where a test wants to be between an opener and its client (tests/integration/hostile/
 * held_opener.py): it hands the client's socket and the path of keyturn.yaml to whoever listens at the Unix socket that
 * $KEYTURN_TEST_OPENER names, and ends when that one closes the connection.
 */
#include "base/clock.h"
#include "base/ipc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENT_FD  3
#define TIMEOUT_MS 10000

static bool hand_over(const char *path, const char *config, int *ret_fd, struct kt_error *err)
{
    const int client = CLIENT_FD;
    *ret_fd = kt_socket_connect(path, kt_clock_monotonic_ns() + TIMEOUT_MS * UINT64_C(1000000), err);
    return *ret_fd >= 0 && kt_ipc_send(*ret_fd, kt_slice_str(config), &client, 1, TIMEOUT_MS, err);
}

int main(int argc, char **argv)
{
    struct kt_error error = KT_ERROR_INIT;
    const char *path = getenv("KEYTURN_TEST_OPENER");
    char byte = 0;
    int fd = -1;
    if (argc < 3 || strcmp(argv[1], "--config") != 0 || !path || !hand_over(path, argv[2], &fd, &error)) {
        (void)fprintf(stderr, "stand_in_opener: %s\n", path ? error.message : "KEYTURN_TEST_OPENER is not set");
        return 1;
    }
    (void)close(CLIENT_FD);
    (void)fcntl(fd, F_SETFL, 0);
    while (read(fd, &byte, 1) > 0)
        continue;
    return 0;
}
