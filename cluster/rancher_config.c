/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/rancher_config.h"

#include "base/file.h"
#include "base/secret.h"
#include "base/yaml.h"
#include "cluster/unit_file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX_BYTES ((size_t)1 << 20)

enum kind { TEXT, LIST };

static const struct {
    const char *key;
    const char *variable;
    enum kind kind;
} KEYS[] = {
#define KT_RANCHER_KEY(name, kind, key, variable) {key, variable, kind},
#include "cluster/rancher_keys.def"
#undef KT_RANCHER_KEY
};

static bool no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "no memory for what the service is told");
}

/* ---- lists ---- */

static void list_clear(struct kt_rancher_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        kt_wipe(list->items[i], strlen(list->items[i]));
        free(list->items[i]);
    }
    list->n = 0;
}

void kt_rancher_list_done(struct kt_rancher_list *list)
{
    list_clear(list);
    free(list->items);
    list->items = NULL;
}

static bool list_insert(struct kt_rancher_list *list, size_t at, const char *text, struct kt_error *err)
{
    if (!list->items)
        list->items = calloc(KT_RANCHER_ITEMS_MAX + 1, sizeof(*list->items));
    if (!list->items)
        return no_memory(err);
    if (list->n == KT_RANCHER_ITEMS_MAX)
        return kt_fail(err, KT_E_CONFIG, "expected at most %u values of a key, found more", KT_RANCHER_ITEMS_MAX);
    char *copy = strdup(text);
    if (!copy)
        return no_memory(err);
    memmove(list->items + at + 1, list->items + at, (list->n - at + 1) * sizeof(*list->items));
    list->items[at] = copy;
    list->n++;
    return true;
}

static bool list_add(struct kt_rancher_list *list, const char *text, struct kt_error *err)
{
    return list_insert(list, list->n, text, err);
}

void kt_rancher_config_done(struct kt_rancher_config *config)
{
    for (size_t i = 0; i < KT_RANCHER_KEY_COUNT; i++)
        kt_rancher_list_done(&config->values[i]);
}

static enum kt_rancher_key find_key(const char *name, size_t len)
{
    enum kt_rancher_key key = 0;
    while (key < KT_RANCHER_KEY_COUNT && (strlen(KEYS[key].key) != len || memcmp(KEYS[key].key, name, len) != 0))
        key++;
    return key;
}

/* ---- config.yaml ---- */

static bool add_scalar(const struct kt_yaml *yaml, const struct kt_yaml_node *node, struct kt_rancher_list *list,
                       struct kt_error *err)
{
    const char *text = NULL;
    return kt_yaml_text(yaml, node, KT_RANCHER_TEXT_MAX, &text, err) && list_add(list, text, err);
}

/* A scalar is a list of one. */
static bool add_value(const struct kt_yaml *yaml, const struct kt_yaml_node *node, struct kt_rancher_list *list,
                      struct kt_error *err)
{
    size_t n = 0;
    if (!kt_yaml_items(yaml, node, KT_RANCHER_ITEMS_MAX, &n, NULL))
        return add_scalar(yaml, node, list, err);
    for (size_t i = 0; i < n; i++)
        if (!add_scalar(yaml, kt_yaml_item(node, i), list, err))
            return false;
    return true;
}

static bool take_document(const struct kt_yaml *yaml, struct kt_rancher_config *config, struct kt_error *err)
{
    const struct kt_yaml_node *root = kt_yaml_root(yaml);
    for (enum kt_rancher_key key = 0; key < KT_RANCHER_KEY_COUNT; key++) {
        char plus[64];
        struct kt_rancher_list *list = &config->values[key];
        (void)snprintf(plus, sizeof(plus), "%s+", KEYS[key].key);
        const struct kt_yaml_node *replaces = kt_yaml_get(root, KEYS[key].key);
        const struct kt_yaml_node *adds = kt_yaml_get(root, plus);
        if (replaces || (adds && KEYS[key].kind == TEXT))
            list_clear(list);
        if ((replaces && !add_value(yaml, replaces, list, err)) || (adds && !add_value(yaml, adds, list, err)))
            return false;
    }
    return true;
}

