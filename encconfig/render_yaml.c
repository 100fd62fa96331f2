/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/render_parts.h"

static void put_kms(const struct kt_render_plan *plan, struct kt_render_out *out)
{
    kt_render_put(out, "      - kms:\n          apiVersion: v2\n          name: ");
    kt_render_put_yaml(out, plan->fresh->provider);
    kt_render_put(out, "\n          endpoint: ");
    kt_render_put_yaml(out, plan->endpoint);
    kt_render_put(out, "\n          timeout: 3s\n");
}

void kt_render_yaml(const struct kt_render_plan *plan, struct kt_render_out *out)
{
    kt_render_put(out, "apiVersion: apiserver.config.k8s.io/v1\n"
                       "kind: EncryptionConfiguration\n"
                       "resources:\n"
                       "  - resources:\n"
                       "      - secrets\n"
                       "    providers:\n");
    for (size_t i = 0; i < plan->n_providers; i++) {
        if (plan->providers[i] == KT_RENDER_IDENTITY)
            kt_render_put(out, "      - identity: {}\n");
        else
            put_kms(plan, out);
    }
}
