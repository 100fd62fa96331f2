/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/etcd_diagnose.h"

#include "base/wait.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

KT_DEFINE_CLEANUP(SSL_CTX *, SSL_CTX_free);
KT_DEFINE_CLEANUP(SSL *, SSL_free);
KT_DEFINE_CLEANUP(BIO *, BIO_free_all);
KT_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

/* What an HTTP/2 client says first: RFC 9113, 3.4, and an empty SETTINGS frame. */
static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
#define PREFACE_LEN  (sizeof(PREFACE) - 1)
#define FRAME_HEADER 9u
#define TLS_ALERT    0x15

struct probe {
    const struct kt_etcd_endpoint *endpoint;
    const struct kt_etcd_tls *tls;
    const char *server_name;
    uint64_t deadline_ns;
    struct kt_error *cause;
};

static bool fail_late(const struct probe *p)
{
    return kt_fail(p->cause, KT_E_TIMEOUT, "it takes the connection, but does not answer");
}

/* ---- as far as a connection ---- */

static bool fail_connect(const struct probe *p, int number)
{
    if (number == ETIMEDOUT)
        return kt_fail(p->cause, KT_E_TIMEOUT, "no answer to a connection attempt: the host is down, or drops it");
    if (number == ENOENT && p->endpoint->is_socket)
        return kt_fail(p->cause, KT_E_UNREACHABLE, "there is no such socket");
    if (number == EACCES)
        return kt_fail(p->cause, KT_E_DENIED, "permission denied: this user may not open the socket");
    return kt_fail(p->cause, KT_E_UNREACHABLE, "%s", number == ECONNREFUSED ? "connection refused" : strerror(number));
}

static int connect_to(const struct probe *p, const struct sockaddr *address, socklen_t len, int *ret_errno)
{
    KT_CLEANUP(kt_fd_close_p) int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(*ret_errno);
    *ret_errno = 0;
    if (fd < 0 || (connect(fd, address, len) < 0 && errno != EINPROGRESS))
        *ret_errno = errno;
    else if (!kt_wait_fd(fd, POLLOUT, p->deadline_ns, NULL))
        *ret_errno = ETIMEDOUT;
    else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, ret_errno, &size) < 0)
        *ret_errno = errno;
    return *ret_errno == 0 ? KT_TAKE_FD(fd) : -1;
}

static int connect_socket(const struct probe *p)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int number = 0;
    _Static_assert(sizeof(address.sun_path) == sizeof(p->endpoint->path), "a socket's path");
    memcpy(address.sun_path, p->endpoint->path, sizeof(address.sun_path));
    int fd = connect_to(p, (const struct sockaddr *)&address, sizeof(address), &number);
    if (fd < 0)
        (void)fail_connect(p, number);
    return fd;
}

static int connect_host(const struct probe *p)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = p->endpoint->is_address ? AI_NUMERICHOST : 0};
    struct addrinfo *found = NULL;
    int fd = -1;
    int number = EADDRNOTAVAIL;
    int rc = getaddrinfo(p->endpoint->host, p->endpoint->port, &hints, &found);
    if (rc != 0) {
        (void)kt_fail(p->cause, KT_E_UNREACHABLE, "its name has no address: %s", gai_strerror(rc));
        return -1;
    }
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
        fd = connect_to(p, at->ai_addr, at->ai_addrlen, &number);
    freeaddrinfo(found);
    if (fd < 0)
        (void)fail_connect(p, number);
    return fd;
}

/* ---- what came back ---- */

static bool judge_answer(const struct probe *p, const uint8_t *bytes, size_t n)
{
    static const char settings[] = {4}; /* a frame's type */
    bool tls = p->endpoint->tls;
    if (n >= FRAME_HEADER && bytes[3] == (uint8_t)settings[0])
        return true;
    bool http1 = n >= 5 && memcmp(bytes, "HTTP/", 5) == 0;
    if (!tls && (n == 0 || bytes[0] == TLS_ALERT || http1)) {
        (void)kt_fail(p->cause, KT_E_UNREACHABLE, "it does not speak plain HTTP/2: it may expect TLS");
        return kt_error_hint(p->cause, "write %s in place of %s", p->endpoint->is_socket ? "unixs://" : "https://",
                             p->endpoint->is_socket ? "unix://" : "http://");
    }
    return kt_fail(p->cause, KT_E_UNREACHABLE, "%s",
                   n == 0 ? "it closes the connection" : "what answers there speaks no HTTP/2, so it is no etcd");
}

