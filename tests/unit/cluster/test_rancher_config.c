/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "cluster/rancher_config.h"
#include "tests/unit/base/scratch.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *joined(const struct kt_rancher_list *list)
{
    static char text[1024];
    text[0] = '\0';
    for (size_t i = 0; i < list->n; i++)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? "|" : "", list->items[i]);
    return text;
}

static bool read_config(const struct scratch *s, const char *unit, struct kt_rancher_config *ret, struct kt_error *err)
{
    char config[256], unit_path[256], environment[256];
    (void)snprintf(config, sizeof(config), "%s/config.yaml", s->path);
    (void)snprintf(environment, sizeof(environment), "%s/environment", s->path);
    (void)snprintf(unit_path, sizeof(unit_path), "%s/unit", s->path);
    if (unit)
        scratch_put(s, "unit", unit, 0644);
    const char *environments[] = {environment, NULL};
    const struct kt_rancher_places places = {.program = "k3s",
                                             .config = config,
                                             .root = s->path,
                                             .unit = unit ? unit_path : NULL,
                                             .environments = environments};
    return kt_rancher_config_read(&places, ret, err);
}

static void drop_in(const struct scratch *s, const char *name, const char *text)
{
    char path[128];
    (void)mkdir(scratch_name(s, "config.yaml.d"), 0755);
    (void)snprintf(path, sizeof(path), "config.yaml.d/%s", name);
    scratch_put(s, path, text, 0644);
}

static void test_order(void **state)
{
    const struct scratch *s = *state;
    KT_CLEANUP(kt_rancher_config_done) struct kt_rancher_config config = {.values = {{.items = NULL}}};
    struct kt_error err = KT_ERROR_INIT;
    scratch_put(s, "config.yaml", "kube-apiserver-arg: [a=1, b=2]\ndata-dir: /first\nunknown: {x: [1]}\n", 0644);
    drop_in(s, "20.yaml", "kube-apiserver-arg+: c=3\ndata-dir: /second\n");
    drop_in(s, "10.YML", "kube-apiserver-arg: [d=4]\n");
    drop_in(s, "30.yaml", "# nothing\n\n");
    drop_in(s, "15.txt", "kube-apiserver-arg: [wrong=1]\n");
    assert_true(read_config(
        s, "ExecStart=/bin/k3s server --kube-apiserver-arg e=5 --kube-apiserver-arg=f=6 -d /third\n", &config, &err));
    /* 10 takes config.yaml's away, 20 adds to it, the words add to all. */
    assert_string_equal(joined(&config.values[KT_RANCHER_APISERVER_ARGS]), "d=4|c=3|e=5|f=6");
    assert_string_equal(kt_rancher_text(&config, KT_RANCHER_DATA_DIR), "/third");
    assert_null(kt_rancher_text(&config, KT_RANCHER_DATASTORE));
}

static void test_environment_counts_last(void **state)
{
    const struct scratch *s = *state;
    KT_CLEANUP(kt_rancher_config_done) struct kt_rancher_config config = {.values = {{.items = NULL}}};
    struct kt_error err = KT_ERROR_INIT;
    scratch_put(s, "config.yaml", "data-dir: /file\n", 0644);
    scratch_put(s, "environment",
                "K3S_DATA_DIR=/variable\nK3S_DATASTORE_ENDPOINT=https://e:1\nRKE2_DATASTORE_CAFILE=/x\n", 0644);
    assert_true(read_config(s, NULL, &config, &err));
    assert_string_equal(kt_rancher_text(&config, KT_RANCHER_DATA_DIR), "/file");
    assert_string_equal(kt_rancher_text(&config, KT_RANCHER_DATASTORE), "https://e:1");
    assert_null(kt_rancher_text(&config, KT_RANCHER_DATASTORE_CAFILE));
}

