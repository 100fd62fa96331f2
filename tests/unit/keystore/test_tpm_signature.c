/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/tpm_signature.h"
#include "tests/unit/keystore/support.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

KT_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

struct key {
    char pem[4096];
    size_t len;
    struct kt_tpm_policy policy;
};

static void key_make(const char *type, struct key *ret)
{
    KT_CLEANUP(EVP_PKEY_free_p)
    EVP_PKEY *key = strcmp(type, "EC") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
                                            : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    struct kt_error err = KT_ERROR_INIT;
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;

    assert_non_null(key);
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    long len = BIO_get_mem_data(bio, &text);
    assert_in_range(len, 1, sizeof(ret->pem) - 1);
    *ret = (struct key){.len = (size_t)len, .policy = {.kind = KT_TPM_POLICY_SIGNED}};
    memcpy(ret->pem, text, ret->len);
    BIO_free(bio);
    assert_ok(kt_tpm_key_from_pem(KT_SLICE(ret->pem, ret->len), "key", &ret->policy, &err));
}

static enum kt_tpm_signature_found find(const struct kt_bytes *file, const struct key *key,
                                        const struct kt_tpm_pcrs *pcrs)
{
    enum kt_tpm_signature_found found = KT_TPM_SIGNATURE_NONE;
    struct kt_tpm_signature signature = {.len = 0};
    struct kt_error err = KT_ERROR_INIT;

    assert_ok(kt_tpm_signature_find(kt_bytes_view(file), "file", &key->policy, pcrs, &signature, &found, &err));
    assert_int_equal(signature.len > 0, found == KT_TPM_SIGNATURE_THERE);
    return found;
}

static void add(struct kt_bytes *file, const struct key *key, const struct kt_tpm_pcrs *pcrs)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes after = {.data = NULL};

    assert_ok(kt_tpm_signature_add(kt_bytes_view(file), "file", KT_SLICE(key->pem, key->len), pcrs, &after, &err));
    kt_bytes_done(file);
    *file = after;
}

static void try_type(const char *type)
{
    KT_CLEANUP_BYTES struct kt_bytes file = {.data = NULL};
    struct kt_tpm_pcrs pcrs = {.bank = KT_TPM_SHA256, .mask = 1u << 11 | 1u << 7};
    struct kt_tpm_pcrs other = pcrs;
    struct kt_tpm_pcrs more = {.bank = KT_TPM_SHA256, .mask = 1u << 11};
    struct kt_tpm_pcrs bank = {.bank = KT_TPM_SHA384, .mask = pcrs.mask};
    struct key mine;
    struct key foreign;

    key_make(type, &mine);
    key_make("EC", &foreign);
    other.digests[11][0] = 1;
    add(&file, &mine, &pcrs);
    assert_int_equal(find(&file, &mine, &pcrs), KT_TPM_SIGNATURE_THERE);
    assert_int_equal(find(&file, &mine, &other), KT_TPM_SIGNATURE_OTHER);
    assert_int_equal(find(&file, &mine, &more), KT_TPM_SIGNATURE_NONE);
    assert_int_equal(find(&file, &mine, &bank), KT_TPM_SIGNATURE_NONE);
    assert_int_equal(find(&file, &foreign, &pcrs), KT_TPM_SIGNATURE_NONE);
    add(&file, &mine, &other);
    add(&file, &foreign, &pcrs);
    add(&file, &mine, &bank);
    assert_int_equal(find(&file, &mine, &pcrs), KT_TPM_SIGNATURE_THERE);
    assert_int_equal(find(&file, &mine, &other), KT_TPM_SIGNATURE_THERE);
    assert_int_equal(find(&file, &mine, &bank), KT_TPM_SIGNATURE_THERE);
    assert_int_equal(find(&file, &foreign, &pcrs), KT_TPM_SIGNATURE_THERE);
    size_t len = file.len;
    add(&file, &mine, &other); /* signed anew, not twice */
    assert_in_range(file.len, len - 16, len + 16);
}

static void test_ec(void **state)
{
    (void)state;
    try_type("EC");
}

static void test_rsa(void **state)
{
    (void)state;
    try_type("RSA");
}

static void test_not_of_that_form(void **state)
{
    static const char *const bad[] = {"{", "[]", "7", "{}x", "{\"sha256\":[],\"sha256\":[]}", "\x80"};
    const struct kt_tpm_pcrs pcrs = {.bank = KT_TPM_SHA256, .mask = 1u << 11};
    enum kt_tpm_signature_found found = KT_TPM_SIGNATURE_NONE;
    struct kt_tpm_signature signature = {.len = 0};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes after = {.data = NULL};
    struct key key;
    (void)state;

    key_make("EC", &key);
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        assert_refused(
            kt_tpm_signature_find(kt_slice_str(bad[i]), "file", &key.policy, &pcrs, &signature, &found, &err),
            KT_E_CONFIG);
        assert_refused(
            kt_tpm_signature_add(kt_slice_str(bad[i]), "file", KT_SLICE(key.pem, key.len), &pcrs, &after, &err),
            KT_E_CONFIG);
    }
    assert_refused(
        kt_tpm_signature_add(kt_slice_str("{\"sha256\":7}"), "file", KT_SLICE(key.pem, key.len), &pcrs, &after, &err),
        KT_E_CONFIG);
    assert_refused(kt_tpm_signature_add(kt_slice_str("{}"), "file", kt_slice_str("no key"), &pcrs, &after, &err),
                   KT_E_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ec),
        cmocka_unit_test(test_rsa),
        cmocka_unit_test(test_not_of_that_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
