/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/pace.h"

#define NS_PER_S UINT64_C(1000000000)
/* An epoch is long enough to tell one rate from another. */
#define EPOCH_NS      (NS_PER_S / 4)
#define EPOCH_ANSWERS 32u
#define BETTER        1.05 /* times the best rate, to be better */
#define SETTLED       20u  /* epochs until it is tried again: what the server bears changes */
#define SLOW_US       1000000u
#define HELD_NS       NS_PER_S
#define HELD_MAX_S    60u

void kt_pace_init(struct kt_pace *pace, unsigned max, unsigned max_rate, uint64_t now_ns)
{
    *pace = (struct kt_pace){.max = max > 0 ? max : KT_PACE_MAX, .max_rate = max_rate, .epoch_ns = now_ns};
    pace->window = KT_PACE_START < pace->max ? KT_PACE_START : pace->max;
    pace->best = pace->window;
}

bool kt_pace_may_start(const struct kt_pace *pace, unsigned in_flight, uint64_t now_ns)
{
    return in_flight < pace->window && now_ns >= pace->held_ns && now_ns >= pace->next_ns;
}

uint64_t kt_pace_until(const struct kt_pace *pace, uint64_t now_ns)
{
    uint64_t until = pace->held_ns > pace->next_ns ? pace->held_ns : pace->next_ns;
    return until > now_ns ? until : now_ns;
}

void kt_pace_started(struct kt_pace *pace, uint64_t now_ns)
{
    if (pace->max_rate == 0)
        return;
    uint64_t step = NS_PER_S / pace->max_rate;
    pace->next_ns = (pace->next_ns + NS_PER_S / 10 > now_ns ? pace->next_ns : now_ns) + step;
}

static void begin_epoch(struct kt_pace *pace, uint64_t now_ns)
{
    pace->epoch_ns = now_ns;
    pace->epoch_n = 0;
    pace->epoch_us = 0;
}

static unsigned half(unsigned window)
{
    return window > 1 ? window / 2 : 1;
}

static unsigned more(const struct kt_pace *pace)
{
    unsigned window = 2 * pace->window;
    return window < pace->max ? window : pace->max;
}

static void end_epoch(struct kt_pace *pace, uint64_t now_ns)
{
    double rate = (double)pace->epoch_n * (double)NS_PER_S / (double)(now_ns - pace->epoch_ns);
    if (pace->epoch_us / pace->epoch_n > SLOW_US) {
        pace->window = half(pace->window);
        pace->best = pace->window;
        pace->best_rate = 0;
    } else if (rate > pace->best_rate * BETTER) {
        pace->best = pace->window;
        pace->best_rate = rate;
        pace->window = more(pace);
        pace->settled = 0;
    } else if (pace->window > pace->best) {
        pace->window = pace->best; /* more of them did not help */
        pace->settled = 0;
    } else if (++pace->settled == SETTLED) {
        pace->settled = 0;
        pace->best_rate = rate;
        pace->window = more(pace);
    }
    begin_epoch(pace, now_ns);
}

void kt_pace_answered(struct kt_pace *pace, uint64_t elapsed_us, uint64_t now_ns)
{
    pace->epoch_n++;
    pace->epoch_us += elapsed_us;
    if (pace->epoch_n >= EPOCH_ANSWERS && now_ns - pace->epoch_ns >= EPOCH_NS)
        end_epoch(pace, now_ns);
    else if (now_ns - pace->epoch_ns >= 8 * EPOCH_NS)
        end_epoch(pace, now_ns); /* few answers come: it is slow */
}

/* All that were on their way may be refused together: that is one refusal. */
void kt_pace_refused(struct kt_pace *pace, unsigned after_s, uint64_t now_ns)
{
    uint64_t hold = after_s == 0 ? HELD_NS : (after_s < HELD_MAX_S ? after_s : HELD_MAX_S) * NS_PER_S;
    if (now_ns >= pace->held_ns) {
        pace->window = half(pace->window);
        pace->best = pace->window;
        pace->best_rate = 0;
        begin_epoch(pace, now_ns);
    }
    if (now_ns + hold > pace->held_ns)
        pace->held_ns = now_ns + hold;
}
