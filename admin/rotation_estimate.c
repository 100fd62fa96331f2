/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan costs: the objects that it would have rewritten, and the time for that. */
#include "admin/census.h"
#include "admin/rotation_run.h"

/* Of small servers, so rather too slow (bench/reencrypt: 1,300 on two cores that run etcd as well). */
#define RATE 500u

/* Another key than any that something is stored under now comes to the front. */
static bool brings_a_key(const struct kt_rotation *rotation)
{
    enum kt_stage stage = rotation->described.info->stage;
    return rotation->order.kind == KT_ORDER_ROTATE_KEYS &&
           (stage == KT_STAGE_START || stage == KT_STAGE_PREPARE || stage == KT_STAGE_REENCRYPT_FINISHED);
}

static bool is_affected(const struct kt_rotation *rotation, const struct kt_tally_row *row)
{
    const struct kt_stored_rule *rule = kt_stored_rule_of(&rotation->look->rules, row);
    int ref = kt_census_ref(rotation->look, row);
    int wanted = rotation->order.kind == KT_ORDER_DISABLE ? KT_REF_IDENTITY : KT_REF_KEY(0);
    bool ours = ref >= KT_REF_KEYS || ref == KT_REF_ARCHIVED || (rule && rule->managed);
    return ours && !row->internal && ref != KT_REF_UNKNOWN && (ref != wanted || brings_a_key(rotation));
}

static bool rewrites(enum kt_order_kind kind)
{
    return kind == KT_ORDER_REENCRYPT || kind == KT_ORDER_ROTATE_KEYS || kind == KT_ORDER_ENABLE ||
           kind == KT_ORDER_DISABLE;
}

bool kt_rotation_estimate(struct kt_rotation *rotation, struct kt_error *err)
{
    struct kt_look *look = rotation->look;
    struct kt_estimate *estimate = &rotation->estimate;
    size_t n = 0;
    if (!rewrites(rotation->order.kind) || !look->store)
        return true;
    if (!kt_rotation_census(rotation, err))
        return false;
    const struct kt_tally_row *const *rows = kt_tally_rows(look->census->tally, &n);
    *estimate = (struct kt_estimate){.counted = true, .rate = RATE};
    for (size_t i = 0; i < n; i++)
        estimate->objects += is_affected(rotation, rows[i]) ? rows[i]->count : 0;
    if (rotation->asked->max_rate > 0 && rotation->asked->max_rate < RATE)
        estimate->rate = rotation->asked->max_rate;
    estimate->seconds = (estimate->objects + estimate->rate - 1) / estimate->rate;
    return true;
}
