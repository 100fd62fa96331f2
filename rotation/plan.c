/* SPDX-License-Identifier: Apache-2.0 */
/* --dry-run: the rows in the order in which they would come, each step taken for done and each wait for over. */
#include "rotation/rules.h"

#include <string.h>

static const enum kt_stage leads_to[KT_RECIPE_COUNT] = {
#define KT_RECIPE(name, stage, text) [KT_RECIPE_##name] = (enum kt_stage)(stage),
#include "rotation/recipes.def"
#undef KT_RECIPE
};

#define BIT(gate) (UINT64_C(1) << KT_GATE_##gate)

struct planner {
    struct kt_view view;
    uint64_t anew;          /* gates that an earlier step of the plan shuts */
    bool done[KT_ROWS_MAX]; /* rows */
    size_t n;
    struct kt_plan_line *lines;
};

/* Whether a kms key is the one that API servers write under then: only there Status and canaries are asked. */
static bool kms_encrypts_after(const struct planner *p, enum kt_recipe recipe)
{
    const struct kt_view *view = &p->view;
    bool is_new = recipe == KT_RECIPE_ACTIVATE && view->keyring->stage != KT_STAGE_PREPARE;
    size_t i = recipe == KT_RECIPE_ACTIVATE && !is_new ? view->n_listed - 1 : 0;
    if (is_new && view->order->new_type)
        return view->order->new_type == KT_KEY_KMS;
    return recipe != KT_RECIPE_DISABLE && view->keyring->keys[i].type == KT_KEY_KMS;
}

/* Gates that a generation shuts again. */
static uint64_t shuts(const struct planner *p, enum kt_recipe recipe)
{
    const struct kt_order *order = p->view.order;
    bool in_file = p->view.inline_listed || (order->new_type != 0 && order->new_type != KT_KEY_KMS);
    uint64_t file = BIT(CONFIG) | BIT(LOADED);
    uint64_t asked = kms_encrypts_after(p, recipe) ? BIT(SEEN) | BIT(WRITES) : 0;
    switch (recipe) {
    case KT_RECIPE_ENABLE:
    case KT_RECIPE_DISABLE:
        return BIT(SERVED) | file | asked | BIT(COUNTED) | BIT(CURRENT);
    case KT_RECIPE_STRICT:
    case KT_RECIPE_UNSTRICT:
        return BIT(SERVED) | file;
    case KT_RECIPE_ACTIVATE:
        return BIT(SERVED) | (in_file ? file : 0) | asked | BIT(COUNTED) | BIT(CURRENT);
    case KT_RECIPE_ADD:
    case KT_RECIPE_ARCHIVE:
        return BIT(SERVED) | (in_file ? file : 0);
    default:
        return BIT(SERVED);
    }
}

/* What a refusal or an alarm would be about shows only then. */
static bool is_due(const struct planner *p, size_t i, const struct kt_row *row)
{
    struct kt_miss ignored = {.missing = 0};
    if (p->done[i] || row->step == KT_STEP_REFUSE || row->gate == KT_GATE_RESTARTED || row->gate == KT_GATE_CLEAN ||
        !kt_view_row_applies(&p->view, row))
        return false;
    if (row->gate == KT_GATE_CURRENT && !p->view.facts->store.counted)
        return true;
    return (p->anew & UINT64_C(1) << row->gate) != 0 || !kt_gate_is_open(row->gate, &p->view, &ignored);
}

static void apply(struct planner *p, const struct kt_rules *rules, enum kt_recipe recipe)
{
    uint64_t shut = shuts(p, recipe);
    p->view.stage = leads_to[recipe] ? leads_to[recipe] : p->view.stage;
    if (recipe == KT_RECIPE_ENABLE || recipe == KT_RECIPE_DISABLE)
        p->view.enabled = recipe == KT_RECIPE_ENABLE;
    if (recipe == KT_RECIPE_STRICT || recipe == KT_RECIPE_UNSTRICT)
        p->view.strict = recipe == KT_RECIPE_STRICT;
    p->anew |= shut;
    for (size_t i = 0; i < rules->n_rows; i++)
        if ((shut & UINT64_C(1) << rules->rows[i].gate) != 0)
            p->done[i] = false;
}

static void plan_row(struct planner *p, const struct kt_rules *rules, size_t i)
{
    const struct kt_row *row = &rules->rows[i];
    p->done[i] = true;
    p->lines[p->n++] =
        (struct kt_plan_line){.step = row->step, .gate = row->gate, .recipe = row->recipe, .stage = p->view.stage};
    if (row->step == KT_STEP_GENERATION)
        apply(p, rules, row->recipe);
    if (row->gate == KT_GATE_HOLD)
        p->anew |= BIT(COUNTED_LATE);
    for (size_t other = 0; row->step == KT_STEP_REWRITE && other < rules->n_rows; other++)
        if (rules->rows[other].gate == KT_GATE_COUNTED)
            p->done[other] = false;
}

size_t kt_rotation_plan(const struct kt_facts *facts, const struct kt_order *order,
                        struct kt_plan_line ret[KT_PLAN_MAX])
{
    const struct kt_rules *rules = &kt_rotation_rules;
    struct planner p = {.lines = ret};
    kt_view_init(rules, facts, order, &p.view);
    for (size_t i = 0; i < rules->n_rows && p.n < KT_PLAN_MAX;) {
        if (!is_due(&p, i, &rules->rows[i])) {
            i++;
            continue;
        }
        plan_row(&p, rules, i);
        i = 0; /* what it shut stands higher */
    }
    return p.n;
}
