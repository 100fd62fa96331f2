/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: a directory that keyturnd can be started on, and further generations of its keyring, without keyturn.
 *
 *   make_state new DIR [NAME=VALUE...]     keyturn.yaml, state/ with a founded keyring, run/; prints the key's id
 *                                          NAME: uid (may call), control-uid, metrics (listen), textfile, account
 * (all), type (of the first key) make_state edit DIR OUT [--from FILE] [--later SECONDS] EDIT... the next generation,
 * over state/keyring.yaml or FILE, into OUT, written in so many seconds EDIT: add NAME | add-TYPE NAME | activate ID |
 * state ID STATE | archive ID | stage STAGE | enabled true|false | strict true|false | hold SECONDS | api-server NAME |
 * forget-api-server NAME make_state describe DIR FILE           what a keyring says
 *
 * The opener is KEYTURN_BUILD/libexec/keyturn/keyturn-opener. Exits with the code of keystore's error; 2: wrong use.
 */
#include "base/clock.h"
#include "base/file.h"
#include "keystore/config.h"
#include "keystore/key_name.h"
#include "keystore/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define TIMEOUT_MS 30000

static int fail(const struct kt_error *error)
{
    (void)fprintf(stderr, "make_state: %s: %s%s%s\n", kt_code_name(error->code), error->message,
                  error->hint[0] ? "; " : "", error->hint);
    return kt_code_exit(error->code);
}

static int usage(void)
{
    (void)fprintf(stderr,
                  "usage: make_state new DIR [NAME=VALUE...] | edit DIR OUT [--from FILE] [--later SECONDS] EDIT... | "
                  "describe DIR FILE\n");
    return 2;
}

struct place {
    char config[4096];
    char state[4096];
    char keyring[4200];
    char program[4096];
};

static bool find_place(const char *dir, struct place *ret, struct kt_error *err)
{
    char full[PATH_MAX];
    const char *build = getenv("KEYTURN_BUILD");
    if (!build)
        return kt_fail(err, KT_E_USAGE, "KEYTURN_BUILD must name the build tree");
    if (!realpath(dir, full) || strlen(full) > 3900)
        return kt_fail_errno(err, KT_E_IO, "no such directory");
    (void)snprintf(ret->config, sizeof(ret->config), "%.3900s/keyturn.yaml", full);
    (void)snprintf(ret->state, sizeof(ret->state), "%.3900s/state", full);
    (void)snprintf(ret->keyring, sizeof(ret->keyring), "%.4000s/keyring.yaml", ret->state);
    (void)snprintf(ret->program, sizeof(ret->program), "%.3900s/libexec/keyturn/keyturn-opener", build);
    return true;
}

/* Under the account that keyturn.yaml names, if we may. */
static bool ask(const struct place *place, const struct kt_opener_request *request, struct kt_opener_answer *ret,
                struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *config = calloc(1, sizeof(*config));
    if (!config || !kt_config_load(place->config, config, err))
        return false;
    const char *account = config->account_opener;
    struct kt_opener_run how = {
        .program = place->program, .config = place->config, .account = {.uid = KT_SAME_UID}, .timeout_ms = TIMEOUT_MS};
    if (account[0] && geteuid() == 0 && !kt_account_find(account, &how.account, err))
        return false;
    return kt_opener_run(&how, request, ret, err);
}

static bool read_document(const char *path, struct kt_bytes *ret, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_KEYRING_MAX, .owner = KT_ANY_UID};
    return kt_file_read(AT_FDCWD, path, &rules, ret, err);
}

static bool write_file(const char *path, struct kt_slice bytes, const struct kt_account *account, mode_t mode,
                       struct kt_error *err)
{
    bool gives = account->uid != KT_SAME_UID;
    const struct kt_file_attrs attrs = {
        .mode = mode, .uid = gives ? account->uid : KT_ANY_UID, .gid = gives ? account->gid : (gid_t)-1};
    return kt_file_replace(AT_FDCWD, path, bytes, &attrs, err);
}

