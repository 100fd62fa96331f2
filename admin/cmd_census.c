/* SPDX-License-Identifier: Apache-2.0 */
/* census. */
#include "admin/census_judge.h"
#include "admin/opener_local.h"
#include "base/printable.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WIDTH_MAX 64
#define AGE_MAX   24u

enum { OPTION_OBJECTS = 0x300, OPTION_FAIL_ON };

static const struct argp_option own_options[] = {
    {.name = "objects",
     .key = OPTION_OBJECTS,
     .arg = "KIND",
     .flags = OPTION_ARG_OPTIONAL,
     .doc = "List the objects, too: all, or those of --fail-on's kinds"},
    {.name = "fail-on",
     .key = OPTION_FAIL_ON,
     .arg = "LIST",
     .doc = "Exit with 8 where one of plaintext, unknown, other, uncovered, key-older-than=90d is found"},
    {0},
};

struct command {
    struct kt_command_line line;
    struct kt_census_asked fail_on;
    struct kt_census_asked objects;
    bool lists; /* objects */
    struct kt_error wrong;
    struct kt_config *config;
    struct kt_opener_answer described;
    struct kt_look *look;
    FILE *listed;           /* the objects, until it is known that they are all */
    uint64_t listed_before; /* of keys that were made before then; 0: any */
    struct kt_census_found found;
};

