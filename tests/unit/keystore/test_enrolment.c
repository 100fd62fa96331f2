/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and bundles: both ways, each line spoilt, each byte flipped, signed by others. */
#include "keystore/enrolment.h"
#include "keystore/fingerprint.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#define SRK     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
#define KEYRING "a keyring\n---\nsignature: of its own\n"

static struct kt_node_request sample_request(void)
{
    struct kt_node_request request = {
        .node = "node-2", .kind = KT_RECIPIENT_TPM2, .tpm = {.len = 34}, .srk = {.len = 34}};
    struct kt_p256 *own = kt_p256_generate(NULL);
    assert_non_null(own);
    kt_p256_public(own, request.public_key);
    kt_p256_free(own);
    memset(request.tpm.bytes, 0xab, 34);
    memset(request.srk.bytes, 0xcd, 34);
    memset(request.nonce, 0x11, KT_NONCE_LEN);
    return request;
}

static void test_request_round_trip(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    KT_CLEANUP_BYTES struct kt_bytes again = {0};
    const struct kt_node_request in = sample_request();
    struct kt_node_request out = {.node = ""};
    (void)state;
    assert_ok(kt_node_request_format(&in, &text, &err));
    assert_ok(kt_node_request_parse(kt_bytes_view(&text), &out, &err));
    assert_string_equal(out.node, "node-2");
    assert_int_equal(out.kind, KT_RECIPIENT_TPM2);
    assert_memory_equal(out.public_key, in.public_key, KT_P256_PUBLIC);
    assert_int_equal(out.tpm.len, 34);
    assert_memory_equal(out.tpm.bytes, in.tpm.bytes, 34);
    assert_int_equal(out.srk.len, 34);
    assert_memory_equal(out.srk.bytes, in.srk.bytes, 34);
    assert_memory_equal(out.nonce, in.nonce, KT_NONCE_LEN);
    assert_ok(kt_node_request_format(&out, &again, &err));
    assert_true(kt_slice_equal(kt_bytes_view(&text), kt_bytes_view(&again)));
}

/* The text with the first `from` as `to`. */
static char *changed(const struct kt_bytes *text, const char *from, const char *to)
{
    char *ret = NULL;
    const char *at = strstr((const char *)text->data, from);
    assert_non_null(at);
    assert_true(asprintf(&ret, "%.*s%s%s", (int)(at - (const char *)text->data), (const char *)text->data, to,
                         at + strlen(from)) > 0);
    return ret;
}

static void test_request_refuses(void **state)
{
    static const struct {
        const char *from, *to, *says;
    } cases[] = {
        {"apiVersion: keyturn.dev/v1", "apiVersion: keyturn.dev/v2", "line 1"},
        {"kind: NodeRequest", "kind: NodeBundle", "line 2"},
        {"format: 1", "format: 2", "line 3"},
        {"node: node-2", "node: recovery", "line 4"},
        {"node: node-2", "node: Node 2", "line 4"},
        {"node: node-2", "node: ", "line 4"},
        {"recipient: tpm2", "recipient: recovery", "line 5"},
        {"recipient: tpm2", "recipient: paper", "line 5"},
        {"publicKey: B", "publicKey: A", "line 6"},
        {"publicKey: ", "publicKey: AAAA", "line 6"},
        {"tpmName: ab", "tpmName: AB", "line 7"},
        {"tpmName: ab", "tpmName: a", "line 7"},
        {"srkName: cd", "srkName: d", "line 8"},
        {"srkName: cd", "srkname: cd", "line 8"},
        {"srkName: " SRK, "srkName: none", "line 8"},
        {"recipient: tpm2", "recipient: file", "line 8"},
        {"nonce: 11", "nonce: ", "line 9"},
        {"nonce: 11", "nonce: xx", "line 9"},
        {"format: 1\n", "format: 1\r\n", "line 3"},
        {"1111\n", "1111\nmore\n", "line 10"},
        {"1111\n", "1111", "line 9"},
    };
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    const struct kt_node_request in = sample_request();
    struct kt_node_request out = {.node = ""};
    (void)state;
    assert_ok(kt_node_request_format(&in, &text, &err));
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        KT_CLEANUP(kt_free_p) char *bad = changed(&text, cases[i].from, cases[i].to);
        assert_refused(kt_node_request_parse(kt_slice_str(bad), &out, &err), KT_E_REQUEST_FORMAT);
        if (!strstr(err.message, cases[i].says))
            fail_msg("%s -> %s: %s", cases[i].from, cases[i].to, err.message);
    }
    assert_refused(kt_node_request_parse(KT_SLICE(NULL, 0), &out, &err), KT_E_REQUEST_FORMAT);
    KT_CLEANUP(kt_free_p) uint8_t *large = calloc(1, KT_REQUEST_MAX + 1);
    assert_refused(kt_node_request_parse(KT_SLICE(large, KT_REQUEST_MAX + 1), &out, &err), KT_E_REQUEST_FORMAT);
    assert_string_equal(out.node, "");
}

