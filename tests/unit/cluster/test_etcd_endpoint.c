/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "cluster/etcd_endpoint.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static const struct {
    const char *text;
    bool tls;
    const char *host;
    const char *port;
    const char *path;
    bool is_address;
} GOOD[] = {
    {"https://127.0.0.1:2379", true, "127.0.0.1", "2379", "", true},
    {"http://localhost:1", false, "localhost", "1", "", false},
    {"https://etcd-0.etcd.example:65535/", true, "etcd-0.etcd.example", "65535", "", false},
    {"https://[2001:db8::1]:2379", true, "2001:db8::1", "2379", "", true},
    {"http://[::1]:2379", false, "::1", "2379", "", true},
    {"unix:///var/lib/rancher/k3s/server/kine.sock", false, "kine.sock", "", "/var/lib/rancher/k3s/server/kine.sock",
     false},
    {"unixs:///k/kine.sock", true, "kine.sock", "", "/k/kine.sock", false},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(GOOD); i++) {
        struct kt_etcd_endpoint e;
        struct kt_error err = KT_ERROR_INIT;
        if (!kt_etcd_endpoint_parse(GOOD[i].text, &e, &err))
            fail_msg("%s: %s", GOOD[i].text, err.message);
        assert_string_equal(e.url, GOOD[i].text);
        assert_int_equal(e.tls, GOOD[i].tls);
        assert_string_equal(e.host, GOOD[i].host);
        assert_string_equal(e.port, GOOD[i].port);
        assert_string_equal(e.path, GOOD[i].path);
        assert_int_equal(e.is_address, GOOD[i].is_address);
        assert_int_equal(e.is_socket, GOOD[i].path[0] != '\0');
    }
}

static const char *const BAD[] = {
    "",
    "127.0.0.1:2379",
    "ftp://a:1",
    "HTTPS://a:1",
    "https://",
    "https://a",
    "https://a:",
    "https://:2379",
    "https://a:0",
    "https://a:65536",
    "https://a:000001",
    "https://a:-1",
    "https://a:2379x",
    "https://a:2379/v3",
    "https://a:2379?x",
    "https://root:secret@a:2379",
    "https://a b:2379",
    "https://::1:2379",
    "https://[::1]",
    "https://[::1",
    "https://[::1]x:2",
    "https://[a]:2379",
    "https://[]:2379",
    "https://a\n:2379",
    "unix://kine.sock",
    "unix://",
    "unix:///",
    "unix:///d/",
    "unix:/a",
    ("unix:///0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
     "0123456"),
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(BAD); i++) {
        struct kt_etcd_endpoint e;
        struct kt_error err = KT_ERROR_INIT;
        if (kt_etcd_endpoint_parse(BAD[i], &e, &err))
            fail_msg("taken: %s", BAD[i]);
        assert_int_equal(err.code, KT_E_CONFIG);
        assert_non_null(strstr(err.hint, "unix:///PATH"));
        assert_null(strstr(err.message, "secret")); /* it may hold a password */
    }
}

static void test_too_long(void **state)
{
    (void)state;
    char text[KT_ETCD_URL_MAX + 64] = "https://";
    struct kt_etcd_endpoint e;
    struct kt_error err = KT_ERROR_INIT;
    memset(text + 8, 'a', sizeof(text) - 16);
    memcpy(text + sizeof(text) - 8, ":2379", 6);
    assert_false(kt_etcd_endpoint_parse(text, &e, &err));
    memcpy(text + 8 + KT_ETCD_HOST_MAX, ":2379", 6);
    assert_false(kt_etcd_endpoint_parse(text, &e, &err));
    memcpy(text + 8 + KT_ETCD_HOST_MAX - 1, ":2379", 6);
    assert_true(kt_etcd_endpoint_parse(text, &e, &err));
}

static void test_list(void **state)
{
    (void)state;
    KT_CLEANUP(kt_etcd_endpoints_done) struct kt_etcd_endpoints found = {.items = NULL};
    struct kt_error err = KT_ERROR_INIT;
    assert_true(kt_etcd_endpoints_parse("https://a:1, http://b:2 ,unix:///c", ',', &found, &err));
    assert_int_equal(found.n, 3);
    assert_string_equal(found.items[0].host, "a");
    assert_string_equal(found.items[1].url, "http://b:2");
    assert_string_equal(found.items[2].path, "/c");
    struct kt_etcd_endpoints none = {.items = NULL};
    static const char *const bad[] = {"", ",", "https://a:1,", "https://a:1,,https://b:1", "https://a:1;https://b:1"};
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        assert_false(kt_etcd_endpoints_parse(bad[i], ',', &none, &err));
        assert_null(none.items);
    }
}

static void test_list_max(void **state)
{
    (void)state;
    struct kt_etcd_endpoints found = {.items = NULL};
    struct kt_error err = KT_ERROR_INIT;
    char text[KT_ETCD_ENDPOINTS_MAX * 12 + 12] = "https://a:1";
    for (size_t i = 1; i < KT_ETCD_ENDPOINTS_MAX; i++)
        memcpy(text + strlen(text), ",https://a:1", 13);
    assert_true(kt_etcd_endpoints_parse(text, ',', &found, &err));
    assert_int_equal(found.n, KT_ETCD_ENDPOINTS_MAX);
    kt_etcd_endpoints_done(&found);
    memcpy(text + strlen(text), ",unix:///b", 11);
    assert_false(kt_etcd_endpoints_parse(text, ',', &found, &err));
    assert_non_null(strstr(err.message, "at most 32"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good), cmocka_unit_test(test_bad),      cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_list), cmocka_unit_test(test_list_max),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
