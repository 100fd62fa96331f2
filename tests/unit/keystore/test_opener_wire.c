/* SPDX-License-Identifier: Apache-2.0 */
/* The frames between opener and client, and the client against a peer that cuts, flips and dawdles. */
#include "base/ipc.h"
#include "keystore/config.h"
#include "keystore/opener_wire.h"
#include "keystore/tpm_report.h"
#include "tests/unit/keystore/support.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define DOC_A "part one\n---\npart two\n"
#define DOC_B "an older one\n"

static const struct kt_edit edits[] = {
    {.kind = KT_EDIT_ADD, .name = "kmskey-2", .type = KT_KEY_KMS},
    {.kind = KT_EDIT_STATE, .id = "00112233445566778899aabbccddeeff", .state = KT_KEY_RETIRING},
    {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_ROTATE},
    {.kind = KT_EDIT_ENABLED, .flag = true},
    {.kind = KT_EDIT_HOLD, .number = KT_NUMBER_MAX},
    {.kind = KT_EDIT_FORGET_API_SERVER, .name = "https://[::1]:6443"},
};

static const struct kt_tpm_policy policy = {
    .kind = KT_TPM_POLICY_PCR, .pcrs = {.bank = KT_TPM_SHA256, .mask = 1u << 7, .digests = {[7] = {1, 2, 3}}}};

static struct kt_opener_request sample_request(void)
{
    struct kt_opener_request request = {
        .op = KT_OPENER_OPEN,
        .offered = KT_SLICE(DOC_A, sizeof(DOC_A) - 1),
        .current = KT_SLICE(DOC_B, sizeof(DOC_B) - 1),
        .n_superseded = 2,
        .floor = {.membership = 3, .generation = KT_NUMBER_MAX},
        .accept_older = true,
        .node = "node-1",
        .kind = KT_RECIPIENT_FILE,
        .type = KT_KEY_SECRETBOX,
        .key_name = "kmskey",
        .edits = edits,
        .n_edits = KT_ARRAY_LEN(edits),
        .now = 1763888400,
        .member = {.request = KT_SLICE("r", 1), .header = KT_SLICE("hh", 2), .name = "node-2", .provider = "keyturn"},
        .claim = {.command = "node approve",
                  .has_who = true,
                  .who = {.uid = UINT32_MAX, .user = "root", .login = "alice", .sudo = "bob"},
                  .has_config = true}};

    memset(request.claim.config_before, 0xb5, KT_HASH_LEN);
    memset(request.claim.config_after, 0xc5, KT_HASH_LEN);
    memset(request.floor.hash, 0xa5, KT_HASH_LEN);
    request.superseded[0] = KT_SLICE("x", 1);
    request.superseded_names[0] = "1-3.yaml";
    request.superseded[1] = KT_SLICE("", 0);
    request.superseded_names[1] = "1-2.yaml";
    request.tpm_policy = &policy;
    request.tpm_pcrs = (struct kt_tpm_pcrs){.bank = KT_TPM_SHA384, .mask = 1u << 23};
    return request;
}

