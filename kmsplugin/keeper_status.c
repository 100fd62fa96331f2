/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/keeper.h"
#include "proto/control.pb-c.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#ifndef KT_RELEASE
#define KT_RELEASE "unknown"
#endif

typedef Keyturn__Control__V1__Reply pb_reply; /* protoc-c's names are its own */
typedef Keyturn__Control__V1__Status pb_status;
typedef Keyturn__Control__V1__Key pb_key;
typedef Keyturn__Control__V1__Process pb_process;
typedef Keyturn__Control__V1__Recipient pb_recipient;

/* Everything that a reply points to, in one block. */
struct assembly {
    pb_status status;
    Keyturn__Control__V1__Offer offer;
    pb_key keys[KT_LOADED_KEYS_MAX];
    pb_key *key_list[KT_LOADED_KEYS_MAX];
    pb_recipient recipients[KT_RECIPIENTS_MAX];
    pb_recipient *recipient_list[KT_RECIPIENTS_MAX];
    pb_process processes[KT_ROLE_COUNT];
    pb_process *process_list[KT_ROLE_COUNT];
    char warnings[KT_WARNINGS_MAX][KT_WARNING_LEN];
    char *warning_list[KT_WARNINGS_MAX];
    char keyring_id[2 * KT_KEYRING_ID_LEN + 1];
    char hash[KT_HASH_TEXT_LEN];
    char owner[KT_HASH_TEXT_LEN];
    char key_id[KT_KEY_ID_LEN + 1];
    char metrics[KT_PATH_MAX];
};

/* protobuf-c's structs have char *; nothing writes through them while a message is packed. */
static char *text(const char *value)
{
    char *result = NULL;
    memcpy(&result, &value, sizeof(result));
    return result;
}

static struct kt_bytes pack(const pb_reply *reply)
{
    struct kt_bytes bytes = {.len = keyturn__control__v1__reply__get_packed_size(reply)};
    bytes.data = malloc(bytes.len + 1);
    if (!bytes.data)
        return (struct kt_bytes){.data = NULL};
    (void)keyturn__control__v1__reply__pack(reply, bytes.data);
    bytes.data[bytes.len] = 0;
    return bytes;
}

struct kt_bytes kt_keeper_pack_error(const struct kt_error *error)
{
    pb_reply reply = KEYTURN__CONTROL__V1__REPLY__INIT;
    Keyturn__Control__V1__Error body;
    keyturn__control__v1__error__init(&body);
    body.code = error->code;
    body.message = text(error->message);
    body.hint = text(error->hint);
    reply.error = &body;
    return pack(&reply);
}

struct warnings {
    char (*list)[KT_WARNING_LEN];
    size_t n;
    size_t max;
};

static KT_PRINTF(2, 3) void warn(struct warnings *w, const char *fmt, ...)
{
    if (w->n == w->max)
        return;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(w->list[w->n], KT_WARNING_LEN, fmt, args);
    va_end(args);
    w->n++;
}

static void warn_of_keys(const struct kt_keeper *k, struct warnings *w)
{
    const struct kt_keyring_info *info = k->keys->info;
    for (size_t i = 0; i < info->n_keys; i++) {
        uint64_t count = kt_usage_count(&k->usage, info->keys[i].id);
        if (count >= KT_USAGE_WARN)
            warn(w, "key %s may have encrypted %" PRIu64 " times; the limit is 2^32: keyturn rotate-keys",
                 info->keys[i].id, count);
        if (k->keys->keys[i].cipher && !k->keys->keys[i].selftest_ok)
            warn(w, "key %s failed its self-test", info->keys[i].id);
        if (info->keys[i].superseded)
            warn(w, "key %s is only in a superseded keyring: decrypt only", info->keys[i].id);
    }
    for (size_t i = 0; i < k->keys->n_notes; i++)
        warn(w, "%s", k->keys->notes[i]);
}

size_t kt_keeper_warnings(const struct kt_keeper *k, char (*ret)[KT_WARNING_LEN], size_t max)
{
    struct warnings w = {.list = ret, .max = max};
    if (k->reload_error.code != KT_OK)
        warn(&w, "keyring.yaml was not taken in: %.400s", k->reload_error.message);
    else if (k->disk_tested && !k->disk_ok)
        warn(&w, "the keyring on disk would not open at the next start: %.400s", k->disk_message);
    if (k->superseded_error.code != KT_OK)
        warn(&w, "a superseded keyring is not read, so its keys are not served: %.300s", k->superseded_error.message);
    if (k->floor_error.code != KT_OK)
        warn(&w, "the floor is not on the disk, so an older keyring.yaml would not be noticed: %.400s",
             k->floor_error.message);
    if (k->audit_error.code != KT_OK)
        warn(&w, "the audit log lacks lines of the keyring in force: %.400s", k->audit_error.message);
    if (k->usage.trouble.code != KT_OK)
        warn(&w, "encryptions are not counted on disk: %.400s", k->usage.trouble.message);
    if (k->keys)
        warn_of_keys(k, &w);
    return w.n;
}

static size_t list_warnings(const struct kt_keeper *k, struct assembly *a)
{
    size_t n = kt_keeper_warnings(k, a->warnings, KT_WARNINGS_MAX);
    for (size_t i = 0; i < n; i++)
        a->warning_list[i] = a->warnings[i];
    return n;
}

