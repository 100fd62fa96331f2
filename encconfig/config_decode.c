/* SPDX-License-Identifier: Apache-2.0 */
/* sigs.k8s.io/json's strict decoder and the defaults of k8s.io/apiserver/pkg/apis/apiserver/v1, as tables. */
#include "encconfig/config_decode.h"

#include "encconfig/gotext.h"

#include <string.h>

#define PATH_MAX_LEN       ((size_t)65536)
#define STRICT_MAX         100u /* the decoder tells no more */
#define DEFAULT_TIMEOUT_NS INT64_C(3000000000)
#define DEFAULT_CACHESIZE  1000

struct decoder {
    struct kt_encconfig *config;
    struct kt_findings *findings;
    struct kt_text path;
    unsigned n_strict;
    bool bad;
    bool out_of_memory;
};

typedef void take_fn(struct decoder *d, const struct kt_value *value, void *object);

struct field {
    const char *name;
    take_fn *take;
};

static void refuse(struct decoder *d, const struct kt_value *value, const char *text)
{
    d->bad = true;
    kt_encconfig_find(d->config, d->findings, KT_FINDING_DECODE, value->node, d->path.data ? d->path.data : "", text,
                      NULL);
}

static void path_cut(struct decoder *d, size_t len)
{
    d->path.len = len;
    if (d->path.data)
        d->path.data[len] = '\0';
}

static void path_add(struct decoder *d, const char *name)
{
    kt_text_add(&d->path, "%s%s", d->path.len > 0 ? "." : "", name);
}

static void refuse_unknown(struct decoder *d, const struct kt_pair *pair)
{
    KT_CLEANUP(kt_text_done) struct kt_text name = {.data = NULL}, text = {.data = NULL};
    d->bad = true;
    if (d->n_strict++ >= STRICT_MAX)
        return;
    kt_text_init(&name, PATH_MAX_LEN);
    kt_text_init(&text, 4 * PATH_MAX_LEN);
    kt_text_add(&name, "%s%s", d->path.data ? d->path.data : "", d->path.len > 0 ? "." : "");
    kt_text_add_bytes(&name, pair->key, pair->key_len);
    kt_text_add(&text, "unknown field ");
    kt_go_quote(&text, name.data, name.len);
    kt_encconfig_find(d->config, d->findings, KT_FINDING_STRICT, pair->key_node, "", text.data ? text.data : "",
                      "take it out, or correct its name: capitals count");
}

static void take_fields(struct decoder *d, const struct kt_value *value, const struct field *fields, void *object)
{
    if (value->kind == KT_VALUE_NULL)
        return;
    if (value->kind != KT_VALUE_MAP) {
        refuse(d, value, "expected a mapping");
        return;
    }
    for (size_t i = 0; i < value->n; i++) {
        const struct kt_pair *pair = &value->pairs[i];
        const struct field *field = fields;
        while (field->name &&
               (strlen(field->name) != pair->key_len || memcmp(field->name, pair->key, pair->key_len) != 0))
            field++;
        if (!field->name) {
            refuse_unknown(d, pair);
            continue;
        }
        size_t len = d->path.len;
        path_add(d, field->name);
        field->take(d, pair->value, object);
        path_cut(d, len);
    }
}

/* The length of a list, and room for so many; NULL for none or a null. */
static void *take_list(struct decoder *d, const struct kt_value *value, size_t size, size_t *ret)
{
    *ret = 0;
    if (value->kind == KT_VALUE_NULL)
        return NULL;
    if (value->kind != KT_VALUE_LIST) {
        refuse(d, value, "expected a list");
        return NULL;
    }
    void *items = kt_pool_alloc(&d->config->pool, value->n * size);
    if (items)
        *ret = value->n;
    else
        d->out_of_memory = true;
    return items;
}

static size_t path_index(struct decoder *d, size_t i)
{
    size_t len = d->path.len;
    kt_text_add(&d->path, "[%zu]", i);
    return len;
}