/* A file of comments alone says nothing. */
static bool says_nothing(struct kt_slice text)
{
    bool comment = false;
    for (size_t i = 0; i < text.len; i++) {
        comment = text.data[i] == '#' || (comment && text.data[i] != '\n');
        if (!comment && !isspace(text.data[i]))
            return false;
    }
    return true;
}

static void wipe_bytes(struct kt_bytes *bytes)
{
    if (bytes->data)
        kt_wipe(bytes->data, bytes->len);
    kt_bytes_done(bytes);
}

static bool read_file(const char *path, struct kt_bytes *ret, enum kt_file_state *ret_state, struct kt_error *err)
{
    static const struct kt_file_rules rules = {.max = FILE_MAX_BYTES, .owner = KT_ANY_UID};
    KT_CLEANUP(kt_free_p) char *file = realpath(path, NULL);
    *ret_state = KT_FILE_ABSENT;
    if (!file && errno == ENOENT)
        return true;
    return kt_file_read_if(AT_FDCWD, file ? file : path, &rules, ret, ret_state, err);
}

static bool take_file(const char *path, struct kt_rancher_config *config, struct kt_error *err)
{
    KT_CLEANUP(wipe_bytes) struct kt_bytes text = {.data = NULL};
    enum kt_file_state state = KT_FILE_ABSENT;
    if (!read_file(path, &text, &state, err))
        return false;
    if (state == KT_FILE_ABSENT || says_nothing(kt_bytes_view(&text)))
        return true;
    KT_CLEANUP(kt_yaml_free_p)
    struct kt_yaml *yaml = kt_yaml_parse_foreign(kt_bytes_view(&text), path, KT_E_CONFIG, err);
    return yaml && take_document(yaml, config, err);
}

static int is_drop_in(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return (len > 5 && strcasecmp(entry->d_name + len - 5, ".yaml") == 0) ||
           (len > 4 && strcasecmp(entry->d_name + len - 4, ".yml") == 0);
}

/* Go sorts names by their bytes; alphasort would by the locale. */
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool take_drop_ins(const char *folder, struct kt_rancher_config *config, struct kt_error *err)
{
    struct dirent **entries = NULL;
    int n = scandir(folder, &entries, is_drop_in, by_bytes);
    if (n < 0)
        return errno == ENOENT || kt_fail_errno(err, KT_E_IO, "%s", folder);
    bool done = n <= (int)KT_RANCHER_FILES_MAX ||
                kt_fail(err, KT_E_CONFIG, "%s: expected at most %u files, found more", folder, KT_RANCHER_FILES_MAX);
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        int len = snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        done = done && (size_t)len < sizeof(path) && entries[i]->d_type != DT_DIR && take_file(path, config, err);
        free(entries[i]);
    }
    free(entries);
    return done;
}

/* ---- the unit ---- */

struct unit {
    struct kt_unit_words words;
    char *config; /* another config.yaml, from the words or the environment */
};

static void unit_done(struct unit *unit)
{
    kt_unit_words_done(&unit->words);
    free(unit->config);
}

/* --name=value or --name value, -c and -d for two of them; at: the word. Returns the value, or NULL. */
static const char *value_at(const struct kt_unit_words *words, size_t *at, size_t *ret_len)
{
    const char *word = words->items[*at];
    size_t dashes = strspn(word, "-");
    size_t len = dashes > 0 && dashes <= 2 ? strcspn(word + dashes, "=") : 0;
    *ret_len = len;
    if (len == 0)
        return NULL;
    if (word[dashes + len] == '=')
        return word + dashes + len + 1;
    return *at + 1 < words->n && words->items[*at + 1][0] != '-' ? words->items[++*at] : "true";
}

