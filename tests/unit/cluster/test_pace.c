/* SPDX-License-Identifier: Apache-2.0 */
/* A server that is told by a formula, and a clock of the test's own: time decides nothing here. */
#include "cluster/pace.h"
#include "tests/unit/base/unit.h"

#define MS UINT64_C(1000000)
#define S  (1000 * MS)

/* With w requests at once it takes so long for each: as many as `bears` run side by side, the rest wait. */
static uint64_t latency_us(unsigned w, unsigned bears)
{
    return w <= bears ? 5000 : 5000u * w / bears;
}

static uint64_t serve(struct kt_pace *pace, unsigned bears, unsigned answers, uint64_t now)
{
    for (unsigned i = 0; i < answers; i++) {
        uint64_t us = latency_us(pace->window, bears);
        now += us * 1000 / pace->window;
        kt_pace_answered(pace, us, now);
    }
    return now;
}

static void test_finds_what_a_server_bears(void **state)
{
    (void)state;
    for (unsigned bears = 1; bears <= 64; bears *= 2) {
        struct kt_pace pace;
        kt_pace_init(&pace, 0, 0, S);
        (void)serve(&pace, bears, 40000, S);
        unsigned least = bears < KT_PACE_START ? 1 : bears / 2;
        if (pace.best < least || pace.best > KT_PACE_MAX || (bears <= 8 && pace.best > 3 * KT_PACE_START))
            fail_msg("bears %u: %u at once", bears, pace.best);
    }
}

static void test_bounds(void **state)
{
    struct kt_pace pace;
    (void)state;
    kt_pace_init(&pace, 3, 0, S);
    assert_int_equal(pace.window, 3);
    (void)serve(&pace, 64, 40000, S);
    assert_int_equal(pace.window, 3);
    assert_true(kt_pace_may_start(&pace, 2, 2 * S));
    assert_false(kt_pace_may_start(&pace, 3, 2 * S));
}

static void test_refusals(void **state)
{
    struct kt_pace pace;
    (void)state;
    kt_pace_init(&pace, 64, 0, S);
    pace.window = 32;
    for (int i = 0; i < 32; i++) /* all that were on their way: one refusal */
        kt_pace_refused(&pace, 0, 2 * S);
    assert_int_equal(pace.window, 16);
    assert_false(kt_pace_may_start(&pace, 0, 2 * S + 999 * MS));
    assert_int_equal(kt_pace_until(&pace, 2 * S), 3 * S);
    assert_true(kt_pace_may_start(&pace, 0, 3 * S));
    kt_pace_refused(&pace, 7, 3 * S);
    assert_int_equal(pace.window, 8);
    assert_int_equal(kt_pace_until(&pace, 3 * S), 10 * S);
    kt_pace_refused(&pace, 4000000000u, 11 * S); /* no server is waited for all day */
    assert_int_equal(kt_pace_until(&pace, 11 * S), 71 * S);
    for (int i = 1; i < 10; i++)
        kt_pace_refused(&pace, 0, (uint64_t)i * 1000 * S);
    assert_int_equal(pace.window, 1);
}

static void test_slow_answers(void **state)
{
    struct kt_pace pace;
    uint64_t now = S;
    (void)state;
    kt_pace_init(&pace, 64, 0, now);
    for (int i = 0; i < 100; i++) {
        now += 300 * MS;
        kt_pace_answered(&pace, 5000000, now);
    }
    assert_int_equal(pace.window, 1);
}

static void test_rate(void **state)
{
    struct kt_pace pace;
    uint64_t now = S;
    unsigned started = 0;
    (void)state;
    kt_pace_init(&pace, 64, 100, now);
    for (; now < 3 * S; now += MS) {
        if (!kt_pace_may_start(&pace, 0, now))
            continue;
        kt_pace_started(&pace, now);
        started++;
    }
    assert_in_range(started, 195, 205);
    now = 60 * S; /* what was not used is not made up for at once */
    for (started = 0; kt_pace_may_start(&pace, 0, now); started++)
        kt_pace_started(&pace, now);
    assert_in_range(started, 1, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_a_server_bears),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_slow_answers),
        cmocka_unit_test(test_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
