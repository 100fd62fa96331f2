/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/tpm_signature.h"

#include <jansson.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#define ENTRIES_MAX 4096u

KT_DEFINE_CLEANUP(json_t *, json_decref);
KT_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);
KT_DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);
KT_DEFINE_CLEANUP(BIO *, BIO_free_all);

static json_t *parse(struct kt_slice file, const char *what, struct kt_error *err)
{
    json_error_t where = {.line = 0};
    json_t *root =
        file.len == 0 ? json_object() : json_loadb((const char *)file.data, file.len, JSON_REJECT_DUPLICATES, &where);

    if (json_is_object(root))
        return root;
    json_decref(root);
    (void)kt_fail(err, KT_E_CONFIG, "%s: line %d: expected JSON in the form of tpm2-pcr-signature.json", what,
                  where.line > 0 ? where.line : 1);
    (void)kt_error_hint(err, "keyturn node sign-pcrs and systemd-measure write such files");
    return NULL;
}

static bool entry_mask(const json_t *entry, uint32_t *ret)
{
    const json_t *list = json_object_get(entry, "pcrs");
    uint32_t mask = 0;

    if (!json_is_array(list) || json_array_size(list) > KT_TPM_PCRS)
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);

        if (!json_is_integer(item) || json_integer_value(item) < 0 || json_integer_value(item) >= KT_TPM_PCRS)
            return false;
        mask |= UINT32_C(1) << json_integer_value(item);
    }
    *ret = mask;
    return true;
}

/* systemd writes lower case, as we do. */
static bool text_is(const json_t *entry, const char *name, const uint8_t bytes[32])
{
    const char *text = json_string_value(json_object_get(entry, name));
    char hex[2 * 32 + 1] = "";

    kt_hex_encode(KT_SLICE(bytes, 32), hex);
    return text && strcmp(text, hex) == 0;
}

/* What an entry is looked up by. */
struct wanted {
    uint32_t mask;
    uint8_t key[32];
    uint8_t digest[32];
};

static bool want(const struct kt_tpm_policy *policy, const struct kt_tpm_pcrs *pcrs, struct wanted *ret,
                 struct kt_error *err)
{
    ret->mask = pcrs->mask;
    return kt_tpm_key_fingerprint(policy, ret->key, err) && kt_tpm_pcr_digest(pcrs, ret->digest, err);
}

static bool is_ours(const json_t *entry, const struct wanted *wanted)
{
    uint32_t mask = 0;

    return entry_mask(entry, &mask) && mask == wanted->mask && text_is(entry, "pkfp", wanted->key);
}

static bool verifies(const struct kt_tpm_policy *policy, const uint8_t digest[32], const struct kt_tpm_signature *sig)
{
    const uint8_t *in = policy->key;
    KT_CLEANUP(EVP_PKEY_free_p) EVP_PKEY *key = d2i_PUBKEY(NULL, &in, (long)policy->key_len);
    KT_CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = key && context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(context, sig->bytes, sig->len, digest, 32) == 1;

    ERR_clear_error();
    return good;
}

static enum kt_tpm_signature_found look(const json_t *entry, const struct kt_tpm_policy *policy,
                                        const struct wanted *wanted, struct kt_tpm_signature *ret)
{
    const char *text = json_string_value(json_object_get(entry, "sig"));
    struct kt_tpm_signature signature = {.len = 0};

    if (!is_ours(entry, wanted))
        return KT_TPM_SIGNATURE_NONE;
    if (!text_is(entry, "pol", wanted->digest))
        return KT_TPM_SIGNATURE_OTHER;
    if (!text || !kt_base64_decode(kt_slice_str(text), signature.bytes, sizeof(signature.bytes), &signature.len) ||
        !verifies(policy, wanted->digest, &signature))
        return KT_TPM_SIGNATURE_NOT_VALID;
    *ret = signature;
    return KT_TPM_SIGNATURE_THERE;
}

bool kt_tpm_signature_find(struct kt_slice file, const char *what, const struct kt_tpm_policy *policy,
                           const struct kt_tpm_pcrs *pcrs, struct kt_tpm_signature *ret,
                           enum kt_tpm_signature_found *ret_found, struct kt_error *err)
{
    KT_CLEANUP(json_decref_p) json_t *root = parse(file, what, err);
    const json_t *list = json_object_get(root, kt_tpm_bank_text(pcrs->bank));
    enum kt_tpm_signature_found best = KT_TPM_SIGNATURE_NONE;
    struct wanted wanted = {.mask = 0};