static bool probe_plain(const struct probe *p, int fd)
{
    uint8_t answer[64];
    if (send(fd, PREFACE, PREFACE_LEN, MSG_NOSIGNAL) != (ssize_t)PREFACE_LEN)
        return judge_answer(p, answer, 0);
    if (!kt_wait_fd(fd, POLLIN, p->deadline_ns, NULL))
        return fail_late(p);
    ssize_t n = recv(fd, answer, sizeof(answer), 0);
    return judge_answer(p, answer, n > 0 ? (size_t)n : 0);
}

/* ---- TLS ---- */

/* Alerts that a server sends when it does not like the client's certificate. */
static const struct {
    int reason;
    const char *words;
    const char *hint;
} ALERTS[] = {
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "it wants a client certificate, and got none",
     "--etcd-cert FILE --etcd-key FILE"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "it does not trust the CA of the client certificate",
     "--etcd-cert and --etcd-key must come from the CA that etcd trusts (--trusted-ca-file of etcd)"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "it does not accept the client certificate",
     "--etcd-cert and --etcd-key must come from the CA that etcd trusts (--trusted-ca-file of etcd), for client use"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "the client certificate has expired",
     "kubeadm certs renew, or restart k3s or rke2-server; is the clock right?"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "the client certificate was revoked", ""},
    {SSL_R_WRONG_VERSION_NUMBER, "it does not speak TLS", "write http:// in place of https://"},
    {SSL_R_HTTP_REQUEST, "it does not speak TLS", "write http:// in place of https://"},
};

static bool fail_verify(const struct probe *p, long result)
{
    switch (result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        (void)kt_fail(p->cause, KT_E_UNREACHABLE, "its certificate is not one for %.100s", p->server_name);
        return kt_error_hint(p->cause, "use a name or address that the certificate has");
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        (void)kt_fail(p->cause, KT_E_UNREACHABLE, "its certificate %s",
                      result == X509_V_ERR_CERT_HAS_EXPIRED ? "has expired" : "is not valid yet");
        return kt_error_hint(p->cause, "renew etcd's certificates; is the clock right?");
    default:
        (void)kt_fail(p->cause, KT_E_UNREACHABLE, "its certificate does not come from the CA in %.100s (%s)",
                      p->tls->ca_file, X509_verify_cert_error_string(result));
        return kt_error_hint(p->cause,
                             "--etcd-cacert FILE must be the CA of etcd, which often is not that of Kubernetes");
    }
}

static bool fail_tls(const struct probe *p, SSL *ssl)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
    const char *text = ERR_reason_error_string(code);
    long verified = SSL_get_verify_result(ssl);
    ERR_clear_error();
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
        return fail_verify(p, verified);
    for (size_t i = 0; i < KT_ARRAY_LEN(ALERTS); i++) {
        if (reason != ALERTS[i].reason)
            continue;
        (void)kt_fail(p->cause, KT_E_UNREACHABLE, "%s", ALERTS[i].words);
        return kt_error_hint(p->cause, "%s", ALERTS[i].hint);
    }
    if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING || !text) {
        bool shaking = !SSL_is_init_finished(ssl);
        (void)kt_fail(p->cause, KT_E_UNREACHABLE, "it closes the connection%s",
                      shaking ? " in place of a TLS handshake: it may not speak TLS" : "");
        return shaking && kt_error_hint(p->cause, "is it http:// or unix://?");
    }
    return kt_fail(p->cause, KT_E_UNREACHABLE, "TLS fails: %s", text);
}

/* One step of TLS, until it is done or the time is up. */
static bool drive(const struct probe *p, SSL *ssl, int (*step)(SSL *ssl, void *data, int n), void *data, int *ret)
{
    for (;;) {
        ERR_clear_error();
        *ret = step(ssl, data, *ret);
        if (*ret > 0)
            return true;
        int want = SSL_get_error(ssl, *ret);
        if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE)
            return fail_tls(p, ssl);
        *ret = 64;
        if (!kt_wait_fd(SSL_get_fd(ssl), want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, p->deadline_ns, NULL))
            return fail_late(p);
    }
}

