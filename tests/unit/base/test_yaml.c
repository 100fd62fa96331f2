/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml.h"
#include "unit.h"

#include <string.h>

static struct kt_yaml *parse(const char *text)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_yaml *yaml = kt_yaml_parse(kt_slice_str(text), "t.yaml", KT_E_CONFIG, &err);
    if (!yaml)
        fail_msg("%s", err.message);
    return yaml;
}

static const char GOOD[] = "# a comment\n"
                           "---\n"
                           "name: node a\n"
                           "quoted: \"x\\ty\"\n"
                           "generation: 7\n"
                           "strict: true\n"
                           "off: false\n"
                           "bytes: Zm9vYg==\n"
                           "list: [a, b]\n"
                           "nested:\n"
                           "  - {id: 1}\n"
                           "  - id: 2\n"
                           "empty: []\n"
                           "...\n";

static void reads_a_document(void **state)
{
    (void)state;
    KT_CLEANUP(kt_yaml_free_p)
    struct kt_yaml *yaml = parse(GOOD);
    const struct kt_yaml_node *root = kt_yaml_root(yaml);
    const char *text = NULL;
    uint64_t number = 0;
    bool flag = false;
    uint8_t bytes[8];
    size_t n = 0;
    assert_true(kt_yaml_text(yaml, kt_yaml_get(root, "name"), 6, &text, NULL));
    assert_string_equal(text, "node a");
    assert_true(kt_yaml_text(yaml, kt_yaml_get(root, "quoted"), 6, &text, NULL));
    assert_string_equal(text, "x\ty");
    assert_true(kt_yaml_u64(yaml, kt_yaml_need(yaml, root, "generation", NULL), 7, &number, NULL));
    assert_int_equal(number, 7);
    assert_true(kt_yaml_bool(yaml, kt_yaml_get(root, "strict"), &flag, NULL));
    assert_true(flag);
    assert_true(kt_yaml_bool(yaml, kt_yaml_get(root, "off"), &flag, NULL));
    assert_false(flag);
    assert_true(kt_yaml_base64(yaml, kt_yaml_get(root, "bytes"), bytes, 4, &n, NULL));
    assert_int_equal(n, 4);
    assert_memory_equal(bytes, "foob", 4);
    assert_true(kt_yaml_items(yaml, kt_yaml_get(root, "list"), 2, &n, NULL));
    assert_int_equal(n, 2);
    assert_true(kt_yaml_text(yaml, kt_yaml_item(kt_yaml_get(root, "list"), 1), 1, &text, NULL));
    assert_string_equal(text, "b");
    assert_null(kt_yaml_item(kt_yaml_get(root, "list"), 2));
    assert_null(kt_yaml_item(root, 0));
    assert_null(kt_yaml_item(NULL, 0));
    for (uint64_t i = 0; i < 2; i++) {
        const struct kt_yaml_node *item = kt_yaml_item(kt_yaml_get(root, "nested"), i);
        assert_true(kt_yaml_u64(yaml, kt_yaml_get(item, "id"), 9, &number, NULL));
        assert_int_equal(number, i + 1);
    }
    assert_true(kt_yaml_items(yaml, kt_yaml_get(root, "empty"), 0, &n, NULL));
    assert_int_equal(n, 0);
    kt_yaml_free(NULL);
}

