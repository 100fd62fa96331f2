/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "cluster/kubeconfig.h"
#include "tests/unit/base/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct kt_kubeconfig *load(const char *file, const char *context, struct kt_error *err)
{
    const struct kt_kubeconfig_options options = {.kubeconfig = file, .context = context};
    return kt_kubeconfig_load(&options, err);
}

static struct kt_kubeconfig *must_load(const char *file, const char *context)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_kubeconfig *config = load(file, context, &err);
    if (!config)
        fail_msg("%s", err.message);
    return config;
}

static bool token_is(const struct kt_kubeconfig *config, const char *text)
{
    if (!config->token || !text)
        return !config->token && !text;
    return kt_secret_len(config->token) == strlen(text) &&
           memcmp(kt_secret_view(config->token), text, strlen(text)) == 0;
}

/* Three files that know things by the same names. */
static const char ONE[] = "apiVersion: v1\nkind: Config\n"
                          "clusters:\n"
                          "- {name: shared, cluster: {server: 'https://one:1', tls-server-name: first}}\n"
                          "users:\n"
                          "- {name: red, user: {}}\n"
                          "contexts:\n"
                          "- {name: a, context: {cluster: shared, user: blue}}\n";
static const char TWO[] = "{\"apiVersion\": \"v1\", \"kind\": \"Config\", \"current-context\": \"b\",\n"
                          "\"clusters\": [{\"name\": \"shared\", \"cluster\": {\"server\": \"https://two:2\",\n"
                          "  \"insecure-skip-tls-verify\": true}},\n"
                          " {\"name\": \"own\", \"cluster\": {\"server\": \"https://own:2\"}}],\n"
                          "\"users\": [{\"name\": \"red\", \"user\": {\"token\": \"from-two\"}},\n"
                          " {\"name\": \"blue\", \"user\": {\"token\": \"blue-two\"}}],\n"
                          "\"contexts\": [{\"name\": \"a\", \"context\": {\"cluster\": \"own\", \"user\": \"red\"}},\n"
                          " {\"name\": \"b\", \"context\": {\"cluster\": \"shared\", \"user\": \"red\"}}]}\n";
static const char THREE[] =
    "current-context: c\n"
    "clusters: [&x {name: third, cluster: {server: three}}, *x, {name: 4th, cluster: {server: four}}]\n"
    "contexts:\n"
    "- {name: c, context: {cluster: 4th}}\n"
    "- {name: nobody, context: {cluster: shared, user: absent}}\n"
    "- {name: twice, context: {cluster: third}}\n"
    "- {name: lost, context: {cluster: absent}}\n"
    "- {name: empty, context: {}}\n";

static const struct {
    const char *files; /* of one, two and three, in the order of KUBECONFIG; x is absent, e empty */
    const char *context;
    const char *error; /* or: */
    const char *chosen, *origin, *name, *token;
    bool insecure;
} MERGES[] = {
    /* The first file that sets something counts, and entries are not mixed. */
    {"123", NULL, NULL, "b", "https://one:1", "first", NULL, false},
    {"213", NULL, NULL, "b", "https://two:2", "", "from-two", true},
    {"321", NULL, NULL, "c", "https://four:443", "", NULL, false},
    {"12", "a", NULL, "a", "https://one:1", "first", "blue-two", false},
    {"21", "a", NULL, "a", "https://own:2", "", "from-two", false},
    {"x1xe2", "a", NULL, "a", "https://one:1", "first", "blue-two", false},
    {"2", NULL, NULL, "b", "https://two:2", "", "from-two", true},
    {"2", "", NULL, "b", "https://two:2", "", "from-two", true},
    {"1", NULL, "expected a current-context, found none", NULL, NULL, NULL, NULL, false},
    {"1", "a", "expected the user blue, found none", NULL, NULL, NULL, NULL, false},
    {"123", "nobody", "expected the user absent, found none", NULL, NULL, NULL, NULL, false},
    {"123", "lost", "expected the cluster absent, found none", NULL, NULL, NULL, NULL, false},
    {"123", "empty", "expected a cluster in the context", NULL, NULL, NULL, NULL, false},
    {"123", "twice", "expected each name in clusters once, found one twice", NULL, NULL, NULL, NULL, false},
    {"123", "nosuch", "expected the context nosuch, found none", NULL, NULL, NULL, NULL, false},
    {"x", NULL, "expected a kubeconfig, found none", NULL, NULL, NULL, NULL, false},
    {"e", NULL, "expected a kubeconfig, found none", NULL, NULL, NULL, NULL, false},
};

