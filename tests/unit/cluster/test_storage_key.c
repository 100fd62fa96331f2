/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "cluster/storage_key.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static const struct {
    const char *prefix;
    const char *resource;
    const char *namespace;
    const char *name;
    const char *key;
} KEYS[] = {
    {NULL, "secrets", "default", "a", "/registry/secrets/default/a"},
    {NULL, "secrets.", "default", "a", "/registry/secrets/default/a"},
    {"/registry", "configmaps", "kube-system", "keyturn", "/registry/configmaps/kube-system/keyturn"},
    {"registry/", "secrets", "d", "a", "/registry/secrets/d/a"},
    {"//a///b//", "secrets", "d", "a", "/a/b/secrets/d/a"},
    {"", "secrets", "d", "a", "/secrets/d/a"},
    {"/", "secrets", "d", "a", "/secrets/d/a"},
    {"/kubernetes.io", "secrets", "d", "a", "/kubernetes.io/secrets/d/a"},
    {NULL, "namespaces", NULL, "default", "/registry/namespaces/default"},
    {NULL, "nodes", NULL, "n1", "/registry/minions/n1"},
    {NULL, "endpoints", "d", "kubernetes", "/registry/services/endpoints/d/kubernetes"},
    {NULL, "services", "d", "kubernetes", "/registry/services/specs/d/kubernetes"},
    {NULL, "replicationcontrollers", "d", "r", "/registry/controllers/d/r"},
    {NULL, "deployments.apps", "d", "x", "/registry/deployments/d/x"},
    {NULL, "ingresses.networking.k8s.io", "d", "x", "/registry/ingress/d/x"},
    {NULL, "leases.coordination.k8s.io", "d", "x", "/registry/leases/d/x"},
    {NULL, "events.events.k8s.io", "d", "x", "/registry/events/d/x"},
    {NULL, "clusterroles.rbac.authorization.k8s.io", NULL, "system:node", "/registry/clusterroles/system:node"},
    {NULL, "customresourcedefinitions.apiextensions.k8s.io", NULL, "widgets.example.com",
     "/registry/apiextensions.k8s.io/customresourcedefinitions/widgets.example.com"},
    {NULL, "apiservices.apiregistration.k8s.io", NULL, "v1.apps",
     "/registry/apiregistration.k8s.io/apiservices/v1.apps"},
    {NULL, "widgets.example.com", "d", "x", "/registry/example.com/widgets/d/x"},
    {NULL, "gateways.gateway.networking.k8s.io", "d", "x", "/registry/gateway.networking.k8s.io/gateways/d/x"},
    /* Only core's are special. */
    {NULL, "nodes.example.com", NULL, "x", "/registry/example.com/nodes/x"},
    {NULL, "services.serving.knative.dev", "d", "x", "/registry/serving.knative.dev/services/d/x"},
};

static void test_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(KEYS); i++) {
        struct kt_storage_resource resource;
        char key[KT_STORAGE_KEY_MAX];
        char all[KT_STORAGE_KEY_MAX];
        struct kt_error err = KT_ERROR_INIT;
        if (!kt_storage_resource_parse(KEYS[i].resource, &resource, &err) ||
            !kt_storage_key(KEYS[i].prefix, &resource, KEYS[i].namespace, KEYS[i].name, key, &err) ||
            !kt_storage_key_prefix(KEYS[i].prefix, &resource, all, &err))
            fail_msg("%s: %s", KEYS[i].key, err.message);
        assert_string_equal(key, KEYS[i].key);
        assert_memory_equal(key, all, strlen(all));
        assert_int_equal(all[strlen(all) - 1], '/');
    }
}

/* A name must never leave its place. */
static void test_hostile_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"", ".", "..", "a/b", "../x", "a%2fb", "/"};
    static const struct kt_storage_resource secrets = {.resource = "secrets"};
    char key[KT_STORAGE_KEY_MAX] = "untouched";
    struct kt_error err = KT_ERROR_INIT;
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        assert_false(kt_storage_key(NULL, &secrets, "default", bad[i], key, &err));
        assert_int_equal(err.code, KT_E_USAGE);
        assert_false(kt_storage_key(NULL, &secrets, bad[i], "name", key, &err));
    }
    assert_string_equal(key, "untouched");
}

