/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "kmsplugin/keeper.h"

#include <string.h>

static void adopt(struct kt_keeper *k, struct kt_keyset *set, const struct kt_error *tested)
{
    struct kt_keyset *old = k->keys;
    k->keys = set;
    k->test_error = *tested;
    k->selftest_time = kt_clock_real_s();
    k->selftest_ns = kt_clock_monotonic_ns() + k->config.selftest_keys_s * KT_NS_PER_S;
    kt_error_clear(&k->load_error);
    kt_error_clear(&k->reload_error);
    kt_keyset_free(old);
    kt_log(KT_LOG_NOTICE, "keyring-in-force", KT_NUM("membership", set->info->membership),
           KT_NUM("generation", set->info->generation), KT_NUM("keys", set->info->n_keys),
           KT_BOOL("decrypt_only", set->below_floor));
    for (size_t i = 0; i < set->n_notes; i++)
        kt_log(KT_LOG_WARNING, "keyring-note", KT_TEXT("message", set->notes[i]));
}

/* An active key that does not work is refused where the old one can go on; at a start there is nothing else, and
 * healthz says it. */
static bool judge(struct kt_keeper *k, struct kt_keyset *set, struct kt_error *ret_tested, struct kt_error *err)
{
    if (k->keys && !kt_keyset_follows(set, k->keys, err))
        return false;
    if (kt_keyset_test(set, &k->usage, k->page, ret_tested))
        kt_error_clear(ret_tested);
    else if (k->keys && ret_tested->code != KT_E_KMS_EXHAUSTED) {
        *err = *ret_tested;
        return false;
    }
    return true;
}

/* A floor that cannot be written (a full disk) keeps nobody from being served what is on the disk already: the higher
 * of the two counts. It is tried again, and an offer that finds it so has failed. */
static bool install(struct kt_keeper *k, const struct kt_job *job, const struct kt_keyset *set,
                    const struct kt_opener_answer *answer, struct kt_error *err)
{
    bool installed = kt_state_dir_install(k->dir, &job->state, kt_bytes_view(&job->offered), answer, err);
    kt_keeper_tell_audit(k, answer);
    if (installed) {
        kt_error_clear(&k->floor_error);
        return true;
    }
    bool in_place = answer->same && (!k->keys || kt_keyset_same(set, k->keys));
    if (job->kind == KT_JOB_OFFER || !in_place)
        return false;
    if (k->floor_error.code == KT_OK)
        kt_log_error(KT_LOG_ERROR, "floor-not-written", err);
    k->floor_error = *err;
    kt_error_clear(err);
    return true;
}

static void remember(struct kt_keeper *k, struct kt_job *job)
{
    struct kt_bytes *from = job->offered.len > 0 ? &job->offered : &job->state.current;
    kt_bytes_done(&k->document);
    k->document = *from;
    *from = (struct kt_bytes){.data = NULL};
}

bool kt_keeper_swap(struct kt_keeper *k, struct kt_job *job, struct kt_opener_answer *answer, bool *ret_changed,
                    struct kt_error *err)
{
    struct kt_error tested = KT_ERROR_INIT;
    KT_CLEANUP(kt_keyset_free_p) struct kt_keyset *set = kt_keyset_new(answer, err);
    if (!set)
        return false;
    if (!judge(k, set, &tested, err))
        return false;
    /* The install reads the answer's info, which the set has taken. */
    answer->info = set->info;
    bool installed = install(k, job, set, answer, err);
    answer->info = NULL;
    if (!installed)
        return false;
    *ret_changed = !k->keys || !kt_keyset_same(set, k->keys);
    adopt(k, KT_TAKE_PTR(set), &tested);
    remember(k, job);
    return true;
}
