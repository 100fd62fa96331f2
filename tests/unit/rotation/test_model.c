/* SPDX-License-Identifier: Apache-2.0 */
/* The walk: every world that can be reached is checked; and each rule is taken away once, to see the walk find what it
 * is for. With the argument `deep` the larger worlds too. */
#include "model_settings.h"
#include "tests/unit/base/unit.h"

#include <stdio.h>
#include <string.h>

#ifdef KT_SANITIZED
#define STATES_MAX 20000u /* an instrumented walk looks for what sanitizers find */
#else
#define STATES_MAX 0u
#endif

static void tell(const char *name, const struct model_result *r)
{
    printf("model: %-80s %8zu states %9zu transitions %7zu dones %7zu healed %5.1f s%s%s%s\n", name, r->states,
           r->transitions, r->dones, r->healed, r->seconds, r->bounded ? " (bounded)" : "", r->broken ? ": " : "",
           r->broken ? r->broken : "");
}

static void walk(const struct model_setting *setting, size_t max)
{
    struct model_result r = model_walk(setting, max, true);
    tell(setting->name, &r);
    assert_null(r.broken);
    assert_true(r.bounded || r.dones > 0);
    assert_true(r.bounded || !setting->heals || r.healed > 0);
}

static void test_every_world(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODEL_SETTINGS; i++)
        walk(&model_settings[i], STATES_MAX);
}

static void test_deep_worlds(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODEL_DEEP_SETTINGS; i++)
        walk(&model_deep_settings[i], 0);
}

/* One rule less. Rows with these gates do not count for these orders in these stages. */
struct mutation {
    const char *name;
    enum model_setting_name setting;
    enum kt_gate gates[5];
    unsigned orders; /* KT_ORDER_BIT; 0: all */
    unsigned stages; /* KT_STAGE_BIT; 0: all */
    size_t n_orders; /* the setting's first so many; 0: all */
    bool early;      /* the second census counts as soon as the first would */
    bool heals;      /* it shows only in what never comes to an end */
    bool no_hold;
    bool forgets;
    bool cancel_archives;
    bool hides_changes;
    const char *finds;
};
#define RETIRE     KT_ORDER_BIT(KT_ORDER_RETIRE)
#define ENABLE     KT_ORDER_BIT(KT_ORDER_ENABLE)
#define DISABLE    KT_ORDER_BIT(KT_ORDER_DISABLE)
#define PREPARE    KT_ORDER_BIT(KT_ORDER_PREPARE)
#define ROTATES    (KT_ORDER_BIT(KT_ORDER_ROTATE) | KT_ORDER_BIT(KT_ORDER_ROTATE_KEYS))
#define REENCRYPTS (KT_ORDER_BIT(KT_ORDER_REENCRYPT) | KT_ORDER_BIT(KT_ORDER_ROTATE_KEYS))
#define AT_PREPARE KT_STAGE_BIT(KT_STAGE_PREPARE)
#define GONE       "an object is left under a key that is gone"
#define UNREADABLE "a running API server cannot read an object"

