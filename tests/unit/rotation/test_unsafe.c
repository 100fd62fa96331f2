/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The points (a) to (p) at which k3s's and RKE2's secrets-encrypt loses data, lies or gets stuck, and ours at each.
 * Four are not the machine's alone: (i) a Secret that is deleted during the rewrite, (l) two commands at once, (o)
 * where keys and backups lie, (p) a list that expires; tests/e2e shows those.
 */
#include "cluster_fixture.h"

#include <string.h>

/* (a) rotate-keys on one server: the others still write under the old key, which is gone. */
static void test_a_other_servers(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_PREPARE, "ar");
    f->apis[1].hash[0] ^= 1; /* it has the file of before */
    assert_step(f, KT_ORDER_ROTATE_KEYS, KT_STEP_WAIT, KT_GATE_LOADED);
    assert_int_equal(f->next.subject, 1);
    assert_non_null(strstr(f->err.message, "api-2"));

    f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_ACTIVE, "ar");
    f->apis[1].writes_ref = KT_REF_KEY(1);
    assert_step(f, KT_ORDER_ROTATE_KEYS, KT_STEP_CANARY, KT_GATE_WRITES);

    f = fixture(KT_KEY_AESCBC, KT_STAGE_REENCRYPT_FINISHED, "at");
    f->apis[1].reachable = false;
    assert_step(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_SERVERS);
    f->order.force = true;
    assert_step(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_SERVERS); /* nothing forces that */
    assert_false(f->next.forcible);
}

/* (b) rotate and reencrypt within the minute of the reload: nothing is rewritten, and the old key goes. */
static void test_b_before_the_reload(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_ROTATE, "ar");
    for (size_t i = 0; i < FIXTURE_SERVERS; i++)
        f->apis[i].hash[0] ^= 1;
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_WAIT, KT_GATE_LOADED);
    assert_int_equal(f->next.missing, 2);
}

/* (c) enable and disable rewrite at once, without waiting for the reload, and report success. */
static void test_c_enable_disable(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_START, "a");
    f->facts.store.plaintext = 9;
    f->apis[0].hash[0] ^= 1;
    assert_step(f, KT_ORDER_ENABLE, KT_STEP_WAIT, KT_GATE_LOADED);
    f = fixture(KT_KEY_KMS, KT_STAGE_START, "a");
    f->keyring.enabled = false;
    fixture_settle(f);
    f->facts.store.counts[0] = 9;
    f->apis[0].hash[0] ^= 1;
    assert_step(f, KT_ORDER_DISABLE, KT_STEP_WAIT, KT_GATE_LOADED);
}

/* (d) disable drops the keys of the other type. */
static void test_d_other_type(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_REENCRYPT_FINISHED, "arT");
    f->keyring.keys[1].type = KT_KEY_SECRETBOX;
    f->keyring.keys[2].type = KT_KEY_KMS;
    f->keyring.enabled = false;
    static const int before[] = {KT_REF_KEY(0), KT_REF_KEY(1), KT_REF_KMS, KT_REF_IDENTITY};
    fixture_settle(f);
    fixture_file(f, 4, before);
    assert_step(f, KT_ORDER_DISABLE, KT_STEP_CONFIG, KT_GATE_CONFIG);
    assert_int_equal(f->next.n_providers, 4);
    assert_int_equal(f->next.providers[0], KT_REF_IDENTITY);
    assert_int_equal(f->next.providers[1], KT_REF_KEY(0));
    assert_int_equal(f->next.providers[2], KT_REF_KEY(1));
    assert_int_equal(f->next.providers[3], KT_REF_KMS);
}

/* (e) enable with identity alone in the file ends the server. */
static void test_e_identity_only(void **state)
{
    static const int identity[] = {KT_REF_IDENTITY};
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_START, "a");
    fixture_file(f, 1, identity);
    f->facts.n_apis = 1;
    assert_step(f, KT_ORDER_ENABLE, KT_STEP_CONFIG, KT_GATE_CONFIG);
    fixture_file(f, 0, identity);
    assert_step(f, KT_ORDER_ENABLE, KT_STEP_CONFIG, KT_GATE_CONFIG);
    /* With a second API server the key is not put first where it was never listed. */
    f->facts.n_apis = 2;
    assert_step(f, KT_ORDER_ENABLE, KT_STEP_REFUSE, KT_GATE_WIRED);
}

