/* SPDX-License-Identifier: Apache-2.0 */
/* What render.c and its two forms share. Private. */
#pragma once

#include "encconfig/endpoint.h"
#include "encconfig/render.h"
#include "encconfig/render_out.h"

/* What the file is made of, once the order is known. */
#define KT_RENDER_IDENTITY      0
#define KT_RENDER_PROVIDERS_MAX 5u
struct kt_render_plan {
    const struct kt_encconfig_fresh *fresh;
    char endpoint[KT_ENCCONFIG_ENDPOINT_MAX];
    unsigned providers[KT_RENDER_PROVIDERS_MAX]; /* enum kt_encconfig_fresh_kind, or KT_RENDER_IDENTITY */
    size_t n_providers;
};

/* render_yaml.c: kms and identity. */
void kt_render_yaml(const struct kt_render_plan *plan, struct kt_render_out *out);
/* render_json.c: all of them. */
void kt_render_json(const struct kt_render_plan *plan, struct kt_render_out *out);
