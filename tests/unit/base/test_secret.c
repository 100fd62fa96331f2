/* SPDX-License-Identifier: Apache-2.0 */
#include "base/locked.h"
#include "base/secret.h"
#include "unit.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t PATTERN[32] = "a key that must not be found....";

/* Runs f in a child; true if the child ended by itself with status 0. */
static bool child_succeeds(bool (*f)(void *), void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(f(arg) ? 0 : 1);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The flags that the kernel shows for the mapping with this address, proc(5). */
static void find_vm_flags(const void *address, char *ret, size_t cap)
{
    KT_CLEANUP(fclose_p) FILE *maps = fopen("/proc/self/smaps", "re");
    assert_non_null(maps);
    char line[512];
    bool inside = false;
    ret[0] = '\0';
    while (fgets(line, sizeof(line), maps)) {
        char *dash = NULL;
        unsigned long start = strtoul(line, &dash, 16);
        if (*dash == '-')
            inside = (uintptr_t)address >= start && (uintptr_t)address < strtoul(dash + 1, NULL, 16);
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(ret, cap, "%s", line);
    }
}

static void is_zero_at_first(void **state)
{
    (void)state;
    static const size_t LENGTHS[] = {1, 15, 16, 32, 4096, 4097, KT_SECRET_MAX};
    for (size_t i = 0; i < KT_ARRAY_LEN(LENGTHS); i++) {
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *secret = kt_secret_new(LENGTHS[i], NULL);
        assert_non_null(secret);
        assert_int_equal(kt_secret_len(secret), LENGTHS[i]);
        assert_ptr_equal(kt_secret_bytes(secret), kt_secret_view(secret));
        assert_int_equal((uintptr_t)kt_secret_view(secret) % 16, 0);
        for (size_t j = 0; j < LENGTHS[i]; j++)
            assert_int_equal(kt_secret_view(secret)[j], 0);
        memset(kt_secret_bytes(secret), 0xff, LENGTHS[i]);
    }
}

static void refuses_senseless_lengths(void **state)
{
    (void)state;
    static const size_t LENGTHS[] = {0, KT_SECRET_MAX + 1, SIZE_MAX, SIZE_MAX - 4095};
    for (size_t i = 0; i < KT_ARRAY_LEN(LENGTHS); i++) {
        struct kt_error err = KT_ERROR_INIT;
        assert_null(kt_secret_new(LENGTHS[i], &err));
        assert_int_equal(err.code, KT_E_INTERNAL);
        assert_null(kt_secret_new_random(LENGTHS[i], &err));
        assert_null(kt_secret_new_copy(PATTERN, LENGTHS[i], &err));
        struct kt_locked locked = {.body = NULL};
        if (LENGTHS[i] != KT_SECRET_MAX + 1)
            assert_false(kt_locked_map(LENGTHS[i], &locked, &err));
        assert_null(locked.body);
        kt_locked_unmap(&locked);
    }
    kt_secret_free(NULL);
}

static void random_ones_differ(void **state)
{
    (void)state;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *a = kt_secret_new_random(32, NULL);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *b = kt_secret_new_random(32, NULL);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *large = kt_secret_new_random(KT_SECRET_MAX, NULL);
    assert_true(a && b && large);
    assert_false(kt_secret_equal(a, b));
    const uint8_t *end = kt_secret_view(large) + KT_SECRET_MAX - 32;
    assert_memory_not_equal(end, kt_secret_view(large), 32);
    uint8_t bytes[32] = {0};
    assert_true(kt_random(bytes, sizeof(bytes), NULL));
    assert_memory_not_equal(bytes, ((uint8_t[32]){0}), 32);
    assert_true(kt_random(bytes, 0, NULL));
}

static void compares(void **state)
{
    (void)state;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *a = kt_secret_new_copy(PATTERN, 32, NULL);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *same = kt_secret_new_copy(PATTERN, 32, NULL);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *shorter = kt_secret_new_copy(PATTERN, 31, NULL);
    assert_true(a && same && shorter);
    assert_true(kt_secret_equal(a, same));
    assert_true(kt_secret_equal(a, a));
    assert_false(kt_secret_equal(a, shorter));
    assert_false(kt_secret_equal(shorter, a));
    kt_secret_bytes(same)[31] ^= 0x80;
    assert_false(kt_secret_equal(a, same));
}

static void wipes(void **state)
{
    (void)state;
    uint8_t bytes[32];
    memcpy(bytes, PATTERN, sizeof(bytes));
    kt_wipe(bytes, sizeof(bytes));
    assert_memory_equal(bytes, ((uint8_t[32]){0}), 32);
    kt_wipe(NULL, 0);
}

static void kernel_knows_that_it_is_secret(void **state)
{
    (void)state;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *secret = kt_secret_new_copy(PATTERN, 32, NULL);
    assert_non_null(secret);
    char flags[512];
    find_vm_flags(kt_secret_view(secret), flags, sizeof(flags));
    assert_non_null(strstr(flags, " dd"));
    assert_non_null(strstr(flags, " wf"));
#ifndef KT_SANITIZED /* the sanitizers' runtimes turn mlock(2) into nothing */
    assert_non_null(strstr(flags, " lo"));
#endif
}

static bool sees_zeros(void *arg)
{
    const struct kt_secret *secret = arg;
    for (size_t i = 0; i < kt_secret_len(secret); i++)
        if (kt_secret_view(secret)[i] != 0)
            return false;
    return true;
}

static void forked_child_sees_zeros(void **state)
{
    (void)state;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *secret = kt_secret_new_copy(PATTERN, 32, NULL);
    assert_non_null(secret);
    assert_true(child_succeeds(sees_zeros, secret));
    assert_memory_equal(kt_secret_view(secret), PATTERN, 32);
}

static bool reads_byte(void *arg)
{
    volatile const uint8_t *byte = arg;
    uint8_t v = *byte;
    (void)v;
    return true;
}

static void guards_stand_on_both_sides(void **state)
{
    (void)state;
    /* Children that die by a sanitizer's report or by the signal must not leave a core file. */
    const struct rlimit none = {0, 0};
    assert_int_equal(setrlimit(RLIMIT_CORE, &none), 0);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *secret = kt_secret_new(4096, NULL);
    assert_non_null(secret);
    uint8_t *bytes = kt_secret_bytes(secret);
    assert_true(child_succeeds(reads_byte, bytes));
    assert_true(child_succeeds(reads_byte, bytes + 4095));
    assert_false(child_succeeds(reads_byte, bytes - 1));
    assert_false(child_succeeds(reads_byte, bytes + 4096));
}

static void is_gone_when_freed(void **state)
{
    (void)state;
    struct kt_secret *secret = kt_secret_new_copy(PATTERN, 32, NULL);
    assert_non_null(secret);
    uint8_t *bytes = kt_secret_bytes(secret);
    kt_secret_free(secret);
    assert_false(child_succeeds(reads_byte, bytes));
}

#ifndef KT_SANITIZED
static bool fails_with_a_hint(void *arg)
{
    (void)arg;
    const struct rlimit none = {0, 0};
    struct kt_error err = KT_ERROR_INIT;
    /* Root may lock whatever the limit says. */
    if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0))
        return false;
    return !kt_secret_new(32, &err) && err.code == KT_E_NOMEM && err.sys_errno != 0 && strstr(err.message, "lock") &&
           strstr(err.hint, "LimitMEMLOCK=infinity") && strstr(err.hint, "ulimit -l");
}