static void set_text(struct decoder *d, const struct kt_value *value, struct kt_encconfig_text *ret)
{
    ret->node = value->node;
    if (value->kind == KT_VALUE_TEXT) {
        ret->text = value->scalar.text;
        ret->len = value->scalar.len;
    } else if (value->kind != KT_VALUE_NULL) {
        refuse(d, value, "expected text (quote it, if it is meant as text)");
    }
}

static void take_nothing(struct decoder *d, const struct kt_value *value, void *object)
{
    (void)d;
    (void)value;
    (void)object;
}

/* Keys. */

static void take_key_name(struct decoder *d, const struct kt_value *value, void *object)
{
    set_text(d, value, &((struct kt_encconfig_key *)object)->name);
}

static void take_key_secret(struct decoder *d, const struct kt_value *value, void *object)
{
    set_text(d, value, &((struct kt_encconfig_key *)object)->secret);
}

static const struct field key_fields[] = {{"name", take_key_name}, {"secret", take_key_secret}, {NULL, NULL}};

static void take_key_list(struct decoder *d, const struct kt_value *value, void *object)
{
    struct kt_encconfig_keys *keys = object;
    keys->node = value->node;
    keys->is_null = value->kind == KT_VALUE_NULL;
    keys->items = take_list(d, value, sizeof(*keys->items), &keys->n);
    for (size_t i = 0; i < keys->n; i++) {
        size_t len = path_index(d, i);
        keys->items[i] =
            (struct kt_encconfig_key){.node = value->items[i]->node, .name = {.text = ""}, .secret = {.text = ""}};
        take_fields(d, value->items[i], key_fields, &keys->items[i]);
        path_cut(d, len);
    }
}

static const struct field keys_fields[] = {{"keys", take_key_list}, {NULL, NULL}};

static void take_keys(struct decoder *d, const struct kt_value *value, void *object, enum kt_encconfig_type type)
{
    struct kt_encconfig_provider *provider = object;
    if (value->kind == KT_VALUE_NULL)
        return;
    provider->types[type] = value->node;
    provider->keys[type].is_null = true;
    take_fields(d, value, keys_fields, &provider->keys[type]);
}

static void take_aesgcm(struct decoder *d, const struct kt_value *value, void *object)
{
    take_keys(d, value, object, KT_ENCCONFIG_AESGCM);
}

static void take_aescbc(struct decoder *d, const struct kt_value *value, void *object)
{
    take_keys(d, value, object, KT_ENCCONFIG_AESCBC);
}

static void take_secretbox(struct decoder *d, const struct kt_value *value, void *object)
{
    take_keys(d, value, object, KT_ENCCONFIG_SECRETBOX);
}

/* The others. */

static void take_identity(struct decoder *d, const struct kt_value *value, void *object)
{
    static const struct field none[] = {{NULL, NULL}};
    if (value->kind != KT_VALUE_NULL)
        ((struct kt_encconfig_provider *)object)->types[KT_ENCCONFIG_IDENTITY] = value->node;
    take_fields(d, value, none, object);
}

static void take_kms_version(struct decoder *d, const struct kt_value *value, void *object)
{
    set_text(d, value, &((struct kt_encconfig_kms *)object)->api_version);
}

static void take_kms_name(struct decoder *d, const struct kt_value *value, void *object)
{
    set_text(d, value, &((struct kt_encconfig_kms *)object)->name);
}

static void take_kms_endpoint(struct decoder *d, const struct kt_value *value, void *object)
{
    set_text(d, value, &((struct kt_encconfig_kms *)object)->endpoint);
}

static void take_kms_cachesize(struct decoder *d, const struct kt_value *value, void *object)
{
    struct kt_encconfig_kms *kms = object;
    kms->cachesize_node = value->node;
    if (value->kind == KT_VALUE_NULL)
        return;
    if (value->kind != KT_VALUE_NUMBER || !value->scalar.is_int32) {
        refuse(d, value, "expected a whole number of 32 bits");
        return;
    }
    kms->has_cachesize = true;
    kms->cachesize = value->scalar.number;
}

