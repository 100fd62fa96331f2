/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/encconfig/edited.h"

#define HEAD  "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
#define ENTRY HEAD "- resources: [secrets]\n  providers:\n"
#define JSON  "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":[{"
#define KMS   "kms: {apiVersion: v2, name: keyturn, endpoint: 'unix:///run/keyturn/kms/kms.sock'}"
#define OTHER "kms: {apiVersion: v2, name: other, endpoint: 'unix:///other'}"

struct row {
    const char *about;
    const char *before;
    const char *wanted;
    const char *drops;
    const char *after; /* NULL: refused */
    const char *says;  /* then in the message */
};

static const struct row BLOCK[] = {
    {"as it is", ENTRY "  - " KMS " # x\n  - identity: {}\n", "kms identity", NULL,
     ENTRY "  - " KMS " # x\n  - identity: {}\n", NULL},
    {"two change places, with what is theirs",
     ENTRY "  # first\n\n  # of kms\n  - " KMS
           " # behind\n    # deeper\n  # of identity\n  - identity: {} # none\n# end\n",
     "identity kms", NULL,
     ENTRY "  # first\n\n  # of identity\n  - identity: {} # none\n  # of kms\n  - " KMS
           " # behind\n    # deeper\n# end\n",
     NULL},
    {"a new one as its neighbours",
     ENTRY "  -   kms:\n         apiVersion: v2\n         name: \"other\"\n         endpoint: unix:///other\n  -   "
           "identity: {}\n",
     "kms identity", NULL,
     ENTRY "  -   kms:\n         apiVersion: \"v2\"\n         name: \"keyturn\"\n         endpoint: "
           "\"unix:///run/keyturn/kms/kms.sock\"\n         timeout: \"3s\"\n  -   identity: {}\n"
           "  -   kms:\n         apiVersion: v2\n         name: \"other\"\n         endpoint: unix:///other\n",
     NULL},
    {"no line break at the end", ENTRY "  - " KMS "\n  - identity: {}", "identity kms", NULL,
     ENTRY "  - identity: {}\n  - " KMS, NULL},
    {"CRLF, and a byte order mark",
     "\xef\xbb\xbf# \xe2\x82\xac\r\napiVersion: apiserver.config.k8s.io/v1\r\nkind: "
     "EncryptionConfiguration\r\nresources:\r\n"
     "- providers:\r\n  - identity: {}\r\n  resources: [secrets]\r\n",
     "kms identity", NULL,
     "\xef\xbb\xbf# \xe2\x82\xac\r\napiVersion: apiserver.config.k8s.io/v1\r\nkind: "
     "EncryptionConfiguration\r\nresources:\r\n"
     "- providers:\r\n  - kms:\r\n      apiVersion: v2\r\n      name: keyturn\r\n      endpoint: "
     "unix:///run/keyturn/kms/kms.sock\r\n      timeout: 3s\r\n  - identity: {}\r\n  resources: [secrets]\r\n",
     NULL},
    {"a key more, in the provider that is there",
     ENTRY "  - aescbc:\n      keys:\n        # one\n        - name: k1\n          secret: @1\n  - identity: {}\n",
     "aescbc/k2 aescbc/k1 identity", NULL,
     ENTRY "  - aescbc:\n      keys:\n        - name: k2\n          secret: @2\n        # one\n        - name: k1\n    "
           "      secret: "
           "@1\n  - identity: {}\n",
     NULL},
    {"a key less",
     ENTRY "  - aescbc:\n      keys:\n      - {name: k1, secret: @1}\n      - {name: k2, secret: @2} # two\n  - "
           "identity: {}\n",
     "aescbc/k2 identity", "aescbc/k1",
     ENTRY "  - aescbc:\n      keys:\n      - {name: k2, secret: @2} # two\n  - identity: {}\n", NULL},
    {"keys in providers of their own stay so",
     ENTRY "  - secretbox:\n      keys:\n      - name: 'k1'\n        secret: '@1'\n  - secretbox:\n      keys:\n      "
           "- name: 'k2'\n"
           "        secret: '@2'\n",
     "secretbox/k3 secretbox/k2 secretbox/k1 identity", NULL,
     ENTRY
     "  - secretbox:\n      keys:\n      - name: 'k3'\n        secret: '@3'\n  - secretbox:\n      keys:\n      - "
     "name: 'k2'\n"
     "        secret: '@2'\n  - secretbox:\n      keys:\n      - name: 'k1'\n        secret: '@1'\n  - identity: {}\n",
     NULL},
    {"foreign ones behind ours",
     ENTRY "  - " OTHER " # theirs\n  - identity: {}\n  - aesgcm: {keys: [{name: k1, secret: @1}]}\n", "identity",
     "aesgcm/k1", ENTRY "  - identity: {}\n  - " OTHER " # theirs\n", NULL},
    {"behind the foreign ones for now", ENTRY "  - " OTHER " # theirs\n  - identity: {}\n", "behind: kms identity",
     NULL,
     ENTRY "  - " OTHER " # theirs\n  - kms:\n      apiVersion: v2\n      name: keyturn\n      endpoint: "
           "unix:///run/keyturn/kms/kms.sock\n      timeout: 3s\n  - identity: {}\n",
     NULL},
    {"an alias of what stands before",
     HEAD "- resources: [pods]\n  providers:\n  - identity: &i {}\n- resources: [secrets]\n  providers:\n  - identity: "
          "*i\n  - " KMS "\n",
     "1: kms identity", NULL,
     HEAD "- resources: [pods]\n  providers:\n  - identity: &i {}\n- resources: [secrets]\n  providers:\n  - " KMS
          "\n  - identity: *i\n",
     NULL},
    {"an end mark", "---\n" ENTRY "  - identity: {}\n  - " KMS "\n...\n# x\n", "kms", NULL,
     "---\n" ENTRY "  - " KMS "\n...\n# x\n", NULL},
};

