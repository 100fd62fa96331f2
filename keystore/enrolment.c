/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/enrolment.h"

#include "keystore/enrolment_lines.h"
#include "keystore/kdf.h"
#include "keystore/keyring_internal.h"

#include <string.h>

#define NO_NAME          "none"
#define PROVIDER_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-" /* keyturn.yaml(5) */

static void put_tpm_name(struct kt_text *t, const char *label, const struct kt_tpm_name *name)
{
    char text[2 * KT_TPM_NAME_MAX + 1] = NO_NAME;
    if (name->len > 0)
        kt_hex_encode(KT_SLICE(name->bytes, name->len), text);
    kt_text_add(t, "%s: %s\n", label, text);
}

static void put_nonce(struct kt_text *t, const uint8_t nonce[KT_NONCE_LEN])
{
    char text[2 * KT_NONCE_LEN + 1] = "";
    kt_hex_encode(KT_SLICE(nonce, KT_NONCE_LEN), text);
    kt_text_add(t, "nonce: %s\n", text);
}

static void put_hash(struct kt_text *t, const char *label, const uint8_t hash[KT_HASH_LEN])
{
    char text[KT_HASH_TEXT_LEN] = "";
    kt_hash_format(hash, text);
    kt_text_add(t, "%s: %s\n", label, text);
}

bool kt_node_request_format(const struct kt_node_request *request, struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text t = {0};
    char key[(KT_P256_PUBLIC + 2) / 3 * 4 + 1] = "";
    kt_base64_encode(KT_SLICE(request->public_key, KT_P256_PUBLIC), key);
    kt_text_init(&t, KT_REQUEST_MAX);
    kt_text_add(&t, "apiVersion: " KT_API_VERSION "\nkind: NodeRequest\nformat: 1\nnode: %s\nrecipient: %s\n",
                request->node, kt_recipient_kind_text(request->kind));
    kt_text_add(&t, "publicKey: %s\n", key);
    put_tpm_name(&t, "tpmName", &request->tpm);
    put_tpm_name(&t, "srkName", &request->srk);
    put_nonce(&t, request->nonce);
    return kt_text_take(&t, ret, err);
}

static bool read_kind(struct kt_lines *l, enum kt_recipient_kind *ret)
{
    char text[16] = "";
    if (!kt_lines_text(l, "recipient", text, sizeof text))
        return false;
    *ret = kt_recipient_kind_parse(text);
    return *ret == KT_RECIPIENT_FILE || *ret == KT_RECIPIENT_TPM2 || kt_lines_fail(l, "recipient: file or tpm2");
}

static bool read_public_key(struct kt_lines *l, uint8_t ret[KT_P256_PUBLIC])
{
    if (!kt_lines_base64(l, "publicKey", ret, KT_P256_PUBLIC))
        return false;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *key = kt_p256_from_public(ret, NULL);
    return key || kt_lines_fail(l, "the public key, a point on P-256");
}

static bool read_tpm_name(struct kt_lines *l, const char *label, struct kt_tpm_name *ret)
{
    struct kt_slice value = {0};
    if (!kt_lines_value(l, label, &value))
        return false;
    ret->len = 0;
    if (kt_slice_equal(value, kt_slice_str(NO_NAME)))
        return true;
    if (value.len < 2 || value.len > (size_t)2 * KT_TPM_NAME_MAX || !kt_hex_decode(value, ret->bytes, value.len / 2))
        return kt_lines_fail(l, label);
    ret->len = value.len / 2;
    return true;
}

/* Which names there are follows from the kind. */
static bool check_names(struct kt_lines *l, const struct kt_node_request *request)
{
    const bool tpm2 = request->kind == KT_RECIPIENT_TPM2;
    if (tpm2 ? request->srk.len > 0 : request->srk.len == 0 && request->tpm.len == 0)
        return true;
    return kt_lines_fail(l, tpm2 ? "srkName, of a tpm2 recipient" : "tpmName and srkName none, of a file recipient");
}

