/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "kmsplugin/keeper.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* One message of requests, one of answers. */
struct kt_batch {
    struct kt_locked memory;
    uint8_t *in;  /* KT_KEEPER_REQUESTS_SIZE, in memory */
    uint8_t *out; /* KT_KEEPER_ANSWERS_SIZE */
    size_t n;     /* answers to send */
    size_t out_len;
    bool complained; /* about this peer */
};

struct kt_batch *kt_batch_new(struct kt_error *err)
{
    struct kt_batch *batch = calloc(1, sizeof(*batch));
    if (!batch) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    if (!kt_locked_map(KT_KEEPER_REQUESTS_SIZE + KT_KEEPER_ANSWERS_SIZE, &batch->memory, err)) {
        free(batch);
        return NULL;
    }
    batch->in = batch->memory.body;
    batch->out = batch->memory.body + KT_KEEPER_REQUESTS_SIZE;
    return batch;
}

static void answer_status(struct kt_keeper *k, const struct kt_keeper_request *request, struct kt_keeper_answer *answer)
{
    memcpy(answer, &k->prepared, kt_keeper_answer_size(k->prepared.len));
    answer->op = request->op;
    answer->tag = request->tag;
}

static enum kt_code wrap(struct kt_keeper *k, const struct kt_keeper_request *request, struct kt_keeper_answer *answer)
{
    struct kt_keyset *set = k->keys;
    struct kt_error error = KT_ERROR_INIT;
    if (set->encrypts == KT_NO_KEY)
        return KT_E_KMS_NO_ACTIVE_KEY;
    if (request->len > KT_KMS_PLAINTEXT_MAX)
        return KT_E_KMS_TOO_LARGE;
    const char *id = set->info->keys[set->encrypts].id;
    if (!kt_usage_take(&k->usage, id, &error))
        return error.code;
    if (!kt_cipher_seal(set->keys[set->encrypts].cipher, request->data, request->len, answer->data, &error))
        return error.code;
    memcpy(answer->key_id, id, KT_KEY_ID_LEN);
    answer->len = request->len + KT_CIPHER_OVERHEAD;
    kt_count(&k->page->wraps);
    k->dirty = true;
    return KT_OK;
}

static enum kt_code unwrap(struct kt_keeper *k, const struct kt_keeper_request *request,
                           struct kt_keeper_answer *answer)
{
    struct kt_error error = KT_ERROR_INIT;
    size_t len = 0;
    size_t i = kt_keyset_find(k->keys, request->key_id);
    if (i == KT_NO_KEY)
        return KT_E_KMS_UNKNOWN_KEY;
    if (!kt_cipher_open(k->keys->keys[i].cipher, request->data, request->len, answer->data, &len, &error))
        return error.code;
    answer->len = (uint32_t)len;
    kt_count(&k->page->unwraps);
    return KT_OK;
}

static void answer_crypto(struct kt_keeper *k, const struct kt_keeper_request *request, struct kt_keeper_answer *answer)
{
    memset(answer, 0, offsetof(struct kt_keeper_answer, data));
    answer->op = request->op;
    answer->tag = request->tag;
    answer->flags = k->prepared.flags;
    answer->membership = k->prepared.membership;
    answer->generation = k->prepared.generation;
    if (!k->keys)
        answer->code = kt_keeper_unloaded_code(k);
    else
        answer->code = request->op == KT_KEEPER_WRAP ? wrap(k, request, answer) : unwrap(k, request, answer);
    if (answer->code == KT_OK)
        return;
    answer->len = 0;
    kt_count(&k->page->failures);
}

static void drop_answers(struct kt_batch *batch)
{
    kt_wipe(batch->out, batch->out_len);
    batch->out_len = 0;
    batch->n = 0;
}

static void drop_peer(struct kt_keeper *k)
{
    kt_fd_close(k->peer);
    k->peer = -1;
    drop_answers(k->batch);
    k->batch->complained = false;
}

