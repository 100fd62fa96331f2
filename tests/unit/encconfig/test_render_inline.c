/* SPDX-License-Identifier: Apache-2.0 */
/* Inline keys in the form of RKE2's encryption-config.json. */
#include "encconfig/render.h"
#include "tests/unit/base/unit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As RKE2's documentation shows it; the secret there is xxxxxxxxxxxxxxxxxxx. */
static const char RKE2[] = "{\n"
                           "  \"kind\": \"EncryptionConfiguration\",\n"
                           "  \"apiVersion\": \"apiserver.config.k8s.io/v1\",\n"
                           "  \"resources\": [\n"
                           "    {\n"
                           "      \"resources\": [\n"
                           "        \"secrets\"\n"
                           "      ],\n"
                           "      \"providers\": [\n"
                           "        {\n"
                           "          \"aescbc\": {\n"
                           "            \"keys\": [\n"
                           "              {\n"
                           "                \"name\": \"aescbckey\",\n"
                           "                \"secret\": \"xxxxxxxxxxxxxxxxxxx\"\n"
                           "              }\n"
                           "            ]\n"
                           "          }\n"
                           "        },\n"
                           "        {\n"
                           "          \"identity\": {}\n"
                           "        }\n"
                           "      ]\n"
                           "    }\n"
                           "  ]\n"
                           "}\n";

static struct kt_encconfig_fresh_key key_of(enum kt_encconfig_fresh_kind kind, const char *name, size_t len,
                                            uint8_t fill)
{
    struct kt_secret *bytes = kt_secret_new(len, NULL);
    assert_non_null(bytes);
    memset(kt_secret_bytes(bytes), fill, len);
    return (struct kt_encconfig_fresh_key){.kind = kind, .name = name, .bytes = bytes};
}

static void free_keys(struct kt_encconfig_fresh_key *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        kt_secret_free((struct kt_secret *)(uintptr_t)keys[i].bytes);
}

static struct kt_encconfig_fresh fresh_of(const struct kt_encconfig_fresh_key *keys, size_t n)
{
    return (struct kt_encconfig_fresh){
        .provider = "keyturn", .kms_socket = "/run/kms.sock", .keys = keys, .n_keys = n, .enabled = true};
}

static char *render(const struct kt_encconfig_fresh *fresh)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_secret *rendered = kt_encconfig_render(fresh, &err);
    if (!rendered)
        fail_msg("%s", err.message);
    char *text = strndup((const char *)kt_secret_view(rendered), kt_secret_len(rendered));
    assert_non_null(text);
    kt_secret_free(rendered);
    return text;
}

static void one_key_is_rke2s_file(void **state)
{
    (void)state;
    static const char secret[] = "xxxxxxxxxxxxxxxxxxx";
    struct kt_encconfig_fresh_key key = key_of(KT_FRESH_AESCBC, "aescbckey", 32, 0xa5);
    struct kt_encconfig_fresh fresh = fresh_of(&key, 1);
    char want[2048];
    const char *at = strstr(RKE2, secret);
    snprintf(want, sizeof(want), "%.*s%s%s", (int)(at - RKE2), RKE2,
             "paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU=", at + strlen(secret));
    KT_CLEANUP(kt_free_p) char *text = render(&fresh);
    assert_string_equal(text, want);
    /* Masked, and without the key: the same but for it. */
    fresh.masked = true;
    struct kt_encconfig_fresh_key hidden = {.kind = KT_FRESH_AESCBC, .name = "aescbckey"};
    fresh.keys = &hidden;
    snprintf(want, sizeof(want), "%.*s%s%s", (int)(at - RKE2), RKE2, "REDACTED", at + strlen(secret));
    KT_CLEANUP(kt_free_p) char *masked = render(&fresh);
    assert_string_equal(masked, want);
    free_keys(&key, 1);
}

static json_t *providers_of(const char *text, json_t **ret_root)
{
    json_error_t why;
    *ret_root = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (!*ret_root)
        fail_msg("line %d: %s", why.line, why.text);
    return json_object_get(json_array_get(json_object_get(*ret_root, "resources"), 0), "providers");
}