static void test_request_fingerprint(void **state)
{
    uint8_t first[KT_HASH_LEN] = {0}, second[KT_HASH_LEN] = {0};
    (void)state;
    assert_true(kt_node_request_fingerprint(KT_SLICE("a", 1), first, NULL));
    assert_true(kt_node_request_fingerprint(KT_SLICE("b", 1), second, NULL));
    assert_memory_not_equal(first, second, KT_HASH_LEN);
}

static void make_bundle(const struct kt_p256 *owner, struct kt_bytes *ret)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bundle bundle = {.node = "node-2", .provider = "keyturn"};
    memset(bundle.request, 1, KT_HASH_LEN);
    memset(bundle.nonce, 2, KT_NONCE_LEN);
    memset(bundle.founder, 3, KT_HASH_LEN);
    assert_ok(kt_bundle_sign(&bundle, kt_slice_str(KEYRING), owner, ret, &err));
}

/* As a file. */
static struct kt_bytes joined(const struct kt_bytes *header)
{
    struct kt_text all = {0};
    struct kt_bytes ret = {0};
    kt_text_init(&all, KT_BUNDLE_MAX);
    kt_text_add_bytes(&all, header->data, header->len);
    kt_text_add(&all, KEYRING);
    assert_true(kt_text_take(&all, &ret, NULL));
    return ret;
}

static void test_bundle_round_trip(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *owner = kt_p256_generate(&err);
    KT_CLEANUP_BYTES struct kt_bytes header = {0};
    uint8_t public_key[KT_P256_PUBLIC] = {0};
    struct kt_slice lines = {0}, keyring = {0};
    struct kt_bundle out = {.node = ""};
    (void)state;
    kt_p256_public(owner, public_key);
    make_bundle(owner, &header);
    KT_CLEANUP_BYTES struct kt_bytes file = joined(&header);
    assert_ok(kt_bundle_split(kt_bytes_view(&file), &lines, &keyring, &err));
    assert_true(kt_slice_equal(lines, kt_bytes_view(&header)));
    assert_true(kt_slice_equal(keyring, kt_slice_str(KEYRING)));
    assert_ok(kt_bundle_parse(lines, &out, &err));
    assert_string_equal(out.node, "node-2");
    assert_string_equal(out.provider, "keyturn");
    assert_int_equal(out.founder[0], 3);
    assert_int_equal(out.keyring_len, strlen(KEYRING));
    assert_ok(kt_bundle_verify(lines, keyring, public_key, &err));
}

/* Every bit of the file: nothing in it can be changed without the owner. */
static void test_bundle_flipped_and_cut(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *owner = kt_p256_generate(&err);
    KT_CLEANUP_BYTES struct kt_bytes header = {0};
    uint8_t public_key[KT_P256_PUBLIC] = {0};
    (void)state;
    kt_p256_public(owner, public_key);
    make_bundle(owner, &header);
    KT_CLEANUP_BYTES struct kt_bytes file = joined(&header);
    for (size_t bit = 0; bit < file.len * 8; bit++) {
        struct kt_slice lines = {0}, keyring = {0};
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        kt_error_clear(&err);
        assert_false(kt_bundle_split(kt_bytes_view(&file), &lines, &keyring, &err) &&
                     kt_bundle_verify(lines, keyring, public_key, &err));
        assert_true(err.code == KT_E_BUNDLE_OWNER || err.code == KT_E_BUNDLE_FORMAT);
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < file.len; len++) {
        struct kt_slice lines = {0}, keyring = {0};
        assert_false(kt_bundle_split(KT_SLICE(file.data, len), &lines, &keyring, &err) &&
                     kt_bundle_verify(lines, keyring, public_key, &err));
    }
}