/* (f) after an aborted rotate-keys there is no way out. */
static void test_f_aborted(void **state)
{
    static const struct {
        enum kt_stage stage;
        enum kt_recipe next;
    } rows[] = {
        {KT_STAGE_PREPARE, KT_RECIPE_ACTIVATE},
        {KT_STAGE_ROTATE, KT_RECIPE_BEGIN},
        {KT_STAGE_REENCRYPT_REQUEST, KT_RECIPE_BEGIN},
        {KT_STAGE_REENCRYPT_ACTIVE, KT_RECIPE_FINISH},
    };
    static const enum kt_key_type types[] = {KT_KEY_KMS, KT_KEY_AESCBC, KT_KEY_AESGCM, KT_KEY_SECRETBOX};
    (void)state;
    for (size_t t = 0; t < KT_ARRAY_LEN(types); t++)
        for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++)
            assert_writes(fixture(types[t], rows[i].stage, "ar"), KT_ORDER_ROTATE_KEYS, rows[i].next);
}

/* (g) errors of the rewrite are thrown away. */
static void test_g_errors(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_ACTIVE, "ar");
    f->facts.store.counts[1] = 2;
    f->facts.rewrite = (struct kt_facts_rewrite){.ran = true, .ended_mono = 1, .failed = 2};
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_REFUSE, KT_GATE_REWRITABLE);
    assert_int_equal(f->err.code, KT_E_INCOMPLETE);
    assert_non_null(strstr(f->err.message, "2 objects left over"));
    f->facts.store.counts[1] = 3; /* one came meanwhile: another pass */
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_REWRITE, KT_GATE_CURRENT);
}

/* (h) the old key goes without a look into the store. */
static void test_h_no_look(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "at");
    assert_writes(f, KT_ORDER_RETIRE, KT_RECIPE_ARCHIVE);
    f->facts.store.counted = false;
    assert_step(f, KT_ORDER_RETIRE, KT_STEP_CENSUS, KT_GATE_COUNTED_LATE);
    f->facts.store.accessible = false;
    f->order.force = true;
    assert_step(f, KT_ORDER_RETIRE, KT_STEP_REFUSE, KT_GATE_STORE);
    fixture_settle(f);
    f->facts.store.counts[1] = 1;
    assert_writes(f, KT_ORDER_RETIRE, KT_RECIPE_RESTART);
    fixture_apply(f);
    fixture_settle(f);
    assert_step(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_HOLD);
    assert_true(f->next.until == FIXTURE_NOW + KT_HOLD_DEFAULT);
}

/* (j) the file is written twice, and a reload between the two counts. */
static void test_j_between_two_files(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_PREPARE, "ar");
    assert_writes(f, KT_ORDER_ROTATE_KEYS, KT_RECIPE_ACTIVATE);
    fixture_apply(f);
    fixture_settle(f);
    for (size_t i = 0; i < FIXTURE_SERVERS; i++)
        f->apis[i].hash[0] ^= 1; /* loaded: the file in which the new key is second */
    assert_step(f, KT_ORDER_ROTATE_KEYS, KT_STEP_WAIT, KT_GATE_LOADED);
}

/* (k) after one failed reload the time of the last one never moves. Ours asks for the hash, and shows the failure. */
static void test_k_failed_reload(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_ROTATE, "ar");
    f->apis[1].reload_failure = "kmsv2 Provider is not healthy";
    assert_done(f, KT_ORDER_ROTATE); /* the failure of before: it has loaded this very file since */
    f->apis[1].hash[0] ^= 1;
    assert_step(f, KT_ORDER_ROTATE, KT_STEP_WAIT, KT_GATE_LOADED);
    assert_non_null(strstr(f->err.message, "kmsv2 Provider is not healthy"));
}

/* (m) enable and disable leave the hash stale, and prepare does not go on then. */
static void test_m_stale_hash(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_START, "a");
    assert_writes(f, KT_ORDER_DISABLE, KT_RECIPE_DISABLE);
    fixture_apply(f);
    fixture_settle(f);
    assert_done(f, KT_ORDER_DISABLE);
    assert_writes(f, KT_ORDER_ENABLE, KT_RECIPE_ENABLE);
    fixture_apply(f);
    fixture_settle(f);
    assert_writes(f, KT_ORDER_PREPARE, KT_RECIPE_ADD);
}

/* (n) other entries and other providers are overwritten. */
static void test_n_foreign_providers(void **state)
{
    static const int items[] = {KT_REF_KEY(0), KT_REF_FOREIGN, KT_REF_IDENTITY};
    static const int first[] = {KT_REF_FOREIGN, KT_REF_KEY(0), KT_REF_IDENTITY};
    static const int strange[] = {KT_REF_KEY(0), KT_REF_STRANGER, KT_REF_IDENTITY};
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_START, "a");
    fixture_file(f, 3, items);
    for (size_t i = 0; i < FIXTURE_SERVERS; i++)
        memcpy(f->apis[i].hash, f->facts.config.hash, KT_HASH_LEN);
    f->facts.encrypted_since = 1;
    assert_done(f, KT_ORDER_ENABLE); /* it stays */
    fixture_file(f, 3, first);
    assert_step(f, KT_ORDER_PREPARE, KT_STEP_REFUSE, KT_GATE_FRONT);
    fixture_file(f, 3, strange); /* a key that only the file has: it would be lost */
    assert_step(f, KT_ORDER_PREPARE, KT_STEP_REFUSE, KT_GATE_OWN_KEYS);
    assert_non_null(strstr(f->err.hint, "key import"));
}