static void test_request_round_trip(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_opener_request in = sample_request();
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};
    struct kt_opener_storage storage;
    struct kt_opener_request out = {.op = 0};

    (void)state;
    assert_ok(kt_opener_request_encode(&in, &body, &err));
    assert_ok(kt_opener_request_decode(kt_bytes_view(&body), &storage, &out, &err));
    assert_int_equal(out.op, in.op);
    assert_true(kt_slice_equal(out.offered, in.offered));
    assert_true(kt_slice_equal(out.current, in.current));
    assert_int_equal(out.n_superseded, 2);
    assert_string_equal(out.superseded_names[0], "1-3.yaml");
    assert_true(kt_slice_equal(out.superseded[0], in.superseded[0]));
    assert_non_null(out.superseded[1].data);
    assert_int_equal(out.superseded[1].len, 0);
    assert_int_equal(out.floor.generation, KT_NUMBER_MAX);
    assert_memory_equal(out.floor.hash, in.floor.hash, KT_HASH_LEN);
    assert_true(out.accept_older);
    assert_string_equal(out.node, "node-1");
    assert_string_equal(out.key_name, "kmskey");
    assert_int_equal(out.kind, KT_RECIPIENT_FILE);
    assert_int_equal(out.type, KT_KEY_SECRETBOX);
    assert_int_equal(out.now, in.now);
    assert_int_equal(out.n_edits, in.n_edits);
    assert_memory_equal(out.edits[1].id, edits[1].id, sizeof(edits[1].id));
    assert_int_equal(out.edits[1].state, KT_KEY_RETIRING);
    assert_int_equal(out.edits[2].stage, KT_STAGE_ROTATE);
    assert_true(out.edits[3].flag);
    assert_true(out.edits[4].number == KT_NUMBER_MAX);
    assert_string_equal(out.edits[5].name, edits[5].name);
    assert_memory_equal(out.tpm_policy, &policy, sizeof(policy));
    assert_int_equal(out.tpm_pcrs.bank, KT_TPM_SHA384);
    assert_int_equal(out.tpm_pcrs.mask, 1u << 23);
    assert_true(kt_slice_equal(out.member.request, in.member.request));
    assert_true(kt_slice_equal(out.member.header, in.member.header));
    assert_string_equal(out.member.name, "node-2");
    assert_string_equal(out.member.provider, "keyturn");
    assert_memory_equal(&out.claim, &in.claim, sizeof(in.claim));
}

/* A file that is there but empty is not the same as none. */
static void test_absent_document(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_opener_request in = {.op = KT_OPENER_OPEN, .offered = KT_SLICE("", 0)};
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};
    struct kt_opener_storage storage;
    struct kt_opener_request out = {.op = 0};

    (void)state;
    assert_ok(kt_opener_request_encode(&in, &body, &err));
    assert_ok(kt_opener_request_decode(kt_bytes_view(&body), &storage, &out, &err));
    assert_non_null(out.offered.data);
    assert_null(out.current.data);
}

static void test_request_truncated_and_flipped(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_opener_request in = sample_request();
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};
    struct kt_opener_storage storage;
    struct kt_opener_request out = {.op = 0};

    (void)state;
    assert_ok(kt_opener_request_encode(&in, &body, &err));
    for (size_t len = 0; len < body.len; len++) {
        /* An exact copy, so that a sanitizer sees one byte too many. */
        KT_CLEANUP(kt_free_p) uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, body.data, len);
        assert_refused(kt_opener_request_decode(KT_SLICE(copy, len), &storage, &out, &err), KT_E_INTERNAL);
    }
    for (size_t i = 0; i < body.len * 8; i++) {
        body.data[i / 8] ^= (uint8_t)(1u << i % 8);
        kt_error_clear(&err);
        if (kt_opener_request_decode(kt_bytes_view(&body), &storage, &out, &err)) {
            assert_in_range(out.op, KT_OPENER_CREATE, KT_OPENER_OP_END - 1);
            assert_in_range(out.n_edits, 0, KT_EDITS_MAX);
            assert_in_range(out.n_superseded, 0, KT_SUPERSEDED_MAX);
        } else {
            assert_int_equal(err.code, KT_E_INTERNAL);
        }
        body.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}