    if (!root || !want(policy, pcrs, &wanted, err))
        return false;
    for (size_t i = 0; best != KT_TPM_SIGNATURE_THERE && i < json_array_size(list) && i < ENTRIES_MAX; i++) {
        enum kt_tpm_signature_found found = look(json_array_get(list, i), policy, &wanted, ret);

        if (found == KT_TPM_SIGNATURE_THERE || found > best)
            best = found;
    }
    *ret_found = best;
    return true;
}

static bool sign(struct kt_slice private_pem, const uint8_t digest[32], struct kt_tpm_signature *ret,
                 struct kt_error *err)
{
    KT_CLEANUP(BIO_free_all_p) BIO *bio = BIO_new_mem_buf(private_pem.data, (int)private_pem.len);
    char passphrase[] = ""; /* so that nobody is asked for one */
    KT_CLEANUP(EVP_PKEY_free_p) EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, passphrase) : NULL;
    KT_CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t len = sizeof(ret->bytes);

    if (!key || !context || EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(context, ret->bytes, &len, digest, 32) != 1)
        return kt_fail_openssl(err, KT_E_CRYPTO, "the private key does not sign");
    ret->len = len;
    return true;
}

static json_t *entry_new(const struct wanted *wanted, const struct kt_tpm_signature *signature)
{
    char text[(KT_TPM_SIGNATURE_MAX + 2) / 3 * 4 + 1] = "";
    char key[65] = "";
    char digest[65] = "";
    json_t *pcrs = json_array();

    for (unsigned i = 0; i < KT_TPM_PCRS; i++)
        if (wanted->mask >> i & 1)
            (void)json_array_append_new(pcrs, json_integer(i));
    kt_hex_encode(KT_SLICE(wanted->key, 32), key);
    kt_hex_encode(KT_SLICE(wanted->digest, 32), digest);
    kt_base64_encode(KT_SLICE(signature->bytes, signature->len), text);
    return json_pack("{s:o,s:s,s:s,s:s}", "pcrs", pcrs, "pkfp", key, "pol", digest, "sig", text);
}

/* The list of that bank, which exists afterwards; NULL: out of memory, or it is no list. */
static json_t *bank_list(json_t *root, const char *bank)
{
    json_t *list = json_object_get(root, bank);

    if (!list && json_object_set_new(root, bank, json_array()) == 0)
        list = json_object_get(root, bank);
    return json_is_array(list) ? list : NULL;
}

static bool put_entry(json_t *list, const struct wanted *wanted, json_t *entry)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *old = json_array_get(list, i);

        if (is_ours(old, wanted) && text_is(old, "pol", wanted->digest))
            return json_array_set_new(list, i, entry) == 0;
    }
    return json_array_size(list) < ENTRIES_MAX ? json_array_append_new(list, entry) == 0 : (json_decref(entry), false);
}

static bool dump(const json_t *root, struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *text = json_dumps(root, JSON_COMPACT);
    KT_CLEANUP(kt_text_done) struct kt_text out = {.data = NULL};

    if (!text)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    kt_text_init(&out, KT_TPM_SIGNATURE_FILE_MAX);
    kt_text_add(&out, "%s\n", text);
    return kt_text_take(&out, ret, err);
}

bool kt_tpm_signature_add(struct kt_slice file, const char *what, struct kt_slice private_pem,
                          const struct kt_tpm_pcrs *pcrs, struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(json_decref_p) json_t *root = parse(file, what, err);
    KT_CLEANUP(kt_free_p) struct kt_tpm_policy *key = calloc(1, sizeof(*key));
    struct kt_tpm_signature signature = {.len = 0};
    struct wanted wanted = {.mask = 0};
    json_t *list = bank_list(root, kt_tpm_bank_text(pcrs->bank));

    if (!root)
        return false;
    if (!key || !list)
        return kt_fail(err, KT_E_CONFIG, "%s: expected a list of signatures for each bank", what);
    if (!kt_tpm_key_from_pem(private_pem, "the private key", key, err) || !want(key, pcrs, &wanted, err) ||
        !sign(private_pem, wanted.digest, &signature, err))
        return false;
    if (!put_entry(list, &wanted, entry_new(&wanted, &signature)))
        return kt_fail(err, KT_E_CONFIG, "%s: has %u signatures already: leave out old ones", what, ENTRIES_MAX);
    return dump(root, ret, err);
}
