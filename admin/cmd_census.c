/* SPDX-License-Identifier: Apache-2.0 */
/* census. */
#include "admin/census_report.h"
#include "admin/opener_local.h"

#include <inttypes.h>
#include <string.h>

enum { OPTION_OBJECTS = 0x300, OPTION_FAIL_ON, OPTION_SNAPSHOT, OPTION_SKIP_HASH_CHECK };

static const struct argp_option own_options[] = {
    {.name = "objects",
     .key = OPTION_OBJECTS,
     .arg = "KIND",
     .flags = OPTION_ARG_OPTIONAL,
     .doc = "List the objects, too: all, or those of --fail-on's kinds"},
    {.name = "fail-on",
     .key = OPTION_FAIL_ON,
     .arg = "LIST",
     .doc = "Exit with 8 where one of plaintext, unknown, other, missing, uncovered, key-older-than=90d is found"},
    {.name = "snapshot",
     .key = OPTION_SNAPSHOT,
     .arg = "FILE",
     .doc = "Count a backup: of etcd, or a copy of kine's sqlite file"},
    {.name = "skip-hash-check",
     .key = OPTION_SKIP_HASH_CHECK,
     .doc = "Of a backup of etcd: one without a checksum will do"},
    {0},
};

struct command {
    struct kt_command_line line;
    struct kt_census_asked fail_on;
    struct kt_census_asked objects;
    bool lists;           /* objects */
    const char *snapshot; /* NULL: the store */
    bool skip_hash_check;
    struct kt_error wrong;
    struct kt_config *config;
    struct kt_opener_answer described;
    struct kt_look *look;
    struct kt_census_objects listed;
    uint64_t listed_before; /* of keys that were made before then; 0: any */
    struct kt_census_found found;
    struct kt_needs needs;
};

static void command_done(struct command *command)
{
    kt_needs_done(&command->needs);
    kt_look_free(command->look);
    kt_opener_answer_done(&command->described);
    free(command->config);
    kt_census_objects_done(&command->listed);
}

static void take_kinds(struct command *command, struct kt_census_asked *asked, const char *arg)
{
    if (arg && command->wrong.code == KT_OK)
        (void)!kt_census_asked_parse(arg, asked, &command->wrong);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of kt_command_line.take */
static error_t take(int key, char *arg, void *closure)
{
    struct command *command = closure;
    switch (key) {
    case OPTION_OBJECTS:
        command->lists = true;
        take_kinds(command, &command->objects, arg);
        return 0;
    case OPTION_FAIL_ON:
        take_kinds(command, &command->fail_on, arg);
        return 0;
    case OPTION_SNAPSHOT:
        command->snapshot = arg;
        return 0;
    case OPTION_SKIP_HASH_CHECK:
        command->skip_hash_check = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool visit(void *context, const struct kt_tally_object *object, struct kt_error *err)
{
    struct command *command = context;
    const struct kt_census_asked *asked = &command->objects;
    unsigned kinds = kt_census_kinds_of(command->look, object->row, command->listed_before);
    if (asked->kinds != 0 && (asked->kinds & kinds) == 0)
        return true;
    return kt_census_objects_add(&command->listed, object, err);
}

static void again(void *context)
{
    struct command *command = context;
    kt_census_objects_again(&command->listed);
}

/* ---- run ---- */

static bool check_asked(const struct command *command, struct kt_error *err)
{
    const unsigned by_rules = KT_CENSUS_BIT(KT_CENSUS_PLAINTEXT) | KT_CENSUS_BIT(KT_CENSUS_UNCOVERED);
    unsigned asked = command->fail_on.kinds | command->objects.kinds;
    if ((asked & by_rules) == 0 || command->look->rules.known)
        return true;
    if (command->look->no_config.code != KT_OK)
        return kt_error_copy(err, &command->look->no_config);
    kt_fail(err, KT_E_CONFIG, "expected an EncryptionConfiguration, which says what should be encrypted, found none");
    return kt_error_hint(err, "--encryption-config FILE");
}

static bool open_look(struct command *command, struct kt_error *err)
{
    const struct kt_options *options = &command->line.options;
    command->config = kt_options_config(options, err);
    if (!command->config || !kt_keyring_describe(command->config, &command->described, err))
        return false;
    command->look = command->snapshot ? kt_look_open_files(options, command->config, err)
                                      : kt_look_open(options, command->config, err);
    if (!command->look)
        return false;
    if (!command->look->store && !command->snapshot)
        return kt_error_copy(err, &command->look->no_store);
    command->look->info = command->described.info;
    return kt_look_config(command->look, err) && check_asked(command, err);
}

static bool check_use(const struct command *command, struct kt_error *err)
{
    if (command->wrong.code != KT_OK)
        return kt_error_copy(err, &command->wrong);
    if (command->skip_hash_check && !command->snapshot)
        return kt_fail(err, KT_E_USAGE, "expected --skip-hash-check with --snapshot FILE alone");
    return true;
}

static bool run(struct command *command, struct kt_error *err)
{
    const struct kt_options *options = &command->line.options;
    struct kt_census_order order = {.snapshot = command->snapshot,
                                    .skip_hash_check = command->skip_hash_check,
                                    .visit = command->lists ? visit : NULL,
                                    .again = command->lists ? again : NULL,
                                    .context = command};
    if (!check_use(command, err) || (command->lists && !kt_census_objects_open(options->json, &command->listed, err)))
        return false;
    command->listed_before = kt_census_made_before(&command->objects);
    if (!open_look(command, err) || !kt_census_take(command->look, &order, err) ||
        !kt_needs_find(command->look, &command->needs, err))
        return false;
    kt_census_find(command->look, kt_census_made_before(&command->fail_on), &command->found);
    const struct kt_census_report report = {.look = command->look,
                                            .found = &command->found,
                                            .needs = &command->needs,
                                            .ages = command->fail_on.older_than > 0,
                                            .objects = command->lists ? &command->listed : NULL};
    return options->json ? kt_census_print_json(&report, err) : kt_census_print_text(&report, err);
}

/* What was asked for is found: an error, after the answer. */
static bool judge(const struct command *command, struct kt_error *err)
{
    struct kt_text words;
    kt_text_init(&words, 400);
    for (enum kt_census_kind kind = 0; kind < KT_CENSUS_KINDS; kind++)
        if ((command->fail_on.kinds & KT_CENSUS_BIT(kind)) != 0 && command->found.objects[kind] > 0)
            kt_text_add(&words, "%s%" PRIu64 " objects %s", words.len > 0 ? "; " : "", command->found.objects[kind],
                        kt_census_kind_text(kind));
    bool good = words.len == 0;
    if (!good) {
        kt_fail(err, KT_E_FOUND, "found %s", words.data);
        kt_error_hint(err, "keyturn census --objects=KIND lists them");
    }
    kt_text_done(&words);
    return good;
}

int kt_command_census(int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(command_done) struct command command = {.wrong = KT_ERROR_INIT};
    command.line = (struct kt_command_line){
        .command = kt_command_find("census"), .own = own_options, .take = take, .closure = &command};
    kt_command_parse(&command.line, argc, argv);
    bool good = run(&command, &err) && judge(&command, &err);
    return good ? 0 : kt_print_error(&command.line.options, &err);
}
