/* SPDX-License-Identifier: Apache-2.0 */
/* The vectors of RFC 9180 for our suite: vectors/rfc9180.json says where they are from. */
#include "keystore/hpke.h"
#include "keystore/hpke_label.h"
#include "support.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY     KT_CLEANUP(kt_p256_free_p) struct kt_p256 *
#define SECRET  KT_CLEANUP(kt_secret_free_p) struct kt_secret *
#define CONTEXT KT_CLEANUP(kt_hpke_context_done) struct kt_hpke_context

static json_t *document;

static int load(void **state)
{
    const char *root = getenv("KEYTURN_SOURCE");
    char path[4096];
    json_error_t error;
    (void)state;
    if (!root) {
        fprintf(stderr, "KEYTURN_SOURCE must name the source tree; ctest sets it\n");
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/tests/unit/keystore/vectors/rfc9180.json", root);
    document = json_load_file(path, 0, &error);
    if (!document)
        fprintf(stderr, "%s: %s\n", path, error.text);
    return document && json_array_size(json_object_get(document, "vectors")) > 0 ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    json_decref(document);
    return 0;
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    if (!value)
        fail_msg("the vector has no %s", name);
    return value;
}

static struct kt_p256 *derive(const json_t *vector, const char *name)
{
    struct kt_error err = KT_ERROR_INIT;
    SECRET ikm = secret_hex(text(vector, name));
    struct kt_p256 *key = kt_p256_derive(ikm, &err);
    assert_ok(key);
    return key;
}

static void setup(const json_t *vector, struct kt_hpke_context *ret_sender, struct kt_hpke_context *ret_receiver)
{
    const struct hex info = hex(text(vector, "info"));
    const struct hex enc = hex(text(vector, "enc"));
    struct kt_error err = KT_ERROR_INIT;
    KEY ephemeral = derive(vector, "ikmE");
    KEY own = derive(vector, "ikmR");
    assert_ok(kt_hpke_setup_sender(own, ephemeral, HEX_SLICE(info), ret_sender, &err));
    assert_ok(kt_hpke_setup_receiver(own, enc.data, HEX_SLICE(info), ret_receiver, &err));
}

#define FOR_EACH_VECTOR(vector) \
    size_t index_;              \
    json_t *vector;             \
    json_array_foreach(json_object_get(document, "vectors"), index_, vector)

static void key_pairs(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    FOR_EACH_VECTOR(vector)
    {
        uint8_t point[KT_P256_PUBLIC];
        KEY ephemeral = derive(vector, "ikmE");
        KEY own = derive(vector, "ikmR");
        kt_p256_public(ephemeral, point);
        assert_memory_equal(point, hex(text(vector, "enc")).data, sizeof(point));
        kt_p256_public(own, point);
        assert_memory_equal(point, hex(text(vector, "pkRm")).data, sizeof(point));
        SECRET scalar = kt_p256_scalar(own, &err);
        assert_ok(scalar);
        assert_secret_hex(scalar, text(vector, "skRm"));
    }
}

static void key_schedule(void **state)
{
    (void)state;
    FOR_EACH_VECTOR(vector)
    {
        CONTEXT sender = {.key = NULL};
        CONTEXT receiver = {.key = NULL};
        setup(vector, &sender, &receiver);
        assert_secret_hex(sender.key, text(vector, "key"));
        assert_secret_hex(sender.base_nonce, text(vector, "base_nonce"));
        assert_true(kt_secret_equal(sender.key, receiver.key));
        assert_true(kt_secret_equal(sender.base_nonce, receiver.base_nonce));
        assert_true(kt_secret_equal(sender.exporter, receiver.exporter));
    }
}

static void published_encryptions(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    FOR_EACH_VECTOR(vector)
    {
        CONTEXT sender = {.key = NULL};
        CONTEXT receiver = {.key = NULL};
        setup(vector, &sender, &receiver);
        size_t seq = 0;
        json_t *encryption = NULL;
        json_array_foreach(json_object_get(vector, "encryptions"), seq, encryption)
        {
            const struct hex aad = hex(text(encryption, "aad"));
            const struct hex plaintext = hex(text(encryption, "pt"));
            const struct hex expected = hex(text(encryption, "ct"));
            uint8_t nonce[KT_GCM_NONCE];
            uint8_t sealed[HEX_MAX];
            kt_hpke_nonce(&sender, seq, nonce);
            assert_ok(kt_gcm_seal(sender.key, nonce, HEX_SLICE(aad), HEX_SLICE(plaintext), sealed, &err));
            assert_memory_equal(sealed, expected.data, expected.len);
        }
        assert_true(seq > 0);
    }
}

/* Message 0 by the single-shot function that the keyring uses. */
static void published_message_opens(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    FOR_EACH_VECTOR(vector)
    {
        const json_t *encryption = json_array_get(json_object_get(vector, "encryptions"), 0);
        const struct hex info = hex(text(vector, "info"));
        const struct hex aad = hex(text(encryption, "aad"));
        const struct hex enc = hex(text(vector, "enc"));
        const struct hex ciphertext = hex(text(encryption, "ct"));
        uint8_t sealed[KT_HPKE_ENC + HEX_MAX];
        memcpy(sealed, enc.data, KT_HPKE_ENC);
        memcpy(sealed + KT_HPKE_ENC, ciphertext.data, ciphertext.len);
        KEY own = derive(vector, "ikmR");
        SECRET opened =
            kt_hpke_open(own, HEX_SLICE(info), HEX_SLICE(aad), KT_SLICE(sealed, KT_HPKE_ENC + ciphertext.len), &err);
        assert_ok(opened);
        assert_secret_hex(opened, text(encryption, "pt"));
    }
}

/* What the accumulated vectors draw from and pour into. */
#define ROUNDS     1000u
#define STREAM_LEN ((size_t)2 * ROUNDS * 256)

static uint8_t *new_stream(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t *stream = malloc(STREAM_LEN);
    assert_non_null(stream);
    assert_int_equal(EVP_DigestInit_ex2(ctx, EVP_shake128(), NULL), 1);
    assert_int_equal(EVP_DigestFinalXOF(ctx, stream, STREAM_LEN), 1);
    EVP_MD_CTX_free(ctx);
    return stream;
}

static struct kt_slice draw(struct kt_reader *stream)
{
    const size_t len = kt_reader_u8(stream);
    return KT_SLICE(kt_reader_bytes(stream, len), len);
}

static void assert_sink(EVP_MD_CTX *sink, const char *expected)
{
    uint8_t sum[16];
    assert_int_equal(EVP_DigestFinalXOF(sink, sum, sizeof(sum)), 1);
    assert_memory_equal(sum, hex(expected).data, sizeof(sum));
    EVP_MD_CTX_free(sink);
}

/* Seals message number seq, opens it on the other side, and pours the ciphertext into the sink. */
static void seal_and_open(const struct kt_hpke_context *sender, const struct kt_hpke_context *receiver, uint64_t seq,
                          struct kt_reader *stream, EVP_MD_CTX *sink)
{
    const struct kt_slice aad = draw(stream);
    const struct kt_slice plaintext = draw(stream);
    uint8_t nonce[KT_GCM_NONCE];
    uint8_t sealed[UINT8_MAX + KT_GCM_TAG];
    struct kt_error err = KT_ERROR_INIT;
    kt_hpke_nonce(sender, seq, nonce);
    assert_ok(kt_gcm_seal(sender->key, nonce, aad, plaintext, sealed, &err));
    assert_int_equal(EVP_DigestUpdate(sink, sealed, plaintext.len + KT_GCM_TAG), 1);
    if (plaintext.len == 0)
        return;
    SECRET opened = kt_gcm_open(receiver->key, nonce, aad, KT_SLICE(sealed, plaintext.len + KT_GCM_TAG), &err);
    assert_ok(opened);
    assert_memory_equal(kt_secret_view(opened), plaintext.data, plaintext.len);
}

static EVP_MD_CTX *new_sink(void)
{
    EVP_MD_CTX *sink = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestInit_ex2(sink, EVP_shake128(), NULL), 1);
    return sink;
}

