/* SPDX-License-Identifier: Apache-2.0 */
/* What an exec plugin prints. */
#include "base/clock.h"
#include "cluster/kube_exec.h"

#include <jansson.h>
#include <string.h>

#define TIME_TEXT_MAX 64u

void kt_kube_credential_done(struct kt_kube_credential *credential)
{
    kt_secret_free(credential->token);
    kt_bytes_done(&credential->certificate);
    kt_secret_free(credential->key);
    *credential = (struct kt_kube_credential){.token = NULL};
}

static bool fail_credential(struct kt_error *err, const char *expected)
{
    (void)kt_fail(err, KT_E_CONFIG, "the exec plugin: expected %s, found another answer", expected);
    return kt_error_hint(err, "it must print an ExecCredential on standard output: run its command by hand to see");
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text && text[0] != '\0' ? text : NULL;
}

static bool take_secret(const char *text, struct kt_secret **ret, struct kt_error *err)
{
    if (!text)
        return true;
    *ret = kt_secret_new_copy(text, strlen(text), err);
    return *ret != NULL;
}

/* RFC 3339 with or without fractions of a second, in UTC or with an offset, which is rare and then only shortens the
 * time for which it is kept: it is asked anew. */
static uint64_t read_expiry(const char *text)
{
    char whole[TIME_TEXT_MAX] = "";
    uint64_t seconds = 0;

    if (!text || strlen(text) < strlen("2026-11-23T09:00:00"))
        return 0;
    memcpy(whole, text, strlen("2026-11-23T09:00:00"));
    whole[strlen("2026-11-23T09:00:00")] = 'Z';
    if (!kt_time_parse(whole, &seconds))
        return 0;
    return text[strlen(text) - 1] == 'Z' ? seconds : 1;
}

static bool read_status(const json_t *status, struct kt_kube_credential *credential, struct kt_error *err)
{
    const char *token = text_of(status, "token");
    const char *certificate = text_of(status, "clientCertificateData");
    const char *key = text_of(status, "clientKeyData");

    if ((certificate != NULL) != (key != NULL))
        return fail_credential(err, "clientCertificateData and clientKeyData together");
    if (!token && !key)
        return fail_credential(err, "status with a token or a client certificate");
    if (!take_secret(token, &credential->token, err) || !take_secret(key, &credential->key, err))
        return false;
    if (certificate && !kt_bytes_copy(kt_slice_str(certificate), &credential->certificate, err))
        return false;
    credential->expires_s = read_expiry(text_of(status, "expirationTimestamp"));
    return true;
}

static bool read_document(const json_t *document, const char *version, struct kt_kube_credential *credential,
                          struct kt_error *err)
{
    const char *kind = text_of(document, "kind");
    const char *found = text_of(document, "apiVersion");

    if (!kind || strcmp(kind, "ExecCredential") != 0)
        return fail_credential(err, "kind ExecCredential");
    if (!found || strcmp(found, version) != 0)
        return fail_credential(err, "the apiVersion of the kubeconfig");
    return read_status(json_object_get(document, "status"), credential, err);
}

bool kt_kube_credential_parse(struct kt_slice text, const char *version, struct kt_kube_credential *ret,
                              struct kt_error *err)
{
    KT_CLEANUP(kt_kube_credential_done) struct kt_kube_credential credential = {.token = NULL};
    json_t *document = json_loadb((const char *)text.data, text.len, 0, NULL);
    bool done =
        json_is_object(document) ? read_document(document, version, &credential, err) : fail_credential(err, "JSON");

    json_decref(document);
    if (!done)
        return false;
    *ret = credential;
    credential = (struct kt_kube_credential){.token = NULL};
    return true;
}