struct settings {
    char account[KT_ACCOUNT_MAX];
    enum kt_key_type type;
    struct kt_config config;
};

static void add_id(struct kt_ids *ids, const char *text)
{
    if (ids->n < KT_CONFIG_IDS_MAX)
        ids->ids[ids->n++] = (uint32_t)strtoul(text, NULL, 10);
}

static bool set(struct settings *s, const char *argument)
{
    const char *value = strchr(argument, '=');
    if (!value)
        return false;
    size_t len = (size_t)(value++ - argument);
    if (len == 3 && strncmp(argument, "uid", len) == 0)
        add_id(&s->config.kms_uids, value);
    else if (len == 11 && strncmp(argument, "control-uid", len) == 0)
        add_id(&s->config.control_uids, value);
    else if (len == 7 && strncmp(argument, "metrics", len) == 0)
        (void)snprintf(s->config.metrics_listen, sizeof(s->config.metrics_listen), "%s", value);
    else if (len == 8 && strncmp(argument, "textfile", len) == 0)
        (void)snprintf(s->config.metrics_textfile, sizeof(s->config.metrics_textfile), "%s", value);
    else if (len == 7 && strncmp(argument, "account", len) == 0)
        (void)snprintf(s->account, sizeof(s->account), "%s", value);
    else if (len == 4 && strncmp(argument, "type", len) == 0)
        s->type = kt_key_type_parse(value);
    else
        return false;
    return true;
}

static void fill_config(struct settings *s, const char *dir, const struct place *place)
{
    struct kt_config *config = &s->config;
    (void)snprintf(config->node, sizeof(config->node), "node-1");
    (void)snprintf(config->state_dir, sizeof(config->state_dir), "%s", place->state);
    (void)snprintf(config->kms_socket, sizeof(config->kms_socket), "%.80s/run/kms/kms.sock", dir);
    (void)snprintf(config->control_socket, sizeof(config->control_socket), "%.80s/run/control.sock", dir);
    (void)snprintf(config->account_front, KT_ACCOUNT_MAX, "%s", s->account);
    (void)snprintf(config->account_keeper, KT_ACCOUNT_MAX, "%s", s->account);
    (void)snprintf(config->account_opener, KT_ACCOUNT_MAX, "%s", s->account);
    (void)snprintf(config->account_exporter, KT_ACCOUNT_MAX, "%s", s->account);
    add_id(&config->kms_uids, "0");
    if (geteuid() != 0) {
        char own[16];
        (void)snprintf(own, sizeof(own), "%u", (unsigned)geteuid());
        add_id(&config->kms_uids, own);
    }
}

static bool write_config(const struct settings *s, const struct place *place, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes text = {.data = NULL};
    const struct kt_account own = {.uid = KT_SAME_UID};
    return kt_config_format(&s->config, &text, err) && write_file(place->config, kt_bytes_view(&text), &own, 0644, err);
}

