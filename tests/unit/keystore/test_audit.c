/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the audit log: the canonical form, both ways, and the tail that a keyring carries (docs/audit-format.md). */
#include "keystore/audit.h"
#include "keystore/kdf.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ZEROS  "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define ID_1   "11111111111111111111111111111111"
#define ID_2   "22222222222222222222222222222222"

/* docs/audit-format.md, word for word. */
#define EXAMPLE                                                                                                   \
    "{\"v\":1,\"seq\":2,\"prev\":\"" HASH_A "\",\"time\":\"2026-11-23T09:00:00Z\","                               \
    "\"keyring\":\"000102030405060708090a0b0c0d0e0f\",\"event\":\"node-removed\",\"subject\":\"node-2\","         \
    "\"command\":\"node remove\",\"node\":\"node-1\","                                                            \
    "\"who\":{\"uid\":0,\"user\":\"root\",\"login\":\"alice\",\"sudo\":\"alice\"},"                               \
    "\"config\":{\"before\":\"" ZEROS "\",\"after\":\"" HASH_B "\"},"                                             \
    "\"before\":{\"membership\":1,\"generation\":1,\"hash\":\"" HASH_B "\",\"stage\":\"start\",\"enabled\":true," \
    "\"strict\":false,\"hold\":86400,\"apiServers\":3,\"archived\":0,\"recipients\":[\"node-1\",\"node-2\","      \
    "\"recovery\"],"                                                                                              \
    "\"keys\":[{\"id\":\"" ID_1 "\",\"name\":\"kmskey\",\"type\":\"kms\",\"state\":\"active\"}]},"                \
    "\"after\":{\"membership\":2,\"generation\":2,\"stage\":\"prepare\",\"enabled\":true,\"strict\":false,"       \
    "\"hold\":86400,\"apiServers\":3,\"archived\":0,\"recipients\":[\"node-1\",\"recovery\"],"                    \
    "\"keys\":[{\"id\":\"" ID_1 "\",\"name\":\"kmskey\",\"type\":\"kms\",\"state\":\"active\"},"                  \
    "{\"id\":\"" ID_2 "\",\"name\":\"kmskey-m2\",\"type\":\"kms\",\"state\":\"ready\"}]}}"

static struct kt_audit_line *new_line(void)
{
    struct kt_audit_line *line = calloc(1, sizeof *line);
    assert_non_null(line);
    return line;
}

static void parse_hash(const char *text, uint8_t ret[KT_HASH_LEN])
{
    assert_true(kt_hash_parse(text, ret));
}

static void add_key(struct kt_audit_state *state, const char *id, const char *name, enum kt_key_state key_state)
{
    struct kt_audit_key *key = &state->keys[state->n_keys++];
    key->type = KT_KEY_KMS;
    key->state = key_state;
    snprintf(key->id, sizeof key->id, "%s", id);
    snprintf(key->name, sizeof key->name, "%s", name);
}

static void add_recipient(struct kt_audit_state *state, const char *name)
{
    snprintf(state->recipients[state->n_recipients++], KT_NAME_MAX + 1, "%s", name);
}

static void example_states(struct kt_audit_line *line)
{
    line->before = (struct kt_audit_state){.membership = 1,
                                           .generation = 1,
                                           .stage = KT_STAGE_START,
                                           .enabled = true,
                                           .hold = KT_HOLD_DEFAULT,
                                           .api_servers = 3};
    parse_hash(HASH_B, line->before.hash);
    add_recipient(&line->before, "node-1");
    add_recipient(&line->before, "node-2");
    add_recipient(&line->before, "recovery");
    add_key(&line->before, ID_1, "kmskey", KT_KEY_ACTIVE);
    line->after = (struct kt_audit_state){.membership = 2,
                                          .generation = 2,
                                          .stage = KT_STAGE_PREPARE,
                                          .enabled = true,
                                          .hold = KT_HOLD_DEFAULT,
                                          .api_servers = 3};
    add_recipient(&line->after, "node-1");
    add_recipient(&line->after, "recovery");
    add_key(&line->after, ID_1, "kmskey", KT_KEY_ACTIVE);
    add_key(&line->after, ID_2, "kmskey-m2", KT_KEY_READY);
}

