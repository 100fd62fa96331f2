/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

#include <stdint.h>

uint64_t kt_clock_monotonic_ns(void);
/* CLOCK_REALTIME, whole seconds since the epoch. KEYTURN_TEST_CLOCK does not exist: tests move the clock with a time
 * namespace or a preloaded library. */
uint64_t kt_clock_real_s(void);
/* RFC 3339 in UTC with whole seconds, "2026-11-23T09:00:00Z": the only form that keyturn writes and reads. */
#define KT_TIME_LEN 21u /* with the NUL */
void kt_time_format(uint64_t seconds, char ret[KT_TIME_LEN]);
bool kt_time_parse(const char *text, uint64_t *ret) KT_MUST_CHECK;
/* "90s", "15m", "24h", "7d": a whole number and one unit. */
bool kt_duration_parse(const char *text, uint64_t *ret_seconds) KT_MUST_CHECK;
