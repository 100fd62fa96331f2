/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a descriptor, up to a point in time. */
#pragma once

#include "base/error.h"

#include <stdint.h>

#define KT_WAIT_FOREVER UINT64_MAX

/* CLOCK_MONOTONIC in nanoseconds, timeout_ms from now; negative: KT_WAIT_FOREVER. */
uint64_t kt_wait_deadline(int timeout_ms);

/* Until one of events (poll(2)), an error or the peer's end shows on fd. KT_E_TIMEOUT, KT_E_IO. */
bool kt_wait_fd(int fd, short events, uint64_t deadline_ns, struct kt_error *err) KT_MUST_CHECK;