void kt_keeper_peer_set(struct kt_keeper *k, int fd)
{
    drop_peer(k);
    k->peer = fd;
    k->want_peer_ns = KT_NEVER;
}

bool kt_keeper_peer_idle(const struct kt_keeper *k)
{
    return k->peer < 0 || k->batch->n == 0;
}

/* After a restart the keyring is open again in milliseconds: a question that waits so long is better than one that is
 * refused. While answers wait for room, no more questions are taken either. */
short kt_keeper_peer_events(const struct kt_keeper *k, uint64_t now)
{
    if (!k->attempted && now < k->hold_ns)
        return 0;
    return kt_keeper_peer_idle(k) ? POLLIN : POLLOUT;
}

void kt_keeper_peer_tick(struct kt_keeper *k, uint64_t now)
{
    struct kt_error error = KT_ERROR_INIT;
    if (now < k->want_peer_ns)
        return;
    k->want_peer_ns = now + KT_PEER_PATIENCE_NS;
    if (!kt_lifeline_send(KT_LIFELINE_FD, KT_LIFE_WANT_PEER, (struct kt_slice){.data = NULL}, NULL, 0, &error))
        kt_log_error(KT_LOG_WARNING, "front-not-asked-for", &error);
}

uint64_t kt_keeper_peer_next(const struct kt_keeper *k, uint64_t now)
{
    bool holds = !k->attempted && k->peer >= 0 && now < k->hold_ns;
    return holds && k->hold_ns < k->want_peer_ns ? k->hold_ns : k->want_peer_ns;
}

static void answer_one(struct kt_keeper *k, const struct kt_keeper_request *request)
{
    struct kt_batch *batch = k->batch;
    struct kt_keeper_answer *answer = (void *)(batch->out + batch->out_len);
    if (request->op == KT_KEEPER_WRAP || request->op == KT_KEEPER_UNWRAP)
        answer_crypto(k, request, answer);
    else
        answer_status(k, request, answer);
    batch->out_len += kt_keeper_answer_size(answer->len);
    batch->n++;
}

/* What comes behind something malformed cannot be told apart any more. */
static void answer_all(struct kt_keeper *k, size_t len)
{
    struct kt_batch *batch = k->batch;
    size_t size = 0;
    for (size_t at = 0; at < len; at += size) {
        const struct kt_keeper_request *request = (const void *)(batch->in + at);
        size = batch->n < KT_KEEPER_BATCH ? kt_keeper_request_first(request, len - at) : 0;
        if (size == 0) {
            kt_count(&k->page->failures);
            if (!batch->complained)
                kt_log(KT_LOG_WARNING, "front-request-malformed", KT_NUM("size", len - at));
            batch->complained = true;
            return;
        }
        answer_one(k, request);
    }
}

/* Returns false when the front is gone. */
static bool send_answers(struct kt_keeper *k)
{
    struct kt_batch *batch = k->batch;
    if (batch->n == 0)
        return true;
    if (send(k->peer, batch->out, batch->out_len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return errno == EAGAIN || errno == ENOBUFS || errno == EINTR;
    drop_answers(batch);
    return true;
}

/* Returns false when the front is gone. Ours sends no empty messages: such a one is its end. */
static bool take_requests(struct kt_keeper *k)
{
    struct kt_batch *batch = k->batch;
    ssize_t n = recv(k->peer, batch->in, KT_KEEPER_REQUESTS_SIZE, MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    answer_all(k, (size_t)n);
    kt_wipe(batch->in, (size_t)n);
    return true;
}

void kt_keeper_peer_event(struct kt_keeper *k)
{
    bool alive = kt_keeper_peer_idle(k) ? take_requests(k) : true;
    if (send_answers(k) && alive)
        return;
    drop_peer(k);
    k->want_peer_ns = kt_clock_monotonic_ns() + KT_PEER_PATIENCE_NS;
}
