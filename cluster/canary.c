/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/canary.h"

#include "base/printable.h"
#include "cluster/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMESPACE_MAX 63u
#define ANSWER_MAX    ((size_t)1 << 20)
#define TRIES         5

static const struct {
    const char *kind;
    const char *resource;
} KINDS[] = {{"Secret", "secrets"}, {"ConfigMap", "configmaps"}};

/* RFC 1123 label. */
static bool is_label(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len <= NAMESPACE_MAX && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len &&
           text[0] != '-' && text[len - 1] != '-';
}

bool kt_canary_init(struct kt_canary *canary, enum kt_canary_kind kind, const char *space, const char *server_id,
                    struct kt_error *err)
{
    struct kt_canary made = {.kind = kind};
    char hash[KT_METRICS_HASH_MAX];

    if (!space)
        space = KT_CANARY_NAMESPACE;
    if (!is_label(space))
        return kt_fail(err, KT_E_USAGE, "expected the name of a namespace, found %s", KT_PRINTABLE(space));
    if (!kt_metrics_hash(kt_slice_str(server_id), hash, err))
        return false;
    snprintf(made.namespace, sizeof(made.namespace), "%s", space);
    snprintf(made.name, sizeof(made.name), "keyturn-canary-%.16s", hash + strlen("sha256:"));
    snprintf(made.key, sizeof(made.key), "/%s/%s/%s", KINDS[kind].resource, made.namespace, made.name);
    *canary = made;
    return true;
}

/* One request and its answer: metadata alone. *ret_object is NULL where there is none. */
struct exchange {
    const char *method;
    const char *content_type;
    json_t *body; /* owned */
    bool on_collection;
    struct kt_http_answer answer;
    json_t *object;
};

static void exchange_done(struct exchange *exchange)
{
    json_decref(exchange->body);
    json_decref(exchange->object);
    kt_http_answer_done(&exchange->answer);
}

static bool run(struct exchange *exchange, const struct kt_canary *canary, const struct kt_kube_way *way,
                struct kt_error *err)
{
    char path[3 * KT_CANARY_TEXT_MAX];
    KT_CLEANUP(kt_free_p) char *text = exchange->body ? json_dumps(exchange->body, JSON_COMPACT) : NULL;
    const struct kt_http_request request = {
        .peer = way->peer,
        .method = exchange->method,
        .path = path,
        .accept = KT_KUBE_METADATA,
        .content_type = exchange->content_type,
        .body = text ? kt_slice_str(text) : KT_SLICE(NULL, 0),
        .timeout_ms = way->timeout_ms,
        .answer_max = ANSWER_MAX,
    };

    if (exchange->content_type && !text)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/%s%s%s", canary->namespace, KINDS[canary->kind].resource,
             exchange->on_collection ? "" : "/", exchange->on_collection ? "" : canary->name);
    if (!kt_kube_call(way->kube, &request, &exchange->answer, err))
        return false;
    if (exchange->answer.outcome == KT_HTTP_OK && exchange->answer.body.data)
        exchange->object = json_loadb((const char *)exchange->answer.body.data, exchange->answer.body.len, 0, NULL);
    return true;
}

static bool fail_answer(const struct kt_canary *canary, const struct exchange *exchange, struct kt_error *err)
{
    (void)kt_http_answer_fail(&exchange->answer, err);
    return kt_error_prefix(err, "canary %s", canary->key);
}

static bool take_text(const json_t *object, const char *key, char ret[KT_CANARY_TEXT_MAX])
{
    const char *text = kt_kube_text(object, "metadata", key);

    if (!text || text[0] == '\0' || strlen(text) >= KT_CANARY_TEXT_MAX)
        return false;
    memcpy(ret, text, strlen(text) + 1);
    return true;
}

static bool take_written(struct kt_canary *canary, struct exchange *exchange, struct kt_error *err)
{
    if (exchange->answer.outcome == KT_HTTP_OK && take_text(exchange->object, "uid", canary->uid) &&
        take_text(exchange->object, "resourceVersion", canary->resource_version))
        return true;
    if (exchange->answer.outcome == KT_HTTP_OK)
        exchange->answer.outcome = KT_HTTP_PROTOCOL;
    return fail_answer(canary, exchange, err);
}

static json_t *make_data(const struct kt_canary *canary)
{
    char encoded[64];

    if (canary->kind == KT_CANARY_CONFIGMAP)
        return json_pack("{s:s}", "nonce", canary->nonce);
    kt_base64_encode(kt_slice_str(canary->nonce), encoded);
    return json_pack("{s:s}", "nonce", encoded);
}

