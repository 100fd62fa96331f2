/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/http.h"
#include "tests/unit/base/unit.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

static void tells_statuses(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        enum kt_http_outcome outcome;
        bool transient;
        enum kt_code code;
    } ROWS[] = {
        {200, KT_HTTP_OK, false, KT_E_INTERNAL},
        {201, KT_HTTP_OK, false, KT_E_INTERNAL},
        {301, KT_HTTP_REDIRECT, false, KT_E_UNREACHABLE},
        {400, KT_HTTP_BAD_REQUEST, false, KT_E_REFUSED},
        {401, KT_HTTP_UNAUTHORIZED, false, KT_E_DENIED},
        {403, KT_HTTP_FORBIDDEN, false, KT_E_DENIED},
        {404, KT_HTTP_NOT_FOUND, false, KT_E_REFUSED},
        {409, KT_HTTP_CONFLICT, false, KT_E_BUSY},
        {410, KT_HTTP_GONE, false, KT_E_INCOMPLETE},
        {415, KT_HTTP_BAD_REQUEST, false, KT_E_REFUSED},
        {422, KT_HTTP_INVALID, false, KT_E_REFUSED},
        {429, KT_HTTP_TOO_MANY, true, KT_E_UNREACHABLE},
        {500, KT_HTTP_SERVER, false, KT_E_UNREACHABLE},
        {503, KT_HTTP_UNAVAILABLE, true, KT_E_UNREACHABLE},
        {504, KT_HTTP_UNAVAILABLE, true, KT_E_UNREACHABLE},
        {0, KT_HTTP_PROTOCOL, false, KT_E_UNREACHABLE},
        {999, KT_HTTP_PROTOCOL, false, KT_E_UNREACHABLE},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(ROWS); i++) {
        enum kt_http_outcome outcome = kt_http_outcome_of_status(ROWS[i].status);
        struct kt_http_answer answer = {.outcome = outcome, .status = ROWS[i].status, .asked = "GET https://h:1"};
        struct kt_error err = KT_ERROR_INIT;
        assert_int_equal(outcome, ROWS[i].outcome);
        assert_int_equal(kt_http_outcome_is_transient(outcome), ROWS[i].transient);
        assert_false(kt_http_answer_fail(&answer, &err));
        assert_int_equal(err.code, ROWS[i].code);
    }
}

static void tells_a_wrong_name_from_a_stranger(void **state)
{
    (void)state;
    assert_int_equal(kt_http_outcome_of_curl(CURLE_PEER_FAILED_VERIFICATION, 0), KT_HTTP_TLS_NAME);
    assert_int_equal(kt_http_outcome_of_curl(CURLE_PEER_FAILED_VERIFICATION, 1), KT_HTTP_TLS_NAME);
    assert_int_equal(kt_http_outcome_of_curl(CURLE_PEER_FAILED_VERIFICATION, 19), KT_HTTP_TLS);
    assert_int_equal(kt_http_outcome_of_curl(CURLE_COULDNT_CONNECT, 0), KT_HTTP_REFUSED);
    assert_int_equal(kt_http_outcome_of_curl(CURLE_UNSUPPORTED_PROTOCOL, 0), KT_HTTP_PROTOCOL);
    assert_string_equal(kt_http_outcome_name(KT_HTTP_TLS_NAME), "TLS_NAME");
    assert_string_equal(kt_http_outcome_name(KT_HTTP_OUTCOME_COUNT), "UNKNOWN");
    assert_string_equal(kt_http_outcome_text(KT_HTTP_OUTCOME_COUNT), "");
    assert_false(kt_http_outcome_is_transient(KT_HTTP_OUTCOME_COUNT));
}

static const struct {
    const char *body;
    const char *words;
} WORDS[] = {
    {"{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"secrets \\\"a\\\" not found\"}",
     "secrets \"a\" not found"},
    {"{\"kind\":\"Secret\",\"message\":\"hunter2\"}", "{\"kind\":\"Secret\",\"message\":\"hunter2\"}"},
    {"{\"kind\":\"Status\"", "{\"kind\":\"Status\""},
    {"internal server error: kms-providers: kms-provider-0: broken\n",
     "internal server error: kms-providers: kms-provider-0: broken"},
    {"\n a\r\nb \n", "a b"},
    {"\x1b[31mred", "\\u001b[31mred"},
    {"", ""},
};

static void repeats_the_servers_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(WORDS); i++) {
        char words[256];
        KT_CLEANUP_ANSWER struct kt_http_answer answer = {.outcome = KT_HTTP_SERVER, .status = 500};
        assert_true(kt_bytes_copy(kt_slice_str(WORDS[i].body), &answer.body, NULL));
        kt_http_answer_words(&answer, words, sizeof(words));
        assert_string_equal(words, WORDS[i].words);
    }
    char words[8];
    KT_CLEANUP_ANSWER struct kt_http_answer success = {.outcome = KT_HTTP_PROTOCOL, .status = 200, .detail = "odd"};
    assert_true(kt_bytes_copy(kt_slice_str("hunter2"), &success.body, NULL));
    kt_http_answer_words(&success, words, sizeof(words));
    assert_string_equal(words, "odd");
    struct kt_http_answer cut = {.outcome = KT_HTTP_CUT, .detail = "Recv failure: Connection reset"};
    kt_http_answer_words(&cut, words, sizeof(words));
    assert_string_equal(words, "Recv fa");
}

static void says_what_to_do(void **state)
{
    (void)state;
    KT_CLEANUP_ANSWER struct kt_http_answer answer = {
        .outcome = KT_HTTP_FORBIDDEN, .status = 403, .asked = "GET https://10.0.0.1:6443"};
    struct kt_error err = KT_ERROR_INIT;
    assert_true(kt_bytes_copy(kt_slice_str("forbidden: no"), &answer.body, NULL));
    assert_false(kt_http_answer_fail(&answer, &err));
    assert_string_equal(err.message,
                        "GET https://10.0.0.1:6443: this user may not do that (status 403): forbidden: no");
    assert_non_null(strstr(err.hint, "kubeconfig"));
    struct kt_http_answer none = {.outcome = KT_HTTP_REFUSED, .asked = "GET https://h:1", .detail = "refused"};
    assert_false(kt_http_answer_fail(&none, &err));
    assert_string_equal(err.message, "GET https://h:1: no connection: refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_statuses),
        cmocka_unit_test(tells_a_wrong_name_from_a_stranger),
        cmocka_unit_test(repeats_the_servers_words),
        cmocka_unit_test(says_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
