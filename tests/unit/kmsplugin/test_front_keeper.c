/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/front_keeper.h"
#include "tests/unit/base/unit.h"

struct fixture {
    struct kt_link *link;
    unsigned gave_up;
};

static void answered(void *context, void *call, const struct kt_keeper_answer *answer)
{
    (void)context;
    (void)call;
    (void)answer;
    fail_msg("nobody answers here");
}

static void gave_up(void *context, void *call)
{
    struct fixture *f = context;
    (void)call;
    f->gave_up++;
}

static void changed(void *context, bool connected)
{
    (void)context;
    (void)connected;
}

static int make(void **state)
{
    static struct fixture f;
    const struct kt_link_sink sink = {.context = &f, .answered = answered, .gave_up = gave_up, .changed = changed};
    f = (struct fixture){.link = kt_link_new(&sink, NULL)};
    *state = &f;
    return f.link ? 0 : -1;
}

static int drop(void **state)
{
    const struct fixture *f = *state;
    kt_link_free(f->link);
    return 0;
}

static void submit(const struct fixture *f, uint64_t give_up_ns)
{
    struct kt_pending *pending = kt_link_take(f->link);
    assert_non_null(pending);
    pending->request.op = KT_KEEPER_STATUS;
    pending->give_up_ns = give_up_ns;
    kt_link_submit(f->link, pending);
}

static void test_only_what_is_late_is_given_up(void **state)
{
    const struct fixture *f = *state;
    submit(f, 100000000);
    submit(f, 300000000);
    kt_link_expire(f->link, 99000000);
    assert_int_equal(f->gave_up, 0);
    kt_link_expire(f->link, 200000000);
    assert_int_equal(f->gave_up, 1);
    assert_int_equal(kt_link_waiting(f->link), 1);
}

/* A drain asks for that again and again, for requests come as long as a connection is open. */
static void test_all_are_given_up_each_time(void **state)
{
    const struct fixture *f = *state;
    for (unsigned i = 1; i <= 3; i++) {
        submit(f, UINT64_MAX - 1);
        kt_link_expire(f->link, UINT64_MAX);
        assert_int_equal(f->gave_up, i);
    }
    submit(f, 100000000);
    kt_link_expire(f->link, 100000000);
    assert_int_equal(f->gave_up, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_only_what_is_late_is_given_up, make, drop),
        cmocka_unit_test_setup_teardown(test_all_are_given_up_each_time, make, drop),
    };
    return cmocka_run_group_tests_name("front_keeper", tests, NULL, NULL);
}
