/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/http_url.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static const struct {
    const char *text;
    const char *host;
    const char *origin;
    const char *path;
    unsigned port;
    bool is_address;
} GOOD[] = {
    {"https://10.0.0.1:6443", "10.0.0.1", "https://10.0.0.1:6443", "", 6443, true},
    {"10.0.0.1:6443", "10.0.0.1", "https://10.0.0.1:6443", "", 6443, true},
    {"https://api.example.com", "api.example.com", "https://api.example.com:443", "", 443, false},
    {"https://[fd00::1]:6443/", "fd00::1", "https://[fd00::1]:6443", "", 6443, true},
    {"https://rancher.example.com/k8s/clusters/c-1/", "rancher.example.com", "https://rancher.example.com:443",
     "/k8s/clusters/c-1", 443, false},
};

static void takes_api_servers(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(GOOD); i++) {
        struct kt_http_url url;
        struct kt_error err = KT_ERROR_INIT;
        if (!kt_http_url_parse(GOOD[i].text, "t", &url, &err))
            fail_msg("%s: %s", GOOD[i].text, err.message);
        assert_string_equal(url.host, GOOD[i].host);
        assert_string_equal(url.origin, GOOD[i].origin);
        assert_string_equal(url.path, GOOD[i].path);
        assert_int_equal(url.port, GOOD[i].port);
        assert_int_equal(url.is_address, GOOD[i].is_address);
    }
}

static void refuses_others(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",
        "http://10.0.0.1:6443",
        "file:///etc/passwd",
        "https://",
        "https://user:word@10.0.0.1:6443",
        "https://10.0.0.1:6443/?a=b",
        "https://10.0.0.1:6443/#x",
        "https://10.0.0.1:99999",
        "https://[fd00::1",
        "https://a b/",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(BAD); i++) {
        struct kt_http_url url = {.port = 7};
        struct kt_error err = KT_ERROR_INIT;
        if (kt_http_url_parse(BAD[i], "t", &url, &err))
            fail_msg("%s was taken", BAD[i]);
        assert_int_equal(err.code, KT_E_CONFIG);
        assert_null(strstr(err.message, "word"));
        assert_int_equal(url.port, 7);
    }
    char longest[KT_HTTP_URL_MAX + 1];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_false(kt_http_url_parse(longest, "t", &(struct kt_http_url){.port = 0}, NULL));
}

static void takes_addresses(void **state)
{
    (void)state;
    struct kt_http_url url;
    struct kt_error err = KT_ERROR_INIT;
    assert_true(kt_http_url_address("fd00::1", 6443, &url, NULL));
    assert_string_equal(url.origin, "https://[fd00::1]:6443");
    assert_true(kt_http_url_address("10.0.0.1", 6443, &url, NULL));
    assert_string_equal(url.origin, "https://10.0.0.1:6443");
    assert_string_equal(url.path, "");
    assert_false(kt_http_url_address("example.com", 6443, &url, &err));
    assert_int_equal(err.code, KT_E_CONFIG);
    assert_false(kt_http_url_address("10.0.0.1", 0, &url, NULL));
    assert_false(kt_http_url_address("10.0.0.1", 65536, &url, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_api_servers),
        cmocka_unit_test(refuses_others),
        cmocka_unit_test(takes_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