static void command_done(struct command *command)
{
    kt_look_free(command->look);
    kt_opener_answer_done(&command->described);
    free(command->config);
    if (command->listed)
        (void)fclose(command->listed);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of kt_command_line.take */
static error_t take(int key, char *arg, void *closure)
{
    struct command *command = closure;
    struct kt_census_asked *asked = key == OPTION_OBJECTS ? &command->objects : &command->fail_on;
    if (key != OPTION_OBJECTS && key != OPTION_FAIL_ON)
        return ARGP_ERR_UNKNOWN;
    command->lists = command->lists || key == OPTION_OBJECTS;
    if (arg && command->wrong.code == KT_OK)
        (void)!kt_census_asked_parse(arg, asked, &command->wrong);
    return 0;
}

/* ---- objects ---- */

static void print_object(FILE *out, const struct kt_tally_object *object)
{
    const struct kt_storage_place *place = object->place;
    struct kt_slice name = place->odd ? object->key : place->name;
    char under[KT_UNDER_MAX], text[KT_PRINTABLE_MAX];
    kt_census_under(object->row, under);
    (void)snprintf(text, sizeof(text), "%s%s%s %.*s%s%.*s", object->row->resource, object->row->group[0] ? "." : "",
                   object->row->group, (int)place->namespace.len, (const char *)place->namespace.data,
                   place->namespace.len > 0 ? "/" : "", (int)name.len, (const char *)name.data);
    (void)fprintf(out, "%s %s\n", KT_PRINTABLE(text), under);
}

static json_t *text_of(struct kt_slice bytes)
{
    char text[KT_PRINTABLE_MAX];
    (void)snprintf(text, sizeof(text), "%.*s", (int)(bytes.len < sizeof(text) ? bytes.len : sizeof(text) - 1),
                   (const char *)bytes.data);
    return kt_json_text(text);
}

static json_t *kind_of(const struct kt_tally_row *row)
{
    char text[2 * KT_STORAGE_SEGMENT_MAX + 1];
    (void)snprintf(text, sizeof(text), "%s%s%s", row->resource, row->group[0] ? "." : "", row->group);
    return kt_json_text(text);
}

static bool print_object_json(FILE *out, const struct kt_tally_object *object)
{
    const struct kt_storage_place *place = object->place;
    const struct kt_tally_row *row = object->row;
    KT_CLEANUP_JSON json_t *value = json_pack(
        "{s:o,s:o,s:o,s:s,s:o,s:o}", "resource", kind_of(row), "namespace", text_of(place->namespace), "name",
        text_of(place->odd ? object->key : place->name), "provider", kt_storage_provider_name(row->provider), "plugin",
        text_of(row->provider == KT_STORAGE_KMS_V2 || row->provider == KT_STORAGE_KMS_V1 ? row->name : KT_SLICE("", 0)),
        "key", text_of(row->key_id.len > 0 ? row->key_id : row->name));
    bool first = ftell(out) == 0;
    return value && fputs(first ? "\n    " : ",\n    ", out) >= 0 && json_dumpf(value, out, JSON_COMPACT) == 0;
}

static bool visit(void *context, const struct kt_tally_object *object, struct kt_error *err)
{
    struct command *command = context;
    const struct kt_census_asked *asked = &command->objects;
    unsigned kinds = kt_census_kinds_of(command->look, object->row, command->listed_before);
    if (asked->kinds != 0 && (asked->kinds & kinds) == 0)
        return true;
    if (!command->line.options.json)
        print_object(command->listed, object);
    else if (!print_object_json(command->listed, object))
        return kt_fail(err, KT_E_IO, "the list of objects could not be written");
    return !ferror(command->listed) || kt_fail_errno(err, KT_E_IO, "a temporary file for the list of objects");
}

static void again(void *context)
{
    struct command *command = context;
    rewind(command->listed);
    (void)!ftruncate(fileno(command->listed), 0);
}

static bool copy_listed(struct command *command, struct kt_error *err)
{
    char buffer[16384];
    rewind(command->listed);
    for (size_t n = fread(buffer, 1, sizeof(buffer), command->listed); n > 0;
         n = fread(buffer, 1, sizeof(buffer), command->listed))
        if (fwrite(buffer, 1, n, stdout) != n)
            return kt_output_done(err);
    return !ferror(command->listed) || kt_fail_errno(err, KT_E_IO, "a temporary file for the list of objects");
}

/* ---- the table ---- */

struct cells {
    char kind[2 * KT_STORAGE_SEGMENT_MAX + 1];
    char key[KT_UNDER_MAX];
    char age[AGE_MAX];
    const char *state;
};

static void format_age(uint64_t created, uint64_t now, char ret[AGE_MAX])
{
    uint64_t age = now > created ? now - created : 0;
    if (created == 0)
        (void)snprintf(ret, AGE_MAX, "-");
    else if (age >= 86400)
        (void)snprintf(ret, AGE_MAX, "%" PRIu64 "d", age / 86400);
    else if (age >= 3600)
        (void)snprintf(ret, AGE_MAX, "%" PRIu64 "h", age / 3600);
    else
        (void)snprintf(ret, AGE_MAX, "%" PRIu64 "m", age / 60);
}

static void fill(const struct command *command, const struct kt_tally_row *row, struct cells *ret)
{
    char kind[2 * KT_STORAGE_SEGMENT_MAX + 1];
    (void)snprintf(kind, sizeof(kind), "%s%s%s", row->resource, row->group[0] ? "." : "", row->group);
    (void)snprintf(ret->kind, sizeof(ret->kind), "%.1024s", KT_PRINTABLE(kind));
    kt_census_under(row, ret->key);
    if (row->problem)
        (void)snprintf(ret->key, sizeof(ret->key), "unknown: %s", row->problem);
    format_age(kt_census_created(command->look, row), command->look->census->at_real, ret->age);
    ret->state = kt_census_state(command->look, row);
}

static int wider(int width, const char *text)
{
    int len = (int)strlen(text);
    len = len < WIDTH_MAX ? len : WIDTH_MAX;
    return len > width ? len : width;
}

static bool print_table(const struct command *command, struct kt_error *err)
{
    size_t n = 0;
    const struct kt_tally_row *const *rows = kt_tally_rows(command->look->census->tally, &n);
    KT_CLEANUP(kt_free_p) struct cells *cells = calloc(1, sizeof(*cells));
    int kind = (int)strlen("RESOURCE"), key = (int)strlen("STORED AS");
    if (!cells)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        fill(command, rows[i], cells);
        kind = wider(kind, cells->kind);
        key = wider(key, cells->key);
    }
    printf("%-*s  %-*s  %-10s  %5s  %10s\n", kind, "RESOURCE", key, "STORED AS", "STATE", "AGE", "OBJECTS");
    for (size_t i = 0; i < n; i++) {
        fill(command, rows[i], cells);
        printf("%-*s  %-*s  %-10s  %5s  %10" PRIu64 "\n", kind, cells->kind, key, cells->key, cells->state, cells->age,
               rows[i]->count);
    }
    return true;
}

static bool print_text(struct command *command, struct kt_error *err)
{
    const struct kt_census *census = command->look->census;
    if (!print_table(command, err))
        return false;
    printf("\n%" PRIu64 " objects below %.*s at revision %" PRId64 ": all of them\n", kt_tally_objects(census->tally),
           (int)kt_tally_prefix(census->tally).len, (const char *)kt_tally_prefix(census->tally).data,
           census->live.revision);
    if (census->live.astray > 0)
        printf("%" PRIu64 " more are on servers where kube-apiserver does not look for them\n", census->live.astray);
    if (!command->look->rules.known)
        printf("no EncryptionConfiguration is known (--encryption-config): nothing says what should be encrypted\n");
    for (enum kt_census_kind kind = 0; kind < KT_CENSUS_KINDS; kind++)
        if (command->found.objects[kind] > 0)
            printf("%s: %" PRIu64 " %s\n", kt_census_kind_word(kind), command->found.objects[kind],
                   kt_census_kind_text(kind));
    if (command->lists) {
        putchar('\n');
        if (!copy_listed(command, err))
            return false;
    }
    return kt_output_done(err);
}

