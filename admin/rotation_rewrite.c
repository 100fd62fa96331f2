/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a rotation that count the store and have objects written anew. */
#include "admin/census.h"
#include "admin/rotation_run.h"
#include "base/clock.h"
#include "base/printable.h"
#include "cluster/api_list.h"
#include "cluster/rewriter.h"
#include "cluster/storage_key.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ASK_MS   10000u
#define PATCH_MS 60000u
#define NS_PER_S UINT64_C(1000000000)
/* Passes in a row that left as many: what is not rewritten in the first ones counts as failed, and then it ends. */
#define VAIN_STRICT 2u
#define VAIN_MAX    4u

bool kt_rotation_is_narrowed(const struct kt_rotation *rotation)
{
    return rotation->asked->namespace || rotation->asked->resource;
}

/* ---- count ---- */

bool kt_rotation_census(struct kt_rotation *rotation, struct kt_error *err)
{
    const struct kt_census_order order = {.stale_for = &rotation->order};
    uint64_t begun = kt_clock_monotonic_ns();
    bool counted = kt_census_take(rotation->look, &order, err);
    rotation->worked_ns += kt_clock_monotonic_ns() - begun;
    if (counted && rotation->look->census->stale.n == 0 && rotation->left) {
        json_array_clear(rotation->left); /* what a pass did not rewrite was rewritten, or deleted, by somebody else */
        rotation->left_more = 0;
    }
    return counted;
}

/* ---- rewrite ---- */

struct rewriting {
    struct kt_rotation *rotation;
    struct kt_api_kinds *kinds;
    const struct kt_stale *stale;           /* to choose from */
    struct kt_stale listed;                 /* by the API, where there is no store to ask */
    const struct kt_stale_object **objects; /* that are asked for */
    const struct kt_api_kind **kind_of;     /* each of them; NULL: the API has none */
    size_t n;
    struct kt_http_peer *peers[KT_APISERVERS_MAX];
    size_t n_peers;
};

static void rewriting_done(struct rewriting *w)
{
    kt_api_kinds_free(w->kinds);
    kt_stale_done(&w->listed);
    free(w->objects);
    free(w->kind_of);
}

static bool is_kind(const struct kt_stale_object *object, const char *wanted)
{
    size_t len = strlen(object->resource);
    bool same = strncmp(wanted, object->resource, len) == 0;
    return same && (wanted[len] == '.' ? strcmp(wanted + len + 1, object->group) == 0
                                       : wanted[len] == '\0' && object->group[0] == '\0');
}

static bool is_asked_for(const struct kt_rotation_order *asked, const struct kt_stale_object *object)
{
    return (!asked->namespace || strcmp(asked->namespace, object->namespace) == 0) &&
           (!asked->resource || is_kind(object, asked->resource));
}

size_t kt_rotation_stale(const struct kt_rotation *rotation)
{
    const struct kt_stale *stale = &rotation->look->census->stale;
    size_t n = 0;
    for (size_t i = 0; i < stale->n; i++)
        n += is_asked_for(rotation->asked, &stale->items[i]);
    return n;
}

/* Those that answer and are ready; else the one of the kubeconfig. */
static void find_peers(struct rewriting *w)
{
    struct kt_look *look = w->rotation->look;
    for (size_t i = 0; look->servers && i < look->servers->n; i++) {
        struct kt_apiserver *server = &look->servers->list[i];
        if (server->state == KT_APISERVER_ASKED && server->ready != KT_VERDICT_BAD)
            w->peers[w->n_peers++] = &server->peer;
    }
    if (w->n_peers == 0)
        w->peers[w->n_peers++] = kt_kube_peer(look->kube);
}

static struct kt_kube_way way_of(const struct rewriting *w)
{
    return (struct kt_kube_way){.kube = w->rotation->look->kube, .peer = w->peers[0], .timeout_ms = ASK_MS};
}

static bool check_resource(struct rewriting *w, struct kt_error *err)
{
    const char *wanted = w->rotation->asked->resource;
    const struct kt_api_kind *kind = NULL;
    char resource[KT_STORAGE_SEGMENT_MAX];
    const char *dot = strchr(wanted, '.');
    (void)snprintf(resource, sizeof(resource), "%.*s", (int)(dot ? (size_t)(dot - wanted) : strlen(wanted)), wanted);
    if (!kt_api_kinds_find(w->kinds, dot ? dot + 1 : "", resource, &kind, err))
        return false;
    if (kind)
        return true;
    kt_fail(err, KT_E_REFUSED, "--resource %.200s: expected a kind of the API, found none of that name", wanted);
    return kt_error_hint(err, "its plural and its group: secrets, deployments.apps; kubectl api-resources lists them");
}

