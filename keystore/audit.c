/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/audit.h"

#include "keystore/kdf.h"

#include <inttypes.h>
#include <string.h>

static const struct {
    enum kt_audit_event event;
    const char *text;
} EVENTS[] = {
    {KT_AUDIT_FOUNDED, "founded"},
    {KT_AUDIT_CHANGED, "changed"},
    {KT_AUDIT_NODE_ADDED, "node-added"},
    {KT_AUDIT_NODE_REPLACED, "node-replaced"},
    {KT_AUDIT_NODE_REMOVED, "node-removed"},
    {KT_AUDIT_RECOVERY_REPLACED, "recovery-replaced"},
    {KT_AUDIT_RECOVERY_LOST, "recovery-lost"},
};

const char *kt_audit_event_text(enum kt_audit_event event)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(EVENTS); i++)
        if (EVENTS[i].event == event)
            return EVENTS[i].text;
    return "unknown";
}

enum kt_audit_event kt_audit_event_parse(const char *text)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(EVENTS); i++)
        if (strcmp(EVENTS[i].text, text) == 0)
            return EVENTS[i].event;
    return 0;
}

/* Nothing that has to be escaped, in JSON, in YAML or in a shell. */
static bool is_plain(char c)
{
    return c >= ' ' && c <= '~' && c != '"' && c != '\\' && c != '\'';
}

void kt_audit_clean(const char *text, char ret[KT_AUDIT_TEXT_MAX + 1])
{
    size_t n = strnlen(text, KT_AUDIT_TEXT_MAX);
    for (size_t i = 0; i < n; i++)
        ret[i] = text[i];
    for (size_t i = 0; i < n; i++)
        if (!is_plain(ret[i]))
            ret[i] = '?';
    ret[n] = '\0';
}

bool kt_audit_hash(struct kt_slice line, uint8_t ret[KT_HASH_LEN], struct kt_error *err)
{
    return kt_sha256(&line, 1, ret, err);
}

/* Names of keys are the only text that may need it. */
static void put_text(struct kt_text *t, const char *text)
{
    kt_text_add(t, "\"");
    for (size_t n = 0; *text; text += n) {
        n = strcspn(text, "\"\\");
        kt_text_add_bytes(t, text, n);
        if (text[n]) {
            kt_text_add(t, "\\%c", text[n]);
            n++;
        }
    }
    kt_text_add(t, "\"");
}

static void put_hash(struct kt_text *t, const char *label, const uint8_t hash[KT_HASH_LEN])
{
    char text[KT_HASH_TEXT_LEN] = {0};
    kt_hash_format(hash, text);
    kt_text_add(t, "%s\"%s\"", label, text);
}

static void put_recipients(const struct kt_audit_state *state, struct kt_text *t)
{
    kt_text_add(t, ",\"recipients\":[");
    for (size_t i = 0; i < state->n_recipients; i++)
        kt_text_add(t, "%s\"%s\"", i > 0 ? "," : "", state->recipients[i]);
    kt_text_add(t, "]");
}

static void put_keys(const struct kt_audit_state *state, struct kt_text *t)
{
    kt_text_add(t, ",\"keys\":[");
    for (size_t i = 0; i < state->n_keys; i++) {
        const struct kt_audit_key *key = &state->keys[i];
        kt_text_add(t, "%s{\"id\":\"%s\",\"name\":", i > 0 ? "," : "", key->id);
        put_text(t, key->name);
        kt_text_add(t, ",\"type\":\"%s\",\"state\":\"%s\"}", kt_key_type_text(key->type),
                    kt_key_state_text(key->state));
    }
    kt_text_add(t, "]");
}

static const char *bool_text(bool value)
{
    return value ? "true" : "false";
}

static void put_state(const struct kt_audit_state *state, bool with_hash, struct kt_text *t)
{
    kt_text_add(t, "{\"membership\":%" PRIu64 ",\"generation\":%" PRIu64, state->membership, state->generation);
    if (with_hash)
        put_hash(t, ",\"hash\":", state->hash);
    kt_text_add(t, ",\"stage\":\"%s\",\"enabled\":%s,\"strict\":%s,\"hold\":%" PRIu64, kt_stage_text(state->stage),
                bool_text(state->enabled), bool_text(state->strict), state->hold);
    kt_text_add(t, ",\"apiServers\":%" PRIu64 ",\"archived\":%" PRIu64, state->api_servers, state->archived);
    put_recipients(state, t);
    put_keys(state, t);
    kt_text_add(t, "}");
}

