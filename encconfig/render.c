/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/render.h"

#include "encconfig/render_parts.h"

#include <stdio.h>

static void add_provider(struct kt_render_plan *plan, unsigned provider)
{
    for (size_t i = 0; i < plan->n_providers; i++) {
        if (plan->providers[i] == provider)
            return;
    }
    plan->providers[plan->n_providers++] = provider;
}

static void order(struct kt_render_plan *plan)
{
    const struct kt_encconfig_fresh *fresh = plan->fresh;
    if (!fresh->enabled)
        add_provider(plan, KT_RENDER_IDENTITY);
    for (size_t i = 0; i < fresh->n_keys; i++)
        add_provider(plan, fresh->keys[i].kind);
    if (fresh->enabled && !fresh->strict)
        add_provider(plan, KT_RENDER_IDENTITY);
}

static bool check(const struct kt_encconfig_fresh *fresh, struct kt_error *err)
{
    if (fresh->n_keys == 0)
        return kt_fail(err, KT_E_REFUSED, "expected a key to render, found none");
    for (size_t i = 0; i < fresh->n_keys; i++) {
        const struct kt_encconfig_fresh_key *key = &fresh->keys[i];
        if (key->kind < KT_FRESH_KMS || key->kind > KT_FRESH_SECRETBOX)
            return kt_fail(err, KT_E_INTERNAL, "a key of no kind that can be rendered: %d", (int)key->kind);
        if (key->kind == KT_FRESH_KMS || fresh->masked)
            continue;
        if (!key->bytes || kt_secret_len(key->bytes) > KT_ENCCONFIG_KEY_MAX)
            return kt_fail(err, KT_E_INTERNAL, "expected the bytes of inline key %zu, found none", i + 1);
    }
    return true;
}

static bool make_plan(const struct kt_encconfig_fresh *fresh, struct kt_render_plan *ret, struct kt_error *err)
{
    *ret = (struct kt_render_plan){.fresh = fresh};
    if (!kt_encconfig_endpoint(fresh->kms_socket, ret->endpoint, err) || !check(fresh, err))
        return false;
    order(ret);
    return true;
}

static bool has_inline(const struct kt_encconfig_fresh *fresh)
{
    for (size_t i = 0; i < fresh->n_keys; i++) {
        if (fresh->keys[i].kind != KT_FRESH_KMS)
            return true;
    }
    return false;
}

struct kt_secret *kt_encconfig_render(const struct kt_encconfig_fresh *fresh, struct kt_error *err)
{
    struct kt_render_plan plan;
    struct kt_render_out out = {.data = NULL};
    if (!make_plan(fresh, &plan, err))
        return NULL;
    void (*const form)(const struct kt_render_plan *, struct kt_render_out *) =
        has_inline(fresh) ? kt_render_json : kt_render_yaml;
    form(&plan, &out);
    if (out.len > KT_SECRET_MAX) {
        kt_fail(err, KT_E_REFUSED, "the configuration would have %zu bytes: expected at most %u", out.len,
                KT_SECRET_MAX);
        kt_error_hint(err, "retire keys that nothing is stored under any more (keyturn retire)");
        return NULL;
    }
    struct kt_secret *secret = kt_secret_new(out.len, err);
    if (!secret)
        return NULL;
    out = (struct kt_render_out){.data = kt_secret_bytes(secret)};
    form(&plan, &out);
    return secret;
}
