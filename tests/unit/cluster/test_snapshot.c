/* SPDX-License-Identifier: Apache-2.0 */
/* Files of etcd that are made here, right and wrong. Real ones are read in tests/e2e. */
#include "base/file.h"
#include "cluster/key_set.h"
#include "cluster/snapshot.h"
#include "tests/fuzz/bolt_image.h"
#include "tests/unit/base/scratch.h"
#include "tests/unit/base/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const struct scratch *scratch; /* of the test that runs */

struct visited {
    size_t n;
    char text[512];
};

static bool visit(void *context, struct kt_slice key, struct kt_slice value, struct kt_error *err)
{
    struct visited *visited = context;
    (void)err;
    size_t len = strlen(visited->text);
    snprintf(visited->text + len, sizeof(visited->text) - len, "%.*s=%.*s ", (int)key.len, (const char *)key.data,
             (int)value.len, (const char *)value.data);
    visited->n++;
    return true;
}

static bool read_bytes(struct kt_slice bytes, bool skip, struct visited *ret, struct kt_snapshot_told *told,
                       struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", scratch_name(scratch, "backup"));
    *ret = (struct visited){.n = 0};
    kt_error_clear(err);
    assert_true(kt_file_replace(AT_FDCWD, path, bytes, &attrs, err));
    const struct kt_snapshot_order order = {
        .file = path, .prefix = kt_slice_str("/registry/"), .skip_hash_check = skip, .visit = visit, .context = ret};
    return kt_snapshot_read(&order, told, err);
}

static bool read_image(const struct image *image, struct visited *ret, struct kt_error *err)
{
    struct kt_snapshot_told told;
    return read_bytes(KT_SLICE(image->bytes, sizeof(image->bytes)), true, ret, &told, err);
}

static void test_newest(void **state)
{
    struct image image;
    struct visited visited;
    struct kt_snapshot_told told;
    struct kt_error err = KT_ERROR_INIT;
    scratch = *state;
    image_store(&image);
    struct kt_slice bytes = KT_SLICE(image.bytes, 8 * IMAGE_PAGE);
    assert_true(read_bytes(bytes, true, &visited, &told, &err));
    assert_string_equal(visited.text, "/registry/b/2={\"b\":2} /registry/a/1={\"a\":1} /registry/b/1={\"b\":1} ");
    assert_int_equal(told.revision, 9);
    assert_false(told.summed);
    assert_int_equal(told.format, KT_SNAPSHOT_ETCD);
    /* The other meta page will do, where the newer one is not whole. */
    image.bytes[IMAGE_PAGE + 30] ^= 1;
    assert_true(read_bytes(bytes, true, &visited, &told, &err));
    assert_int_equal(visited.n, 3);
    image.bytes[30] ^= 1;
    assert_false(read_bytes(bytes, true, &visited, &told, &err));
    assert_int_equal(err.code, KT_E_IO);
    image.bytes[IMAGE_PAGE + 30] ^= 1;
    assert_true(read_bytes(bytes, true, &visited, &told, &err));
    assert_int_equal(visited.n, 3);
}

static void test_no_checksum(void **state)
{
    struct image image;
    struct visited visited;
    struct kt_snapshot_told told;
    struct kt_error err = KT_ERROR_INIT;
    scratch = *state;
    image_store(&image);
    struct kt_slice bytes = KT_SLICE(image.bytes, 8 * IMAGE_PAGE);
    assert_false(read_bytes(bytes, false, &visited, &told, &err));
    assert_int_equal(err.code, KT_E_CONFIG);
    assert_non_null(strstr(err.hint, "--skip-hash-check"));
    /* 32 bytes behind whole pages are one, and a wrong one is wrong, whatever was said. */
    bytes.len += 32;
    assert_false(read_bytes(bytes, true, &visited, &told, &err));
    assert_non_null(strstr(err.message, "its SHA-256 is not the one"));
    bytes.len -= 1;
    assert_false(read_bytes(bytes, true, &visited, &told, &err));
    assert_non_null(strstr(err.message, "no whole pages"));
}

