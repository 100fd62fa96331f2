/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/source.h"
#include "tests/unit/base/unit.h"

#include <stdio.h>
#include <string.h>

static struct kt_source *parsed(const char *text, size_t len)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_source *source = kt_source_parse(KT_SLICE(text, len), NULL, &err);
    if (!source)
        fail_msg("%s: %s", text, err.message);
    return source;
}

/* The tree on one line: kinds as brackets, the text that each node stands for, `=` what stands before its indicator. */
static void print_node(struct kt_text *out, const struct kt_source *source, const struct kt_source_node *node)
{
    struct kt_slice text = kt_source_text(source);
    const char *at = (const char *)text.data + node->body.start;
    if (node->lead != KT_SOURCE_NONE)
        kt_text_add(out, "%c", text.data[node->lead]);
    if (node->anchor)
        kt_text_add(out, "&%s ", node->anchor);
    if (node->kind == KT_SOURCE_SCALAR || node->kind == KT_SOURCE_ALIAS) {
        kt_text_add(out, "<%.*s>", (int)(node->body.end - node->body.start), at);
        return;
    }
    kt_text_add(out, node->kind == KT_SOURCE_MAPPING ? "{" : "[");
    for (size_t i = 0; i < node->n_items; i++) {
        assert_ptr_equal(node->items[i]->parent, node);
        assert_int_equal(node->items[i]->index, i);
        if (i > 0)
            kt_text_add(out, " ");
        print_node(out, source, node->items[i]);
    }
    kt_text_add(out, node->kind == KT_SOURCE_MAPPING ? "}" : "]");
}

static const struct {
    const char *text;
    const char *tree;
} TREES[] = {
    {"a: b", "{<a> :<b>}"},
    {"\xef\xbb\xbf\xc3\xa9: \xe2\x82\xac # c\r\n\xf0\x9f\x98\x80: x",
     "{<\xc3\xa9> :<\xe2\x82\xac> <\xf0\x9f\x98\x80> :<x>}"},
    {"a:\nb:", "{<a> :<> <b> :<>}"},
    {"- a\n-\n- - b\n  - c: d\n    e: f\n", "[-<a> -<> -[-<b> -{<c> :<d> <e> :<f>}]]"},
    {"k:\n# c\n- a # -\n# -\n\n- b\nl: m", "{<k> :[-<a> -<b>] <l> :<m>}"},
    {"? a\n: b\n? c\n?   - d\n:   - e\n", "{?<a> :<b> ?<c> <> ?[-<d>] :[-<e>]}"},
    {"?a: b", "{<?a> :<b>}"},
    {"[a, {b: c, d}, [e: f], [], {}, 'g', \"h\"]", "[<a> {<b> :<c> <d> <>} [{<e> :<f>}] [] {} <'g'> <\"h\">]"},
    {"- {? a : b, c: , d: \"e\"}", "[-{?<a> :<b> <c> :<> <d> :<\"e\">}]"},
    {"a: &x !!str b\nc: *x\nd: &y\n  e: f\ng: &z [h]\n&k i: j",
     "{<a> :&x <b> <c> :<*x> <d> :&y {<e> :<f>} <g> :&z [<h>] &k <i> :<j>}"},
    {"a: |\n  b\n  c\nd: >-\n  e\n", "{<a> :<|\n  b\n  c\n> <d> :<>-\n  e\n>}"},
    {"a: b\n  c\nd: 'e\n\n  f'", "{<a> :<b\n  c> <d> :<'e\n\n  f'>}"},
    {"%YAML 1.1\n---\na: b\n...\nc: [", "{<a> :<b>}"},
    {"a: b\n---\nc: d\n", "{<a> :<b>}"},
    {" {\"a\" : [1, -2.5e+3,true,null,\"\\\"\"],\n\t\"b\":{} }\n",
     "{<\"a\"> :[<1> <-2.5e+3> <true> <null> <\"\\\"\">] <\"b\"> :{}}"},
    {"- !x,y b\n- [!!int,c d]", "[-<b> -[<d>]]"},
    {"- {a:}\n- [b:, \"\\'\"]", "[-{<a:> <>} -[<b:> <\"\\'\">]]"},
    {"- \xef\xbb\xbf# x\n- b", "[-<\xef\xbb\xbf# x> -<b>]"},
    {"a: b\n\xef\xbb\xbf c: d\n", "{<a> :<b> <\xef\xbb\xbf c> :<d>}"},
    {"\xef\xbb\xbf\xef\xbb\xbf- a\n - b", "[-<a> -<b>]"},
    {"---", "<>"},
    {"!<tag:a,b> &c d", "&c <d>"},
};

