/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what kt_audit_emit writes, byte for byte, and nothing else: no white space, no other escapes or order. */
#include "base/printable.h"
#include "keystore/audit.h"
#include "keystore/key_name.h"

#include <string.h>

struct cursor {
    const char *begin;
    const char *at;
    const char *end;
    const char *expected; /* what was missed first; NULL: nothing so far */
};

static void miss(struct cursor *c, const char *expected)
{
    if (!c->expected)
        c->expected = expected;
}

static bool try(struct cursor *c, const char *literal)
{
    size_t len = strlen(literal);
    if (c->expected || (size_t)(c->end - c->at) < len || memcmp(c->at, literal, len) != 0)
        return false;
    c->at += len;
    return true;
}

static void take(struct cursor *c, const char *literal)
{
    if (!try(c, literal))
        miss(c, literal);
}

static uint64_t take_number(struct cursor *c, uint64_t min, uint64_t max)
{
    uint64_t value = 0;
    const char *first = c->at;
    while (!c->expected && c->at < c->end && *c->at >= '0' && *c->at <= '9' && value <= max)
        value = value * 10 + (uint64_t)(*c->at++ - '0');
    bool has_zeros = c->at - first > 1 && *first == '0';
    if (c->at == first || has_zeros || value < min || value > max)
        miss(c, "a number in decimal, within its bounds");
    return value;
}

/* Up to the closing quote, which is taken too; ret has room for max bytes and NUL. Only `"` and `\` are escaped. */
static void take_text(struct cursor *c, char *ret, size_t max)
{
    size_t n = 0;
    while (!c->expected && c->at < c->end && *c->at != '"' && n < max) {
        if (*c->at == '\\' && (c->end - c->at < 2 || (c->at[1] != '"' && c->at[1] != '\\'))) {
            miss(c, "no escapes but those of \" and \\");
            return;
        }
        c->at += *c->at == '\\';
        ret[n++] = *c->at++;
    }
    if (c->expected || c->at == c->end || *c->at != '"') {
        miss(c, "a text, not too long, and its end");
        return;
    }
    ret[n] = '\0';
    c->at++;
}

static void take_hash(struct cursor *c, uint8_t ret[KT_HASH_LEN])
{
    char text[KT_HASH_TEXT_LEN] = {0};
    take(c, "\"");
    take_text(c, text, KT_HASH_TEXT_LEN - 1);
    if (!c->expected && !kt_hash_parse(text, ret))
        miss(c, "\"sha256:\" and 64 hex digits");
}

static void take_hex(struct cursor *c, uint8_t *ret, size_t n)
{
    char text[2 * KT_KEYRING_ID_LEN + 1] = {0};
    take_text(c, text, 2 * n);
    if (!c->expected && !kt_hex_decode(kt_slice_str(text), ret, n))
        miss(c, "32 hex digits in lower case");
}

static bool take_bool(struct cursor *c)
{
    if (try(c, "true"))
        return true;
    take(c, "false");
    return false;
}

/* Anything longer than the longest word of a table is none of its words. */
#define WORD_MAX 32u

static void take_word(struct cursor *c, char ret[WORD_MAX + 1])
{
    take(c, "\"");
    take_text(c, ret, WORD_MAX);
}

static void take_key(struct cursor *c, struct kt_audit_key *ret)
{
    char word[WORD_MAX + 1] = {0};
    uint8_t id[KT_KEY_ID_LEN / 2] = {0};
    take(c, "{\"id\":\"");
    take_hex(c, id, sizeof id);
    kt_hex_encode(KT_SLICE(id, sizeof id), ret->id);
    take(c, ",\"name\":\"");
    take_text(c, ret->name, KT_KEY_NAME_MAX);
    take(c, ",\"type\":");
    take_word(c, word);
    ret->type = kt_key_type_parse(word);
    take(c, ",\"state\":");
    take_word(c, word);
    ret->state = kt_key_state_parse(word);
    take(c, "}");
    if (!ret->type || !ret->state)
        miss(c, "a key's type and state");
}

