/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/counters.h"
#include "tests/unit/base/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

static void pages_are_shared_one_way(void **state)
{
    (void)state;
    for (enum kt_counter_page page = 0; page < KT_PAGE_COUNT; page++) {
        int rw = -1;
        int ro = -1;
        assert_true(kt_counters_new(page, &rw, &ro, NULL));
        kt_counter *writer = kt_counters_map(rw, page, true, NULL);
        const kt_counter *reader = kt_counters_map(ro, page, false, NULL);
        assert_non_null(writer);
        assert_non_null(reader);
        kt_count(writer);
        assert_int_equal(atomic_load(reader), 1);
        assert_null(kt_counters_map(ro, page, true, NULL)); /* not for writing */
        assert_int_equal(ftruncate(rw, 0), -1);             /* sealed: nobody can make readers fault */
        kt_fd_close(rw);
        kt_fd_close(ro);
    }
}

static void what_is_no_page_is_refused(void **state)
{
    (void)state;
    int rw = -1;
    int ro = -1;
    struct kt_error err = KT_ERROR_INIT;
    assert_true(kt_counters_new(KT_PAGE_FRONT, &rw, &ro, NULL));
    assert_null(kt_counters_map(ro, KT_PAGE_KEEPER, false, &err));
    assert_int_equal(err.code, KT_E_INTERNAL);
    int unsealed = memfd_create("unsealed", MFD_CLOEXEC);
    assert_int_equal(ftruncate(unsealed, sizeof(struct kt_front_page)), 0);
    assert_null(kt_counters_map(unsealed, KT_PAGE_FRONT, false, NULL));
    assert_null(kt_counters_map(-1, KT_PAGE_FRONT, false, NULL));
    kt_fd_close(unsealed);
    kt_fd_close(rw);
    kt_fd_close(ro);
}

static void latencies_fall_into_their_buckets(void **state)
{
    (void)state;
    static struct kt_front_page page;
    kt_count_latency(&page, KT_METHOD_ENCRYPT, 0);
    kt_count_latency(&page, KT_METHOD_ENCRYPT, kt_latency_bounds_us[0] - 1);
    kt_count_latency(&page, KT_METHOD_ENCRYPT, kt_latency_bounds_us[0]);
    kt_count_latency(&page, KT_METHOD_ENCRYPT, UINT32_MAX);
    assert_int_equal(atomic_load(&page.latency[KT_METHOD_ENCRYPT][0]), 2);
    assert_int_equal(atomic_load(&page.latency[KT_METHOD_ENCRYPT][1]), 1);
    assert_int_equal(atomic_load(&page.latency[KT_METHOD_ENCRYPT][KT_LATENCY_BUCKETS - 1]), 1);
    assert_int_equal(atomic_load(&page.latency_sum_us[KT_METHOD_ENCRYPT]),
                     2 * kt_latency_bounds_us[0] - 1 + UINT32_MAX);
    for (size_t i = 1; i < KT_ARRAY_LEN(kt_latency_bounds_us); i++)
        assert_true(kt_latency_bounds_us[i] > kt_latency_bounds_us[i - 1]);
}

static void half_written_section_is_not_read(void **state)
{
    (void)state;
    static struct kt_keeper_page page;
    static struct kt_keeper_page copy;
    kt_page_begin(&page.sequence);
    page.generation = 7;
    assert_false(kt_keeper_page_read(&page, &copy)); /* the writer died here */
    kt_page_begin(&page.sequence);                   /* its successor */
    page.generation = 8;
    memset(page.healthz, 'x', sizeof(page.healthz));
    kt_page_end(&page.sequence);
    assert_true(kt_keeper_page_read(&page, &copy));
    assert_int_equal(copy.generation, 8);
    assert_int_equal(strlen(copy.healthz), sizeof(copy.healthz) - 1);
    kt_page_begin(&page.sequence);
    assert_false(kt_keeper_page_read(&page, &copy));
    kt_page_end(&page.sequence);
    assert_true(kt_keeper_page_read(&page, &copy));
}

static void key_id_is_that_of_the_key_that_wraps(void **state)
{
    (void)state;
    static struct kt_keeper_page page;
    char id[KT_KEY_ID_LEN + 1] = "unchanged";
    page.n_keys = UINT32_MAX; /* and none encrypts */
    assert_false(kt_keeper_page_key_id(&page, id));
    static const char *const bad[] = {"", "0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdeg",
                                      "0123456789ABCDEF0123456789abcdef", "0123456789abcdef\n123456789abcdef"};
    page.keys[3].encrypts = 1;
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        memset(page.keys[3].id, 0, sizeof(page.keys[3].id));
        memcpy(page.keys[3].id, bad[i], strlen(bad[i]));
        assert_false(kt_keeper_page_key_id(&page, id));
    }
    memset(page.keys[3].id, 'a', sizeof(page.keys[3].id)); /* no end */
    assert_false(kt_keeper_page_key_id(&page, id));
    page.keys[3].id[KT_KEY_ID_LEN] = 0;
    page.n_keys = 3;
    assert_false(kt_keeper_page_key_id(&page, id));
    assert_string_equal(id, "unchanged");
    page.n_keys = 4;
    assert_true(kt_keeper_page_key_id(&page, id));
    assert_string_equal(id, page.keys[3].id);
    kt_page_begin(&page.sequence); /* a keeper that died while it wrote */
    assert_false(kt_keeper_page_key_id(&page, id));
}

static void methods_have_names(void **state)
{
    (void)state;
    assert_string_equal(kt_method_text(KT_METHOD_DECRYPT), "Decrypt");
    assert_string_equal(kt_method_text(KT_METHOD_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_shared_one_way),
        cmocka_unit_test(what_is_no_page_is_refused),
        cmocka_unit_test(latencies_fall_into_their_buckets),
        cmocka_unit_test(half_written_section_is_not_read),
        cmocka_unit_test(key_id_is_that_of_the_key_that_wraps),
        cmocka_unit_test(methods_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
