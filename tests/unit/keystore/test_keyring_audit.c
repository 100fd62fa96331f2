/* SPDX-License-Identifier: Apache-2.0 */
/* The line of the audit log that each generation brings: composed from the two keyrings, chained, carried along. */
#include "keyring_fixture.h"
#include "keystore/keyring_member.h"

#include <stdio.h>
#include <string.h>

/* Line i of those that f's keyring carries. */
static struct kt_audit_line *line_at(const struct fixture *f, size_t i)
{
    struct kt_audit_line *line = calloc(1, sizeof *line);
    struct kt_error err = KT_ERROR_INIT;
    assert_non_null(line);
    assert_in_range(i, 0, f->keyring->audit.n - 1);
    assert_ok(kt_audit_parse(kt_audit_tail_line(&f->keyring->audit, i), line, &err));
    return line;
}

static struct kt_audit_line *last_line(const struct fixture *f)
{
    return line_at(f, f->keyring->audit.n - 1);
}

static void expect_head(const struct fixture *f)
{
    uint8_t hash[KT_HASH_LEN] = {0};
    struct kt_slice last = kt_audit_tail_line(&f->keyring->audit, f->keyring->audit.n - 1);
    assert_true(kt_audit_hash(last, hash, NULL));
    assert_memory_equal(hash, f->keyring->info.audit_head, KT_HASH_LEN);
}

static void expect_after(const struct kt_audit_line *line, const struct fixture *f)
{
    const struct kt_keyring_info *info = &f->keyring->info;
    assert_int_equal(line->time, info->written);
    assert_memory_equal(line->keyring_id, info->keyring_id, KT_KEYRING_ID_LEN);
    assert_string_equal(line->node, info->writer);
    assert_int_equal(line->after.membership, info->membership);
    assert_int_equal(line->after.generation, info->generation);
    assert_int_equal(line->after.stage, info->stage);
    assert_int_equal(line->after.enabled, info->enabled);
    assert_int_equal(line->after.hold, info->hold);
    assert_int_equal(line->after.archived, info->n_archive);
    assert_int_equal(line->after.n_recipients, info->n_recipients);
    assert_int_equal(line->after.n_keys, info->n_keys);
    for (size_t i = 0; i < info->n_keys; i++) {
        assert_string_equal(line->after.keys[i].id, info->keys[i].id);
        assert_string_equal(line->after.keys[i].name, info->keys[i].name);
        assert_int_equal(line->after.keys[i].state, info->keys[i].state);
    }
}

static void test_founded(void **state)
{
    (void)state;
    struct fixture f;
    static const uint8_t zeros[KT_HASH_LEN];
    fixture_init(&f);
    assert_int_equal(f.keyring->audit.n, 1);
    expect_head(&f);
    struct kt_audit_line *line = line_at(&f, 0);
    assert_int_equal(line->seq, 1);
    assert_memory_equal(line->prev, zeros, KT_HASH_LEN);
    assert_int_equal(line->event, KT_AUDIT_FOUNDED);
    assert_int_equal(line->before.membership, 0);
    assert_false(line->claim.has_who);
    assert_string_equal(line->claim.command, "");
    expect_after(line, &f);
    free(line);
    fixture_done(&f);
}

static void test_changed(void **state)
{
    (void)state;
    struct fixture f;
    static const struct kt_edit edits[] = {{.kind = KT_EDIT_ADD, .type = KT_KEY_KMS, .name = "second"},
                                           {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_PREPARE}};
    fixture_init(&f);
    struct kt_floor before = {0};
    uint8_t head[KT_HASH_LEN] = {0};
    kt_floor_of(&f.keyring->info, &before);
    memcpy(head, f.keyring->info.audit_head, KT_HASH_LEN);
    fixture_write(&f, edits, 2);
    assert_int_equal(f.keyring->audit.n, 2);
    expect_head(&f);
    struct kt_audit_line *line = last_line(&f);
    assert_int_equal(line->seq, 2);
    assert_memory_equal(line->prev, head, KT_HASH_LEN);
    assert_int_equal(line->event, KT_AUDIT_CHANGED);
    assert_memory_equal(line->before.hash, before.hash, KT_HASH_LEN);
    assert_int_equal(line->before.generation, 1);
    assert_int_equal(line->before.stage, KT_STAGE_START);
    assert_int_equal(line->before.n_keys, 1);
    assert_int_equal(line->after.stage, KT_STAGE_PREPARE);
    assert_string_equal(line->after.keys[1].name, "second");
    expect_after(line, &f);
    free(line);
    fixture_done(&f);
}

