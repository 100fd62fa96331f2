/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The self-test of keys, with a cipher that goes wrong: the linker passes kt_cipher_seal and kt_cipher_open of the
 * self-test through the functions here (--wrap), which then do what `harm` says to the active key's.
 */
#include "kmsplugin/keeper.h"
#include "tests/unit/base/unit.h"
#include "tests/unit/kmsplugin/keyset_fixture.h"

#define ACTIVE   0u
#define RETIRING 1u
#define CBC      2u
#define ID       "key aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: "

enum harm { NONE, CANNOT_SEAL, CANNOT_OPEN, OTHER_BYTES, FEWER_BYTES };

static enum harm harm;
static struct kt_keeper_page page;
static struct kt_usage usage;
static struct kt_keyset *set;

bool __real_kt_cipher_seal(struct kt_cipher *cipher, const uint8_t *plaintext, size_t len, uint8_t *ret,
                           struct kt_error *err);
bool __wrap_kt_cipher_seal(struct kt_cipher *cipher, const uint8_t *plaintext, size_t len, uint8_t *ret,
                           struct kt_error *err);
bool __real_kt_cipher_open(struct kt_cipher *cipher, const uint8_t *ciphertext, size_t len, uint8_t *ret,
                           size_t *ret_len, struct kt_error *err);
bool __wrap_kt_cipher_open(struct kt_cipher *cipher, const uint8_t *ciphertext, size_t len, uint8_t *ret,
                           size_t *ret_len, struct kt_error *err);

static bool harms(const struct kt_cipher *cipher, enum harm how)
{
    return cipher == set->keys[ACTIVE].cipher && harm == how;
}

bool __wrap_kt_cipher_seal(struct kt_cipher *cipher, const uint8_t *plaintext, size_t len, uint8_t *ret,
                           struct kt_error *err)
{
    if (harms(cipher, CANNOT_SEAL))
        return kt_fail(err, KT_E_CRYPTO, "no AES today");
    return __real_kt_cipher_seal(cipher, plaintext, len, ret, err);
}

bool __wrap_kt_cipher_open(struct kt_cipher *cipher, const uint8_t *ciphertext, size_t len, uint8_t *ret,
                           size_t *ret_len, struct kt_error *err)
{
    uint8_t copy[KT_KMS_CIPHERTEXT_MAX];
    memcpy(copy, ciphertext, len);
    copy[len - 1] ^= harms(cipher, CANNOT_OPEN) ? 1 : 0;
    if (!__real_kt_cipher_open(cipher, copy, len, ret, ret_len, err))
        return false;
    ret[0] ^= harms(cipher, OTHER_BYTES) ? 1 : 0;
    *ret_len -= harms(cipher, FEWER_BYTES) ? 1 : 0;
    return true;
}

static int make(void **state)
{
    static struct kt_opener_answer answer;
    const struct key_plan keys[] = {{'a', KT_KEY_KMS, KT_KEY_ACTIVE, false},
                                    {'b', KT_KEY_KMS, KT_KEY_RETIRING, false},
                                    {'c', KT_KEY_AESCBC, KT_KEY_READY, false}};
    (void)state;
    harm = NONE;
    memset(&page, 0, sizeof(page));
    memset(&usage, 0, sizeof(usage));
    usage.dirfd = -1;
    plan_answer(&answer, 1, keys, KT_ARRAY_LEN(keys));
    set = kt_keyset_new(&answer, NULL);
    kt_opener_answer_done(&answer);
    return set ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    kt_keyset_free(set);
    return 0;
}

/* Another key's cipher in the place of this one's. */
static struct kt_cipher *spoil(size_t i)
{
    const uint8_t bytes[KT_KEY_BYTES] = {0x5a};
    struct kt_secret *key = kt_secret_new_copy(bytes, sizeof(bytes), NULL);
    struct kt_cipher *right = set->keys[i].cipher;
    assert_non_null(key);
    set->keys[i].cipher = kt_cipher_new(set->info->keyring_id, set->info->keys[i].id, key, NULL);
    assert_non_null(set->keys[i].cipher);
    kt_secret_free(key);
    return right;
}

static void mend(size_t i, struct kt_cipher *right)
{
    kt_cipher_free(set->keys[i].cipher);
    set->keys[i].cipher = right;
}

static void expect_counted(uint64_t tests, uint64_t failures)
{
    assert_int_equal(atomic_load(&page.selftests), tests);
    assert_int_equal(atomic_load(&page.selftest_failures), failures);
}

static void expect_good(void)
{
    struct kt_error err = KT_ERROR_INIT;
    assert_true(kt_keyset_test(set, &usage, &page, &err));
    assert_int_equal(err.code, KT_OK);
    assert_true(set->keys[ACTIVE].selftest_ok && set->keys[RETIRING].selftest_ok);
}

static void each_key_of_type_kms_is_tried(void **state)
{
    (void)state;
    expect_good();
    expect_counted(2, 0);
    assert_false(set->keys[CBC].selftest_ok);
    expect_good();
    expect_counted(4, 0);
    /* The active one proves each time that it wraps; another one is not used up by being tried. */
    assert_int_equal(kt_usage_count(&usage, set->info->keys[ACTIVE].id), 2);
    assert_int_equal(kt_usage_count(&usage, set->info->keys[RETIRING].id), 1);
}