static const struct row FLOW[] = {
    {"JSON in one line",
     JSON "\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[{\"name\":\"k1\",\"secret\":\"@1\"}]}},{"
          "\"identity\":{}}]}]}\n",
     "aescbc/k1 aescbc/k2 kms identity", NULL,
     JSON "\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[{\"name\":\"k1\",\"secret\":\"@1\"},{"
          "\"name\":\"k2\",\"secret\":"
          "\"@2\"}]}},{\"kms\":{\"apiVersion\":\"v2\",\"name\":\"keyturn\",\"endpoint\":\"unix:///run/keyturn/kms/"
          "kms.sock\",\"timeout\":"
          "\"3s\"}},{\"identity\":{}}]}]}\n",
     NULL},
    {"JSON in many",
     JSON "\"resources\":[\"secrets\"],\n\t\"providers\": [\n\t\t{\n\t\t\t\"aescbc\": {\n\t\t\t\t\"keys\": "
          "[\n\t\t\t\t\t{\"name\": \"k1\", "
          "\"secret\": \"@1\"}\n\t\t\t\t]\n\t\t\t}\n\t\t}\n\t]}]}",
     "secretbox/k2 aescbc/k3 aescbc/k1 identity", NULL,
     JSON "\"resources\":[\"secrets\"],\n\t\"providers\": [\n\t\t{\n\t\t\t\"secretbox\": {\n\t\t\t\t\"keys\": "
          "[\n\t\t\t\t\t{\n\t\t\t\t\t\t"
          "\"name\": \"k2\",\n\t\t\t\t\t\t\"secret\": "
          "\"@2\"\n\t\t\t\t\t}\n\t\t\t\t]\n\t\t\t}\n\t\t},\n\t\t{\n\t\t\t\"aescbc\": "
          "{\n\t\t\t\t\"keys\": [\n\t\t\t\t\t{\"name\": \"k3\", \"secret\": \"@3\"},\n\t\t\t\t\t{\"name\": \"k1\", "
          "\"secret\": "
          "\"@1\"}\n\t\t\t\t]\n\t\t\t}\n\t\t},\n\t\t{\n\t\t\t\"identity\": {}\n\t\t}\n\t]}]}",
     NULL},
    {"YAML in brackets", HEAD "- {resources: [secrets], providers: [ {identity: {}} ]} # x\n", "kms identity", NULL,
     HEAD "- {resources: [secrets], providers: [ {kms: {apiVersion: v2, name: keyturn, endpoint: "
          "\"unix:///run/keyturn/kms/kms.sock\", timeout: 3s}}, {identity: {}} ]} # x\n",
     NULL},
    {"pairs in brackets, and a comma behind the last",
     HEAD "- {resources: [secrets], providers: [identity: {}, " KMS ",]}\n", "kms identity", NULL,
     HEAD "- {resources: [secrets], providers: [" KMS ", identity: {},]}\n", NULL},
    {"brackets behind dashes", ENTRY "  - { aescbc: { keys: [ { name: k1, secret: @1 } ] } }\n",
     "secretbox/k2 aescbc/k1", NULL,
     ENTRY "  - { secretbox: { keys: [{ name: k2, secret: @2 }] } }\n  - { aescbc: { keys: [ { name: k1, secret: @1 } "
           "] } }\n",
     NULL},
    {"the first form, with a name that wants quotes",
     "kind: EncryptionConfig\napiVersion: v1\nresources:\n- resources: [secrets]\n  providers:\n  - aescbc:\n      "
     "keys:\n      - name: a\n"
     "        secret: @1\n",
     "aescbc/1 identity", "aescbc/a",
     "kind: EncryptionConfig\napiVersion: v1\nresources:\n- resources: [secrets]\n  providers:\n  - aescbc:\n      "
     "keys:\n      - name: "
     "\"1\"\n        secret: @1\n  - identity: {}\n",
     NULL},
};

