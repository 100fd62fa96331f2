/* SPDX-License-Identifier: Apache-2.0 */
/* Files made by a generator with a fixed seed, in all layouts: their lists are changed at random, and what stands
 * around them must be there byte for byte, and what stays in them, too. */
#include "encconfig/validate.h"
#include "tests/unit/encconfig/edited.h"

#include <stdlib.h>

#define FILES       3000u
#define ENTRIES_MAX 3u
#define PIECES_MAX  8u
#define WORDS_MAX   512u

enum form { BLOCK, BLOCK_BRACES, FLOW, FLOW_LINES, JSON, JSON_LINES, FORMS };

struct entry {
    char before[WORDS_MAX]; /* the words of its list */
    char wanted[WORDS_MAX];
    char drops[WORDS_MAX];
};

struct made {
    struct kt_text text;
    size_t starts[ENTRIES_MAX]; /* of each list */
    size_t ends[ENTRIES_MAX];
    struct entry entries[ENTRIES_MAX];
    size_t n_entries;
    char kept[64][512]; /* providers without keys, with their comments: they are to be found again */
    size_t n_kept;
    enum form form;
    const char *quote;
    const char *blank;
    unsigned n_words; /* so that no two comments are the same */
    unsigned next_key;
};

static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

static unsigned any(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 11) % n);
}

static const char *const inline_types[] = {"aescbc", "secretbox", "aesgcm"};

static void add_word(char *words, const char *word)
{
    size_t len = strlen(words);
    const size_t more = strlen(word);
    assert_true(len + 1 + more < WORDS_MAX);
    if (len > 0)
        words[len++] = ' ';
    memcpy(words + len, word, more + 1);
}

/* Names differ in their ends, so keys in their bytes. */
static void new_key(struct made *made, const char *type, char ret[32])
{
    static const char ends[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    unsigned n = made->next_key++ % (sizeof(ends) - 1);
    snprintf(ret, 32, "%s/k%u%c", type, made->next_key, ends[n]);
}

static void put_scalar(struct made *made, const char *text)
{
    kt_text_add(&made->text, "%s%s%s", made->quote, text, made->quote);
}

static const char *key_quote(const struct made *made)
{
    return made->form >= JSON ? "\"" : "";
}

static void put_secret(struct made *made, const char *name)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *bytes = key_bytes(name);
    char base64[64];
    kt_base64_encode(KT_SLICE(kt_secret_view(bytes), kt_secret_len(bytes)), base64);
    put_scalar(made, base64);
}

static void put_flow_field(struct made *made, const char *name, const char *value)
{
    const char *quote = key_quote(made);
    kt_text_add(&made->text, "%s%s%s:%s", quote, name, quote, made->blank);
    if (value)
        put_scalar(made, value);
}

static void put_flow_kms(struct made *made, const char *name)
{
    kt_text_add(&made->text, "{");
    put_flow_field(made, "apiVersion", "v2");
    kt_text_add(&made->text, ",%s", made->blank);
    put_flow_field(made, "name", name);
    kt_text_add(&made->text, ",%s", made->blank);
    const char *quote = made->quote;
    made->quote = quote[0] ? quote : "\"";
    put_flow_field(made, "endpoint", "unix:///a/b");
    made->quote = quote;
    kt_text_add(&made->text, "}");
}

static void put_flow_keys(struct made *made, char keys[][32], size_t n_keys)
{
    kt_text_add(&made->text, "{");
    put_flow_field(made, "keys", NULL);
    kt_text_add(&made->text, "[");
    for (size_t i = 0; i < n_keys; i++) {
        const char *name = strchr(keys[i], '/') + 1;
        kt_text_add(&made->text, "%s{", i > 0 ? "," : "");
        put_flow_field(made, "name", name);
        kt_text_add(&made->text, ",%s", made->blank);
        put_flow_field(made, "secret", NULL);
        put_secret(made, name);
        kt_text_add(&made->text, "}");
    }
    kt_text_add(&made->text, "]}");
}

