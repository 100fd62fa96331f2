/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/etcd.h"

#include "cluster/etcd_call.h"

#include <grpc/support/log.h>
#include <string.h>

/* gRPC's own messages would go to standard error and name what a peer sent. */
static void drop_log(gpr_log_func_args *args)
{
    (void)args;
}

static bool check_options(const struct kt_etcd_options *options, struct kt_error *err)
{
    if (options->timeout_ms == 0 || options->timeout_ms > KT_ETCD_TIMEOUT_MAX)
        return kt_fail(err, KT_E_CONFIG, "expected a time limit of 1 ms to %u ms for etcd", KT_ETCD_TIMEOUT_MAX);
    if (!options->endpoints || options->endpoints->n == 0)
        return kt_fail(err, KT_E_CONFIG, "expected an etcd endpoint, found none");
    if (options->server_name && strlen(options->server_name) >= KT_ETCD_HOST_MAX)
        return kt_fail(err, KT_E_CONFIG, "expected a server name of less than %u bytes", KT_ETCD_HOST_MAX);
    for (size_t i = 0; i < options->endpoints->n && !options->tls.ca; i++) {
        if (!options->endpoints->items[i].tls)
            continue;
        (void)kt_fail(err, KT_E_CONFIG, "%s: expected a CA to check its certificate by, found none",
                      options->endpoints->items[i].url);
        return kt_error_hint(err, "--etcd-cacert FILE");
    }
    return true;
}

static bool fill(struct kt_etcd *etcd, const struct kt_etcd_options *options, struct kt_error *err)
{
    size_t n = options->endpoints->n;
    etcd->endpoints.items = calloc(n, sizeof(*etcd->endpoints.items));
    if (!etcd->endpoints.items)
        return kt_fail(err, KT_E_NOMEM, "no memory for a client of etcd");
    memcpy(etcd->endpoints.items, options->endpoints->items, n * sizeof(*etcd->endpoints.items));
    etcd->endpoints.n = n;
    etcd->timeout_ms = options->timeout_ms;
    (void)snprintf(etcd->server_name, sizeof(etcd->server_name), "%s",
                   options->server_name ? options->server_name : "");
    return kt_etcd_tls_load(&options->tls, &etcd->tls, err);
}

struct kt_etcd *kt_etcd_new(const struct kt_etcd_options *options, struct kt_error *err)
{
    if (!check_options(options, err))
        return NULL;
    KT_CLEANUP(kt_free_p) struct kt_etcd *etcd = calloc(1, sizeof(*etcd));
    if (!etcd) {
        (void)kt_fail(err, KT_E_NOMEM, "no memory for a client of etcd");
        return NULL;
    }
    if (!fill(etcd, options, err)) {
        kt_etcd_endpoints_done(&etcd->endpoints);
        return NULL;
    }
    gpr_set_log_function(drop_log);
    grpc_init();
    etcd->queue = grpc_completion_queue_create_for_pluck(NULL);
    return KT_TAKE_PTR(etcd);
}

void kt_etcd_free(struct kt_etcd *etcd)
{
    if (!etcd)
        return;
    kt_etcd_disconnect(etcd);
    grpc_completion_queue_shutdown(etcd->queue);
    grpc_completion_queue_destroy(etcd->queue);
    grpc_shutdown_blocking();
    kt_etcd_endpoints_done(&etcd->endpoints);
    kt_etcd_tls_done(&etcd->tls);
    free(etcd);
}

void kt_etcd_value_done(struct kt_etcd_value *value)
{
    kt_bytes_done(&value->bytes);
}

static bool take_value(struct kt_etcd_answer *answer, struct kt_slice key, struct kt_etcd_value *ret,
                       struct kt_error *err)
{
    struct kt_etcd_kv kv;
    struct kt_etcd_value value = {.revision = answer->revision};
    if (answer->n_kvs > 1 || answer->more)
        return kt_fail(err, KT_E_IO, "the store answered with several keys where one was asked for");
    if (kt_etcd_answer_next(answer, &kv)) {
        if (!kt_slice_equal(kv.key, key))
            return kt_fail(err, KT_E_IO, "the store answered with another key than was asked for");
        if (!kt_bytes_copy(kv.value, &value.bytes, err))
            return false;
        value.found = true;
        value.mod_revision = kv.mod_revision;
        value.version = kv.version;
    }
    *ret = value;
    return true;
}

bool kt_etcd_get(struct kt_etcd *etcd, struct kt_slice key, struct kt_etcd_value *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_etcd_message_done) struct kt_etcd_message message = {.held = false};
    struct kt_etcd_answer answer;
    enum kt_etcd_reply reply;
    if (!kt_etcd_range_call(etcd, &(struct kt_etcd_query){.key = key}, &reply, &message, err))
        return false;
    if (reply != KT_ETCD_ANSWERED)
        return kt_fail(err, KT_E_IO, "expected an object of at most %zu bytes in the store, found a larger one",
                       KT_ETCD_MESSAGE_MAX);
    if (!kt_etcd_answer_read(message.bytes, &answer))
        return kt_fail(err, KT_E_IO, "the store answered something that is no answer of etcd v3");
    return take_value(&answer, key, ret, err);
}