static const struct row REFUSED[] = {
    {"a key of its own", ENTRY "  - aescbc: {keys: [{name: k1, secret: @2}]}\n  - identity: {}\n",
     "kms aescbc/k1 identity", NULL, NULL,
     "resources[0].providers (line 6, column 21): expected no key but those of the keyring"},
    {"the same name in another provider", ENTRY "  - secretbox: {keys: [{name: k1, secret: @1}]}\n",
     "aescbc/k1 identity", NULL, NULL, "expected no key but"},
    {"KMS v1", ENTRY "  - kms: {name: keyturn, endpoint: 'unix:///a'}\n", "kms", NULL, NULL, "expected apiVersion v2"},
    {"a list shared by an alias",
     HEAD "- resources: [secrets]\n  providers: &p\n  - identity: {}\n- resources: [pods]\n  providers: *p\n",
     "kms identity", NULL, NULL, "(line 8, column 14): expected no alias"},
    {"an entry shared by an alias", HEAD "- &e\n  resources: [secrets]\n  providers:\n  - identity: {}\n- *e\n",
     "kms identity", NULL, NULL, "(line 8, column 3): expected no alias"},
    {"a list that comes by an alias",
     HEAD "- resources: [secrets]\n  providers: &p\n  - identity: {}\n- resources: [pods]\n  providers: *p\n",
     "1: kms identity", NULL, NULL, "resources[1].providers (line 8, column 14): expected a list that is written out"},
    {"an entry that comes by a merge key",
     HEAD "- &e\n  resources: [secrets]\n  providers: [{identity: {}}]\n- {<<: *e}\n", "1: kms identity", NULL, NULL,
     "merge key"},
    {"an alias of a provider",
     ENTRY "  - identity: &i {}\n  - aescbc: {keys: [{name: k1, secret: @1}]}\n  - identity: *i\n", "identity",
     "aescbc/k1", NULL, "expected no alias"},
    {"keys by an alias",
     HEAD "- resources: [pods]\n  providers:\n  - aescbc: &c {keys: [{name: k1, secret: @1}]}\n- resources: "
          "[secrets]\n  providers:\n"
          "  - aescbc: *c\n",
     "1: aescbc/k1 aescbc/k2", NULL, NULL, "expected the keys of this provider written out"},
    {"two documents", ENTRY "  - identity: {}\n---\na: b\n", "kms", NULL, NULL, "expected one document"},
    {"what kube-apiserver would not take", ENTRY "  - identity: {}\n  - kms: {apiVersion: v2, name: a}\n", "kms", NULL,
     NULL, "expected a file that kube-apiserver takes"},
    {"comments in brackets", ENTRY "    [ # x\n    identity: {}]\n", "kms", NULL, NULL,
     "expected no comment between items in brackets"},
    {"a provider in two lists",
     HEAD "- resources: [secrets]\n  providers: [" KMS "]\n- resources: [pods]\n  providers: [identity: {}]\n",
     "1: kms identity", NULL, NULL, "duplicate KMS provider name keyturn"},
    {"nothing left", ENTRY "  - identity: {}\n", "", NULL, NULL, "expected a provider in the list"},
    {"a dash behind another indicator",
     HEAD "- resources: [secrets]\n  ? providers\n  : - identity: {}\n    - " KMS "\n", "kms", NULL, NULL,
     "expected each item on lines of its own"},
};