static void test_request_too_much(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_opener_request request = {.op = KT_OPENER_OPEN};
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};
    KT_CLEANUP(kt_free_p) uint8_t *large = calloc(1, KT_KEYRING_MAX + 1);
    struct kt_opener_storage storage;
    struct kt_opener_request out = {.op = 0};

    (void)state;
    assert_non_null(large);
    request.offered = KT_SLICE(large, KT_KEYRING_MAX + 1);
    assert_refused(kt_opener_request_encode(&request, &body, &err), KT_E_KEYRING_FORMAT);
    request.offered = KT_SLICE(large, KT_KEYRING_MAX);
    request.current = request.offered;
    for (size_t i = 0; i < KT_SUPERSEDED_MAX; i++)
        request.superseded[i] = request.offered;
    request.n_superseded = KT_SUPERSEDED_MAX;
    assert_ok(kt_opener_request_encode(&request, &body, &err));
    assert_ok(kt_opener_request_decode(kt_bytes_view(&body), &storage, &out, &err));
    request.n_superseded = KT_SUPERSEDED_MAX + 1;
    kt_bytes_done(&body);
    body = (struct kt_bytes){.data = NULL};
    assert_refused(kt_opener_request_encode(&request, &body, &err), KT_E_INTERNAL);
    request.n_superseded = 0;
    request.n_edits = KT_EDITS_MAX + 1;
    assert_refused(kt_opener_request_encode(&request, &body, &err), KT_E_INTERNAL);
}

static struct kt_secret *encode_keys(const struct kt_secret *key, const struct kt_secret *fresh, struct kt_error *err)
{
    const struct kt_opener_request request = {.recovery_key = key, .member = {.new_recovery_key = fresh}};

    return kt_opener_secrets_encode(&request, err);
}

static void test_recovery_frame(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, &err);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *fresh = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, &err);
    const struct kt_secret *const sent[][2] = {{NULL, NULL}, {key, NULL}, {NULL, fresh}, {key, fresh}};

    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(sent); i++) {
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *body = encode_keys(sent[i][0], sent[i][1], &err);
        KT_CLEANUP(kt_opener_secrets_done) struct kt_opener_secrets out = {.recovery_key = NULL};

        assert_ok(body);
        assert_in_range(kt_secret_len(body), 1, KT_OPENER_SECRETS_MAX);
        assert_ok(kt_opener_secrets_decode(body, &out, &err));
        assert_int_equal(out.recovery_key != NULL, sent[i][0] != NULL);
        assert_int_equal(out.new_recovery_key != NULL, sent[i][1] != NULL);
        assert_true(!out.recovery_key || kt_secret_equal(out.recovery_key, key));
        assert_true(!out.new_recovery_key || kt_secret_equal(out.new_recovery_key, fresh));
    }
}

static void test_recovery_frame_malformed(void **state)
{
    static const struct {
        size_t len;
        uint8_t first;
    } cases[] = {{1, 0}, {3, 0}, {34, 0}, {1, 1}, {33, 1}, {35, 1}, {34, 3}, {65, 2}, {66, 4}, {2, 4}, {34, 0x81}};
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *odd = kt_secret_new(33, &err);
    struct kt_opener_secrets out = {.recovery_key = NULL};

    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *body = kt_secret_new(cases[i].len, &err);

        kt_secret_bytes(body)[0] = cases[i].first;
        assert_refused(kt_opener_secrets_decode(body, &out, &err), KT_E_INTERNAL);
        assert_null(out.recovery_key);
        assert_null(out.new_recovery_key);
    }
    assert_refused(encode_keys(odd, NULL, &err), KT_E_RECOVERY_KEY);
    assert_refused(encode_keys(NULL, odd, &err), KT_E_RECOVERY_KEY);
}

/* A frame without recovery keys whose imports say what follows. */
static struct kt_secret *imports_frame(const uint8_t *said, size_t len)
{
    struct kt_secret *body = kt_secret_new(len + 1, NULL);

    assert_non_null(body);
    memcpy(kt_secret_bytes(body) + 1, said, len);
    return body;
}