static bool open_api(struct rewriting *w, struct kt_error *err)
{
    const struct kt_error *why = &w->rotation->look->no_servers;
    if (!w->rotation->look->kube) {
        kt_fail(err, KT_E_INCOMPLETE, "what is stored stays as it is, and can be read: %.380s", why->message);
        return kt_error_hint(err, "%s", why->hint);
    }
    find_peers(w);
    const struct kt_kube_way way = way_of(w);
    w->kinds = kt_api_kinds_new(&way, err);
    return w->kinds != NULL;
}

bool kt_rotation_check_resource(struct kt_rotation *rotation, struct kt_error *err)
{
    KT_CLEANUP(rewriting_done) struct rewriting w = {.rotation = rotation};
    return !rotation->asked->resource || (open_api(&w, err) && check_resource(&w, err));
}

/* Asked before, for none of it can be asked while requests are on their way. */
static bool find_kinds(struct rewriting *w, struct kt_error *err)
{
    const struct kt_stale *stale = w->stale;
    w->objects = calloc(stale->n + 1, sizeof(struct kt_stale_object *));
    w->kind_of = calloc(stale->n + 1, sizeof(struct kt_api_kind *));
    if (!w->objects || !w->kind_of)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < stale->n; i++) {
        const struct kt_stale_object *object = &stale->items[i];
        if (!is_asked_for(w->rotation->asked, object))
            continue;
        w->objects[w->n] = object;
        if (!kt_api_kinds_find(w->kinds, object->group, object->resource, &w->kind_of[w->n++], err))
            return false;
    }
    return true;
}

static bool path(void *context, size_t index, char ret[KT_API_PATH_MAX], char *words)
{
    const struct rewriting *w = context;
    const struct kt_stale_object *object = w->objects[index];
    const struct kt_api_kind *kind = w->kind_of[index];
    const char *why = NULL;
    if (!kind)
        why = "the API has no such kind (any more)";
    else if (!kind->patched)
        why = "the API does not let objects of this kind be patched";
    else if (object->odd || !kt_api_kind_path(kind, object->namespace, object->name, ret))
        why = "its key in the store is not one that the API makes for this kind";
    if (why)
        (void)snprintf(words, KT_REWRITER_WORDS, "%s", why);
    return !why;
}

static void progress(void *context, const struct kt_rewriter_progress *now)
{
    const struct rewriting *w = context;
    kt_progress_rewrite(w->rotation, now);
}

static void say_result(struct kt_rotation *rotation, const struct rewriting *w, const struct kt_rewriter_result *result)
{
    char words[256];
    double seconds = (double)result->elapsed_ns / (double)NS_PER_S;
    (void)snprintf(words, sizeof(words), "%zu in %.1f s (%.0f/s), %zu gone or written meanwhile, %zu left over%s",
                   result->rewritten, seconds, seconds > 0 ? (double)result->rewritten / seconds : 0,
                   result->gone + result->conflicts, result->failed + result->transient,
                   result->stopped ? ", stopped" : "");
    char what[64];
    (void)snprintf(what, sizeof(what), "rewritten of %zu objects", w->n);
    kt_progress_say(&rotation->progress, what, words);
}

/* Its key could come back. */
static const char *archived_id(const struct kt_rotation *rotation, const struct kt_stale_object *object)
{
    const struct kt_keyring_info *info = rotation->described.info;
    for (size_t i = 0; i < info->n_archive; i++)
        if (strstr(object->under, info->archive[i].id))
            return info->archive[i].id;
    return NULL;
}

static json_t *reason_of(const struct kt_rotation *rotation, const struct kt_stale_object *object, const char *words)
{
    char text[KT_REWRITER_WORDS + 128];
    const char *id = archived_id(rotation, object);
    (void)snprintf(text, sizeof(text), "%s%s%s", words, id ? "; its key is archived: keyturn key restore " : "",
                   id ? id : "");
    return kt_json_text(text);
}