static void test_another_config_file(void **state)
{
    const struct scratch *s = *state;
    static const char *const units[] = {"ExecStart=/bin/k3s server -c /other.yaml\n",
                                        "ExecStart=/bin/k3s server --config=/other.yaml\n"};
    scratch_put(s, "config.yaml", "data-dir: /wrong\n", 0644);
    scratch_put(s, "other.yaml", "data-dir: /right\n", 0644);
    for (size_t i = 0; i <= KT_ARRAY_LEN(units); i++) {
        KT_CLEANUP(kt_rancher_config_done) struct kt_rancher_config config = {.values = {{.items = NULL}}};
        struct kt_error err = KT_ERROR_INIT;
        if (i == KT_ARRAY_LEN(units))
            scratch_put(s, "environment", "K3S_CONFIG_FILE=/other.yaml\n", 0644);
        assert_true(read_config(s, i < KT_ARRAY_LEN(units) ? units[i] : NULL, &config, &err));
        assert_string_equal(kt_rancher_text(&config, KT_RANCHER_DATA_DIR), "/right");
    }
}

static void test_nothing_there(void **state)
{
    const struct scratch *s = *state;
    KT_CLEANUP(kt_rancher_config_done) struct kt_rancher_config config = {.values = {{.items = NULL}}};
    struct kt_error err = KT_ERROR_INIT;
    assert_true(read_config(s, NULL, &config, &err));
    for (size_t i = 0; i < KT_RANCHER_KEY_COUNT; i++)
        assert_int_equal(config.values[i].n, 0);
}

/* Never with what stands in the file: it holds the cluster's token. */
static void test_bad(void **state)
{
    const struct scratch *s = *state;
    static const char *const bad[] = {"token: sesame\nkube-apiserver-arg: {a: sesame}\n", "token: \"sesame\n",
                                      "kube-apiserver-arg: [[sesame]]\n", "data-dir: ~\ntoken: sesame\n"};
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct kt_rancher_config config = {.values = {{.items = NULL}}};
        struct kt_error err = KT_ERROR_INIT;
        scratch_put(s, "config.yaml", bad[i], 0644);
        if (read_config(s, NULL, &config, &err))
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(err.code, KT_E_CONFIG);
        assert_non_null(strstr(err.message, "config.yaml"));
        assert_null(strstr(err.message, "sesame"));
    }
}

static const struct {
    const char *args; /* split by spaces */
    const char *words;
} WORDS[] = {
    {"", "--p=1|--q=2"},
    {"r=3", "--p=1|--q=2|--r=3"},
    {"p=9", "--q=2|--p=9"},
    {"--p=9", "--q=2|--p=9"},
    {"p=8 p=9", "--q=2|--p=8|--p=9"},
    {"p+=9", "--p=1|--q=2|--p=9"},
    {"p-=9", "--p=9|--p=1|--q=2"},
    {"p+=8 p=9", "--p=1|--q=2|--p=8|--p=9"},
    {"flag", "--p=1|--q=2|--flag=true"},
    {"p=a=b", "--q=2|--p=a=b"},
    {"pp=1", "--p=1|--q=2|--pp=1"},
};

static void test_words(void **state)
{
    const struct scratch *s = *state;
    static const char *const own[] = {"p=1", "q=2", NULL};
    for (size_t i = 0; i < KT_ARRAY_LEN(WORDS); i++) {
        KT_CLEANUP(kt_rancher_config_done) struct kt_rancher_config config = {.values = {{.items = NULL}}};
        KT_CLEANUP(kt_rancher_list_done) struct kt_rancher_list words = {.items = NULL};
        struct kt_error err = KT_ERROR_INIT;
        char text[256] = "kube-apiserver-arg:\n";
        KT_CLEANUP(kt_free_p) char *copy = strdup(WORDS[i].args);
        char *rest = copy;
        for (char *arg; (arg = strsep(&rest, " "));)
            if (arg[0] != '\0')
                (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "- \"%s\"\n", arg);
        scratch_put(s, "config.yaml", WORDS[i].args[0] ? text : "", 0644);
        assert_true(read_config(s, NULL, &config, &err));
        assert_true(kt_rancher_apiserver_words(own, &config, &words, &err));
        if (strcmp(joined(&words), WORDS[i].words) != 0)
            fail_msg("%s: %s", WORDS[i].args, joined(&words));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_order),
        SCRATCH_TEST(test_environment_counts_last),
        SCRATCH_TEST(test_another_config_file),
        SCRATCH_TEST(test_nothing_there),
        SCRATCH_TEST(test_bad),
        SCRATCH_TEST(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