static const struct {
    const char *text;
    const char *message; /* after "t.yaml: " */
} REFUSED[] = {
    {"", "expected a document, found nothing: it is empty"},
    {"\n  \n# only words\n", "expected a document, found nothing: it is empty"},
    {"---\n", "expected a document, found nothing: it is empty"},
    {"~\n", "expected a document, found nothing: it is empty"},
    {"null", "expected a document, found nothing: it is empty"},
    {"\xef\xbb\xbf"
     "a: 1\n",
     "line 1, column 1: expected text, found a byte order mark"},
    {"a: 1\nb: &x 2\n", "line 2, column 4: expected a value, found an anchor"},
    {"a: &x [1]\n", "line 1, column 4: expected a value, found an anchor"},
    {"a: &x {b: 1}\n", "line 1, column 4: expected a value, found an anchor"},
    {"&x a: 1\n", "line 1, column 1: expected a value, found an anchor"},
    {"a: *x\n", "line 1, column 4: expected a value, found an alias"},
    {"*x : 1\n", "line 1, column 1: expected a value, found an alias"},
    {"a: !!str 1\n", "line 1, column 4: expected a value, found a tag"},
    {"a: ! 1\n", "line 1, column 4: expected a value, found a tag"},
    {"a: !!seq [1]\n", "line 1, column 4: expected a value, found a tag"},
    {"!!map {a: 1}\n", "line 1, column 1: expected a value, found a tag"},
    {"!<tag:x> a: 1\n", "line 1, column 1: expected a value, found a tag"},
    {"a: 1\n---\nb: 2\n", "line 2, column 1: expected one document, found a second"},
    {"a: 1\n...\n---\n", "line 3, column 1: expected one document, found a second"},
    {"---\n---\na: 1\n", "line 2, column 1: expected one document, found a second"},
    {"%YAML 1.1\n---\na: 1\n", "line 1, column 1: expected no directives, found one"},
    {"%TAG ! tag:x,2000:\n---\na: 1\n", "line 1, column 1: expected no directives, found one"},
    {"a: 1\nb: 2\na: 3\n", "line 3, column 1: expected each key once, found one twice"},
    {"x: {a: 1, a: 1}\n", "line 1, column 11: expected each key once, found one twice"},
    {"\"a\": 1\n", "line 1, column 1: expected a plain key, found quoted text"},
    {"? [a]\n: 1\n", "line 1, column 3: expected a plain key, found a sequence"},
    {"? {a: 1}\n: 1\n", "line 1, column 3: expected a plain key, found a mapping"},
    {"{a: 1}: 1\n", "line 1, column 1: expected a plain key, found a mapping"},
    {"?\n: 1\n", "line 1, column 2: expected a plain key, found nothing"},
    {"~: 1\n", "line 1, column 1: expected a plain key, found nothing"},
    {"a: \"x\\0y\"\n", "line 1, column 4: expected text, found a NUL character in it"},
    {"\"x\\0y\": 1\n", "line 1, column 1: expected text, found a NUL character in it"},
    {"a: 1\nb: \xff\n", "line 2, column 4: expected text in UTF-8, found a byte that is none or a control character"},
    {"a: \xc0\x80\n", "line 1, column 4: expected text in UTF-8, found a byte that is none or a control character"},
    {"a: \xed\xa0\x80\n", "line 1, column 4: expected text in UTF-8, found a byte that is none or a control character"},
    {"a: \xc3\xa9\x1b[31m\n",
     "line 1, column 5: expected text in UTF-8, found a byte that is none or a control character"},
    {"\xff\xfe"
     "a\0",
     "line 1, column 1: expected text in UTF-8, found a byte that is none or a control character"},
    {"a: \xf0\x9f\x94", "line 1, column 4: expected text in UTF-8, found a byte that is none or a control character"},
};

static void refuses_what_it_never_needs(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(REFUSED); i++) {
        struct kt_error err = KT_ERROR_INIT;
        char message[512];
        snprintf(message, sizeof(message), "t.yaml: %s", REFUSED[i].message);
        assert_null(kt_yaml_parse(kt_slice_str(REFUSED[i].text), "t.yaml", KT_E_KEYRING_FORMAT, &err));
        assert_string_equal(err.message, message);
        assert_int_equal(err.code, KT_E_KEYRING_FORMAT);
    }
}

static const char *foreign_text(const struct kt_yaml *yaml, const char *key)
{
    const char *text = NULL;
    struct kt_error err = KT_ERROR_INIT;
    if (!kt_yaml_text(yaml, kt_yaml_get(kt_yaml_root(yaml), key), 64, &text, &err))
        fail_msg("%s: %s", key, err.message);
    return text;
}

