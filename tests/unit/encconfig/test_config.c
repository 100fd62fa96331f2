/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/encconfig/judged.h"

#include <stdio.h>

#define HEAD "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
#define KEY  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static const char whole[] = HEAD "resources:\n"
                                 "- resources: [secrets, '*.apps']\n"
                                 "  providers:\n"
                                 "  - kms: {apiVersion: v2, name: keyturn, endpoint: 'unix:///a', timeout: 1m30s}\n"
                                 "  - kms: {name: old, endpoint: 'unix:///b', cachesize: 0x10}\n"
                                 "  - aescbc: &box\n"
                                 "      keys:\n"
                                 "      - {name: k1, secret: " KEY "}\n"
                                 "      - {name: \"k2\", secret: 'AA=='}\n"
                                 "  - secretbox: *box\n"
                                 "  - identity: {}\n";

static struct kt_encconfig *parsed(const char *text)
{
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    struct kt_encconfig *config = kt_encconfig_parse(kt_slice_str(text), &findings, NULL);
    assert_non_null(config);
    return config;
}

static void expect_text(const struct kt_encconfig_text *text, const char *want)
{
    assert_int_equal(text->len, strlen(want));
    assert_string_equal(text->text, want);
}

static void expect_bytes(const struct kt_encconfig *config, const struct kt_source_node *node, const char *want)
{
    const struct kt_slice text = kt_source_text(config->source);
    const size_t len = node->span.end - node->span.start;
    if (len != strlen(want) || memcmp(text.data + node->span.start, want, len) != 0)
        fail_msg("expected %s, found %.*s", want, (int)len, (const char *)text.data + node->span.start);
}

static void fields_and_defaults_are_read(void **state)
{
    (void)state;
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = parsed(whole);
    assert_false(config->is_first_form);
    assert_int_equal(config->n_entries, 1);
    const struct kt_encconfig_entry *entry = &config->entries[0];
    assert_int_equal(entry->n_resources, 2);
    expect_text(&entry->resources[1], "*.apps");
    assert_int_equal(entry->n_providers, 5);
    const struct kt_encconfig_kms *v2 = &entry->providers[0].kms;
    expect_text(&v2->api_version, "v2");
    expect_text(&v2->name, "keyturn");
    expect_text(&v2->endpoint, "unix:///a");
    assert_int_equal(v2->timeout_ns, INT64_C(90000000000));
    assert_false(v2->has_cachesize);
    const struct kt_encconfig_kms *v1 = &entry->providers[1].kms;
    expect_text(&v1->api_version, "v1");
    assert_null(v1->api_version.node);
    assert_int_equal(v1->timeout_ns, INT64_C(3000000000));
    assert_int_equal(v1->cachesize, 16);
    assert_int_equal(entry->providers[2].keys[KT_ENCCONFIG_AESCBC].n, 2);
    expect_text(&entry->providers[3].keys[KT_ENCCONFIG_SECRETBOX].items[1].name, "k2");
    for (size_t i = 0; i < entry->n_providers; i++) {
        static const enum kt_encconfig_type types[] = {KT_ENCCONFIG_KMS, KT_ENCCONFIG_KMS, KT_ENCCONFIG_AESCBC,
                                                       KT_ENCCONFIG_SECRETBOX, KT_ENCCONFIG_IDENTITY};
        for (size_t type = 0; type < KT_ENCCONFIG_TYPES; type++)
            assert_int_equal(entry->providers[i].types[type] != NULL, type == types[i]);
    }
}

/* What the editor goes by. */
static void fields_know_their_nodes(void **state)
{
    (void)state;
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = parsed(whole);
    const struct kt_encconfig_entry *entry = &config->entries[0];
    expect_bytes(config, entry->resources_node, "[secrets, '*.apps']");
    expect_bytes(config, entry->resources[1].node, "'*.apps'");
    expect_bytes(config, entry->providers[0].kms.timeout_node, "1m30s");
    expect_bytes(config, entry->providers[1].kms.cachesize_node, "0x10");
    expect_bytes(config, entry->providers[4].node, "identity: {}");
    expect_bytes(config, entry->providers[2].keys[KT_ENCCONFIG_AESCBC].items[1].secret.node, "'AA=='");
    expect_bytes(config, entry->providers[3].types[KT_ENCCONFIG_SECRETBOX], "*box");
    assert_int_equal(entry->providers[3].types[KT_ENCCONFIG_SECRETBOX]->kind, KT_SOURCE_ALIAS);
    const struct kt_place place = kt_encconfig_place(config, entry->providers[1].node);
    assert_int_equal(place.line, 7);
    assert_int_equal(place.column, 5);
}

static void keys_come_out_as_secrets(void **state)
{
    (void)state;
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = parsed(whole);
    const struct kt_encconfig_keys *keys = &config->entries[0].providers[2].keys[KT_ENCCONFIG_AESCBC];
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *secret = kt_encconfig_key_secret(&keys->items[0], NULL);
    assert_non_null(secret);
    assert_int_equal(kt_secret_len(secret), 32);
    for (uint8_t i = 0; i < 32; i++)
        assert_int_equal(kt_secret_view(secret)[i], i);
    static const char *const bad[] = {"", "!", "AA=", "\xc3\xa9"};
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        const struct kt_encconfig_key key = {.secret = {.text = bad[i], .len = strlen(bad[i])}};
        struct kt_error err = KT_ERROR_INIT;
        assert_null(kt_encconfig_key_secret(&key, &err));
        assert_int_equal(err.code, KT_E_CONFIG);
    }
}