static struct kt_audit_line *example(void)
{
    struct kt_audit_line *line = new_line();
    line->seq = 2;
    line->time = 1795424400;
    line->event = KT_AUDIT_NODE_REMOVED;
    parse_hash(HASH_A, line->prev);
    for (uint8_t i = 0; i < KT_KEYRING_ID_LEN; i++)
        line->keyring_id[i] = i;
    snprintf(line->subject, sizeof line->subject, "node-2");
    snprintf(line->node, sizeof line->node, "node-1");
    line->claim = (struct kt_audit_claim){.command = "node remove",
                                          .has_who = true,
                                          .who = {.uid = 0, .user = "root", .login = "alice", .sudo = "alice"},
                                          .has_config = true};
    parse_hash(HASH_B, line->claim.config_after);
    example_states(line);
    return line;
}

static char *emitted(const struct kt_audit_line *line)
{
    struct kt_text text = {0};
    kt_text_init(&text, KT_AUDIT_LINE_MAX);
    kt_audit_emit(line, &text);
    assert_false(text.bad);
    return text.data;
}

/* What a line says is all in its text; padding is not. */
static void expect_same(const struct kt_audit_line *a, const struct kt_audit_line *b)
{
    char *text_a = emitted(a);
    char *text_b = emitted(b);
    assert_string_equal(text_a, text_b);
    free(text_a);
    free(text_b);
}

static void test_the_example(void **state)
{
    (void)state;
    struct kt_audit_line *line = example();
    struct kt_audit_line *read = new_line();
    struct kt_error err = KT_ERROR_INIT;
    char *text = emitted(line);
    assert_string_equal(text, EXAMPLE);
    if (!kt_audit_parse(kt_slice_str(text), read, &err))
        fail_msg("%s", err.message);
    expect_same(line, read);
    free(text);
    free(line);
    free(read);
}

static void test_nothing_claimed_and_nothing_before(void **state)
{
    (void)state;
    struct kt_audit_line *line = example();
    struct kt_audit_line *read = new_line();
    line->claim = (struct kt_audit_claim){.has_who = false};
    line->before = (struct kt_audit_state){.membership = 0};
    line->after.n_keys = 0;
    memset(line->after.keys, 0, sizeof line->after.keys);
    line->event = KT_AUDIT_FOUNDED;
    char *text = emitted(line);
    assert_non_null(strstr(text, ",\"who\":null,\"config\":null,\"before\":null,\"after\":{"));
    assert_non_null(strstr(text, ",\"keys\":[]}}"));
    assert_true(kt_audit_parse(kt_slice_str(text), read, NULL));
    expect_same(line, read);
    free(text);
    free(line);
    free(read);
}

static bool parses(const char *text, size_t len)
{
    struct kt_audit_line *read = new_line();
    struct kt_error err = KT_ERROR_INIT;
    bool good = kt_audit_parse(KT_SLICE(text, len), read, &err);
    assert_true(good || (err.code == KT_E_FOUND && err.message[0]));
    /* There is one text for each line. */
    char *again = good ? emitted(read) : NULL;
    assert_true(!good || (strlen(again) == len && memcmp(again, text, len) == 0));
    free(again);
    free(read);
    return good;
}

/* Whatever a byte becomes: either no line, or the very line that has this text. */
static void test_every_byte_counts(void **state)
{
    (void)state;
    const size_t len = strlen(EXAMPLE);
    char *text = strdup(EXAMPLE);
    assert_non_null(text);
    assert_true(parses(text, len));
    for (size_t i = 0; i < len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            text[i] = (char)((unsigned char)EXAMPLE[i] ^ (1u << bit));
            (void)parses(text, len);
        }
        text[i] = EXAMPLE[i];
        assert_false(parses(text, i));
    }
    free(text);
}