static void test_imports_in_the_frame(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, &err);
    const struct kt_secret *sent[KT_EDITS_MAX] = {NULL};
    static const size_t lens[] = {16, 24, 32};
    struct kt_opener_request request = {.recovery_key = key, .imports = sent};

    (void)state;
    for (size_t n = 0; n <= KT_EDITS_MAX; n++) {
        KT_CLEANUP(kt_opener_secrets_done) struct kt_opener_secrets out = {.recovery_key = NULL};
        struct kt_opener_request back = {.op = 0};

        request.n_imports = n;
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *body = kt_opener_secrets_encode(&request, &err);
        assert_ok(body);
        assert_in_range(kt_secret_len(body), 1, KT_OPENER_SECRETS_MAX);
        assert_ok(kt_opener_secrets_decode(body, &out, &err));
        kt_opener_secrets_put(&out, &back);
        assert_true(kt_secret_equal(back.recovery_key, key));
        assert_int_equal(back.n_imports, n);
        for (size_t i = 0; i < n; i++)
            assert_true(kt_secret_equal(back.imports[i], sent[i]));
        if (n < KT_EDITS_MAX)
            sent[n] = kt_secret_new_random(lens[n % KT_ARRAY_LEN(lens)], &err);
    }
    for (size_t i = 0; i < KT_EDITS_MAX; i++)
        kt_secret_free((struct kt_secret *)(uintptr_t)sent[i]);
}

static void test_imports_malformed(void **state)
{
    static const struct {
        uint8_t said[40];
        size_t len;
    } cases[] = {
        {{1}, 1},      {{1, 0}, 2}, {{1, 33}, 35}, {{1, 255}, 40}, {{1, 16}, 17},
        {{2, 16}, 18}, {{17}, 1},   {{255}, 40},   {{0, 0}, 2},    {{1, 16}, 19},
    };
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *odd = kt_secret_new(KT_KEY_BYTES + 1, &err);
    const struct kt_secret *const too_long[] = {odd};
    const struct kt_opener_request request = {.imports = too_long, .n_imports = 1};

    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *body = imports_frame(cases[i].said, cases[i].len);
        struct kt_opener_secrets out = {.recovery_key = NULL};

        assert_refused(kt_opener_secrets_decode(body, &out, &err), KT_E_INTERNAL);
        assert_int_equal(out.n_imports, 0);
    }
    assert_refused(kt_opener_secrets_encode(&request, &err), KT_E_USAGE);
}

static void fill_report(struct kt_opener_answer *answer)
{
    answer->tpm = calloc(1, sizeof(*answer->tpm));
    assert_non_null(answer->tpm);
    answer->tpm->there = true;
    answer->tpm->suspended = true;
    answer->tpm->resume = policy;
    answer->tpm->parent_handle = 0x81000001u;
    memset(answer->tpm->parent_name, 5, sizeof(answer->tpm->parent_name));
    answer->tpm->opens = true;
    (void)snprintf(answer->tpm->why, sizeof(answer->tpm->why), "%s", "why not");
    answer->tpm->present = policy.pcrs;
}

