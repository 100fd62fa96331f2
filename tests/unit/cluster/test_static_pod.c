/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "cluster/static_pod.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static const char POD[] = "apiVersion: v1\n"
                          "kind: Pod\n"
                          "spec:\n"
                          "  securityContext: {runAsUser: 1000}\n"
                          "  containers:\n"
                          "  - name: sidecar\n"
                          "    command: [other]\n"
                          "  - name: kube-apiserver\n"
                          "    command: [kube-apiserver, \"--a=b\"]\n"
                          "    args: [--c]\n"
                          "    securityContext: {runAsUser: 65534}\n"
                          "    volumeMounts:\n"
                          "    - {name: etc, mountPath: /etc/x, readOnly: true}\n"
                          "    - {name: deep, mountPath: /etc/x/deep/}\n"
                          "    - {name: file, mountPath: /etc/x/file.yaml}\n"
                          "    - {name: sub, mountPath: /sub, subPath: a/b}\n"
                          "    - {name: empty, mountPath: /scratch}\n"
                          "    - {name: absent, mountPath: /absent}\n"
                          "    - {name: root, mountPath: /host}\n"
                          "  volumes:\n"
                          "  - {name: etc, hostPath: {path: /host/etc, type: Directory}}\n"
                          "  - {name: deep, hostPath: {path: /elsewhere/}}\n"
                          "  - {name: file, hostPath: {path: /host/file.yaml, type: File}}\n"
                          "  - {name: sub, hostPath: {path: /host/sub}}\n"
                          "  - {name: empty, emptyDir: {}}\n"
                          "  - {name: root, hostPath: {path: /}}\n";

static void parse(const char *text, struct kt_static_pod *ret)
{
    struct kt_error err = KT_ERROR_INIT;
    if (!kt_static_pod_parse(kt_slice_str(text), "pod.yaml", "kube-apiserver", ret, &err))
        fail_msg("%s", err.message);
}

static void test_words(void **state)
{
    (void)state;
    KT_CLEANUP(kt_static_pod_done) struct kt_static_pod pod = {.words = NULL};
    parse(POD, &pod);
    assert_int_equal(pod.n_words, 3);
    assert_string_equal(pod.words[0], "kube-apiserver");
    assert_string_equal(pod.words[1], "--a=b");
    assert_string_equal(pod.words[2], "--c");
    assert_null(pod.words[3]);
    assert_true(pod.has_user);
    assert_int_equal(pod.user, 65534);
    assert_int_equal(pod.n_mounts, 5);
    assert_true(pod.mounts[0].read_only);
    assert_false(pod.mounts[1].read_only);
    assert_string_equal(pod.mounts[0].type, "Directory");
    assert_string_equal(pod.mounts[1].type, "");
}

static const struct {
    const char *path;
    bool inside;
    const char *other; /* the mount's other side; NULL: none */
    const char *rest;
} PATHS[] = {
    {"/etc/x/enc.yaml", true, "/host/etc", "/enc.yaml"},
    {"/etc/x", true, "/host/etc", ""},
    {"/etc/xy", true, NULL, NULL},
    {"/etc", true, NULL, NULL},
    {"/etc/x/deep/a/b", true, "/elsewhere", "/a/b"},
    {"/etc/x/file.yaml", true, "/host/file.yaml", ""},
    {"/etc/x/file.yaml.new", true, "/host/etc", "/file.yaml.new"},
    {"/sub/c", true, "/host/sub/a/b", "/c"},
    {"/scratch/x", true, NULL, NULL},
    {"/absent/x", true, NULL, NULL},
    {"/host/etc/passwd", true, "/", "/etc/passwd"},
    {"relative", true, NULL, NULL},
    {"", true, NULL, NULL},
    {"/host/etc/enc.yaml", false, "/etc/x", "/enc.yaml"},
    {"/elsewhere", false, "/etc/x/deep", ""},
    {"/run/x", false, "/host", "/run/x"}, /* the root is mounted */
};

static void test_paths(void **state)
{
    (void)state;
    KT_CLEANUP(kt_static_pod_done) struct kt_static_pod pod = {.words = NULL};
    parse(POD, &pod);
    for (size_t i = 0; i < KT_ARRAY_LEN(PATHS); i++) {
        const char *rest = NULL;
        const struct kt_pod_mount *mount = kt_static_pod_mount(&pod, PATHS[i].path, PATHS[i].inside, &rest);
        if ((mount == NULL) != (PATHS[i].other == NULL))
            fail_msg("path %zu (%s): %s", i, PATHS[i].path, mount ? mount->inside : "none");
        if (!mount)
            continue;
        assert_string_equal(PATHS[i].inside ? mount->host : mount->inside, PATHS[i].other);
        assert_string_equal(rest, PATHS[i].rest);
    }
}

/* JSON is YAML; a single container of another name is the one; nothing else need be there. */
static void test_least(void **state)
{
    (void)state;
    KT_CLEANUP(kt_static_pod_done) struct kt_static_pod pod = {.words = NULL};
    parse("{\"kind\":\"Pod\",\"spec\":{\"containers\":[{\"name\":\"x\",\"command\":[\"kube-apiserver\"]}]}}", &pod);
    assert_int_equal(pod.n_words, 1);
    assert_int_equal(pod.n_mounts, 0);
    assert_false(pod.has_user);
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "kind: Pod\n",
        "kind: Pod\nspec: {}\n",
        "kind: Pod\nspec: {containers: []}\n",
        "kind: Pod\nspec: {containers: {}}\n",
        "kind: Deployment\nspec: {containers: [{command: [x]}]}\n",
        "kind: Pod\nspec: {containers: [{command: x}]}\n",
        "kind: Pod\nspec: {containers: [{command: [[x]]}]}\n",
        "kind: Pod\nspec: {containers: [{args: [~]}]}\n",
        "kind: Pod\nspec: {securityContext: {runAsUser: -1}, containers: [{command: [x]}]}\n",
        "kind: Pod\nspec: {containers: [{volumeMounts: 1}]}\n",
        ("kind: Pod\nspec: {containers: [{volumeMounts: [{name: a, mountPath: /a, readOnly: perhaps}]}],"
         " volumes: [{name: a, hostPath: {path: /a}}]}\n"),
        "kind: Pod\n\tspec\n",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct kt_static_pod pod = {.words = NULL};
        struct kt_error err = KT_ERROR_INIT;
        if (kt_static_pod_parse(kt_slice_str(bad[i]), "pod.yaml", "kube-apiserver", &pod, &err))
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(err.code, KT_E_CONFIG);
        assert_non_null(strstr(err.message, "pod.yaml"));
        assert_null(pod.words);
    }
}

static void test_too_many_words(void **state)
{
    (void)state;
    struct kt_text text;
    struct kt_static_pod pod = {.words = NULL};
    struct kt_error err = KT_ERROR_INIT;
    kt_text_init(&text, 65536);
    kt_text_add(&text, "kind: Pod\nspec:\n  containers:\n  - command: [x]\n    args:\n");
    for (size_t i = 0; i < KT_POD_WORDS_MAX; i++)
        kt_text_add(&text, "    - y\n");
    assert_false(kt_static_pod_parse(KT_SLICE(text.data, text.len), "pod.yaml", "kube-apiserver", &pod, &err));
    kt_text_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words), cmocka_unit_test(test_paths),          cmocka_unit_test(test_least),
        cmocka_unit_test(test_bad),   cmocka_unit_test(test_too_many_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
