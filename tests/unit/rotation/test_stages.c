/* SPDX-License-Identifier: Apache-2.0 */
/* Each row of k3s's table of stages (docs/rotation.md, "As in k3s and RKE2"): what is allowed, what is written, where
 * it ends; and what ours does otherwise, on purpose. */
#include "cluster_fixture.h"

#include <string.h>

static const enum kt_stage all_stages[] = {KT_STAGE_START,
                                           KT_STAGE_PREPARE,
                                           KT_STAGE_ROTATE,
                                           KT_STAGE_REENCRYPT_REQUEST,
                                           KT_STAGE_REENCRYPT_ACTIVE,
                                           KT_STAGE_REENCRYPT_FINISHED};

static void assert_order(const struct fixture *f, const char *want)
{
    char got[16] = "";
    size_t len = 0;
    for (size_t i = 0; i < f->keyring.n_keys && len < sizeof(got); i++)
        len += (size_t)snprintf(got + len, sizeof(got) - len, "%s", f->keyring.keys[i].name + 1);
    assert_true(len < sizeof(got));
    assert_string_equal(got, want);
}

/* Whether the stage itself is what refuses. */
static bool stage_is_refused(enum kt_order_kind kind, enum kt_stage stage, bool force)
{
    struct fixture *f = fixture(KT_KEY_AESCBC, stage, "ar");
    f->order.force = force;
    (void)fixture_ask(f, kind);
    if (f->next.step != KT_STEP_REFUSE || f->next.gate != KT_GATE_STAGE)
        return false;
    assert_int_equal(f->err.code, KT_E_REFUSED);
    assert_non_null(strstr(f->err.message, "incorrect stage: "));
    assert_non_null(strstr(f->err.message, kt_stage_text(stage)));
    assert_non_null(strstr(f->err.message, " found on node node-1"));
    return true;
}

#define S(stage) (1u << KT_STAGE_##stage)
#define MIDWAY   (S(ROTATE) | S(REENCRYPT_REQUEST) | S(REENCRYPT_ACTIVE))

/* k3s's stages, and besides those to which the command itself leads. */
static void test_allowed_stages(void **state)
{
    static const struct {
        enum kt_order_kind kind;
        unsigned allowed;
        unsigned forced;
    } rows[] = {
        {KT_ORDER_PREPARE, S(START) | S(REENCRYPT_FINISHED) | S(PREPARE), MIDWAY},
        {KT_ORDER_CANCEL, S(PREPARE) | S(START) | S(REENCRYPT_FINISHED), 0},
        {KT_ORDER_ROTATE, S(PREPARE) | S(ROTATE), 0},
        {KT_ORDER_REENCRYPT, MIDWAY | S(REENCRYPT_FINISHED), S(START) | S(PREPARE)},
        {KT_ORDER_ROTATE_KEYS, S(START) | S(PREPARE) | MIDWAY | S(REENCRYPT_FINISHED), 0},
        {KT_ORDER_RETIRE, S(START) | S(REENCRYPT_FINISHED), 0},
        {KT_ORDER_ENABLE, S(START) | S(REENCRYPT_FINISHED), 0},
        {KT_ORDER_DISABLE, S(START) | S(REENCRYPT_FINISHED), 0},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++)
        for (size_t s = 0; s < KT_ARRAY_LEN(all_stages); s++) {
            unsigned bit = 1u << all_stages[s];
            assert_int_equal(!stage_is_refused(rows[i].kind, all_stages[s], false), (rows[i].allowed & bit) != 0);
            assert_int_equal(!stage_is_refused(rows[i].kind, all_stages[s], true),
                             ((rows[i].allowed | rows[i].forced) & bit) != 0);
        }
}

/* "append new key LAST; prepare-<h>" */
static void test_prepare(void **state)
{
    static const enum kt_stage from[] = {KT_STAGE_START, KT_STAGE_REENCRYPT_FINISHED};
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(from); i++) {
        struct fixture *f = fixture(KT_KEY_AESCBC, from[i], "at");
        assert_writes(f, KT_ORDER_PREPARE, KT_RECIPE_ADD);
        assert_int_equal(f->next.edits[0].kind, KT_EDIT_ADD);
        assert_int_equal(f->next.edits[0].type, KT_KEY_AESCBC);
        assert_string_equal(f->next.edits[0].name, "new");
        fixture_apply(f);
        assert_order(f, "123");
        assert_int_equal(f->keyring.stage, KT_STAGE_PREPARE);
        assert_step(f, KT_ORDER_PREPARE, KT_STEP_CONFIG, KT_GATE_CONFIG);
        assert_int_equal(f->next.n_providers, 4);
        assert_int_equal(f->next.providers[2], KT_REF_KEY(2));
        assert_int_equal(f->next.providers[3], KT_REF_IDENTITY);
        fixture_settle(f);
        assert_done(f, KT_ORDER_PREPARE);
    }
}