static bool take_words(const struct kt_unit_words *words, struct kt_rancher_config *config, struct kt_error *err)
{
    for (size_t i = 0; i < words->n; i++) {
        const char *name = words->items[i] + strspn(words->items[i], "-");
        size_t len = 0;
        const char *value = value_at(words, &i, &len);
        enum kt_rancher_key key = find_key(name, len);
        if (len == 1 && name[0] == 'd')
            key = KT_RANCHER_DATA_DIR;
        if (!value || key == KT_RANCHER_KEY_COUNT)
            continue;
        if (KEYS[key].kind == TEXT)
            list_clear(&config->values[key]);
        if (!list_add(&config->values[key], value, err))
            return false;
    }
    return true;
}

/* The value of PROGRAM_NAME in the last file that has it. */
static bool find_variable(const struct kt_rancher_places *places, const char *name, char **ret, struct kt_error *err)
{
    char variable[64];
    (void)snprintf(variable, sizeof(variable), "%s_%s", places->program, name);
    for (char *c = variable; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    for (const char *const *file = places->environments; file && *file; file++) {
        KT_CLEANUP(wipe_bytes) struct kt_bytes text = {.data = NULL};
        enum kt_file_state state = KT_FILE_ABSENT;
        if (!read_file(*file, &text, &state, err))
            return false;
        char *value = state == KT_FILE_READ ? kt_unit_variable(kt_bytes_view(&text), variable) : NULL;
        if (value) {
            free(*ret);
            *ret = value;
        }
    }
    return true;
}

static bool take_environment(const struct kt_rancher_places *places, struct kt_rancher_config *config,
                             struct kt_error *err)
{
    for (enum kt_rancher_key key = 0; key < KT_RANCHER_KEY_COUNT; key++) {
        KT_CLEANUP(kt_free_p) char *value = NULL;
        if (KEYS[key].variable[0] == '\0' || config->values[key].n > 0)
            continue;
        if (!find_variable(places, KEYS[key].variable, &value, err))
            return false;
        if (value && !list_add(&config->values[key], value, err))
            return false;
    }
    return true;
}

/* The last ExecStart= of the unit and of its drop-ins counts. */
static bool take_exec_start(const char *file, struct kt_unit_words *ret, struct kt_error *err)
{
    KT_CLEANUP(wipe_bytes) struct kt_bytes text = {.data = NULL};
    enum kt_file_state state = KT_FILE_ABSENT;
    struct kt_unit_words words = {.n = 0};
    if (!read_file(file, &text, &state, err) || !kt_unit_exec_start(kt_bytes_view(&text), &words, err))
        return false;
    if (words.n > 0) {
        kt_unit_words_done(ret);
        *ret = words;
    } else {
        kt_unit_words_done(&words);
    }
    return true;
}

static bool read_unit(const struct kt_rancher_places *places, struct unit *ret, struct kt_error *err)
{
    if (!places->unit)
        return find_variable(places, "CONFIG_FILE", &ret->config, err);
    if (!take_exec_start(places->unit, &ret->words, err) || !find_variable(places, "CONFIG_FILE", &ret->config, err))
        return false;
    for (const char *const *file = places->unit_drop_ins; file && *file; file++) {
        if (!take_exec_start(*file, &ret->words, err))
            return false;
    }
    for (size_t i = 0; i < ret->words.n && !ret->config; i++) {
        const char *name = ret->words.items[i] + strspn(ret->words.items[i], "-");
        size_t len = 0;
        const char *value = value_at(&ret->words, &i, &len);
        if (value && ((len == 1 && name[0] == 'c') || (len == 6 && memcmp(name, "config", 6) == 0)))
            ret->config = strdup(value);
    }
    return true;
}

bool kt_rancher_config_read(const struct kt_rancher_places *places, struct kt_rancher_config *ret, struct kt_error *err)
{
    KT_CLEANUP(unit_done) struct unit unit = {.config = NULL};
    KT_CLEANUP(kt_rancher_config_done) struct kt_rancher_config config = {.values = {{.items = NULL}}};
    char file[PATH_MAX];
    char folder[PATH_MAX + 2];
    if (!read_unit(places, &unit, err))
        return false;
    (void)snprintf(file, sizeof(file), "%s%s", unit.config ? places->root : "",
                   unit.config ? unit.config : places->config);
    (void)snprintf(folder, sizeof(folder), "%s.d", file);
    if (!take_file(file, &config, err) || !take_drop_ins(folder, &config, err) ||
        !take_words(&unit.words, &config, err) || !take_environment(places, &config, err))
        return false;
    *ret = config;
    config = (struct kt_rancher_config){.values = {{.items = NULL}}};
    return true;
}

const char *kt_rancher_text(const struct kt_rancher_config *config, enum kt_rancher_key key)
{
    return config->values[key].n > 0 ? config->values[key].items[config->values[key].n - 1] : NULL;
}

/* ---- kube-apiserver's words ---- */

/* The length of the name of "--name+=value", without dashes and the sign. */
static size_t name_of(const char *word, const char **ret_name, char *ret_sign)
{
    *ret_name = strncmp(word, "--", 2) == 0 ? word + 2 : word;
    size_t len = strcspn(*ret_name, "=");
    *ret_sign = '\0';
    while (len > 0 && strchr("+-", (*ret_name)[len - 1])) {
        *ret_sign = *ret_sign != '\0' ? *ret_sign : (*ret_name)[len - 1];
        len--;
    }
    return len;
}

static bool has_name(const char *word, const char *name, size_t len)
{
    return strncmp(word, "--", 2) == 0 && strncmp(word + 2, name, len) == 0 && word[2 + len] == '=';
}

static void remove_named(struct kt_rancher_list *words, const char *name, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < words->n; i++) {
        if (has_name(words->items[i], name, len))
            free(words->items[i]);
        else
            words->items[kept++] = words->items[i];
    }
    words->n = kept;
}