static void put_flow(struct made *made, const char *type, char keys[][32], size_t n_keys)
{
    bool is_kms = strncmp(type, "kms", 3) == 0;
    kt_text_add(&made->text, "{");
    put_flow_field(made, is_kms ? "kms" : type, NULL);
    if (is_kms)
        put_flow_kms(made, type[3] ? type + 4 : "keyturn");
    else if (n_keys > 0)
        put_flow_keys(made, keys, n_keys);
    else
        kt_text_add(&made->text, "{}");
    kt_text_add(&made->text, "}");
}

static void put_block_keys(struct made *made, const char *in, char keys[][32], size_t n_keys)
{
    kt_text_add(&made->text, "%s    keys:\n", in);
    for (size_t i = 0; i < n_keys; i++) {
        const char *name = strchr(keys[i], '/') + 1;
        if (any(4) == 0)
            kt_text_add(&made->text, "%s    # of key %u\n", in, made->n_words++);
        kt_text_add(&made->text, "%s    - name: ", in);
        put_scalar(made, name);
        kt_text_add(&made->text, "\n%s      secret: ", in);
        put_secret(made, name);
        kt_text_add(&made->text, i + 1 < n_keys ? "\n" : "");
    }
}

static void put_block(struct made *made, const char *in, const char *type, char keys[][32], size_t n_keys)
{
    bool is_kms = strncmp(type, "kms", 3) == 0;
    if (n_keys == 0 && !is_kms) {
        kt_text_add(&made->text, "identity: {}");
        return;
    }
    kt_text_add(&made->text, "%s:\n", is_kms ? "kms" : type);
    if (!is_kms) {
        put_block_keys(made, in, keys, n_keys);
        return;
    }
    kt_text_add(&made->text, "%s    name: ", in);
    put_scalar(made, type[3] ? type + 4 : "keyturn");
    kt_text_add(&made->text, "\n\n%s    endpoint: 'unix:///a/b'\n%s    apiVersion: v2", in, in);
}

static void put_dashed(struct made *made, const char *in, const char *type, char keys[][32], size_t n_keys)
{
    if (any(3) == 0)
        kt_text_add(&made->text, "%s# \xe2\x82\xac above %u\n", in, made->n_words++);
    kt_text_add(&made->text, "%s- ", in);
    if (made->form == BLOCK)
        put_block(made, in, type, keys, n_keys);
    else
        put_flow(made, type, keys, n_keys);
    if (any(3) == 0)
        kt_text_add(&made->text, " # behind %u", made->n_words++);
    kt_text_add(&made->text, "\n");
    if (any(5) == 0)
        kt_text_add(&made->text, "%s  # below %u\n", in, made->n_words++);
}

static void keep(struct made *made, size_t start)
{
    if (made->n_kept < KT_ARRAY_LEN(made->kept))
        snprintf(made->kept[made->n_kept++], 512, "%.*s", (int)(made->text.len - start), made->text.data + start);
}

static void put_provider(struct made *made, size_t i, const char *in, const char *type, char keys[][32], size_t n_keys)
{
    bool in_lines = made->form == FLOW_LINES || made->form == JSON_LINES;
    if (made->form > BLOCK_BRACES)
        kt_text_add(&made->text, "%s%s", i > 0 ? "," : "", in_lines ? "\n\t    " : i > 0 ? made->blank : "");
    size_t start = made->text.len;
    if (made->form > BLOCK_BRACES)
        put_flow(made, type, keys, n_keys);
    else
        put_dashed(made, in, type, keys, n_keys);
    if (n_keys == 0)
        keep(made, start);
}

