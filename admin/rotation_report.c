/* SPDX-License-Identifier: Apache-2.0 */
/* What a rotation came to: the plan, the answer, in words and as JSON. */
#include "admin/rotation_run.h"
#include "base/printable.h"
#include "rotation/texts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A step of the plan in words: what is written, or what is waited for. */
static void plan_text(const struct kt_plan_line *line, char *ret, size_t cap)
{
    if (line->step == KT_STEP_GENERATION)
        snprintf(ret, cap, "write a generation: %s", kt_recipe_text(line->recipe));
    else
        snprintf(ret, cap, "%s, until %s", kt_step_text(line->step), kt_gate_expected(line->gate));
}

static void print_estimate(const struct kt_estimate *estimate)
{
    if (estimate->counted)
        printf("\n%" PRIu64 " objects to be rewritten: some %" PRIu64 " s at %u a second, besides what is waited for\n",
               estimate->objects, estimate->seconds, estimate->rate);
}

static json_t *estimate_json(const struct kt_estimate *estimate)
{
    return estimate->counted ? json_pack("{s:I,s:I,s:I}", "objects", (json_int_t)estimate->objects, "seconds",
                                         (json_int_t)estimate->seconds, "rate", (json_int_t)estimate->rate)
                             : json_null();
}

static void print_plan(const struct kt_rotation *rotation)
{
    char text[256];
    if (rotation->n_plan == 0)
        puts("Nothing is left to do.");
    for (size_t i = 0; i < rotation->n_plan; i++) {
        plan_text(&rotation->plan[i], text, sizeof(text));
        printf("%2zu  %-18s  %s\n", i + 1, kt_stage_text(rotation->plan[i].stage), text);
    }
    print_estimate(&rotation->estimate);
}

static json_t *plan_json(const struct kt_rotation *rotation)
{
    json_t *steps = json_array();
    for (size_t i = 0; steps && i < rotation->n_plan; i++) {
        const struct kt_plan_line *line = &rotation->plan[i];
        json_array_append_new(steps, json_pack("{s:s,s:s,s:s,s:s}", "stage", kt_stage_text(line->stage), "step",
                                               kt_step_text(line->step), "gate", kt_gate_text(line->gate), "change",
                                               line->recipe != KT_RECIPE_NONE ? kt_recipe_text(line->recipe) : ""));
    }
    return steps;
}

static json_t *done_json(const struct kt_rotation *rotation)
{
    json_t *steps = json_array();
    for (size_t i = 0; steps && i < rotation->n_done; i++)
        json_array_append_new(steps, json_pack("{s:I,s:s}", "generation", (json_int_t)rotation->done[i].generation,
                                               "change", rotation->done[i].change));
    return steps;
}

static json_t *forced_json(const struct kt_rotation *rotation)
{
    json_t *gates = json_array();
    for (unsigned gate = 0; gates && gate < KT_GATE_COUNT; gate++) {
        if ((rotation->confirmed & UINT64_C(1) << gate) != 0)
            json_array_append_new(gates,
                                  json_pack("{s:s,s:s}", "gate", kt_gate_text(gate), "risk", kt_gate_risk(gate)));
    }
    return gates;
}

static bool print_json(const struct kt_rotation *rotation, struct kt_error *err)
{
    const struct kt_keyring_info *info = rotation->described.info;
    json_t *value = kt_json_new("Rotation");
    if (value) {
        json_object_set_new(value, "command", json_string(kt_rotation_name(rotation)));
        json_object_set_new(value, "changed", json_boolean(rotation->n_done > 0));
        json_object_set_new(value, "stage", json_string(kt_stage_text(info->stage)));
        json_object_set_new(value, "membership", json_integer((json_int_t)info->membership));
        json_object_set_new(value, "generation", json_integer((json_int_t)info->generation));
        if (rotation->asked->older_than > 0)
            json_object_set_new(value, "due", json_boolean(!rotation->young));
        json_object_set_new(value, "served", json_boolean(rotation->served));
        json_object_set_new(value, "generations", done_json(rotation));
        json_object_set_new(value, "forced", forced_json(rotation));
        json_object_set_new(value, "rewritten", json_integer((json_int_t)rotation->n_rewritten));
        json_object_set_new(value, "leftOver", rotation->left ? json_incref(rotation->left) : json_array());
        json_object_set_new(value, "leftOverMore", json_integer((json_int_t)rotation->left_more));
        if (rotation->options->dry_run) {
            json_object_set_new(value, "plan", plan_json(rotation));
            json_object_set_new(value, "estimate", estimate_json(&rotation->estimate));
        }
    }
    return kt_json_print(value, err);
}

static bool has_archived(const struct kt_rotation *rotation)
{
    for (size_t i = 0; i < rotation->n_done; i++)
        if (strcmp(rotation->done[i].change, kt_recipe_text(KT_RECIPE_ARCHIVE)) == 0)
            return true;
    return false;
}

bool kt_rotation_report(const struct kt_rotation *rotation, struct kt_error *err)
{
    if (rotation->options->json)
        return print_json(rotation, err);
    if (rotation->migrated)
        printf("the active key is of type %s already: nothing to do\n", kt_key_type_text(rotation->order.new_type));
    else if (rotation->takes)
        puts("these keys would be taken in, and the one that encrypts there be made the active one; then a rotation");
    else if (rotation->young)
        puts("the active key is not as old as that: nothing to do");
    else if (rotation->options->dry_run)
        print_plan(rotation);
    else if (rotation->kept_own)
        puts("no key can leave: those that are due are in the distribution's own encryption config, and kept as long");
    else if (rotation->order.kind == KT_ORDER_RETIRE && !has_archived(rotation))
        puts("no key is retiring: nothing to do");
    else if (rotation->narrowed_end)
        puts(rotation->n_rewritten > 0 ? "what was asked for is rewritten; nothing retires"
                                       : "nothing of what was asked for had to be rewritten; nothing retires");
    else
        puts(kt_rotation_success(rotation->order.kind));
    if (rotation->asked->to_distro && !rotation->options->dry_run)
        puts("next, on each server: keyturn config unwire, and restart it as that says");
    return kt_output_done(err);
}

void kt_rotation_report_left(const struct kt_rotation *rotation)
{
    struct kt_error ignored = KT_ERROR_INIT;
    if (json_array_size(rotation->left) == 0)
        return;
    if (rotation->options->json)
        (void)!print_json(rotation, &ignored);
    else
        kt_rotation_print_left(rotation);
}
