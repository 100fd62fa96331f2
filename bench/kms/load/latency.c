/* SPDX-License-Identifier: Apache-2.0 */
#include "latency.h"

#include <stddef.h>

void kt_latency_add(struct kt_latency *l, uint64_t ns)
{
    unsigned top = ns ? 63 - (unsigned)__builtin_clzll(ns) : 0;
    unsigned shift = top > KT_LATENCY_BITS ? top - KT_LATENCY_BITS : 0;

    l->bucket[shift * KT_LATENCY_STEPS + (size_t)(ns >> shift)]++;
    l->count++;
    if (ns > l->max)
        l->max = ns;
}

/* The middle of a bucket, in ns. */
static double middle(size_t bucket)
{
    size_t shift = bucket < 2 * KT_LATENCY_STEPS ? 0 : bucket / KT_LATENCY_STEPS - 1;
    uint64_t low = (uint64_t)(bucket - shift * KT_LATENCY_STEPS) << shift;

    return (double)low + (double)(UINT64_C(1) << shift) / 2;
}

double kt_latency_us(const struct kt_latency *l, double part)
{
    uint64_t rank = (uint64_t)((double)l->count * part);
    uint64_t seen = 0;

    for (size_t i = 0; i < KT_LATENCY_BUCKETS; i++) {
        seen += l->bucket[i];
        if (seen > rank)
            return (middle(i) < (double)l->max ? middle(i) : (double)l->max) / 1000;
    }
    return (double)l->max / 1000;
}