static void fill_answer(struct kt_opener_answer *answer)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_keyring_info *info = calloc(1, sizeof(*info));

    assert_non_null(info);
    memset(info->keyring_id, 7, sizeof(info->keyring_id));
    info->membership = 2;
    info->generation = 9;
    (void)snprintf(info->writer, sizeof(info->writer), "%s", "node-1");
    info->stage = KT_STAGE_PREPARE;
    info->enabled = true;
    info->hold = 600;
    info->n_keys = 3;
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(info->keys[i].id, sizeof(info->keys[i].id), "%032zu", i);
        (void)snprintf(info->keys[i].name, sizeof(info->keys[i].name), "k%zu", i);
        info->keys[i].type = i == 1 ? KT_KEY_AESCBC : KT_KEY_KMS;
        info->keys[i].state = i ? KT_KEY_READY : KT_KEY_ACTIVE;
        info->keys[i].superseded = i == 2;
    }
    info->n_recipients = 1;
    (void)snprintf(info->recipients[0].name, sizeof(info->recipients[0].name), "%s", "recovery");
    info->recipients[0].kind = KT_RECIPIENT_RECOVERY;
    info->n_archive = 1;
    (void)snprintf(info->archive[0].id, sizeof(info->archive[0].id), "%032d", 77);
    info->archive[0].type = KT_KEY_AESGCM;
    info->n_api_servers = 2;
    (void)snprintf(info->api_servers[1], sizeof(info->api_servers[1]), "%s", "b");
    answer->info = info;
    answer->keys[0] = kt_secret_new_random(KT_KEY_BYTES, &err);
    answer->keys[2] = kt_secret_new_random(KT_KEY_BYTES, &err);
    answer->keep_current = true;
    answer->keep_superseded[15] = true;
    answer->below_floor = true;
    answer->current = (struct kt_floor){.membership = 2, .generation = 8};
    (void)snprintf(answer->notes[0], sizeof(answer->notes[0]), "%s", "superseded/1-3.yaml does not open");
    answer->n_notes = 1;
    assert_true(kt_bytes_copy(KT_SLICE(DOC_A, sizeof(DOC_A) - 1), &answer->document, &err));
    memset(answer->owner, 3, KT_HASH_LEN);
    memset(info->audit_head, 4, KT_HASH_LEN);
    answer->audit = calloc(1, sizeof(*answer->audit));
    assert_non_null(answer->audit);
    assert_true(kt_audit_tail_add(answer->audit, kt_slice_str("a line")));
    assert_true(kt_audit_tail_add(answer->audit, kt_slice_str("another")));
    answer->audit_from = 1;
    answer->audit_whole = true;
    fill_report(answer);
}

static void expect_equal(const struct kt_opener_answer *a, const struct kt_opener_answer *b)
{
    assert_memory_equal(a->info, b->info, sizeof(*a->info));
    assert_int_equal(a->same, b->same);
    assert_int_equal(a->below_floor, b->below_floor);
    assert_int_equal(a->keep_current, b->keep_current);
    assert_memory_equal(a->keep_superseded, b->keep_superseded, sizeof(a->keep_superseded));
    assert_int_equal(a->current.generation, b->current.generation);
    assert_int_equal(a->n_notes, b->n_notes);
    assert_string_equal(a->notes[0], b->notes[0]);
    assert_true(kt_slice_equal(kt_bytes_view(&a->document), kt_bytes_view(&b->document)));
    assert_memory_equal(a->owner, b->owner, KT_HASH_LEN);
    assert_memory_equal(a->tpm, b->tpm, sizeof(*a->tpm));
    assert_int_equal(a->audit->n, b->audit->n);
    for (size_t i = 0; i < a->audit->n; i++)
        assert_true(kt_slice_equal(kt_audit_tail_line(a->audit, i), kt_audit_tail_line(b->audit, i)));
    assert_int_equal(a->audit_from, b->audit_from);
    assert_int_equal(a->audit_whole, b->audit_whole);
}

static void test_answer_round_trip(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer in = {.info = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer out = {.info = NULL};
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *keys = NULL;

    (void)state;
    fill_answer(&in);
    assert_ok(kt_opener_answer_encode(&in, NULL, &body, &err));
    assert_ok(kt_opener_answer_decode(kt_bytes_view(&body), &out, &err));
    expect_equal(&in, &out);
    keys = kt_opener_keys_encode(&in, &err);
    assert_non_null(keys);
    assert_int_equal(kt_secret_len(keys), 3 + 2 * KT_KEY_BYTES);
    assert_ok(kt_opener_keys_decode(keys, &out, &err));
    assert_true(kt_secret_equal(out.keys[0], in.keys[0]));
    assert_null(out.keys[1]);
    assert_true(kt_secret_equal(out.keys[2], in.keys[2]));
}

static void test_failure_round_trip(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_error failure = KT_ERROR_INIT;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer out = {.info = NULL};
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};

    (void)state;
    (void)kt_error_set(&failure, KT_E_KEYRING_FORK, EIO, "there", "a fork of %d", 7);
    (void)kt_error_hint(&failure, "keep one");
    assert_ok(kt_opener_answer_encode(NULL, &failure, &body, &err));
    assert_refused(kt_opener_answer_decode(kt_bytes_view(&body), &out, &err), KT_E_KEYRING_FORK);
    assert_string_equal(err.message, failure.message);
    assert_string_equal(err.hint, "keep one");
    assert_int_equal(err.sys_errno, EIO);
    for (size_t len = 0; len < body.len; len++)
        assert_refused(kt_opener_answer_decode(KT_SLICE(body.data, len), &out, &err), KT_E_INTERNAL);
}

