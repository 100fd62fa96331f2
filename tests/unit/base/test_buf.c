/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "unit.h"

#include <string.h>

static const uint8_t BYTES[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
                                0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0xff};

static void slices_compare(void **state)
{
    (void)state;
    assert_true(kt_slice_equal(kt_slice_str("abc"), KT_SLICE("abcd", 3)));
    assert_false(kt_slice_equal(kt_slice_str("abc"), kt_slice_str("abd")));
    assert_false(kt_slice_equal(kt_slice_str("abc"), kt_slice_str("ab")));
    assert_true(kt_slice_equal(kt_slice_str(NULL), kt_slice_str("")));
    assert_int_equal(kt_slice_str(NULL).len, 0);
}

static void bytes_are_terminated_copies(void **state)
{
    (void)state;
    KT_CLEANUP_BYTES struct kt_bytes a = {.data = NULL};
    KT_CLEANUP_BYTES struct kt_bytes empty = {.data = NULL};
    assert_true(kt_bytes_copy(kt_slice_str("abc"), &a, NULL));
    assert_string_equal((char *)a.data, "abc");
    assert_true(kt_slice_equal(kt_bytes_view(&a), kt_slice_str("abc")));
    assert_true(kt_bytes_copy(KT_SLICE(NULL, 0), &empty, NULL));
    assert_string_equal((char *)empty.data, "");
    kt_bytes_done(&a);
    assert_null(a.data);
    kt_bytes_done(&a);
    kt_bytes_done(NULL);
}

static void copy_without_memory_fails(void **state)
{
    (void)state;
    struct kt_bytes bytes = {.data = NULL};
    struct kt_error err = KT_ERROR_INIT;
    assert_false(kt_bytes_copy(KT_SLICE(BYTES, SIZE_MAX), &bytes, &err));
    assert_int_equal(err.code, KT_E_NOMEM);
    assert_null(bytes.data);
}

static void reader_reads_big_endian(void **state)
{
    (void)state;
    struct kt_reader r;
    kt_reader_init(&r, KT_SLICE(BYTES, sizeof(BYTES)));
    assert_int_equal(kt_reader_u8(&r), 0x01);
    assert_int_equal(kt_reader_u16(&r), 0x0203);
    assert_int_equal(kt_reader_u32(&r), 0x04050607);
    assert_false(kt_reader_end(&r));
    assert_int_equal(kt_reader_u64(&r), UINT64_C(0x08090a0b0c0d0eff));
    assert_true(kt_reader_end(&r));
    assert_non_null(kt_reader_bytes(&r, 0));
    assert_true(kt_reader_end(&r));
}

static void reader_stays_bad(void **state)
{
    (void)state;
    for (size_t have = 0; have < 8; have++) {
        struct kt_reader r;
        kt_reader_init(&r, KT_SLICE(have > 0 ? BYTES : NULL, have));
        assert_int_equal(kt_reader_u64(&r), 0);
        assert_true(r.bad);
        assert_int_equal(kt_reader_u8(&r), 0);
        assert_null(kt_reader_bytes(&r, 0));
        assert_null(kt_reader_bytes(&r, SIZE_MAX));
        assert_null(kt_reader_blob(&r, SIZE_MAX).data);
        assert_false(kt_reader_end(&r));
    }
}

static void reader_takes_blobs_within_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        size_t max;
        bool good;
        size_t blob;
    } CASES[] = {
        {"\0\0\0\0", 4, 0, true, 0},
        {"\0\0\0\3abc", 7, 3, true, 3},
        {"\0\0\0\3abc", 7, 2, false, 0},
        {"\0\0\0\4abc", 7, 100, false, 0},
        {"\xff\xff\xff\xff"
         "abc",
         7, SIZE_MAX, false, 0},
        {"\0\0\0", 3, 100, false, 0},
        {"", 0, 100, false, 0},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(CASES); i++) {
        struct kt_reader r;
        kt_reader_init(&r, KT_SLICE(CASES[i].bytes, CASES[i].len));
        struct kt_slice blob = kt_reader_blob(&r, CASES[i].max);
        assert_int_equal(kt_reader_end(&r), CASES[i].good);
        assert_int_equal(blob.len, CASES[i].blob);
        assert_true(!CASES[i].good == !blob.data);
    }
}