static void take_keys(struct cursor *c, struct kt_audit_state *ret)
{
    take(c, ",\"keys\":[");
    while (!c->expected && !try(c, "]")) {
        if (ret->n_keys == KT_KEYS_MAX) {
            miss(c, "no more keys");
            return;
        }
        if (ret->n_keys > 0)
            take(c, ",");
        take_key(c, &ret->keys[ret->n_keys++]);
    }
}

static void take_recipients(struct cursor *c, struct kt_audit_state *ret)
{
    take(c, ",\"recipients\":[");
    while (!c->expected && !try(c, "]")) {
        if (ret->n_recipients == KT_RECIPIENTS_MAX) {
            miss(c, "no more recipients");
            return;
        }
        if (ret->n_recipients > 0)
            take(c, ",");
        take(c, "\"");
        take_text(c, ret->recipients[ret->n_recipients++], KT_NAME_MAX);
    }
}

static void take_state(struct cursor *c, bool with_hash, struct kt_audit_state *ret)
{
    char word[WORD_MAX + 1] = {0};
    take(c, "{\"membership\":");
    ret->membership = take_number(c, 1, KT_NUMBER_MAX);
    take(c, ",\"generation\":");
    ret->generation = take_number(c, 1, KT_NUMBER_MAX);
    if (with_hash) {
        take(c, ",\"hash\":");
        take_hash(c, ret->hash);
    }
    take(c, ",\"stage\":");
    take_word(c, word);
    ret->stage = kt_stage_parse(word);
    if (!ret->stage)
        miss(c, "a stage");
    take(c, ",\"enabled\":");
    ret->enabled = take_bool(c);
    take(c, ",\"strict\":");
    ret->strict = take_bool(c);
    take(c, ",\"hold\":");
    ret->hold = take_number(c, 0, KT_NUMBER_MAX);
    take(c, ",\"apiServers\":");
    ret->api_servers = take_number(c, 0, KT_API_SERVERS_MAX);
    take(c, ",\"archived\":");
    ret->archived = take_number(c, 0, KT_ARCHIVE_MAX);
    take_recipients(c, ret);
    take_keys(c, ret);
    take(c, "}");
}

static void take_who(struct cursor *c, struct kt_audit_claim *ret)
{
    take(c, ",\"who\":");
    if (try(c, "null"))
        return;
    ret->has_who = true;
    take(c, "{\"uid\":");
    ret->who.uid = (uint32_t)take_number(c, 0, UINT32_MAX);
    take(c, ",\"user\":\"");
    take_text(c, ret->who.user, KT_AUDIT_TEXT_MAX);
    take(c, ",\"login\":\"");
    take_text(c, ret->who.login, KT_AUDIT_TEXT_MAX);
    take(c, ",\"sudo\":\"");
    take_text(c, ret->who.sudo, KT_AUDIT_TEXT_MAX);
    take(c, "}");
}

static void take_config(struct cursor *c, struct kt_audit_claim *ret)
{
    take(c, ",\"config\":");
    if (try(c, "null"))
        return;
    ret->has_config = true;
    take(c, "{\"before\":");
    take_hash(c, ret->config_before);
    take(c, ",\"after\":");
    take_hash(c, ret->config_after);
    take(c, "}");
}

static void take_prefix(struct cursor *c, struct kt_audit_prefix *ret)
{
    take(c, "{\"v\":");
    ret->version = take_number(c, 1, KT_NUMBER_MAX);
    take(c, ",\"seq\":");
    ret->seq = take_number(c, 1, KT_NUMBER_MAX);
    take(c, ",\"prev\":");
    take_hash(c, ret->prev);
    take(c, ",");
}