static void test_the_newest_are_carried(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    for (unsigned i = 0; i < KT_AUDIT_LINES_MAX + 2; i++) {
        const struct kt_edit edit = {.kind = KT_EDIT_ENABLED, .flag = i % 2 == 1};
        fixture_write(&f, &edit, 1);
    }
    assert_int_equal(f.keyring->audit.n, KT_AUDIT_LINES_MAX);
    expect_head(&f);
    struct kt_audit_line *first = line_at(&f, 0);
    struct kt_audit_line *last = last_line(&f);
    assert_int_equal(first->seq, 4);
    assert_int_equal(last->seq, KT_AUDIT_LINES_MAX + 3);
    assert_int_equal(last->after.generation, last->seq);
    free(first);
    free(last);
    fixture_done(&f);
}

static void write_claimed(struct fixture *f, const struct kt_audit_claim *claim)
{
    const struct kt_edit edit = {.kind = KT_EDIT_ENABLED, .flag = false};
    const struct kt_keyring_change change = {
        .edits = &edit, .n_edits = 1, .writer = "node-1", .now = FIXTURE_NOW + 7, .claim = claim};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes next = {0};
    assert_ok(kt_keyring_write(f->keyring, f->keys, &change, &next, &err));
    kt_keyring_free(f->keyring);
    f->keyring = kt_keyring_verify(kt_bytes_view(&next), f->owner, &err);
    assert_non_null(f->keyring);
    kt_bytes_done(&next);
}

static void test_claims(void **state)
{
    (void)state;
    struct fixture f;
    struct kt_audit_claim claim = {.command = "it's \"disable\"\n",
                                   .has_who = true,
                                   .who = {.uid = 1000, .user = "DOM\\alice", .login = "alice", .sudo = ""},
                                   .has_config = true};
    memset(claim.config_after, 0xcc, KT_HASH_LEN);
    fixture_init(&f);
    write_claimed(&f, &claim);
    struct kt_audit_line *line = last_line(&f);
    assert_string_equal(line->claim.command, "it?s ?disable??");
    assert_true(line->claim.has_who);
    assert_int_equal(line->claim.who.uid, 1000);
    assert_string_equal(line->claim.who.user, "DOM?alice");
    assert_string_equal(line->claim.who.login, "alice");
    assert_string_equal(line->claim.who.sudo, "");
    assert_true(line->claim.has_config);
    assert_memory_equal(line->claim.config_after, claim.config_after, KT_HASH_LEN);
    free(line);
    fixture_done(&f);
}

static void replace_document(struct fixture *f, struct kt_bytes *document, const uint8_t founder[KT_HASH_LEN])
{
    struct kt_error err = KT_ERROR_INIT;
    kt_keyring_keys_free(f->keys);
    kt_keyring_free(f->keyring);
    kt_bytes_done(&f->document);
    f->document = *document;
    memcpy(f->owner, founder, KT_HASH_LEN);
    f->keyring = kt_keyring_verify(kt_bytes_view(&f->document), f->owner, &err);
    assert_non_null(f->keyring);
    f->keys = kt_keyring_open(f->keyring, f->own, &err);
    assert_non_null(f->keys);
}

static void member(struct fixture *f, struct kt_member_change *change, enum kt_audit_event event)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_member_result result = {.n_lost = 0};
    uint8_t head[KT_HASH_LEN] = {0};
    uint64_t membership = f->keyring->info.membership;
    memcpy(head, f->keyring->info.audit_head, KT_HASH_LEN);
    change->writer = "node-1";
    change->now = f->keyring->info.written + 1;
    if (change->kind != KT_MEMBER_LOST_RECOVERY)
        change->recovery_key = f->recovery_key;
    assert_ok(kt_keyring_member_write(f->keyring, f->keys, change, &result, &err));
    replace_document(f, &result.document, result.founder);
    struct kt_audit_line *line = last_line(f);
    expect_head(f);
    assert_int_equal(line->event, event);
    assert_string_equal(line->subject, change->name ? change->name : "");
    assert_memory_equal(line->prev, head, KT_HASH_LEN);
    assert_int_equal(line->before.membership, membership);
    assert_int_equal(line->after.membership, membership + 1);
    expect_after(line, f);
    free(line);
}

static void set_key(struct kt_member_change *change)
{
    struct kt_p256 *key = kt_p256_generate(NULL);
    assert_non_null(key);
    kt_p256_public(key, change->public_key);
    change->recipient = KT_RECIPIENT_FILE;
    kt_p256_free(key);
}

