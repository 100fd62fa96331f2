/* SPDX-License-Identifier: Apache-2.0 */
/* Paths; what discovery answers is the affair of tests/e2e. */
#include "base/cleanup.h"
#include "cluster/api_kinds.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static const struct kt_api_kind SECRETS = {.base = "/api/v1", .resource = "secrets", .namespaced = true};
static const struct kt_api_kind ROLES = {.base = "/apis/rbac.authorization.k8s.io/v1", .resource = "clusterroles"};

static const struct {
    const struct kt_api_kind *kind;
    const char *namespace;
    const char *name;
    const char *path; /* NULL: none */
} PATHS[] = {
    {&SECRETS, "default", "a", "/api/v1/namespaces/default/secrets/a"},
    {&ROLES, "", "system:node", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode"},
    {&SECRETS, "d", "a/../b?c#d e%f\x80", "/api/v1/namespaces/d/secrets/a%2F..%2Fb%3Fc%23d%20e%25f%80"},
    {&SECRETS, "", "a", NULL},
    {&ROLES, "default", "a", NULL},
    {&ROLES, "", "", NULL},
};

static void test_paths(void **state)
{
    char path[KT_API_PATH_MAX], far[KT_API_PATH_MAX];
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(PATHS); i++) {
        bool made = kt_api_kind_path(PATHS[i].kind, PATHS[i].namespace, PATHS[i].name, path);
        assert_int_equal(made, PATHS[i].path != NULL);
        if (made)
            assert_string_equal(path, PATHS[i].path);
    }
    for (size_t len = 1; len < sizeof(far); len++) {
        memset(far, '/', len);
        far[len] = '\0';
        bool made = kt_api_kind_path(&ROLES, "", far, path);
        assert_int_equal(made, strlen(ROLES.base) + strlen("/clusterroles/") + 3 * len + 1 <= sizeof(path) - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