static struct kt_secret *edit(const struct row *row, const struct kt_encconfig *config, struct kt_error *err)
{
    KT_CLEANUP(items_done) struct items wanted = {.n = 0};
    KT_CLEANUP(items_done) struct items drops = {.n = 0};
    bool second = strncmp(row->wanted, "1:", 2) == 0;
    bool behind = strncmp(row->wanted, "behind:", 7) == 0;
    parse_items(row->wanted + (second ? 2 : behind ? 7 : 0), &wanted);
    parse_items(row->drops, &drops);
    if (drops.n > 0 && strcmp(drops.items[0].name, "a") == 0) {
        kt_secret_free((struct kt_secret *)(uintptr_t)drops.items[0].bytes);
        drops.items[0].bytes = NULL;
    }
    const struct kt_encconfig_list list = {.entry = second,
                                           .items = wanted.items,
                                           .n_items = wanted.n,
                                           .drops = drops.items,
                                           .n_drops = drops.n,
                                           .behind_foreign = behind};
    return kt_encconfig_edit(config, &list, 1, err);
}

static void check_row(const struct row *row)
{
    KT_CLEANUP(kt_text_done) struct kt_text before = {.data = NULL};
    KT_CLEANUP(kt_text_done) struct kt_text after = {.data = NULL};
    struct kt_error err = KT_ERROR_INIT;
    expand(row->before, &before);
    expand(row->after ? row->after : "", &after);
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = read_config(KT_SLICE(before.data, before.len));
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *result = edit(row, config, &err);
    if (!row->after) {
        if (result || err.code != KT_E_REFUSED || !strstr(err.message, row->says) || !err.hint[0])
            fail_msg("%s: %s", row->about, result ? "not refused" : err.message);
        return;
    }
    if (!result)
        fail_msg("%s: %s", row->about, err.message);
    if (kt_secret_len(result) != after.len || memcmp(kt_secret_view(result), after.data, after.len) != 0)
        fail_msg("%s: expected\n%s\nfound\n%.*s", row->about, after.data, (int)kt_secret_len(result),
                 (const char *)kt_secret_view(result));
}

static void lists_in_block_style(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(BLOCK); i++)
        check_row(&BLOCK[i]);
}

static void lists_in_brackets(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(FLOW); i++)
        check_row(&FLOW[i]);
}

static void what_is_not_safe_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(REFUSED); i++)
        check_row(&REFUSED[i]);
}

static void other_encodings_and_sizes_are_refused(void **state)
{
    (void)state;
    static const char head[] =
        "kind: EncryptionConfig\napiVersion: v1\nresources:\n- resources: [secrets]\n  providers:\n  - identity: {}\n";
    uint8_t wide[2 * sizeof(head)] = {0xff, 0xfe};
    KT_CLEANUP(kt_text_done) struct kt_text large = {.data = NULL};
    struct kt_error err = KT_ERROR_INIT;
    const struct row row = {.wanted = "kms identity"};
    for (size_t i = 0; i + 1 < sizeof(head); i++)
        wide[2 + 2 * i] = (uint8_t)head[i];
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = read_config(KT_SLICE(wide, sizeof(wide)));
    assert_null(edit(&row, config, &err));
    assert_non_null(strstr(err.message, "UTF-16"));
    kt_text_init(&large, 1u << 20);
    kt_text_add(&large, "%s#%*s", head, (int)KT_SECRET_MAX, "");
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *much = read_config(KT_SLICE(large.data, large.len));
    assert_null(edit(&row, much, &err));
    assert_non_null(strstr(err.message, "at most 131072"));
}

static void what_a_list_holds(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        const char *items;
        bool holds;
    } rows[] = {
        {"[identity: {}]", "identity kms", false},
        {"[identity: {}, " KMS "]", "identity kms", true},
        {"[" OTHER "]", "kms", false},
        {"[aescbc: {keys: [{name: k1, secret: @1}]}]", "secretbox/k1 aescbc/k2", false},
        {"[aescbc: {keys: [{name: k0, secret: @0}, {name: k1, secret: @1}]}]", "aescbc/k1", true},
        {"[aescbc: {keys: [{name: k1, secret: @2}]}]", "aescbc/k1", false},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        KT_CLEANUP(items_done) struct items items = {.n = 0};
        KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL};
        char file[1024];
        snprintf(file, sizeof(file), HEAD "- {resources: [secrets], providers: %s}\n", rows[i].list);
        expand(file, &text);
        KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = read_config(KT_SLICE(text.data, text.len));
        parse_items(rows[i].items, &items);
        assert_int_equal(kt_encconfig_holds(&config->entries[0], items.items, items.n), rows[i].holds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_in_block_style),        cmocka_unit_test(lists_in_brackets),
        cmocka_unit_test(what_is_not_safe_is_refused), cmocka_unit_test(other_encodings_and_sizes_are_refused),
        cmocka_unit_test(what_a_list_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
