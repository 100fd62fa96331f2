/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/command.h"

#include "base/file.h"
#include "base/printable.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    OPTION_CONFIG = 0x100,
    OPTION_KEY_FILE,
    OPTION_YES,
    OPTION_DRY_RUN,
    OPTION_FORCE,
    OPTION_TIMEOUT,
    OPTION_FINGERPRINT,
    OPTION_API_SERVER,
    OPTION_CLUSTER /* and enum kt_cluster_option */
};

#define TIMEOUT_DEFAULT_S 30u
#define TIMEOUT_MAX_S     86400u

static const struct argp_option common_options[] = {
    {.name = "config",
     .key = OPTION_CONFIG,
     .arg = "FILE",
     .doc = "Read FILE instead of $KEYTURN_CONFIG or " KT_CONFIG_DEFAULT},
    {.name = "output", .key = 'o', .arg = "FORMAT", .doc = "text (default) or json"},
    {.name = "key-file",
     .key = OPTION_KEY_FILE,
     .arg = "FILE",
     .doc = "Read the recovery key from FILE, - for standard input"},
    {.name = "yes", .key = OPTION_YES, .doc = "Do not ask"},
    {.name = "dry-run", .key = OPTION_DRY_RUN, .doc = "Say what would be done and change nothing"},
    {.name = "force", .key = OPTION_FORCE, .doc = "Override a gate; says which, and what it risks"},
    {.name = "timeout",
     .key = OPTION_TIMEOUT,
     .arg = "SECONDS",
     .doc = "Give up after so long (default 30; rotation: 300)"},
    {.name = "fingerprint",
     .key = OPTION_FINGERPRINT,
     .arg = "HEX",
     .doc = "What a fingerprint must be, where one is to be compared"},
    {.name = "verbose", .key = 'v', .doc = "Show more"},
    {.name = "api-server",
     .key = OPTION_API_SERVER,
     .arg = "URL",
     .doc = "An API server that is not found by itself; may be repeated",
     .group = 1},
#define CLUSTER(field, option, argument, text) \
    {.name = option, .key = OPTION_CLUSTER + KT_CLUSTER_##field, .arg = argument, .doc = text, .group = 1},
#include "admin/cluster_options.def"
#undef CLUSTER
    {0},
};

static bool parse_seconds(const char *text, unsigned *ret)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value == 0 || value > TIMEOUT_MAX_S)
        return false;
    *ret = (unsigned)value;
    return true;
}

/* Ends the program, but under ARGP_NO_ERRS. */
static error_t refuse(struct kt_options *options, const struct argp_state *state, const char *why)
{
    options->wrong = why;
    argp_error(state, "%s", why);
    return EINVAL;
}

static error_t take_output(struct kt_options *options, const char *arg, const struct argp_state *state)
{
    options->json = strcmp(arg, "json") == 0;
    return options->json || strcmp(arg, "text") == 0 ? 0 : refuse(options, state, "--output is text or json");
}

static error_t take_common(int key, char *arg, struct argp_state *state)
{
    struct kt_options *options = state->input;
    switch (key) {
    case OPTION_CONFIG:
        options->config = arg;
        return 0;
    case OPTION_KEY_FILE:
        options->key_file = arg;
        return 0;
    case OPTION_FINGERPRINT:
        options->fingerprint = arg;
        return 0;
    case OPTION_YES:
        options->yes = true;
        return 0;
    case OPTION_DRY_RUN:
        options->dry_run = true;
        return 0;
    case OPTION_FORCE:
        options->force = true;
        return 0;
    case 'v':
        options->verbose = true;
        return 0;
    case 'o':
        return take_output(options, arg, state);
    case OPTION_API_SERVER:
        if (options->n_api_servers == KT_ARRAY_LEN(options->api_servers))
            return refuse(options, state, "--api-server: 64 of them at most");
        options->api_servers[options->n_api_servers++] = arg;
        return 0;
    case OPTION_TIMEOUT:
        return parse_seconds(arg, &options->timeout_s)
                   ? 0
                   : refuse(options, state, "--timeout is a whole number of seconds from 1 to 86400");
    default:
        if (key < OPTION_CLUSTER || key >= OPTION_CLUSTER + KT_CLUSTER_COUNT)
            return ARGP_ERR_UNKNOWN;
        options->cluster[key - OPTION_CLUSTER] = arg;
        return arg[0] ? 0 : refuse(options, state, "an option that names a file or an address has no value");
    }
}