static void failing_to_lock_is_an_error(void **state)
{
    (void)state;
    assert_true(child_succeeds(fails_with_a_hint, NULL));
}
#endif

static size_t count_mappings(void)
{
    KT_CLEANUP(fclose_p) FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    size_t n = 0;
    for (int c = getc(maps); c != EOF; c = getc(maps))
        n += c == '\n';
    return n;
}

static void nothing_stays_mapped(void **state)
{
    (void)state;
    kt_secret_free(kt_secret_new(64, NULL));
    size_t before = count_mappings();
    for (int i = 0; i < 100; i++) {
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *secret = kt_secret_new(64, NULL);
        assert_non_null(secret);
    }
    assert_in_range(count_mappings(), 1, before + 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_zero_at_first),
        cmocka_unit_test(refuses_senseless_lengths),
        cmocka_unit_test(random_ones_differ),
        cmocka_unit_test(compares),
        cmocka_unit_test(wipes),
        cmocka_unit_test(kernel_knows_that_it_is_secret),
        cmocka_unit_test(forked_child_sees_zeros),
        cmocka_unit_test(guards_stand_on_both_sides),
        cmocka_unit_test(is_gone_when_freed),
#ifndef KT_SANITIZED
        cmocka_unit_test(failing_to_lock_is_an_error),
#endif
        cmocka_unit_test(nothing_stays_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
