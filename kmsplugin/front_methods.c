/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/front_methods.h"

#include "proto/kmsv2.pb-c.h"

#include <stdarg.h>
#include <string.h>

#define FIELD_KEY_ID 3u /* of DecryptRequest */

/* What protobuf-c needs beside the bytes of the fields: the message, its table of members, alignment. Enough for some
 * fields that this release does not know, not for thousands. */
#define SCRATCH_EXTRA 8192u

/* What an operator should do, where errors.def only says what happened. */
static const struct {
    enum kt_code code;
    const char *text;
} specific[] = {
    {KT_E_KMS_UNKNOWN_KEY, "no key with that key_id in this node's keyring; `keyturn status` lists those that are"},
    {KT_E_KMS_CIPHERTEXT, "the ciphertext does not authenticate under the key with that key_id"},
    {KT_E_KMS_NO_ACTIVE_KEY, "no key may encrypt, decryption goes on; `keyturn status` says why"},
    {KT_E_KMS_EXHAUSTED, "the active key has reached its limit of encryptions, decryption goes on; rotate the keys"},
    {KT_E_KEYRING_MISSING, "no keyring is open on this node; see `keyturn status` and journalctl -u keyturnd"},
};

void kt_front_refuse(struct kt_front_reply *ret, grpc_status_code status, const char *fmt, ...)
{
    va_list args;
    ret->status = status;
    ret->len = 0;
    va_start(args, fmt);
    (void)vsnprintf(ret->text, sizeof(ret->text), fmt, args);
    va_end(args);
}

static void refuse_code(struct kt_front_reply *ret, enum kt_code code)
{
    const char *text = kt_code_text(code);
    for (size_t i = 0; i < KT_ARRAY_LEN(specific); i++) {
        if (specific[i].code == code)
            text = specific[i].text;
    }
    kt_front_refuse(ret, (grpc_status_code)kt_code_grpc(code), "%s", text);
}

size_t kt_front_scratch_size(size_t limit)
{
    return limit + SCRATCH_EXTRA;
}

static bool refuse_malformed(struct kt_front_reply *ret)
{
    kt_front_refuse(ret, GRPC_STATUS_INVALID_ARGUMENT, "the request is malformed, or has too many fields");
    return false;
}

static bool put_data(const ProtobufCBinaryData *from, size_t max, const char *what, struct kt_keeper_request *request,
                     struct kt_front_reply *ret)
{
    if (from->len > max) {
        kt_front_refuse(ret, GRPC_STATUS_INVALID_ARGUMENT, "the %s has %zu bytes, possible are at most %zu", what,
                        from->len, max);
        return false;
    }
    request->len = (uint32_t)from->len;
    if (from->len > 0)
        memcpy(request->data, from->data, from->len);
    return true;
}

static bool decode_status(struct kt_slice message, struct kt_scratch *scratch, struct kt_keeper_request *request,
                          struct kt_front_reply *ret)
{
    request->op = KT_KEEPER_STATUS;
    if (message.len > 0 && !v2__status_request__unpack(&scratch->allocator, message.len, message.data))
        return refuse_malformed(ret);
    return true;
}

static bool decode_encrypt(struct kt_slice message, struct kt_scratch *scratch, struct kt_keeper_request *request,
                           struct kt_front_reply *ret)
{
    const V2__EncryptRequest *from = v2__encrypt_request__unpack(&scratch->allocator, message.len, message.data);
    if (!from)
        return refuse_malformed(ret);
    request->op = KT_KEEPER_WRAP;
    return put_data(&from->plaintext, KT_KMS_PLAINTEXT_MAX, "plaintext", request, ret);
}

/* We never write annotations, so none can be ours. */
static bool check_annotations(const V2__DecryptRequest *from, struct kt_front_reply *ret)
{
    if (from->n_annotations == 0)
        return true;
    kt_front_refuse(ret, GRPC_STATUS_INVALID_ARGUMENT, "the request has %zu annotations, keyturn gives none",
                    from->n_annotations);
    return false;
}

static bool put_key_id(const V2__DecryptRequest *from, struct kt_slice message, struct kt_keeper_request *request,
                       struct kt_front_reply *ret)
{
    size_t len = 0;
    if (!kt_wire_field_len(message, FIELD_KEY_ID, &len))
        return refuse_malformed(ret);
    if (len != KT_KEY_ID_LEN || strlen(from->key_id) != KT_KEY_ID_LEN) {
        refuse_code(ret, KT_E_KMS_UNKNOWN_KEY);
        return false;
    }
    memcpy(request->key_id, from->key_id, KT_KEY_ID_LEN);
    return true;
}

static bool decode_decrypt(struct kt_slice message, struct kt_scratch *scratch, struct kt_keeper_request *request,
                           struct kt_front_reply *ret)
{
    const V2__DecryptRequest *from = v2__decrypt_request__unpack(&scratch->allocator, message.len, message.data);
    if (!from)
        return refuse_malformed(ret);
    request->op = KT_KEEPER_UNWRAP;
    return check_annotations(from, ret) && put_key_id(from, message, request, ret) &&
           put_data(&from->ciphertext, KT_KMS_CIPHERTEXT_MAX, "ciphertext", request, ret);
}

