/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/gotext.h"
#include "encconfig/scalar.h"
#include "encconfig/validate_parts.h"

#include <string.h>

#define TEXT_MAX ((size_t)64 * 1024 * 1024)

/* Lengths of keys, in bytes; 0 ends them. */
static const struct {
    unsigned char lengths[4];
    const char *text;
} key_lengths[] = {
    [KT_ENCCONFIG_AESGCM] = {{16, 24, 32}, "[16 24 32]"},
    [KT_ENCCONFIG_AESCBC] = {{16, 24, 32}, "[16 24 32]"},
    [KT_ENCCONFIG_SECRETBOX] = {{32}, "[32]"},
};

static void print_keys(const struct kt_encconfig_keys *keys, struct kt_text *out)
{
    if (keys->is_null) {
        kt_text_add(out, "{\"Keys\":null}");
        return;
    }
    kt_text_add(out, "{\"Keys\":[");
    for (size_t i = 0; i < keys->n; i++) {
        kt_text_add(out, "%s{\"Name\":", i > 0 ? "," : "");
        kt_go_json(out, keys->items[i].name.text, keys->items[i].name.len);
        kt_text_add(out, ",\"Secret\":\"%s\"}", keys->items[i].secret.len > 0 ? "REDACTED" : "");
    }
    kt_text_add(out, "]}");
}

static void print_kms(const struct kt_encconfig_kms *kms, struct kt_text *out)
{
    KT_CLEANUP(kt_text_done) struct kt_text timeout = {.data = NULL};
    kt_text_add(out, "{\"APIVersion\":");
    kt_go_json(out, kms->api_version.text, kms->api_version.len);
    kt_text_add(out, ",\"Name\":");
    kt_go_json(out, kms->name.text, kms->name.len);
    if (kms->has_cachesize)
        kt_text_add(out, ",\"CacheSize\":%d,\"Endpoint\":", kms->cachesize);
    else
        kt_text_add(out, ",\"CacheSize\":null,\"Endpoint\":");
    kt_go_json(out, kms->endpoint.text, kms->endpoint.len);
    kt_text_init(&timeout, 64);
    kt_go_duration_print(&timeout, kms->timeout_ns);
    kt_text_add(out, ",\"Timeout\":\"%s\"}", timeout.data ? timeout.data : "");
}

void kt_validate_print_provider(const struct kt_encconfig_provider *provider, struct kt_text *out)
{
    static const char *const names[] = {"AESGCM", "AESCBC", "Secretbox", "Identity", "KMS"};
    for (size_t i = 0; i < KT_ENCCONFIG_TYPES; i++) {
        kt_text_add(out, "%s\"%s\":", i > 0 ? "," : "{", names[i]);
        if (!provider->types[i])
            kt_text_add(out, "null");
        else if (i == KT_ENCCONFIG_KMS)
            print_kms(&provider->kms, out);
        else if (i == KT_ENCCONFIG_IDENTITY)
            kt_text_add(out, "{}");
        else
            print_keys(&provider->keys[i], out);
    }
    kt_text_add(out, "}");
}

static bool fits(enum kt_encconfig_type type, size_t len)
{
    for (size_t i = 0; key_lengths[type].lengths[i]; i++)
        if (len == key_lengths[type].lengths[i])
            return true;
    return false;
}

static void validate_secret(struct kt_validator *v, const struct kt_encconfig_key *key, enum kt_encconfig_type type)
{
    static const char advice[] = "make one: head -c 32 /dev/urandom | base64";
    char detail[128];
    size_t len = 0;
    if (key->secret.len == 0) {
        kt_validator_required(v, key->secret.node ? key->secret.node : key->node,
                              "secret is a mandatory field for a key", advice);
    } else if (!kt_scalar_base64(key->secret.text, key->secret.len, NULL, &len)) {
        kt_validator_invalid(v, key->secret.node, "\"REDACTED\"", "secrets must be base64 encoded", advice);
    } else if (!fits(type, len)) {
        snprintf(detail, sizeof(detail), "secret is not of the expected length, got %zu, expected one of %s", len,
                 key_lengths[type].text);
        kt_validator_invalid(v, key->secret.node, "\"REDACTED\"", detail, advice);
    }
}

static void validate_key(struct kt_validator *v, const struct kt_encconfig_key *key, enum kt_encconfig_type type)
{
    size_t len = kt_validator_enter(v, "name");
    if (key->name.len == 0)
        kt_validator_required(v, key->name.node ? key->name.node : key->node, "name is a mandatory field for a key",
                              "stored objects name their key: never change the name of one that is in use");
    kt_validator_leave(v, len);
    len = kt_validator_enter(v, "secret");
    validate_secret(v, key, type);
    kt_validator_leave(v, len);
}

static void validate_keys(struct kt_validator *v, const struct kt_encconfig_provider *provider,
                          enum kt_encconfig_type type)
{
    const struct kt_encconfig_keys *keys = &provider->keys[type];
    size_t type_len = kt_validator_enter(v, kt_encconfig_type_text(type));
    size_t keys_len = kt_validator_enter(v, "keys");
    if (keys->n == 0)
        kt_validator_required(v, keys->node ? keys->node : provider->types[type], "at least one keys is required",
                              "list a key with name and secret");
    for (size_t i = 0; i < keys->n; i++) {
        size_t len = kt_validator_enter_item(v, i);
        validate_key(v, &keys->items[i], type);
        kt_validator_leave(v, len);
    }
    kt_validator_leave(v, keys_len);
    kt_validator_leave(v, type_len);
}

static void validate_number(struct kt_validator *v, const struct kt_encconfig_provider *provider, size_t n)
{
    KT_CLEANUP(kt_text_done) struct kt_text value = {.data = NULL};
    if (n == 1)
        return;
    kt_text_init(&value, TEXT_MAX);
    kt_validate_print_provider(provider, &value);
    kt_validator_invalid(v, provider->node, value.data ? value.data : "",
                         n == 0 ? "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, "
                                  "Secretbox, Identity"
                                : "more than one provider specified in a single element, should split into different "
                                  "list elements",
                         n == 0 ? "name one; identity needs its {}" : "begin each provider with a dash of its own");
}

void kt_validate_provider(struct kt_validator *v, const struct kt_encconfig_provider *provider)
{
    /* Of several, kube-apiserver looks into the first of these. */
    static const enum kt_encconfig_type order[] = {KT_ENCCONFIG_KMS, KT_ENCCONFIG_AESGCM, KT_ENCCONFIG_AESCBC,
                                                   KT_ENCCONFIG_SECRETBOX};
    size_t n = 0;
    for (size_t i = 0; i < KT_ENCCONFIG_TYPES; i++)
        n += provider->types[i] != NULL;
    validate_number(v, provider, n);
    for (size_t i = 0; i < KT_ARRAY_LEN(order); i++) {
        if (!provider->types[order[i]])
            continue;
        if (order[i] == KT_ENCCONFIG_KMS)
            kt_validate_kms(v, &provider->kms, provider->types[KT_ENCCONFIG_KMS]);
        else
            validate_keys(v, provider, order[i]);
        return;
    }
}