static void take_head(struct cursor *c, struct kt_audit_line *ret)
{
    char word[WORD_MAX + 1] = {0};
    take(c, "\"time\":\"");
    take_text(c, word, WORD_MAX);
    if (!c->expected && !kt_time_parse(word, &ret->time))
        miss(c, "a time like 2026-11-23T09:00:00Z");
    take(c, ",\"keyring\":\"");
    take_hex(c, ret->keyring_id, KT_KEYRING_ID_LEN);
    take(c, ",\"event\":");
    take_word(c, word);
    ret->event = kt_audit_event_parse(word);
    if (!ret->event)
        miss(c, "an event of this version");
    take(c, ",\"subject\":\"");
    take_text(c, ret->subject, KT_NAME_MAX);
    take(c, ",\"command\":\"");
    take_text(c, ret->claim.command, KT_AUDIT_TEXT_MAX);
    take(c, ",\"node\":\"");
    take_text(c, ret->node, KT_NAME_MAX);
}

static void take_body(struct cursor *c, struct kt_audit_line *ret)
{
    take_head(c, ret);
    take_who(c, &ret->claim);
    take_config(c, &ret->claim);
    take(c, ",\"before\":");
    if (!try(c, "null"))
        take_state(c, true, &ret->before);
    take(c, ",\"after\":");
    take_state(c, false, &ret->after);
    take(c, "}");
    if (c->at != c->end)
        miss(c, "the end of the line");
}

static bool finish(const struct cursor *c, struct kt_error *err)
{
    if (!c->expected)
        return true;
    return kt_fail(err, KT_E_FOUND, "byte %zu: expected %s, found something else", (size_t)(c->at - c->begin) + 1,
                   c->expected);
}

/* One character at `at`; 0: it is not UTF-8, or none that may stand in a line. */
static size_t character_at(const uint8_t *at, size_t left)
{
    char copy[5] = "";
    uint32_t character = 0;
    if (*at >= ' ' && *at <= '~')
        return 1;
    memcpy(copy, at, left < 4 ? left : 4);
    size_t n = copy[0] ? kt_utf8_decode(copy, &character) : 0;
    return n > 0 && kt_key_name_takes(character) ? n : 0;
}

/* Where YAML or a terminal would see something else than is there, there is no line. */
static bool check_characters(struct kt_slice text, struct kt_error *err)
{
    if (text.len == 0 || text.len > KT_AUDIT_LINE_MAX)
        return kt_fail(err, KT_E_FOUND, "expected 1 to %u bytes, found %zu", KT_AUDIT_LINE_MAX, text.len);
    for (size_t i = 0, n = 0; i < text.len; i += n) {
        n = character_at(text.data + i, text.len - i);
        if (n == 0)
            return kt_fail(err, KT_E_FOUND, "byte %zu: expected characters that a key's name may have", i + 1);
    }
    return true;
}

static struct cursor begin(struct kt_slice text)
{
    const char *at = (const char *)text.data;
    return (struct cursor){.begin = at, .at = at, .end = at + text.len};
}

bool kt_audit_prefix_parse(struct kt_slice text, struct kt_audit_prefix *ret, struct kt_error *err)
{
    struct kt_audit_prefix prefix = {.seq = 0};
    struct cursor c = begin(text);
    if (!check_characters(text, err))
        return false;
    take_prefix(&c, &prefix);
    if (!finish(&c, err))
        return false;
    *ret = prefix;
    return true;
}

bool kt_audit_parse(struct kt_slice text, struct kt_audit_line *ret, struct kt_error *err)
{
    struct kt_audit_prefix prefix = {.seq = 0};
    struct cursor c = begin(text);
    if (!check_characters(text, err))
        return false;
    memset(ret, 0, sizeof *ret);
    take_prefix(&c, &prefix);
    if (!c.expected && prefix.version != KT_AUDIT_VERSION)
        return kt_fail(err, KT_E_FOUND, "expected version %u, found another", KT_AUDIT_VERSION);
    take_body(&c, ret);
    ret->seq = prefix.seq;
    memcpy(ret->prev, prefix.prev, KT_HASH_LEN);
    return finish(&c, err);
}
