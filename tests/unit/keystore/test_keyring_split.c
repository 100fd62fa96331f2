/* SPDX-License-Identifier: Apache-2.0 */
/* The outer form: three parts, and the fixed lines of the third. */
#include "keyring_fixture.h"

static int setup(void **state)
{
    static struct fixture f;
    fixture_init(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static void test_parts(void **state)
{
    (void)state;
    struct kt_keyring_parts parts = {0};
    const struct kt_slice document = kt_slice_str("a: 1\n---\nb: ---\n ---\n---\nc\n");
    assert_true(kt_keyring_split(document, &parts, NULL));
    assert_true(kt_slice_equal(parts.membership, kt_slice_str("a: 1\n")));
    assert_true(kt_slice_equal(parts.list, kt_slice_str("b: ---\n ---\n")));
    assert_true(kt_slice_equal(parts.signatures, kt_slice_str("c\n")));
}

static void test_refused_forms(void **state)
{
    (void)state;
    static const struct {
        const char *document;
        const char *says;
    } cases[] = {
        {"", "empty"},
        {"a", "two separator lines"},
        {"a\n", "found 0"},
        {"a\n---\nb\n", "found 1"},
        {"a\n---\nb\n---", "found 1"},
        {"a\n---\nb\n---\n---\n", "found 3"},
        {"a\n---\nb\n---\nc\n---\n", "found 3"},
        {"a\n---\nb\n---\nc", "middle of a line"},
        {"a\n--- \nb\n---\nc\n", "found 1"},
        {"a\r\n---\r\nb\r\n---\r\nc\r\n", "found 0"},
        {"---\nb\n---\nc\n", "part 1 of the keyring is empty"},
        {"a\n---\n---\nc\n", "part 2 of the keyring is empty"},
        {"a\n---\nb\n---\n", "part 3 of the keyring is empty"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_keyring_parts parts = {0};
        struct kt_error err = KT_ERROR_INIT;
        assert_false(kt_keyring_split(kt_slice_str(cases[i].document), &parts, &err));
        assert_int_equal(err.code, KT_E_KEYRING_FORMAT);
        assert_non_null(strstr(err.message, cases[i].says));
        assert_true(err.hint[0]);
    }
}

static void test_size_limit(void **state)
{
    (void)state;
    struct kt_keyring_parts parts = {0};
    struct kt_error err = KT_ERROR_INIT;
    static const char start[] = "a\n---\nb\n---\n";
    char *big = malloc(KT_KEYRING_MAX + 1);
    assert_non_null(big);
    memset(big, 'x', KT_KEYRING_MAX + 1);
    memcpy(big, start, sizeof start - 1);
    big[KT_KEYRING_MAX - 1] = '\n';
    assert_true(kt_keyring_split(KT_SLICE(big, KT_KEYRING_MAX), &parts, &err));
    big[KT_KEYRING_MAX] = '\n';
    assert_false(kt_keyring_split(KT_SLICE(big, KT_KEYRING_MAX + 1), &parts, &err));
    assert_int_equal(err.code, KT_E_KEYRING_FORMAT);
    assert_non_null(strstr(err.message, "too large"));
    free(big);
}

static void test_signatures_read_back(void **state)
{
    const struct fixture *f = *state;
    struct kt_signatures found = {0};
    assert_true(kt_signatures_scan(f->keyring->parts.signatures, &found, NULL));
    assert_int_equal(found.n_owners, 1);
    assert_memory_equal(&found, &f->keyring->signatures, sizeof found);
}

static void test_refused_lines(void **state)
{
    static const struct {
        const char *from;
        const char *to;
        enum kt_code code;
        const char *says;
    } cases[] = {
        {"keyturn.dev/v1\n", "keyturn.dev/v2\n", KT_E_KEYRING_VERSION, "another version"},
        {"apiVersion: keyturn.dev/v1\n", "apiVersion: other\n", KT_E_KEYRING_FORMAT, "line 1: expected apiVersion"},
        {"apiVersion: keyturn.dev/v1\n", "", KT_E_KEYRING_FORMAT, "line 1"},
        {"KeyringSignatures", "Secret", KT_E_KEYRING_FORMAT, "line 2: expected kind: KeyringSignatures"},
        {"owners:\n", "owner:\n", KT_E_KEYRING_FORMAT, "line 3: expected owners:"},
        {"owners:\n", "owners: \n", KT_E_KEYRING_FORMAT, "line 3"},
        {"- ", "-", KT_E_KEYRING_FORMAT, "line 4: expected the founding owner"},
        {"- B", "-  B", KT_E_KEYRING_FORMAT, "line 4: expected an owner's public key"},
        {"- B", "- *", KT_E_KEYRING_FORMAT, "line 4: expected an owner's public key"},
        {"membership:", "- BBBB\nmembership:", KT_E_KEYRING_FORMAT, "line 5: expected an owner's public key"},
        {"membership: ", "membership:  ", KT_E_KEYRING_FORMAT, "line 5: expected \"membership: \""},
        {"membership: ", "x: ", KT_E_KEYRING_FORMAT, "line 5: expected \"membership: \""},
        {"==\nkeyList", "=\nkeyList", KT_E_KEYRING_FORMAT, "line 5"},
        {"==\nkeyList", "==\r\nkeyList", KT_E_KEYRING_FORMAT, "line 5"},
        {"keyList: ", "keyList:", KT_E_KEYRING_FORMAT, "line 6: expected \"keyList: \""},
        {"keyList: ", "", KT_E_KEYRING_FORMAT, "line 6"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct forgery forgery = {0};
        struct kt_signatures found = {0};
        struct kt_error err = KT_ERROR_INIT;
        forgery_init(&forgery, *state);
        forgery_replace(&forgery.signatures, cases[i].from, cases[i].to);
        assert_false(kt_signatures_scan(kt_slice_str(forgery.signatures), &found, &err));
        if (err.code != cases[i].code || !strstr(err.message, cases[i].says))
            fail_msg("case %zu: %s: %s", i, kt_code_name(err.code), err.message);
        assert_true(err.hint[0]);
        assert_int_equal(found.n_owners, 0);
        forgery_done(&forgery);
    }
}

static void check_owner_lines(const struct fixture *f, size_t n, bool fits)
{
    struct kt_signatures many = f->keyring->signatures;
    struct kt_text text = {0};
    struct kt_signatures found = {0};
    struct kt_error err = KT_ERROR_INIT;
    char line[256] = "";
    char *at = line;
    kt_text_init(&text, KT_KEYRING_MAX);
    kt_text_add(&text, "apiVersion: keyturn.dev/v1\nkind: KeyringSignatures\nowners:\n");
    kt_base64_encode(KT_SLICE(many.owners[0], KT_P256_PUBLIC), at);
    at += strlen(at);
    *at++ = ' ';
    kt_base64_encode(KT_SLICE(many.list, KT_SIGNATURE_LEN), at);
    for (size_t i = 0; i < n; i++)
        kt_text_add(&text, "- %.*s\n", i == 0 ? (int)kt_base64_len(KT_P256_PUBLIC) : (int)strlen(line), line);
    kt_text_add(&text, "membership: %s\nkeyList: %s\n", at, at);
    assert_int_equal(kt_signatures_scan(KT_SLICE(text.data, text.len), &found, &err), fits);
    if (fits)
        assert_int_equal(found.n_owners, n);
    else
        assert_non_null(strstr(err.message, n == 0 ? "the founding owner" : "at most 64 owners"));
    kt_text_done(&text);
}

static void test_number_of_owners(void **state)
{
    check_owner_lines(*state, 0, false);
    check_owner_lines(*state, 1, true);
    check_owner_lines(*state, 2, true);
    check_owner_lines(*state, KT_OWNERS_MAX, true);
    check_owner_lines(*state, KT_OWNERS_MAX + 1, false);
}

static void test_founder_with_a_link(void **state)
{
    struct forgery forgery = {0};
    struct kt_signatures found = {0};
    struct kt_error err = KT_ERROR_INIT;
    forgery_init(&forgery, *state);
    forgery_replace(&forgery.signatures, "\nmembership", " AAAA\nmembership");
    assert_false(kt_signatures_scan(kt_slice_str(forgery.signatures), &found, &err));
    assert_non_null(strstr(err.message, "the founding owner's public key and nothing else"));
    forgery_done(&forgery);
}

static void test_something_after_the_end(void **state)
{
    static const char *const tails[] = {"\n", "keyList: x\n", "# note\n"};
    for (size_t i = 0; i < KT_ARRAY_LEN(tails); i++) {
        struct forgery forgery = {0};
        struct kt_signatures found = {0};
        struct kt_error err = KT_ERROR_INIT;
        char longer[4096] = "";
        forgery_init(&forgery, *state);
        snprintf(longer, sizeof longer, "%s%s", forgery.signatures, tails[i]);
        assert_false(kt_signatures_scan(kt_slice_str(longer), &found, &err));
        assert_non_null(strstr(err.message, "line 7: expected the end of the keyring"));
        forgery_done(&forgery);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_refused_forms),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_signatures_read_back),
        cmocka_unit_test(test_refused_lines),
        cmocka_unit_test(test_number_of_owners),
        cmocka_unit_test(test_founder_with_a_link),
        cmocka_unit_test(test_something_after_the_end),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