/* "aescbc:a,c secretbox:b identity" */
static void summarise(json_t *providers, char *ret, size_t cap)
{
    size_t len = 0;
    for (size_t i = 0; i < json_array_size(providers); i++) {
        const char *kind = json_object_iter_key(json_object_iter(json_array_get(providers, i)));
        json_t *keys = json_object_get(json_object_get(json_array_get(providers, i), kind), "keys");
        assert_int_equal(json_object_size(json_array_get(providers, i)), 1);
        len += (size_t)snprintf(ret + len, cap - len, "%s%s", i ? " " : "", kind);
        for (size_t k = 0; k < json_array_size(keys); k++)
            len += (size_t)snprintf(ret + len, cap - len, "%c%s", k ? ',' : ':',
                                    json_string_value(json_object_get(json_array_get(keys, k), "name")));
    }
}

static void providers_stand_in_the_order_of_their_first_keys(void **state)
{
    static const struct {
        bool enabled;
        bool strict;
        const char *providers;
    } cases[] = {
        {true, false, "aescbc:a,c secretbox:b kms aesgcm:d identity"},
        {true, true, "aescbc:a,c secretbox:b kms aesgcm:d"},
        {false, false, "identity aescbc:a,c secretbox:b kms aesgcm:d"},
        {false, true, "identity aescbc:a,c secretbox:b kms aesgcm:d"},
    };
    struct kt_encconfig_fresh_key keys[] = {
        key_of(KT_FRESH_AESCBC, "a", 32, 1),
        key_of(KT_FRESH_SECRETBOX, "b", 32, 2),
        {.kind = KT_FRESH_KMS},
        key_of(KT_FRESH_AESCBC, "c", 16, 3),
        {.kind = KT_FRESH_KMS},
        key_of(KT_FRESH_AESGCM, "d", 24, 4),
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_encconfig_fresh fresh = fresh_of(keys, KT_ARRAY_LEN(keys));
        char found[256] = "";
        json_t *root = NULL;
        fresh.enabled = cases[i].enabled;
        fresh.strict = cases[i].strict;
        KT_CLEANUP(kt_free_p) char *text = render(&fresh);
        summarise(providers_of(text, &root), found, sizeof(found));
        assert_string_equal(found, cases[i].providers);
        json_decref(root);
    }
    free_keys(keys, KT_ARRAY_LEN(keys));
}

static void every_length_reads_back(void **state)
{
    static const size_t lens[] = {16, 24, 32};
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(lens); i++) {
        struct kt_encconfig_fresh_key key = key_of(KT_FRESH_AESGCM, "k", lens[i], (uint8_t)(0xf0 + i));
        struct kt_encconfig_fresh fresh = fresh_of(&key, 1);
        uint8_t bytes[64];
        size_t len = 0;
        json_t *root = NULL;
        KT_CLEANUP(kt_free_p) char *text = render(&fresh);
        json_t *provider = json_object_get(json_array_get(providers_of(text, &root), 0), "aesgcm");
        json_t *entry = json_array_get(json_object_get(provider, "keys"), 0);
        const char *secret = json_string_value(json_object_get(entry, "secret"));
        assert_true(kt_base64_decode(kt_slice_str(secret), bytes, sizeof(bytes), &len));
        assert_int_equal(len, lens[i]);
        assert_memory_equal(bytes, kt_secret_view(key.bytes), len);
        json_decref(root);
        free_keys(&key, 1);
    }
}

