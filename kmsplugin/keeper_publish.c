/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "kmsplugin/keeper.h"

#include <inttypes.h>
#include <string.h>

#define PUBLISH_EVERY_NS KT_NS_PER_S

/* The hint says what to type, so it must not be what is cut off. */
static void say_error(char text[KT_HEALTHZ_MAX], const struct kt_error *error)
{
    if (error->hint[0])
        (void)snprintf(text, KT_HEALTHZ_MAX, "%.140s; %.110s", error->message, error->hint);
    else
        (void)snprintf(text, KT_HEALTHZ_MAX, "%.250s", error->message);
}

/* Only what keeps the active key from wrapping and unwrapping; all else is a warning. */
static void describe(const struct kt_keeper *k, char text[KT_HEALTHZ_MAX])
{
    const struct kt_keyset *set = k->keys;
    if (!k->attempted)
        (void)snprintf(text, KT_HEALTHZ_MAX, "starting: the keyring has not been opened yet");
    else if (!set)
        say_error(text, &k->load_error);
    else if (set->below_floor)
        (void)snprintf(text, KT_HEALTHZ_MAX,
                       "decrypt only: generation %" PRIu64 " of the keyring is not the newest that this node "
                       "had; keyturn keyring offer FILE with the newest one",
                       set->info->generation);
    else if (kt_keyset_idle(set))
        (void)snprintf(text, KT_HEALTHZ_MAX,
                       "no key of type kms: the active key is an inline one (%s), which kube-apiserver has in its "
                       "EncryptionConfiguration; it does not need this plugin",
                       kt_key_type_text(set->info->keys[0].type));
    else if (k->test_error.code != KT_OK)
        say_error(text, &k->test_error);
    else if (kt_usage_count(&k->usage, set->info->keys[set->encrypts].id) >= KT_USAGE_LIMIT)
        (void)snprintf(text, KT_HEALTHZ_MAX,
                       "the active key has reached its limit of 2^32 encryptions: keyturn rotate-keys");
    else
        (void)snprintf(text, KT_HEALTHZ_MAX, "ok");
}

enum kt_code kt_keeper_unloaded_code(const struct kt_keeper *k)
{
    return k->load_error.code != KT_OK ? k->load_error.code : KT_E_UNREACHABLE;
}

static void prepare(struct kt_keeper *k)
{
    struct kt_keeper_answer *answer = &k->prepared;
    const struct kt_keyset *set = k->keys;
    memset(answer, 0, sizeof(*answer));
    answer->op = KT_KEEPER_STATUS;
    answer->len = (uint32_t)strlen(k->healthz);
    memcpy(answer->data, k->healthz, answer->len);
    if (!set)
        return;
    answer->membership = set->info->membership;
    answer->generation = set->info->generation;
    answer->flags = KT_KEEPER_LOADED | (set->below_floor ? KT_KEEPER_BELOW_FLOOR : 0);
    if (set->encrypts != KT_NO_KEY)
        memcpy(answer->key_id, set->info->keys[set->encrypts].id, KT_KEY_ID_LEN);
}

static void publish_key(const struct kt_keeper *k, size_t i, struct kt_keeper_key *ret)
{
    const struct kt_key_info *key = &k->keys->info->keys[i];
    *ret = (struct kt_keeper_key){.type = key->type,
                                  .state = key->state,
                                  .created = key->created,
                                  .encryptions = kt_usage_count(&k->usage, key->id),
                                  .encrypts = i == k->keys->encrypts,
                                  .superseded = key->superseded,
                                  .selftest_ok = k->keys->keys[i].selftest_ok};
    memcpy(ret->id, key->id, sizeof(ret->id));
    memcpy(ret->name, key->name, sizeof(ret->name));
}

static void publish_keyring(const struct kt_keeper *k, struct kt_keeper_page *page)
{
    page->loaded = k->keys != NULL;
    page->membership = k->prepared.membership;
    page->generation = k->prepared.generation;
    page->below_floor = k->keys && k->keys->below_floor;
    page->idle = k->keys && kt_keyset_idle(k->keys);
    page->n_keys = 0;
    if (!k->keys)
        return;
    for (size_t i = 0; i < k->keys->info->n_keys; i++)
        publish_key(k, i, &page->keys[i]);
    page->n_keys = (uint32_t)k->keys->info->n_keys;
}

static void publish_page(const struct kt_keeper *k)
{
    struct kt_keeper_page *page = k->page;
    kt_page_begin(&page->sequence);
    publish_keyring(k, page);
    page->disk_tested = k->disk_tested;
    page->disk_ok = k->disk_ok;
    page->disk_time = k->disk_time;
    page->selftest_time = k->selftest_time;
    memcpy(page->healthz, k->healthz, sizeof(page->healthz));
    kt_page_end(&page->sequence);
    atomic_store(&page->memory_locked, (uint64_t)k->memory + 1);
}

static void log_change(const char *healthz, bool idle)
{
    bool good = idle || strcmp(healthz, "ok") == 0;
    kt_log(good ? KT_LOG_NOTICE : KT_LOG_ERROR, "healthz", KT_TEXT("healthz", healthz));
}

void kt_keeper_publish(struct kt_keeper *k)
{
    char text[sizeof(k->healthz)] = {0};
    describe(k, text);
    if (strcmp(text, k->healthz) != 0) {
        memcpy(k->healthz, text, sizeof(text));
        if (k->attempted)
            log_change(k->healthz, k->keys && kt_keyset_idle(k->keys));
    }
    prepare(k);
    publish_page(k);
    k->dirty = false;
    k->publish_ns = kt_clock_monotonic_ns() + PUBLISH_EVERY_NS;
}
