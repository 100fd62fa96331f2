/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of wiring.h share. Private to wiring/. */
#pragma once

#include "wiring/wiring.h"
#include "wiring/yaml_edit.h"

/* A text that is changed step by step. */
struct kt_wiring_text {
    struct kt_bytes bytes;
    struct kt_error *err;
    bool failed;
};
void kt_wiring_begin(struct kt_wiring_text *text, struct kt_slice bytes, struct kt_error *err);
void kt_wiring_append(struct kt_wiring_text *text, kt_yaml_path path, const char *fmt, ...) KT_PRINTF(3, 4);
void kt_wiring_cut(struct kt_wiring_text *text, kt_yaml_path path, size_t index);
/* Moves the bytes out. */
bool kt_wiring_end(struct kt_wiring_text *text, struct kt_bytes *ret) KT_MUST_CHECK;

/* manifest.c */
bool kt_wiring_manifest(const struct kt_host *host, struct kt_wiring *wiring, struct kt_error *err) KT_MUST_CHECK;
bool kt_wiring_manifest_out(const struct kt_host *host, struct kt_wiring *wiring, struct kt_error *err) KT_MUST_CHECK;
/* drop_in.c */
bool kt_wiring_drop_in(const struct kt_host *host, struct kt_wiring *wiring, struct kt_error *err) KT_MUST_CHECK;
bool kt_wiring_drop_in_out(struct kt_wiring *wiring, struct kt_error *err) KT_MUST_CHECK;
