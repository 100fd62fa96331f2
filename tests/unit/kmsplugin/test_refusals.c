/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "kmsplugin/refusals.h"
#include "tests/unit/base/unit.h"

#define SECOND UINT64_C(1000000000)

static void one_line_a_second_and_how_many_more(void **state)
{
    (void)state;
    struct kt_refusals refusals = {.others = 0};
    uint64_t more = 77;
    assert_true(kt_refusals_note(&refusals, 1000, SECOND, &more));
    assert_int_equal(more, 0);
    for (uint64_t i = 1; i <= 65605; i++)
        assert_false(kt_refusals_note(&refusals, 1000, SECOND + i, &more));
    assert_true(kt_refusals_note(&refusals, 1001, SECOND + 1, &more)); /* somebody else */
    assert_int_equal(more, 0);
    assert_true(kt_refusals_note(&refusals, 1000, 2 * SECOND, &more));
    assert_int_equal(more, 65605);
    assert_true(kt_refusals_note(&refusals, 1000, 4 * SECOND, &more));
    assert_int_equal(more, 0);
}

/* A user namespace has 65,536 uids to come with. */
static void many_uids_get_no_more_lines(void **state)
{
    (void)state;
    struct kt_refusals refusals = {.others = 0};
    uint64_t more = 0;
    unsigned lines = 0;
    for (uid_t uid = 100000; uid < 165536; uid++)
        lines += kt_refusals_note(&refusals, uid, SECOND + uid, &more);
    assert_int_equal(lines, KT_REFUSALS_MAX);
    assert_true(kt_refusals_note(&refusals, (uid_t)-1, 3 * SECOND, &more));
    assert_int_equal(more, 65536 - KT_REFUSALS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_a_second_and_how_many_more),
        cmocka_unit_test(many_uids_get_no_more_lines),
    };
    return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