bool kt_node_request_parse(struct kt_slice text, struct kt_node_request *ret, struct kt_error *err)
{
    struct kt_lines l = {.rest = text, .what = "the request", .code = KT_E_REQUEST_FORMAT, .err = err};
    struct kt_node_request request = {.node = ""};
    if (text.len > KT_REQUEST_MAX)
        return kt_fail(err, KT_E_REQUEST_FORMAT, "the request has %zu bytes: expected at most %u", text.len,
                       KT_REQUEST_MAX);
    if (!kt_lines_head(&l, "NodeRequest") || !kt_lines_node(&l, request.node) || !read_kind(&l, &request.kind) ||
        !read_public_key(&l, request.public_key) || !read_tpm_name(&l, "tpmName", &request.tpm) ||
        !read_tpm_name(&l, "srkName", &request.srk) || !check_names(&l, &request) ||
        !kt_lines_hex(&l, "nonce", request.nonce, KT_NONCE_LEN))
        return false;
    if (l.rest.len > 0) {
        l.line++;
        return kt_lines_fail(&l, "the end");
    }
    *ret = request;
    return true;
}

bool kt_node_request_fingerprint(struct kt_slice text, uint8_t ret[KT_HASH_LEN], struct kt_error *err)
{
    static const char context[] = "keyturn.dev/v1 node-request"; /* with its NUL */
    const struct kt_slice parts[] = {KT_SLICE(context, sizeof context), text};
    return kt_sha256(parts, KT_ARRAY_LEN(parts), ret, err);
}

/* What is signed: the lines before the signature, then the keyring. */
static bool signed_bytes(struct kt_slice lines, struct kt_slice keyring, struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text all = {0};
    kt_text_init(&all, KT_BUNDLE_MAX);
    kt_text_add_bytes(&all, lines.data, lines.len);
    kt_text_add_bytes(&all, keyring.data, keyring.len);
    return kt_text_take(&all, ret, err);
}

bool kt_bundle_sign(const struct kt_bundle *bundle, struct kt_slice keyring, const struct kt_p256 *owner,
                    struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text t = {0};
    KT_CLEANUP_BYTES struct kt_bytes message = {0};
    uint8_t signature[KT_SIGNATURE_LEN] = {0};
    char text[(KT_SIGNATURE_LEN + 2) / 3 * 4 + 1] = "";
    kt_text_init(&t, KT_BUNDLE_HEADER_MAX);
    kt_text_add(&t, "apiVersion: " KT_API_VERSION "\nkind: NodeBundle\nformat: 1\nnode: %s\n", bundle->node);
    put_hash(&t, "request", bundle->request);
    put_nonce(&t, bundle->nonce);
    put_hash(&t, "founder", bundle->founder);
    kt_text_add(&t, "provider: %s\nkeyring: %zu\n", bundle->provider, keyring.len);
    if (t.bad)
        return kt_fail(err, KT_E_NOMEM, "out of memory for a bundle");
    if (!signed_bytes(KT_SLICE(t.data, t.len), keyring, &message, err) ||
        !kt_p256_sign(owner, KT_CONTEXT_BUNDLE, kt_bytes_view(&message), signature, err))
        return false;
    kt_base64_encode(KT_SLICE(signature, sizeof signature), text);
    kt_text_add(&t, "signature: %s\n", text);
    return kt_text_take(&t, ret, err);
}

static const char label_signature[] = "\nsignature: ";

/* Where the signature's line begins; NULL if the lines have none. */
static const uint8_t *find_signature(struct kt_slice lines)
{
    const uint8_t *at = lines.len ? memmem(lines.data, lines.len, label_signature, sizeof label_signature - 1) : NULL;
    return at ? at + 1 : NULL;
}