static void note_left(struct kt_rotation *rotation, const struct kt_stale_object *object,
                      const struct kt_rewriter_failure *failure)
{
    json_t *left =
        json_pack("{s:o,s:o,s:o,s:o,s:o,s:b}", "resource", kt_json_text(object->resource), "group",
                  kt_json_text(object->group), "namespace", kt_json_text(object->namespace), "name",
                  kt_json_text(object->name), "storedAs", kt_json_text(object->under), "passing", failure->transient);
    if (left)
        json_object_set_new(left, "reason", reason_of(rotation, object, failure->words));
    json_array_append_new(rotation->left, left);
}

static bool take_result(struct kt_rotation *rotation, const struct rewriting *w,
                        const struct kt_rewriter_result *result, struct kt_error *err)
{
    json_decref(rotation->left);
    rotation->left = json_array();
    if (!rotation->left)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    rotation->left_more = result->failed + result->transient - result->n_failures;
    for (size_t i = 0; i < result->n_failures; i++)
        note_left(rotation, w->objects[result->failures[i].index], &result->failures[i]);
    rotation->n_rewritten += result->rewritten;
    kt_rotation_tell_pass(rotation);
    rotation->rewrite_ns += result->elapsed_ns;
    rotation->worked_ns += result->elapsed_ns;
    rotation->look->rewrite = (struct kt_facts_rewrite){
        .ran = !result->stopped, .ended_mono = kt_clock_monotonic_ns(), .failed = result->failed};
    if (!result->stopped || *kt_rotation_interrupted())
        return true;
    kt_fail(err, KT_E_INCOMPLETE, "nothing was rewritten for %u s, and not all that had to be was",
            rotation->options->timeout_s);
    return kt_error_hint(err, "keyturn status -v shows the API servers; then run it again: it goes on from here");
}

/* What is counted as left over, and is no object that could be named. */
static bool fail_nameless(struct kt_error *err)
{
    kt_fail(err, KT_E_INCOMPLETE,
            "objects may be stored under a key that is not the active one, and by the names of the keys there is no "
            "telling "
            "which");
    return kt_error_hint(err, "a key whose name is the beginning of another's: see keyturn key list");
}

/* Rewritten again and again, as it seems, and stored as before. */
static bool count_pass(struct kt_rotation *rotation, struct kt_error *err)
{
    size_t stale = rotation->look->census->stale.n;
    if (rotation->look->census->stale.more)
        return true;
    if (rotation->least_stale == 0 || stale < rotation->least_stale) {
        rotation->least_stale = stale;
        rotation->n_vain = 0;
        return true;
    }
    if (++rotation->n_vain < VAIN_MAX)
        return true;
    kt_fail(err, KT_E_INCOMPLETE, "%zu objects are stored as before, though API servers say that they wrote them",
            stale);
    return kt_error_hint(
        err, "keyturn status -v shows under what each of them writes; keyturn census --objects, what is left");
}

static bool patch_all(struct rewriting *w, struct kt_error *err)
{
    KT_CLEANUP(kt_rewriter_result_done) struct kt_rewriter_result result = {.failures = NULL};
    struct kt_rotation *rotation = w->rotation;
    if (!find_kinds(w, err))
        return false;
    const struct kt_rewriter_options options = {.kube = rotation->look->kube,
                                                .peers = w->peers,
                                                .n_peers = w->n_peers,
                                                .n = w->n,
                                                .path = path,
                                                .progress = progress,
                                                .context = w,
                                                .concurrency = rotation->asked->concurrency,
                                                .max_rate = rotation->asked->max_rate,
                                                .timeout_ms = PATCH_MS,
                                                .stall_ns = rotation->options->timeout_s * NS_PER_S,
                                                .strict = rotation->n_vain >= VAIN_STRICT,
                                                .stop = kt_rotation_interrupted()};
    bool ran = kt_rewriter_run(&options, &result, err);
    kt_progress_end(&rotation->progress);
    if (ran)
        say_result(rotation, w, &result);
    return ran && take_result(rotation, w, &result, err);
}

static bool fail_left(const struct kt_rotation *rotation, struct kt_error *err)
{
    kt_fail(err, KT_E_INCOMPLETE, "%zu objects could not be rewritten", json_array_size(rotation->left));
    return kt_error_hint(err, "see to them and run it again");
}