static void nodes_know_their_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(TREES); i++) {
        KT_CLEANUP(kt_source_free_p) struct kt_source *source = parsed(TREES[i].text, strlen(TREES[i].text));
        KT_CLEANUP(kt_text_done) struct kt_text out = {.data = NULL};
        kt_text_init(&out, 4096);
        print_node(&out, source, kt_source_root(source));
        assert_string_equal(out.data, TREES[i].tree);
    }
}

static const struct {
    const char *text;
    size_t len; /* 0: strlen */
    const char *content;
    size_t content_len; /* 0: strlen */
} SCALARS[] = {
    {"a  b\n c\n\n d", 0, "a  b c\nd", 0},
    {"'it''s'", 0, "it's", 0},
    {"\"\\x41\\u00e9\\n\"", 0, "A\xc3\xa9\n", 0},
    {"\"\\0\"", 0, "\0", 1},
    {"\"\\'\xee\x80\x80\xef\xbb\xbf\"", 0, "'\xee\x80\x80\xef\xbb\xbf", 0},
    {"|\r\n a\r\n b\r\n", 0, "a\nb\n", 0},
    {"[\"]", 0, NULL, 0},
    {"{\"a\":\"\\u00e9\\ud83d\\ude00\\ud83d\\u0041\\/\\b\"}", 0,
     "\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd"
     "A/\b",
     0},
    {"{\"a\":\"\xff\xc3\xa9\xed\xa0\x80\"}", 0, "\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 0},
    {"{\"a\":\"\\u0000\"}", 0, "\0", 1},
    {"{\"a\":\"\\ud83d\\ud83d\\ude00\"}", 0, "\xef\xbf\xbd\xf0\x9f\x98\x80", 0},
    {"\xff\xfe"
     "a\0\xe9\0=\xd8\0\xde",
     10, "a\xc3\xa9\xf0\x9f\x98\x80", 0},
    {"\xfe\xff\0a\0\xe9\xd8=\xde\0", 10, "a\xc3\xa9\xf0\x9f\x98\x80", 0},
};

static void content_is_resolved(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(SCALARS); i++) {
        size_t len = SCALARS[i].len ? SCALARS[i].len : strlen(SCALARS[i].text);
        KT_CLEANUP(kt_source_free_p)
        struct kt_source *source = kt_source_parse(KT_SLICE(SCALARS[i].text, len), NULL, NULL);
        if (!SCALARS[i].content) {
            assert_null(source);
            continue;
        }
        assert_non_null(source);
        const struct kt_source_node *node = kt_source_root(source);
        if (node->kind == KT_SOURCE_MAPPING)
            node = kt_source_get(node, "a");
        size_t want = SCALARS[i].content_len ? SCALARS[i].content_len : strlen(SCALARS[i].content);
        assert_int_equal(node->len, want);
        assert_memory_equal(node->text, SCALARS[i].content, want + 1);
    }
}

/* All of a file's text is what it was, and spans count in it. */
static void utf16_has_a_text_of_its_own(void **state)
{
    (void)state;
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = parsed("\xff\xfe[\0\xe9\0,\0a\0]\0", 12);
    assert_int_equal(kt_source_encoding(source), KT_SOURCE_UTF16);
    assert_true(kt_slice_equal(kt_source_text(source), kt_slice_str("[\xc3\xa9,a]")));
    const struct kt_source_node *second = kt_source_root(source)->items[1];
    assert_int_equal(second->span.start, 4);
    assert_int_equal(second->span.end, 5);
}

static const struct {
    const char *text;
    size_t line;
    size_t column;
    const char *says;
} BAD[] = {
    {"a: [b", 1, 6, "expected ',' or ']'"},
    {"a: b: c", 1, 5, "mapping values are not allowed"},
    {"a:\n\t- b", 2, 1, "cannot start any token"},
    {"a: *b", 1, 4, "found an alias without one"},
    {"\xc3\xa9: \xff", 1, 4, "invalid leading UTF-8 octet"},
    {"a: \x07", 1, 4, "control characters are not allowed"},
    {"%YAML 1.2\n---\na", 1, 1, "another version"},
    {"[a?b]", 1, 3, "expected a comma"},
    {"[!<tag:x>, a]", 1, 10, "white space behind a tag"},
    {"\"\\/\"", 1, 2, "an escape of YAML 1.1"},
    {"\"\\q\"", 1, 2, "unknown escape character"},
    {"\xef\xbb\xbf\xef\xbb\xbf"
     "a: b\nc: d\n",
     1, 1, "one byte order mark"},
    {"\xff\xfe"
     "a",
     1, 1, "UTF-8"},
    {"{", 1, 2, "expected a key"},
    {"{\"a\"}", 1, 5, "expected a colon"},
    {"{\"a\":}", 1, 6, "expected a value"},
    {"{\"a\":1,}", 1, 8, "expected a key"},
    {"{\"a\":[1,]}", 1, 9, "expected a value"},
    {"{\"a\":01}", 1, 7, "expected a comma or }"},
    {"{\"a\":[1 2]}", 1, 9, "expected a comma or ]"},
    {"{\"a\":\"\t\"}", 1, 7, "control character"},
    {"{\"a\":\"\\x\"}", 1, 8, "an escape of JSON"},
    {"{\"a\":\"\\u00g0\"}", 1, 8, "four hexadecimal digits"},
    {"{\"a", 1, 4, "end of the file"},
    {"{}\n{}", 2, 1, "end of the file behind the value"},
    {"{a: b}", 1, 2, "expected a key in double quotes"},
    {"\v{}", 1, 1, "expected a value of JSON"},
    {"\xc2\xa0{}", 1, 1, "expected a value of JSON"},
};

