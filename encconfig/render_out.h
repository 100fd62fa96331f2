/* SPDX-License-Identifier: Apache-2.0 */
/* How text of an EncryptionConfiguration is written: what render.c and edit.c share. Private. */
#pragma once

#include "base/secret.h"

/* Text with a fixed end; measured first, with data NULL, then written. */
struct kt_render_out {
    uint8_t *data;
    size_t len;
};
void kt_render_put(struct kt_render_out *out, const char *text);
void kt_render_put_bytes(struct kt_render_out *out, const void *bytes, size_t len);
/* In double quotes. UTF-8 stays as it is, which JSON and YAML both read, whichever kube-apiserver takes the file for.
 */
void kt_render_put_json(struct kt_render_out *out, const char *text);
/* In double quotes, with \U for all that is not ASCII: some of it ends a line in YAML 1.1. */
void kt_render_put_quoted(struct kt_render_out *out, const char *text);
/* Plain where it reads back as that very string (outside of flow style, where a colon may not do), else quoted. */
void kt_render_put_yaml(struct kt_render_out *out, const char *text);
void kt_render_put_base64(struct kt_render_out *out, const struct kt_secret *key);
