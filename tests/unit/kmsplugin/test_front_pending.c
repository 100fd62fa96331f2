/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/front_pending.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static int make(void **state)
{
    static struct kt_pending_table table;
    struct kt_error err = KT_ERROR_INIT;
    *state = &table;
    return kt_pending_init(&table, &err) ? 0 : -1;
}

static int drop(void **state)
{
    kt_pending_done(*state);
    return 0;
}

/* A request of one byte, queued; its number is its call. */
static struct kt_pending *add(struct kt_pending_table *table, uintptr_t number, uint64_t give_up_ns)
{
    struct kt_pending *pending = kt_pending_take(table);
    assert_non_null(pending);
    pending->request.op = KT_KEEPER_WRAP;
    pending->request.len = 1;
    pending->request.data[0] = 0x5a;
    pending->call = (void *)number;
    pending->give_up_ns = give_up_ns;
    kt_pending_queue(table, pending);
    return pending;
}

static void check_queue(struct kt_pending_table *table, const char *numbers)
{
    char found[16] = "";
    size_t n = 0;
    struct kt_pending *pending;
    TAILQ_FOREACH(pending, &table->queued, link)
    {
        assert_int_equal(pending->state, KT_PENDING_QUEUED);
        assert_true(n < sizeof(found) - 1);
        found[n++] = (char)('0' + (char)(uintptr_t)pending->call);
    }
    assert_string_equal(found, numbers);
}

static void test_bounded(void **state)
{
    struct kt_pending_table *table = *state;
    struct kt_pending *some = NULL;
    for (size_t i = 0; i < KT_PENDING_MAX; i++)
        some = add(table, i, 0);
    assert_null(kt_pending_take(table));
    assert_int_equal(table->n, KT_PENDING_MAX);
    kt_pending_release(table, some);
    assert_non_null(kt_pending_take(table));
    assert_null(kt_pending_take(table));
}

static void test_only_what_was_sent_is_found(void **state)
{
    struct kt_pending_table *table = *state;
    struct kt_pending *one = add(table, 1, 0);
    uint64_t tag = one->request.tag;
    assert_null(kt_pending_find(table, tag));
    kt_pending_mark_sent(table, one);
    assert_ptr_equal(kt_pending_find(table, tag), one);
    kt_pending_release(table, one);
    assert_null(kt_pending_find(table, tag));
}

/* The answer to a request that was given up must not reach the next one in its slot: it may be another caller's seed.
 */
static void test_late_answer_finds_nobody(void **state)
{
    struct kt_pending_table *table = *state;
    struct kt_pending *one = add(table, 1, 0);
    uint64_t tag = one->request.tag;
    kt_pending_mark_sent(table, one);
    kt_pending_release(table, one);
    struct kt_pending *two = add(table, 2, 0);
    kt_pending_mark_sent(table, two);
    assert_ptr_equal(one, two);
    assert_int_not_equal(tag, two->request.tag);
    assert_null(kt_pending_find(table, tag));
    assert_ptr_equal(kt_pending_find(table, two->request.tag), two);
}

static void test_hostile_tags(void **state)
{
    struct kt_pending_table *table = *state;
    static const uint64_t tags[] = {
        0, 1, UINT32_MAX, UINT64_MAX, KT_PENDING_MAX, KT_PENDING_MAX - 1, UINT64_C(1) << 63};
    struct kt_pending *one = add(table, 1, 0);
    kt_pending_mark_sent(table, one);
    for (size_t i = 0; i < KT_ARRAY_LEN(tags); i++)
        assert_null(kt_pending_find(table, tags[i]));
    assert_null(kt_pending_find(table, one->request.tag + 1));
    assert_null(kt_pending_find(table, one->request.tag + (UINT64_C(1) << 32)));
}

static void test_requeue_keeps_order(void **state)
{
    struct kt_pending_table *table = *state;
    for (uintptr_t i = 1; i <= 5; i++)
        (void)add(table, i, 0);
    for (int i = 0; i < 3; i++)
        kt_pending_mark_sent(table, TAILQ_FIRST(&table->queued));
    check_queue(table, "45");
    kt_pending_requeue(table);
    check_queue(table, "12345");
    kt_pending_requeue(table);
    check_queue(table, "12345");
    kt_pending_mark_sent(table, TAILQ_FIRST(&table->queued));
    check_queue(table, "2345");
    kt_pending_release(table, TAILQ_FIRST(&table->queued));
    check_queue(table, "345");
    assert_int_equal(table->n, 4);
}

static void test_second_loss(void **state)
{
    struct kt_pending_table *table = *state;
    struct kt_pending *one = add(table, 1, 0);
    struct kt_pending *two = add(table, 2, 0);
    kt_pending_mark_sent(table, one);
    kt_pending_requeue(table);
    assert_null(kt_pending_lost(table));
    kt_pending_mark_sent(table, one);
    kt_pending_mark_sent(table, two);
    kt_pending_requeue(table);
    assert_ptr_equal(kt_pending_lost(table), one);
    kt_pending_release(table, one);
    assert_null(kt_pending_lost(table));
    one = add(table, 3, 0); /* the same slot, innocent again */
    assert_int_equal(one->losses, 0);
    kt_pending_mark_sent(table, two);
    kt_pending_requeue(table);
    assert_ptr_equal(kt_pending_lost(table), two);
}

static void test_expiry(void **state)
{
    struct kt_pending_table *table = *state;
    struct kt_pending *late = add(table, 1, 300);
    struct kt_pending *early = add(table, 2, 100);
    kt_pending_mark_sent(table, late);
    assert_null(kt_pending_expired(table, 99));
    assert_ptr_equal(kt_pending_expired(table, 100), early);
    kt_pending_release(table, early);
    assert_null(kt_pending_expired(table, 299));
    assert_ptr_equal(kt_pending_expired(table, UINT64_MAX), late);
}

static void test_release_wipes(void **state)
{
    struct kt_pending_table *table = *state;
    struct kt_pending *one = add(table, 1, 0);
    memset(one->request.data, 0x5a, sizeof(one->request.data));
    one->request.len = sizeof(one->request.data);
    kt_pending_release(table, one);
    for (size_t i = 0; i < sizeof(one->request.data); i++)
        assert_int_equal(one->request.data[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bounded, make, drop),
        cmocka_unit_test_setup_teardown(test_only_what_was_sent_is_found, make, drop),
        cmocka_unit_test_setup_teardown(test_late_answer_finds_nobody, make, drop),
        cmocka_unit_test_setup_teardown(test_hostile_tags, make, drop),
        cmocka_unit_test_setup_teardown(test_requeue_keeps_order, make, drop),
        cmocka_unit_test_setup_teardown(test_second_loss, make, drop),
        cmocka_unit_test_setup_teardown(test_expiry, make, drop),
        cmocka_unit_test_setup_teardown(test_release_wipes, make, drop),
    };
    return cmocka_run_group_tests_name("front_pending", tests, NULL, NULL);
}
