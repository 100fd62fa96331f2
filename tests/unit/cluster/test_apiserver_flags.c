/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "cluster/apiserver_flags.h"
#include "tests/unit/base/unit.h"

#include <string.h>

struct words {
    char text[256];
    char *items[8];
    size_t n;
};

/* Words with '|' between them. */
static void split(const char *text, struct words *ret)
{
    memset(ret, 0, sizeof(*ret));
    (void)snprintf(ret->text, sizeof(ret->text), "%s", text);
    char *rest = ret->text;
    for (char *word; (word = strsep(&rest, "|"));)
        ret->items[ret->n++] = word;
}

static const struct {
    const char *words;
    enum kt_apiserver_flag flag;
    const char *value; /* NULL: not given */
    unsigned given;
} CASES[] = {
    {"kube-apiserver|--etcd-prefix=/r", KT_FLAG_ETCD_PREFIX, "/r", 1},
    {"--etcd-prefix|/r", KT_FLAG_ETCD_PREFIX, "/r", 1},
    {"--etcd_prefix=/r", KT_FLAG_ETCD_PREFIX, "/r", 1},
    {"--etcd-prefix=", KT_FLAG_ETCD_PREFIX, "", 1},
    {"--etcd-prefix=a=b", KT_FLAG_ETCD_PREFIX, "a=b", 1},
    {"--etcd-prefix=/1|--etcd-prefix|/2", KT_FLAG_ETCD_PREFIX, "/2", 2},
    {"--etcd-servers=a,b|--etcd-servers|c", KT_FLAG_ETCD_SERVERS, "a,b,c", 2},
    {"--encryption-provider-config-automatic-reload", KT_FLAG_ENCRYPTION_RELOAD, "true", 1},
    /* A boolean takes no word behind it. */
    {"--encryption-provider-config-automatic-reload|--etcd-prefix=/r", KT_FLAG_ETCD_PREFIX, "/r", 1},
    {"--encryption-provider-config-automatic-reload|false", KT_FLAG_ENCRYPTION_RELOAD, "true", 1},
    /* The value of a flag that is not known is no flag. */
    {"--audit-log-path|--etcd-prefix=/r", KT_FLAG_ETCD_PREFIX, "/r", 1},
    /* Not flags. */
    {"etcd-prefix=/r", KT_FLAG_ETCD_PREFIX, NULL, 0},
    {"-etcd-prefix=/r", KT_FLAG_ETCD_PREFIX, NULL, 0},
    {"--etcd-prefi=/r", KT_FLAG_ETCD_PREFIX, NULL, 0},
    {"--etcd-prefixx=/r", KT_FLAG_ETCD_PREFIX, NULL, 0},
    {"--|--etcd-prefix=/r", KT_FLAG_ETCD_PREFIX, NULL, 0},
    {"--etcd-prefix", KT_FLAG_ETCD_PREFIX, NULL, 0},
    {"", KT_FLAG_ETCD_PREFIX, NULL, 0},
};

static void test_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(CASES); i++) {
        KT_CLEANUP(kt_apiserver_flags_done) struct kt_apiserver_flags flags = {.given = {0}};
        struct kt_error err = KT_ERROR_INIT;
        struct words words;
        split(CASES[i].words, &words);
        assert_true(kt_apiserver_flags_read(words.items, words.n, &flags, &err));
        const char *value = flags.values[CASES[i].flag];
        if (flags.given[CASES[i].flag] != CASES[i].given || (value == NULL) != (CASES[i].value == NULL) ||
            (value && strcmp(value, CASES[i].value) != 0))
            fail_msg("case %zu: %s", i, value ? value : "(none)");
    }
}

static void read_all(const char *text, struct kt_apiserver_flags *ret)
{
    struct words words;
    split(text, &words);
    assert_true(kt_apiserver_flags_read(words.items, words.n, ret, NULL));
}