static void test_no_backup(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        enum kt_code code;
        const char *says;
    } CASES[] = {
        {"", 0, KT_E_CONFIG, "found 0 bytes"},
        {"k8s:enc", 7, KT_E_CONFIG, "found 7 bytes"},
        {"PK\x03\x04 and a zip file behind it", 30, KT_E_CONFIG, "packed"},
        {"\x1f\x8b\x08 and a gzip file behind it", 30, KT_E_CONFIG, "packed"},
        {"nothing that is known, of some length", 37, KT_E_IO, "no file of etcd"},
        {"SQLite format 3\0 and nothing behind it", 39, KT_E_IO, "sqlite says"},
    };
    scratch = *state;
    for (size_t i = 0; i < KT_ARRAY_LEN(CASES); i++) {
        struct visited visited;
        struct kt_snapshot_told told;
        struct kt_error err = KT_ERROR_INIT;
        assert_false(read_bytes(KT_SLICE(CASES[i].bytes, CASES[i].n), true, &visited, &told, &err));
        assert_int_equal(err.code, CASES[i].code);
        if (!strstr(err.message, CASES[i].says))
            fail_msg("%s", err.message);
    }
}

/* ---- damage ---- */

static void put64(struct image *image, size_t at, uint64_t v)
{
    memcpy(image->bytes + at, &v, sizeof(v));
}

static void put32(struct image *image, size_t at, uint32_t v)
{
    memcpy(image->bytes + at, &v, sizeof(v));
}

enum { BRANCH = 3 * IMAGE_PAGE, LOW = 4 * IMAGE_PAGE, HIGH = 5 * IMAGE_PAGE };

static void in_a_circle(struct image *image)
{
    put64(image, BRANCH + 16 + 16 + 8, 3);
}
static void a_page_twice(struct image *image)
{
    put64(image, BRANCH + 16 + 8, 5);
}
static void a_page_beyond(struct image *image)
{
    put64(image, BRANCH + 16 + 8, 8);
}
static void a_meta_page(struct image *image)
{
    put64(image, BRANCH + 16 + 8, 1);
}
static void another_number(struct image *image)
{
    put64(image, LOW, 6);
}
static void too_long(struct image *image)
{
    put32(image, HIGH + 12, 3);
}
static void an_empty_leaf(struct image *image)
{
    image->bytes[LOW + 10] = 0;
}
static void an_empty_branch(struct image *image)
{
    image->bytes[BRANCH + 10] = 0;
}
static void another_kind(struct image *image)
{
    image->bytes[LOW + 8] = 0x10;
}
static void a_key_outside(struct image *image)
{
    put32(image, LOW + 16 + 4, IMAGE_PAGE - 20);
}
static void a_key_in_the_head(struct image *image)
{
    put32(image, LOW + 16 + 4, 16);
}
static void a_long_value(struct image *image)
{
    put32(image, LOW + 16 + 12, UINT32_MAX);
}
static void out_of_order(struct image *image)
{
    image->bytes[LOW + 16 + 4 * 16 + 7] = 200; /* revision 2 is 200 */
}
static void a_leaf_of_another_place(struct image *image)
{
    struct image_item items[2];
    static uint8_t rooms[2][512];
    image_revision(&items[0], 2, "/registry/a/1", "x", rooms[0]);
    image_revision(&items[1], 8, "/registry/a/2", "x", rooms[1]);
    items[0].child = 4;
    items[1].child = 5; /* whose first key is 6 */
    image_page(image, 3, IMAGE_BRANCH, 0, items, 2);
}
static void no_revision(struct image *image)
{
    image->bytes[LOW + 16 + 4 * 16 + 8] = '-';
}
static void another_revision(struct image *image)
{
    struct image_item item;
    static uint8_t room[512];
    image_revision(&item, 5, "/registry/a/1", "x", room);
    item.key[7] = 4;
    image_page(image, 4, IMAGE_LEAF, 0, &item, 1);
}
static void no_key_and_value(struct image *image)
{
    struct image_item item;
    static uint8_t room[512];
    image_revision(&item, 5, "/registry/a/1", "x", room);
    room[1] = 0xff;
    image_page(image, 4, IMAGE_LEAF, 0, &item, 1);
}
static void no_bucket(struct image *image)
{
    image->bytes[2 * IMAGE_PAGE + 16 + 2 * 16] = 'j';
}
static void a_short_bucket(struct image *image)
{
    put32(image, 2 * IMAGE_PAGE + 16 + 12, 15);
}
static void no_root(struct image *image)
{
    image_meta(image, 0, 8);
}
static void more_pages_than_there_are(struct image *image)
{
    image_meta(image, 2, IMAGE_PAGES + 1);
}

