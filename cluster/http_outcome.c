/* SPDX-License-Identifier: Apache-2.0 */
#include "base/printable.h"
#include "cluster/http.h"

#include <curl/curl.h>
#include <jansson.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_LEN 4096u

static const struct {
    const char *name;
    bool transient;
    enum kt_code code;
    const char *text;
    const char *hint;
} OUTCOMES[] = {
#define KT_HTTP_OUTCOME(name, transient, code, text, hint) {#name, transient, KT_E_##code, text, hint},
#include "cluster/http_outcomes.def"
#undef KT_HTTP_OUTCOME
};

/* The first row that a status is in. */
static const struct {
    unsigned first;
    unsigned last;
    enum kt_http_outcome outcome;
} STATUSES[] = {
    {200, 299, KT_HTTP_OK},          {401, 401, KT_HTTP_UNAUTHORIZED}, {403, 403, KT_HTTP_FORBIDDEN},
    {404, 404, KT_HTTP_NOT_FOUND},   {409, 409, KT_HTTP_CONFLICT},     {410, 410, KT_HTTP_GONE},
    {422, 422, KT_HTTP_INVALID},     {429, 429, KT_HTTP_TOO_MANY},     {300, 399, KT_HTTP_REDIRECT},
    {400, 499, KT_HTTP_BAD_REQUEST}, {502, 504, KT_HTTP_UNAVAILABLE},  {500, 599, KT_HTTP_SERVER},
};

static const struct {
    CURLcode code;
    enum kt_http_outcome outcome;
} CODES[] = {
    {CURLE_COULDNT_CONNECT, KT_HTTP_REFUSED},
    {CURLE_COULDNT_RESOLVE_HOST, KT_HTTP_DNS},
    {CURLE_COULDNT_RESOLVE_PROXY, KT_HTTP_PROXY},
    {CURLE_PROXY, KT_HTTP_PROXY},
    {CURLE_OPERATION_TIMEDOUT, KT_HTTP_TIMEOUT},
    {CURLE_SSL_CONNECT_ERROR, KT_HTTP_TLS},
    {CURLE_SSL_CERTPROBLEM, KT_HTTP_TLS},
    {CURLE_SSL_CIPHER, KT_HTTP_TLS},
    {CURLE_SSL_CACERT_BADFILE, KT_HTTP_TLS},
    {CURLE_SSL_ISSUER_ERROR, KT_HTTP_TLS},
    {CURLE_SSL_CLIENTCERT, KT_HTTP_TLS},
    {CURLE_SEND_ERROR, KT_HTTP_CUT},
    {CURLE_RECV_ERROR, KT_HTTP_CUT},
    {CURLE_GOT_NOTHING, KT_HTTP_CUT},
    {CURLE_PARTIAL_FILE, KT_HTTP_CUT},
    {CURLE_HTTP2, KT_HTTP_CUT},
    {CURLE_HTTP2_STREAM, KT_HTTP_CUT},
    {CURLE_OUT_OF_MEMORY, KT_HTTP_NOMEM},
};

enum kt_http_outcome kt_http_outcome_of_status(unsigned status)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(STATUSES); i++)
        if (status >= STATUSES[i].first && status <= STATUSES[i].last)
            return STATUSES[i].outcome;
    return KT_HTTP_PROTOCOL;
}

enum kt_http_outcome kt_http_outcome_of_curl(int code, long verify_result)
{
    /* libcurl compares names itself, after OpenSSL has found the chain good; 7.88 has not yet noted that by then, and
     * still says 1. */
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return verify_result == X509_V_OK || verify_result == X509_V_ERR_UNSPECIFIED ? KT_HTTP_TLS_NAME : KT_HTTP_TLS;
    for (size_t i = 0; i < KT_ARRAY_LEN(CODES); i++)
        if ((int)CODES[i].code == code)
            return CODES[i].outcome;
    return KT_HTTP_PROTOCOL;
}

const char *kt_http_outcome_name(enum kt_http_outcome outcome)
{
    return outcome < KT_HTTP_OUTCOME_COUNT ? OUTCOMES[outcome].name : "UNKNOWN";
}

const char *kt_http_outcome_text(enum kt_http_outcome outcome)
{
    return outcome < KT_HTTP_OUTCOME_COUNT ? OUTCOMES[outcome].text : "";
}

bool kt_http_outcome_is_transient(enum kt_http_outcome outcome)
{
    return outcome < KT_HTTP_OUTCOME_COUNT && OUTCOMES[outcome].transient;
}

/* The message of a meta/v1 Status, or NULL. */
static const char *get_message(const json_t *status)
{
    const char *kind = json_string_value(json_object_get(status, "kind"));

    return kind && strcmp(kind, "Status") == 0 ? json_string_value(json_object_get(status, "message")) : NULL;
}

/* One line: line ends become blanks, those at the ends go; the rest as kt_printable writes it. */
static void put_words(const char *words, char *ret, size_t cap)
{
    char line[LINE_MAX_LEN + 1] = "";
    size_t len = 0;

    while (*words == '\n' || *words == ' ')
        words++;
    for (; *words != '\0' && len + 1 < sizeof(line); words++)
        if (*words != '\r')
            line[len++] = *words == '\n' ? ' ' : *words;
    while (len > 0 && line[len - 1] == ' ')
        len--;
    line[len] = '\0';
    struct kt_printable shown;
    (void)kt_printable(line, &shown);
    snprintf(ret, cap, "%s", shown.text);
}

void kt_http_answer_words(const struct kt_http_answer *answer, char *ret, size_t cap)
{
    const char *text = answer->body.data ? (const char *)answer->body.data : "";
    const char *message = NULL;
    json_t *status = NULL;

    /* The body of a success is nobody's words, and may be secret. */
    if (answer->status == 0 || kt_http_outcome_of_status(answer->status) == KT_HTTP_OK) {
        put_words(answer->detail, ret, cap);
        return;
    }
    if (text[0] == '{')
        status = json_loadb(text, answer->body.len, 0, NULL);
    message = get_message(status);
    put_words(message ? message : text, ret, cap);
    json_decref(status);
}

bool kt_http_answer_fail(const struct kt_http_answer *answer, struct kt_error *err)
{
    char words[256];
    enum kt_http_outcome outcome = answer->outcome < KT_HTTP_OUTCOME_COUNT ? answer->outcome : KT_HTTP_PROTOCOL;

    kt_http_answer_words(answer, words, sizeof(words));
    const char *colon = words[0] != '\0' ? ": " : "";
    if (answer->status != 0)
        (void)kt_fail(err, OUTCOMES[outcome].code, "%s: %s (status %u)%s%s", answer->asked, OUTCOMES[outcome].text,
                      answer->status, colon, words);
    else
        (void)kt_fail(err, OUTCOMES[outcome].code, "%s: %s%s%s", answer->asked, OUTCOMES[outcome].text, colon, words);
    return OUTCOMES[outcome].hint[0] != '\0' ? kt_error_hint(err, "%s", OUTCOMES[outcome].hint) : false;
}

void kt_http_answer_done(struct kt_http_answer *answer)
{
    kt_wipe(answer->body.data, answer->body.len);
    kt_bytes_done(&answer->body);
}

void kt_http_identity_done(struct kt_http_identity *identity)
{
    kt_bytes_done(&identity->ca);
    kt_bytes_done(&identity->certificate);
    kt_secret_free(identity->key);
    kt_secret_free(identity->authorization);
    *identity = (struct kt_http_identity){.insecure = false};
}