static void fill_keys(const struct kt_keeper *k, struct assembly *a)
{
    const struct kt_keyring_info *info = k->keys->info;
    for (size_t i = 0; i < info->n_keys; i++) {
        const struct kt_key_info *key = &info->keys[i];
        pb_key *out = &a->keys[i];
        keyturn__control__v1__key__init(out);
        out->id = text(key->id);
        out->name = text(key->name);
        out->type = text(kt_key_type_text(key->type));
        out->state = text(kt_key_state_text(key->state));
        out->created = key->created;
        out->retiring_since = key->retiring_since;
        out->encrypts = i == k->keys->encrypts;
        out->superseded = key->superseded;
        out->encryptions = kt_usage_count(&k->usage, key->id);
        out->selftest_ok = k->keys->keys[i].selftest_ok;
        a->key_list[i] = out;
    }
    a->status.n_keys = info->n_keys;
    a->status.keys = a->key_list;
}

static void fill_recipients(const struct kt_keyring_info *info, struct assembly *a)
{
    for (size_t i = 0; i < info->n_recipients; i++) {
        keyturn__control__v1__recipient__init(&a->recipients[i]);
        a->recipients[i].name = text(info->recipients[i].name);
        a->recipients[i].kind = text(kt_recipient_kind_text(info->recipients[i].kind));
        a->recipient_list[i] = &a->recipients[i];
    }
    a->status.n_recipients = info->n_recipients;
    a->status.recipients = a->recipient_list;
}

static void fill_keyring(const struct kt_keeper *k, struct assembly *a)
{
    const struct kt_keyring_info *info = k->keys->info;
    pb_status *status = &a->status;
    kt_hex_encode(KT_SLICE(info->keyring_id, KT_KEYRING_ID_LEN), a->keyring_id);
    kt_hash_format(info->hash, a->hash);
    kt_hash_format(info->owner, a->owner);
    status->keyring_id = a->keyring_id;
    status->membership = info->membership;
    status->generation = info->generation;
    status->keyring_hash = a->hash;
    status->owner = a->owner;
    status->written = info->written;
    status->writer = text(info->writer);
    status->stage = text(kt_stage_text(info->stage));
    status->enabled = info->enabled;
    status->strict = info->strict;
    status->hold = info->hold;
    status->archived = (uint32_t)info->n_archive;
    status->idle = kt_keyset_idle(k->keys);
    fill_keys(k, a);
    fill_recipients(info, a);
}

static uint64_t get(const kt_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void fill_processes(const struct kt_keeper *k, struct assembly *a)
{
    const struct kt_supervisor_page *page = k->supervisor_page;
    if (!page)
        return;
    for (size_t i = 0; i < KT_ROLE_COUNT; i++) {
        keyturn__control__v1__process__init(&a->processes[i]);
        a->processes[i].role = text(kt_role_text((enum kt_role)i));
        a->processes[i].pid = (uint32_t)get(&page->processes[i].pid);
        a->processes[i].uid = (uint32_t)get(&page->processes[i].uid);
        a->processes[i].restarts = get(&page->processes[i].restarts);
        a->process_list[i] = &a->processes[i];
    }
    a->status.n_processes = KT_ROLE_COUNT;
    a->status.processes = a->process_list;
    memcpy(a->metrics, page->metrics_address, sizeof(a->metrics));
    a->metrics[sizeof(a->metrics) - 1] = 0;
    a->status.metrics = a->metrics;
}

static void fill_status(const struct kt_keeper *k, struct assembly *a)
{
    pb_status *status = &a->status;
    keyturn__control__v1__status__init(status);
    memcpy(a->key_id, k->prepared.key_id, KT_KEY_ID_LEN);
    status->release = text(KT_RELEASE);
    status->node = text(k->config.node);
    status->config = text(k->config.config_path);
    status->healthz = text(k->healthz);
    status->key_id = a->key_id;
    status->memory = text(k->memory == KT_MEMORY_ALL ? "all" : "secrets");
    status->single_uid = k->config.single_uid;
    status->disk_tested = k->disk_tested;
    status->disk_ok = k->disk_ok;
    status->disk_message = text(k->disk_message);
    status->disk_time = k->disk_time;
    fill_processes(k, a);
    if (k->keys)
        fill_keyring(k, a);
    status->n_warnings = list_warnings(k, a);
    status->warnings = a->warning_list;
}

struct kt_bytes kt_keeper_pack_status(const struct kt_keeper *k)
{
    KT_CLEANUP(kt_free_p) struct assembly *a = calloc(1, sizeof(*a));
    pb_reply reply = KEYTURN__CONTROL__V1__REPLY__INIT;
    if (!a)
        return (struct kt_bytes){.data = NULL};
    fill_status(k, a);
    reply.status = &a->status;
    return pack(&reply);
}

struct kt_bytes kt_keeper_pack_offer(const struct kt_keeper *k, bool changed)
{
    KT_CLEANUP(kt_free_p) struct assembly *a = calloc(1, sizeof(*a));
    pb_reply reply = KEYTURN__CONTROL__V1__REPLY__INIT;
    if (!a)
        return (struct kt_bytes){.data = NULL};
    memcpy(a->key_id, k->prepared.key_id, KT_KEY_ID_LEN);
    keyturn__control__v1__offer__init(&a->offer);
    a->offer.changed = changed;
    a->offer.membership = k->prepared.membership;
    a->offer.generation = k->prepared.generation;
    a->offer.key_id = a->key_id;
    a->offer.n_warnings = list_warnings(k, a);
    a->offer.warnings = a->warning_list;
    reply.offer = &a->offer;
    return pack(&reply);
}