bool kt_front_decode(enum kt_method method, struct kt_slice message, struct kt_scratch *scratch,
                     struct kt_keeper_request *ret, struct kt_front_reply *ret_refusal)
{
    static bool (*const decoders[])(struct kt_slice, struct kt_scratch *, struct kt_keeper_request *,
                                    struct kt_front_reply *) = {
        [KT_METHOD_STATUS] = decode_status,
        [KT_METHOD_ENCRYPT] = decode_encrypt,
        [KT_METHOD_DECRYPT] = decode_decrypt,
    };
    memset(ret, 0, offsetof(struct kt_keeper_request, data));
    if (!message.data)
        message.data = (const uint8_t *)"";
    bool good = decoders[method](message, scratch, ret, ret_refusal);
    kt_scratch_wipe(scratch);
    return good;
}

static bool has_key_id(const struct kt_keeper_answer *answer)
{
    return memchr(answer->key_id, 0, sizeof(answer->key_id)) == NULL;
}

static void remember_key_id(const struct kt_keeper_answer *answer, struct kt_front_known *known)
{
    if (has_key_id(answer))
        memcpy(known->key_id, answer->key_id, KT_KEY_ID_LEN);
}

static void pack(const ProtobufCMessage *message, struct kt_front_reply *ret)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    if (len > sizeof(ret->body)) {
        kt_front_refuse(ret, GRPC_STATUS_INTERNAL, "an answer of %zu bytes is too large", len);
        return;
    }
    ret->status = GRPC_STATUS_OK;
    ret->text[0] = 0;
    ret->len = protobuf_c_message_pack(message, ret->body);
}

/* protobuf-c's strings are not const, though it only reads them here. */
static char *unconst(const char *text)
{
    char *ret;
    memcpy(&ret, &text, sizeof(ret));
    return ret;
}

/* healthz is ours or the keeper's. Without a key_id there is no Status to answer with: kube-apiserver refuses an empty
 * one with a message that hides the words. */
static void encode_status(const char *healthz, const struct kt_front_known *known, struct kt_front_reply *ret)
{
    V2__StatusResponse response;
    if (!known->key_id[0]) {
        kt_front_refuse(ret, GRPC_STATUS_UNAVAILABLE, "%s", healthz);
        return;
    }
    v2__status_response__init(&response);
    response.version = unconst("v2");
    response.healthz = unconst(healthz);
    response.key_id = unconst(known->key_id);
    pack(&response.base, ret);
}

static void answer_status(const struct kt_keeper_answer *answer, const struct kt_front_known *known,
                          struct kt_front_reply *ret)
{
    char healthz[KT_HEALTHZ_MAX] = "";
    size_t len = answer->len < sizeof(healthz) ? answer->len : sizeof(healthz) - 1;
    memcpy(healthz, answer->data, len);
    bool silent = healthz[0] == 0 || (!has_key_id(answer) && strcmp(healthz, "ok") == 0);
    encode_status(silent ? "the process that holds the keys names no key; see journalctl -u keyturnd" : healthz, known,
                  ret);
}

static void answer_encrypt(const struct kt_keeper_answer *answer, struct kt_front_reply *ret)
{
    V2__EncryptResponse response;
    char key_id[KT_KEY_ID_LEN + 1] = "";
    uint8_t ciphertext[KT_KMS_CIPHERTEXT_MAX];
    if (!has_key_id(answer) || answer->len == 0) {
        kt_front_refuse(ret, GRPC_STATUS_INTERNAL, "the process that holds the keys answered without key_id or data");
        return;
    }
    v2__encrypt_response__init(&response);
    memcpy(key_id, answer->key_id, KT_KEY_ID_LEN);
    memcpy(ciphertext, answer->data, answer->len);
    response.key_id = key_id;
    response.ciphertext = (ProtobufCBinaryData){.data = ciphertext, .len = answer->len};
    pack(&response.base, ret);
}

static void answer_decrypt(const struct kt_keeper_answer *answer, struct kt_front_reply *ret)
{
    V2__DecryptResponse response;
    uint8_t plaintext[KT_KMS_CIPHERTEXT_MAX];
    v2__decrypt_response__init(&response);
    memcpy(plaintext, answer->data, answer->len);
    response.plaintext = (ProtobufCBinaryData){.data = plaintext, .len = answer->len};
    pack(&response.base, ret);
    explicit_bzero(plaintext, answer->len);
}

void kt_front_encode(enum kt_method method, const struct kt_keeper_answer *answer, struct kt_front_known *known,
                     struct kt_front_reply *ret)
{
    if (answer->code != KT_OK) {
        refuse_code(ret, kt_code_from_number(answer->code));
        return;
    }
    remember_key_id(answer, known);
    switch (method) {
    case KT_METHOD_STATUS:
        answer_status(answer, known, ret);
        break;
    case KT_METHOD_ENCRYPT:
        answer_encrypt(answer, ret);
        break;
    case KT_METHOD_DECRYPT:
        answer_decrypt(answer, ret);
        break;
    default:
        refuse_code(ret, KT_E_INTERNAL);
    }
}

void kt_front_encode_away(enum kt_method method, const char *words, const struct kt_front_known *known,
                          struct kt_front_reply *ret)
{
    if (method == KT_METHOD_STATUS)
        encode_status(words, known, ret);
    else
        kt_front_refuse(ret, GRPC_STATUS_UNAVAILABLE, "%s", words);
}
