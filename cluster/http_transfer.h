/* SPDX-License-Identifier: Apache-2.0 */
/* One request on its way: an easy handle of libcurl and what belongs to it. For http.c. */
#pragma once

#include "cluster/http.h"

#include <curl/curl.h>

#define KT_HTTP_HEADERS_MAX 5u

struct kt_http_transfer {
    struct kt_http_transfer *next; /* in the list of those in flight, or of the free ones */
    CURL *easy;
    struct curl_slist headers[KT_HTTP_HEADERS_MAX]; /* linked in place: the authorization is not copied */
    char lines[KT_HTTP_HEADERS_MAX][KT_HTTP_HOST_MAX + 64];
    size_t n_headers;
    struct curl_slist *connect_to;
    struct curl_blob ca, certificate, key;
    char error[CURL_ERROR_SIZE];
    struct kt_http_request request; /* path and body are not used after kt_http_transfer_set */
    struct kt_http_answer answer;
    size_t body_cap;
    uint64_t begun_ns;
    uint64_t deadline_ns;
    bool is_oversized;
};

/* NULL: out of memory. */
struct kt_http_transfer *kt_http_transfer_new(void);
void kt_http_transfer_free(struct kt_http_transfer *transfer);
/* Ready for curl_multi_add_handle. */
CURLcode kt_http_transfer_set(struct kt_http_transfer *transfer, const struct kt_http_request *request);
/* What became of it, by libcurl's verdict. */
void kt_http_transfer_end(struct kt_http_transfer *transfer, CURLcode code);
/* Forgets the request, keeps the handle. */
void kt_http_transfer_clear(struct kt_http_transfer *transfer);
