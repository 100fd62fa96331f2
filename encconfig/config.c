/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/config.h"

#include "encconfig/config_decode.h"
#include "encconfig/gotext.h"

#include <string.h>

#define GROUP_VERSION "apiserver.config.k8s.io/v1"

static const char how_to_begin[] =
    "begin the file with apiVersion: " GROUP_VERSION " and kind: EncryptionConfiguration";

const char *kt_encconfig_type_text(enum kt_encconfig_type type)
{
    static const char *const texts[] = {"aesgcm", "aescbc", "secretbox", "identity", "kms"};
    return texts[type];
}

struct kt_place kt_encconfig_place(const struct kt_encconfig *config, const struct kt_source_node *node)
{
    return kt_source_place(config->source, node ? node->span.start : 0);
}

void kt_encconfig_find(const struct kt_encconfig *config, struct kt_findings *findings, enum kt_finding_kind kind,
                       const struct kt_source_node *node, const char *path, const char *text, const char *advice)
{
    const struct kt_place nowhere = {.line = 1, .column = 1};
    bool is_full = findings->n == KT_FINDINGS_MAX;
    kt_findings_add(findings, kind, is_full ? nowhere : kt_encconfig_place(config, node), path, text, advice);
}

static bool refuse(const struct kt_encconfig *config, const struct kt_value *value, struct kt_findings *findings,
                   const char *text)
{
    kt_encconfig_find(config, findings, KT_FINDING_DECODE, value->node, "", text, how_to_begin);
    return false;
}

static bool equal(struct kt_slice text, const char *word)
{
    return kt_slice_equal(text, kt_slice_str(word));
}

/* encoding/json, which looks for the kind first, takes capitals for small letters; that such a field is not known is
 * found later. */
static bool is_name(const struct kt_pair *pair, const char *name)
{
    return pair->key_len == strlen(name) && strncasecmp(pair->key, name, pair->key_len) == 0;
}

/* A field of the document that is a text, or null, or not there: then the empty text. The last one counts. */
static bool get_text(const struct kt_value *root, const char *name, struct kt_slice *ret)
{
    bool is_text = true;
    *ret = kt_slice_str("");
    for (size_t i = 0; i < root->n && root->kind == KT_VALUE_MAP; i++) {
        const struct kt_value *value = root->pairs[i].value;
        if (!is_name(&root->pairs[i], name) || value->kind == KT_VALUE_NULL)
            continue;
        is_text = is_text && value->kind == KT_VALUE_TEXT;
        *ret = value->kind == KT_VALUE_TEXT ? KT_SLICE(value->scalar.text, value->scalar.len) : *ret;
    }
    return is_text;
}

/* What Go's schema.ParseGroupVersion makes of it: "/v1" is "v1". False: two slashes. */
static bool trim_version(struct kt_slice *version)
{
    const uint8_t *slash = memchr(version->data, '/', version->len);
    size_t behind = slash ? (size_t)(slash - version->data) + 1 : version->len;
    if (slash && memchr(slash + 1, '/', version->len - behind))
        return false;
    if (slash == version->data)
        *version = KT_SLICE(version->data + 1, version->len - 1);
    return true;
}

static bool refuse_kind(const struct kt_encconfig *config, const struct kt_value *root, struct kt_findings *findings,
                        struct kt_slice kind, struct kt_slice version)
{
    KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL};
    kt_text_init(&text, 4 * (kind.len + version.len) + 256);
    kt_text_add(&text, "no kind ");
    kt_go_quote(&text, (const char *)kind.data, kind.len);
    kt_text_add(&text, " is registered for version ");
    kt_go_quote(&text, (const char *)version.data, version.len);
    const struct kt_pair *pair = kt_value_get(root, "kind");
    return refuse(config, pair ? pair->value : root, findings, text.data ? text.data : "");
}

static bool check_kind(struct kt_encconfig *config, const struct kt_value *root, struct kt_findings *findings)
{
    struct kt_slice kind, version;
    if (root->kind != KT_VALUE_MAP && root->kind != KT_VALUE_NULL)
        return refuse(config, root, findings, "expected a mapping");
    if (!get_text(root, "kind", &kind) || !get_text(root, "apiVersion", &version))
        return refuse(config, root, findings, "expected kind and apiVersion to be text");
    if (!trim_version(&version))
        return refuse(config, root, findings, "unexpected GroupVersion string");
    if (kind.len == 0)
        return refuse(config, root, findings, "Object 'Kind' is missing");
    if (version.len == 0 || version.data[version.len - 1] == '/')
        return refuse(config, root, findings, "Object 'apiVersion' is missing");
    config->is_first_form = equal(kind, "EncryptionConfig") && equal(version, "v1");
    if (config->is_first_form || (equal(kind, "EncryptionConfiguration") && equal(version, GROUP_VERSION)))
        return true;
    return refuse_kind(config, root, findings, kind, version);
}

/* An error of the parser or of kt_value_make() becomes a finding. */
static bool refuse_error(struct kt_findings *findings, struct kt_place place, const struct kt_error *err)
{
    const char *text = strstr(err->message, ": ");
    bool has_place = strncmp(err->message, "line ", 5) == 0 && text;
    if (err->code == KT_E_CONFIG)
        kt_findings_add(findings, KT_FINDING_DECODE, place, "", has_place ? text + 2 : err->message, NULL);
    return false;
}

static bool fill(struct kt_encconfig *config, struct kt_slice bytes, struct kt_findings *findings, struct kt_error *err)
{
    struct kt_place place = {.line = 1, .column = 1};
    if (bytes.len == 0) {
        kt_findings_add(findings, KT_FINDING_DECODE, place, "", "the file is empty", how_to_begin);
        return false;
    }
    config->source = kt_source_parse(bytes, &place, err);
    if (!config->source)
        return refuse_error(findings, place, err);
    const struct kt_value *root = kt_value_make(config->source, &config->pool, &place, err);
    if (!root)
        return refuse_error(findings, place, err);
    return check_kind(config, root, findings) && kt_encconfig_decode(config, root, findings);
}

struct kt_encconfig *kt_encconfig_parse(struct kt_slice bytes, struct kt_findings *findings, struct kt_error *err)
{
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = calloc(1, sizeof(*config));
    struct kt_error problem = KT_ERROR_INIT;
    if (config && fill(config, bytes, findings, &problem))
        return KT_TAKE_PTR(config);
    if (!config || findings->out_of_memory || kt_findings_count(findings) == 0)
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
    else
        (void)kt_fail(err, KT_E_CONFIG, "the EncryptionConfiguration does not decode");
    return NULL;
}

void kt_encconfig_free(struct kt_encconfig *config)
{
    if (!config)
        return;
    kt_pool_done(&config->pool);
    kt_source_free(config->source);
    free(config);
}

struct kt_secret *kt_encconfig_key_secret(const struct kt_encconfig_key *key, struct kt_error *err)
{
    size_t len = 0;
    if (!kt_scalar_base64(key->secret.text, key->secret.len, NULL, &len)) {
        (void)kt_fail(err, KT_E_CONFIG, "expected a key in base64");
        return NULL;
    }
    if (len == 0 || len > KT_SECRET_MAX) {
        (void)kt_fail(err, KT_E_CONFIG, "expected a key of 1 to %u bytes, found %zu", KT_SECRET_MAX, len);
        return NULL;
    }
    struct kt_secret *secret = kt_secret_new(len, err);
    if (secret && !kt_scalar_base64(key->secret.text, key->secret.len, kt_secret_bytes(secret), &len))
        (void)kt_fail(err, KT_E_INTERNAL, "base64 reads in two ways");
    return secret;
}