static void takes_foreign_files(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {
        "\xef\xbb\xbf{\"name\": \"a\", \"same\": \"a\", \"list\": [{\"x\": \"1\"}, {\"x\": \"1\"}], \"null\": \"b\"}\n",
        "name: &n a\n\"same\": *n\nlist:\n- &o {x: &p '1'}\n- *o\n'null': b\n",
        "name: &n z\nsame: &n a\nlist: &l [&o {x: 1}, *o]\n\"null\": b\nagain: *l\n<: 1\n'<<': 1\nname2: &q a\n",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(TEXTS); i++) {
        struct kt_error err = KT_ERROR_INIT;
        KT_CLEANUP(kt_yaml_free_p)
        struct kt_yaml *yaml = kt_yaml_parse_foreign(kt_slice_str(TEXTS[i]), "t.yaml", KT_E_CONFIG, &err);
        if (!yaml)
            fail_msg("%zu: %s", i, err.message);
        assert_string_equal(foreign_text(yaml, "same"), "a");
        assert_string_equal(foreign_text(yaml, "null"), "b");
        const struct kt_yaml_node *list = kt_yaml_get(kt_yaml_root(yaml), "list");
        for (size_t item = 0; item < 2; item++) {
            const char *text = NULL;
            assert_true(kt_yaml_text(yaml, kt_yaml_get(kt_yaml_item(list, item), "x"), 8, &text, NULL));
            assert_string_equal(text, "1");
        }
    }
}

static void refuses_what_foreign_files_do_not_need(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } BAD[] = {
        {"a: *x\n", "expected the alias of a value before it"},
        {"a: &x [*x]\n", "expected the alias of a value before it"},
        {"a: &x 1\nb: {<<: *x}\n", "merge key"},
        {"a: !!str 1\n", "found a tag"},
        {"%YAML 1.1\n---\na: 1\n", "found one"},
        {"a: 1\n---\nb: 1\n", "found a second"},
        {"a: 1\n\"a\": 2\n", "found one twice"},
        {"a: &aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1\n", "shorter anchors"},
        {"[&a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, "
         "&a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, "
         "&a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, "
         "&a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1, &a 1]",
         "fewer or shorter anchors"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(BAD); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_yaml *yaml = kt_yaml_parse_foreign(kt_slice_str(BAD[i].text), "t.yaml", KT_E_CONFIG, &err);
        if (yaml || !strstr(err.message, BAD[i].message))
            fail_msg("%s: %s", BAD[i].text, err.message);
    }
}

static void refuses_raw_nul(void **state)
{
    (void)state;
    static const struct kt_slice HOSTILE[] = {{(const uint8_t *)"\0", 1},
                                              {(const uint8_t *)"a: 1\0", 5},
                                              {(const uint8_t *)"a: 1\n\0b: 2\n", 11},
                                              {(const uint8_t *)"a\0: 1\n", 6}};
    for (size_t i = 0; i < KT_ARRAY_LEN(HOSTILE); i++) {
        struct kt_error err = KT_ERROR_INIT;
        assert_null(kt_yaml_parse(HOSTILE[i], "t.yaml", KT_E_CONFIG, &err));
        assert_non_null(strstr(err.message, "control character"));
    }
}

static void broken_syntax_is_not_quoted(void **state)
{
    (void)state;
    static const char *const HOSTILE[] = {
        "hunter2: [1",
        "hunter2: {a",
        "hunter2: \"x",
        "\thunter2: 1\n",
        "hunter2: 1\n  x: 2\n",
        "hunter2\n: : ",
        "[hunter2]]",
        "@hunter2",
        "`hunter2",
        "hunter2: |9x\n hunter2",
        "- a\nb: 1\n",
        "%hunter2\n---\n1",
        "a: \"\\hunter2\"",
        "hunter2: 'x\n---\n'y",
        "a: !<hunter2 x",
        "a: b: hunter2",
        "a: \"\\xhunter2\"",
        "? a\nhunter2",
        "a: - hunter2",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(HOSTILE); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_yaml *yaml = kt_yaml_parse(kt_slice_str(HOSTILE[i]), "t.yaml", KT_E_KEYRING_FORMAT, &err);
        if (yaml)
            fail_msg("parsed: %s", HOSTILE[i]);
        assert_int_equal(err.code, KT_E_KEYRING_FORMAT);
        assert_null(strstr(err.message, "hunter2"));
        assert_memory_equal(err.message, "t.yaml: line ", 13);
    }
}

static char *repeat(const char *a, size_t n, const char *middle, const char *b)
{
    struct kt_text t;
    kt_text_init(&t, 16 << 20);
    for (size_t i = 0; i < n; i++)
        kt_text_add(&t, "%s", a);
    kt_text_add(&t, "%s", middle);
    for (size_t i = 0; i < n; i++)
        kt_text_add(&t, "%s", b);
    assert_false(t.bad);
    return t.data;
}