static void test_answer_truncated_and_flipped(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer in = {.info = NULL};
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};

    (void)state;
    fill_answer(&in);
    assert_ok(kt_opener_answer_encode(&in, NULL, &body, &err));
    for (size_t len = 0; len < body.len; len++) {
        KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer out = {.info = NULL};
        KT_CLEANUP(kt_free_p) uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, body.data, len);
        assert_refused(kt_opener_answer_decode(KT_SLICE(copy, len), &out, &err), KT_E_INTERNAL);
    }
    for (size_t i = 0; i < body.len * 8; i++) {
        KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer out = {.info = NULL};
        body.data[i / 8] ^= (uint8_t)(1u << i % 8);
        kt_error_clear(&err);
        if (kt_opener_answer_decode(kt_bytes_view(&body), &out, &err) && out.info) {
            assert_in_range(out.info->n_keys, 0, 2 * KT_KEYS_MAX);
            assert_in_range(out.info->n_archive, 0, KT_ARCHIVE_MAX);
        }
        body.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}

static void test_keys_cut(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer in = {.info = NULL};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *whole = NULL;

    (void)state;
    fill_answer(&in);
    whole = kt_opener_keys_encode(&in, &err);
    assert_non_null(whole);
    for (size_t len = 1; len < kt_secret_len(whole); len++) {
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *cut = secret_copy(kt_secret_view(whole), len);
        assert_refused(kt_opener_keys_decode(cut, &in, &err), KT_E_INTERNAL);
    }
    kt_secret_bytes(whole)[0] = KT_KEY_BYTES + 1;
    assert_refused(kt_opener_keys_decode(whole, &in, &err), KT_E_INTERNAL);
}

static void test_keys_of_nothing(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *keys = kt_opener_keys_encode(&answer, &err);

    (void)state;
    assert_non_null(keys);
    assert_int_equal(kt_secret_len(keys), 1);
    assert_ok(kt_opener_keys_decode(keys, &answer, &err));
    kt_secret_bytes(keys)[0] = 1;
    assert_refused(kt_opener_keys_decode(keys, &answer, &err), KT_E_INTERNAL);
}

/* The whole answer as it goes over the socket. */
static void frame_answer(const struct kt_opener_answer *answer, struct kt_bytes *ret)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *keys = kt_opener_keys_encode(answer, &err);
    struct kt_writer w;
    size_t cap = 0;

    assert_non_null(keys);
    assert_ok(kt_opener_answer_encode(answer, NULL, &body, &err));
    cap = 8 + body.len + kt_secret_len(keys);
    ret->data = malloc(cap + 1);
    assert_non_null(ret->data);
    kt_writer_init(&w, ret->data, cap);
    kt_writer_blob(&w, kt_bytes_view(&body));
    kt_writer_blob(&w, KT_SLICE(kt_secret_view(keys), kt_secret_len(keys)));
    assert_false(w.bad);
    ret->len = w.len;
}

static struct kt_opener_call *new_call(const struct kt_opener_request *request, int *ret_peer)
{
    struct kt_error err = KT_ERROR_INIT;
    int pair[2] = {-1, -1};

    assert_ok(kt_ipc_pair(SOCK_STREAM, pair, &err));
    *ret_peer = pair[1];
    struct kt_opener_call *call = kt_opener_call_new(pair[0], request, &err);
    if (!call)
        fail_msg("%s", err.message);
    assert_int_equal(kt_opener_call_fd(call), pair[0]);
    return call;
}

