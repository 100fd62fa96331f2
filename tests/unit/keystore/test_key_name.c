/* SPDX-License-Identifier: Apache-2.0 */
/* What a key may be called, and what keyturn calls one. */
#include "keystore/key_name.h"
#include "support.h"

static void names_that_kube_apiserver_takes(void **state)
{
    char longest[KT_KEY_NAME_MAX + 1];
    memset(longest, 'n', KT_KEY_NAME_MAX);
    longest[KT_KEY_NAME_MAX] = '\0';
    const char *const good[] = {
        "a",
        "aescbckey",
        "aescbckey-2022-04-21T23:01:02-07:00",
        "aescbckey-2022-04-21T23:01:02+05:30",
        "key 1",
        "k8s:enc:aescbc:v1:",
        "\"quoted\\\"",
        "${HOME} `id` <b>&amp; %s {{ }} #",
        "null",
        "~",
        "schl\xc3\xbcssel",
        "\xe5\xaf\x86\xe9\x92\xa5",
        "a\xc2\xa0z",
        longest,
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(good); i++)
        if (!kt_key_name_valid(good[i]))
            fail_msg("refused: \"%s\"", good[i]);
}

static void names_that_cannot_be_shown(void **state)
{
    char too_long[KT_KEY_NAME_MAX + 2];
    memset(too_long, 'n', KT_KEY_NAME_MAX + 1);
    too_long[KT_KEY_NAME_MAX + 1] = '\0';
    const char *const bad[] = {
        "",
        " ",
        " a",
        "a ",
        "a\tb",
        "a\nb",
        "a\rb",
        "\x1b[2J",
        "a\x7f",
        "\xc2\x9b",       /* C1: the 8-bit CSI */
        "a\xc2\x85z",     /* NEL */
        "a\xc2\xadz",     /* soft hyphen */
        "a\xd8\x9cz",     /* Arabic letter mark */
        "a\xe2\x80\x8bz", /* zero width space */
        "a\xe2\x80\xa8z", /* line separator */
        "a\xe2\x80\xaez", /* right-to-left override */
        "a\xe2\x81\xa6z", /* left-to-right isolate */
        "\xef\xbb\xbf"    /* byte order mark */
        "a",
        "a\xef\xb8\x8fz",   /* variation selector */
        "a\xef\xbf\xbd",    /* replacement character */
        "a\xef\xbf\xbf",    /* no character */
        "\xf0\x9f\x94\x91", /* beyond the basic plane */
        "\xf3\xa0\x81\xa1", /* tag */
        "\xff",
        "a\xc3",
        "\xc0\x80",
        "\xed\xa0\x80", /* surrogate */
        too_long,
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        if (kt_key_name_valid(bad[i]))
            fail_msg("taken: number %zu", i);
}

static void names_that_would_be_mixed_up(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool clash;
    } table[] = {
        {"a", "a", true},
        {"a", "a:b", true},
        {"a:b", "a:b:c", true},
        {"a", "ab", false},
        {"a:b", "a:c", false},
        {"a-1", "a", false},
        {"a", ":a", false},
        {"aescbckey", "aescbckey-2022-04-21T23:01", false},
        {"k-2022-04-21T23", "k-2022-04-21T23:01:02Z", true},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        assert_int_equal(kt_key_names_clash(table[i].a, table[i].b), table[i].clash);
        assert_int_equal(kt_key_names_clash(table[i].b, table[i].a), table[i].clash);
    }
}

static void first_names_are_those_of_k3s(void **state)
{
    (void)state;
    assert_string_equal(kt_key_name_first(KT_KEY_KMS), "kmskey");
    assert_string_equal(kt_key_name_first(KT_KEY_AESCBC), "aescbckey");
    assert_string_equal(kt_key_name_first(KT_KEY_SECRETBOX), "secretboxkey");
    assert_string_equal(kt_key_name_first(KT_KEY_AESGCM), "aesgcmkey");
    assert_string_equal(kt_key_name_first((enum kt_key_type)0), "key");
    assert_string_equal(kt_key_name_first((enum kt_key_type)99), "key");
}

static void list(struct kt_keyring_info *info, const char *name)
{
    snprintf(info->keys[info->n_keys++].name, KT_KEY_NAME_MAX + 1, "%s", name);
}

/* The same second again and again, here and in the archive: a name of its own each time, and the same one each time it
 * is asked for. */
static void next_names_are_unique(void **state)
{
    static const uint64_t now = 1795424400;
    static const char *const expected[] = {
        "aescbckey-2026-11-23T09:00:00Z",
        "aescbckey-2026-11-23T09:00:00Z-2",
        "aescbckey-2026-11-23T09:00:00Z-4",
    };
    struct kt_keyring_info *info = calloc(1, sizeof *info);
    char name[KT_KEY_NAME_MAX + 1];
    (void)state;
    assert_non_null(info);
    list(info, "aescbckey");
    snprintf(info->archive[info->n_archive++].name, KT_KEY_NAME_MAX + 1, "aescbckey-2026-11-23T09:00:00Z-3");
    for (size_t i = 0; i < KT_ARRAY_LEN(expected); i++) {
        for (size_t again = 0; again < 2; again++) {
            kt_key_name_next(info, KT_KEY_AESCBC, now, name);
            assert_string_equal(name, expected[i]);
        }
        assert_true(kt_key_name_valid(name));
        list(info, name);
    }
    kt_key_name_next(info, KT_KEY_SECRETBOX, now, name);
    assert_string_equal(name, "secretboxkey-2026-11-23T09:00:00Z");
    free(info);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_kube_apiserver_takes), cmocka_unit_test(names_that_cannot_be_shown),
        cmocka_unit_test(names_that_would_be_mixed_up),    cmocka_unit_test(first_names_are_those_of_k3s),
        cmocka_unit_test(next_names_are_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