static void thousand_encryptions(void **state)
{
    (void)state;
    KT_CLEANUP(kt_free_p) uint8_t *bytes = new_stream();
    FOR_EACH_VECTOR(vector)
    {
        CONTEXT sender = {.key = NULL};
        CONTEXT receiver = {.key = NULL};
        setup(vector, &sender, &receiver);
        struct kt_reader stream = {.bad = false};
        kt_reader_init(&stream, KT_SLICE(bytes, STREAM_LEN));
        EVP_MD_CTX *sink = new_sink();
        for (uint64_t seq = 0; seq < ROUNDS; seq++)
            seal_and_open(&sender, &receiver, seq, &stream, sink);
        assert_sink(sink, text(vector, "encryptions_accumulated"));
    }
}

/* §5.3: Export(context, L), which stands and falls with the exporter secret. */
static void thousand_exports(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    KT_CLEANUP(kt_free_p) uint8_t *bytes = new_stream();
    FOR_EACH_VECTOR(vector)
    {
        CONTEXT sender = {.key = NULL};
        CONTEXT receiver = {.key = NULL};
        setup(vector, &sender, &receiver);
        struct kt_reader stream = {.bad = false};
        kt_reader_init(&stream, KT_SLICE(bytes, STREAM_LEN));
        EVP_MD_CTX *sink = new_sink();
        for (size_t len = 0; len < ROUNDS; len++) {
            const struct kt_slice exporter_context = draw(&stream);
            if (len == 0)
                continue;
            SECRET value = kt_labeled_expand(KT_HPKE_LABEL("sec"), receiver.exporter, exporter_context, len, &err);
            assert_ok(value);
            assert_int_equal(EVP_DigestUpdate(sink, kt_secret_view(value), len), 1);
        }
        assert_sink(sink, text(vector, "exports_accumulated"));
    }
}