static const struct {
    enum harm harm;
    enum kt_code code;
    const char *words;
} harms_done[] = {
    {CANNOT_SEAL, KT_E_CRYPTO, ID "no AES today"},
    {CANNOT_OPEN, KT_E_KMS_CIPHERTEXT, ID "the ciphertext does not authenticate"},
    {OTHER_BYTES, KT_E_CRYPTO, ID "a sample was unwrapped to other bytes"},
    {FEWER_BYTES, KT_E_CRYPTO, ID "a sample was unwrapped to other bytes"},
};

static void active_key_that_fails_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(harms_done); i++) {
        struct kt_error err = KT_ERROR_INIT;
        harm = harms_done[i].harm;
        if (kt_keyset_test(set, &usage, &page, &err))
            fail_msg("harm %zu is not seen", i);
        assert_int_equal(err.code, harms_done[i].code);
        assert_ptr_equal(strstr(err.message, harms_done[i].words), err.message);
        assert_false(set->keys[ACTIVE].selftest_ok);
        assert_true(set->keys[RETIRING].selftest_ok);
        expect_counted(4 * i + 2, i + 1);
        harm = NONE;
        expect_good();
        expect_counted(4 * i + 4, i + 1);
    }
}

static void another_key_that_fails_does_not_stop_the_active_one(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    expect_good();
    struct kt_cipher *right = spoil(RETIRING);
    assert_true(kt_keyset_test(set, &usage, &page, &err));
    assert_int_equal(err.code, KT_OK);
    assert_true(set->keys[ACTIVE].selftest_ok);
    assert_false(set->keys[RETIRING].selftest_ok);
    expect_counted(4, 1);
    mend(RETIRING, right);
    expect_good();
    expect_counted(6, 1);
}

static void use_up(size_t i)
{
    struct kt_usage_entry *entry = &usage.entries[usage.n++];
    *entry = (struct kt_usage_entry){.used = KT_USAGE_LIMIT, .reserved = KT_USAGE_LIMIT};
    memcpy(entry->id, set->info->keys[i].id, sizeof(entry->id));
}

static void key_at_its_limit_still_decrypts(void **state)
{
    (void)state;
    use_up(RETIRING);
    expect_good();
    expect_counted(2, 0);
}

static void active_key_at_its_limit_is_told(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    use_up(ACTIVE);
    assert_false(kt_keyset_test(set, &usage, &page, &err));
    assert_int_equal(err.code, KT_E_KMS_EXHAUSTED);
    expect_counted(2, 1);
}

static void nothing_that_encrypts_is_no_failure(void **state)
{
    (void)state;
    set->encrypts = KT_NO_KEY;
    expect_good();
    expect_good();
    expect_counted(4, 0);
    assert_int_equal(kt_usage_count(&usage, set->info->keys[ACTIVE].id), 1);
}

/* When it is due, and what an operator reads then. */
static void expect_tick(struct kt_keeper *k, uint64_t now, const char *healthz)
{
    k->dirty = false;
    kt_keeper_selftest_tick(k, now);
    assert_true(k->dirty);
    assert_int_equal(k->publish_ns, now);
    assert_int_equal(kt_keeper_selftest_next(k), now + 60 * KT_NS_PER_S);
    kt_keeper_publish(k);
    assert_ptr_equal(strstr(k->healthz, healthz), k->healthz);
    assert_string_equal(k->healthz, page.healthz);
    assert_memory_equal(k->prepared.data, k->healthz, k->prepared.len);
    assert_int_equal(page.keys[ACTIVE].selftest_ok, strcmp(healthz, "ok") == 0);
}

static void healthz_is_not_ok_as_long_as_the_active_key_fails(void **state)
{
    static struct kt_keeper k;
    (void)state;
    memset(&k, 0, sizeof(k));
    k.page = &page;
    k.usage.dirfd = -1;
    k.attempted = true;
    k.config.selftest_keys_s = 60;
    assert_int_equal(kt_keeper_selftest_next(&k), KT_NEVER);
    kt_keeper_selftest_tick(&k, 100 * KT_NS_PER_S);
    expect_counted(0, 0);
    k.keys = set;
    k.selftest_ns = 100 * KT_NS_PER_S;
    kt_keeper_selftest_tick(&k, 100 * KT_NS_PER_S - 1);
    expect_counted(0, 0);
    expect_tick(&k, 100 * KT_NS_PER_S, "ok");
    expect_counted(2, 0);
    harm = CANNOT_OPEN;
    expect_tick(&k, 160 * KT_NS_PER_S, ID "the ciphertext does not authenticate");
    expect_tick(&k, 220 * KT_NS_PER_S, ID "the ciphertext does not authenticate");
    harm = NONE;
    expect_tick(&k, 280 * KT_NS_PER_S, "ok");
    expect_counted(8, 2);
    struct kt_cipher *right = spoil(RETIRING);
    expect_tick(&k, 340 * KT_NS_PER_S, "ok");
    assert_int_equal(page.keys[RETIRING].selftest_ok, 0);
    expect_counted(10, 3);
    mend(RETIRING, right);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_key_of_type_kms_is_tried),
        TEST(active_key_that_fails_is_told),
        TEST(another_key_that_fails_does_not_stop_the_active_one),
        TEST(key_at_its_limit_still_decrypts),
        TEST(active_key_at_its_limit_is_told),
        TEST(nothing_that_encrypts_is_no_failure),
        TEST(healthz_is_not_ok_as_long_as_the_active_key_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