static void put_files(const struct scratch *s)
{
    scratch_put(s, "1", ONE, 0600);
    scratch_put(s, "2", TWO, 0600);
    scratch_put(s, "3", THREE, 0600);
    scratch_put(s, "e", "\n  \n", 0600);
}

static void set_list(const struct scratch *s, const char *files)
{
    struct kt_text list;
    kt_text_init(&list, 4096);
    kt_text_add(&list, ":");
    for (; *files; files++)
        kt_text_add(&list, "%s/%c:", s->path, *files);
    setenv("KUBECONFIG", list.data, 1);
    kt_text_done(&list);
}

static void merges_as_kubectl(void **state)
{
    const struct scratch *s = *state;
    put_files(s);
    for (size_t i = 0; i < KT_ARRAY_LEN(MERGES); i++) {
        struct kt_error err = KT_ERROR_INIT;
        set_list(s, MERGES[i].files);
        KT_CLEANUP(kt_kubeconfig_free_p) struct kt_kubeconfig *config = load(NULL, MERGES[i].context, &err);
        if (MERGES[i].error) {
            if (config || !strstr(err.message, MERGES[i].error) || err.code != KT_E_CONFIG)
                fail_msg("%zu: %s", i, err.message);
            continue;
        }
        if (!config)
            fail_msg("%zu: %s", i, err.message);
        if (strcmp(config->context, MERGES[i].chosen) != 0 || strcmp(config->server.origin, MERGES[i].origin) != 0 ||
            strcmp(config->tls_server_name, MERGES[i].name) != 0 || !token_is(config, MERGES[i].token) ||
            config->insecure != MERGES[i].insecure)
            fail_msg("%zu: context %s, server %s", i, config->context, config->server.origin);
    }
    unsetenv("KUBECONFIG");
}

/* --kubeconfig counts alone, and must be there; without it and KUBECONFIG it is ~/.kube/config. */
static void chooses_files(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    put_files(s);
    set_list(s, "3");
    struct kt_kubeconfig *config = must_load(scratch_name(s, "2"), NULL);
    assert_string_equal(config->context, "b");
    kt_kubeconfig_free(config);
    assert_null(load(scratch_name(s, "x"), NULL, &err));
    assert_int_equal(err.code, KT_E_IO);
    assert_non_null(strstr(err.message, "/x: cannot open it"));

    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    unsetenv("KUBECONFIG");
    setenv("HOME", s->path, 1);
    assert_null(load(NULL, NULL, &err));
    assert_non_null(strstr(err.message, "/.kube/config"));
    assert_non_null(strstr(err.hint, "/etc/kubernetes/admin.conf"));
    assert_int_equal(mkdir(scratch_name(s, ".kube"), 0700), 0);
    assert_int_equal(symlink("../2", scratch_name(s, ".kube/config")), 0);
    config = must_load(NULL, NULL);
    assert_string_equal(config->context, "b");
    kt_kubeconfig_free(config);
    assert_int_equal(unlink(scratch_name(s, ".kube/config")), 0);
    assert_int_equal(rmdir(scratch_name(s, ".kube")), 0);
    if (home)
        setenv("HOME", home, 1);
    free(home);
}

static const char ALL[] = "clusters:\n"
                          "- name: c\n"
                          "  cluster:\n"
                          "    server: https://api.example.com/k8s\n"
                          "    certificate-authority: pki/ca.pem\n"
                          "    proxy-url: socks5://proxy:1080\n"
                          "    disable-compression: true\n"
                          "    extensions: [{name: x, extension: {a: 1}}]\n"
                          "- name: data\n"
                          "  cluster:\n"
                          "    server: https://[fd00::1]:6443\n"
                          "    certificate-authority: absent.pem\n"
                          "    certificate-authority-data: |\n"
                          "      Q0EgRE\n"
                          "      FUQQ==\n"
                          "users:\n"
                          "- name: files\n"
                          "  user: {client-certificate: pki/cert.pem, client-key: /%s/pki/key.pem, tokenFile: token}\n"
                          "- name: data\n"
                          "  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ, token: hunter2}\n"
                          "- name: exec\n"
                          "  user:\n"
                          "    exec:\n"
                          "      apiVersion: client.authentication.k8s.io/v1beta1\n"
                          "      command: bin/login\n"
                          "      args: [token, '--cluster', 1, \"\"]\n"
                          "      env: [{name: A, value: b}, {name: C}]\n"
                          "      provideClusterInfo: true\n"
                          "      installHint: |\n"
                          "        get it\n"
                          "- name: path\n"
                          "  user:\n"
                          "    exec: {apiVersion: client.authentication.k8s.io/v1, command: login, args: ~, "
                          "env: null, interactiveMode: Never}\n"
                          "contexts:\n"
                          "- {name: files, context: {cluster: c, user: files}}\n"
                          "- {name: data, context: {cluster: data, user: data}}\n"
                          "- {name: exec, context: {cluster: data, user: exec}}\n"
                          "- {name: path, context: {cluster: data, user: path}}\n";

