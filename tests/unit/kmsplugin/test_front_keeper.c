/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ipc.h"
#include "kmsplugin/front_keeper.h"
#include "tests/unit/base/unit.h"

#include <sys/socket.h>

struct fixture {
    struct kt_link *link;
    unsigned gave_up;
    unsigned lost; /* of these */
};

static void answered(void *context, void *call, const struct kt_keeper_answer *answer)
{
    (void)context;
    (void)call;
    (void)answer;
    fail_msg("nobody answers here");
}

static void gave_up(void *context, void *call, enum kt_link_end why)
{
    struct fixture *f = context;
    (void)call;
    f->gave_up++;
    f->lost += why == KT_LINK_LOST;
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

/* A keeper that takes what is there, tells how many requests that were, and dies. */
static size_t die_over(struct fixture *f)
{
    static _Alignas(struct kt_keeper_request) uint8_t in[KT_KEEPER_REQUESTS_SIZE];
    int pair[2];
    size_t n = 0;
    assert_true(kt_ipc_pair(SOCK_SEQPACKET, pair, NULL));
    kt_link_offer(f->link, pair[1]);
    kt_link_flush(f->link);
    for (ssize_t len; (len = recv(pair[0], in, sizeof(in), MSG_DONTWAIT)) > 0;) {
        size_t size = 0;
        for (size_t at = 0; at < (size_t)len; at += size, n++) {
            size = kt_keeper_request_first((const void *)&in[at], (size_t)len - at);
            assert_int_not_equal(size, 0);
        }
    }
    kt_fd_close(pair[0]);
    kt_link_receive(f->link);
    return n;
}

/* Three requests of which nobody knows yet which one it is, then each alone; none is sent a third time. */
static void test_what_keepers_die_over_is_given_up(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 3; i++)
        submit(f, UINT64_MAX - 1);
    assert_int_equal(die_over(f), 3);
    assert_int_equal(f->gave_up, 0);
    submit(f, UINT64_MAX - 1); /* a new one waits behind them */
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(die_over(f), 1);
        assert_int_equal(f->lost, i);
    }
    assert_int_equal(kt_link_waiting(f->link), 1);
    assert_int_equal(die_over(f), 1);
    assert_int_equal(f->lost, 3);
    assert_int_equal(die_over(f), 1);
    assert_int_equal(f->lost, 4);
    assert_int_equal(f->gave_up, 4);
    assert_int_equal(die_over(f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_only_what_is_late_is_given_up, make, drop),
        cmocka_unit_test_setup_teardown(test_all_are_given_up_each_time, make, drop),
        cmocka_unit_test_setup_teardown(test_what_keepers_die_over_is_given_up, make, drop),
    };
    return cmocka_run_group_tests_name("front_keeper", tests, NULL, NULL);
}
