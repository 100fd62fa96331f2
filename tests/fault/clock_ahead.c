/* SPDX-License-Identifier: Apache-2.0 */
/* For LD_PRELOAD: the wall clock is KT_CLOCK_AHEAD seconds ahead. The monotonic one is as it is: what is waited for, is
 * waited for. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* NOLINTNEXTLINE(bugprone-reserved-identifier): libc's own */
int clock_gettime(clockid_t id, struct timespec *ret)
{
    const char *ahead = getenv("KT_CLOCK_AHEAD");
    int rc = (int)syscall(SYS_clock_gettime, id, ret);
    if (rc == 0 && ahead && id == CLOCK_REALTIME)
        ret->tv_sec += atol(ahead);
    return rc;
}