/* "last key moved to FRONT; rotate-<h>" */
static void test_rotate(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_PREPARE, "atr");
    assert_writes(f, KT_ORDER_ROTATE, KT_RECIPE_ACTIVATE);
    fixture_apply(f);
    assert_order(f, "312");
    assert_int_equal(f->keyring.stage, KT_STAGE_ROTATE);
    assert_step(f, KT_ORDER_ROTATE, KT_STEP_CONFIG, KT_GATE_CONFIG);
    assert_int_equal(f->next.providers[0], KT_REF_KEY(0));
    fixture_settle(f);
    assert_done(f, KT_ORDER_ROTATE);
}

/* "rewrite all secrets, drop LAST key; reencrypt_active, then reencrypt_finished": ours drops nothing yet, and lets
 * every other key retire, not one. */
static void test_reencrypt(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_ROTATE, "arrr");
    f->facts.store.counts[1] = 3;
    assert_writes(f, KT_ORDER_REENCRYPT, KT_RECIPE_BEGIN);
    fixture_apply(f);
    assert_int_equal(f->keyring.stage, KT_STAGE_REENCRYPT_ACTIVE);
    fixture_settle(f);
    f->facts.store.counts[1] = 3;
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_REWRITE, KT_GATE_CURRENT);
    f->facts.rewrite = (struct kt_facts_rewrite){.ran = true, .ended_mono = FIXTURE_MONO - 1};
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_CENSUS, KT_GATE_COUNTED);
    f->facts.store.at_mono = FIXTURE_MONO;
    f->facts.store.counts[1] = 0;
    assert_writes(f, KT_ORDER_REENCRYPT, KT_RECIPE_FINISH);
    fixture_apply(f);
    assert_order(f, "1234");
    assert_int_equal(f->keyring.stage, KT_STAGE_REENCRYPT_FINISHED);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(f->keyring.keys[i].state, KT_KEY_RETIRING);
    fixture_settle(f);
    assert_done(f, KT_ORDER_REENCRYPT);
}

/* "rewrite all secrets, drop nothing" */
static void test_reencrypt_skip(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_REENCRYPT_ACTIVE, "ar");
    f->order.skip = true;
    assert_writes(f, KT_ORDER_REENCRYPT, KT_RECIPE_FINISH_SKIP);
    fixture_apply(f);
    assert_int_equal(f->keyring.stage, KT_STAGE_REENCRYPT_FINISHED);
    assert_int_equal(f->keyring.keys[1].state, KT_KEY_READY);
    fixture_settle(f);
    assert_done(f, KT_ORDER_REENCRYPT);
    /* Without --skip it lets them go after all. */
    f->order.skip = false;
    assert_writes(f, KT_ORDER_REENCRYPT, KT_RECIPE_FINISH);
}

/* `reencrypt --force --skip`, the seeds' way after disable and enable: rewrites, the stage stays. */
static void test_reencrypt_forced(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_SECRETBOX, KT_STAGE_START, "a");
    f->order.force = f->order.skip = true;
    f->facts.store.plaintext = 5;
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_REWRITE, KT_GATE_CURRENT);
    assert_int_equal(f->next.forced, UINT64_C(1) << KT_GATE_STAGE);
    f->facts.store.plaintext = 0;
    assert_done(f, KT_ORDER_REENCRYPT);
}

/* All in one. Not as k3s, which goes from start to reencrypt_active at once. */
static void test_rotate_keys(void **state)
{
    static const enum kt_recipe steps[] = {KT_RECIPE_ADD, KT_RECIPE_ACTIVATE, KT_RECIPE_BEGIN, KT_RECIPE_FINISH};
    static const enum kt_stage stages[] = {KT_STAGE_PREPARE, KT_STAGE_ROTATE, KT_STAGE_REENCRYPT_ACTIVE,
                                           KT_STAGE_REENCRYPT_FINISHED};
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_START, "a");
    for (size_t i = 0; i < KT_ARRAY_LEN(steps); i++) {
        assert_writes(f, KT_ORDER_ROTATE_KEYS, steps[i]);
        memcpy(f->order.rotating, f->next.rotating, sizeof f->order.rotating);
        fixture_apply(f);
        fixture_settle(f);
        assert_int_equal(f->keyring.stage, stages[i]);
    }
    assert_order(f, "21");
    assert_done(f, KT_ORDER_ROTATE_KEYS);
    /* Run again, it is a new rotation; but not where somebody took this one back. */
    f->order.rotating[0] = '\0';
    assert_writes(f, KT_ORDER_ROTATE_KEYS, KT_RECIPE_ADD);
    memcpy(f->order.rotating, f->keyring.keys[1].id, sizeof f->order.rotating);
    assert_step(f, KT_ORDER_ROTATE_KEYS, KT_STEP_REFUSE, KT_GATE_UNDISTURBED);
    assert_int_equal(f->next.code, KT_E_INCOMPLETE);
}

