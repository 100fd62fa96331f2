/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "unit.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

static bool fail_here(struct kt_error *err)
{
    return kt_fail(err, KT_E_CONFIG, "expected %d, found %s", 1, "nothing");
}

static void fills_every_part(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    assert_false(fail_here(&err));
    assert_int_equal(err.code, KT_E_CONFIG);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.where, "fail_here");
    assert_string_equal(err.message, "expected 1, found nothing");
    assert_string_equal(err.hint, "");
}

static void appends_errno_and_keeps_it(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    errno = ENOSPC;
    assert_false(kt_fail_errno(&err, KT_E_IO, "cannot write %s", "x"));
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(err.sys_errno, ENOSPC);
    assert_string_equal(err.message, "cannot write x: No space left on device");
}

static void takes_null(void **state)
{
    (void)state;
    assert_false(fail_here(NULL));
    assert_false(kt_error_prefix(NULL, "p"));
    assert_false(kt_error_hint(NULL, "h"));
    assert_false(kt_fail_openssl(NULL, KT_E_CRYPTO, "x"));
    kt_error_clear(NULL);
}

static void prefixes_and_hints(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    (void)fail_here(&err);
    assert_false(kt_error_hint(&err, "type %s", "this"));
    assert_false(kt_error_prefix(&err, "/etc/%s", "keyturn.yaml"));
    assert_string_equal(err.message, "/etc/keyturn.yaml: expected 1, found nothing");
    assert_string_equal(err.hint, "type this");
    assert_int_equal(err.code, KT_E_CONFIG);
    /* A new error does not inherit the hint of the old. */
    (void)fail_here(&err);
    assert_string_equal(err.hint, "");
    kt_error_clear(&err);
    assert_int_equal(err.code, KT_OK);
    assert_string_equal(err.message, "");
    assert_null(err.where);
}

static void formats_its_own_message(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    (void)fail_here(&err);
    (void)kt_fail(&err, KT_E_IO, "outer (%s)", err.message);
    assert_string_equal(err.message, "outer (expected 1, found nothing)");
    (void)kt_error_hint(&err, "h");
    (void)kt_error_hint(&err, "<%s>", err.hint);
    assert_string_equal(err.hint, "<h>");
    (void)kt_error_prefix(&err, "%s", err.message);
    assert_string_equal(err.message, "outer (expected 1, found nothing): outer (expected 1, found nothing)");
}

static void cuts_long_messages(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    char text[2048];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    errno = EACCES;
    (void)kt_fail_errno(&err, KT_E_IO, "%s", text);
    const char *tail = ": Permission denied";
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    assert_string_equal(err.message + strlen(err.message) - strlen(tail), tail);
    (void)kt_error_hint(&err, "%s", text);
    assert_int_equal(strlen(err.hint), sizeof(err.hint) - 1);
    (void)kt_error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
}