static void test_too_long(void **state)
{
    (void)state;
    static const struct kt_storage_resource secrets = {.resource = "secrets"};
    char name[KT_STORAGE_SEGMENT_MAX + 1];
    char prefix[KT_STORAGE_KEY_MAX];
    char key[KT_STORAGE_KEY_MAX];
    struct kt_error err = KT_ERROR_INIT;
    memset(name, 'a', sizeof(name));
    name[KT_STORAGE_SEGMENT_MAX] = '\0';
    assert_false(kt_storage_key(NULL, &secrets, "d", name, key, &err));
    name[KT_STORAGE_SEGMENT_MAX - 1] = '\0';
    assert_true(kt_storage_key(NULL, &secrets, "d", name, key, &err));
    memset(prefix, 'p', sizeof(prefix));
    prefix[sizeof(prefix) - 1] = '\0';
    assert_false(kt_storage_key(prefix, &secrets, "d", "a", key, &err));
    assert_false(kt_storage_key_prefix(prefix, &secrets, key, &err));
}

static void test_resources(void **state)
{
    (void)state;
    static const char *const bad[] = {"", ".", ".apps", "*", "*.*", "*.apps", "secrets.*", "a/b", "secrets%"};
    struct kt_storage_resource resource = {.resource = "untouched"};
    struct kt_error err = KT_ERROR_INIT;
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        if (kt_storage_resource_parse(bad[i], &resource, &err))
            fail_msg("taken: %s", bad[i]);
    assert_string_equal(resource.resource, "untouched");
    assert_true(kt_storage_resource_parse("a.b.c", &resource, &err));
    assert_string_equal(resource.resource, "a");
    assert_string_equal(resource.group, "b.c");
}

static const char *server_of(const struct kt_storage_overrides *overrides, const char *resource)
{
    struct kt_storage_resource parsed;
    assert_true(kt_storage_resource_parse(resource, &parsed, NULL));
    const struct kt_etcd_endpoints *servers = kt_storage_overrides_find(overrides, &parsed);
    return servers ? servers->items[0].host : "";
}

static void test_overrides(void **state)
{
    (void)state;
    KT_CLEANUP(kt_storage_overrides_done) struct kt_storage_overrides found = {.items = NULL};
    struct kt_error err = KT_ERROR_INIT;
    assert_true(
        kt_storage_overrides_parse("/events#https://e1:1;https://e2:1,apps/*#http://a:1,apps/deployments#http://d:1,"
                                   "/secrets#http://s1:1,/secrets#http://s2:1,example.com/widgets#http://w:1",
                                   &found, &err));
    assert_int_equal(found.n, 6);
    assert_int_equal(found.items[0].servers.n, 2);
    assert_string_equal(found.items[0].servers.items[1].url, "https://e2:1");
    assert_string_equal(server_of(&found, "events"), "e1");
    assert_string_equal(server_of(&found, "events.events.k8s.io"), "e1");
    assert_string_equal(server_of(&found, "deployments.apps"), "d");
    assert_string_equal(server_of(&found, "daemonsets.apps"), "a");
    assert_string_equal(server_of(&found, "secrets"), "s2");
    assert_string_equal(server_of(&found, "configmaps"), "");
    assert_string_equal(server_of(&found, "widgets.example.com"), ""); /* not built in */
}

static void test_bad_overrides(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "events#http://a:1",
        "/events",
        "/events#",
        "/events#a",
        "#http://a:1",
        "/#http://a:1",
        "a/b/c#http://a:1",
        "/events#http://a:1#http://b:1",
        "/events#http://a:1,",
        ",",
        "/events#http://a:1;",
        "/events#;http://a:1",
        "events#/http://a:1",
    };
    struct kt_storage_overrides found = {.items = NULL};
    struct kt_error err = KT_ERROR_INIT;
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        if (kt_storage_overrides_parse(bad[i], &found, &err))
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(err.code, KT_E_CONFIG);
    }
    assert_true(kt_storage_overrides_parse("", &found, &err));
    assert_int_equal(found.n, 0);
    kt_storage_overrides_done(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),      cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_resources), cmocka_unit_test(test_overrides),     cmocka_unit_test(test_bad_overrides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