/* "provider order [identity, primary]; rewrite secrets", and back. */
static void test_disable_enable(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_REENCRYPT_FINISHED, "aT");
    assert_writes(f, KT_ORDER_DISABLE, KT_RECIPE_DISABLE);
    fixture_apply(f);
    assert_step(f, KT_ORDER_DISABLE, KT_STEP_CONFIG, KT_GATE_CONFIG);
    assert_int_equal(f->next.providers[0], KT_REF_IDENTITY);
    assert_int_equal(f->next.providers[1], KT_REF_KEY(0));
    assert_int_equal(f->next.providers[2], KT_REF_KEY(1));
    assert_int_equal(f->next.n_providers, 3);
    fixture_settle(f);
    f->facts.store.counts[0] = 4;
    assert_step(f, KT_ORDER_DISABLE, KT_STEP_REWRITE, KT_GATE_CURRENT);
    f->facts.store.counts[0] = 0;
    f->facts.store.plaintext = 4;
    assert_done(f, KT_ORDER_DISABLE);
    assert_done(f, KT_ORDER_DISABLE); /* already disabled: success, nothing changed */

    assert_writes(f, KT_ORDER_ENABLE, KT_RECIPE_ENABLE);
    fixture_apply(f);
    fixture_settle(f);
    f->facts.store.plaintext = 4;
    assert_step(f, KT_ORDER_ENABLE, KT_STEP_REWRITE, KT_GATE_CURRENT);
    f->facts.store.plaintext = 0;
    assert_writes(f, KT_ORDER_ENABLE, KT_RECIPE_MARK);
    assert_int_equal(f->next.n_edits, 0);
    f->facts.encrypted_since = FIXTURE_NOW;
    assert_done(f, KT_ORDER_ENABLE);
    assert_int_equal(f->keyring.stage, KT_STAGE_REENCRYPT_FINISHED);
}

/* "enable with no file at all", and identity alone in it: the key is listed behind identity first, on every API server.
 */
static void test_enable_the_first_time(void **state)
{
    static const int identity[] = {KT_REF_IDENTITY};
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_START, "a");
    f->keyring.enabled = false;
    fixture_settle(f);
    fixture_file(f, 1, identity);
    assert_step(f, KT_ORDER_ENABLE, KT_STEP_CONFIG, KT_GATE_CONFIG);
    assert_int_equal(f->next.providers[0], KT_REF_IDENTITY);
    assert_int_equal(f->next.providers[1], KT_REF_KEY(0));
    fixture_settle(f);
    assert_writes(f, KT_ORDER_ENABLE, KT_RECIPE_ENABLE);
    f->facts.config.present = false;
    assert_step(f, KT_ORDER_ENABLE, KT_STEP_REFUSE, KT_GATE_FILE);
    assert_int_equal(f->next.code, KT_E_CONFIG);
}

static void test_success_texts(void **state)
{
    static const struct {
        enum kt_order_kind kind;
        const char *text;
    } rows[] = {
        {KT_ORDER_PREPARE, "prepare completed successfully"},
        {KT_ORDER_ROTATE, "rotate completed successfully"},
        {KT_ORDER_ROTATE_KEYS, "keys rotated, reencryption finished"},
        {KT_ORDER_ENABLE, "secrets-encryption enabled"},
        {KT_ORDER_DISABLE, "secrets-encryption disabled"},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++)
        assert_string_equal(kt_rotation_success(rows[i].kind), rows[i].text);
    assert_string_equal(kt_rotation_success(KT_ORDER_COUNT), "unknown");
}

/* k3s's `reencrypt_request` is set by old versions only; ours goes on from it. */
static void test_reencrypt_request(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_REQUEST, "ar");
    assert_writes(f, KT_ORDER_REENCRYPT, KT_RECIPE_BEGIN);
    assert_writes(f, KT_ORDER_ROTATE_KEYS, KT_RECIPE_BEGIN);
}

static void test_cancel(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_PREPARE, "ar");
    assert_writes(f, KT_ORDER_CANCEL, KT_RECIPE_CANCEL);
    fixture_apply(f);
    assert_int_equal(f->keyring.stage, KT_STAGE_START);
    assert_int_equal(f->keyring.keys[1].state, KT_KEY_RETIRING); /* nothing vanishes: `retire` archives it */
    fixture_settle(f);
    assert_done(f, KT_ORDER_CANCEL);
    f = fixture(KT_KEY_KMS, KT_STAGE_PREPARE, "atr");
    assert_writes(f, KT_ORDER_CANCEL, KT_RECIPE_CANCEL);
    fixture_apply(f);
    assert_int_equal(f->keyring.stage, KT_STAGE_REENCRYPT_FINISHED);
    f = fixture(KT_KEY_KMS, KT_STAGE_PREPARE, "a"); /* nothing that could be taken back */
    assert_step(f, KT_ORDER_CANCEL, KT_STEP_REFUSE, KT_GATE_PREPARED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed_stages),
        cmocka_unit_test(test_prepare),
        cmocka_unit_test(test_rotate),
        cmocka_unit_test(test_reencrypt),
        cmocka_unit_test(test_reencrypt_skip),
        cmocka_unit_test(test_reencrypt_forced),
        cmocka_unit_test(test_rotate_keys),
        cmocka_unit_test(test_disable_enable),
        cmocka_unit_test(test_enable_the_first_time),
        cmocka_unit_test(test_success_texts),
        cmocka_unit_test(test_reencrypt_request),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
