/* SPDX-License-Identifier: Apache-2.0 */
/* A log of lines as the opener makes them, with the newest in the keyring. */
#include "admin/audit_since.h"
#include "keystore/state_dir.h"
#include "tests/unit/base/scratch.h"
#include "tests/unit/base/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct made {
    char log[64 * 1024];
    size_t len;
    uint8_t head[KT_HASH_LEN];
    uint64_t n;
    struct kt_audit_tail tail;
    struct kt_audit_line line;
};

/* One more line: what was claimed, and whether encryption is enabled after it. */
static void add(struct made *made, const char *command, bool enabled, bool in_tail)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_audit_line *line = &made->line;
    struct kt_text text;
    bool was = line->after.enabled;
    *line = (struct kt_audit_line){
        .seq = ++made->n,
        .time = 1000 * made->n,
        .event = made->n == 1 ? KT_AUDIT_FOUNDED : KT_AUDIT_CHANGED,
        .node = "n",
        .after = {
            .membership = 1,
            .generation = made->n,
            .stage = KT_STAGE_START,
            .enabled = enabled,
            .n_recipients = 1,
            .recipients = {"n"},
            .n_keys = 1,
            .keys = {
                {.id = "00000000000000000000000000000000", .name = "k", .type = KT_KEY_KMS, .state = KT_KEY_ACTIVE}}}};
    if (made->n > 1) {
        line->before = line->after;
        line->before.enabled = was;
        line->before.generation = made->n - 1;
    }
    (void)snprintf(line->claim.command, sizeof(line->claim.command), "%s", command);
    memcpy(line->prev, made->head, KT_HASH_LEN);
    kt_text_init(&text, KT_AUDIT_LINE_MAX);
    kt_audit_emit(line, &text);
    assert_true(kt_audit_hash(KT_SLICE(text.data, text.len), made->head, &err));
    if (in_tail)
        assert_true(kt_audit_tail_add(&made->tail, KT_SLICE(text.data, text.len)));
    memcpy(made->log + made->len, text.data, text.len);
    made->len += text.len;
    made->log[made->len++] = '\n';
    kt_text_done(&text);
}

static uint64_t since(struct scratch *s, struct made *made)
{
    struct kt_error err = KT_ERROR_INIT;
    uint64_t at = 77;
    char path[PATH_MAX];
    made->log[made->len] = '\0';
    scratch_put(s, KT_AUDIT_LOG, made->log, 0640);
    (void)snprintf(path, sizeof(path), "%s", scratch_name(s, ""));
    if (!kt_audit_encrypted_since(&made->tail, path, &at, &err))
        fail_msg("%s", err.message);
    return at;
}

static void test_since(void **state)
{
    struct scratch *s = *state;
    struct made *made = calloc(1, sizeof(*made));
    assert_non_null(made);
    add(made, "init", true, false);
    add(made, "reencrypt, nothing in clear", true, false);
    add(made, "disable", false, false);
    add(made, "enable", true, false);
    add(made, "enable", true, true);
    assert_int_equal(since(s, made), 0); /* what was before it was disabled counts no more */
    add(made, "enable, nothing in clear", true, false);
    add(made, "prepare", true, false);
    made->tail = (struct kt_audit_tail){.n = 0};
    add(made, "rotate", true, true);
    assert_int_equal(since(s, made), 6000);
    add(made, "reencrypt, nothing in clear", true, true);
    assert_int_equal(since(s, made), 9000);
    add(made, "disable", false, true);
    assert_int_equal(since(s, made), 0);
    free(made);
}

/* A line that is not the one before it proves nothing. */
static void test_altered(void **state)
{
    struct scratch *s = *state;
    struct made *made = calloc(1, sizeof(*made));
    assert_non_null(made);
    add(made, "init", true, false);
    add(made, "enable, nothing in clear", true, false);
    add(made, "prepare", true, false);
    add(made, "rotate", true, true);
    assert_int_equal(since(s, made), 2000);
    char *at = strstr(made->log, "00:33:20"); /* the time of line 2 */
    assert_non_null(at);
    at[7] = '1';
    assert_int_equal(since(s, made), 0);
    at[7] = '0';
    made->len = 10;
    assert_int_equal(since(s, made), 0);
    made->len = 0;
    assert_int_equal(since(s, made), 0);
    free(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_since),
        SCRATCH_TEST(test_altered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
