/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/api_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE      500
#define BEGINS    5u
#define TOKEN_MAX 4096u

/* Base64 and the like; what would mean something in a path is encoded. */
static bool encode(const char *token, char *ret, size_t cap)
{
    size_t n = 0;
    for (const char *at = token; *at; at++) {
        bool plain = (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z');
        if (n + 4 > cap)
            return false;
        n += (size_t)snprintf(ret + n, cap - n, plain ? "%c" : "%%%02X", (unsigned char)*at);
    }
    ret[n] = '\0';
    return true;
}

static bool ask(const struct kt_kube_way *way, const char *path, struct kt_http_answer *ret, json_t **ret_page,
                struct kt_error *err)
{
    const struct kt_http_request request = {.peer = way->peer,
                                            .method = "GET",
                                            .path = path,
                                            .accept = KT_KUBE_METADATA_LIST,
                                            .timeout_ms = way->timeout_ms,
                                            .answer_max = KT_HTTP_ANSWER_MAX};
    *ret_page = NULL;
    if (!kt_kube_call(way->kube, &request, ret, err))
        return false;
    if (ret->outcome == KT_HTTP_OK && ret->body.data)
        *ret_page = json_loadb((const char *)ret->body.data, ret->body.len, 0, NULL);
    if (ret->outcome == KT_HTTP_OK && !*ret_page)
        ret->outcome = KT_HTTP_PROTOCOL;
    return true;
}

static bool visit_page(const json_t *page, kt_api_visit *visit, void *context, struct kt_error *err)
{
    const json_t *items = json_object_get(page, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const char *namespace = kt_kube_text(item, "metadata", "namespace");
        const char *name = kt_kube_text(item, "metadata", "name");
        if (name && !visit(context, namespace ? namespace : "", name, err))
            return false;
    }
    return true;
}

/* One page; *token is what the next begins with, "" behind the last. *ret_gone: begin again. */
static bool take_page(const struct kt_kube_way *way, const struct kt_api_kind *kind, char token[TOKEN_MAX],
                      json_t **ret_page, bool *ret_gone, struct kt_error *err)
{
    KT_CLEANUP_ANSWER struct kt_http_answer answer = {.detail = ""};
    char path[KT_API_PATH_MAX + 3 * TOKEN_MAX], encoded[3 * TOKEN_MAX];
    if (!encode(token, encoded, sizeof(encoded)))
        return kt_fail(err, KT_E_IO, "a list's page is named by more than is taken");
    (void)snprintf(path, sizeof(path), "%s/%s?limit=%d%s%s", kind->base, kind->resource, PAGE,
                   encoded[0] ? "&continue=" : "", encoded);
    if (!ask(way, path, &answer, ret_page, err))
        return false;
    *ret_gone = answer.outcome == KT_HTTP_GONE;
    if (!*ret_page)
        return *ret_gone || kt_http_answer_fail(&answer, err);
    const char *next = kt_kube_text(*ret_page, "metadata", "continue");
    (void)snprintf(token, TOKEN_MAX, "%s", next ? next : "");
    return !next || strlen(next) < TOKEN_MAX || kt_fail(err, KT_E_IO, "a list's page is named by more than is taken");
}

bool kt_api_list(const struct kt_kube_way *way, const struct kt_api_kind *kind, kt_api_visit *visit, void *context,
                 struct kt_error *err)
{
    char token[TOKEN_MAX] = "";
    unsigned begins = 1;
    for (;;) {
        KT_CLEANUP_JSON json_t *page = NULL;
        bool gone = false;
        if (!take_page(way, kind, token, &page, &gone, err) || !visit_page(page, visit, context, err))
            return false;
        if (gone && ++begins > BEGINS)
            return kt_fail(err, KT_E_INCOMPLETE, "%s/%s: the list was gone each time before its end", kind->base,
                           kind->resource);
        if (gone)
            token[0] = '\0';
        else if (token[0] == '\0')
            return true;
    }
}