static void never_cuts_a_character(void **state)
{
    (void)state;
    static const char *const CHARACTERS[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x94\x91"};
    for (size_t c = 0; c < KT_ARRAY_LEN(CHARACTERS); c++) {
        size_t n = strlen(CHARACTERS[c]);
        for (size_t lead = 500; lead < sizeof(((struct kt_error *)NULL)->message); lead++) {
            char text[1024];
            memset(text, 'a', lead);
            memcpy(text + lead, CHARACTERS[c], n + 1);
            struct kt_error err = KT_ERROR_INIT;
            (void)kt_fail(&err, KT_E_IO, "%s", text);
            bool whole = lead + n < sizeof(err.message);
            assert_int_equal(strlen(err.message), whole ? lead + n : lead);
        }
    }
}

static void codes_have_their_facts(void **state)
{
    (void)state;
    assert_string_equal(kt_code_name(KT_OK), "OK");
    assert_int_equal(kt_code_exit(KT_OK), 0);
    assert_int_equal(kt_code_grpc(KT_OK), 0);
    assert_string_equal(kt_code_name(KT_E_KEYRING_FORK), "KEYRING_FORK");
    assert_int_equal(kt_code_exit(KT_E_KEYRING_FORK), 3);
    assert_int_equal(kt_code_grpc(KT_E_KEYRING_FORK), 9);
    assert_int_equal(kt_code_grpc(KT_E_KMS_UNKNOWN_KEY), 5);
    for (unsigned i = 1; i < KT_CODE_COUNT; i++) {
        enum kt_code code = kt_code_from_number(i);
        assert_int_equal(code, i);
        assert_true(strlen(kt_code_name(code)) > 0 && strlen(kt_code_text(code)) > 0);
        assert_in_range(kt_code_exit(code), 1, 8);
        assert_in_range(kt_code_grpc(code), 1, 16);
    }
}

static void foreign_numbers_become_internal(void **state)
{
    (void)state;
    static const unsigned NUMBERS[] = {KT_CODE_COUNT, KT_CODE_COUNT + 1, 0x7fffffffu, 0x80000000u, 0xffffffffu};
    for (size_t i = 0; i < KT_ARRAY_LEN(NUMBERS); i++) {
        assert_int_equal(kt_code_from_number(NUMBERS[i]), KT_E_INTERNAL);
        enum kt_code code = (enum kt_code)NUMBERS[i];
        assert_string_equal(kt_code_name(code), "UNKNOWN");
        assert_int_equal(kt_code_exit(code), 1);
        assert_int_equal(kt_code_grpc(code), 13);
    }
}

static void openssl_reasons_are_taken_over(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    EVP_MD *md = EVP_MD_fetch(NULL, "NO-SUCH-DIGEST", NULL);
    assert_null(md);
    assert_false(kt_fail_openssl(&err, KT_E_CRYPTO, "digest"));
    assert_int_equal(err.code, KT_E_CRYPTO);
    assert_string_equal(err.where, "openssl_reasons_are_taken_over");
    assert_string_equal(err.message, "digest: unsupported");
    assert_null(strstr(err.message, "NO-SUCH"));
    assert_int_equal(ERR_peek_error(), 0);
    (void)kt_fail_openssl(&err, KT_E_CRYPTO, "again");
    assert_string_equal(err.message, "again: OpenSSL gives no reason");
}

static void openssl_queue_is_emptied_however_long(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    for (int i = 0; i < 40; i++)
        ERR_raise(ERR_LIB_EVP, i % 2 ? EVP_R_BAD_DECRYPT : EVP_R_BAD_KEY_LENGTH);
    ERR_raise(ERR_LIB_SYS, EACCES);
    assert_false(kt_fail_openssl(&err, KT_E_CRYPTO, "x"));
    assert_int_equal(ERR_peek_error(), 0);
    assert_true(strlen(err.message) < sizeof(err.message));
    ERR_raise(ERR_LIB_SYS, EACCES);
    assert_false(kt_fail_openssl(NULL, KT_E_CRYPTO, "x"));
    assert_int_equal(ERR_peek_error(), 0);
    ERR_raise(ERR_LIB_SYS, EACCES);
    (void)kt_fail_openssl(&err, KT_E_CRYPTO, "open");
    assert_string_equal(err.message, "open: Permission denied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_every_part),
        cmocka_unit_test(appends_errno_and_keeps_it),
        cmocka_unit_test(takes_null),
        cmocka_unit_test(prefixes_and_hints),
        cmocka_unit_test(formats_its_own_message),
        cmocka_unit_test(cuts_long_messages),
        cmocka_unit_test(never_cuts_a_character),
        cmocka_unit_test(codes_have_their_facts),
        cmocka_unit_test(foreign_numbers_become_internal),
        cmocka_unit_test(openssl_reasons_are_taken_over),
        cmocka_unit_test(openssl_queue_is_emptied_however_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