/* The first argument of a name takes away the distribution's own, unless it adds to it. */
static bool apply(struct kt_rancher_list *words, const struct kt_rancher_list *args, size_t i, struct kt_error *err)
{
    char word[KT_RANCHER_TEXT_MAX + 16];
    const char *name = NULL;
    char sign = '\0';
    size_t len = name_of(args->items[i], &name, &sign);
    const char *value = strchr(name, '=');
    bool again = false;
    for (size_t before = 0; before < i; before++) {
        const char *other = NULL;
        char other_sign = '\0';
        again |= name_of(args->items[before], &other, &other_sign) == len && memcmp(other, name, len) == 0;
    }
    if (len == 0 ||
        (size_t)snprintf(word, sizeof(word), "--%.*s=%s", (int)len, name, value ? value + 1 : "true") >= sizeof(word))
        return kt_fail(err, KT_E_CONFIG, "expected kube-apiserver-arg of the form name=value, found another");
    if (sign == '\0' && !again)
        remove_named(words, name, len);
    size_t at = words->n;
    for (size_t w = words->n; sign == '-' && w > 0; w--)
        at = has_name(words->items[w - 1], name, len) ? w - 1 : at;
    return list_insert(words, at, word, err);
}

bool kt_rancher_apiserver_words(const char *const *own, const struct kt_rancher_config *config,
                                struct kt_rancher_list *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_rancher_list_done) struct kt_rancher_list words = {.items = NULL};
    const struct kt_rancher_list *args = &config->values[KT_RANCHER_APISERVER_ARGS];
    for (; *own; own++) {
        char word[KT_RANCHER_TEXT_MAX + 16];
        (void)snprintf(word, sizeof(word), "--%s", *own);
        if (!list_add(&words, word, err))
            return false;
    }
    for (size_t i = 0; i < args->n; i++)
        if (!apply(&words, args, i, err))
            return false;
    *ret = words;
    words = (struct kt_rancher_list){.items = NULL};
    return true;
}