static void limits_depth_and_number(void **state)
{
    (void)state;
    static const struct {
        const char *before, *middle, *after;
        size_t n;
        const char *problem; /* NULL: it is fine */
    } CASES[] = {
        {"[", "x", "]", KT_YAML_DEPTH_MAX, NULL},
        {"[", "x", "]", KT_YAML_DEPTH_MAX + 1, "line 1, column 17: expected less nesting, found it too deep"},
        {"{a: ", "x", "}", KT_YAML_DEPTH_MAX, NULL},
        {"{a: ", "x", "}", KT_YAML_DEPTH_MAX + 1, "line 1, column 65: expected less nesting, found it too deep"},
        {"[", "x", "]", 100000, "too deep"},
        {"{", "x", "", 100000, "t.yaml: line 1"},
        {"- ", "x", "", 100000, "too deep"},
        {"? ", "x", "", 100000, "t.yaml: line 1"},
        {"- x\n", "", "", KT_YAML_NODES_MAX - 1, NULL},
        {"- x\n", "", "", KT_YAML_NODES_MAX, "line 32768, column 3: expected fewer values, found too many"},
        {"- x\n", "", "", 1000000, "found too many"},
        {"- []\n", "", "", KT_YAML_NODES_MAX, "found too many"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(CASES); i++) {
        KT_CLEANUP(kt_free_p) char *text = repeat(CASES[i].before, CASES[i].n, CASES[i].middle, CASES[i].after);
        struct kt_error err = KT_ERROR_INIT;
        KT_CLEANUP(kt_yaml_free_p)
        struct kt_yaml *yaml = kt_yaml_parse(kt_slice_str(text), "t.yaml", KT_E_CONFIG, &err);
        assert_int_equal(yaml != NULL, CASES[i].problem == NULL);
        if (CASES[i].problem && !strstr(err.message, CASES[i].problem))
            fail_msg("case %zu: %s", i, err.message);
    }
}

static void limits_keys(void **state)
{
    (void)state;
    for (size_t n = KT_YAML_KEYS_MAX; n <= KT_YAML_KEYS_MAX + 1; n++) {
        struct kt_text t;
        kt_text_init(&t, 1 << 20);
        for (size_t i = 0; i < n; i++)
            kt_text_add(&t, "k%zu: 1\n", i);
        struct kt_error err = KT_ERROR_INIT;
        KT_CLEANUP(kt_yaml_free_p)
        struct kt_yaml *yaml = kt_yaml_parse(kt_slice_str(t.data), "t.yaml", KT_E_CONFIG, &err);
        assert_int_equal(yaml != NULL, n == KT_YAML_KEYS_MAX);
        if (!yaml)
            assert_string_equal(err.message,
                                "t.yaml: line 257, column 1: expected at most 256 keys in a mapping, found more");
        kt_text_done(&t);
    }
}

static void unknown_keys_are_named(void **state)
{
    (void)state;
    static const char *const KNOWN[] = {"socket", "log", "apiVersion", "id", NULL};
    static const struct {
        const char *text;
        enum kt_code code;
        const char *message; /* NULL: it is fine */
    } CASES[] = {
        {"{}", KT_E_CONFIG, NULL},
        {"socket: 1\nlog: 2\n", KT_E_CONFIG, NULL},
        {"log: 1\nsockte: 1\n", KT_E_CONFIG,
         "t.yaml: line 2, column 1: expected a known key, found \"sockte\" (did you mean \"socket\"?)"},
        {"apiversion: 1\n", KT_E_CONFIG,
         "t.yaml: line 1, column 1: expected a known key, found \"apiversion\" (did you mean \"apiVersion\"?)"},
        {"xy: 1\n", KT_E_CONFIG, "t.yaml: line 1, column 1: expected a known key, found \"xy\""},
        {"x y: 1\n", KT_E_CONFIG, "t.yaml: line 1, column 1: expected a known key, found another"},
        {"<<: 1\n", KT_E_CONFIG, "t.yaml: line 1, column 1: expected a known key, found another"},
        {"\xe2\x80\xaelog: 1\n", KT_E_CONFIG, "t.yaml: line 1, column 1: expected a known key, found another"},
        {"sockte: 1\n", KT_E_KEYRING_FORMAT,
         "t.yaml: line 1, column 1: expected a known key, found another (did you mean \"socket\"?)"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: 1\n", KT_E_CONFIG,
         "t.yaml: line 1, column 1: expected a known key, found another"},
        {"[socket]\n", KT_E_CONFIG, "t.yaml: line 1, column 1: expected a mapping, found a sequence"},
        {"socket\n", KT_E_CONFIG, "t.yaml: line 1, column 1: expected a mapping, found text"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(CASES); i++) {
        struct kt_error err = KT_ERROR_INIT;
        KT_CLEANUP(kt_yaml_free_p)
        struct kt_yaml *yaml = kt_yaml_parse(kt_slice_str(CASES[i].text), "t.yaml", CASES[i].code, &err);
        bool good = yaml && kt_yaml_keys(yaml, kt_yaml_root(yaml), KNOWN, &err);
        assert_int_equal(good, CASES[i].message == NULL);
        if (!CASES[i].message)
            continue;
        assert_string_equal(err.message, CASES[i].message);
        assert_int_equal(err.code, CASES[i].code);
        if (strstr(err.message, "known key"))
            assert_string_equal(err.hint, "known here: socket, log, apiVersion, id");
    }
}

static void absence_is_an_error_when_needed(void **state)
{
    (void)state;
    KT_CLEANUP(kt_yaml_free_p) struct kt_yaml *yaml = parse("a:\n  b: 1\nlist: [1]\n");
    const struct kt_yaml_node *root = kt_yaml_root(yaml);
    struct kt_error err = KT_ERROR_INIT;
    assert_null(kt_yaml_get(root, "b"));
    assert_null(kt_yaml_get(NULL, "b"));
    assert_null(kt_yaml_get(kt_yaml_get(root, "list"), "b"));
    assert_null(kt_yaml_need(yaml, root, "b", &err));
    assert_string_equal(err.message, "t.yaml: line 1, column 1: expected the key \"b\" in this mapping, found none");
    assert_null(kt_yaml_need(yaml, kt_yaml_get(root, "list"), "b", &err));
    assert_string_equal(err.message,
                        "t.yaml: line 3, column 7: expected a mapping with the key \"b\", found a sequence");
    assert_null(kt_yaml_need(yaml, NULL, "b", &err));
    assert_string_equal(err.message, "t.yaml: expected a mapping with the key \"b\", found nothing");
    assert_int_equal(err.code, KT_E_CONFIG);
}

static void items_are_bounded(void **state)
{
    (void)state;
    KT_CLEANUP(kt_yaml_free_p) struct kt_yaml *yaml = parse("list: [1, 2, 3]\ntext: x\n");
    const struct kt_yaml_node *root = kt_yaml_root(yaml);
    struct kt_error err = KT_ERROR_INIT;
    size_t n = 99;
    assert_false(kt_yaml_items(yaml, kt_yaml_get(root, "list"), 2, &n, &err));
    assert_string_equal(err.message, "t.yaml: line 1, column 7: expected at most 2 items, found 3");
    assert_false(kt_yaml_items(yaml, kt_yaml_get(root, "text"), 2, &n, &err));
    assert_string_equal(err.message, "t.yaml: line 2, column 7: expected a sequence, found text");
    assert_false(kt_yaml_items(yaml, root, 2, &n, &err));
    assert_false(kt_yaml_items(yaml, NULL, 2, &n, &err));
    assert_int_equal(n, 99);
}

/* One value of every spelling, and what each accessor makes of it. */
static const struct {
    const char *value;
    const char *text; /* NULL: refused */
    bool is_number;
    int boolean; /* -1: refused */
    uint64_t number;
    const char *base64;
} SCALARS[] = {
    {"0", "0", true, -1, 0, NULL},
    {"10", "10", true, -1, 10, NULL},
    {"18446744073709551615", "18446744073709551615", true, -1, UINT64_MAX, "18446744073709551615"},
    {"18446744073709551616", "18446744073709551616", false, -1, 0, "18446744073709551616"},
    {"99999999999999999999999999", "99999999999999999999999999", false, -1, 0, NULL},
    {"-0", "-0", false, -1, 0, NULL},
    {"+1", "+1", false, -1, 0, NULL},
    {"007", "007", false, -1, 0, NULL},
    {"00", "00", false, -1, 0, NULL},
    {"0o7", "0o7", false, -1, 0, NULL},
    {"0x7", "0x7", false, -1, 0, NULL},
    {"1_000", "1_000", false, -1, 0, NULL},
    {"1e3", "1e3", false, -1, 0, NULL},
    {"1.0", "1.0", false, -1, 0, NULL},
    {"\xd9\xa3", "\xd9\xa3", false, -1, 0, NULL},
    {"'1'", "1", false, -1, 0, NULL},
    {"\"1\"", "1", false, -1, 0, NULL},
    {"|\n  1", "1", false, -1, 0, NULL},
    {"true", "true", false, 1, 0, "true"},
    {"false", "false", false, 0, 0, NULL},
    {"True", "True", false, -1, 0, "True"},
    {"yes", "yes", false, -1, 0, NULL},
    {"on", "on", false, -1, 0, NULL},
    {"'true'", "true", false, -1, 0, "true"},
    {"", NULL, false, -1, 0, NULL},
    {"~", NULL, false, -1, 0, NULL},
    {"null", NULL, false, -1, 0, NULL},
    {"NULL", NULL, false, -1, 0, NULL},
    {"'null'", "null", false, -1, 0, "null"},
    {"''", "", false, -1, 0, ""},
    {"Zg==", "Zg==", false, -1, 0, "Zg=="},
    {"'Zg=='", "Zg==", false, -1, 0, "Zg=="},
    {"Zg=", "Zg=", false, -1, 0, NULL},
    {"Zh==", "Zh==", false, -1, 0, NULL},
    {"|\n  Zg==\n", "Zg==\n", false, -1, 0, NULL},
    {"Zm9v\n  Zm9v", "Zm9v Zm9v", false, -1, 0, NULL},
    {"[1]", NULL, false, -1, 0, NULL},
    {"{a: 1}", NULL, false, -1, 0, NULL},
};

static void check_base64(const struct kt_yaml *yaml, const struct kt_yaml_node *node, const char *want)
{
    uint8_t bytes[64];
    size_t len = 99;
    assert_int_equal(kt_yaml_base64(yaml, node, bytes, sizeof(bytes), &len, NULL), want != NULL);
    char text[100] = "";
    if (want)
        kt_base64_encode(KT_SLICE(bytes, len), text);
    assert_string_equal(text, want ? want : "");
    assert_true(want || len == 99);
}

static void scalars_are_strict(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(SCALARS); i++) {
        char document[256];
        snprintf(document, sizeof(document), "v: %s", SCALARS[i].value);
        KT_CLEANUP(kt_yaml_free_p) struct kt_yaml *yaml = parse(document);
        const struct kt_yaml_node *node = kt_yaml_get(kt_yaml_root(yaml), "v");
        const char *text = NULL;
        uint64_t number = 99;
        bool flag = false;
        assert_int_equal(kt_yaml_text(yaml, node, 100, &text, NULL), SCALARS[i].text != NULL);
        assert_true(!SCALARS[i].text || strcmp(text, SCALARS[i].text) == 0);
        assert_int_equal(kt_yaml_u64(yaml, node, UINT64_MAX, &number, NULL), SCALARS[i].is_number);
        assert_int_equal(number, SCALARS[i].is_number ? SCALARS[i].number : 99);
        assert_int_equal(kt_yaml_bool(yaml, node, &flag, NULL), SCALARS[i].boolean >= 0);
        assert_int_equal(flag, SCALARS[i].boolean == 1);
        check_base64(yaml, node, SCALARS[i].base64);
    }
}

static void scalar_errors_tell_the_kind(void **state)
{
    (void)state;
    KT_CLEANUP(kt_yaml_free_p)
    struct kt_yaml *yaml = parse("big: 11\nlead: 07\nquoted: '7'\nword: hunter2\nlist: []\nnone:\nlong: abcdef\n");
    const struct kt_yaml_node *root = kt_yaml_root(yaml);
    static const struct {
        const char *key;
        const char *found;
    } NUMBERS[] = {{"big", "line 1, column 6: expected a whole number from 0 to 10, found a larger one"},
                   {"lead", "line 2, column 7: expected a whole number from 0 to 10, found one with leading zeros"},
                   {"quoted", "line 3, column 9: expected a whole number from 0 to 10, found quoted text"},
                   {"word", "line 4, column 7: expected a whole number from 0 to 10, found text"},
                   {"list", "line 5, column 7: expected a whole number from 0 to 10, found a sequence"},
                   {"none", "found nothing"},
                   {"absent", "t.yaml: expected a whole number from 0 to 10, found nothing"}};
    struct kt_error err = KT_ERROR_INIT;
    uint64_t number = 0;
    for (size_t i = 0; i < KT_ARRAY_LEN(NUMBERS); i++) {
        assert_false(kt_yaml_u64(yaml, kt_yaml_get(root, NUMBERS[i].key), 10, &number, &err));
        assert_non_null(strstr(err.message, NUMBERS[i].found));
    }
    const char *text = NULL;
    bool flag = false;
    uint8_t bytes[3];
    size_t len = 0;
    assert_false(kt_yaml_text(yaml, kt_yaml_get(root, "long"), 5, &text, &err));
    assert_string_equal(err.message, "t.yaml: line 7, column 7: expected at most 5 bytes of text, found 6");
    assert_null(text);
    assert_false(kt_yaml_bool(yaml, kt_yaml_get(root, "word"), &flag, &err));
    assert_string_equal(err.message, "t.yaml: line 4, column 7: expected true or false, found text");
    assert_false(kt_yaml_base64(yaml, kt_yaml_get(root, "long"), bytes, sizeof(bytes), &len, &err));
    assert_string_equal(err.message, "t.yaml: line 7, column 7: expected at most 4 bytes of text, found 6");
    assert_false(kt_yaml_base64(yaml, kt_yaml_get(root, "big"), bytes, sizeof(bytes), &len, &err));
    assert_string_equal(err.message, "t.yaml: line 1, column 6: expected base64 of at most 3 bytes, found other text");
    assert_false(kt_yaml_fail(yaml, kt_yaml_get(root, "word"), &err, "expected %s", "a verb"));
    assert_string_equal(err.message, "t.yaml: line 4, column 7: expected a verb");
    assert_string_equal(err.where, "scalar_errors_tell_the_kind");
}

/* Every prefix of a good document, and the document with any one byte changed, is taken or refused, with a message. */
static void mangled_documents_do_no_harm(void **state)
{
    (void)state;
    static const char DOCUMENT[] = "a: [1, {b: 'x', c: \"\\u00e9\"}]\nd: |\n  text\n  more\n? e\n: - f\n  - g: h\n";
    static const char BYTES[] = "\0\n\t -:?,[]{}#&*!|>'\"%@`\\\x7f\x85\xc3\xff";
    for (size_t i = 0; i < sizeof(DOCUMENT) - 1; i++) {
        for (size_t j = 0; j < sizeof(BYTES); j++) {
            char text[sizeof(DOCUMENT)];
            memcpy(text, DOCUMENT, sizeof(text));
            text[i] = BYTES[j];
            struct kt_error err = KT_ERROR_INIT;
            size_t len = j == 0 ? i : sizeof(DOCUMENT) - 1;
            KT_CLEANUP(kt_yaml_free_p)
            struct kt_yaml *yaml = kt_yaml_parse(KT_SLICE(text, len), "t", KT_E_CONFIG, &err);
            assert_true(yaml ? kt_yaml_root(yaml) != NULL : err.code == KT_E_CONFIG && strlen(err.message) > 3);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_document),
        cmocka_unit_test(refuses_what_it_never_needs),
        cmocka_unit_test(takes_foreign_files),
        cmocka_unit_test(refuses_what_foreign_files_do_not_need),
        cmocka_unit_test(refuses_raw_nul),
        cmocka_unit_test(broken_syntax_is_not_quoted),
        cmocka_unit_test(limits_depth_and_number),
        cmocka_unit_test(limits_keys),
        cmocka_unit_test(unknown_keys_are_named),
        cmocka_unit_test(absence_is_an_error_when_needed),
        cmocka_unit_test(items_are_bounded),
        cmocka_unit_test(scalars_are_strict),
        cmocka_unit_test(scalar_errors_tell_the_kind),
        cmocka_unit_test(mangled_documents_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
