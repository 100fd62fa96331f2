/* SPDX-License-Identifier: Apache-2.0 */
/* Latencies, counted in a histogram with steps of less than 1 %. */
#ifndef KT_LOAD_LATENCY_H
#define KT_LOAD_LATENCY_H

#include <stdint.h>

enum { KT_LATENCY_BITS = 7, KT_LATENCY_STEPS = 1 << KT_LATENCY_BITS, KT_LATENCY_BUCKETS = 64 * KT_LATENCY_STEPS };

struct kt_latency {
    uint64_t bucket[KT_LATENCY_BUCKETS];
    uint64_t count;
    uint64_t max; /* ns, exact */
};

void kt_latency_add(struct kt_latency *l, uint64_t ns);

/* The latency, in microseconds, that `part` (0 to 1) of the calls did not exceed; 0 if there were none. */
double kt_latency_us(const struct kt_latency *l, double part);

#endif