const struct argp kt_options_argp = {.options = common_options, .parser = take_common};

static error_t take_own(int key, char *arg, struct argp_state *state)
{
    struct kt_command_line *line = state->input;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = &line->options;
        return 0;
    }
    if (key == ARGP_KEY_ARG || (key > 0 && key < ARGP_KEY_END)) {
        error_t taken = line->take ? line->take(key, arg, line->closure) : ARGP_ERR_UNKNOWN;
        if (taken == ARGP_ERR_UNKNOWN && key == ARGP_KEY_ARG)
            return refuse(&line->options, state, "too many arguments");
        if (taken == EINVAL)
            return refuse(&line->options, state, "that value does not fit: see --help");
        return taken;
    }
    return ARGP_ERR_UNKNOWN;
}

/* As getopt_long(3) has it: by its name, or by a beginning that no other has. */
static const struct argp_option *find_long(const char *name, size_t len)
{
    const struct argp_option *found = NULL;
    for (const struct argp_option *o = common_options; o->name; o++) {
        if (strncmp(o->name, name, len) != 0)
            continue;
        if (o->name[len] == '\0')
            return o;
        if (found)
            return NULL;
        found = o;
    }
    return found;
}

static const struct argp_option *find_short(char letter)
{
    for (const struct argp_option *o = common_options; o->name; o++) {
        if (o->key < 0x80 && o->key == letter)
            return o;
    }
    return NULL;
}

/* The common option with a value that is in this word (`--output`, `--out=json`, `-vo`, `-ojson`), or NULL. *ret_value:
 * what the word has of it; NULL: the next word is it. */
static const struct argp_option *option_with_value(const char *word, const char **ret_value)
{
    const struct argp_option *option = NULL;
    *ret_value = NULL;
    if (strncmp(word, "--", 2) == 0) {
        size_t len = strcspn(word + 2, "=");
        option = len > 0 ? find_long(word + 2, len) : NULL;
        if (word[2 + len] == '=')
            *ret_value = word + 2 + len + 1;
        return option && option->arg ? option : NULL;
    }
    if (word[0] != '-')
        return NULL;
    for (word++; *word != '\0'; word++) {
        option = find_short(*word);
        if (!option)
            return NULL;
        if (option->arg) {
            *ret_value = word[1] != '\0' ? word + 1 : NULL;
            return option;
        }
    }
    return NULL;
}

bool kt_option_takes_value(const char *word)
{
    const char *value = NULL;
    return option_with_value(word, &value) && !value;
}

bool kt_command_wants_json(int argc, char **argv)
{
    bool json = false;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *value = NULL;
        const struct argp_option *option = option_with_value(argv[i], &value);
        if (option && !value && i + 1 < argc)
            value = argv[++i];
        if (option && option->key == 'o')
            json = value && strcmp(value, "json") == 0;
    }
    return json;
}

/* argp says nothing under ARGP_NO_ERRS, not even its help. */
static bool wants_help(int argc, char **argv)
{
    static const char *const words[] = {"--help", "-?", "--usage"};
    for (int i = 1; i < argc; i++) {
        for (size_t k = 0; k < KT_ARRAY_LEN(words); k++) {
            size_t len = strlen(argv[i]);
            if (strcmp(argv[i], words[k]) == 0 || (len > 2 && strncmp(argv[i], words[k], len) == 0))
                return true;
        }
    }
    return false;
}

