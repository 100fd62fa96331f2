/* SPDX-License-Identifier: Apache-2.0 */
/* LabeledExtract and LabeledExpand of RFC 9180 §4, for the one suite that hpke.h names. */
#pragma once

#include "keystore/kdf.h"

enum kt_hpke_suite { KT_SUITE_KEM, KT_SUITE_HPKE };

/* suite: whether the suite_id of the KEM or of the whole suite goes in. */
struct kt_hpke_label {
    enum kt_hpke_suite suite;
    const char *text;
};
#define KT_KEM_LABEL(t)  ((struct kt_hpke_label){.suite = KT_SUITE_KEM, .text = (t)})
#define KT_HPKE_LABEL(t) ((struct kt_hpke_label){.suite = KT_SUITE_HPKE, .text = (t)})

struct kt_secret *kt_labeled_extract(struct kt_hpke_label label, struct kt_slice salt, struct kt_slice ikm,
                                     struct kt_error *err) KT_MUST_CHECK;
/* info: at most KT_LABELED_INFO_MAX bytes, not secret. len: up to 8160. */
#define KT_LABELED_INFO_MAX 384u
struct kt_secret *kt_labeled_expand(struct kt_hpke_label label, const struct kt_secret *prk, struct kt_slice info,
                                    size_t len, struct kt_error *err) KT_MUST_CHECK;