static void test_config_and_reload(void **state)
{
    (void)state;
    static const char old[] = "--experimental-encryption-provider-config=/old";
    static const char both[] = "--encryption-provider-config=/new|--experimental-encryption-provider-config=/old|"
                               "--encryption-provider-config-automatic-reload=False";
    KT_CLEANUP(kt_apiserver_flags_done) struct kt_apiserver_flags one = {.given = {0}};
    KT_CLEANUP(kt_apiserver_flags_done) struct kt_apiserver_flags two = {.given = {0}};
    KT_CLEANUP(kt_apiserver_flags_done) struct kt_apiserver_flags none = {.given = {0}};
    read_all(old, &one);
    read_all(both, &two);
    assert_string_equal(kt_apiserver_encryption_config(&one), "/old");
    assert_string_equal(kt_apiserver_encryption_config(&two), "/new");
    assert_null(kt_apiserver_encryption_config(&none));
    assert_false(kt_apiserver_flag_on(&one, KT_FLAG_ENCRYPTION_RELOAD));
    assert_false(kt_apiserver_flag_on(&two, KT_FLAG_ENCRYPTION_RELOAD));
    assert_string_equal(kt_apiserver_flag_name(KT_FLAG_ETCD_CAFILE), "etcd-cafile");
}

static void test_same(void **state)
{
    (void)state;
    static const char base[] = "--encryption-provider-config=/c|--encryption-provider-config-automatic-reload|"
                               "--etcd-servers=https://a:1|--secure-port=6443";
    static const char equal[] = "--etcd-servers|https://a:1|--experimental-encryption-provider-config=/c|"
                                "--encryption-provider-config-automatic-reload=1";
    static const char *const other[] = {
        "--encryption-provider-config=/d|--encryption-provider-config-automatic-reload|--etcd-servers=https://a:1",
        "--encryption-provider-config=/c|--etcd-servers=https://a:1",
        "--encryption-provider-config=/c|--encryption-provider-config-automatic-reload",
        ("--encryption-provider-config=/c|--encryption-provider-config-automatic-reload|--etcd-servers=https://a:1|"
         "--etcd-prefix=/x"),
    };
    KT_CLEANUP(kt_apiserver_flags_done) struct kt_apiserver_flags one = {.given = {0}};
    KT_CLEANUP(kt_apiserver_flags_done) struct kt_apiserver_flags two = {.given = {0}};
    read_all(base, &one);
    read_all(equal, &two);
    assert_true(kt_apiserver_flags_same(&one, &two));
    for (size_t i = 0; i < KT_ARRAY_LEN(other); i++) {
        KT_CLEANUP(kt_apiserver_flags_done) struct kt_apiserver_flags three = {.given = {0}};
        read_all(other[i], &three);
        assert_false(kt_apiserver_flags_same(&one, &three));
        assert_false(kt_apiserver_flags_same(&three, &one));
    }
}

static void test_too_much(void **state)
{
    (void)state;
    static char *many[KT_APISERVER_WORDS_MAX + 1];
    static char long_word[KT_APISERVER_VALUE_MAX + 32] = "--etcd-servers=";
    static char second[] = "--etcd-servers=x";
    static char any[] = "--x";
    char *two[] = {long_word, second};
    KT_CLEANUP(kt_apiserver_flags_done) struct kt_apiserver_flags flags = {.given = {0}};
    struct kt_error err = KT_ERROR_INIT;
    for (size_t i = 0; i < KT_ARRAY_LEN(many); i++)
        many[i] = any;
    assert_false(kt_apiserver_flags_read(many, KT_ARRAY_LEN(many), &flags, &err));
    assert_int_equal(err.code, KT_E_CONFIG);
    memset(long_word + 15, 'a', KT_APISERVER_VALUE_MAX - 1);
    assert_true(kt_apiserver_flags_read(two, 1, &flags, &err));
    kt_apiserver_flags_done(&flags);
    assert_false(kt_apiserver_flags_read(two, 2, &flags, &err));
    assert_null(flags.values[KT_FLAG_ETCD_SERVERS]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_config_and_reload),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
