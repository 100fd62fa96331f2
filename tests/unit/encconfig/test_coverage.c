/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/coverage.h"
#include "tests/unit/base/unit.h"

static const struct {
    const char *rule, *group, *resource;
    bool covers;
} RULES[] = {
    {"secrets", "", "secrets", true},
    {"secrets", "example.com", "secrets", false},
    {"secrets.", "", "secrets", true},
    {"deployments.apps", "apps", "deployments", true},
    {"deployments.apps", "", "deployments", false},
    {"deployments", "apps", "deployments", false},
    {"*.", "", "secrets", true},
    {"*.", "apps", "deployments", false},
    {"*.apps", "apps", "deployments", true},
    {"*.apps", "", "secrets", false},
    {"*.*", "", "secrets", true},
    {"*.*", "a.b.c", "x", true},
    {"widgets.stable.example.com", "stable.example.com", "widgets", true},
    {"widgets.stable.example.com", "example.com", "widgets", false},
    {"", "", "secrets", false},
};

static void test_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(RULES); i++)
        if (kt_rule_covers(kt_slice_str(RULES[i].rule), kt_slice_str(RULES[i].group),
                           kt_slice_str(RULES[i].resource)) != RULES[i].covers)
            fail_msg("%s of %s.%s", RULES[i].rule, RULES[i].resource, RULES[i].group);
}

static void test_entries(void **state)
{
    static const char text[] = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
                               "- {resources: [events], providers: [{identity: {}}]}\n"
                               "- {resources: [secrets, '*.apps'], providers: [{identity: {}}]}\n"
                               "- {resources: ['*.'], providers: [{identity: {}}]}\n";
    struct kt_findings findings = {.items = NULL};
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KT_CLEANUP(kt_encconfig_free_p)
    struct kt_encconfig *config = kt_encconfig_parse(kt_slice_str(text), &findings, &err);
    assert_non_null(config);
    assert_int_equal(kt_encconfig_entry_of(config, kt_slice_str(""), kt_slice_str("events")), 0);
    assert_int_equal(kt_encconfig_entry_of(config, kt_slice_str(""), kt_slice_str("secrets")), 1);
    assert_int_equal(kt_encconfig_entry_of(config, kt_slice_str("apps"), kt_slice_str("deployments")), 1);
    assert_int_equal(kt_encconfig_entry_of(config, kt_slice_str(""), kt_slice_str("pods")), 2);
    assert_int_equal(kt_encconfig_entry_of(config, kt_slice_str("batch"), kt_slice_str("jobs")), 3);
    kt_findings_done(&findings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules), cmocka_unit_test(test_entries)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