static bool step(struct kt_opener_call *call, struct kt_opener_answer *ret, bool *done, struct kt_error *err)
{
    enum kt_opener_progress progress = KT_OPENER_WAITING;
    bool ok = kt_opener_call_step(call, ret, &progress, err);

    *done = progress == KT_OPENER_DONE;
    return ok;
}

/* One byte is sent and one step made, at every byte of the answer; the request is read one byte at a time. */
static void test_call_byte_by_byte(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer in = {.info = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer out = {.info = NULL};
    KT_CLEANUP_BYTES struct kt_bytes wire = {.data = NULL};
    KT_CLEANUP(kt_fd_close_p) int peer = -1;
    struct kt_opener_request request = sample_request();
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *recovery = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, &err);
    bool done = false;
    uint8_t byte = 0;
    size_t got = 0;

    (void)state;
    request.recovery_key = recovery;
    KT_CLEANUP(kt_opener_call_free_p) struct kt_opener_call *call = new_call(&request, &peer);
    fill_answer(&in);
    frame_answer(&in, &wire);
    assert_int_equal(kt_opener_call_events(call), POLLIN | POLLOUT);
    assert_ok(step(call, &out, &done, &err));
    while (recv(peer, &byte, 1, MSG_DONTWAIT) == 1) {
        got++;
        assert_ok(step(call, &out, &done, &err));
    }
    assert_int_equal(kt_opener_call_events(call), POLLIN);
    assert_true(got > 8 + 2 + KT_RECOVERY_KEY_BYTES);
    for (size_t i = 0; i < wire.len; i++) {
        assert_false(done);
        assert_int_equal(send(peer, wire.data + i, 1, 0), 1);
        assert_ok(step(call, &out, &done, &err));
    }
    assert_true(done);
    expect_equal(&in, &out);
    assert_true(kt_secret_equal(out.keys[2], in.keys[2]));
}

/* A request that is larger than the socket's buffer goes out in parts, and the answer may come before its end. */
static void test_call_large_request(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_free_p) uint8_t *large = calloc(1, KT_KEYRING_MAX);
    struct kt_opener_request request = {.op = KT_OPENER_DESCRIBE};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer out = {.info = NULL};
    KT_CLEANUP(kt_fd_close_p) int peer = -1;
    struct kt_error failure = KT_ERROR_INIT;
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};
    bool done = false;
    uint8_t header[4];
    struct kt_writer w;

    (void)state;
    assert_non_null(large);
    request.offered = KT_SLICE(large, KT_KEYRING_MAX);
    KT_CLEANUP(kt_opener_call_free_p) struct kt_opener_call *call = new_call(&request, &peer);
    assert_ok(step(call, &out, &done, &err));
    assert_int_equal(kt_opener_call_events(call), POLLIN | POLLOUT);
    (void)kt_fail(&failure, KT_E_CONFIG, "no such file");
    assert_ok(kt_opener_answer_encode(NULL, &failure, &body, &err));
    kt_writer_init(&w, header, sizeof(header));
    kt_writer_u32(&w, (uint32_t)body.len);
    assert_int_equal(send(peer, header, 4, 0), 4);
    assert_int_equal(send(peer, body.data, body.len, 0), body.len);
    kt_fd_close(KT_TAKE_FD(peer)); /* with the request unread: a reset for the sender */
    assert_refused(step(call, &out, &done, &err), KT_E_CONFIG);
    assert_string_equal(err.message, "no such file");
}

