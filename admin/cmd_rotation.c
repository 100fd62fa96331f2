/* SPDX-License-Identifier: Apache-2.0 */
/* prepare, rotate, reencrypt, rotate-keys, enable, disable, config apply. */
#include "admin/rotation_run.h"
#include "base/printable.h"
#include "rotation/texts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    OPTION_CANCEL = 0x200,
    OPTION_FORGET,
    OPTION_STRICT,
    OPTION_SKIP,
    OPTION_ACCEPT,
    OPTION_NAMESPACE,
    OPTION_RESOURCE,
    OPTION_CONCURRENCY,
    OPTION_RATE,
    OPTION_OLDER,
    OPTION_TO,
};

#define CONCURRENCY_MAX 256ul
#define RATE_MAX        1000000ul

#define FORGET                                                                           \
    {                                                                                    \
        .name = "forget-api-server", .key = OPTION_FORGET, .arg = "ID",                  \
        .doc = "This API server is gone for good: it is remembered no more (repeatable)" \
    }
static const struct argp_option prepare_options[] = {
    {.name = "cancel", .key = OPTION_CANCEL, .doc = "Take the prepared key back"},
    FORGET,
    {0},
};
static const struct argp_option forget_options[] = {FORGET, {0}};
static const struct argp_option enable_options[] = {
    {.name = "strict",
     .key = OPTION_STRICT,
     .doc = "Take identity out of the list in the end: nothing in clear is read any more"},
    FORGET,
    {0},
};

#define PACE                                                                                            \
    {.name = "concurrency", .key = OPTION_CONCURRENCY, .arg = "N", .doc = "Requests at once, at most"}, \
        {.name = "max-rate", .key = OPTION_RATE, .arg = "N", .doc = "Objects a second, at most"},       \
        {.name = "skip", .key = OPTION_SKIP, .doc = "Old keys stay as they are: none retires"},         \
    {                                                                                                   \
        .name = "accept-plaintext", .key = OPTION_ACCEPT,                                               \
        .doc = "Rewrite what is in clear where encryption had been finished, too"                       \
    }
static const struct argp_option rotate_keys_options[] = {
    PACE,
    {.name = "if-older-than",
     .key = OPTION_OLDER,
     .arg = "AGE",
     .doc = "Begin only where the active key is as old as that (80d); else there is nothing to do"},
    FORGET,
    {0},
};
static const struct argp_option migrate_options[] = {
    {.name = "to",
     .key = OPTION_TO,
     .arg = "TYPE",
     .doc = "kms, aescbc, secretbox, or distro: the own key of k3s or RKE2"},
    PACE,
    FORGET,
    {0},
};
static const struct argp_option reencrypt_options[] = {
    PACE,
    {.name = "namespace", .key = OPTION_NAMESPACE, .arg = "NAME", .doc = "Only objects of this one; nothing retires"},
    {.name = "resource", .key = OPTION_RESOURCE, .arg = "KIND", .doc = "Only these (secrets, ...); nothing retires"},
    FORGET,
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of kt_command_line.take */
static error_t take_forget(int key, char *arg, void *closure)
{
    struct kt_rotation_order *asked = closure;
    if (key != OPTION_FORGET)
        return ARGP_ERR_UNKNOWN;
    if (asked->n_forget == KT_ARRAY_LEN(asked->forget))
        return EINVAL;
    asked->forget[asked->n_forget++] = arg;
    return 0;
}

static error_t take_prepare(int key, char *arg, void *closure)
{
    struct kt_rotation_order *asked = closure;
    if (key != OPTION_CANCEL)
        return take_forget(key, arg, closure);
    asked->order.kind = KT_ORDER_CANCEL;
    return 0;
}

static error_t take_enable(int key, char *arg, void *closure)
{
    struct kt_rotation_order *asked = closure;
    if (key != OPTION_STRICT)
        return take_forget(key, arg, closure);
    asked->order.strict = true;
    return 0;
}

static error_t take_number(const char *arg, unsigned long max, unsigned *ret)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(arg, &end, 10);
    if (errno || end == arg || *end || arg[0] == '-' || value == 0 || value > max)
        return EINVAL;
    *ret = (unsigned)value;
    return 0;
}

static error_t take_reencrypt(int key, char *arg, void *closure)
{
    struct kt_rotation_order *asked = closure;
    switch (key) {
    case OPTION_SKIP:
        asked->order.skip = true;
        return 0;
    case OPTION_ACCEPT:
        asked->order.accept_plaintext = true;
        return 0;
    case OPTION_NAMESPACE:
        asked->namespace = arg;
        return 0;
    case OPTION_RESOURCE:
        asked->resource = arg;
        return 0;
    case OPTION_CONCURRENCY:
        return take_number(arg, CONCURRENCY_MAX, &asked->concurrency);
    case OPTION_RATE:
        return take_number(arg, RATE_MAX, &asked->max_rate);
    case OPTION_TO:
        asked->to_distro = strcmp(arg, "distro") == 0;
        if (asked->to_distro)
            return 0;
        asked->order.new_type = kt_key_type_parse(arg);
        return asked->order.new_type != 0 && asked->order.new_type != KT_KEY_AESGCM ? 0 : EINVAL;
    case OPTION_OLDER:
        return kt_duration_parse(arg, &asked->older_than) && asked->older_than > 0 ? 0 : EINVAL;
    default:
        return take_forget(key, arg, closure);
    }
}

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

