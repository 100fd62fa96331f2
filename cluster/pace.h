/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many requests a server gets at once: as many as make it faster, found out by trying. More are tried as long as
 * that brings more answers a second; fewer where answers take long; half of them, after a pause, where the server says
 * 429. No I/O, no clock: the caller says what happened and when (CLOCK_MONOTONIC, ns).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define KT_PACE_MAX   64u /* at once, if nothing else is asked for */
#define KT_PACE_START 16u

struct kt_pace {
    unsigned max;
    unsigned max_rate; /* per second; 0: any */
    unsigned window;   /* at once, now */
    unsigned best;     /* the window with the most answers a second so far */
    double best_rate;
    unsigned settled; /* epochs since it was last tried to do better */
    uint64_t epoch_ns;
    unsigned epoch_n;
    uint64_t epoch_us; /* sum of how long answers took */
    uint64_t held_ns;  /* nothing is begun before */
    uint64_t next_ns;  /* by max_rate */
};

/* max 0: KT_PACE_MAX. */
void kt_pace_init(struct kt_pace *pace, unsigned max, unsigned max_rate, uint64_t now_ns);
/* Whether one more may begin, with so many on their way. */
bool kt_pace_may_start(const struct kt_pace *pace, unsigned in_flight, uint64_t now_ns);
/* When that may be so without an answer coming in: for the caller that has to wait. */
uint64_t kt_pace_until(const struct kt_pace *pace, uint64_t now_ns);
void kt_pace_started(struct kt_pace *pace, uint64_t now_ns);
void kt_pace_answered(struct kt_pace *pace, uint64_t elapsed_us, uint64_t now_ns);
/* 429, or no answer at all; after_s: as it asked for, 0: it did not say. */
void kt_pace_refused(struct kt_pace *pace, unsigned after_s, uint64_t now_ns);