bool kt_rotation_rewrite(struct kt_rotation *rotation, struct kt_error *err)
{
    KT_CLEANUP(rewriting_done) struct rewriting w = {.rotation = rotation};
    if (!rotation->look->census || rotation->look->census->stale.n == 0)
        return fail_nameless(err);
    size_t before = rotation->n_rewritten;
    w.stale = &rotation->look->census->stale;
    if (!open_api(&w, err) || !count_pass(rotation, err) || !patch_all(&w, err))
        return false;
    bool vain = rotation->n_rewritten == before && json_array_size(rotation->left) > 0;
    return !kt_rotation_is_narrowed(rotation) || !vain || fail_left(rotation, err);
}

/* ---- rewrite all that the API lists ---- */

struct listing {
    struct rewriting *w;
    const char *group;
    const char *resource;
};

static bool visit_object(void *context, const char *namespace, const char *name, struct kt_error *err)
{
    const struct listing *listing = context;
    const struct kt_stale_from from = {.group = kt_slice_str(listing->group),
                                       .resource = kt_slice_str(listing->resource),
                                       .namespace = kt_slice_str(namespace),
                                       .name = kt_slice_str(name),
                                       .under = "nobody knows what"};
    if (!kt_stale_add(&listing->w->listed, &from, err))
        return false;
    return !listing->w->listed.more ||
           kt_fail(err, KT_E_REFUSED, "expected at most %u objects, where the store cannot be counted, found more",
                   KT_STALE_MAX);
}

static bool visit_kind(void *context, const char *group, const struct kt_api_kind *kind, struct kt_error *err)
{
    struct rewriting *w = context;
    const struct kt_kube_way way = way_of(w);
    struct listing listing = {.w = w, .group = group, .resource = kind->resource};
    return kt_api_list(&way, kind, visit_object, &listing, err);
}

/* An element of `resources`: one kind, those of a group, or all. */
static bool list_rule(struct rewriting *w, const char *rule, struct kt_error *err)
{
    char resource[KT_STORAGE_SEGMENT_MAX];
    const struct kt_api_kind *kind = NULL;
    const char *dot = strchr(rule, '.');
    const char *group = dot ? dot + 1 : "";
    if (strncmp(rule, "*.", 2) == 0)
        return kt_api_kinds_all(w->kinds, strcmp(group, "*") == 0 ? NULL : group, visit_kind, w, err);
    (void)snprintf(resource, sizeof(resource), "%.*s", (int)(dot ? (size_t)(dot - rule) : strlen(rule)), rule);
    if (!kt_api_kinds_find(w->kinds, group, resource, &kind, err))
        return false;
    return !kind || visit_kind(w, group, kind, err);
}

bool kt_rotation_rewrite_all(struct kt_rotation *rotation, struct kt_error *err)
{
    KT_CLEANUP(rewriting_done) struct rewriting w = {.rotation = rotation};
    const struct kt_stored_rules *rules = &rotation->look->rules;
    if (!rules->known) {
        kt_fail(err, KT_E_CONFIG, "expected a config file, whose rules say what is to be rewritten, found none");
        return kt_error_hint(err, "--encryption-config FILE");
    }
    if (!open_api(&w, err))
        return false;
    for (size_t i = 0; i < rules->n; i++)
        if (rules->items[i].managed && !list_rule(&w, rules->items[i].text, err))
            return false;
    w.stale = &w.listed;
    return patch_all(&w, err) && (json_array_size(rotation->left) == 0 || fail_left(rotation, err));
}

/* ---- what is left ---- */

void kt_rotation_print_left(const struct kt_rotation *rotation)
{
    size_t n = json_array_size(rotation->left);
    for (size_t i = 0; i < n; i++) {
        const json_t *left = json_array_get(rotation->left, i);
        const char *group = kt_kube_text(left, "group"), *namespace = kt_kube_text(left, "namespace");
        fprintf(stderr, "keyturn: left over: %s%s%s %s%s%s, stored as %s: %s\n", kt_kube_text(left, "resource"),
                group[0] ? "." : "", group, namespace, namespace[0] ? "/" : "", kt_kube_text(left, "name"),
                kt_kube_text(left, "storedAs"), kt_kube_text(left, "reason"));
    }
    if (rotation->left_more > 0)
        fprintf(stderr, "keyturn: left over: and %zu more\n", rotation->left_more);
}
