/* SPDX-License-Identifier: Apache-2.0 */
#include "rotation/rules.h"

/* The letters of rows.def and stages.def. */
#define P        KT_ORDER_BIT(KT_ORDER_PREPARE)
#define C        KT_ORDER_BIT(KT_ORDER_CANCEL)
#define R        KT_ORDER_BIT(KT_ORDER_ROTATE)
#define E        KT_ORDER_BIT(KT_ORDER_REENCRYPT)
#define K        KT_ORDER_BIT(KT_ORDER_ROTATE_KEYS)
#define T        KT_ORDER_BIT(KT_ORDER_RETIRE)
#define N        KT_ORDER_BIT(KT_ORDER_ENABLE)
#define D        KT_ORDER_BIT(KT_ORDER_DISABLE)
#define A        KT_ORDER_BIT(KT_ORDER_APPLY)
#define ALL      (P | C | R | E | K | T | N | D | A)
#define START    KT_STAGE_BIT(KT_STAGE_START)
#define PREPARE  KT_STAGE_BIT(KT_STAGE_PREPARE)
#define ROTATE   KT_STAGE_BIT(KT_STAGE_ROTATE)
#define REQUEST  KT_STAGE_BIT(KT_STAGE_REENCRYPT_REQUEST)
#define ACTIVE   KT_STAGE_BIT(KT_STAGE_REENCRYPT_ACTIVE)
#define FINISHED KT_STAGE_BIT(KT_STAGE_REENCRYPT_FINISHED)
#define ANY      (START | PREPARE | ROTATE | REQUEST | ACTIVE | FINISHED)

/* A list of rows, counted by the compiler, in a fixed array that a test can copy. */
enum {
#define KT_ROW(orders, stages, condition, gate, step, recipe, forced_by) +1
    N_ROWS = 0
#include "rotation/rows.def"
#undef KT_ROW
};
_Static_assert(N_ROWS <= KT_ROWS_MAX, "KT_ROWS_MAX");

const struct kt_rules kt_rotation_rules = {
    .n_rows = N_ROWS,
    .rows =
        {
#define KT_ROW(orders, stages, condition, gate, step, recipe, forced_by) \
    {(orders), (stages), KT_IF_##condition, KT_GATE_##gate, KT_STEP_##step, KT_RECIPE_##recipe, (forced_by)},
#include "rotation/rows.def"
#undef KT_ROW
        },
};

const struct kt_stages kt_rotation_stages[KT_ORDER_COUNT] = {
#define KT_STAGES(order, allowed, forced, success) [KT_ORDER_##order] = {(allowed), (forced), (success)},
#include "rotation/stages.def"
#undef KT_STAGES
};
