/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wait.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

#define NS_PER_MS UINT64_C(1000000)

uint64_t kt_wait_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? KT_WAIT_FOREVER : kt_clock_monotonic_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

/* Rounded up, so that nobody wakes before the deadline and turns. */
static int left_ms(uint64_t deadline_ns)
{
    if (deadline_ns == KT_WAIT_FOREVER)
        return -1;
    uint64_t now = kt_clock_monotonic_ns();
    if (now >= deadline_ns)
        return 0;
    uint64_t left = (deadline_ns - now - 1) / NS_PER_MS + 1;
    return left > INT_MAX ? INT_MAX : (int)left;
}

bool kt_wait_fd(int fd, short events, uint64_t deadline_ns, struct kt_error *err)
{
    struct pollfd pfd = {.fd = fd, .events = events};

    for (;;) {
        int timeout = left_ms(deadline_ns);
        int n = poll(&pfd, 1, timeout);
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return kt_fail_errno(err, KT_E_IO, "poll");
        if (n == 0 && timeout < INT_MAX)
            return kt_fail(err, KT_E_TIMEOUT, "the other side took too long");
    }
}
