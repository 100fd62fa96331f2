/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/tpm_blob.h"

#include <string.h>

/* As node.key has: magic with the version, kind 0x02, three zero bytes. */
static const uint8_t header[] = {'k', 'e', 'y', 't', 'u', 'r', 'n', 0x01, 0x02, 0, 0, 0};

#define PART_MAX 2048u

static void put_all(struct kt_writer *w, const struct kt_tpm_blob *blob)
{
    kt_writer_bytes(w, header, sizeof(header));
    kt_writer_bytes(w, blob->parent_name, sizeof(blob->parent_name));
    kt_writer_u32(w, blob->parent_handle);
    kt_writer_u8(w, (uint8_t)blob->template);
    kt_writer_u8(w, blob->parent_rsa ? 1 : 0);
    kt_writer_blob(w, blob->public_part);
    kt_writer_blob(w, blob->private_part);
    kt_tpm_policy_put(w, &blob->policy);
    kt_writer_u8(w, blob->suspended ? 1 : 0);
    if (!blob->suspended)
        return;
    kt_writer_u32(w, blob->suspended_at);
    kt_tpm_policy_put(w, &blob->resume);
}

bool kt_tpm_blob_encode(const struct kt_tpm_blob *blob, struct kt_bytes *ret, struct kt_error *err)
{
    uint8_t bytes[KT_TPM_BLOB_MAX];
    struct kt_writer w = {.data = NULL};

    kt_writer_init(&w, bytes, sizeof(bytes));
    put_all(&w, blob);
    if (w.bad)
        return kt_fail(err, KT_E_INTERNAL, KT_TPM_FILE " would have more than %u bytes", KT_TPM_BLOB_MAX);
    return kt_bytes_copy(KT_SLICE(bytes, w.len), ret, err);
}

static bool damaged(struct kt_error *err, const char *expected)
{
    (void)kt_fail(err, KT_E_NODE_KEY_LOST, "this node's sealed key (" KT_TPM_FILE ") is damaged: expected %s",
                  expected);
    return kt_error_hint(err, "restore " KT_TPM_FILE " from a copy of this node's, or keyturn recovery use");
}

static bool get_flag(struct kt_reader *r)
{
    uint8_t value = kt_reader_u8(r);

    r->bad = r->bad || value > 1;
    return value == 1;
}

static void get_all(struct kt_reader *r, struct kt_tpm_blob *ret)
{
    const uint8_t *name = kt_reader_bytes(r, KT_TPM_NAME_LEN);
    unsigned template = 0;

    if (name)
        memcpy(ret->parent_name, name, KT_TPM_NAME_LEN);
    ret->parent_handle = kt_reader_u32(r);
    template = kt_reader_u8(r);
    r->bad = r->bad || template >= KT_TPM_TEMPLATE_COUNT;
    ret->template = (enum kt_tpm_template) template;
    ret->parent_rsa = get_flag(r);
    ret->public_part = kt_reader_blob(r, PART_MAX);
    ret->private_part = kt_reader_blob(r, PART_MAX);
    kt_tpm_policy_get(r, &ret->policy);
    ret->suspended = get_flag(r);
    if (!ret->suspended)
        return;
    ret->suspended_at = kt_reader_u32(r);
    kt_tpm_policy_get(r, &ret->resume);
}

bool kt_tpm_blob_decode(struct kt_slice bytes, struct kt_tpm_blob *ret, struct kt_error *err)
{
    struct kt_tpm_blob blob = {.parent_handle = 0};
    struct kt_reader r = {.next = NULL};
    const uint8_t *head = NULL;

    kt_reader_init(&r, bytes);
    head = kt_reader_bytes(&r, sizeof(header));
    if (!head || memcmp(head, header, 7) != 0)
        return damaged(err, "its first bytes");
    if (head[7] != header[7]) {
        (void)kt_fail(err, KT_E_NODE_KEY, KT_TPM_FILE " has format version %u; this release reads version %u", head[7],
                      header[7]);
        return kt_error_hint(err, "install the release of keyturn that wrote it, or a newer one");
    }
    if (memcmp(head + 8, header + 8, sizeof(header) - 8) != 0)
        return damaged(err, "a key of kind tpm2");
    get_all(&r, &blob);
    if (!kt_reader_end(&r))
        return damaged(err, "what docs/keyring-format.md says of it");
    *ret = blob;
    return true;
}