static void test_damaged(void **state)
{
    static const struct {
        void (*damage)(struct image *image);
        const char *says;
    } CASES[] = {
        {in_a_circle, "circle"},
        {a_page_twice, "not in their order"},
        {a_page_beyond, "which it does not have"},
        {a_meta_page, "which it does not have"},
        {another_number, "another number"},
        {too_long, "longer than the file"},
        {an_empty_leaf, "nothing in it"},
        {an_empty_branch, "nothing in it"},
        {another_kind, "another kind"},
        {a_key_outside, "does not lie in it"},
        {a_key_in_the_head, "does not lie in it"},
        {a_long_value, "does not lie in it"},
        {out_of_order, "not in their order"},
        {a_leaf_of_another_place, "a key before those"},
        {no_revision, "expected a revision"},
        {another_revision, "is of revision 5"},
        {no_key_and_value, "is no key and value"},
        {no_bucket, "expected the bucket key"},
        {a_short_bucket, "is too short"},
        {no_root, "damaged"},
        {more_pages_than_there_are, "expected 17 pages"},
    };
    scratch = *state;
    for (size_t i = 0; i < KT_ARRAY_LEN(CASES); i++) {
        struct image image;
        struct visited visited;
        struct kt_error err = KT_ERROR_INIT;
        image_store(&image);
        CASES[i].damage(&image);
        if (read_image(&image, &visited, &err))
            fail_msg("%zu: read as %s", i, visited.text);
        assert_int_equal(err.code, KT_E_IO);
        assert_int_equal(visited.n, 0); /* it is looked through before anything is told */
        if (!strstr(err.message, CASES[i].says))
            fail_msg("%zu: %s", i, err.message);
    }
}

/* ---- the set of keys ---- */

static void test_key_set(void **state)
{
    enum { KEYS = 3000, PASSES = 3 };
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_key_set_free_p) struct kt_key_set *set = kt_key_set_new(&err);
    size_t seen = 0;
    (void)state;
    assert_non_null(set);
    assert_int_equal(kt_key_set_passes(0), 1);
    assert_int_equal(kt_key_set_passes(3 * UINT64_C(524288)), 4);
    for (uint64_t pass = 0; pass < PASSES; pass++) {
        kt_key_set_begin(set, pass, PASSES);
        for (unsigned i = 0; i < 2 * KEYS; i++) {
            char key[32];
            enum kt_key_set_found found;
            snprintf(key, sizeof(key), "key %u", i % KEYS);
            assert_true(kt_key_set_add(set, kt_slice_str(key), &found, &err));
            seen += found == KT_KEY_SET_NEW;
            assert_true(i < KEYS || found != KT_KEY_SET_NEW);
            assert_true(i >= KEYS || found != KT_KEY_SET_KNOWN);
        }
    }
    assert_int_equal(seen, KEYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_newest),  SCRATCH_TEST(test_no_checksum), SCRATCH_TEST(test_no_backup),
        SCRATCH_TEST(test_damaged), cmocka_unit_test(test_key_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