static void put_all(const struct scratch *s)
{
    char text[sizeof(ALL) + sizeof(s->path)];
    snprintf(text, sizeof(text), ALL, s->path);
    scratch_put(s, "all", text, 0600);
    assert_int_equal(mkdir(scratch_name(s, "pki"), 0700), 0);
    scratch_put(s, "pki/ca.pem", "CA FILE", 0644);
    scratch_put(s, "pki/key.pem", "KEY FILE", 0600);
    scratch_put(s, "pki/real.pem", "CERT FILE", 0644);
    assert_int_equal(symlink("real.pem", scratch_name(s, "pki/cert.pem")), 0);
}

static void remove_all(const struct scratch *s)
{
    static const char *const NAMES[] = {"pki/ca.pem", "pki/key.pem", "pki/real.pem", "pki/cert.pem"};
    for (size_t i = 0; i < KT_ARRAY_LEN(NAMES); i++)
        assert_int_equal(unlink(scratch_name(s, NAMES[i])), 0);
    assert_int_equal(rmdir(scratch_name(s, "pki")), 0);
}

static void reads_all_fields(void **state)
{
    const struct scratch *s = *state;
    put_all(s);
    struct kt_kubeconfig *config = must_load(scratch_name(s, "all"), "files");
    assert_string_equal(config->server.path, "/k8s");
    assert_string_equal(config->proxy, "socks5h://proxy:1080");
    assert_string_equal((const char *)config->ca.data, "CA FILE");
    assert_string_equal((const char *)config->certificate.data, "CERT FILE");
    assert_int_equal(kt_secret_len(config->key), strlen("KEY FILE"));
    assert_memory_equal(kt_secret_view(config->key), "KEY FILE", strlen("KEY FILE"));
    assert_string_equal(config->token_file, scratch_name(s, "token"));
    assert_null(config->exec);
    kt_kubeconfig_free(config);

    config = must_load(scratch_name(s, "all"), "data");
    assert_string_equal((const char *)config->ca.data, "CA DATA");
    assert_int_equal(config->ca.len, strlen("CA DATA"));
    assert_string_equal((const char *)config->certificate.data, "CERT");
    assert_memory_equal(kt_secret_view(config->key), "KEY", 3);
    assert_int_equal(kt_secret_len(config->key), 3);
    assert_true(token_is(config, "hunter2"));
    kt_kubeconfig_free(config);
    remove_all(s);
}

static void reads_exec(void **state)
{
    const struct scratch *s = *state;
    put_all(s);
    struct kt_kubeconfig *config = must_load(scratch_name(s, "all"), "exec");
    const struct kt_kube_exec *exec = config->exec;
    assert_string_equal(exec->command, scratch_name(s, "bin/login"));
    assert_string_equal(exec->args[0], "token");
    assert_string_equal(exec->args[2], "1");
    assert_string_equal(exec->args[3], "");
    assert_null(exec->args[4]);
    assert_string_equal(exec->env[0], "A=b");
    assert_string_equal(exec->env[1], "C=");
    assert_null(exec->env[2]);
    assert_string_equal(exec->api_version, "client.authentication.k8s.io/v1beta1");
    assert_int_equal(exec->interactive, KT_KUBE_IF_AVAILABLE);
    assert_true(exec->cluster_info);
    assert_string_equal(exec->install_hint, "get it\n");
    kt_kubeconfig_free(config);

    config = must_load(scratch_name(s, "all"), "path");
    assert_string_equal(config->exec->command, "login");
    assert_int_equal(config->exec->interactive, KT_KUBE_NEVER);
    assert_null(config->exec->args[0]);
    kt_kubeconfig_free(config);
    remove_all(s);
}