static bool print(const struct kt_rotation *rotation, struct kt_error *err)
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

/* What could not be rewritten is told, whatever the command ended with. */
static void print_left(const struct kt_rotation *rotation)
{
    struct kt_error ignored = KT_ERROR_INIT;
    if (json_array_size(rotation->left) == 0)
        return;
    if (rotation->options->json)
        (void)!print_json(rotation, &ignored);
    else
        kt_rotation_print_left(rotation);
}

static bool check_migrate(const struct kt_rotation_order *asked, struct kt_error *err)
{
    if (!asked->migrates || asked->order.new_type || asked->to_distro)
        return true;
    kt_fail(err, KT_E_USAGE, "expected --to TYPE, found none");
    return kt_error_hint(err, "keyturn migrate --to kms");
}

static int run(struct kt_command_line *line, const struct kt_rotation_order *asked, int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    line->timeout_s = KT_ROTATION_TIMEOUT_S;
    kt_command_parse(line, argc, argv);
    if (!check_migrate(asked, &err))
        return kt_print_error(&line->options, &err);
    KT_CLEANUP(kt_free_p) struct kt_rotation *rotation = calloc(1, sizeof(*rotation));
    if (!rotation) {
        kt_fail(&err, KT_E_NOMEM, "out of memory");
        return kt_print_error(&line->options, &err);
    }
    bool done = kt_rotation_run(&line->options, asked, rotation, &err) && print(rotation, &err);
    if (!done)
        print_left(rotation);
    kt_rotation_end(rotation);
    return done ? 0 : kt_print_error(&line->options, &err);
}

static int run_plain(const char *name, enum kt_order_kind kind, int argc, char **argv)
{
    struct kt_rotation_order asked = {.order.kind = kind};
    struct kt_command_line line = {
        .command = kt_command_find(name), .own = forget_options, .take = take_forget, .closure = &asked};
    return run(&line, &asked, argc, argv);
}

int kt_command_prepare(int argc, char **argv)
{
    struct kt_rotation_order asked = {.order.kind = KT_ORDER_PREPARE};
    struct kt_command_line line = {
        .command = kt_command_find("prepare"), .own = prepare_options, .take = take_prepare, .closure = &asked};
    return run(&line, &asked, argc, argv);
}

int kt_command_rotate(int argc, char **argv)
{
    return run_plain("rotate", KT_ORDER_ROTATE, argc, argv);
}

int kt_command_reencrypt(int argc, char **argv)
{
    struct kt_rotation_order asked = {.order.kind = KT_ORDER_REENCRYPT};
    struct kt_command_line line = {
        .command = kt_command_find("reencrypt"), .own = reencrypt_options, .take = take_reencrypt, .closure = &asked};
    return run(&line, &asked, argc, argv);
}

int kt_command_rotate_keys(int argc, char **argv)
{
    struct kt_rotation_order asked = {.order.kind = KT_ORDER_ROTATE_KEYS};
    struct kt_command_line line = {.command = kt_command_find("rotate-keys"),
                                   .own = rotate_keys_options,
                                   .take = take_reencrypt,
                                   .closure = &asked};
    return run(&line, &asked, argc, argv);
}

int kt_command_migrate(int argc, char **argv)
{
    struct kt_rotation_order asked = {.order.kind = KT_ORDER_ROTATE_KEYS, .order.takes_over = true, .migrates = true};
    struct kt_command_line line = {
        .command = kt_command_find("migrate"), .own = migrate_options, .take = take_reencrypt, .closure = &asked};
    return run(&line, &asked, argc, argv);
}

int kt_command_retire(int argc, char **argv)
{
    return run_plain("retire", KT_ORDER_RETIRE, argc, argv);
}

int kt_command_enable(int argc, char **argv)
{
    struct kt_rotation_order asked = {.order.kind = KT_ORDER_ENABLE};
    struct kt_command_line line = {
        .command = kt_command_find("enable"), .own = enable_options, .take = take_enable, .closure = &asked};
    return run(&line, &asked, argc, argv);
}

int kt_command_disable(int argc, char **argv)
{
    return run_plain("disable", KT_ORDER_DISABLE, argc, argv);
}

int kt_command_config_apply(int argc, char **argv)
{
    return run_plain("config apply", KT_ORDER_APPLY, argc, argv);
}
