/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/tpm_blob.h"
#include "tests/unit/keystore/support.h"

#include <stdlib.h>

static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
                          "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEA013nm+yj/qp+A+AhwlF9TVucM8\n"
                          "TFz3Pf2zh8pQn8kl3TR8Fahc8bPdI0GisqR1KTh8FZAiECZNC0i61atHjw==\n"
                          "-----END PUBLIC KEY-----\n";

static void test_parse_and_format(void **state)
{
    static const char *const good[] = {"none", "pcr:sha256:7", "pcr:sha256:0,7,14,23", "pcr:sha384:16"};
    struct kt_error err = KT_ERROR_INIT;
    (void)state;

    for (size_t i = 0; i < KT_ARRAY_LEN(good); i++) {
        struct kt_tpm_policy policy;
        char text[KT_TPM_POLICY_TEXT];
        const char *key_file = "x";
        assert_ok(kt_tpm_policy_parse(good[i], &policy, &key_file, &err));
        assert_null(key_file);
        kt_tpm_policy_format(&policy, text);
        assert_string_equal(text, good[i]);
    }
}

static void test_parse_refuses(void **state)
{
    static const char *const bad[] = {"",
                                      "None",
                                      "none ",
                                      "pcr",
                                      "pcr:",
                                      "pcr:sha256",
                                      "pcr:sha256:",
                                      "pcr:sha256:24",
                                      "pcr:sha256:007",
                                      "pcr:sha256:7,",
                                      "pcr:sha256:,7",
                                      "pcr:sha256:7,7",
                                      "pcr:sha256:-1",
                                      "pcr:sha256:7 ",
                                      "pcr:sha1:7",
                                      "pcr:sha256:7:key",
                                      "signed:sha256:7",
                                      "signed:sha256:7:",
                                      "signed:sha256:key.pem",
                                      "pcr:sha2567",
                                      "pcr:sha256:99999999999"};
    struct kt_error err = KT_ERROR_INIT;
    (void)state;

    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct kt_tpm_policy policy;
        const char *key_file = NULL;
        assert_refused(kt_tpm_policy_parse(bad[i], &policy, &key_file, &err), KT_E_USAGE);
        assert_string_not_equal(err.hint, "");
    }
}

static void test_signed(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_tpm_policy policy;
    const char *key_file = NULL;
    char text[KT_TPM_POLICY_TEXT];
    (void)state;

    assert_ok(kt_tpm_policy_parse("signed:sha256:11,7:/etc/key:1.pem", &policy, &key_file, &err));
    assert_string_equal(key_file, "/etc/key:1.pem");
    assert_int_equal(policy.pcrs.mask, 1u << 11 | 1u << 7);
    assert_refused(kt_tpm_key_from_pem(kt_slice_str("nonsense"), "key.pem", &policy, &err), KT_E_USAGE);
    assert_refused(kt_tpm_key_from_pem(kt_slice_str(""), "key.pem", &policy, &err), KT_E_USAGE);
    assert_ok(kt_tpm_key_from_pem(KT_SLICE(pem, sizeof(pem) - 1), "key.pem", &policy, &err));
    assert_int_equal(policy.key_len, 91);
    kt_tpm_policy_format(&policy, text);
    assert_non_null(strstr(text, "signed:sha256:7,11 by key "));
}

/* docs/keyring-format.md §11; these were accepted by TPM2_PolicyAuthorize and TPM2_Unseal of libtpms. */
static void test_digests(void **state)
{
    static const char zero_16[] = "bff2d58e9813f97cefc14f72ad8133bc7092d652b7c877959254af140c841f36";
    struct kt_error err = KT_ERROR_INIT;
    struct kt_tpm_policy policy = {.kind = KT_TPM_POLICY_PCR, .pcrs = {.bank = KT_TPM_SHA256, .mask = 1u << 16}};
    uint8_t digest[32];
    uint8_t other[32];
    const struct hex expected = hex(zero_16);
    (void)state;

    assert_ok(kt_tpm_policy_digest(&policy, digest, &err));
    assert_memory_equal(digest, expected.data, 32);
    policy.pcrs.digests[16][31] = 1;
    assert_ok(kt_tpm_policy_digest(&policy, other, &err));
    assert_memory_not_equal(digest, other, 32);
    policy.pcrs.digests[16][31] = 0;
    policy.pcrs.digests[17][0] = 1; /* not selected */
    assert_ok(kt_tpm_policy_digest(&policy, other, &err));
    assert_memory_equal(digest, other, 32);
    policy.pcrs.bank = KT_TPM_SHA384;
    assert_ok(kt_tpm_policy_digest(&policy, other, &err));
    assert_memory_not_equal(digest, other, 32);

    policy.kind = KT_TPM_POLICY_NONE;
    assert_refused(kt_tpm_policy_digest(&policy, other, &err), KT_E_INTERNAL);
    policy.kind = KT_TPM_POLICY_SIGNED; /* without a key */
    assert_refused(kt_tpm_policy_digest(&policy, other, &err), KT_E_USAGE);
}