/* Whatever a name or a path has in it, JSON gives it back. */
static void values_read_back(void **state)
{
    static const char *const names[] = {"aescbckey-2022-04-21T23:01:02+07:00",
                                        "two words",
                                        "\"q\" \\ / {}",
                                        "schl\xc3\xbcssel",
                                        "\xe5\xaf\x86\xe9\x92\xa5",
                                        "\xc2\xa0",
                                        "null",
                                        "#"};
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++) {
        struct kt_encconfig_fresh_key keys[] = {key_of(KT_FRESH_SECRETBOX, names[i], 32, 7), {.kind = KT_FRESH_KMS}};
        struct kt_encconfig_fresh fresh = fresh_of(keys, 2);
        json_t *root = NULL;
        fresh.kms_socket = "/x/\n\x7f\"\\\xe2\x80\xa8";
        KT_CLEANUP(kt_free_p) char *text = render(&fresh);
        json_t *providers = providers_of(text, &root);
        json_t *kms = json_object_get(json_array_get(providers, 1), "kms");
        json_t *entry =
            json_array_get(json_object_get(json_object_get(json_array_get(providers, 0), "secretbox"), "keys"), 0);
        assert_string_equal(json_string_value(json_object_get(entry, "name")), names[i]);
        assert_string_equal(json_string_value(json_object_get(kms, "name")), "keyturn");
        assert_string_equal(json_string_value(json_object_get(kms, "endpoint")), "unix:///x/\n\x7f\"\\\xe2\x80\xa8");
        assert_string_equal(json_string_value(json_object_get(kms, "apiVersion")), "v2");
        assert_string_equal(json_string_value(json_object_get(kms, "timeout")), "3s");
        assert_int_equal(json_object_size(kms), 4);
        json_decref(root);
        free_keys(keys, 1);
    }
}

static void masked_shows_no_key(void **state)
{
    (void)state;
    struct kt_encconfig_fresh_key keys[] = {key_of(KT_FRESH_AESCBC, "a", 32, 1),
                                            key_of(KT_FRESH_SECRETBOX, "b", 32, 2)};
    struct kt_encconfig_fresh fresh = fresh_of(keys, 2);
    fresh.masked = true;
    KT_CLEANUP(kt_free_p) char *text = render(&fresh);
    assert_null(strstr(text, "AQEB"));
    assert_null(strstr(text, "AgIC"));
    assert_non_null(strstr(text, "\"secret\": \"REDACTED\""));
    free_keys(keys, 2);
}

/* As many keys as a keyring loads, each with a name as long as it may be. */
static void largest_list(void **state)
{
    enum { N = 128 };
    static struct kt_encconfig_fresh_key keys[N];
    char name[254];
    json_t *root = NULL;
    (void)state;
    memset(name, '"', sizeof(name) - 1); /* doubled */
    name[sizeof(name) - 1] = '\0';
    for (size_t i = 0; i < N; i++)
        keys[i] = key_of(KT_FRESH_AESCBC, name, 32, (uint8_t)i);
    struct kt_encconfig_fresh fresh = fresh_of(keys, N);
    KT_CLEANUP(kt_free_p) char *text = render(&fresh);
    json_t *provider = json_object_get(json_array_get(providers_of(text, &root), 0), "aescbc");
    assert_int_equal(json_array_size(json_object_get(provider, "keys")), N);
    json_decref(root);
    free_keys(keys, N);
}

static void missing_bytes_are_refused(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_encconfig_fresh_key none = {.kind = KT_FRESH_AESCBC, .name = "a"};
    const struct kt_encconfig_fresh_key odd = {.kind = (enum kt_encconfig_fresh_kind)9, .name = "a"};
    struct kt_encconfig_fresh_key large = key_of(KT_FRESH_AESCBC, "a", 33, 1);
    const struct kt_encconfig_fresh_key *const bad[] = {&none, &odd, &large};
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        const struct kt_encconfig_fresh fresh = fresh_of(bad[i], 1);
        assert_null(kt_encconfig_render(&fresh, &err));
        assert_int_equal(err.code, KT_E_INTERNAL);
    }
    free_keys(&large, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_key_is_rke2s_file),     cmocka_unit_test(providers_stand_in_the_order_of_their_first_keys),
        cmocka_unit_test(every_length_reads_back),   cmocka_unit_test(values_read_back),
        cmocka_unit_test(masked_shows_no_key),       cmocka_unit_test(largest_list),
        cmocka_unit_test(missing_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