static void the_first_form_is_read(void **state)
{
    (void)state;
    static const char *const texts[] = {"kind: EncryptionConfig\napiVersion: v1\nresources: []",
                                        "{\"apiVersion\": \"/v1\", \"kind\": \"EncryptionConfig\"}"};
    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
        KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = parsed(texts[i]);
        assert_true(config->is_first_form);
        assert_int_equal(config->n_entries, 0);
    }
}

#define DECODING "error decoding encryption provider configuration file \"F\": "
#define STRICT   DECODING "strict decoding error: "

static const struct {
    const char *text;
    const char *says;
} REFUSED[] = {
    {"", DECODING "the file is empty"},
    {"# c", DECODING "Object 'Kind' is missing"},
    {"null", DECODING "Object 'Kind' is missing"},
    {"a", DECODING "expected a mapping"},
    {"[]", DECODING "expected a mapping"},
    {"kind: [a]\napiVersion: v1", DECODING "expected kind and apiVersion to be text"},
    {"kind: EncryptionConfig", DECODING "Object 'apiVersion' is missing"},
    {"kind: EncryptionConfig\napiVersion: v1/", DECODING "Object 'apiVersion' is missing"},
    {"kind: EncryptionConfig\napiVersion: a/b/c", DECODING "unexpected GroupVersion string"},
    {"kind: X\napiVersion: v1", DECODING "no kind \"X\" is registered for version \"v1\""},
    {"kind: EncryptionConfig\napiVersion: \"v1\\0\"",
     DECODING "no kind \"EncryptionConfig\" is registered for version \"v1\\x00\""},
    {"KIND: EncryptionConfig\napiVersion: v1", STRICT "unknown field \"KIND\""},
    {HEAD "x: 1\nresources: [{resources: [a], w: 1, providers: [{identity: {z: 1}}, {kms: {Name: b}}, {AESCBC: {}}]}]",
     STRICT
     "unknown field \"resources[0].providers[0].identity.z\", unknown field \"resources[0].providers[1].kms.Name\", "
     "unknown field \"resources[0].providers[2].AESCBC\", unknown field \"resources[0].w\", unknown field \"x\""},
    {HEAD "resources: {}", DECODING "resources: expected a list"},
    {HEAD "resources: [a]", DECODING "resources[0]: expected a mapping"},
    {HEAD "resources: [{resources: [1]}]",
     DECODING "resources[0].resources[0]: expected text (quote it, if it is meant as text)"},
    {HEAD "resources: [{x: 1, providers: [{aescbc: {keys: [{name: yes}]}}]}]",
     DECODING "resources[0].providers[0].aescbc.keys[0].name: expected text (quote it, if it is meant as text)"},
    {HEAD "resources: [{providers: [{kms: {cachesize: 5.5}}]}]",
     DECODING "resources[0].providers[0].kms.cachesize: expected a whole number of 32 bits"},
    {HEAD "resources: [{providers: [{kms: {timeout: 3}}]}]",
     DECODING "resources[0].providers[0].kms.timeout: expected a duration with its unit, as 3s or 1m30s"},
    {HEAD "kind: EncryptionConfiguration", DECODING "expected each key once, found \"kind\" twice"},
    {HEAD "@",
     DECODING "expected YAML: while scanning for the next token, found character that cannot start any token"},
    {"{\"kind\": }", DECODING "expected a value of JSON"},
};

static void what_does_not_decode_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(REFUSED); i++) {
        KT_CLEANUP(kt_text_done) struct kt_text says = {.data = NULL};
        judge(REFUSED[i].text, strlen(REFUSED[i].text), true, &says);
        if (strcmp(says.data, REFUSED[i].says) != 0)
            fail_msg("%s\nexpected %s\nfound    %s", REFUSED[i].text, REFUSED[i].says, says.data);
    }
}

static void findings_have_places(void **state)
{
    (void)state;
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    assert_null(kt_encconfig_parse(
        kt_slice_str(HEAD "resources:\n- providers:\n  - kms:\n      pandas: 1\n      name: 1"), &findings, NULL));
    assert_int_equal(findings.n, 2);
    assert_int_equal(findings.items[0].kind, KT_FINDING_DECODE);
    assert_int_equal(findings.items[0].place.line, 7);
    assert_int_equal(findings.items[0].place.column, 13);
    assert_int_equal(findings.items[1].kind, KT_FINDING_STRICT);
    assert_int_equal(findings.items[1].place.line, 6);
    assert_int_equal(findings.items[1].place.column, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_and_defaults_are_read),    cmocka_unit_test(fields_know_their_nodes),
        cmocka_unit_test(keys_come_out_as_secrets),        cmocka_unit_test(the_first_form_is_read),
        cmocka_unit_test(what_does_not_decode_is_refused), cmocka_unit_test(findings_have_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
