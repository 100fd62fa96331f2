/* SPDX-License-Identifier: Apache-2.0 */
/* What kube-apiserver takes, and the admin should know. */
#include "encconfig/scalar.h"
#include "encconfig/validate_parts.h"

#include <search.h>
#include <string.h>

#define AES_KEY_LEN_LEAST 16u
#define AES_KEY_LEN       32u

static int compare_names(const void *a, const void *b)
{
    const struct kt_encconfig_text *x = a;
    const struct kt_encconfig_text *y = b;
    int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static void keep_name(void *name)
{
    (void)name; /* it lives with the config */
}

/* names: tsearch(3) of those of the keys so far. */
static void warn_key(struct kt_validator *v, const struct kt_encconfig_key *key, bool is_aes, void **names)
{
    size_t len = 0;
    if (is_aes && kt_scalar_base64(key->secret.text, key->secret.len, NULL, &len) && len >= AES_KEY_LEN_LEAST &&
        len < AES_KEY_LEN)
        kt_validator_warn(v, key->secret.node, "the key is shorter than 32 bytes",
                          "take a key of 32 bytes when it is rotated next");
    const struct kt_encconfig_text *const *found = tsearch(&key->name, names, compare_names);
    if (!found)
        v->findings->out_of_memory = true;
    else if (*found != &key->name)
        kt_validator_warn(v, key->name.node,
                          "another key of this provider has that name: stored objects do not say which one they need",
                          "keep both as they are until everything is rewritten under a key with a name of its own");
}

static void warn_keys(struct kt_validator *v, const struct kt_encconfig_provider *provider, enum kt_encconfig_type type)
{
    const struct kt_encconfig_keys *keys = &provider->keys[type];
    if (!provider->types[type])
        return;
    size_t type_len = kt_validator_enter(v, kt_encconfig_type_text(type));
    if (type == KT_ENCCONFIG_AESGCM)
        kt_validator_warn(v, provider->types[type],
                          "an aesgcm key must be replaced before 200,000 writes, for its nonces are random",
                          "rotate it by a schedule, or move to kms, aescbc or secretbox");
    size_t keys_len = kt_validator_enter(v, "keys");
    void *names = NULL;
    for (size_t i = 0; i < keys->n; i++) {
        size_t len = kt_validator_enter_item(v, i);
        warn_key(v, &keys->items[i], type != KT_ENCCONFIG_SECRETBOX, &names);
        kt_validator_leave(v, len);
    }
    tdestroy(names, keep_name);
    kt_validator_leave(v, keys_len);
    kt_validator_leave(v, type_len);
}

static void warn_provider(struct kt_validator *v, const struct kt_encconfig_provider *provider)
{
    const struct kt_encconfig_text *version = &provider->kms.api_version;
    for (enum kt_encconfig_type type = KT_ENCCONFIG_AESGCM; type <= KT_ENCCONFIG_SECRETBOX; type++)
        warn_keys(v, provider, type);
    if (provider->types[KT_ENCCONFIG_KMS] && version->len == 2 && memcmp(version->text, "v1", 2) == 0)
        kt_validator_warn(
            v, version->node ? version->node : provider->types[KT_ENCCONFIG_KMS],
            "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead: "
            "kube-apiserver takes v1 only with --feature-gates=KMSv1=true",
            "write apiVersion: v2 if the plugin speaks it; without the line it is v1");
}

static void warn_entry(struct kt_validator *v, const struct kt_encconfig_entry *entry)
{
    size_t len = kt_validator_enter(v, "providers");
    for (size_t i = 0; i < entry->n_providers; i++) {
        size_t before = kt_validator_enter_item(v, i);
        if (i == 0 && entry->providers[i].types[KT_ENCCONFIG_IDENTITY])
            kt_validator_warn(v, entry->providers[i].node, "identity stands first: what is written is not encrypted",
                              "move it behind the provider that shall encrypt");
        warn_provider(v, &entry->providers[i]);
        kt_validator_leave(v, before);
    }
    kt_validator_leave(v, len);
}

/* Something behind the first document that is no comment. */
static bool has_more(const struct kt_source *source)
{
    const struct kt_slice text = kt_source_text(source);
    size_t i = kt_source_document_end(source);
    if (text.len - i >= 3 && memcmp(text.data + i, "...", 3) == 0)
        i += 3;
    while (i < text.len) {
        if (text.data[i] == '#')
            while (i < text.len && text.data[i] != '\n' && text.data[i] != '\r')
                i++;
        else if (text.data[i] && strchr(" \t\r\n", text.data[i]))
            i++;
        else
            return true;
    }
    return false;
}

void kt_validate_warnings(struct kt_validator *v)
{
    if (v->config->is_first_form)
        kt_validator_warn(v, NULL, "apiVersion v1 with kind EncryptionConfig is the form of Kubernetes 1.7",
                          "write apiVersion: apiserver.config.k8s.io/v1 and kind: EncryptionConfiguration");
    if (has_more(v->config->source))
        kt_findings_add(v->findings, KT_FINDING_WARNING,
                        kt_source_place(v->config->source, kt_source_document_end(v->config->source)), "",
                        "kube-apiserver reads the first document of the file and nothing behind it",
                        "put all entries into one document");
    size_t len = kt_validator_enter(v, "resources");
    for (size_t i = 0; i < v->config->n_entries; i++) {
        size_t before = kt_validator_enter_item(v, i);
        warn_entry(v, &v->config->entries[i]);
        kt_validator_leave(v, before);
    }
    kt_validator_leave(v, len);
}