static void take_kms_timeout(struct decoder *d, const struct kt_value *value, void *object)
{
    struct kt_encconfig_kms *kms = object;
    kms->timeout_node = value->node;
    if (value->kind == KT_VALUE_NULL)
        return;
    if (value->kind != KT_VALUE_TEXT || !kt_go_duration_parse(value->scalar.text, value->scalar.len, &kms->timeout_ns))
        refuse(d, value, "expected a duration with its unit, as 3s or 1m30s");
}

static const struct field kms_fields[] = {
    {"apiVersion", take_kms_version}, {"name", take_kms_name},       {"cachesize", take_kms_cachesize},
    {"endpoint", take_kms_endpoint},  {"timeout", take_kms_timeout}, {NULL, NULL},
};

static void take_kms(struct decoder *d, const struct kt_value *value, void *object)
{
    struct kt_encconfig_provider *provider = object;
    struct kt_encconfig_kms *kms = &provider->kms;
    if (value->kind == KT_VALUE_NULL)
        return;
    provider->types[KT_ENCCONFIG_KMS] = value->node;
    *kms = (struct kt_encconfig_kms){
        .api_version = {.text = ""}, .name = {.text = ""}, .endpoint = {.text = ""}, .timeout_ns = DEFAULT_TIMEOUT_NS};
    take_fields(d, value, kms_fields, kms);
    if (kms->api_version.len == 0) {
        kms->api_version.text = "v1";
        kms->api_version.len = 2;
    }
    if (!kms->has_cachesize && strcmp(kms->api_version.text, "v1") == 0 && kms->api_version.len == 2) {
        kms->has_cachesize = true;
        kms->cachesize = DEFAULT_CACHESIZE;
    }
}

static const struct field provider_fields[] = {
    {"aesgcm", take_aesgcm},     {"aescbc", take_aescbc}, {"secretbox", take_secretbox},
    {"identity", take_identity}, {"kms", take_kms},       {NULL, NULL},
};

/* Entries. */

static void take_resources(struct decoder *d, const struct kt_value *value, void *object)
{
    struct kt_encconfig_entry *entry = object;
    entry->resources_node = value->node;
    entry->resources = take_list(d, value, sizeof(*entry->resources), &entry->n_resources);
    for (size_t i = 0; i < entry->n_resources; i++) {
        size_t len = path_index(d, i);
        entry->resources[i].text = "";
        set_text(d, value->items[i], &entry->resources[i]);
        path_cut(d, len);
    }
}

static void take_providers(struct decoder *d, const struct kt_value *value, void *object)
{
    struct kt_encconfig_entry *entry = object;
    entry->providers_node = value->node;
    entry->providers = take_list(d, value, sizeof(*entry->providers), &entry->n_providers);
    for (size_t i = 0; i < entry->n_providers; i++) {
        size_t len = path_index(d, i);
        entry->providers[i].node = value->items[i]->node;
        take_fields(d, value->items[i], provider_fields, &entry->providers[i]);
        path_cut(d, len);
    }
}

static const struct field entry_fields[] = {{"resources", take_resources}, {"providers", take_providers}, {NULL, NULL}};

static void take_entries(struct decoder *d, const struct kt_value *value, void *object)
{
    struct kt_encconfig *config = object;
    config->resources_node = value->node;
    config->entries = take_list(d, value, sizeof(*config->entries), &config->n_entries);
    for (size_t i = 0; i < config->n_entries; i++) {
        size_t len = path_index(d, i);
        config->entries[i].node = value->items[i]->node;
        take_fields(d, value->items[i], entry_fields, &config->entries[i]);
        path_cut(d, len);
    }
}

static const struct field root_fields[] = {
    {"kind", take_nothing}, {"apiVersion", take_nothing}, {"resources", take_entries}, {NULL, NULL}};

bool kt_encconfig_decode(struct kt_encconfig *config, const struct kt_value *root, struct kt_findings *findings)
{
    struct decoder d = {.config = config, .findings = findings};
    kt_text_init(&d.path, PATH_MAX_LEN);
    take_fields(&d, root, root_fields, config);
    kt_text_done(&d.path);
    return !d.bad && !d.out_of_memory && !findings->out_of_memory;
}