static void writer_writes_what_reader_reads(void **state)
{
    (void)state;
    uint8_t space[64];
    struct kt_writer w;
    kt_writer_init(&w, space, sizeof(space));
    kt_writer_u8(&w, 0xfe);
    kt_writer_u16(&w, 0xfedc);
    kt_writer_u32(&w, 0xfedcba98);
    kt_writer_u64(&w, UINT64_C(0xfedcba9876543210));
    kt_writer_blob(&w, kt_slice_str("blob"));
    kt_writer_blob(&w, KT_SLICE(NULL, 0));
    kt_writer_bytes(&w, "xy", 2);
    kt_writer_bytes(&w, NULL, 0);
    assert_false(w.bad);
    struct kt_reader r;
    kt_reader_init(&r, KT_SLICE(space, w.len));
    assert_int_equal(kt_reader_u8(&r), 0xfe);
    assert_int_equal(kt_reader_u16(&r), 0xfedc);
    assert_int_equal(kt_reader_u32(&r), 0xfedcba98);
    assert_int_equal(kt_reader_u64(&r), UINT64_C(0xfedcba9876543210));
    assert_true(kt_slice_equal(kt_reader_blob(&r, 4), kt_slice_str("blob")));
    assert_int_equal(kt_reader_blob(&r, 4).len, 0);
    assert_memory_equal(kt_reader_bytes(&r, 2), "xy", 2);
    assert_true(kt_reader_end(&r));
}

static void writer_never_passes_its_end(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 12; cap++) {
        uint8_t space[16];
        memset(space, 0xaa, sizeof(space));
        struct kt_writer w;
        kt_writer_init(&w, space, cap);
        kt_writer_u32(&w, 1);
        kt_writer_u64(&w, 2);
        assert_true(w.bad);
        size_t len = w.len;
        kt_writer_u8(&w, 1);
        kt_writer_blob(&w, KT_SLICE(BYTES, 1));
        kt_writer_bytes(&w, BYTES, SIZE_MAX);
        assert_true(w.bad);
        assert_int_equal(w.len, len);
        for (size_t i = cap; i < sizeof(space); i++)
            assert_int_equal(space[i], 0xaa);
    }
    struct kt_writer w;
    kt_writer_init(&w, NULL, 0);
    kt_writer_blob(&w, KT_SLICE(BYTES, (size_t)UINT32_MAX + 1));
    assert_true(w.bad);
}

static void text_grows(void **state)
{
    (void)state;
    struct kt_text t;
    kt_text_init(&t, 100000);
    for (int i = 0; i < 10000; i++)
        kt_text_add(&t, "%04d,", i);
    kt_text_add_bytes(&t, "a\0b", 3);
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
    assert_true(kt_text_take(&t, &bytes, NULL));
    assert_int_equal(bytes.len, 50003);
    assert_memory_equal(bytes.data + 6170, "1234,", 5);
    assert_memory_equal(bytes.data + 50000, "a\0b\0", 4);
    assert_null(t.data);
    kt_text_done(&t);
    kt_text_done(NULL);
}

static void text_keeps_its_ceiling(void **state)
{
    (void)state;
    static const struct {
        size_t max;
        size_t adds; /* of three bytes */
        bool good;
    } CASES[] = {{0, 0, true}, {0, 1, false}, {2, 1, false}, {3, 1, true}, {8, 3, false}, {9, 3, true}};
    for (size_t i = 0; i < KT_ARRAY_LEN(CASES); i++) {
        struct kt_text t;
        kt_text_init(&t, CASES[i].max);
        for (size_t j = 0; j < CASES[i].adds; j++)
            kt_text_add(&t, "%s", "abc");
        KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
        struct kt_error err = KT_ERROR_INIT;
        assert_int_equal(kt_text_take(&t, &bytes, &err), CASES[i].good);
        assert_int_equal(err.code, CASES[i].good ? KT_OK : KT_E_NOMEM);
        assert_int_equal(bytes.len, CASES[i].good ? CASES[i].adds * 3 : 0);
        kt_text_done(&t);
    }
}

static void text_once_bad_adds_nothing(void **state)
{
    (void)state;
    struct kt_text t;
    kt_text_init(&t, 4);
    kt_text_add(&t, "12345");
    kt_text_add(&t, "1");
    kt_text_add_bytes(&t, "1", 1);
    kt_text_add_bytes(&t, BYTES, SIZE_MAX);
    assert_true(t.bad);
    assert_int_equal(t.len, 0);
    kt_text_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_compare),
        cmocka_unit_test(bytes_are_terminated_copies),
        cmocka_unit_test(copy_without_memory_fails),
        cmocka_unit_test(reader_reads_big_endian),
        cmocka_unit_test(reader_stays_bad),
        cmocka_unit_test(reader_takes_blobs_within_bounds),
        cmocka_unit_test(writer_writes_what_reader_reads),
        cmocka_unit_test(writer_never_passes_its_end),
        cmocka_unit_test(text_grows),
        cmocka_unit_test(text_keeps_its_ceiling),
        cmocka_unit_test(text_once_bad_adds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
