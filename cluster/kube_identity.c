/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/kube_identity.h"

#include "base/clock.h"
#include "cluster/kube_exec.h"
#include "cluster/kubeconfig_entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEARER       "Authorization: Bearer "
#define TOKEN_FILE_S 60u
#define EARLY_S      10u
#define NS_PER_S     UINT64_C(1000000000)

static void free_identity(struct kt_http_identity *identity)
{
    if (identity)
        kt_http_identity_done(identity);
    free(identity);
}
KT_DEFINE_CLEANUP(struct kt_http_identity *, free_identity);

static void free_old(struct kt_kube_identities *identities)
{
    for (size_t i = 0; i < identities->n_old; i++)
        free_identity(identities->old[i]);
    free(identities->old);
    identities->old = NULL;
    identities->n_old = 0;
}

void kt_kube_identities_done(struct kt_kube_identities *identities)
{
    free_old(identities);
    free_identity(identities->current);
    identities->current = NULL;
}

bool kt_kube_identities_can_change(const struct kt_kubeconfig *config)
{
    return config->token_file || config->exec;
}

static bool copy_secret(const struct kt_secret *from, struct kt_secret **ret, struct kt_error *err)
{
    kt_secret_free(*ret);
    *ret = from ? kt_secret_new_copy(kt_secret_view(from), kt_secret_len(from), err) : NULL;
    return !from || *ret;
}

/* A header's line. What is no token would end it, and begin another header. */
static bool set_token(struct kt_http_identity *identity, const uint8_t *token, size_t len, struct kt_error *err)
{
    while (len > 0 && strchr(" \t\r\n", token[len - 1]))
        len--;
    while (len > 0 && strchr(" \t\r\n", *token))
        token++, len--;
    for (size_t i = 0; i < len; i++)
        if (token[i] <= ' ' || token[i] >= 0x7f)
            return kt_fail(err, KT_E_CONFIG, "expected a token of printable ASCII, found another character in it");
    if (len == 0)
        return kt_fail(err, KT_E_CONFIG, "expected a token, found none: it is empty");
    size_t room = strlen(BEARER) + len + 1;
    kt_secret_free(identity->authorization);
    identity->authorization = room <= KT_SECRET_MAX ? kt_secret_new(room, err) : NULL;
    if (!identity->authorization)
        return room <= KT_SECRET_MAX ? false
                                     : kt_fail(err, KT_E_CONFIG, "expected a shorter token, found %zu bytes", len);
    memcpy(kt_secret_bytes(identity->authorization), BEARER, strlen(BEARER));
    memcpy(kt_secret_bytes(identity->authorization) + strlen(BEARER), token, len);
    return true;
}

static bool set_secret_token(struct kt_http_identity *identity, const struct kt_secret *token, struct kt_error *err)
{
    return set_token(identity, kt_secret_view(token), kt_secret_len(token), err);
}

/* A file that cannot be read leaves the token that stands beside it, as in client-go. */
static bool use_token(const struct kt_kubeconfig *config, struct kt_http_identity *identity, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *read = config->token_file ? kt_kubeconfig_read_secret(config->token_file, &why) : NULL;

    if (config->token_file && !read && !config->token)
        return kt_error_copy(err, &why) || kt_error_prefix(err, "tokenFile");
    const struct kt_secret *token = read ? read : config->token;
    return !token || set_secret_token(identity, token, err);
}

static bool use_exec(const struct kt_kubeconfig *config, struct kt_http_identity *identity, uint64_t *ret_expires,
                     struct kt_error *err)
{
    KT_CLEANUP(kt_kube_credential_done) struct kt_kube_credential credential = {.token = NULL};

    if (!config->exec)
        return true;
    if (!kt_kube_exec_run(config, &credential, err))
        return false;
    if (credential.token && !set_secret_token(identity, credential.token, err))
        return false;
    if (credential.key) {
        if (!copy_secret(credential.key, &identity->key, err))
            return false;
        kt_bytes_done(&identity->certificate);
        identity->certificate = credential.certificate;
        credential.certificate = (struct kt_bytes){.data = NULL};
    }
    *ret_expires = credential.expires_s;
    return true;
}

static struct kt_http_identity *make_identity(const struct kt_kubeconfig *config, uint64_t *ret_expires,
                                              struct kt_error *err)
{
    KT_CLEANUP(free_identity_p) struct kt_http_identity *identity = calloc(1, sizeof(*identity));

    if (!identity) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    identity->insecure = config->insecure;
    snprintf(identity->proxy, sizeof(identity->proxy), "%s", config->proxy);
    if ((config->ca.len > 0 && !kt_bytes_copy(kt_bytes_view(&config->ca), &identity->ca, err)) ||
        (config->key && !kt_bytes_copy(kt_bytes_view(&config->certificate), &identity->certificate, err)) ||
        !copy_secret(config->key, &identity->key, err) || !use_token(config, identity, err) ||
        !use_exec(config, identity, ret_expires, err))
        return NULL;
    return KT_TAKE_PTR(identity);
}

static bool has_run_out(const struct kt_kube_identities *identities, const struct kt_kubeconfig *config)
{
    uint64_t age_s = (kt_clock_monotonic_ns() - identities->made_ns) / NS_PER_S;

    if (config->token_file && age_s >= TOKEN_FILE_S)
        return true;
    return identities->expires_s > 0 && kt_clock_real_s() + EARLY_S >= identities->expires_s;
}

static bool put_old(struct kt_kube_identities *identities, struct kt_error *err)
{
    if (!identities->current)
        return true;
    if (identities->n_old == KT_KUBE_IDENTITIES_MAX)
        return kt_fail(err, KT_E_BUSY,
                       "expected fewer renewals of credentials, found %u while requests are on their way",
                       KT_KUBE_IDENTITIES_MAX);
    struct kt_http_identity **larger =
        realloc(identities->old, (identities->n_old + 1) * sizeof(struct kt_http_identity *));
    if (!larger)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    identities->old = larger;
    identities->old[identities->n_old++] = KT_TAKE_PTR(identities->current);
    return true;
}

bool kt_kube_identities_refresh(struct kt_kube_identities *identities, const struct kt_kubeconfig *config, bool force,
                                bool in_flight, struct kt_error *err)
{
    uint64_t expires = 0;

    if (identities->current && !force && !has_run_out(identities, config))
        return true;
    if (!in_flight)
        free_old(identities);
    KT_CLEANUP(free_identity_p) struct kt_http_identity *fresh = make_identity(config, &expires, err);
    if (!fresh || !put_old(identities, err))
        return false;
    identities->current = KT_TAKE_PTR(fresh);
    identities->made_ns = kt_clock_monotonic_ns();
    identities->expires_s = expires;
    return true;
}