static const struct {
    const char *from, *to, *message;
} NOT_CANONICAL[] = {
    {"{\"v\":1", "{ \"v\":1", "byte 1: expected {\"v\":"},
    {"\"v\":1,", "\"v\":2,", "expected version 1"},
    {"\"v\":1,", "\"v\":01,", "a number"},
    {"\"seq\":2", "\"seq\":0", "a number"},
    {"\"seq\":2", "\"seq\":9007199254740993", "a number"},
    {"\"seq\":2", "\"seq\":99999999999999999999999999", "a number"},
    {"\"seq\":2", "\"seq\":-2", "a number"},
    {"\"seq\":2,\"prev\":\"" HASH_A "\"", "\"prev\":\"" HASH_A "\",\"seq\":2", "expected ,\"seq\":"},
    {"sha256:a", "sha256:A", "64 hex digits"},
    {"sha256:a", "sha256:", "64 hex digits"},
    {"2026-11-23", "2026-13-23", "a time"},
    {"000102", "00010x", "32 hex digits"},
    {"node-removed", "node-eaten", "an event"},
    {"\"subject\":\"node-2\"", "\"subject\":\"\\u006eode-2\"", "no escapes but those"},
    {"\"subject\":\"node-2\"", "\"subject\":\"node\\/2\"", "no escapes but those"},
    {"\"subject\":\"node-2\"", "\"subject\":\"node\t2\"", "characters that a key's name may have"},
    {"\"subject\":\"node-2\"", "\"subject\":\"node\xc3\"", "characters that a key's name may have"},
    {"\"subject\":\"node-2\"", "\"subject\":\"\xe2\x80\xae-2\"", "characters that a key's name may have"},
    {"\"subject\":\"node-2\"", "\"subject\":\"0123456789012345678901234567890123456789012345678901234567890123\"",
     "a text"},
    {"\"uid\":0", "\"uid\":4294967296", "a number"},
    {"\"who\":{", "\"who\":[", "expected {\"uid\":"},
    {"\"enabled\":true", "\"enabled\":yes", "expected false"},
    {"\"type\":\"kms\"", "\"type\":\"rot13\"", "a key's type"},
    {"\"state\":\"active\"", "\"state\":\"gone\"", "a key's type and state"},
    {"\"stage\":\"start\"", "\"stage\":\"stop\"", "a stage"},
    {"\"archived\":0", "\"archived\":1025", "a number"},
    {"},{\"id\"", "}{\"id\"", "expected ,"},
    {"\"node-1\",\"recovery\"]", "\"node-1\",\"recovery\",]", "expected \""},
    {"\"ready\"}]}}", "\"ready\"}]}} ", "the end of the line"},
    {"\"ready\"}]}}", "\"ready\"}]}", "expected }"},
    {"\"keys\":[", "\"more\":1,\"keys\":[", "expected ,\"keys\":["},
};

static void test_not_canonical(void **state)
{
    (void)state;
    struct kt_audit_line *read = new_line();
    for (size_t i = 0; i < KT_ARRAY_LEN(NOT_CANONICAL); i++) {
        struct kt_error err = KT_ERROR_INIT;
        char text[4096] = "";
        const char *at = strstr(EXAMPLE, NOT_CANONICAL[i].from);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - EXAMPLE), EXAMPLE, NOT_CANONICAL[i].to,
                 at + strlen(NOT_CANONICAL[i].from));
        assert_false(kt_audit_parse(kt_slice_str(text), read, &err));
        if (err.code != KT_E_FOUND || !strstr(err.message, NOT_CANONICAL[i].message))
            fail_msg("%s: %s", NOT_CANONICAL[i].to, err.message);
    }
    free(read);
}

static void test_the_beginning_of_any_version(void **state)
{
    (void)state;
    struct kt_audit_prefix prefix = {.seq = 0};
    struct kt_error err = KT_ERROR_INIT;
    static const char newer[] = "{\"v\":7,\"seq\":12,\"prev\":\"" HASH_A "\",\"whatever\":[1,{}]}";
    assert_true(kt_audit_prefix_parse(kt_slice_str(newer), &prefix, &err));
    assert_int_equal(prefix.version, 7);
    assert_int_equal(prefix.seq, 12);
    assert_int_equal(prefix.prev[31], 0xaa);
    static const char *const bad[] = {"",
                                      "{",
                                      "{\"v\":7,\"seq\":12,\"prev\":\"" HASH_A "\"",
                                      "{\"v\":0,\"seq\":12,\"prev\":\"" HASH_A "\",}",
                                      "\n",
                                      "{\"v\":7,\"seq\":12,\"prev\":\"" HASH_A "\",\"\xff\":1}"};
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        assert_false(kt_audit_prefix_parse(kt_slice_str(bad[i]), &prefix, &err));
    char *huge = malloc(KT_AUDIT_LINE_MAX + 1);
    assert_non_null(huge);
    memset(huge, 'x', KT_AUDIT_LINE_MAX + 1);
    memcpy(huge, newer, strlen(newer));
    assert_true(kt_audit_prefix_parse(KT_SLICE(huge, KT_AUDIT_LINE_MAX), &prefix, &err));
    assert_false(kt_audit_prefix_parse(KT_SLICE(huge, KT_AUDIT_LINE_MAX + 1), &prefix, &err));
    free(huge);
}

/* Keys are called whatever kube-apiserver takes. */
static void test_names_of_keys(void **state)
{
    (void)state;
    static const char *const names[] = {"it's", "\"", "\\", "\\\"\\", "\xc3\xa9", "a b", "\xe4\xb8\xad", "k{8s}:[1],"};
    struct kt_audit_line *line = example();
    struct kt_audit_line *read = new_line();
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++) {
        snprintf(line->after.keys[1].name, sizeof line->after.keys[1].name, "%s", names[i]);
        char *text = emitted(line);
        assert_true(kt_audit_parse(kt_slice_str(text), read, NULL));
        assert_string_equal(read->after.keys[1].name, names[i]);
        expect_same(line, read);
        free(text);
    }
    char *text = emitted(line);
    assert_null(strchr(text, '\\'));
    free(text);
    free(line);
    free(read);
}

