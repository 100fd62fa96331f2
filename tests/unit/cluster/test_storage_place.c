/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/storage_key.h"
#include "cluster/storage_place.h"
#include "tests/unit/base/unit.h"

#include <string.h>

enum { KNOWN = 1, INTERNAL = 2, ODD = 4 };

static const struct {
    const char *key; /* behind "/registry/" */
    const char *resource;
    const char *group;
    const char *namespace;
    const char *name;
    unsigned flags;
} PLACES[] = {
    {"secrets/default/a", "secrets", "", "default", "a", KNOWN},
    {"services/specs/d/kubernetes", "services", "", "d", "kubernetes", KNOWN},
    {"services/endpoints/d/kubernetes", "endpoints", "", "d", "kubernetes", KNOWN},
    {"minions/n1", "nodes", "", "", "n1", KNOWN},
    {"controllers/d/r", "replicationcontrollers", "", "d", "r", KNOWN},
    {"deployments/d/x", "deployments", "apps", "d", "x", KNOWN},
    {"ingress/d/x", "ingresses", "networking.k8s.io", "d", "x", KNOWN},
    {"events/d/x.17", "events", "", "d", "x.17", KNOWN},
    {"clusterroles/system:node", "clusterroles", "rbac.authorization.k8s.io", "", "system:node", KNOWN},
    {"apiregistration.k8s.io/apiservices/v1.apps", "apiservices", "apiregistration.k8s.io", "", "v1.apps", KNOWN},
    {"example.com/widgets/d/x", "widgets", "example.com", "d", "x", KNOWN},
    {"example.com/widgets/x", "widgets", "example.com", "", "x", KNOWN},
    {"example.com/nodes/x", "nodes", "example.com", "", "x", KNOWN},
    {"health", "health", "", "", "", KNOWN | INTERNAL | ODD},
    {"masterleases/10.0.0.1", "masterleases", "", "", "10.0.0.1", KNOWN | INTERNAL},
    {"ranges/serviceips", "ranges", "", "", "serviceips", KNOWN | INTERNAL},
    {"gizmos/d/x", "gizmos", "", "d", "x", 0},
    {"networking.k8s.io/ingresses/d/x", "networking.k8s.io", "", "", "", ODD},
    {"gizmos", "gizmos", "", "", "", ODD},
    {"secrets/x", "secrets", "", "", "", KNOWN | ODD},
    {"secrets/d/x/y", "secrets", "", "", "", KNOWN | ODD},
    {"secrets/d/", "secrets", "", "", "", KNOWN | ODD},
    {"secrets//x", "secrets", "", "", "", KNOWN | ODD},
    {"namespaces/d/x", "namespaces", "", "", "", KNOWN | ODD},
    {"services/x", "services", "", "", "x", 0},
    {"example.com", "example.com", "", "", "", ODD},
    {"example.com/widgets/a/b/c/d/e", "widgets", "example.com", "", "", KNOWN | ODD},
};

static void test_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(PLACES); i++) {
        char key[256];
        struct kt_storage_place place;
        (void)snprintf(key, sizeof(key), "/registry/%s", PLACES[i].key);
        assert_true(kt_storage_place_read(kt_slice_str("/registry/"), kt_slice_str(key), &place));
        unsigned flags = (place.known ? KNOWN : 0u) | (place.internal ? INTERNAL : 0u) | (place.odd ? ODD : 0u);
        if (!kt_slice_equal(place.resource, kt_slice_str(PLACES[i].resource)) ||
            !kt_slice_equal(place.group, kt_slice_str(PLACES[i].group)) ||
            !kt_slice_equal(place.namespace, kt_slice_str(PLACES[i].namespace)) ||
            !kt_slice_equal(place.name, kt_slice_str(PLACES[i].name)) || flags != PLACES[i].flags)
            fail_msg("%s: %.*s %.*s %.*s %.*s %u", key, (int)place.resource.len, (const char *)place.resource.data,
                     (int)place.group.len, (const char *)place.group.data, (int)place.namespace.len,
                     (const char *)place.namespace.data, (int)place.name.len, (const char *)place.name.data, flags);
    }
}

static void test_other_keys(void **state)
{
    static const char *const OTHERS[] = {"/registry",       "/registry/",     "/registr/secrets/d/a",
                                         "compact_rev_key", "/registry//d/a", ""};
    struct kt_storage_place place;
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(OTHERS); i++)
        assert_false(kt_storage_place_read(kt_slice_str("/registry/"), kt_slice_str(OTHERS[i]), &place));
}

/* Each kind of the table lies where kt_storage_key() says. */
static void test_inverse(void **state)
{
    static const struct {
        const char *place;
        const char *resource;
        const char *group;
        bool namespaced;
    } KINDS[] = {
#define KT_STORAGE_KIND(place, resource, group, namespaced) {place, resource, group, namespaced},
#include "cluster/storage_kinds.def"
#undef KT_STORAGE_KIND
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(KINDS); i++) {
        struct kt_storage_resource resource = {.group = ""};
        struct kt_storage_place place;
        struct kt_error err = KT_ERROR_INIT;
        char key[KT_STORAGE_KEY_MAX];
        (void)snprintf(resource.group, sizeof(resource.group), "%s", KINDS[i].group);
        (void)snprintf(resource.resource, sizeof(resource.resource), "%s", KINDS[i].resource);
        assert_true(kt_storage_key(NULL, &resource, KINDS[i].namespaced ? "ns" : NULL, "n", key, &err));
        if (strncmp(key + strlen("/registry/"), KINDS[i].place, strlen(KINDS[i].place)) != 0)
            fail_msg("%s: %s", KINDS[i].place, key);
        assert_true(kt_storage_place_read(kt_slice_str("/registry/"), kt_slice_str(key), &place));
        assert_true(kt_slice_equal(place.resource, kt_slice_str(KINDS[i].resource)));
        assert_true(kt_slice_equal(place.group, kt_slice_str(KINDS[i].group)));
        assert_true(place.known && !place.odd);
    }
}

static void test_prefix(void **state)
{
    char prefix[KT_STORAGE_KEY_MAX], far[2 * KT_STORAGE_KEY_MAX];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    assert_true(kt_storage_prefix(NULL, prefix, &err));
    assert_string_equal(prefix, "/registry/");
    assert_true(kt_storage_prefix("a//b/", prefix, &err));
    assert_string_equal(prefix, "/a/b/");
    assert_true(kt_storage_prefix(prefix, prefix, &err));
    assert_string_equal(prefix, "/a/b/");
    memset(far, 'a', sizeof(far) - 1);
    far[sizeof(far) - 1] = '\0';
    assert_false(kt_storage_prefix(far, prefix, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_other_keys),
        cmocka_unit_test(test_inverse),
        cmocka_unit_test(test_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
