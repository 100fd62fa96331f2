/* SPDX-License-Identifier: Apache-2.0 */
/* Real programs: shell scripts as exec plugins. */
#include "base/cleanup.h"
#include "cluster/kube_exec.h"
#include "tests/unit/base/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define V1 "client.authentication.k8s.io/v1"

/* A kubeconfig whose user is made by that script; extra goes into the exec section. */
static struct kt_kubeconfig *make(const struct scratch *s, const char *script, const char *extra)
{
    char text[2048];
    struct kt_error err = KT_ERROR_INIT;
    struct kt_kubeconfig_options options = {.context = NULL};
    scratch_put(s, "login", script, 0700);
    snprintf(text, sizeof(text),
             "current-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n"
             "clusters: [{name: x, cluster: {server: 'https://h:6443', certificate-authority-data: Q0E=}}]\n"
             "users:\n- name: x\n  user:\n    exec:\n      apiVersion: " V1 "\n      command: ./login\n      %s\n",
             extra);
    scratch_put(s, "config", text, 0600);
    options.kubeconfig = scratch_name(s, "config");
    struct kt_kubeconfig *config = kt_kubeconfig_load(&options, &err);
    if (!config)
        fail_msg("%s", err.message);
    return config;
}

static bool is(const struct kt_secret *secret, const char *text)
{
    return secret && kt_secret_len(secret) == strlen(text) && memcmp(kt_secret_view(secret), text, strlen(text)) == 0;
}

/* No terminal, and something to read: not for the plugin. */
static void put_stdin(void)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "line\n", 5), 5);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
    close(ends[1]);
}

static void runs_with_arguments_and_environment(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    put_stdin();
    setenv("KEYTURN_EXEC_TEST", "ours", 1);
    setenv("KEYTURN_EXEC_KEPT", "kept", 1);
    KT_CLEANUP(kt_kubeconfig_free_p)
    struct kt_kubeconfig *config =
        make(s,
             "#!/bin/sh\nprintf '%s' \"$KUBERNETES_EXEC_INFO\" >\"$0.info\"\nread line && exit 3\n"
             "n=$(tr '\\0' '\\n' </proc/$$/environ | grep -c ^KEYTURN_EXEC_TEST=)\n"
             "printf '{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":{\"token\":\"%s-%s-%s-%s\","
             "\"expirationTimestamp\":\"2026-11-23T09:00:00.5Z\"}}\\n' \"$1\" \"$n\" \"$KEYTURN_EXEC_TEST\" "
             "\"$KEYTURN_EXEC_KEPT\"\n",
             "args: [a b]\n      env: [{name: KEYTURN_EXEC_TEST, value: theirs}]\n"
             "      interactiveMode: IfAvailable\n      provideClusterInfo: true");
    struct kt_kube_credential credential = {.token = NULL};
    if (!kt_kube_exec_run(config, &credential, &err))
        fail_msg("%s", err.message);
    assert_true(is(credential.token, "a b-1-theirs-kept"));
    assert_null(credential.key);
    assert_int_equal(credential.expires_s, 1795424400);
    kt_kube_credential_done(&credential);
    assert_null(credential.token);
    scratch_expect(s, "login.info",
                   "{\"apiVersion\":\"" V1 "\",\"kind\":\"ExecCredential\",\"spec\":{\"interactive\":false,"
                   "\"cluster\":{\"server\":\"https://h:6443\",\"certificate-authority-data\":\"Q0E=\"}}}");
}

static const struct {
    const char *script;
    const char *extra;
    enum kt_code code;
    const char *message;
} BAD[] = {
    {"#!/bin/sh\necho hunter2; exit 7\n", "interactiveMode: Never", KT_E_DENIED, "it failed with exit status 7"},
    {"#!/bin/sh\nkill -9 $$\n", "interactiveMode: Never", KT_E_DENIED, "it was ended by signal 9"},
    {"#!/bin/sh\necho hunter2\n", "interactiveMode: Never", KT_E_CONFIG, "expected JSON"},
    {"#!/nowhere/sh\n", "interactiveMode: Never\n      installHint: apt install it", KT_E_CONFIG, "No such file"},
    {"#!/bin/sh\nexit 0\n", "interactiveMode: Always", KT_E_CONFIG, "it wants a terminal"},
    {"#!/bin/sh\nexec cat /dev/zero\n", "interactiveMode: Never", KT_E_CONFIG, "it prints more than a credential"},
};

static void says_why_there_is_none(void **state)
{
    const struct scratch *s = *state;
    for (size_t i = 0; i < KT_ARRAY_LEN(BAD); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_kube_credential credential = {.token = NULL};
        KT_CLEANUP(kt_kubeconfig_free_p) struct kt_kubeconfig *config = make(s, BAD[i].script, BAD[i].extra);
        if (kt_kube_exec_run(config, &credential, &err) || err.code != BAD[i].code ||
            !strstr(err.message, BAD[i].message))
            fail_msg("%zu: %s: %s", i, kt_code_name(err.code), err.message);
        assert_null(strstr(err.message, "hunter2"));
        assert_true(i != 3 || strcmp(err.hint, "apt install it") == 0);
    }
}

static const struct {
    const char *text;
    bool good;
    uint64_t expires;
} CREDENTIALS[] = {
    {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":{\"token\":\"t\"}}", true, 0},
    {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":{\"clientCertificateData\":\"c\","
     "\"clientKeyData\":\"k\",\"expirationTimestamp\":\"2026-11-23T09:00:00Z\"}}",
     true, 1795424400},
    {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":{\"token\":\"t\","
     "\"expirationTimestamp\":\"2026-11-23T09:00:00+01:00\"}}",
     true, 1},
    {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":{\"token\":\"t\","
     "\"expirationTimestamp\":\"soon\"}}",
     true, 0},
    {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":{\"token\":\"\"}}", false, 0},
    {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":{\"clientKeyData\":\"k\"}}", false, 0},
    {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\"}", false, 0},
    {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "beta1\",\"status\":{\"token\":\"t\"}}", false, 0},
    {"{\"kind\":\"Secret\",\"apiVersion\":\"" V1 "\",\"status\":{\"token\":\"t\"}}", false, 0},
    {"{\"kind\":7,\"apiVersion\":[],\"status\":\"t\"}", false, 0},
    {"[]", false, 0},
    {"", false, 0},
};

static void reads_credentials(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(CREDENTIALS); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_kube_credential credential = {.token = NULL};
        bool good = kt_kube_credential_parse(kt_slice_str(CREDENTIALS[i].text), V1, &credential, &err);
        if (good != CREDENTIALS[i].good || credential.expires_s != CREDENTIALS[i].expires)
            fail_msg("%zu: %s", i, err.message);
        assert_true(good || err.code == KT_E_CONFIG);
        kt_kube_credential_done(&credential);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(runs_with_arguments_and_environment),
        SCRATCH_TEST(says_why_there_is_none),
        cmocka_unit_test(reads_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