bool kt_bundle_split(struct kt_slice file, struct kt_slice *ret_header, struct kt_slice *ret_keyring,
                     struct kt_error *err)
{
    size_t looked = file.len < KT_BUNDLE_HEADER_MAX ? file.len : KT_BUNDLE_HEADER_MAX;
    const uint8_t *signature = find_signature(KT_SLICE(file.data, looked));
    const uint8_t *lf = signature ? memchr(signature, '\n', looked - (size_t)(signature - file.data)) : NULL;
    if (!lf || file.len > KT_BUNDLE_MAX) {
        kt_fail(err, KT_E_BUNDLE_FORMAT, "the file is no bundle: expected lines up to a signature, then a keyring");
        return kt_error_hint(err, "`keyturn node approve` writes it; carry it over again");
    }
    size_t header = (size_t)(lf - file.data) + 1;
    *ret_header = KT_SLICE(file.data, header);
    *ret_keyring = KT_SLICE(file.data + header, file.len - header);
    return true;
}

/* The format that kt_bundle_sign writes. */
static bool read_len(struct kt_lines *l, size_t *ret)
{
    char text[16] = "";
    size_t value = 0;
    if (!kt_lines_text(l, "keyring", text, sizeof text))
        return false;
    if (text[0] == '0' || strspn(text, "0123456789") != strlen(text))
        return kt_lines_fail(l, "keyring: its length in bytes");
    for (const char *c = text; *c && value <= KT_KEYRING_MAX; c++)
        value = value * 10 + (size_t)(*c - '0');
    *ret = value;
    return value <= KT_KEYRING_MAX || kt_lines_fail(l, "keyring: at most 1048576 bytes");
}

static bool read_provider(struct kt_lines *l, char ret[KT_NAME_MAX + 1])
{
    if (!kt_lines_text(l, "provider", ret, KT_NAME_MAX + 1))
        return false;
    return (*ret && strspn(ret, PROVIDER_LETTERS) == strlen(ret)) || kt_lines_fail(l, "provider: a name");
}

bool kt_bundle_parse(struct kt_slice header, struct kt_bundle *ret, struct kt_error *err)
{
    struct kt_lines l = {.rest = header, .what = "the bundle", .code = KT_E_BUNDLE_FORMAT, .err = err};
    struct kt_bundle bundle = {.node = ""};
    if (!kt_lines_head(&l, "NodeBundle") || !kt_lines_node(&l, bundle.node) ||
        !kt_lines_hash(&l, "request", bundle.request) || !kt_lines_hex(&l, "nonce", bundle.nonce, KT_NONCE_LEN) ||
        !kt_lines_hash(&l, "founder", bundle.founder) || !read_provider(&l, bundle.provider) ||
        !read_len(&l, &bundle.keyring_len) ||
        !kt_lines_base64(&l, "signature", bundle.signature, sizeof bundle.signature))
        return false;
    if (l.rest.len > 0) {
        l.line++;
        return kt_lines_fail(&l, "the keyring after the signature");
    }
    *ret = bundle;
    return true;
}

bool kt_bundle_verify(struct kt_slice header, struct kt_slice keyring, const uint8_t owner[KT_P256_PUBLIC],
                      struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes message = {0};
    struct kt_bundle bundle = {.node = ""};
    struct kt_error why = KT_ERROR_INIT;
    if (!kt_bundle_parse(header, &bundle, err))
        return false;
    if (bundle.keyring_len != keyring.len)
        return kt_fail(err, KT_E_BUNDLE_FORMAT, "the bundle has a keyring of %zu bytes: expected %zu", keyring.len,
                       bundle.keyring_len);
    size_t lines = (size_t)(find_signature(header) - header.data);
    if (!signed_bytes(KT_SLICE(header.data, lines), keyring, &message, err))
        return false;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *key = kt_p256_from_public(owner, err);
    if (!key)
        return false;
    if (kt_p256_verify(key, KT_CONTEXT_BUNDLE, kt_bytes_view(&message), bundle.signature, &why))
        return true;
    if (why.code != KT_E_CRYPTO)
        return kt_error_copy(err, &why);
    kt_fail(err, KT_E_BUNDLE_OWNER,
            "the bundle is not signed by the owner of its keyring: it was made without the "
            "owner's key, or changed afterwards");
    return kt_error_hint(err, "do not use it; have the owner approve this node's request again");
}
