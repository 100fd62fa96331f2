/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/front_pending.h"

#include "base/cleanup.h"

#include <string.h>

bool kt_pending_init(struct kt_pending_table *table, struct kt_error *err)
{
    struct kt_pending *slots = calloc(KT_PENDING_MAX, sizeof(*slots));
    if (!slots)
        return kt_fail(err, KT_E_NOMEM, "no memory for %u requests", KT_PENDING_MAX);
    *table = (struct kt_pending_table){.slots = slots};
    TAILQ_INIT(&table->free);
    TAILQ_INIT(&table->queued);
    TAILQ_INIT(&table->sent);
    return true;
}

void kt_pending_done(struct kt_pending_table *table)
{
    if (!table->slots)
        return;
    explicit_bzero(table->slots, table->touched * sizeof(*table->slots));
    free(table->slots);
    table->slots = NULL;
}

struct kt_pending *kt_pending_take(struct kt_pending_table *table)
{
    struct kt_pending *pending = TAILQ_FIRST(&table->free);
    if (pending)
        TAILQ_REMOVE(&table->free, pending, link);
    else if (table->touched < KT_PENDING_MAX)
        pending = &table->slots[table->touched++];
    else
        return NULL;
    pending->state = KT_PENDING_TAKEN;
    pending->losses = 0;
    pending->uses++;
    table->n++;
    return pending;
}

void kt_pending_queue(struct kt_pending_table *table, struct kt_pending *pending)
{
    pending->request.tag = (uint64_t)pending->uses << 32 | (uint64_t)(pending - table->slots);
    pending->state = KT_PENDING_QUEUED;
    TAILQ_INSERT_TAIL(&table->queued, pending, link);
}

void kt_pending_mark_sent(struct kt_pending_table *table, struct kt_pending *pending)
{
    TAILQ_REMOVE(&table->queued, pending, link);
    TAILQ_INSERT_TAIL(&table->sent, pending, link);
    pending->state = KT_PENDING_SENT;
}

struct kt_pending *kt_pending_find(struct kt_pending_table *table, uint64_t tag)
{
    size_t index = tag & UINT32_MAX;
    if (index >= table->touched)
        return NULL;
    struct kt_pending *pending = &table->slots[index];
    return pending->state == KT_PENDING_SENT && pending->request.tag == tag ? pending : NULL;
}

void kt_pending_release(struct kt_pending_table *table, struct kt_pending *pending)
{
    if (pending->state == KT_PENDING_QUEUED)
        TAILQ_REMOVE(&table->queued, pending, link);
    else if (pending->state == KT_PENDING_SENT)
        TAILQ_REMOVE(&table->sent, pending, link);
    explicit_bzero(pending->request.data, pending->request.len);
    pending->request.len = 0;
    pending->call = NULL;
    pending->state = KT_PENDING_FREE;
    TAILQ_INSERT_HEAD(&table->free, pending, link);
    table->n--;
}

void kt_pending_requeue(struct kt_pending_table *table)
{
    struct kt_pending *pending;
    for (pending = TAILQ_FIRST(&table->sent); pending; pending = TAILQ_NEXT(pending, link)) {
        pending->state = KT_PENDING_QUEUED;
        pending->losses++;
    }
    TAILQ_CONCAT(&table->sent, &table->queued, link);
    TAILQ_CONCAT(&table->queued, &table->sent, link);
}

/* Whatever was lost stands before what never was sent. */
struct kt_pending *kt_pending_lost(struct kt_pending_table *table)
{
    struct kt_pending *pending;
    for (pending = TAILQ_FIRST(&table->queued); pending && pending->losses > 0; pending = TAILQ_NEXT(pending, link)) {
        if (pending->losses >= KT_PENDING_LOSSES)
            return pending;
    }
    return NULL;
}

static struct kt_pending *first_expired(struct kt_pending_list *list, uint64_t now_ns)
{
    struct kt_pending *pending;
    for (pending = TAILQ_FIRST(list); pending; pending = TAILQ_NEXT(pending, link)) {
        if (pending->give_up_ns <= now_ns)
            return pending;
    }
    return NULL;
}

struct kt_pending *kt_pending_expired(struct kt_pending_table *table, uint64_t now_ns)
{
    struct kt_pending *pending = first_expired(&table->sent, now_ns);
    return pending ? pending : first_expired(&table->queued, now_ns);
}