static const struct mutation mutations[] = {
    {.name = "no hold (kms)", .n_orders = 2, .setting = MODEL_KMS, .no_hold = true, .finds = GONE},
    {.name = "no hold (inline)", .n_orders = 2, .setting = MODEL_INLINE, .no_hold = true, .finds = GONE},
    {.name = "no second census (kms)",
     .n_orders = 2,
     .setting = MODEL_KMS,
     .gates = {KT_GATE_COUNTED_LATE, KT_GATE_CLEAN, KT_GATE_COMPLETE},
     .orders = RETIRE,
     .finds = GONE},
    {.name = "no second census (inline)",
     .n_orders = 2,
     .setting = MODEL_INLINE,
     .gates = {KT_GATE_COUNTED_LATE, KT_GATE_CLEAN, KT_GATE_COMPLETE},
     .orders = RETIRE,
     .finds = GONE},
    {.name = "no census at all",
     .setting = MODEL_KMS_ONE,
     .gates = {KT_GATE_COUNTED, KT_GATE_CURRENT, KT_GATE_COUNTED_LATE, KT_GATE_CLEAN, KT_GATE_COMPLETE},
     .finds = "rewritten, although objects were left"},
    {.name = "no census before the hold",
     .setting = MODEL_KMS_ONE,
     .gates = {KT_GATE_COUNTED, KT_GATE_CURRENT, KT_GATE_COMPLETE},
     .orders = REENCRYPTS,
     .finds = "rewritten, although objects were left"},
    {.name = "promoted before every API server has loaded the key",
     .setting = MODEL_INLINE,
     .gates = {KT_GATE_LOADED},
     .orders = ROTATES,
     .stages = AT_PREPARE,
     .finds = UNREADABLE},
    {.name = "promoted before every node serves the key",
     .setting = MODEL_KMS,
     .gates = {KT_GATE_SERVED},
     .orders = ROTATES,
     .stages = AT_PREPARE,
     .finds = UNREADABLE},
    {.name = "promoted while a node cannot be asked",
     .setting = MODEL_KMS,
     .gates = {KT_GATE_NODES},
     .orders = ROTATES,
     .stages = AT_PREPARE,
     .finds = UNREADABLE},
    {.name = "promoted while an API server cannot be asked",
     .setting = MODEL_INLINE,
     .gates = {KT_GATE_SERVERS},
     .orders = ROTATES,
     .stages = AT_PREPARE,
     .finds = UNREADABLE},
    {.name = "rotated without a canary",
     .setting = MODEL_KMS,
     .gates = {KT_GATE_WRITES},
     .finds = "rotated, although an API server writes under something else"},
    {.name = "prepared before the key is served",
     .setting = MODEL_KMS_ONE,
     .gates = {KT_GATE_SERVED},
     .orders = PREPARE,
     .finds = "prepare said done before every node served the new key"},
    {.name = "prepared before the key is loaded",
     .setting = MODEL_INLINE_ONE,
     .gates = {KT_GATE_LOADED},
     .orders = PREPARE,
     .finds = "prepare said done before every API server had loaded the new key"},
    {.name = "retired while an API server cannot be asked",
     .setting = MODEL_KMS,
     .gates = {KT_GATE_SERVERS, KT_GATE_ALIVE},
     .orders = RETIRE,
     .early = true,
     .finds = GONE},
    {.name = "retired as soon as an API server that was paused is back",
     .n_orders = 2,
     .setting = MODEL_KMS,
     .gates = {KT_GATE_ALIVE},
     .orders = RETIRE,
     .early = true,
     .finds = GONE},
    {.name = "the hold does not begin anew when an API server comes over late",
     .setting = MODEL_INLINE_ONE_FILE,
     .n_orders = 2,
     .hides_changes = true,
     .finds = GONE},
    {.name = "a key that was put away stays so",
     .setting = MODEL_KMS_DISK,
     .gates = {KT_GATE_PUT_BACK},
     .heals = true,
     .finds = "nothing can be rewritten"},
    {.name = "a node lets go of a key that it used lately", .setting = MODEL_KMS_DISK, .forgets = true, .finds = GONE},
    {.name = "a node overwrites a config file with an archived key in front",
     .setting = MODEL_INLINE_FILE,
     .forgets = true,
     .finds = GONE},
    {.name = "prepare --cancel archives at once", .setting = MODEL_KMS_ONE, .cancel_archives = true, .finds = GONE},
    {.name = "the identity goes without a hold", .setting = MODEL_KMS_ON_OFF, .no_hold = true, .finds = UNREADABLE},
    {.name = "the identity comes first before it is listed",
     .setting = MODEL_INLINE_ON_OFF,
     .gates = {KT_GATE_LOADED},
     .orders = DISABLE,
     .finds = UNREADABLE},
    {.name = "the key comes first before it is listed",
     .setting = MODEL_TO_INLINE,
     .gates = {KT_GATE_LOADED},
     .orders = ROTATES,
     .stages = AT_PREPARE,
     .finds = UNREADABLE},
};

static void take_away(struct kt_rules *rules, const struct mutation *m)
{
    for (size_t i = 0; i < rules->n_rows; i++)
        for (size_t g = 0; g < KT_ARRAY_LEN(m->gates); g++) {
            struct kt_row *row = &rules->rows[i];
            if (m->early && row->gate == KT_GATE_COUNTED_LATE)
                row->gate = KT_GATE_COUNTED;
            if (m->gates[g] == KT_GATE_NONE || row->gate != m->gates[g])
                continue;
            /* A row of several orders and stages is left to the others. */
            if (m->stages == 0 || (row->stages & ~m->stages) == 0)
                row->orders &= m->orders ? ~m->orders : 0;
            else
                row->stages &= ~m->stages;
        }
    rules->no_hold = m->no_hold;
}

static void test_every_rule_is_needed(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(mutations); i++) {
        const struct mutation *m = &mutations[i];
        struct kt_rules rules = kt_rotation_rules;
        struct model_setting setting = model_settings[m->setting];
        take_away(&rules, m);
        setting.rules = &rules;
        setting.n_orders = m->n_orders ? m->n_orders : setting.n_orders;
        setting.heals = setting.heals && m->heals;
        setting.forgets = m->forgets;
        setting.cancel_archives = m->cancel_archives;
        setting.hides_changes = m->hides_changes;
        (void)fprintf(stderr, "without a rule: %s\n", m->name);
        struct model_result r = model_walk(&setting, STATES_MAX, true);
        tell(m->name, &r);
        if (r.bounded) /* instrumented: the others find it */
            continue;
        assert_non_null(r.broken);
        assert_true(r.trace_len > 0);
        assert_string_equal(r.broken, m->finds);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_world),
        cmocka_unit_test(test_every_rule_is_needed),
    };
    const struct CMUnitTest deep[] = {cmocka_unit_test(test_deep_worlds)};
    if (argc > 1 && strcmp(argv[1], "deep") == 0)
        return cmocka_run_group_tests(deep, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