static void put_list(struct made *made, struct entry *entry, const char *in, bool has_kms)
{
    unsigned n = 1 + any(5);
    unsigned kms_at = has_kms ? any(n) : n;
    for (unsigned i = 0; i < n; i++) {
        char keys[3][32];
        unsigned what = i == kms_at ? 0 : 1 + any(6);
        const char *type = what == 0 ? "kms" : what == 1 ? "identity" : inline_types[what % 3];
        char foreign[32];
        size_t n_keys = what >= 2 && what < 6 ? 1 + any(3) : 0;
        if (what == 6) {
            snprintf(foreign, sizeof(foreign), "kms.other%u", made->n_words++);
            type = foreign;
        }
        for (size_t k = 0; k < n_keys; k++) {
            new_key(made, type, keys[k]);
            add_word(entry->before, keys[k]);
        }
        if (n_keys == 0)
            add_word(entry->before, type);
        put_provider(made, i, in, type, keys, n_keys);
    }
}

static void put_yaml_entry(struct made *made, struct entry *entry, size_t i, bool has_kms)
{
    static const char *const indents[] = {"", "  ", "    "};
    const char *in = indents[any(3)];
    bool first = any(2);
    made->form = any(JSON);
    made->blank = " ";
    kt_text_add(&made->text, "# entry %u\n- ", made->n_words++);
    if (!first)
        kt_text_add(&made->text, "resources: [ r%zu ] # \xc3\xa9\n  ", i);
    kt_text_add(&made->text, "providers:");
    if (made->form <= BLOCK_BRACES) {
        char deep[16];
        snprintf(deep, sizeof(deep), "  %s", in);
        kt_text_add(&made->text, " # list %u\n", made->n_words++);
        made->starts[i] = made->text.len;
        put_list(made, entry, deep, has_kms);
        made->ends[i] = made->text.len;
    } else {
        kt_text_add(&made->text, " [ ");
        made->starts[i] = made->text.len;
        put_list(made, entry, "", has_kms);
        made->ends[i] = made->text.len;
        kt_text_add(&made->text, "%s # end %u\n", any(2) ? " ]" : "\n    ,]", made->n_words++);
    }
    if (first)
        kt_text_add(&made->text, "  resources:\n  - r%zu\n", i);
}

static void put_yaml(struct made *made)
{
    size_t kms = any(ENTRIES_MAX);
    static const char *const quotes[] = {"", "'", "\""};
    made->quote = quotes[any(3)];
    kt_text_add(&made->text,
                "%s%sapiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n\nresources:\n",
                any(4) == 0 ? "\xef\xbb\xbf" : "", any(4) == 0 ? "--- # \xf0\x9f\x98\x80\n" : "");
    for (size_t i = 0; i < made->n_entries; i++)
        put_yaml_entry(made, &made->entries[i], i, i == kms);
    kt_text_add(&made->text, "%s", any(2) ? "# end\n" : "");
}

static void put_json(struct made *made)
{
    size_t kms = any(ENTRIES_MAX);
    bool lines = any(2);
    made->form = lines ? JSON_LINES : JSON;
    made->quote = "\"";
    made->blank = any(2) ? " " : "";
    kt_text_add(&made->text, "{\"kind\": \"EncryptionConfig\",\n\"apiVersion\":\"v1\",\"resources\":[");
    for (size_t i = 0; i < made->n_entries; i++) {
        kt_text_add(&made->text, "%s\n{\"resources\":[\"r%zu\"],\"providers\":[", i > 0 ? "," : "", i);
        made->starts[i] = made->text.len;
        put_list(made, &made->entries[i], "", i == kms);
        made->ends[i] = made->text.len;
        kt_text_add(&made->text, "%s]}", lines ? "\n\t  " : "");
    }
    kt_text_add(&made->text, "]}%s", any(2) ? "\n" : "");
}

