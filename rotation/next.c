/* SPDX-License-Identifier: Apache-2.0 */
#include "rotation/rules.h"

#include <string.h>

static const struct {
    kt_gate_check *open;
    enum kt_code code;
} gates[KT_GATE_COUNT] = {
#define KT_GATE(name, open, code, expected, hint, risk) [KT_GATE_##name] = {kt_gate_##open, KT_E_##code},
#include "rotation/gates.def"
#undef KT_GATE
};

bool kt_view_row_applies(const struct kt_view *view, const struct kt_row *row)
{
    return (row->orders & KT_ORDER_BIT(view->order->kind)) != 0 && (row->stages & KT_STAGE_BIT(view->stage)) != 0 &&
           kt_view_condition(view, row->condition);
}

bool kt_gate_is_open(enum kt_gate gate, const struct kt_view *view, struct kt_miss *ret)
{
    return gates[gate].open(view, ret);
}

/* What this gate makes of it: open, or open because of --force, or shut. */
static bool passes(struct kt_view *view, const struct kt_row *row, struct kt_next *ret)
{
    struct kt_miss miss = {.missing = 0};
    struct kt_miss forced = {.missing = 0};
    if (gates[row->gate].open(view, &miss))
        return true;
    ret->subject = miss.subject;
    ret->missing = miss.missing;
    ret->until = miss.until;
    view->lenient = true;
    bool may_force = (row->forced_by & KT_ORDER_BIT(view->order->kind)) != 0;
    ret->forcible = may_force && gates[row->gate].open(view, &forced);
    view->lenient = false;
    if (may_force && !ret->forcible && view->order->force && forced.missing > 0) {
        ret->subject = forced.subject; /* of what --force does not go past either */
        ret->missing = forced.missing;
    }
    if (!ret->forcible || !view->order->force)
        return false;
    ret->forced |= UINT64_C(1) << row->gate;
    return true;
}

static const char *rotating(const struct kt_view *view)
{
    const struct kt_keyring_info *keyring = view->keyring;
    const struct kt_key_info *last = &keyring->keys[view->n_listed - 1];
    switch (view->stage) {
    case KT_STAGE_PREPARE:
        return last->state == KT_KEY_READY ? last->id : "";
    case KT_STAGE_ROTATE:
    case KT_STAGE_REENCRYPT_REQUEST:
    case KT_STAGE_REENCRYPT_ACTIVE:
        return keyring->keys[0].id;
    default:
        return view->order->rotating;
    }
}

static void fill(const struct kt_view *view, const struct kt_row *row, struct kt_next *ret)
{
    ret->step = row->step;
    ret->gate = row->gate;
    if (row->step == KT_STEP_REFUSE)
        ret->code = gates[row->gate].code;
    if (row->step == KT_STEP_WAIT) /* something may have been done already: never "nothing changed" */
        ret->code = KT_E_INCOMPLETE;
    if (row->step == KT_STEP_GENERATION) {
        ret->recipe = row->recipe;
        kt_recipe_fill(view, row->recipe, ret);
    }
    if (row->step == KT_STEP_CONFIG) {
        ret->n_providers = view->n_providers;
        memcpy(ret->providers, view->providers, view->n_providers * sizeof ret->providers[0]);
    }
}

void kt_rotation_next_by(const struct kt_rules *rules, const struct kt_facts *facts, const struct kt_order *order,
                         struct kt_next *ret)
{
    struct kt_view view;
    kt_view_init(rules, facts, order, &view);
    ret->step = KT_STEP_DONE;
    ret->gate = KT_GATE_NONE;
    ret->code = KT_OK;
    ret->forced = 0;
    ret->recipe = KT_RECIPE_NONE;
    ret->n_edits = 0;
    ret->n_providers = 0;
    memcpy(ret->rotating, rotating(&view), strlen(rotating(&view)) + 1);
    for (size_t i = 0; i < rules->n_rows; i++) {
        const struct kt_row *row = &rules->rows[i];
        if (kt_view_row_applies(&view, row) && !passes(&view, row, ret)) {
            fill(&view, row, ret);
            return;
        }
    }
    ret->subject = 0;
    ret->missing = 0;
    ret->until = 0;
    ret->forcible = false;
}

void kt_rotation_next(const struct kt_facts *facts, const struct kt_order *order, struct kt_next *ret)
{
    kt_rotation_next_by(&kt_rotation_rules, facts, order, ret);
}