static void fill_side(struct kt_audit_state *side, const char *node, const char *key)
{
    const uint64_t most = KT_NUMBER_MAX;
    *side = (struct kt_audit_state){.membership = most,
                                    .generation = most,
                                    .stage = KT_STAGE_REENCRYPT_FINISHED,
                                    .hold = most,
                                    .api_servers = KT_API_SERVERS_MAX,
                                    .archived = KT_ARCHIVE_MAX};
    for (size_t i = 0; i < KT_RECIPIENTS_MAX; i++)
        add_recipient(side, node);
    for (size_t i = 0; i < KT_KEYS_MAX; i++) {
        add_key(side, ID_1, key, KT_KEY_COMPROMISED);
        side->keys[i].type = KT_KEY_SECRETBOX;
    }
}

/* As many keys and recipients as there may be, before and after, with the longest names, that have to be escaped. */
static void test_the_longest_line(void **state)
{
    (void)state;
    struct kt_audit_line *line = new_line();
    struct kt_audit_line *read = new_line();
    char name[KT_NAME_MAX + 1] = "";
    char key[KT_KEY_NAME_MAX + 1] = "";
    memset(name, 'n', KT_NAME_MAX);
    memset(key, '"', KT_KEY_NAME_MAX);
    line->seq = KT_NUMBER_MAX;
    line->event = KT_AUDIT_RECOVERY_REPLACED;
    line->claim = (struct kt_audit_claim){.has_who = true, .who = {.uid = UINT32_MAX}, .has_config = true};
    char *const texts[] = {line->claim.command,  line->claim.who.user, line->claim.who.login,
                           line->claim.who.sudo, line->subject,        line->node};
    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++)
        memcpy(texts[i], name, sizeof name);
    fill_side(&line->before, name, key);
    fill_side(&line->after, name, key);
    char *text = emitted(line);
    assert_in_range(strlen(text), KT_AUDIT_LINE_MAX * 3 / 4, KT_AUDIT_LINE_MAX);
    assert_true(kt_audit_parse(kt_slice_str(text), read, NULL));
    expect_same(line, read);
    free(text);
    free(line);
    free(read);
}

static void test_one_more_than_there_may_be(void **state)
{
    (void)state;
    char text[KT_AUDIT_LINE_MAX] = "";
    const char *at = strstr(EXAMPLE, "{\"id\":\"" ID_2);
    for (size_t extra = KT_KEYS_MAX - 2; extra <= KT_KEYS_MAX - 1; extra++) {
        size_t len = (size_t)snprintf(text, sizeof text, "%.*s", (int)(at - EXAMPLE), EXAMPLE);
        for (size_t i = 0; i < extra; i++)
            len += (size_t)snprintf(text + len, sizeof text - len,
                                    "{\"id\":\"" ID_2 "\",\"name\":\"k\",\"type\":\"kms\",\"state\":\"ready\"},");
        snprintf(text + len, sizeof text - len, "%s", at);
        assert_int_equal(parses(text, strlen(text)), extra == KT_KEYS_MAX - 2);
    }
}

static void test_claims_are_cleaned(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"", ""},
        {"alice", "alice"},
        {"DOMAIN\\alice", "DOMAIN?alice"},
        {"a\"b'c\nd\te\x7f", "a?b?c?d?e?"},
        {"\xc3\xa9", "??"},
        {"0123456789012345678901234567890123456789012345678901234567890123456789",
         "012345678901234567890123456789012345678901234567890123456789012"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        char text[128] = "";
        snprintf(text, sizeof text, "%s", cases[i].from);
        kt_audit_clean(text, text); /* in place, too */
        assert_string_equal(text, cases[i].to);
    }
}

static void add_text(struct kt_audit_tail *tail, char filler, size_t len)
{
    char *text = malloc(len);
    assert_non_null(text);
    memset(text, filler, len);
    assert_true(kt_audit_tail_add(tail, KT_SLICE(text, len)));
    free(text);
}

static void expect_tail(const struct kt_audit_tail *tail, const char *first_letters)
{
    assert_int_equal(tail->n, strlen(first_letters));
    for (size_t i = 0; i < tail->n; i++) {
        struct kt_slice line = kt_audit_tail_line(tail, i);
        assert_int_equal(line.data[0], first_letters[i]);
        assert_int_equal(line.data[line.len - 1], first_letters[i]);
    }
}