/* All lines of the file, and what is remembered of it, end in CRLF. */
static void end_in_crlf(struct made *made)
{
    struct kt_text text = {.data = NULL};
    kt_text_init(&text, 1u << 20);
    for (size_t i = 0; i <= made->text.len; i++) {
        for (size_t k = 0; k < made->n_entries; k++) {
            /* Places behind i are not moved yet. */
            if (made->starts[k] == i)
                made->starts[k] = SIZE_MAX - text.len;
            if (made->ends[k] == i)
                made->ends[k] = SIZE_MAX - text.len;
        }
        if (i < made->text.len)
            kt_text_add(&text, "%s%c", made->text.data[i] == '\n' ? "\r" : "", made->text.data[i]);
    }
    for (size_t k = 0; k < made->n_entries; k++) {
        made->starts[k] = SIZE_MAX - made->starts[k];
        made->ends[k] = SIZE_MAX - made->ends[k];
    }
    kt_text_done(&made->text);
    made->text = text;
    for (size_t i = 0; i < made->n_kept; i++) {
        char copy[512];
        size_t len = 0;
        for (const char *c = made->kept[i]; *c && len + 2 < sizeof(copy); c++) {
            if (*c == '\n')
                copy[len++] = '\r';
            copy[len++] = *c;
        }
        copy[len] = '\0';
        memcpy(made->kept[i], copy, len + 1);
    }
}

static void make_file(struct made *made)
{
    *made = (struct made){.n_entries = 1 + any(ENTRIES_MAX)};
    kt_text_init(&made->text, 1u << 20);
    if (any(3) == 0)
        put_json(made);
    else
        put_yaml(made);
    if (any(3) == 0)
        end_in_crlf(made);
}

/* Some of what is there, something new, in any order; the rest is dropped. Identity and foreign ones are no keys. */
static void make_wanted(struct made *made, struct entry *entry)
{
    char words[24][32];
    size_t n = 0;
    char copy[512];
    char *rest = copy;
    memcpy(copy, entry->before, sizeof(copy));
    for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " ")) {
        if (strcmp(word, "identity") == 0 || strncmp(word, "kms.", 4) == 0)
            continue;
        if (any(4) == 0)
            add_word(entry->drops, word);
        else
            snprintf(words[n++], sizeof(words[0]), "%s", word);
    }
    for (unsigned k = any(3); k > 0; k--)
        new_key(made, inline_types[any(3)], words[n++]);
    if (any(3) > 0 || n == 0)
        snprintf(words[n++], sizeof(words[0]), "identity");
    for (size_t i = n; i > 0 && any(3) > 0; i--) {
        char last[32];
        size_t k = any((unsigned)i);
        memcpy(last, words[i - 1], sizeof(last));
        memmove(words[i - 1], words[k], sizeof(last));
        memcpy(words[k], last, sizeof(last));
    }
    for (size_t i = 0; i < n; i++)
        add_word(entry->wanted, words[i]);
}

/* What a list holds, in words, foreign ones left out or alone. */
static void tell_list(const struct kt_encconfig_entry *entry, bool foreign, char ret[512])
{
    ret[0] = '\0';
    for (size_t i = 0; i < entry->n_providers; i++) {
        const struct kt_encconfig_provider *p = &entry->providers[i];
        char word[320];
        bool is_foreign = p->types[KT_ENCCONFIG_KMS] && strcmp(p->kms.name.text, "keyturn") != 0;
        if (is_foreign && foreign)
            add_word(ret, p->kms.name.text);
        if (is_foreign || foreign)
            continue;
        if (p->types[KT_ENCCONFIG_KMS] || p->types[KT_ENCCONFIG_IDENTITY])
            add_word(ret, p->types[KT_ENCCONFIG_KMS] ? "kms" : "identity");
        for (size_t type = 0; type <= KT_ENCCONFIG_SECRETBOX; type++)
            for (size_t k = 0; k < p->keys[type].n; k++) {
                snprintf(word, sizeof(word), "%s/%s", kt_encconfig_type_text((enum kt_encconfig_type)type),
                         p->keys[type].items[k].name.text);
                add_word(ret, word);
            }
    }
}

static void check_lists(const struct made *made, const struct kt_encconfig *before, const struct kt_encconfig *after)
{
    assert_int_equal(after->n_entries, made->n_entries);
    for (size_t i = 0; i < made->n_entries; i++) {
        char found[512], foreign[512], were[512];
        tell_list(&after->entries[i], false, found);
        assert_string_equal(found, made->entries[i].wanted);
        tell_list(&after->entries[i], true, foreign);
        tell_list(&before->entries[i], true, were);
        assert_string_equal(foreign, were);
    }
}