static void test_call_large_request_arrives(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_free_p) uint8_t *large = calloc(1, KT_KEYRING_MAX);
    struct kt_opener_request request = {.op = KT_OPENER_DESCRIBE};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer out = {.info = NULL};
    KT_CLEANUP(kt_fd_close_p) int peer = -1;
    KT_CLEANUP(kt_free_p) uint8_t *buffer = malloc(65521);
    bool done = false;
    size_t got = 0;

    (void)state;
    assert_non_null(large);
    assert_non_null(buffer);
    memset(large, 'x', KT_KEYRING_MAX);
    request.offered = KT_SLICE(large, KT_KEYRING_MAX);
    KT_CLEANUP(kt_opener_call_free_p) struct kt_opener_call *call = new_call(&request, &peer);
    while (kt_opener_call_events(call) & POLLOUT) {
        ssize_t n = recv(peer, buffer, 65521, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
        assert_ok(step(call, &out, &done, &err));
    }
    for (ssize_t n = 1; n > 0; got += n > 0 ? (size_t)n : 0)
        n = recv(peer, buffer, 65521, MSG_DONTWAIT);
    assert_in_range(got, KT_KEYRING_MAX, KT_KEYRING_MAX + 4096);
    assert_false(done);
}

/* The peer goes away after each byte of its answer. */
static void test_call_cut(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer in = {.info = NULL};
    KT_CLEANUP_BYTES struct kt_bytes wire = {.data = NULL};
    const struct kt_opener_request request = {.op = KT_OPENER_DESCRIBE};

    (void)state;
    fill_answer(&in);
    frame_answer(&in, &wire);
    for (size_t len = 0; len < wire.len; len++) {
        KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer out = {.info = NULL};
        KT_CLEANUP(kt_fd_close_p) int peer = -1;
        KT_CLEANUP(kt_opener_call_free_p) struct kt_opener_call *call = new_call(&request, &peer);
        bool done = false;
        bool ok = true;

        assert_int_equal(send(peer, wire.data, len, 0), len);
        kt_fd_close(KT_TAKE_FD(peer));
        for (int i = 0; i < 8 && ok; i++)
            ok = step(call, &out, &done, &err);
        assert_false(ok);
        assert_false(done);
        assert_int_equal(err.code, KT_E_TIMEOUT);
        assert_null(out.info);
    }
}

static void test_call_nonsense(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\xff\xff\xff\xff", 4}, /* a frame of 4 GiB */
        {"\0\0\0\0", 4},         /* an empty one */
        {"\0\0\0\3\0\1\7", 7},   /* an outcome that there is not */
        {"\0\0\0\3\0\2\0", 7},   /* another version */
        {"HTTP/1.1 400 Bad Request\r\n", 26},
    };
    const struct kt_opener_request request = {.op = KT_OPENER_DESCRIBE};

    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer out = {.info = NULL};
        KT_CLEANUP(kt_fd_close_p) int peer = -1;
        KT_CLEANUP(kt_opener_call_free_p) struct kt_opener_call *call = new_call(&request, &peer);
        bool done = false;

        assert_int_equal(send(peer, cases[i].bytes, cases[i].len, 0), cases[i].len);
        assert_refused(step(call, &out, &done, &err), KT_E_INTERNAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_round_trip),
        cmocka_unit_test(test_absent_document),
        cmocka_unit_test(test_request_truncated_and_flipped),
        cmocka_unit_test(test_request_too_much),
        cmocka_unit_test(test_recovery_frame),
        cmocka_unit_test(test_recovery_frame_malformed),
        cmocka_unit_test(test_imports_in_the_frame),
        cmocka_unit_test(test_imports_malformed),
        cmocka_unit_test(test_answer_round_trip),
        cmocka_unit_test(test_failure_round_trip),
        cmocka_unit_test(test_answer_truncated_and_flipped),
        cmocka_unit_test(test_keys_cut),
        cmocka_unit_test(test_keys_of_nothing),
        cmocka_unit_test(test_call_byte_by_byte),
        cmocka_unit_test(test_call_large_request),
        cmocka_unit_test(test_call_large_request_arrives),
        cmocka_unit_test(test_call_cut),
        cmocka_unit_test(test_call_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