static void test_the_tail_keeps_the_newest(void **state)
{
    (void)state;
    struct kt_audit_tail *tail = calloc(1, sizeof *tail);
    assert_non_null(tail);
    for (char c = 'a'; c <= 'r'; c++) /* two more than there is room for */
        add_text(tail, c, (size_t)(c - 'a') + 1);
    expect_tail(tail, "cdefghijklmnopqr");
    add_text(tail, 'S', KT_AUDIT_TAIL_MAX / 2);
    expect_tail(tail, "defghijklmnopqrS");
    add_text(tail, 'T', KT_AUDIT_TAIL_MAX / 2);
    expect_tail(tail, "ST");
    add_text(tail, 'u', 1);
    expect_tail(tail, "Tu");
    assert_false(kt_audit_tail_add(tail, KT_SLICE("", 0)));
    char *huge = calloc(1, KT_AUDIT_LINE_MAX + 1);
    assert_non_null(huge);
    assert_false(kt_audit_tail_add(tail, KT_SLICE(huge, KT_AUDIT_LINE_MAX + 1)));
    expect_tail(tail, "Tu");
    add_text(tail, 'V', KT_AUDIT_LINE_MAX);
    expect_tail(tail, "V");
    kt_audit_tail_drop(tail);
    expect_tail(tail, "V");
    add_text(tail, 'w', 1);
    expect_tail(tail, "w");
    add_text(tail, 'x', 1);
    kt_audit_tail_drop(tail);
    expect_tail(tail, "x");
    free(huge);
    free(tail);
}

static void add_numbered(struct kt_audit_tail *tail, uint64_t seq, uint8_t head[KT_HASH_LEN])
{
    char prev[KT_HASH_TEXT_LEN] = "";
    char text[256] = "";
    kt_hash_format(head, prev);
    snprintf(text, sizeof text, "{\"v\":1,\"seq\":%llu,\"prev\":\"%s\",}", (unsigned long long)seq, prev);
    assert_true(kt_audit_tail_add(tail, kt_slice_str(text)));
    assert_true(kt_audit_hash(kt_slice_str(text), head, NULL));
}

static void test_the_tail_is_a_chain(void **state)
{
    (void)state;
    struct kt_audit_tail *tail = calloc(1, sizeof *tail);
    struct kt_audit_prefix last = {.seq = 9};
    uint8_t head[KT_HASH_LEN] = {0};
    uint8_t other[KT_HASH_LEN] = {1};
    struct kt_error err = KT_ERROR_INIT;
    assert_non_null(tail);
    assert_true(kt_audit_tail_check(tail, head, &last, &err));
    assert_int_equal(last.seq, 0);
    assert_false(kt_audit_tail_check(tail, other, &last, &err));
    memset(head, 7, sizeof head); /* what came before is not carried any more */
    for (uint64_t seq = 5; seq < 9; seq++)
        add_numbered(tail, seq, head);
    assert_true(kt_audit_tail_check(tail, head, &last, &err));
    assert_int_equal(last.seq, 8);
    assert_false(kt_audit_tail_check(tail, other, &last, &err));
    for (size_t i = 0; i < tail->ends[tail->n - 1]; i++) {
        tail->text[i] ^= 1;
        assert_false(kt_audit_tail_check(tail, head, &last, &err));
        assert_int_equal(err.code, KT_E_FOUND);
        tail->text[i] ^= 1;
    }
    add_numbered(tail, 10, head);
    assert_false(kt_audit_tail_check(tail, head, &last, &err));
    assert_non_null(strstr(err.message, "line 5 of 5"));
    free(tail);
}

static void test_events(void **state)
{
    (void)state;
    for (int i = KT_AUDIT_FOUNDED; i <= KT_AUDIT_RECOVERY_LOST; i++)
        assert_int_equal(kt_audit_event_parse(kt_audit_event_text((enum kt_audit_event)i)), i);
    assert_string_equal(kt_audit_event_text(0), "unknown");
    assert_int_equal(kt_audit_event_parse("unknown"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_example),
        cmocka_unit_test(test_nothing_claimed_and_nothing_before),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_not_canonical),
        cmocka_unit_test(test_the_beginning_of_any_version),
        cmocka_unit_test(test_names_of_keys),
        cmocka_unit_test(test_the_longest_line),
        cmocka_unit_test(test_one_more_than_there_may_be),
        cmocka_unit_test(test_claims_are_cleaned),
        cmocka_unit_test(test_the_tail_keeps_the_newest),
        cmocka_unit_test(test_the_tail_is_a_chain),
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