/* ---- JSON ---- */

static json_t *count_json(const struct command *command, const struct kt_tally_row *row)
{
    bool is_kms = row->provider == KT_STORAGE_KMS_V2 || row->provider == KT_STORAGE_KMS_V1;
    uint64_t created = kt_census_created(command->look, row);
    char at[KT_TIME_LEN] = "";
    if (created > 0)
        kt_time_format(created, at);
    return json_pack("{s:o,s:s,s:o,s:o,s:I,s:s,s:s,s:s}", "resource", kind_of(row), "provider",
                     kt_storage_provider_name(row->provider), "plugin", text_of(is_kms ? row->name : KT_SLICE("", 0)),
                     "key", text_of(row->key_id.len > 0 || is_kms ? row->key_id : row->name), "count",
                     (json_int_t)row->count, "state", kt_census_state(command->look, row), "created", at, "problem",
                     row->problem ? row->problem : "");
}

static json_t *counts_json(const struct command *command)
{
    size_t n = 0;
    const struct kt_tally_row *const *rows = kt_tally_rows(command->look->census->tally, &n);
    json_t *counts = json_array();
    for (size_t i = 0; counts && i < n; i++)
        json_array_append_new(counts, count_json(command, rows[i]));
    return counts;
}

static json_t *found_json(const struct command *command)
{
    json_t *found = json_object();
    for (enum kt_census_kind kind = 0; found && kind < KT_CENSUS_KINDS; kind++)
        if (kind != KT_CENSUS_OLD || command->fail_on.older_than > 0)
            json_object_set_new(found, kt_census_kind_word(kind),
                                json_integer((json_int_t)command->found.objects[kind]));
    return found;
}

/* The list of objects is as long as the store: it is no value in memory. */
static bool print_with_objects(struct command *command, const json_t *value, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *text = json_dumps(value, JSON_INDENT(2));
    char *end = text ? strrchr(text, '\n') : NULL;
    if (!end)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    printf("%.*s,\n  \"objects\": [", (int)(end - text), text);
    if (!copy_listed(command, err))
        return false;
    fputs("\n  ]\n}\n", stdout);
    return kt_output_done(err);
}

static bool print_json(struct command *command, struct kt_error *err)
{
    const struct kt_census *census = command->look->census;
    json_t *value = kt_json_new("Census");
    if (value) {
        json_object_set_new(value, "revision", json_integer(census->live.revision));
        json_object_set_new(value, "complete", json_true());
        json_object_set_new(value, "prefix", text_of(kt_tally_prefix(census->tally)));
        json_object_set_new(value, "total", json_integer((json_int_t)kt_tally_objects(census->tally)));
        json_object_set_new(value, "astray", json_integer((json_int_t)census->live.astray));
        json_object_set_new(value, "rulesKnown", json_boolean(command->look->rules.known));
        json_object_set_new(value, "found", found_json(command));
        json_object_set_new(value, "counts", counts_json(command));
    }
    if (!command->lists)
        return kt_json_print(value, err);
    bool printed = value && print_with_objects(command, value, err);
    json_decref(value);
    return printed;
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
    command->look = kt_look_open(options, command->config, err);
    if (!command->look)
        return false;
    if (!command->look->store)
        return kt_error_copy(err, &command->look->no_store);
    command->look->info = command->described.info;
    return kt_look_config(command->look, err) && check_asked(command, err);
}

static bool run(struct command *command, struct kt_error *err)
{
    struct kt_census_order order = {
        .visit = command->lists ? visit : NULL, .again = command->lists ? again : NULL, .context = command};
    if (command->wrong.code != KT_OK)
        return kt_error_copy(err, &command->wrong);
    if (command->lists) {
        command->listed = tmpfile();
        if (!command->listed)
            return kt_fail_errno(err, KT_E_IO, "a temporary file for the list of objects");
    }
    command->listed_before = kt_census_made_before(&command->objects);
    if (!open_look(command, err) || !kt_census_take(command->look, &order, err))
        return false;
    kt_census_find(command->look, kt_census_made_before(&command->fail_on), &command->found);
    return command->line.options.json ? print_json(command, err) : print_text(command, err);
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
