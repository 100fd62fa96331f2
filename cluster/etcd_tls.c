/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/etcd_tls.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#define PEM_MAX ((size_t)1 << 20)

KT_DEFINE_CLEANUP(BIO *, BIO_free_all);
KT_DEFINE_CLEANUP(X509 *, X509_free);
KT_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

void kt_etcd_tls_done(struct kt_etcd_tls *tls)
{
    kt_bytes_done(&tls->ca);
    kt_bytes_done(&tls->cert);
    kt_secret_free(tls->key);
    *tls = (struct kt_etcd_tls){.key = NULL};
}

/* The distributions and cert-manager rotate certificates by links. */
static char *follow_links(const char *path, struct kt_error *err)
{
    char *found = realpath(path, NULL);
    if (!found)
        (void)kt_fail_errno(err, errno == EACCES ? KT_E_PERMISSION : KT_E_IO, "%s", path);
    return found;
}

/* The first certificate of a PEM text. */
static X509 *first_certificate(const struct kt_bytes *pem)
{
    KT_CLEANUP(BIO_free_all_p) BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    ERR_clear_error();
    return certificate;
}

static bool load_certificates(const char *path, struct kt_bytes *ret, struct kt_error *err)
{
    static const struct kt_file_rules rules = {.max = PEM_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP(kt_free_p) char *file = follow_links(path, err);
    KT_CLEANUP_BYTES struct kt_bytes pem = {.data = NULL};
    if (!file || !kt_file_read(AT_FDCWD, file, &rules, &pem, err))
        return false;
    KT_CLEANUP(X509_free_p) X509 *certificate = first_certificate(&pem);
    if (!certificate)
        return kt_fail(err, KT_E_CONFIG, "%s: expected a certificate in PEM, found none", path);
    *ret = pem;
    pem = (struct kt_bytes){.data = NULL};
    return true;
}

static int no_passphrase(char *buffer, int size, int writing, void *data)
{
    if (size > 0)
        buffer[0] = '\0';
    (void)writing;
    (void)data;
    return -1;
}

static EVP_PKEY *parse_key(const struct kt_secret *pem)
{
    KT_CLEANUP(BIO_free_all_p) BIO *bio = BIO_new_mem_buf(kt_secret_view(pem), (int)kt_secret_len(pem));
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    ERR_clear_error();
    return key;
}

/* gRPC takes it as a string. */
static struct kt_secret *with_nul(const struct kt_secret *pem, struct kt_error *err)
{
    struct kt_secret *copy = kt_secret_new(kt_secret_len(pem) + 1, err);
    if (copy)
        memcpy(kt_secret_bytes(copy), kt_secret_view(pem), kt_secret_len(pem));
    return copy;
}

static bool load_key(const struct kt_etcd_tls_files *files, struct kt_etcd_tls *tls, struct kt_error *err)
{
    static const struct kt_file_rules rules = {.max = KT_SECRET_MAX - 1, .owner = KT_ANY_UID};
    KT_CLEANUP(kt_free_p) char *file = follow_links(files->key, err);
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *pem = file ? kt_file_read_secret(AT_FDCWD, file, &rules, err) : NULL;
    if (!pem)
        return false;
    KT_CLEANUP(EVP_PKEY_free_p) EVP_PKEY *key = parse_key(pem);
    if (!key)
        return kt_fail(err, KT_E_CONFIG, "%s: expected a private key in PEM without a passphrase, found none",
                       files->key);
    KT_CLEANUP(X509_free_p) X509 *certificate = first_certificate(&tls->cert);
    if (!certificate || X509_check_private_key(certificate, key) != 1) {
        ERR_clear_error();
        return kt_fail(err, KT_E_CONFIG, "%s: expected the private key of %s, found another one", files->key,
                       files->cert);
    }
    tls->key = with_nul(pem, err);
    return tls->key != NULL;
}

bool kt_etcd_tls_load(const struct kt_etcd_tls_files *files, struct kt_etcd_tls *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_etcd_tls_done) struct kt_etcd_tls tls = {.key = NULL};
    if (!files->cert != !files->key)
        return kt_fail(err, KT_E_CONFIG, "expected a client certificate and its key, found one of them alone");
    if (files->ca && !load_certificates(files->ca, &tls.ca, err))
        return false;
    if (files->cert && (!load_certificates(files->cert, &tls.cert, err) || !load_key(files, &tls, err)))
        return false;
    (void)snprintf(tls.ca_file, sizeof(tls.ca_file), "%s", files->ca ? files->ca : "");
    *ret = tls;
    tls = (struct kt_etcd_tls){.key = NULL};
    return true;
}
