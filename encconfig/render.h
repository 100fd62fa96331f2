/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EncryptionConfiguration (apiserver.config.k8s.io/v1) made from a list of keys, for a cluster that has none yet:
 * Secrets under the first key, all others to decrypt. A list of kms keys alone becomes YAML; as soon as an inline key
 * is in it the file has key bytes, and the form, byte for byte, of the JSON file that RKE2 makes.
 */
#pragma once

#include "base/buf.h"
#include "base/secret.h"

enum kt_encconfig_fresh_kind {
    KT_FRESH_KMS = 1, /* all kms keys are one provider, the plugin */
    KT_FRESH_AESCBC,
    KT_FRESH_AESGCM,
    KT_FRESH_SECRETBOX,
};

struct kt_encconfig_fresh_key {
    enum kt_encconfig_fresh_kind kind;
    const char *name;              /* an inline key's: UTF-8 */
    const struct kt_secret *bytes; /* an inline key's, KT_ENCCONFIG_KEY_MAX at most; NULL where masked */
};
#define KT_ENCCONFIG_KEY_MAX 32u

struct kt_encconfig_fresh {
    const char *provider;                      /* name of the KMS provider, without ':' */
    const char *kms_socket;                    /* absolute path, or "@name" */
    const struct kt_encconfig_fresh_key *keys; /* in order; each kind becomes a provider, where its first key stands */
    size_t n_keys;
    bool enabled; /* identity last, or, unless enabled, first: what is stored in clear can still be read */
    bool strict;  /* while enabled, no identity at all */
    bool masked;  /* KT_ENCCONFIG_MASK in place of each key */
};
/* What stands for a key that is not shown; no base64 of any key's length, so that kube-apiserver refuses it. */
#define KT_ENCCONFIG_MASK "REDACTED"

/* The file's bytes, also where nothing in it is secret. Values are quoted where a plain scalar would not read back as
 * that very text. KT_E_USAGE: the socket's path is too long; KT_E_REFUSED: no key, or a file that would be too large.
 */
struct kt_secret *kt_encconfig_render(const struct kt_encconfig_fresh *fresh, struct kt_error *err) KT_MUST_CHECK;
