/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml.h"
#include "encconfig/render.h"
#include "tests/unit/base/unit.h"

#include <stdio.h>
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

static void expect_rendered(const char *provider, const char *socket, const char *name, const char *endpoint)
{
    const struct kt_encconfig_fresh fresh = {.provider = provider, .kms_socket = socket};
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_BYTES struct kt_bytes rendered = {0};
    char want[1024];
    snprintf(want, sizeof(want),
             "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n  - resources:\n"
             "      - secrets\n    providers:\n      - kms:\n          apiVersion: v2\n          name: %s\n"
             "          endpoint: %s\n          timeout: 3s\n      - identity: {}\n",
             name, endpoint);
    assert_true(kt_encconfig_render_fresh(&fresh, &rendered, &err));
    assert_string_equal((const char *)rendered.data, want);
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
            const struct kt_encconfig_fresh fresh = {.provider = PROVIDERS[i].provider,
                                                     .kms_socket = SOCKETS[k].socket};
            KT_CLEANUP_BYTES struct kt_bytes rendered = {0};
            char endpoint[128];
            snprintf(endpoint, sizeof(endpoint), "unix://%s%s", SOCKETS[k].socket[0] == '@' ? "/" : "",
                     SOCKETS[k].socket);
            assert_true(kt_encconfig_render_fresh(&fresh, &rendered, NULL));
            KT_CLEANUP(kt_yaml_free_p)
            struct kt_yaml *yaml = kt_yaml_parse(kt_bytes_view(&rendered), "rendered", KT_E_CONFIG, NULL);
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
    KT_CLEANUP_BYTES struct kt_bytes rendered = {0};
    memset(path, '/', sizeof(path) - 1);
    const struct kt_encconfig_fresh fresh = {.provider = "keyturn", .kms_socket = path};
    assert_false(kt_encconfig_render_fresh(&fresh, &rendered, &err));
    assert_int_equal(err.code, KT_E_USAGE);
    assert_null(rendered.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_quoted_where_yaml_needs_it),
        cmocka_unit_test(values_read_back),
        cmocka_unit_test(a_path_without_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
