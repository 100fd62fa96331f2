/* SPDX-License-Identifier: Apache-2.0 */
/* The form of RKE2's encryption-config.json: two blanks for each level, one member a line. */
#include "encconfig/render_parts.h"

static const char *const names[] = {
    [KT_FRESH_AESCBC] = "aescbc",
    [KT_FRESH_AESGCM] = "aesgcm",
    [KT_FRESH_SECRETBOX] = "secretbox",
};

static void put_entry(const struct kt_render_plan *plan, const struct kt_encconfig_fresh_key *key,
                      struct kt_render_out *out)
{
    kt_render_put(out, "              {\n                \"name\": ");
    kt_render_put_json(out, key->name);
    kt_render_put(out, ",\n                \"secret\": \"");
    if (plan->fresh->masked)
        kt_render_put(out, KT_ENCCONFIG_MASK);
    else
        kt_render_put_base64(out, key->bytes);
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
    kt_render_put_json(out, plan->fresh->provider);
    kt_render_put(out, ",\n            \"endpoint\": ");
    kt_render_put_json(out, plan->endpoint);
    kt_render_put(out, ",\n            \"timeout\": \"3s\"\n          }\n");
}

static void put_provider(const struct kt_render_plan *plan, unsigned kind, struct kt_render_out *out)
{
    if (kind == KT_RENDER_IDENTITY)
        kt_render_put(out, "          \"identity\": {}\n");
    else if (kind == KT_FRESH_KMS)
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