static void loads(struct fixture *f, size_t n, const int items[])
{
    fixture_file(f, n, items);
    for (size_t i = 0; i < FIXTURE_SERVERS; i++)
        memcpy(f->apis[i].hash, f->facts.config.hash, KT_HASH_LEN);
}

/* (n) migrate takes over from another plugin: listed behind it everywhere, before it comes first anywhere. */
static void test_n_takes_over(void **state)
{
    static const int theirs[] = {KT_REF_FOREIGN, KT_REF_IDENTITY};
    static const int second[] = {KT_REF_FOREIGN, KT_REF_KMS, KT_REF_IDENTITY};
    static const int first[] = {KT_REF_KMS, KT_REF_IDENTITY, KT_REF_FOREIGN};
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_START, "a");
    loads(f, 2, theirs);
    assert_step(f, KT_ORDER_ROTATE_KEYS, KT_STEP_REFUSE, KT_GATE_FRONT);
    f->order.takes_over = true;
    assert_step(f, KT_ORDER_ROTATE_KEYS, KT_STEP_CONFIG, KT_GATE_CONFIG);
    loads(f, 3, second);
    f->apis[1].hash[0] ^= 1;
    assert_step(f, KT_ORDER_ROTATE_KEYS, KT_STEP_WAIT, KT_GATE_LOADED);
    f->apis[1].hash[0] ^= 1;
    f->apis[1].reachable = false;
    assert_step(f, KT_ORDER_ROTATE_KEYS, KT_STEP_WAIT, KT_GATE_SERVERS);
    f->apis[1].reachable = true;
    f->nodes[0].serves = 0;
    assert_step(f, KT_ORDER_ROTATE_KEYS, KT_STEP_WAIT, KT_GATE_SERVED);
    f->nodes[0].serves = 1;
    assert_step(f, KT_ORDER_ROTATE_KEYS, KT_STEP_CONFIG, KT_GATE_NEXT);
    loads(f, 3, first);
    assert_writes(f, KT_ORDER_ROTATE_KEYS, KT_RECIPE_ADD);
}

/* (o) no key is ever dropped: it leaves the list for the archive, where the recovery key opens it. */
static void test_o_nothing_is_dropped(void **state)
{
    static const char *const states[] = {"a", "ar", "at", "aT", "atr", "arr", "ac", "artx"};
    (void)state;
    for (unsigned kind = 0; kind < KT_ORDER_COUNT; kind++)
        for (int stage = KT_STAGE_START; stage <= KT_STAGE_REENCRYPT_FINISHED; stage++)
            for (size_t i = 0; i < KT_ARRAY_LEN(states); i++)
                for (unsigned force = 0; force < 2; force++) {
                    struct fixture *f = fixture(KT_KEY_KMS, (enum kt_stage)stage, states[i]);
                    f->order.force = force;
                    const struct kt_next *next = fixture_ask(f, (enum kt_order_kind)kind);
                    size_t n_before = f->keyring.n_keys + f->keyring.n_archive;
                    if (next->step != KT_STEP_GENERATION)
                        continue;
                    fixture_apply(f);
                    assert_true(f->keyring.n_keys + f->keyring.n_archive >= n_before);
                    assert_true(f->keyring.n_archive == (strchr(states[i], 'x') ? 1 : 0) ||
                                (kind == KT_ORDER_RETIRE && strchr(states[i], 't')));
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_other_servers),
        cmocka_unit_test(test_b_before_the_reload),
        cmocka_unit_test(test_c_enable_disable),
        cmocka_unit_test(test_d_other_type),
        cmocka_unit_test(test_e_identity_only),
        cmocka_unit_test(test_f_aborted),
        cmocka_unit_test(test_g_errors),
        cmocka_unit_test(test_h_no_look),
        cmocka_unit_test(test_j_between_two_files),
        cmocka_unit_test(test_k_failed_reload),
        cmocka_unit_test(test_m_stale_hash),
        cmocka_unit_test(test_n_foreign_providers),
        cmocka_unit_test(test_n_takes_over),
        cmocka_unit_test(test_o_nothing_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
