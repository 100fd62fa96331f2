/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml.h"
#include "encconfig/render.h"
#include "tests/unit/base/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *provider;
    const char *shown;
} PROVIDERS[] = {
    {"keyturn", "keyturn"},
    {"Key_turn-2.b", "Key_turn-2.b"},
    {"nullx", "nullx"},
    {"yes.no", "yes.no"},
    /* What is none in YAML 1.1 or 1.2. */
    {"null", "\"null\""},
    {"Null", "\"Null\""},
    {"true", "\"true\""},
    {"FALSE", "\"FALSE\""},
    {"Yes", "\"Yes\""},
    {"no", "\"no\""},
    {"on", "\"on\""},
    {"OFF", "\"OFF\""},
    {"y", "\"y\""},
    {"N", "\"N\""},
    {"123", "\"123\""},
    {"-1", "\"-1\""},
    {"0x1f", "\"0x1f\""},
    {"0o7", "\"0o7\""},
    {"1e3", "\"1e3\""},
    {"1_000", "\"1_000\""},
    {"1.5", "\"1.5\""},
    {".5", "\".5\""},
    {".inf", "\".inf\""},
    {".NaN", "\".NaN\""},
    {"2001-01-01", "\"2001-01-01\""},
    {"...", "\"...\""},
    {"---", "\"---\""},
    {"-", "\"-\""},
    {"_", "\"_\""},
    {"a:", "\"a:\""},
    {"", "\"\""},
};

static const struct {
    const char *socket;
    const char *shown;
} SOCKETS[] = {
    {"/run/keyturn/kms/kms.sock", "unix:///run/keyturn/kms/kms.sock"},
    {"@keyturn", "unix:///@keyturn"},
    {"/srv/k8s_1/a+b@c~d:e/kms.sock", "unix:///srv/k8s_1/a+b@c~d:e/kms.sock"},
    {"/x/a #b", "\"unix:///x/a #b\""},
    {"/x/a: b", "\"unix:///x/a: b\""},
    {"/x/\"\\", "\"unix:///x/\\\"\\\\\""},
    {"/x/\n\x7f", "\"unix:///x/\\U0000000a\\U0000007f\""},
    {"/x/\xc3\xa9\xe2\x80\xa8", "\"unix:///x/\\U000000e9\\U00002028\""},
};

static const struct kt_encconfig_fresh_key KMS = {.kind = KT_FRESH_KMS};

static struct kt_encconfig_fresh fresh_of(const char *provider, const char *socket)
{
    return (struct kt_encconfig_fresh){
        .provider = provider, .kms_socket = socket, .keys = &KMS, .n_keys = 1, .enabled = true};
}

static char *text_of(struct kt_secret *rendered)
{
    assert_non_null(rendered);
    char *text = strndup((const char *)kt_secret_view(rendered), kt_secret_len(rendered));
    assert_non_null(text);
    kt_secret_free(rendered);
    return text;
}

static void expect_rendered(const char *provider, const char *socket, const char *name, const char *endpoint)
{
    const struct kt_encconfig_fresh fresh = fresh_of(provider, socket);
    char want[1024];
    snprintf(want, sizeof(want),
             "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n  - resources:\n"
             "      - secrets\n    providers:\n      - kms:\n          apiVersion: v2\n          name: %s\n"
             "          endpoint: %s\n          timeout: 3s\n      - identity: {}\n",
             name, endpoint);
    KT_CLEANUP(kt_free_p) char *rendered = text_of(kt_encconfig_render(&fresh, NULL));
    assert_string_equal(rendered, want);
}

static void values_are_quoted_where_yaml_needs_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(PROVIDERS); i++)
        expect_rendered(PROVIDERS[i].provider, "/a", PROVIDERS[i].shown, "unix:///a");
    for (size_t i = 0; i < KT_ARRAY_LEN(SOCKETS); i++)
        expect_rendered("keyturn", SOCKETS[i].socket, "keyturn", SOCKETS[i].shown);
}

static const struct kt_yaml_node *kms_of(const struct kt_yaml *yaml)
{
    const struct kt_yaml_node *resources = kt_yaml_get(kt_yaml_root(yaml), "resources");
    const struct kt_yaml_node *providers = kt_yaml_get(kt_yaml_item(resources, 0), "providers");
    return kt_yaml_get(kt_yaml_item(providers, 0), "kms");
}

static void expect_text(const struct kt_yaml *yaml, const struct kt_yaml_node *node, const char *want)
{
    const char *text = NULL;
    assert_true(kt_yaml_text(yaml, node, 1024, &text, NULL));
    assert_string_equal(text, want);
}

static void values_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(PROVIDERS); i++) {
        for (size_t k = 0; k < KT_ARRAY_LEN(SOCKETS); k++) {
            const struct kt_encconfig_fresh fresh = fresh_of(PROVIDERS[i].provider, SOCKETS[k].socket);
            char endpoint[128];
            snprintf(endpoint, sizeof(endpoint), "unix://%s%s", SOCKETS[k].socket[0] == '@' ? "/" : "",
                     SOCKETS[k].socket);
            KT_CLEANUP(kt_free_p) char *rendered = text_of(kt_encconfig_render(&fresh, NULL));
            KT_CLEANUP(kt_yaml_free_p)
            struct kt_yaml *yaml = kt_yaml_parse(kt_slice_str(rendered), "rendered", KT_E_CONFIG, NULL);
            assert_non_null(yaml);
            expect_text(yaml, kt_yaml_get(kms_of(yaml), "name"), PROVIDERS[i].provider);
            expect_text(yaml, kt_yaml_get(kms_of(yaml), "endpoint"), endpoint);
        }
    }
}

static void a_path_without_end_is_refused(void **state)
{
    (void)state;
    static char path[2048];
    struct kt_error err = KT_ERROR_INIT;
    memset(path, '/', sizeof(path) - 1);
    const struct kt_encconfig_fresh fresh = fresh_of("keyturn", path);
    assert_null(kt_encconfig_render(&fresh, &err));
    assert_int_equal(err.code, KT_E_USAGE);
}

/* Last to write under the plugin, first to write in clear again, not there at all where nothing may be read in clear.
 */
static void identity_stands_where_it_belongs(void **state)
{
    static const char kms[] = "      - kms:\n";
    static const char identity[] = "      - identity: {}\n";
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct kt_encconfig_fresh fresh = fresh_of("keyturn", "/a");
        fresh.enabled = i & 1;
        fresh.strict = i & 2;
        KT_CLEANUP(kt_free_p) char *text = text_of(kt_encconfig_render(&fresh, NULL));
        const char *at = strstr(text, identity);
        assert_non_null(strstr(text, kms));
        assert_int_equal(at == NULL, fresh.enabled && fresh.strict);
        assert_true(!at || (at > strstr(text, kms)) == fresh.enabled);
        assert_true(!at || !strstr(at + 1, identity));
    }
}

static void no_key_is_no_configuration(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_encconfig_fresh fresh = fresh_of("keyturn", "/a");
    fresh.n_keys = 0;
    assert_null(kt_encconfig_render(&fresh, &err));
    assert_int_equal(err.code, KT_E_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_quoted_where_yaml_needs_it),
        cmocka_unit_test(values_read_back),
        cmocka_unit_test(a_path_without_end_is_refused),
        cmocka_unit_test(identity_stands_where_it_belongs),
        cmocka_unit_test(no_key_is_no_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