/* What stands before the first list, between lists, and behind the last one, in this order and once. */
static void check_around(const struct made *made, const char *data, size_t len)
{
    size_t from = 0;
    const char *at = data;
    for (size_t i = 0; i <= made->n_entries; i++) {
        size_t end = i < made->n_entries ? made->starts[i] : made->text.len;
        const char *piece = made->text.data + from;
        const char *found = memmem(at, len - (size_t)(at - data), piece, end - from);
        if (i == made->n_entries)
            found = len >= end - from && memcmp(data + len - (end - from), piece, end - from) == 0
                        ? data + len - (end - from)
                        : NULL;
        if (!found || (i == 0 && found != data) || found < at)
            fail_msg("what stands before list %zu is not there\n%s\n->\n%.*s", i, made->text.data, (int)len, data);
        at = found + (end - from);
        from = i < made->n_entries ? made->ends[i] : 0;
    }
}

/* An identity that stands twice is there once afterwards, or not at all. */
static void check_kept(const struct made *made, const char *data, size_t len)
{
    for (size_t i = 0; i < made->n_kept; i++) {
        bool stays =
            strstr(made->kept[i], "other") || (strstr(made->kept[i], "kms") && strstr(made->kept[i], "keyturn"));
        for (size_t k = 0; k < made->n_entries && stays; k++) /* our own provider may have been dropped */
            stays = strstr(made->kept[i], "other") || !strstr(made->entries[k].drops, "kms");
        size_t n = strlen(made->kept[i]);
        while (n > 0 && strchr("\r\n", made->kept[i][n - 1]))
            n--;
        if (stays && !memmem(data, len, made->kept[i], n))
            fail_msg("gone: %s\n%.*s", made->kept[i], (int)len, data);
    }
}

static struct kt_secret *edit(const struct made *made, const struct kt_encconfig *config)
{
    struct kt_encconfig_list lists[ENTRIES_MAX];
    struct items wanted[ENTRIES_MAX];
    struct items drops[ENTRIES_MAX];
    struct kt_error err = KT_ERROR_INIT;
    for (size_t i = 0; i < made->n_entries; i++) {
        parse_items(made->entries[i].wanted, &wanted[i]);
        parse_items(made->entries[i].drops, &drops[i]);
        lists[i] = (struct kt_encconfig_list){.entry = i,
                                              .items = wanted[i].items,
                                              .n_items = wanted[i].n,
                                              .drops = drops[i].items,
                                              .n_drops = drops[i].n};
    }
    struct kt_secret *result = kt_encconfig_edit(config, lists, made->n_entries, &err);
    if (!result)
        fail_msg("%s\n%s\n-> %s", err.message, made->text.data, made->entries[0].wanted);
    for (size_t i = 0; i < made->n_entries; i++) {
        items_done(&wanted[i]);
        items_done(&drops[i]);
    }
    return result;
}

static void check_file(struct made *made)
{
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    KT_CLEANUP(kt_encconfig_free_p)
    struct kt_encconfig *before = read_config(KT_SLICE(made->text.data, made->text.len));
    for (size_t i = 0; i < made->n_entries; i++)
        make_wanted(made, &made->entries[i]);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *result = edit(made, before);
    const char *data = (const char *)kt_secret_view(result);
    KT_CLEANUP(kt_encconfig_free_p)
    struct kt_encconfig *after = read_config(KT_SLICE(data, kt_secret_len(result)));
    assert_true(kt_encconfig_validate(after, true, &findings));
    check_lists(made, before, after);
    check_around(made, data, kt_secret_len(result));
    check_kept(made, data, kt_secret_len(result));
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *again = edit(made, after);
    assert_true(kt_secret_equal(result, again));
}

static void nothing_but_the_lists_changes(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < FILES; i++) {
        struct made *made = malloc(sizeof(*made));
        assert_non_null(made);
        make_file(made);
        check_file(made);
        kt_text_done(&made->text);
        free(made);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_but_the_lists_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