static void put_claim(const struct kt_audit_claim *claim, struct kt_text *t)
{
    const struct kt_audit_who *who = &claim->who;
    kt_text_add(t, ",\"who\":");
    if (claim->has_who)
        kt_text_add(t, "{\"uid\":%" PRIu32 ",\"user\":\"%s\",\"login\":\"%s\",\"sudo\":\"%s\"}", who->uid, who->user,
                    who->login, who->sudo);
    else
        kt_text_add(t, "null");
    kt_text_add(t, ",\"config\":");
    if (claim->has_config) {
        put_hash(t, "{\"before\":", claim->config_before);
        put_hash(t, ",\"after\":", claim->config_after);
        kt_text_add(t, "}");
    } else {
        kt_text_add(t, "null");
    }
}

void kt_audit_emit(const struct kt_audit_line *line, struct kt_text *t)
{
    char time[KT_TIME_LEN] = {0};
    char id[2 * KT_KEYRING_ID_LEN + 1] = {0};
    kt_time_format(line->time, time);
    kt_hex_encode(KT_SLICE(line->keyring_id, KT_KEYRING_ID_LEN), id);
    kt_text_add(t, "{\"v\":%u,\"seq\":%" PRIu64, KT_AUDIT_VERSION, line->seq);
    put_hash(t, ",\"prev\":", line->prev);
    kt_text_add(t, ",\"time\":\"%s\",\"keyring\":\"%s\",\"event\":\"%s\",\"subject\":\"%s\"", time, id,
                kt_audit_event_text(line->event), line->subject);
    kt_text_add(t, ",\"command\":\"%s\",\"node\":\"%s\"", line->claim.command, line->node);
    put_claim(&line->claim, t);
    kt_text_add(t, ",\"before\":");
    if (line->before.membership > 0)
        put_state(&line->before, true, t);
    else
        kt_text_add(t, "null");
    kt_text_add(t, ",\"after\":");
    put_state(&line->after, false, t);
    kt_text_add(t, "}");
}

struct kt_slice kt_audit_tail_line(const struct kt_audit_tail *tail, size_t i)
{
    size_t begin = i > 0 ? tail->ends[i - 1] : 0;
    return KT_SLICE(tail->text + begin, tail->ends[i] - begin);
}

static void drop_oldest(struct kt_audit_tail *tail)
{
    uint32_t len = tail->ends[0];
    memmove(tail->text, tail->text + len, tail->ends[tail->n - 1] - len);
    for (size_t i = 1; i < tail->n; i++)
        tail->ends[i - 1] = tail->ends[i] - len;
    tail->n--;
}

void kt_audit_tail_drop(struct kt_audit_tail *tail)
{
    if (tail->n > 1)
        drop_oldest(tail);
}

bool kt_audit_tail_add(struct kt_audit_tail *tail, struct kt_slice line)
{
    if (line.len == 0 || line.len > KT_AUDIT_LINE_MAX)
        return false;
    while (tail->n == KT_AUDIT_LINES_MAX || (tail->n > 0 && tail->ends[tail->n - 1] + line.len > KT_AUDIT_TAIL_MAX))
        drop_oldest(tail);
    uint32_t begin = tail->n > 0 ? tail->ends[tail->n - 1] : 0;
    memcpy(tail->text + begin, line.data, line.len);
    tail->ends[tail->n++] = begin + (uint32_t)line.len;
    return true;
}

bool kt_audit_tail_check(const struct kt_audit_tail *tail, const uint8_t head[KT_HASH_LEN],
                         struct kt_audit_prefix *ret_last, struct kt_error *err)
{
    struct kt_audit_prefix last = {.seq = 0};
    uint8_t hash[KT_HASH_LEN] = {0};
    for (size_t i = 0; i < tail->n; i++) {
        struct kt_audit_prefix prefix = {.seq = 0};
        struct kt_slice line = kt_audit_tail_line(tail, i);
        if (!kt_audit_prefix_parse(line, &prefix, err))
            return kt_error_prefix(err, "line %zu of %zu", i + 1, tail->n);
        if (i > 0 && (prefix.seq != last.seq + 1 || memcmp(prefix.prev, hash, KT_HASH_LEN) != 0))
            return kt_fail(err, KT_E_FOUND, "expected line %zu of %zu to follow the one before it, found another",
                           i + 1, tail->n);
        if (!kt_audit_hash(line, hash, err))
            return false;
        last = prefix;
    }
    if (memcmp(hash, head, KT_HASH_LEN) != 0)
        return kt_fail(err, KT_E_FOUND,
                       "expected auditHead to be the hash of the last line (zeros where there is "
                       "none), found another");
    *ret_last = last;
    return true;
}