static int step_connect(SSL *ssl, void *data, int n)
{
    (void)data;
    (void)n;
    return SSL_connect(ssl);
}

static int step_read(SSL *ssl, void *data, int n)
{
    return SSL_read(ssl, data, n);
}

static bool use_certificates(SSL_CTX *context, const struct kt_etcd_tls *tls)
{
    KT_CLEANUP(BIO_free_all_p) BIO *cas = BIO_new_mem_buf(tls->ca.data, (int)tls->ca.len);
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    for (X509 *ca = NULL; cas && (ca = PEM_read_bio_X509(cas, NULL, NULL, NULL)); X509_free(ca))
        (void)X509_STORE_add_cert(store, ca);
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN); /* as gRPC has it */
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (!tls->key)
        return true;
    KT_CLEANUP(BIO_free_all_p) BIO *chain = BIO_new_mem_buf(tls->cert.data, (int)tls->cert.len);
    KT_CLEANUP(BIO_free_all_p) BIO *pem = BIO_new_mem_buf(kt_secret_view(tls->key), -1);
    KT_CLEANUP(EVP_PKEY_free_p) EVP_PKEY *key = pem ? PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL) : NULL;
    X509 *own = chain ? PEM_read_bio_X509(chain, NULL, NULL, NULL) : NULL;
    bool used = own && SSL_CTX_use_certificate(context, own) == 1;
    X509_free(own);
    for (X509 *next = NULL; used && (next = PEM_read_bio_X509(chain, NULL, NULL, NULL));)
        used = SSL_CTX_add0_chain_cert(context, next) == 1;
    return used && key && SSL_CTX_use_PrivateKey(context, key) == 1;
}

static SSL *make_tls(const struct probe *p, SSL_CTX *context, int fd)
{
    static const unsigned char alpn[] = {2, 'h', '2'};
    char name[KT_ETCD_HOST_MAX]; /* OpenSSL's macro has no const */
    (void)snprintf(name, sizeof(name), "%s", p->server_name);
    SSL *ssl = SSL_new(context);
    if (!ssl)
        return NULL;
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    bool is_address = X509_VERIFY_PARAM_set1_ip_asc(param, p->server_name) == 1;
    if ((!is_address &&
         (X509_VERIFY_PARAM_set1_host(param, p->server_name, 0) != 1 || SSL_set_tlsext_host_name(ssl, name) != 1)) ||
        SSL_set_alpn_protos(ssl, alpn, sizeof(alpn)) != 0 || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

static bool probe_tls(const struct probe *p, int fd)
{
    uint8_t answer[64];
    int n = 0;
    KT_CLEANUP(SSL_CTX_free_p) SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 || !use_certificates(context, p->tls))
        return kt_fail_openssl(p->cause, KT_E_CRYPTO, "TLS");
    KT_CLEANUP(SSL_free_p) SSL *ssl = make_tls(p, context, fd);
    if (!ssl)
        return kt_fail_openssl(p->cause, KT_E_CRYPTO, "TLS");
    if (!drive(p, ssl, step_connect, NULL, &n))
        return false;
    (void)SSL_write(ssl, PREFACE, (int)PREFACE_LEN); /* if it fails, reading says why */
    n = sizeof(answer);
    return drive(p, ssl, step_read, answer, &n) && judge_answer(p, answer, (size_t)n);
}

void kt_etcd_diagnose(const struct kt_etcd_endpoint *endpoint, const struct kt_etcd_tls *tls, const char *server_name,
                      unsigned timeout_ms, struct kt_error *ret_cause)
{
    struct probe p = {.endpoint = endpoint,
                      .tls = tls,
                      .server_name = server_name,
                      .deadline_ns = kt_wait_deadline((int)timeout_ms),
                      .cause = ret_cause};
    kt_error_clear(ret_cause);
    KT_CLEANUP(kt_fd_close_p) int fd = endpoint->is_socket ? connect_socket(&p) : connect_host(&p);
    if (fd >= 0)
        (void)(endpoint->tls ? probe_tls : probe_plain)(&p, fd);
}
