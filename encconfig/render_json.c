/* SPDX-License-Identifier: Apache-2.0 */
/* The form of RKE2's encryption-config.json: two blanks for each level, one member a line. */
#include "base/printable.h"
#include "encconfig/render_parts.h"

#include <stdio.h>

static const char *const names[] = {
    [KT_ENCCONFIG_AESCBC] = "aescbc",
    [KT_ENCCONFIG_AESGCM] = "aesgcm",
    [KT_ENCCONFIG_SECRETBOX] = "secretbox",
};

/* UTF-8 stays as it is, which JSON and YAML both read, whichever kube-apiserver takes the file for. */
static void put_text(struct kt_render_out *out, const char *text)
{
    kt_render_put(out, "\"");
    while (*text != '\0') {
        char escape[8] = "";
        uint32_t c = 0;
        size_t n = kt_utf8_decode(text, &c);
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof(escape), "\\%c", (char)c);
        else if (c < ' ' || (c >= 0x7f && c <= 0xa0) || c == 0x2028 || c == 0x2029 || c == KT_NOT_UTF8)
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)(c == KT_NOT_UTF8 ? 0xfffdu : c));
        if (escape[0])
            kt_render_put(out, escape);
        else
            kt_render_put_bytes(out, text, n);
        text += n;
    }
    kt_render_put(out, "\"");
}

/* A group at a time, so that no other copy of the key is made. */
static void put_key(struct kt_render_out *out, const struct kt_secret *key)
{
    size_t len = kt_secret_len(key);
    char group[5];
    for (size_t i = 0; i < len; i += 3) {
        kt_base64_encode(KT_SLICE(kt_secret_view(key) + i, len - i < 3 ? len - i : 3), group);
        kt_render_put_bytes(out, group, 4);
    }
    kt_wipe(group, sizeof(group));
}

static void put_entry(const struct kt_render_plan *plan, const struct kt_encconfig_key *key, struct kt_render_out *out)
{
    kt_render_put(out, "              {\n                \"name\": ");
    put_text(out, key->name);
    kt_render_put(out, ",\n                \"secret\": \"");
    if (plan->fresh->masked)
        kt_render_put(out, KT_ENCCONFIG_MASK);
    else
        put_key(out, key->bytes);
    kt_render_put(out, "\"\n              }");
}

static void put_inline(const struct kt_render_plan *plan, unsigned kind, struct kt_render_out *out)
{
    bool first = true;
    kt_render_put(out, "          \"");
    kt_render_put(out, names[kind]);
    kt_render_put(out, "\": {\n            \"keys\": [\n");
    for (size_t i = 0; i < plan->fresh->n_keys; i++) {
        if (plan->fresh->keys[i].kind != kind)
            continue;
        if (!first)
            kt_render_put(out, ",\n");
        put_entry(plan, &plan->fresh->keys[i], out);
        first = false;
    }
    kt_render_put(out, "\n            ]\n          }\n");
}

static void put_kms(const struct kt_render_plan *plan, struct kt_render_out *out)
{
    kt_render_put(out, "          \"kms\": {\n            \"apiVersion\": \"v2\",\n            \"name\": ");
    put_text(out, plan->fresh->provider);
    kt_render_put(out, ",\n            \"endpoint\": ");
    put_text(out, plan->endpoint);
    kt_render_put(out, ",\n            \"timeout\": \"3s\"\n          }\n");
}

static void put_provider(const struct kt_render_plan *plan, unsigned kind, struct kt_render_out *out)
{
    if (kind == KT_RENDER_IDENTITY)
        kt_render_put(out, "          \"identity\": {}\n");
    else if (kind == KT_ENCCONFIG_KMS)
        put_kms(plan, out);
    else
        put_inline(plan, kind, out);
}

void kt_render_json(const struct kt_render_plan *plan, struct kt_render_out *out)
{
    kt_render_put(out, "{\n"
                       "  \"kind\": \"EncryptionConfiguration\",\n"
                       "  \"apiVersion\": \"apiserver.config.k8s.io/v1\",\n"
                       "  \"resources\": [\n"
                       "    {\n"
                       "      \"resources\": [\n"
                       "        \"secrets\"\n"
                       "      ],\n"
                       "      \"providers\": [\n");
    for (size_t i = 0; i < plan->n_providers; i++) {
        kt_render_put(out, "        {\n");
        put_provider(plan, plan->providers[i], out);
        kt_render_put(out, i + 1 < plan->n_providers ? "        },\n" : "        }\n");
    }
    kt_render_put(out, "      ]\n"
                       "    }\n"
                       "  ]\n"
                       "}\n");
}