/* A user and a cluster that are refused, and why. */
static const struct {
    const char *cluster;
    const char *user;
    enum kt_code code;
    const char *message;
} REFUSED[] = {
    {"{}", "{}", KT_E_CONFIG, "expected server: in the cluster, found none"},
    {"{server: 'http://h'}", "{}", KT_E_CONFIG, "expected https, found the scheme http"},
    {"{server: h, insecure-skip-tls-verify: true, certificate-authority-data: QQ==}", "{}", KT_E_CONFIG, "found both"},
    {"{server: h, certificate-authority-data: hunter2}", "{}", KT_E_CONFIG,
     "certificate-authority-data: expected base64"},
    {"{server: h, certificate-authority: absent}", "{}", KT_E_IO, "certificate-authority: "},
    {"{server: h, proxy-url: 'ftp://x'}", "{}", KT_E_CONFIG, "proxy-url: expected http://"},
    {"{server: h, insecure-skip-tls-verify: hunter2}", "{}", KT_E_CONFIG, "insecure-skip-tls-verify: "},
    {"[hunter2]", "{}", KT_E_CONFIG, "expected server: in the cluster, found none"},
    {"{server: h}", "{username: hunter2}", KT_E_CONFIG, "the user has username"},
    {"{server: h}", "{password: hunter2}", KT_E_CONFIG, "the user has password"},
    {"{server: h}", "{auth-provider: {name: hunter2}}", KT_E_CONFIG, "the user has auth-provider"},
    {"{server: h}", "{as: hunter2}", KT_E_CONFIG, "the user has as,"},
    {"{server: h}", "{as-groups: [hunter2]}", KT_E_CONFIG, "the user has as-groups"},
    {"{server: h}", "{token: [hunter2]}", KT_E_CONFIG, "token: "},
    {"{server: h}", "{client-key-data: hunter2}", KT_E_CONFIG, "client-key-data: expected base64"},
    {"{server: h}", "{client-key-data: 'hun='}", KT_E_CONFIG, "client-key-data: expected base64"},
    {"{server: h}", "{client-key-data: '===='}", KT_E_CONFIG, "client-key-data: expected base64"},
    {"{server: h}", "{client-key-data: QQ==}", KT_E_CONFIG, "client-certificate and client-key together"},
    {"{server: h}", "{client-certificate-data: QQ==}", KT_E_CONFIG, "client-certificate and client-key together"},
    {"{server: h}", "{client-key: absent}", KT_E_IO, "client-key: "},
    {"{server: h}", "{exec: {command: hunter2}}", KT_E_CONFIG, "exec: "},
    {"{server: h}", "{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: hunter2}}", KT_E_CONFIG,
     "expected apiVersion client.authentication.k8s.io/v1 or"},
    {"{server: h}", "{exec: {apiVersion: client.authentication.k8s.io/v1, command: hunter2}}", KT_E_CONFIG,
     "expected interactiveMode"},
    {"{server: h}", "{exec: {apiVersion: client.authentication.k8s.io/v1, command: hunter2, interactiveMode: always}}",
     KT_E_CONFIG, "expected interactiveMode"},
    {"{server: h}", "{exec: {apiVersion: client.authentication.k8s.io/v1beta1}}", KT_E_CONFIG, "expected a command"},
    {"{server: h}", "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: x, env: [{value: hunter2}]}}",
     KT_E_CONFIG, "env: expected a name"},
    {"{server: h}", "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: x, args: hunter2}}",
     KT_E_CONFIG, "args: "},
};

static void refuses_with_a_reason(void **state)
{
    const struct scratch *s = *state;
    for (size_t i = 0; i < KT_ARRAY_LEN(REFUSED); i++) {
        char text[1024];
        struct kt_error err = KT_ERROR_INIT;
        snprintf(text, sizeof(text),
                 "current-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n"
                 "clusters:\n- name: x\n  cluster: %s\nusers:\n- name: x\n  user: %s\n",
                 REFUSED[i].cluster, REFUSED[i].user);
        scratch_put(s, "bad", text, 0600);
        if (load(scratch_name(s, "bad"), NULL, &err) || !strstr(err.message, REFUSED[i].message) ||
            err.code != REFUSED[i].code)
            fail_msg("%zu: %s: %s", i, kt_code_name(err.code), err.message);
        assert_null(strstr(err.message, "hunter2"));
        assert_null(strstr(err.hint, "hunter2"));
    }
}

static void refuses_other_documents(void **state)
{
    const struct scratch *s = *state;
    static const char *const BAD[] = {
        "kind: Secret\napiVersion: v1\ncurrent-context: x\n",
        "apiVersion: v2\n",
        "contexts: 7\ncurrent-context: x\n",
        "contexts: [7]\ncurrent-context: x\n",
        "just text",
        "a: [",
        "current-context: [x]\n",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(BAD); i++) {
        struct kt_error err = KT_ERROR_INIT;
        scratch_put(s, "bad", BAD[i], 0600);
        if (load(scratch_name(s, "bad"), NULL, &err) || err.code != KT_E_CONFIG)
            fail_msg("%zu: %s", i, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(merges_as_kubectl), SCRATCH_TEST(chooses_files),         SCRATCH_TEST(reads_all_fields),
        SCRATCH_TEST(reads_exec),        SCRATCH_TEST(refuses_with_a_reason), SCRATCH_TEST(refuses_other_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
