/* SPDX-License-Identifier: Apache-2.0 */
/* prepare, rotate, reencrypt, rotate-keys, enable, disable, config apply. */
#include "admin/rotation_run.h"

#include <errno.h>
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
    bool done = kt_rotation_run(&line->options, asked, rotation, &err) && kt_rotation_report(rotation, &err);
    if (!done)
        kt_rotation_report_left(rotation);
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