static void test_members(void **state)
{
    (void)state;
    struct fixture f;
    struct kt_secret *fresh = kt_secret_new_random(KT_KEY_BYTES, NULL);
    struct kt_member_change add = {.kind = KT_MEMBER_ADD, .name = "node-2"};
    struct kt_member_change replace = {.kind = KT_MEMBER_REPLACE, .name = "node-2"};
    struct kt_member_change remove = {.kind = KT_MEMBER_REMOVE, .name = "node-2"};
    struct kt_member_change lost = {.kind = KT_MEMBER_LOST_RECOVERY, .new_recovery_key = fresh};
    struct kt_member_change again = {.kind = KT_MEMBER_REPLACE_RECOVERY, .new_recovery_key = fresh};
    assert_non_null(fresh);
    fixture_init(&f);
    set_key(&add);
    set_key(&replace);
    member(&f, &add, KT_AUDIT_NODE_ADDED);
    member(&f, &replace, KT_AUDIT_NODE_REPLACED);
    member(&f, &remove, KT_AUDIT_NODE_REMOVED);
    struct kt_audit_line *line = last_line(&f);
    assert_int_equal(line->before.n_recipients, 3);
    assert_int_equal(line->after.n_recipients, 2);
    assert_int_equal(line->after.stage, KT_STAGE_PREPARE);
    assert_int_equal(line->after.n_keys, 2);
    free(line);
    member(&f, &again, KT_AUDIT_RECOVERY_REPLACED);
    kt_secret_free(f.recovery_key);
    f.recovery_key = fresh;
    fresh = kt_secret_new_random(KT_KEY_BYTES, NULL);
    assert_non_null(fresh);
    lost.new_recovery_key = fresh;
    member(&f, &lost, KT_AUDIT_RECOVERY_LOST);
    assert_int_equal(f.keyring->audit.n, 6);
    kt_secret_free(fresh);
    fixture_done(&f);
}

/* One that was written before there was a log: the log begins with the generation after it. */
static void test_a_keyring_without_lines(void **state)
{
    (void)state;
    struct fixture f;
    struct forgery forgery;
    const struct kt_edit edit = {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_PREPARE};
    fixture_init(&f);
    fixture_write(&f, &edit, 1);
    forgery_init(&forgery, &f);
    char *at = strstr(forgery.list, "\naudit:\n");
    assert_non_null(at);
    at[1] = '\0';
    at = strstr(forgery.list, "auditHead: sha256:");
    assert_non_null(at);
    memset(at + strlen("auditHead: sha256:"), '0', 64);
    forgery_sign(&forgery);
    struct kt_bytes document = forgery_join(&forgery);
    replace_document(&f, &document, f.owner);
    assert_int_equal(f.keyring->audit.n, 0);
    fixture_write(&f, &edit, 1);
    struct kt_audit_line *line = last_line(&f);
    assert_int_equal(f.keyring->audit.n, 1);
    assert_int_equal(line->seq, 1);
    assert_int_equal(line->before.generation, 2);
    assert_int_equal(line->after.generation, 3);
    free(line);
    forgery_done(&forgery);
    fixture_done(&f);
}

static void put_head(char *list, const char *line, size_t len)
{
    static const char label[] = "auditHead: ";
    uint8_t hash[KT_HASH_LEN] = {0};
    char text[KT_HASH_TEXT_LEN] = "";
    char *at = strstr(list, label);
    assert_non_null(at);
    assert_true(kt_audit_hash(KT_SLICE(line, len), hash, NULL));
    kt_hash_format(hash, text);
    memcpy(at + strlen(label), text, strlen(text));
}

/* A member may write the highest number; whoever comes after can still write. */
static void test_the_highest_number(void **state)
{
    (void)state;
    struct fixture f;
    struct forgery forgery;
    static const uint8_t zeros[KT_HASH_LEN];
    const struct kt_edit edit = {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_PREPARE};
    fixture_init(&f);
    forgery_init(&forgery, &f);
    forgery_replace(&forgery.list, "\"seq\":1,", "\"seq\":9007199254740992,");
    const char *line = strstr(forgery.list, "\n- '{\"v\"");
    assert_non_null(line);
    put_head(forgery.list, line + 4, strcspn(line + 4, "'"));
    forgery_sign(&forgery);
    struct kt_bytes document = forgery_join(&forgery);
    replace_document(&f, &document, f.owner);
    fixture_write(&f, &edit, 1);
    assert_int_equal(f.keyring->audit.n, 1);
    expect_head(&f);
    struct kt_audit_line *first = line_at(&f, 0);
    assert_int_equal(first->seq, 1);
    assert_memory_equal(first->prev, zeros, KT_HASH_LEN);
    assert_int_equal(first->after.generation, 2);
    free(first);
    forgery_done(&forgery);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_founded),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_the_newest_are_carried),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_a_keyring_without_lines),
        cmocka_unit_test(test_the_highest_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