static void nonces_of_high_numbers(void **state)
{
    uint8_t nonce[KT_GCM_NONCE];
    (void)state;
    CONTEXT context = {.key = NULL};
    context.base_nonce = secret_hex("9bc50980832a7b4b58c40161");
    kt_hpke_nonce(&context, 256, nonce);
    assert_memory_equal(nonce, hex("9bc50980832a7b4b58c40061").data, sizeof(nonce));
    kt_hpke_nonce(&context, UINT64_MAX, nonce);
    assert_memory_equal(nonce, hex("9bc509807cd584b4a73bfe9e").data, sizeof(nonce));
}

static void labels_that_are_too_long(void **state)
{
    static const uint8_t info[KT_LABELED_INFO_MAX + 64];
    struct kt_error err = KT_ERROR_INIT;
    (void)state;
    SECRET prk = kt_secret_new_random(32, &err);
    assert_ok(prk);
    assert_refused(kt_labeled_expand(KT_HPKE_LABEL("sec"), prk, KT_SLICE(info, sizeof(info)), 32, &err), KT_E_INTERNAL);
    assert_refused(kt_labeled_expand(KT_HPKE_LABEL("sec"), prk, KT_SLICE(NULL, 0), 65536 + 32, &err), KT_E_INTERNAL);
    assert_refused(kt_labeled_extract(KT_HPKE_LABEL("a label that is longer than all labels of RFC 9180"),
                                      KT_SLICE(NULL, 0), KT_SLICE(NULL, 0), &err),
                   KT_E_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_pairs),
        cmocka_unit_test(key_schedule),
        cmocka_unit_test(published_encryptions),
        cmocka_unit_test(published_message_opens),
        cmocka_unit_test(thousand_encryptions),
        cmocka_unit_test(thousand_exports),
        cmocka_unit_test(nonces_of_high_numbers),
        cmocka_unit_test(labels_that_are_too_long),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