static void test_bundle_of_others(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *owner = kt_p256_generate(&err);
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *other = kt_p256_generate(&err);
    KT_CLEANUP_BYTES struct kt_bytes header = {0};
    uint8_t public_key[KT_P256_PUBLIC] = {0};
    (void)state;
    kt_p256_public(owner, public_key);
    make_bundle(other, &header);
    assert_refused(kt_bundle_verify(kt_bytes_view(&header), kt_slice_str(KEYRING), public_key, &err),
                   KT_E_BUNDLE_OWNER);
    kt_p256_public(other, public_key);
    assert_ok(kt_bundle_verify(kt_bytes_view(&header), kt_slice_str(KEYRING), public_key, &err));
    assert_refused(kt_bundle_verify(kt_bytes_view(&header), kt_slice_str(KEYRING "x"), public_key, &err),
                   KT_E_BUNDLE_FORMAT);
    memset(public_key, 0, sizeof public_key);
    assert_refused(kt_bundle_verify(kt_bytes_view(&header), kt_slice_str(KEYRING), public_key, &err), KT_E_CRYPTO);
}

static void test_bundle_refuses(void **state)
{
    static const struct {
        const char *from, *to, *says;
    } cases[] = {
        {"kind: NodeBundle", "kind: NodeRequest", "line 2"},
        {"format: 1", "format: 9", "line 3"},
        {"node: node-2", "node: x y", "line 4"},
        {"request: sha256:", "request: md5:", "line 5"},
        {"nonce: 02", "nonce: 2", "line 6"},
        {"founder: sha256:03", "founder: sha256:3", "line 7"},
        {"provider: keyturn", "provider: a b", "line 8"},
        {"provider: keyturn", "provider: a:b", "line 8"},
        {"keyring: 3", "keyring: 03", "line 9"},
        {"keyring: 3", "keyring: -3", "line 9"},
        {"keyring: 3", "keyring: 9999999", "line 9"},
        {"signature: ", "signature: AAAA", "line 10"},
    };
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *owner = kt_p256_generate(&err);
    KT_CLEANUP_BYTES struct kt_bytes header = {0};
    struct kt_bundle out = {.node = ""};
    (void)state;
    make_bundle(owner, &header);
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        KT_CLEANUP(kt_free_p) char *bad = changed(&header, cases[i].from, cases[i].to);
        assert_refused(kt_bundle_parse(kt_slice_str(bad), &out, &err), KT_E_BUNDLE_FORMAT);
        if (!strstr(err.message, cases[i].says))
            fail_msg("%s -> %s: %s", cases[i].from, cases[i].to, err.message);
    }
}

static void test_fingerprint_words(void **state)
{
    uint8_t bytes[KT_HASH_LEN] = {0};
    char seen[256][8];
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        char words[KT_FINGERPRINT_WORDS_LEN] = "";
        memset(bytes, (int)i, sizeof bytes);
        kt_fingerprint_words(bytes, words);
        assert_true(sscanf(words, "%7[a-z]", seen[i]) == 1);
        assert_in_range(strlen(seen[i]), 4, 7);
        assert_int_equal(strlen(words), KT_FINGERPRINT_WORDS * (strlen(seen[i]) + 1) - 1);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(seen[i], seen[j]);
    }
}

static void test_fingerprint_parse(void **state)
{
    static const char *const bad[] = {"",
                                      "sha256:",
                                      "00",
                                      "sha1:0000000000000000000000000000000000000000",
                                      "zz00000000000000000000000000000000000000000000000000000000000000",
                                      "sha256:sha256:0000000000000000000000000000000000000000000000000000000000"};
    uint8_t bytes[KT_HASH_LEN] = {0};
    (void)state;
    assert_true(kt_fingerprint_parse("00000000000000000000000000000000000000000000000000000000000000aB", bytes));
    assert_int_equal(bytes[31], 0xab);
    assert_true(kt_fingerprint_parse("sha256:FF00000000000000000000000000000000000000000000000000000000000000", bytes));
    assert_int_equal(bytes[0], 0xff);
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        assert_false(kt_fingerprint_parse(bad[i], bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_round_trip),     cmocka_unit_test(test_request_refuses),
        cmocka_unit_test(test_request_fingerprint),    cmocka_unit_test(test_bundle_round_trip),
        cmocka_unit_test(test_bundle_flipped_and_cut), cmocka_unit_test(test_bundle_of_others),
        cmocka_unit_test(test_bundle_refuses),         cmocka_unit_test(test_fingerprint_words),
        cmocka_unit_test(test_fingerprint_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
