/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/hpke_label.h"

#include <string.h>

static const uint8_t version[] = {'H', 'P', 'K', 'E', '-', 'v', '1'};
static const uint8_t kem_suite[] = {'K', 'E', 'M', 0x00, 0x10};
static const uint8_t hpke_suite[] = {'H', 'P', 'K', 'E', 0x00, 0x10, 0x00, 0x01, 0x00, 0x02};

#define LABEL_MAX 32u

static void put_label(struct kt_writer *w, struct kt_hpke_label label)
{
    kt_writer_bytes(w, version, sizeof(version));
    if (label.suite == KT_SUITE_KEM)
        kt_writer_bytes(w, kem_suite, sizeof(kem_suite));
    else
        kt_writer_bytes(w, hpke_suite, sizeof(hpke_suite));
    kt_writer_bytes(w, label.text, strlen(label.text));
}

struct kt_secret *kt_labeled_extract(struct kt_hpke_label label, struct kt_slice salt, struct kt_slice ikm,
                                     struct kt_error *err)
{
    const size_t cap = sizeof(version) + sizeof(hpke_suite) + LABEL_MAX + ikm.len;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *labeled = kt_secret_new(cap, err);
    if (!labeled)
        return NULL;
    struct kt_writer w = {.data = NULL};
    kt_writer_init(&w, kt_secret_bytes(labeled), cap);
    put_label(&w, label);
    if (ikm.len > 0)
        kt_writer_bytes(&w, ikm.data, ikm.len);
    if (w.bad) {
        kt_fail(err, KT_E_INTERNAL, "an HPKE label has at most %u bytes", LABEL_MAX);
        return NULL;
    }
    return kt_hkdf_extract(salt, KT_SLICE(w.data, w.len), err);
}

struct kt_secret *kt_labeled_expand(struct kt_hpke_label label, const struct kt_secret *prk, struct kt_slice info,
                                    size_t len, struct kt_error *err)
{
    uint8_t labeled[2 + sizeof(version) + sizeof(hpke_suite) + LABEL_MAX + KT_LABELED_INFO_MAX] = {0};
    struct kt_writer w = {.data = NULL};
    kt_writer_init(&w, labeled, sizeof(labeled));
    kt_writer_u16(&w, (uint16_t)len);
    put_label(&w, label);
    if (info.len > 0)
        kt_writer_bytes(&w, info.data, info.len);
    if (w.bad || len > UINT16_MAX) {
        kt_fail(err, KT_E_INTERNAL, "an HPKE label and its context are too long");
        return NULL;
    }
    return kt_hkdf_expand(prk, KT_SLICE(labeled, w.len), len, err);
}
