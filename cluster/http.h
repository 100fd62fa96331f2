/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPS requests to API servers, many at once, on one thread (libcurl multi): HTTP/2 where the server has it, else
 * HTTP/1.1; connections are kept. Each request has a deadline and a largest answer; nothing follows redirects, and
 * server certificates are verified unless the identity says otherwise. When a request runs into its deadline and
 * nothing else came from that server meanwhile, the connection is shut down, for a host that was switched off never
 * closes it; whatever else is on it ends as CUT.
 *
 * Private keys and tokens are handed to libcurl from struct kt_secret. What libcurl and jansson copy is on a heap that
 * wipes what it frees (kt_http_new turns that on for the process); what OpenSSL has is in its arena, if there is one.
 */
#pragma once

#include "base/buf.h"
#include "base/secret.h"
#include "cluster/http_url.h"

#define KT_HTTP_IN_FLIGHT_MAX 256u
#define KT_HTTP_CONNECTIONS_MAX \
    16u /* in all; each takes up to 160 KiB of OpenSSL's arena (OpenSSL 3.5; 60 KiB with 3.0) */
#define KT_HTTP_BODY_MAX   ((size_t)1 << 20)
#define KT_HTTP_ANSWER_MAX ((size_t)64 << 20)
#define KT_HTTP_WORDS_MAX  8192u /* kept of an answer that is no success; the rest is dropped */
#define KT_HTTP_DETAIL_MAX 256u

enum kt_http_outcome {
#define KT_HTTP_OUTCOME(name, transient, code, text, hint) KT_HTTP_##name,
#include "cluster/http_outcomes.def"
#undef KT_HTTP_OUTCOME
    KT_HTTP_OUTCOME_COUNT,
};

/* Who we are and whom we trust. All texts are PEM. */
struct kt_http_identity {
    struct kt_bytes ca; /* none: the system's certificate authorities */
    bool insecure;      /* the server's certificate is not verified */
    struct kt_bytes certificate;
    struct kt_secret *key;
    struct kt_secret *authorization; /* the whole header line "Authorization: ...", with its NUL; may be NULL */
    char proxy[KT_HTTP_URL_MAX];     /* "": as the environment says (HTTPS_PROXY, NO_PROXY), but never to loopback */
};
void kt_http_identity_done(struct kt_http_identity *identity);

/* An API server. */
struct kt_http_peer {
    struct kt_http_url url;
    char server_name[KT_HTTP_HOST_MAX]; /* that its certificate must have; "": the URL's host */
    const struct kt_http_identity *identity;
    uint64_t answered_ns; /* CLOCK_MONOTONIC of its last answer: http.c's */
};

struct kt_http_answer {
    enum kt_http_outcome outcome;
    unsigned status;        /* 0: none came */
    unsigned retry_after_s; /* 0: it did not say */
    bool http2;
    uint64_t elapsed_us;
    size_t received;                   /* bytes of the body, also of one that was not kept */
    struct kt_bytes body;              /* what was to be kept; without success: the first KT_HTTP_WORDS_MAX bytes */
    char detail[KT_HTTP_DETAIL_MAX];   /* libcurl's words where no answer came; may be empty */
    char asked[KT_HTTP_HOST_MAX + 40]; /* "GET https://HOST:PORT" */
};
void kt_http_answer_done(struct kt_http_answer *answer);
#define KT_CLEANUP_ANSWER KT_CLEANUP(kt_http_answer_done)

/* Takes what it wants out of *answer, the rest is freed afterwards. May add requests, and nothing else of this. */
typedef void kt_http_done(void *context, struct kt_http_answer *answer);
/* A piece of a successful answer's body. false: no more of it, the request ends as PROTOCOL. */
typedef bool kt_http_take(void *context, struct kt_slice piece);

struct kt_http_request {
    struct kt_http_peer *peer; /* outlives the request, and so does its identity */
    const char *method;        /* static storage: "GET", "POST", "PATCH", "DELETE", ... */
    const char *path;          /* from "/", with its query; copied */
    const char *accept;        /* static storage; NULL: anything */
    const char *content_type;  /* static storage; NULL: no body */
    struct kt_slice body;      /* copied */
    unsigned timeout_ms;
    size_t answer_max;  /* a longer body of a success ends as OVERSIZED */
    bool discard;       /* a successful answer's body is read and dropped */
    kt_http_take *take; /* NULL: the body is kept in the answer */
    kt_http_done *done;
    void *context; /* for take and done */
};

struct kt_http;
struct kt_http *kt_http_new(struct kt_error *err) KT_MUST_CHECK;
/* Drops what is in flight, without a word. */
void kt_http_free(struct kt_http *http);
KT_DEFINE_CLEANUP(struct kt_http *, kt_http_free);

/* KT_E_BUSY with KT_HTTP_IN_FLIGHT_MAX in flight. Whatever else goes wrong is told to done. */
bool kt_http_add(struct kt_http *http, const struct kt_http_request *request, struct kt_error *err) KT_MUST_CHECK;
/* Drops all that is in flight, without a word. */
void kt_http_cancel(struct kt_http *http);
size_t kt_http_in_flight(const struct kt_http *http);
/* Until at least one request has ended (done was called), none is left, or CLOCK_MONOTONIC is until_ns. */
bool kt_http_drive(struct kt_http *http, uint64_t until_ns, struct kt_error *err) KT_MUST_CHECK;
/* One request, whose done and context are ours; others go on meanwhile. False only if it could not be tried: see
 * ret->outcome. */
bool kt_http_call(struct kt_http *http, const struct kt_http_request *request, struct kt_http_answer *ret,
                  struct kt_error *err) KT_MUST_CHECK;

/* "TOO_MANY"; its text; whether the same request may do better a little later. */
const char *kt_http_outcome_name(enum kt_http_outcome outcome);
const char *kt_http_outcome_text(enum kt_http_outcome outcome);
bool kt_http_outcome_is_transient(enum kt_http_outcome outcome);
/* The server's own words, on one line, fit for a terminal: the message of a Kubernetes Status (meta/v1), else the text
 * itself; libcurl's where no answer came. Cut to cap. */
void kt_http_answer_words(const struct kt_http_answer *answer, char *ret, size_t cap);
/* Fills err from an answer that is no success, with what to do. Returns false. */
bool kt_http_answer_fail(const struct kt_http_answer *answer, struct kt_error *err) KT_COLD;

/* For http.c: how it ended by status and by libcurl's code (CURLcode; verify_result of CURLINFO_SSL_VERIFYRESULT tells
 * a wrong name from an untrusted chain). */
enum kt_http_outcome kt_http_outcome_of_status(unsigned status);
enum kt_http_outcome kt_http_outcome_of_curl(int code, long verify_result);
