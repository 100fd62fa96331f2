/* SPDX-License-Identifier: Apache-2.0 */
/* What a TLS connection to etcd is made with: a CA, and the client's certificate and key. All are PEM files. */
#pragma once

#include "base/buf.h"
#include "base/secret.h"

/* Names of files; NULL: not given. */
struct kt_etcd_tls_files {
    const char *ca;
    const char *cert;
    const char *key;
};

struct kt_etcd_tls {
    struct kt_bytes ca; /* one or several certificates; len 0: none */
    struct kt_bytes cert;
    struct kt_secret *key; /* with a NUL at its end; NULL: none */
    char ca_file[256];     /* for messages */
};
void kt_etcd_tls_done(struct kt_etcd_tls *tls);

/* Reads the files (symbolic links are followed) and looks whether they are what they should be: certificates in the
 * first two, a private key without a passphrase that belongs to the certificate in the third; so that a wrong file is
 * told here, by its name, and not by the silence of a server. KT_E_CONFIG, KT_E_PERMISSION, KT_E_IO. */
bool kt_etcd_tls_load(const struct kt_etcd_tls_files *files, struct kt_etcd_tls *ret,
                      struct kt_error *err) KT_MUST_CHECK;
