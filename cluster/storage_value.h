/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kube-apiserver stored, by its first bytes: which provider of the EncryptionConfiguration wrote it, and with
 * which key. Nothing is decrypted, nothing is copied, and the encrypted data are not looked at.
 *
 *   k8s:enc:aescbc:v1:KEY: | k8s:enc:aesgcm:v1:KEY: | k8s:enc:secretbox:v1:KEY:    and ciphertext
 *   k8s:enc:kms:v1:PLUGIN:      and a length of 16 bits, the wrapped key, ciphertext; no key_id
 *   k8s:enc:kms:v2:PLUGIN:      and the message EncryptedObject (proto/encrypted_object.proto), which holds the key_id
 *   k8s\0 (protobuf), { (JSON), d9 d9 f7 (CBOR)     not encrypted
 *
 * Source: k8s.io/apiserver pkg/server/options/encryptionconfig and pkg/storage/value/encrypt, Kubernetes v1.36.
 *
 * A KEY, and the PLUGIN of kms:v1, may hold ':' itself (k3s names keys by a time of day), and what comes behind it is
 * random bytes. So it takes the names that are in use to tell where it ends: the longest one of them that fits is it.
 * If none does, the name is guessed (it ends before the first ':', or behind a time as k3s writes it) and name_known is
 * false.
 * Where two names in use fit, one of them only seems to ("a" and "a:b", with ciphertext of "a" that begins with "b:").
 * So the name is good for counting; whether a key is needed no more is asked with kt_storage_value_fits() of each
 * value, which is true for all that may be.
 */
#pragma once

#include "base/buf.h"

#define KT_STORAGE_KEY_ID_MAX 1024u /* bytes of a KMS v2 key_id: kube-apiserver takes no more */

enum kt_storage_provider {
    KT_STORAGE_PLAIN,
    KT_STORAGE_AESCBC,
    KT_STORAGE_AESGCM,
    KT_STORAGE_SECRETBOX,
    KT_STORAGE_KMS_V1,
    KT_STORAGE_KMS_V2,
    KT_STORAGE_UNKNOWN,
    KT_STORAGE_PROVIDERS,
};

/* A name of the EncryptionConfiguration: a key of an inline provider, or a KMS plugin. */
struct kt_storage_name {
    enum kt_storage_provider provider;
    const char *name;
};

struct kt_storage_value {
    enum kt_storage_provider provider;
    struct kt_slice name;   /* of the key or plugin, in place; empty if not encrypted, or unknown */
    bool name_known;        /* it is one of the names given */
    struct kt_slice key_id; /* of KMS v2: 1 to KT_STORAGE_KEY_ID_MAX bytes, in place, whatever they are */
    const char *problem;    /* why it is KT_STORAGE_UNKNOWN, in words; static storage */
};

/* Every value is something: what cannot be understood is KT_STORAGE_UNKNOWN. names may be NULL if n is 0. */
void kt_storage_value_read(struct kt_slice value, const struct kt_storage_name *names, size_t n,
                           struct kt_storage_value *ret);
/* It may have been written under that name: it begins with the provider's prefix, the name and ':'. */
bool kt_storage_value_fits(struct kt_slice value, const struct kt_storage_name *name);
/* "plain", "aescbc", "aesgcm", "secretbox", "kms-v1", "kms-v2", "unknown". */
const char *kt_storage_provider_name(enum kt_storage_provider provider);