static void test_public_area(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_tpm_policy policy = {.kind = KT_TPM_POLICY_SIGNED};
    uint8_t area[KT_TPM_PUBLIC_MAX];
    size_t len = 0;
    /* ECC, SHA-256, sign|decrypt|userWithAuth, no policy, null, null, P-256, null, then X and Y. */
    const struct hex head = hex("0023000b0006004000000010001000030010");
    (void)state;

    assert_ok(kt_tpm_key_from_pem(KT_SLICE(pem, sizeof(pem) - 1), "key.pem", &policy, &err));
    assert_ok(kt_tpm_key_public(&policy, area, &len, &err));
    assert_int_equal(len, head.len + 2 * (2 + 32));
    assert_memory_equal(area, head.data, head.len);
    policy.key[policy.key_len++] = 0; /* something behind the key */
    assert_refused(kt_tpm_key_public(&policy, area, &len, &err), KT_E_USAGE);
}

static void test_rules(void **state)
{
    static const struct {
        enum kt_tpm_policy_kind kind;
        unsigned pcr;
        bool refused;
        bool warned;
    } cases[] = {
        {KT_TPM_POLICY_PCR, 7, false, true},     {KT_TPM_POLICY_PCR, 10, true, true},
        {KT_TPM_POLICY_PCR, 11, true, true},     {KT_TPM_POLICY_PCR, 15, true, true},
        {KT_TPM_POLICY_PCR, 14, false, false},   {KT_TPM_POLICY_SIGNED, 11, false, false},
        {KT_TPM_POLICY_SIGNED, 10, true, true},  {KT_TPM_POLICY_SIGNED, 15, true, true},
        {KT_TPM_POLICY_SIGNED, 7, false, false}, {KT_TPM_POLICY_NONE, 10, false, false},
    };
    struct kt_error err = KT_ERROR_INIT;
    (void)state;

    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_tpm_policy policy = {.kind = cases[i].kind,
                                       .pcrs = {.bank = KT_TPM_SHA256, .mask = 1u << cases[i].pcr}};
        const char *warning = NULL;
        if (cases[i].refused)
            assert_refused(kt_tpm_policy_check(&policy, false, &warning, &err), KT_E_REFUSED);
        else
            assert_ok(kt_tpm_policy_check(&policy, false, &warning, &err));
        assert_ok(kt_tpm_policy_check(&policy, true, &warning, &err));
        assert_int_equal(warning != NULL, cases[i].warned);
    }
}

static struct kt_tpm_blob sample(const uint8_t *parts)
{
    struct kt_tpm_blob blob = {
        .parent_handle = 0x81000001u,
        .template = KT_TPM_TEMPLATE_ECC,
        .public_part = KT_SLICE(parts, 48),
        .private_part = KT_SLICE(parts, 160),
        .policy = {.kind = KT_TPM_POLICY_NONE},
        .suspended = true,
        .suspended_at = 77,
        .resume = {.kind = KT_TPM_POLICY_PCR, .pcrs = {.bank = KT_TPM_SHA384, .mask = 1u << 7 | 1u << 23}}};
    memset(blob.parent_name, 0xa5, sizeof(blob.parent_name));
    memset(blob.resume.pcrs.digests[23], 9, KT_TPM_DIGEST_MAX);
    return blob;
}

static void test_blob_round_trip(void **state)
{
    uint8_t parts[160] = {1, 2, 3};
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_tpm_blob in = sample(parts);
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
    struct kt_tpm_blob out;
    (void)state;

    assert_ok(kt_tpm_blob_encode(&in, &bytes, &err));
    assert_ok(kt_tpm_blob_decode(kt_bytes_view(&bytes), &out, &err));
    assert_memory_equal(out.parent_name, in.parent_name, KT_TPM_NAME_LEN);
    assert_int_equal(out.parent_handle, in.parent_handle);
    assert_int_equal(out.template, in.template);
    assert_true(kt_slice_equal(out.public_part, in.public_part));
    assert_true(kt_slice_equal(out.private_part, in.private_part));
    assert_int_equal(out.policy.kind, KT_TPM_POLICY_NONE);
    assert_true(out.suspended);
    assert_int_equal(out.suspended_at, 77);
    assert_memory_equal(&out.resume, &in.resume, sizeof(in.resume));
}

static void test_blob_truncated_and_flipped(void **state)
{
    uint8_t parts[160] = {0};
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_tpm_blob in = sample(parts);
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
    struct kt_tpm_blob out;
    (void)state;

    assert_ok(kt_tpm_blob_encode(&in, &bytes, &err));
    for (size_t len = 0; len < bytes.len; len++) {
        /* An exact copy, so that a sanitizer sees one byte too many. */
        KT_CLEANUP(kt_free_p) uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, bytes.data, len);
        assert_refused(kt_tpm_blob_decode(KT_SLICE(copy, len), &out, &err), KT_E_NODE_KEY_LOST);
        assert_string_not_equal(err.hint, "");
    }
    for (size_t i = 0; i < bytes.len * 8; i++) {
        bytes.data[i / 8] ^= (uint8_t)(1u << i % 8);
        kt_error_clear(&err);
        if (!kt_tpm_blob_decode(kt_bytes_view(&bytes), &out, &err))
            assert_int_equal(err.code, i / 8 == 7 ? KT_E_NODE_KEY : KT_E_NODE_KEY_LOST);
        bytes.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    bytes.data[7] = 2;
    assert_refused(kt_tpm_blob_decode(kt_bytes_view(&bytes), &out, &err), KT_E_NODE_KEY);
    assert_non_null(strstr(err.message, "version 2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_format), cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_signed),           cmocka_unit_test(test_digests),
        cmocka_unit_test(test_public_area),      cmocka_unit_test(test_rules),
        cmocka_unit_test(test_blob_round_trip),  cmocka_unit_test(test_blob_truncated_and_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
