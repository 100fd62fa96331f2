/* SPDX-License-Identifier: Apache-2.0 */
#include "base/attrs.h"
#include "cluster/wiped_heap.h"
#include "tests/unit/base/unit.h"

#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* free(3), as wiped_heap.c sees it (the linker's --wrap): what is in the block when it goes. */
static char seen[64];
static bool watching;
void __real_free(void *block);
void __wrap_free(void *block);

void __wrap_free(void *block)
{
    if (watching && block)
        memcpy(seen, block, malloc_usable_size(block) < sizeof(seen) ? malloc_usable_size(block) : sizeof(seen));
    __real_free(block);
}

static char *make(const char *text)
{
    char *block = malloc(64);
    assert_non_null(block);
    memset(block, 'x', 64);
    memcpy(block, text, strlen(text) + 1);
    return block;
}

static void wipes_before_it_frees(void **state)
{
    (void)state;
    static const char zeros[64];
    memset(seen, 'y', sizeof(seen));
    char *block = make("hunter2");
    watching = true;
    kt_wiped_free(block);
    watching = false;
    assert_memory_equal(seen, zeros, sizeof(seen));
    kt_wiped_free(NULL);
}

static void wipes_what_it_moves_from(void **state)
{
    (void)state;
    static const char zeros[64];
    memset(seen, 'y', sizeof(seen));
    char *block = make("hunter2");
    watching = true;
    char *larger = kt_wiped_realloc(block, 100000);
    watching = false;
    assert_non_null(larger);
    assert_string_equal(larger, "hunter2");
    assert_memory_equal(seen, zeros, sizeof(seen));
    assert_ptr_equal(kt_wiped_realloc(larger, 10), larger);
    assert_null(kt_wiped_realloc(larger, 0));
    char *fresh = kt_wiped_realloc(NULL, 16);
    assert_non_null(fresh);
    kt_wiped_free(fresh);
}

static void jansson_uses_it(void **state)
{
    (void)state;
    json_malloc_t get = NULL;
    json_free_t put = NULL;
    assert_true(kt_wiped_heap_use(NULL));
    assert_true(kt_wiped_heap_use(NULL));
    json_get_alloc_funcs(&get, &put);
    assert_ptr_equal(put, kt_wiped_free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wipes_before_it_frees),
        cmocka_unit_test(wipes_what_it_moves_from),
        cmocka_unit_test(jansson_uses_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
