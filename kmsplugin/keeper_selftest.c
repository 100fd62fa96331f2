/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "kmsplugin/keeper.h"

#include <string.h>

static const uint8_t sample_text[KT_SAMPLE_LEN] = "keyturn selftest";

static bool seal_sample(struct kt_keyset *set, size_t i, struct kt_usage *usage, struct kt_error *err)
{
    struct kt_loaded_key *key = &set->keys[i];
    key->sampled = kt_usage_take(usage, set->info->keys[i].id, err) &&
                   kt_cipher_seal(key->cipher, sample_text, sizeof(sample_text), key->sample, err);
    return key->sampled;
}

static bool open_sample(struct kt_loaded_key *key, struct kt_error *err)
{
    uint8_t opened[KT_SAMPLE_LEN] = {0};
    size_t len = 0;
    if (!kt_cipher_open(key->cipher, key->sample, sizeof(key->sample), opened, &len, err))
        return false;
    if (len != sizeof(opened) || memcmp(opened, sample_text, sizeof(opened)) != 0)
        return kt_fail(err, KT_E_CRYPTO, "a sample was unwrapped to other bytes");
    return true;
}

/* A key that has reached its limit cannot seal a sample, but still decrypts. */
static bool test_key(struct kt_keyset *set, size_t i, struct kt_usage *usage, struct kt_error *err)
{
    struct kt_loaded_key *key = &set->keys[i];
    if ((!key->sampled || i == set->encrypts) && !seal_sample(set, i, usage, err))
        return err->code == KT_E_KMS_EXHAUSTED && i != set->encrypts;
    return open_sample(key, err);
}

bool kt_keyset_test(struct kt_keyset *set, struct kt_usage *usage, struct kt_keeper_page *page, struct kt_error *err)
{
    bool good = true;
    kt_usage_reserve(usage, set->info);
    for (size_t i = 0; i < set->info->n_keys; i++) {
        struct kt_error error = KT_ERROR_INIT;
        bool was = set->keys[i].selftest_ok;
        if (!set->keys[i].cipher)
            continue;
        kt_count(&page->selftests);
        set->keys[i].selftest_ok = test_key(set, i, usage, &error);
        if (set->keys[i].selftest_ok)
            continue;
        kt_count(&page->selftest_failures);
        (void)kt_error_prefix(&error, "key %s", set->info->keys[i].id);
        if (was)
            kt_log_error(KT_LOG_ERROR, "selftest-failed", &error);
        if (i == set->encrypts) {
            good = false;
            *err = error;
        }
    }
    return good;
}

void kt_keeper_selftest_tick(struct kt_keeper *k, uint64_t now)
{
    struct kt_error error = KT_ERROR_INIT;
    if (!k->keys || now < k->selftest_ns)
        return;
    k->selftest_ns = now + k->config.selftest_keys_s * KT_NS_PER_S;
    bool good = kt_keyset_test(k->keys, &k->usage, k->page, &error);
    if (good && k->test_error.code != KT_OK)
        kt_log(KT_LOG_NOTICE, "selftest-recovered");
    k->test_error = error;
    if (good)
        kt_error_clear(&k->test_error);
    k->selftest_time = kt_clock_real_s();
    k->dirty = true;
    k->publish_ns = now;
}

uint64_t kt_keeper_selftest_next(const struct kt_keeper *k)
{
    return k->keys ? k->selftest_ns : KT_NEVER;
}