static void what_is_no_yaml_or_json_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(BAD); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_place place = {0};
        assert_null(kt_source_parse(kt_slice_str(BAD[i].text), &place, &err));
        assert_int_equal(err.code, KT_E_CONFIG);
        if (!strstr(err.message, BAD[i].says) || place.line != BAD[i].line || place.column != BAD[i].column)
            fail_msg("%s: %s", BAD[i].text, err.message);
    }
}

/* Bytes in a document that nobody reads. */
static void what_follows_the_first_document_is_not_read(void **state)
{
    (void)state;
    char text[4096];
    memset(text, '#', sizeof(text));
    memcpy(text, "a: b\n---\n", 9);
    text[8 + 512] = '\n';
    text[sizeof(text) - 1] = '\xff';
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = parsed(text, sizeof(text));
    assert_int_equal(kt_source_document_end(source), 5);
    text[300] = '\xff';
    assert_null(kt_source_parse(KT_SLICE(text, sizeof(text)), NULL, NULL));
}

static void limits_hold(void **state)
{
    (void)state;
    static char text[KT_SOURCE_BYTES_MAX + 1];
    struct kt_error err = KT_ERROR_INIT;
    memset(text, '[', sizeof(text));
    assert_null(kt_source_parse(KT_SLICE(text, sizeof(text)), NULL, &err));
    assert_non_null(strstr(err.message, "expected a file of at most"));
    assert_null(kt_source_parse(KT_SLICE(text, KT_SOURCE_BYTES_MAX), NULL, &err));
    assert_non_null(strstr(err.message, "too deep"));
    memset(text, ',', sizeof(text));
    for (size_t i = 0; i < sizeof(text); i += 2)
        text[i] = 'a';
    text[0] = '[';
    text[1] = ' ';
    assert_null(kt_source_parse(KT_SLICE(text, KT_SOURCE_BYTES_MAX), NULL, &err));
    assert_non_null(strstr(err.message, "too many"));
}

static void aliases_and_keys_are_found(void **state)
{
    (void)state;
    const char *text = "a: &x {k: v}\nb: *x\nc: &x w\nd: *x\n";
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = parsed(text, strlen(text));
    const struct kt_source_node *root = kt_source_root(source);
    const struct kt_source_node *b = kt_source_get(root, "b");
    assert_int_equal(b->kind, KT_SOURCE_ALIAS);
    assert_ptr_equal(kt_source_follow(b), kt_source_get(root, "a"));
    assert_string_equal(kt_source_get(b, "k")->text, "v");
    assert_string_equal(kt_source_follow(kt_source_get(root, "d"))->text, "w");
    assert_null(kt_source_get(root, "x"));
    assert_null(kt_source_get(kt_source_get(root, "c"), "w"));
    const struct kt_place place = kt_source_place(source, b->span.start);
    assert_int_equal(place.line, 2);
    assert_int_equal(place.column, 4);
}

static void nothing_has_no_root(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n", "# c\n", "\xef\xbb\xbf"};
    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
        KT_CLEANUP(kt_source_free_p) struct kt_source *source = parsed(texts[i], strlen(texts[i]));
        assert_null(kt_source_root(source));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_know_their_bytes),
        cmocka_unit_test(content_is_resolved),
        cmocka_unit_test(utf16_has_a_text_of_its_own),
        cmocka_unit_test(what_is_no_yaml_or_json_is_refused),
        cmocka_unit_test(what_follows_the_first_document_is_not_read),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(aliases_and_keys_are_found),
        cmocka_unit_test(nothing_has_no_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