static int wrong_use(const struct kt_command_line *line)
{
    const struct kt_options options = {.json = true};
    struct kt_error err = KT_ERROR_INIT;
    kt_fail(&err, KT_E_USAGE, "%s",
            line->options.wrong ? line->options.wrong
                                : "an option that this command does not have, or one without its value");
    kt_error_hint(&err, "keyturn %s --help shows what it takes", line->command->name);
    return kt_print_error(&options, &err);
}

void kt_command_parse(struct kt_command_line *line, int argc, char **argv)
{
    const struct argp_child children[] = {{.argp = &kt_options_argp, .header = "Common options:"}, {0}};
    const struct argp argp = {
        .options = line->own,
        .parser = take_own,
        .args_doc = line->command->arguments,
        .doc = line->command->summary,
        .children = children,
    };
    line->options.timeout_s = line->timeout_s > 0 ? line->timeout_s : TIMEOUT_DEFAULT_S;
    line->options.command = line->command->name;
    argp_err_exit_status = kt_code_exit(KT_E_USAGE);
    const bool quiet = kt_command_wants_json(argc, argv) && !wants_help(argc, argv);
    if (argp_parse(&argp, argc, argv, quiet ? ARGP_NO_ERRS : 0, NULL, line) != 0)
        exit(wrong_use(line));
}

const struct kt_command *kt_command_find(const char *name)
{
    for (const struct kt_command *c = kt_commands; c->name; c++) {
        if (strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

static const char *message_of(const struct kt_error *err)
{
    return err->message[0] ? err->message : kt_code_text(err->code);
}

/* Also where there is no memory for it, it is one object: then without words of its own. */
static void print_error_json(const struct kt_error *err)
{
    json_t *value = json_pack("{s:{s:s,s:o,s:o}}", "error", "code", kt_code_name(err->code), "message",
                              kt_json_text(message_of(err)), "hint", kt_json_text(err->hint));
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    if (text)
        fprintf(stderr, "%s\n", text);
    else
        fprintf(stderr, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\",\"hint\":\"\"}}\n", kt_code_name(err->code),
                kt_code_text(err->code));
    free(text);
    json_decref(value);
}

int kt_print_error(const struct kt_options *options, const struct kt_error *err)
{
    static const struct kt_error unnamed = {.code = KT_E_INTERNAL};
    if (err->code == KT_OK) /* whoever failed did not say why: that is no success */
        err = &unnamed;
    fflush(stdout);
    if (options->json) {
        print_error_json(err);
        return kt_code_exit(err->code);
    }
    fprintf(stderr, "keyturn: %s\n", KT_PRINTABLE(message_of(err)));
    if (err->hint[0])
        fprintf(stderr, "  %s\n", KT_PRINTABLE(err->hint));
    return kt_code_exit(err->code);
}

json_t *kt_json_text(const char *text)
{
    return json_string(KT_PRINTABLE(text));
}

json_t *kt_json_new(const char *kind)
{
    return json_pack("{s:s,s:s}", "apiVersion", "keyturn.dev/v1", "kind", kind);
}

bool kt_output_done(struct kt_error *err)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return kt_fail_errno(err, KT_E_IO, "standard output");
    return true;
}

bool kt_json_print(json_t *value, struct kt_error *err)
{
    if (!value)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    int printed = json_dumpf(value, stdout, JSON_INDENT(2));
    json_decref(value);
    fputc('\n', stdout);
    if (printed != 0)
        return kt_fail(err, KT_E_IO, "standard output: could not be written");
    return kt_output_done(err);
}

struct kt_config *kt_options_config(const struct kt_options *options, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *config = calloc(1, sizeof(*config));
    if (!config) {
        kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    if (!kt_config_load(kt_config_path(options->config), config, err) || !kt_config_need_owner(config, err))
        return NULL;
    return KT_TAKE_PTR(config);
}