static bool new_nonce(struct kt_canary *canary, struct kt_error *err)
{
    uint8_t bytes[16];

    if (!kt_random(bytes, sizeof(bytes), err))
        return false;
    kt_hex_encode(KT_SLICE(bytes, sizeof(bytes)), canary->nonce);
    return true;
}

/* false in *ret: there is one already. */
static bool create(struct kt_canary *canary, const struct kt_kube_way *way, bool *ret, struct kt_error *err)
{
    KT_CLEANUP(exchange_done)
    struct exchange post = {
        .method = "POST",
        .content_type = "application/json",
        .on_collection = true,
        .body = json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:o}", "apiVersion", "v1", "kind", KINDS[canary->kind].kind,
                          "metadata", "name", canary->name, "labels", KT_CANARY_LABEL, KT_CANARY_MANAGER, "data",
                          make_data(canary)),
    };

    if (!run(&post, canary, way, err))
        return false;
    *ret = post.answer.outcome != KT_HTTP_CONFLICT;
    return !*ret || take_written(canary, &post, err);
}

/* Whose it is. *ret says whether it is there. */
static bool look(struct kt_canary *canary, const struct kt_kube_way *way, bool *ret, struct kt_error *err)
{
    KT_CLEANUP(exchange_done) struct exchange get = {.method = "GET"};

    if (!run(&get, canary, way, err))
        return false;
    *ret = get.answer.outcome != KT_HTTP_NOT_FOUND;
    if (!*ret)
        return true;
    if (!take_written(canary, &get, err))
        return false;
    const char *manager = kt_kube_text(get.object, "metadata", "labels", KT_CANARY_LABEL);
    if (manager && strcmp(manager, KT_CANARY_MANAGER) == 0)
        return true;
    (void)kt_fail(err, KT_E_EXISTS, "%s: expected an object of ours, found one without the label %s=%s", canary->key,
                  KT_CANARY_LABEL, KT_CANARY_MANAGER);
    return kt_error_hint(err, "look at it, and remove it or label it: kubectl -n %s get %s %s", canary->namespace,
                         KINDS[canary->kind].resource, canary->name);
}

/* Only what was looked at: uid and resourceVersion. false in *ret: somebody else was faster. */
static bool change(struct kt_canary *canary, const struct kt_kube_way *way, bool *ret, struct kt_error *err)
{
    KT_CLEANUP(exchange_done)
    struct exchange patch = {
        .method = "PATCH",
        .content_type = KT_KUBE_MERGE_PATCH,
        .body = json_pack("{s:{s:s, s:s}, s:o}", "metadata", "uid", canary->uid, "resourceVersion",
                          canary->resource_version, "data", make_data(canary)),
    };

    if (!run(&patch, canary, way, err))
        return false;
    *ret = patch.answer.outcome != KT_HTTP_CONFLICT && patch.answer.outcome != KT_HTTP_NOT_FOUND;
    return !*ret || take_written(canary, &patch, err);
}

static bool fail_busy(const struct kt_canary *canary, struct kt_error *err)
{
    (void)kt_fail(err, KT_E_BUSY, "%s: it changes again and again meanwhile", canary->key);
    return kt_error_hint(err, "another keyturn, or a controller, writes it: run it again");
}

bool kt_canary_write(struct kt_canary *canary, const struct kt_kube_way *way, struct kt_error *err)
{
    bool done = false;
    bool there = false;

    if (!new_nonce(canary, err))
        return false;
    for (int i = 0; i < TRIES; i++) {
        if (!look(canary, way, &there, err))
            return false;
        bool tried = there ? change(canary, way, &done, err) : create(canary, way, &done, err);
        if (!tried || done)
            return tried;
    }
    return fail_busy(canary, err);
}

bool kt_canary_remove(struct kt_canary *canary, const struct kt_kube_way *way, struct kt_error *err)
{
    bool there = false;

    for (int i = 0; i < TRIES; i++) {
        if (!look(canary, way, &there, err))
            return false;
        if (!there)
            return true;
        KT_CLEANUP(exchange_done)
        struct exchange delete = {
            .method = "DELETE",
            .content_type = "application/json",
            .body = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "DeleteOptions", "preconditions",
                              "uid", canary->uid),
        };
        if (!run(&delete, canary, way, err))
            return false;
        if (delete.answer.outcome == KT_HTTP_OK || delete.answer.outcome == KT_HTTP_NOT_FOUND)
            return true;
        if (delete.answer.outcome != KT_HTTP_CONFLICT)
            return fail_answer(canary, &delete, err);
    }
    return fail_busy(canary, err);
}