static bool make_dirs(const char *dir, const struct place *place, const struct kt_account *account,
                      struct kt_error *err)
{
    char opener[4200];
    bool gives = account->uid != KT_SAME_UID;
    const struct kt_file_attrs own = {.mode = 0755, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    const struct kt_file_attrs theirs = {
        .mode = 0700, .uid = gives ? account->uid : KT_ANY_UID, .gid = gives ? account->gid : (gid_t)-1};
    (void)snprintf(opener, sizeof(opener), "%.4000s/opener", place->state);
    return kt_dir_make(AT_FDCWD, dir, &own, err) && kt_dir_make(AT_FDCWD, place->state, &theirs, err) &&
           kt_dir_make(AT_FDCWD, opener, &theirs, err);
}

static bool found(struct settings *s, const struct place *place, struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *recovery = kt_secret_new_random(32, err);
    const struct kt_opener_request request = {.op = KT_OPENER_CREATE,
                                              .recovery_key = recovery,
                                              .node = s->config.node,
                                              .kind = KT_RECIPIENT_FILE,
                                              .type = s->type,
                                              .key_name = kt_key_name_first(s->type),
                                              .now = kt_clock_real_s()};
    return recovery && ask(place, &request, answer, err);
}

static bool print_keys(const struct kt_keyring_info *info)
{
    (void)printf("membership %" PRIu64 "\ngeneration %" PRIu64 "\n", info->membership, info->generation);
    for (size_t i = 0; i < info->n_keys; i++)
        (void)printf("key %s %s %s\n", info->keys[i].id, info->keys[i].name, kt_key_state_text(info->keys[i].state));
    return true;
}

static bool describe(const struct place *place, const char *path, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes document = {.data = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    if (!read_document(path, &document, err))
        return false;
    const struct kt_opener_request request = {.op = KT_OPENER_DESCRIBE, .offered = kt_bytes_view(&document)};
    return ask(place, &request, &answer, err) && print_keys(answer.info);
}

static bool make_new(const char *dir, struct settings *s, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct place *place = calloc(1, sizeof(*place));
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_account account = {.uid = KT_SAME_UID};
    if (!place)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (s->account[0] && geteuid() == 0 && !kt_account_find(s->account, &account, err))
        return false;
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return kt_fail_errno(err, KT_E_IO, "cannot make %.200s", dir);
    if (!find_place(dir, place, err) || !make_dirs(dir, place, &account, err))
        return false;
    fill_config(s, dir, place);
    if (!write_config(s, place, err) || !found(s, place, &answer, err))
        return false;
    memcpy(s->config.owner, answer.owner, KT_HASH_LEN);
    s->config.has_owner = true;
    return write_config(s, place, err) &&
           write_file(place->keyring, kt_bytes_view(&answer.document), &account, 0640, err) &&
           describe(place, place->keyring, err);
}

static const char *word(char **argv, size_t *at)
{
    return argv[*at] ? argv[(*at)++] : "";
}

static void put_id(struct kt_edit *edit, const char *id)
{
    (void)snprintf(edit->id, sizeof(edit->id), "%s", id);
}

static void edit_name(struct kt_edit *edit, char **argv, size_t *at)
{
    edit->type = KT_KEY_KMS;
    (void)snprintf(edit->name, sizeof(edit->name), "%s", word(argv, at));
}

static void edit_id(struct kt_edit *edit, char **argv, size_t *at)
{
    put_id(edit, word(argv, at));
}

static void edit_state(struct kt_edit *edit, char **argv, size_t *at)
{
    put_id(edit, word(argv, at));
    edit->state = kt_key_state_parse(word(argv, at));
}

static void edit_stage(struct kt_edit *edit, char **argv, size_t *at)
{
    edit->stage = kt_stage_parse(word(argv, at));
}

static void edit_flag(struct kt_edit *edit, char **argv, size_t *at)
{
    edit->flag = strcmp(word(argv, at), "true") == 0;
}

static void edit_number(struct kt_edit *edit, char **argv, size_t *at)
{
    edit->number = strtoull(word(argv, at), NULL, 10);
}

static const struct {
    const char *name;
    enum kt_edit_kind kind;
    void (*parse)(struct kt_edit *edit, char **argv, size_t *at);
} edit_words[] = {
    {"add", KT_EDIT_ADD, edit_name},
    {"activate", KT_EDIT_ACTIVATE, edit_id},
    {"last", KT_EDIT_LAST, edit_id},
    {"state", KT_EDIT_STATE, edit_state},
    {"archive", KT_EDIT_ARCHIVE, edit_id},
    {"stage", KT_EDIT_STAGE, edit_stage},
    {"enabled", KT_EDIT_ENABLED, edit_flag},
    {"strict", KT_EDIT_STRICT, edit_flag},
    {"hold", KT_EDIT_HOLD, edit_number},
    {"api-server", KT_EDIT_API_SERVER, edit_name},
    {"forget-api-server", KT_EDIT_FORGET_API_SERVER, edit_name},
};

static bool parse_edit(struct kt_edit *edit, char **argv, size_t *at)
{
    const char *name = word(argv, at);
    if (strncmp(name, "add-", 4) == 0) {
        edit->kind = KT_EDIT_ADD;
        edit_name(edit, argv, at);
        edit->type = kt_key_type_parse(name + 4);
        return edit->type != 0;
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(edit_words); i++) {
        if (strcmp(name, edit_words[i].name) != 0)
            continue;
        edit->kind = edit_words[i].kind;
        edit_words[i].parse(edit, argv, at);
        return true;
    }
    return false;
}

static bool parse_edits(char **argv, struct kt_edit edits[KT_EDITS_MAX], size_t *ret_n)
{
    size_t at = 0;
    size_t n = 0;
    while (argv[at] && n < KT_EDITS_MAX) {
        if (!parse_edit(&edits[n], argv, &at))
            return false;
        n++;
    }
    *ret_n = n;
    return n > 0 && !argv[at];
}

/* What an edit is made over, and when. */
struct edit_over {
    const char *from; /* NULL: the keyring in force */
    uint64_t later;
};

static bool edit(const char *dir, const struct edit_over *over, const char *out, const struct kt_edit *edits, size_t n,
                 struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct place *place = calloc(1, sizeof(*place));
    KT_CLEANUP_BYTES struct kt_bytes document = {.data = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    const struct kt_account own = {.uid = KT_SAME_UID};
    if (!place || !find_place(dir, place, err) ||
        !read_document(over->from ? over->from : place->keyring, &document, err))
        return false;
    const struct kt_opener_request request = {.op = KT_OPENER_EDIT,
                                              .current = kt_bytes_view(&document),
                                              .node = "node-1",
                                              .edits = edits,
                                              .n_edits = n,
                                              .now = kt_clock_real_s() + over->later};
    return ask(place, &request, &answer, err) && write_file(out, kt_bytes_view(&answer.document), &own, 0644, err) &&
           describe(place, out, err);
}

static int run_new(char **argv)
{
    KT_CLEANUP(kt_free_p) struct settings *s = calloc(1, sizeof(*s));
    struct kt_error error = KT_ERROR_INIT;
    if (!s || !argv[0])
        return usage();
    kt_config_defaults(&s->config);
    s->type = KT_KEY_KMS;
    s->config.kms_uids.n = 0;
    (void)snprintf(s->config.metrics_listen, sizeof(s->config.metrics_listen), "127.0.0.1:0");
    for (size_t i = 1; argv[i]; i++) {
        if (!set(s, argv[i]))
            return usage();
    }
    return make_new(argv[0], s, &error) ? 0 : fail(&error);
}

static int run_edit(char **argv)
{
    struct kt_edit edits[KT_EDITS_MAX] = {{.kind = KT_EDIT_ADD}};
    struct edit_over over = {.from = NULL};
    struct kt_error error = KT_ERROR_INIT;
    size_t n = 0;
    if (!argv[0] || !argv[1])
        return usage();
    char **next = argv + 2;
    for (; next[0] && next[1] && strncmp(next[0], "--", 2) == 0; next += 2) {
        if (strcmp(next[0], "--from") == 0)
            over.from = next[1];
        else if (strcmp(next[0], "--later") == 0)
            over.later = strtoull(next[1], NULL, 10);
        else
            return usage();
    }
    if (!parse_edits(next, edits, &n))
        return usage();
    return edit(argv[0], &over, argv[1], edits, n, &error) ? 0 : fail(&error);
}

static int run_describe(char **argv)
{
    KT_CLEANUP(kt_free_p) struct place *place = calloc(1, sizeof(*place));
    struct kt_error error = KT_ERROR_INIT;
    if (!place || !argv[0] || !argv[1])
        return usage();
    return find_place(argv[0], place, &error) && describe(place, argv[1], &error) ? 0 : fail(&error);
}

static const struct {
    const char *name;
    int (*run)(char **argv);
} commands[] = {{"new", run_new}, {"edit", run_edit}, {"describe", run_describe}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < KT_ARRAY_LEN(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argv + 2);
    }
    return usage();
}
